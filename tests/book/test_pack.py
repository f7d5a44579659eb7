"""Trainings are packed, made where nothing of the book is installed, and found here by key."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib import metadata

import numpy as np
import pytest
import torch
from conftest import CHAPTER, REPOSITORY

from mchelpers import kept
from mchelpers.book import pack, plan, run_there
from mchelpers.record.chapter import chapters

THERE = {"torch", "torchvision", "numpy", "scipy", "scikit-image", "scikit-learn", "matplotlib"}


def absent() -> list[str]:
    """Name what is installed here and not needed by PyTorch and its company."""
    there, waiting = set(), list(THERE)
    while waiting:
        name = re.sub("[-_.]+", "-", waiting.pop()).lower()
        if name not in there:
            there.add(name)
            with contextlib.suppress(metadata.PackageNotFoundError):
                needs = [n for n in metadata.requires(name) or () if "extra ==" not in n]
                waiting += [re.match(r"[\w.-]+", n)[0] for n in needs]
    of = metadata.packages_distributions()
    normal = {n: {re.sub("[-_.]+", "-", d).lower() for d in of[n]} for n in of}
    others = {n for n in of if not normal[n] & there} - {"mchelpers"}
    return sorted(others | set(run_there.ABSENT))


CELLS = """\
import numpy as np
import torch
from functools import partial
from mchelpers import kept, metrics, models, train

generator = torch.Generator().manual_seed(0)
labels = torch.zeros(6, 16, 16, dtype=torch.long)
for n in range(6):
    labels[n, :, : 4 + 2 * n] = 1
images = labels[:, None].float() + 0.1 * torch.randn(6, 1, 16, 16, generator=generator)
folds = train.kfold(6, 2)
MARGIN = 0.0


def larger(logits):
    return logits[:, 1] > logits[:, 0] + MARGIN


def macro_f1(logits, target):
    return metrics.macro(larger(logits).numpy(), target.numpy() == 1)["f1"]


def fitted(name, epochs, **change):
    return kept.cross_validate(
        partial(models.UNet, features=4, blocks=3), images, labels, folds,
        train.Fit(epochs, lr=1e-2, batch_size=2), name=name, **change)

```

```{code-cell} ipython3
for repeat in range(2):
    cv = fitted(f"long{repeat}", 3 + 147 * repeat, score=macro_f1)
    run.trained(cv.histories, cv.weights)
    masks = (cv.logits[:, 1] > cv.logits[:, 0]).numpy()
```

```{code-cell} ipython3
start, _ = kept.load_tensors(cv.weights[0])
fitted("after", 2, start=start)
```

```{code-cell} ipython3
fitted("lambda", 2, score=lambda logits, target: 0.0)
```

```{code-cell} ipython3
from torch import nn
train.fit(models.UNet(4, 3), images, labels, train.Fit(1))
```

```{code-cell} ipython3
fitted("last", 2);
"""


@pytest.fixture
def study(book):
    """Return a book whose chapter trains in several ways."""
    cell = 'run.log("demo.score", [0.5, 0.7], data="real");\n'
    assert cell in CHAPTER
    text = CHAPTER.replace(cell, CELLS)
    (book / "book" / "demo" / "01_first.md").write_text(text)
    return book


def test_pack_run_there_adopt(study, tmp_path, monkeypatch):
    archive, there = tmp_path / "pack.zip", tmp_path / "there"
    chosen = chapters(study, "demo/01_first")
    jobs, left = pack.pack(chosen, "smoke", archive)
    names = [j["name"] for j in jobs]
    assert [n.rpartition("-")[0] for n in names] == [
        "long0-0", "long0-1", "long1-0", "long1-1", "last-0", "last-1",
    ]  # fmt: skip
    assert len(left) == 3
    assert "after-0 depends on the result" in left[0]
    assert "lambda" in left[1] and "move it into the study's room" in left[1]
    assert "no kept.Training" in left[2]
    assert not list((tmp_path / "runs").glob("*.safetensors"))  # nothing was trained here

    zipfile.ZipFile(archive).extractall(there)
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    block = f"import sys; sys.modules.update(dict.fromkeys({absent()!r}))"  # None: not there
    (blocker / "sitecustomize.py").write_text(block)
    environment = {**os.environ, "PYTHONPATH": str(blocker)}

    def run(*options):
        command = [sys.executable, there / "run.py", *options, "--device", "cpu", "--beside", "1"]
        return subprocess.Popen(
            command, cwd=there, env=environment, text=True, stdout=subprocess.PIPE
        )

    blocked = subprocess.run([sys.executable, "-c", "import tqdm"], env=environment)
    assert blocked.returncode  # the blocker works
    assert "0 of 6 finished" in run("--minutes", "0").communicate()[0]

    work = there / "results" / "work"
    first = run("--minutes", "5")
    checkpoint = work / f"{names[2]}.pt"  # of 150 epochs
    for _ in range(3000):
        if checkpoint.exists() and torch.load(checkpoint)["history"][0][2:]:
            break
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    said = first.communicate()[0]
    assert f"{names[0]}: finished" in said and f"{names[2]}: finished" not in said
    done = len(torch.load(checkpoint)["history"][0])
    assert 2 < done < 150
    said = run("--minutes", "5").communicate()[0]
    assert "4 of 6 trainings to make" in said and "6 of 6 finished" in said
    files = sorted((there / "results").glob("*.pt"))
    assert [f.name for f in files] == ["trained-1.pt"]

    adopted, faults = pack.adopt(files)
    assert sorted(adopted) == sorted(names) and not faults
    monkeypatch.syspath_prepend(there)  # for the function of the chapter's cell
    whole = plan.decode(jobs[2]["training"], there)
    assert whole.file.exists() and whole.file.stem == names[2]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    state, note = whole.train(tmp_path / "uninterrupted.pt")
    torch.set_num_threads(threads)
    tensors, told = kept.load_tensors(whole.file)
    assert all(torch.equal(tensors[k], v.float()) for k, v in state.items())
    history = json.loads(told["history"])
    assert history["loss"] == json.loads(note["history"])["loss"]
    assert len(history["validation"]) == 150 and told["trained_on"]

    again, left = pack.pack(chosen, "smoke", None)  # the chapter finds them by key
    assert [j["name"].rpartition("-")[0] for j in again] == ["after-0", "after-1"]


def test_every_dependency_is_there_or_known_to_be_absent():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    modules = {
        "ipython": "IPython", "matplotlib-scalebar": "matplotlib_scalebar",
        "onnx": "onnx", "pyyaml": "yaml", "rosettasciio": "rsciio", "segmentation-models-pytorch":
        "segmentation_models_pytorch", "ultralytics-opencv-headless": "ultralytics",
    }  # fmt: skip
    extras = project["optional-dependencies"]
    needs = project["dependencies"] + [
        n for k in extras if k not in ("dev", "book", "imagenet") for n in extras[k]
    ]
    for need in needs:
        name = re.match(r"[\w-]+", need)[0]
        assert (
            name in THERE | {"pillow"}
            or modules.get(name, name.replace("-", "_")) in run_there.ABSENT
        ), name


def test_what_is_told_in_json_comes_back(tmp_path):
    values = {
        "a": [1, 2.5, None, True, "x", np.float32(0.5)],
        "b": (np.arange(3), torch.eye(2), {3: (4,)}),
        "c": torch.nn.functional.mse_loss,
        "d": pack.History([1.0], [], [0.5]),
    }
    told = json.loads(json.dumps(plan.encode(values, tmp_path)))
    back = plan.decode(told, tmp_path)
    assert back["a"] == values["a"] and back["c"] is values["c"] and back["d"] == values["d"]
    assert np.array_equal(back["b"][0], np.arange(3)) and torch.equal(back["b"][1], torch.eye(2))
    assert back["b"][2] == {3: (4,)}


@pytest.mark.parametrize("value", [lambda x: x, object(), torch.Generator()])
def test_what_cannot_be_told_is_refused(value, tmp_path):
    with pytest.raises(plan.PlanError):
        plan.encode(value, tmp_path)


def trained(**change):
    note = {"history": json.dumps({"loss": [0.5], "validation": [], "seconds": [1.0]})}
    content = {"tensors": {"w": torch.ones(2).half()}, "note": {**note, "trained_on": "a GPU"}}
    return {**content, **change}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("../net-0123456789abcdef", trained(), "end in a key"),
        ("net-0123", trained(), "end in a key"),
        ("net-0123456789abcdef", {"w": torch.ones(2)}, "tensors"),
        ("net-0123456789abcdef", torch.ones(2), "no training"),
        ("net-0123456789abcdef", trained(tensors={"w": torch.tensor([np.nan])}), "not finite"),
        ("net-0123456789abcdef", trained(tensors={"w": torch.ones(3)}), "other shapes"),
        ("net-0123456789abcdef", trained(note={"history": "{}"}), "no training"),
    ],
)
def test_a_wrong_training_is_named_and_the_others_adopted(name, content, words, tmp_path):
    (tmp_path / "runs").mkdir()
    shapes = {"net-0123456789abcdef": {"w": [2]}}
    (tmp_path / "runs" / "packed.json").write_text(json.dumps(shapes))
    file = tmp_path / "trained-1.pt"
    torch.save({name: content, "good-0123456789abcdef": trained()}, file)
    adopted, (fault,) = pack.adopt([file])
    assert adopted == ["good-0123456789abcdef"]
    assert words in fault and str(file) in fault and "\n" not in fault
    assert [f.name for f in (tmp_path / "runs").glob("*.safetensors")] == [
        "good-0123456789abcdef.safetensors"
    ]


def test_a_cut_or_foreign_file_is_named_and_the_others_adopted(tmp_path):
    good = tmp_path / "good.pt"
    torch.save({"good-0123456789abcdef": trained()}, good)
    cut, foreign, code = tmp_path / "cut.pt", tmp_path / "foreign.pt", tmp_path / "code.pt"
    cut.write_bytes(good.read_bytes()[:700])
    foreign.write_text("no weights")
    torch.save({"x": pack.adopt}, code)  # a pickled function is not loaded
    adopted, faults = pack.adopt([cut, foreign, code, tmp_path / "missing.pt", good])
    assert adopted == ["good-0123456789abcdef"]
    assert [str(f) in fault for f, fault in zip((cut, foreign, code), faults)] == [True] * 3
    assert len(faults) == 4 and not any("\n" in f for f in faults)


def test_an_archive_that_is_too_large_says_what_is(study, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "MAX_BYTES", 1000)
    place = tmp_path / "place"
    (place / "mchelpers").mkdir(parents=True)
    for name in ("run.py", "plan.json"):
        (place / name).touch()
    told = plan.encode(torch.rand(1000, generator=torch.Generator().manual_seed(0)), place)
    jobs = [{"name": "big-0", "training": told}]
    with pytest.raises(plan.PlanError, match="MB for big-0.*--only"):
        pack._archive(place, jobs, tmp_path / "pack.zip")
    assert not list(tmp_path.glob("*pack.zip*"))


def test_finished_trainings_are_bundled_into_files_that_travel(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_there, "FILE_BYTES", 10_000)
    monkeypatch.setattr(run_there, "FILES", 2)
    jobs = [{"name": f"n{i}"} for i in range(5)]
    for job, count in zip(jobs, (500, 500, 500, 5000, 500)):
        content = trained(tensors={"w": torch.zeros(count)})
        torch.save({job["name"]: content}, tmp_path / f"{job['name']}.done")
    run_there.bundle(jobs, tmp_path, tmp_path)
    found = [list(torch.load(tmp_path / f"trained-{i}.pt")) for i in (1, 2)]
    assert found == [["n0", "n1"], ["n2", "n4"]]
    assert all(f.stat().st_size < 10_000 for f in tmp_path.glob("trained-*.pt"))
    assert "n3.done" in capsys.readouterr().out
