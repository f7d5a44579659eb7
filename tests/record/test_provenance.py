"""Saved figures and tables say where they come from, and their numbers stay exact."""

import csv
import json
import re
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import REPOSITORY, needs
from PIL import Image

import mchelpers
from mchelpers.record import provenance
from mchelpers.run import Run


def make(commit="abc1234"):
    run = Run("demo/01", "laptop", seed=3, device="cpu", workers=2, commit=commit)
    run.use("images", SimpleNamespace(kind="real", sha256="0123456789abcdef" * 4))
    run.weights["net.safetensors"] = "f" * 64
    return run


KNOWN = {
    "chapter": "demo/01",
    "tier": "laptop",
    "seed": 3,
    "commit": "abc1234",
    "version": mchelpers.__version__,
    "data": {"images": {"kind": "real", "sha256": "0123456789ab"}},
    "weights": {"net.safetensors": "f" * 12},
}


def check(facts):
    """Hold what a file says against what the run knew."""
    assert {k: v for k, v in facts.items() if k not in ("saved", "book")} == KNOWN
    assert facts["book"].startswith("https://")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["saved"])


@pytest.fixture
def figure():
    fig, ax = plt.subplots()
    ax.plot([1, 3, 2])
    yield fig
    plt.close(fig)


def test_a_png_says_where_it_comes_from(figure, tmp_path, capsys):
    make().save(figure, tmp_path / "a.PNG", dpi=50)
    with Image.open(tmp_path / "a.PNG") as picture:
        check(json.loads(picture.text["Description"]))
        assert picture.text["Title"] == "demo/01"
        assert picture.size == tuple(round(50 * inches) for inches in figure.get_size_inches())
    assert capsys.readouterr().out == (
        f"wrote {tmp_path / 'a.PNG'}: demo/01, tier laptop, commit abc1234\n"
    )


def test_an_svg_and_a_pdf_say_so_too(figure, tmp_path):
    make().save(figure, tmp_path / "a.svg")
    elements = ElementTree.parse(tmp_path / "a.svg").iter()
    check(json.loads(next(e.text for e in elements if e.tag.endswith("}description"))))
    make().save(figure, tmp_path / "a.pdf")
    subject = re.search(rb"/Subject \((.*)\)", (tmp_path / "a.pdf").read_bytes())[1]
    check(json.loads(re.sub(rb"\\(.)", rb"\1", subject)))


ROWS = [
    {"name": "a, #1", "f1": 0.1 + 0.2, "n": np.int64(7)},
    {"name": 'say "b"', "f1": np.float32(1 / 3), "n": None},
    {"name": "c", "f1": torch.tensor(1e-17, dtype=torch.float64), "is new": True},
]
VALUES = [0.1 + 0.2, float(np.float32(1 / 3)), 1e-17]


@pytest.fixture
def table(tmp_path):
    make().save(ROWS, str(tmp_path / "t.csv"))
    return tmp_path / "t.csv"


def test_a_table_holds_its_provenance_and_exact_values(table):
    lines = table.read_text(encoding="utf-8").splitlines()
    head = [re.fullmatch("# (.+?): (.*)", line) for line in lines[:9]]
    check({m[1]: json.loads(m[2]) for m in head})
    found = list(csv.DictReader(line for line in lines if not line.startswith("# ")))
    assert list(found[0]) == ["name", "f1", "n", "is new"]
    assert [float(row["f1"]) for row in found] == VALUES
    assert [row["name"] for row in found] == ["a, #1", 'say "b"', "c"]
    assert [row["n"] for row in found] == ["7", "", ""]
    assert [row["is new"] for row in found] == ["", "", "True"]


def test_numpy_reads_numbers_back(tmp_path):
    make().save([{"a": v, "b": n} for n, v in enumerate(VALUES)], tmp_path / "t.csv")
    read = np.genfromtxt(tmp_path / "t.csv", delimiter=",", names=True, skip_header=9)
    assert read["a"].tolist() == VALUES
    assert read["b"].tolist() == [0, 1, 2]


@needs("pandas")
def test_pandas_reads_a_table_back(table):
    import pandas

    read = pandas.read_csv(table, comment="#")
    assert read["f1"].tolist() == VALUES
    assert read["name"].tolist() == ["a, #1", 'say "b"', "c"]
    assert read["n"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        ("figure", "a.jpg"),
        ("figure", "a.csv"),
        ("figure", "a"),
        ([{"a": 1}], "a.png"),
        ([], "a.csv"),
        ([1, 2], "a.csv"),
        ({"a": 1}, "a.csv"),
        ("a text", "a.csv"),
        (np.zeros((2, 2)), "a.csv"),
    ],
)
def test_what_cannot_be_saved_is_refused(thing, name, figure, tmp_path):
    thing = figure if isinstance(thing, str) and thing == "figure" else thing
    with pytest.raises(ValueError, match=rf"{name} was not written.*save a figure as .png"):
        make().save(thing, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failing_figure_leaves_the_old_file(figure, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("old")
    monkeypatch.setattr(figure, "draw", lambda renderer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make().save(figure, tmp_path / "a.png")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.png", "old")]


def install(folder, name, source):
    """Make the folder look as pip leaves it."""
    there = folder / f"{name}-1.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    if source:
        (there / "direct_url.json").write_text(json.dumps({"url": "u", **source}))


FROM_GIT = {"vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef" * 2}}


@pytest.mark.parametrize(
    ("name", "source", "commit"),
    [
        ("micrographs_measured", FROM_GIT, "0123456789ab"),
        ("micrographs_measured", {"dir_info": {"editable": True}}, None),
        ("micrographs_measured", None, None),
        ("another", FROM_GIT, None),
    ],
)
def test_an_installed_package_has_the_commit_that_pip_took(name, source, commit, tmp_path):
    install(tmp_path, name, source)
    assert provenance.code_commit("demo/01", tmp_path) == commit


def test_in_a_checkout_the_commit_is_the_checkout_s(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@e"]
    for command in (["init", "-q"], ["commit", "-qm", "all", "--allow-empty"]):
        subprocess.run(git + command, check=True)
    install(tmp_path, "micrographs_measured", FROM_GIT)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    found = provenance.code_commit("demo/01", tmp_path)
    assert len(found) >= 7 and head.startswith(found)


def python(code):
    """Run code in a fresh process without a notebook's variables; return what it printed."""
    environment = {"PATH": "", "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_without_ipython_a_run_begins_and_saves(tmp_path):
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, *rest):
        assert name.partition(".")[0] not in ("IPython", "matplotlib_inline"), name
sys.meta_path.insert(0, Refuse())
import mchelpers
run = mchelpers.start("demo/01")
run.log("a", 1, data="real")
run.save([{{"a": 1}}], {str(tmp_path / "t.csv")!r})
print(run.commit)
"""
    assert python(code).endswith("commit unknown\nNone\n")
    assert (tmp_path / "t.csv").exists()


SHOWN = """
import base64, io, json, warnings
from types import SimpleNamespace
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import matplotlib
matplotlib.use("module://matplotlib_inline.backend_inline")
import matplotlib.pyplot as plt
from matplotlib_inline.config import InlineBackend
from PIL import Image
from mchelpers.run import Run
from mchelpers.record.provenance import label_shown_figures

fig, ax = plt.subplots(figsize=(1, 1))
InlineBackend.instance().print_figure_kwargs = {"bbox_inches": None}
warnings.simplefilter("error")

def shown(kind="image/png"):
    content = shell.display_formatter.format(fig)[0][kind]
    return content[0] if isinstance(content, tuple) else content

def begun():
    run = Run("demo/01", "laptop", 0, "cpu", 1, "abc1234")
    label_shown_figures(run.provenance)
    return run

def text(png):
    return Image.open(io.BytesIO(base64.b64decode(png))).text

run = begun()
first = shown()
assert text(first)["Title"] == "demo/01"
assert "saved" not in text(first)["Description"]
assert Image.open(io.BytesIO(base64.b64decode(first))).size == (100, 100)  # bbox_inches is kept
run.use("images", SimpleNamespace(kind="real", sha256="1" * 64))
assert json.loads(text(shown())["Description"]) == run.provenance != begun().provenance
assert shown() == first  # another run of the same code says the same, at all times
for formats, kind in (["svg"], "image/svg+xml"), (["retina"], "image/png"):
    InlineBackend.instance().figure_formats = formats
    begun()
    assert "abc1234" in (shown(kind) if kind != "image/png" else text(shown())["Description"])
InlineBackend.instance().figure_formats = ["jpeg"]
begun()
assert shown("image/jpeg")
print("done")
"""


@needs("IPython", "matplotlib_inline")
def test_shown_figures_are_labelled():
    assert python(SHOWN) == "done\n"
