"""What changes a key, and what does not; each case once by source and once in a running process."""

import ast
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mchelpers import key, models, source
from mchelpers.graphene_hrtem import bragg, lattice
from mchelpers.nanoparticles import network as particle_network
from mchelpers.source import Package

FILES = {
    "__init__.py": "",
    "room/__init__.py": "from .work import total as total\n",
    "room/work.py": (
        "from pathlib import Path\n\n"
        "from ..tools import WIDTH, Base\n"
        "from .. import tools\n\n"
        "TABLE = {'a': 1}\nTABLE.update(b=2)\n\n"
        "def total(x, scale=2):\n    '''Sum.'''\n    return tools.add(x, scale) + WIDTH\n\n"
        "class Net(Base):\n    def forward(self, x):\n        return total(x) * TABLE['a']\n\n"
        "def later(x):\n    from ..tools import add as plus\n    return plus(x, 1)\n\n"
        "def constants():\n    return Path(__file__).with_name('numbers.csv').read_text()\n\n"
        "def unrelated():\n    return 0\n"
    ),
    "room/numbers.csv": "1,2\n",
    "tools.py": (
        "WIDTH = 3\n\n"
        "class Base:\n    def run(self):\n        return 1\n\n"
        "def add(a, b):\n    # plain\n    if a is None:\n        raise ValueError('a is missing')\n"
        "    return a + b\n"
    ),
}


def lay(folder: Path, *changes: tuple[str, str, str], **more: str) -> Path:
    """Write the little package, with (file, old text, new text) changed."""
    files = {**FILES, **more}
    for name, old, new in changes:
        assert old in files[name]
        files[name] = files[name].replace(old, new)
    for name, text in files.items():
        path = folder / "mchelpers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "mchelpers"


CELL = "from mchelpers.room import work\n%matplotlib inline\nnet = work.Net()\nwork.later(1)\n"


def digests(folder: Path, cell: str = CELL) -> list[str]:
    return sorted(Package(folder).reach_of_cells([cell]).values())


@pytest.mark.parametrize(
    "change",
    [
        ("room/work.py", "scale=2", "scale=3"),  # a default
        ("tools.py", "a + b", "a - b"),  # what is called, through a module and another name
        ("tools.py", "return 1", "return 2"),  # a base class
        ("tools.py", "a is None", "a is b"),  # when an error is raised
        ("tools.py", "ValueError", "TypeError"),  # which error
        ("tools.py", "WIDTH = 3", "WIDTH = 4"),  # a constant
        ("room/work.py", "'a': 1", "'a': 2"),  # a table
        ("room/work.py", "b=2", "b=3"),  # what changes a table afterwards
    ],
)
def test_source_that_is_reached_counts(tmp_path, change):
    assert digests(lay(tmp_path / "new", change)) != digests(lay(tmp_path / "old"))


@pytest.mark.parametrize(
    "change",
    [
        ("tools.py", "# plain", "# a comment"),
        ("room/work.py", "'''Sum.'''", "'''Say more.'''"),
        ("room/work.py", "return 0", "return 1"),  # nobody calls it
        ("tools.py", "is missing", "is not there"),  # the words of an error
        ("room/numbers.csv", "1,2", "3,4"),  # nobody reads it here
        (
            "room/work.py",
            "return tools.add(x, scale) + WIDTH",
            "return (tools.add(x, scale)\n + WIDTH)",
        ),
    ],
)
def test_what_is_not_reached_does_not_count(tmp_path, change):
    assert digests(lay(tmp_path / "new", change)) == digests(lay(tmp_path / "old"))


def test_a_packaged_data_file_counts_where_it_is_read(tmp_path):
    cell = "from mchelpers.room.work import constants\nconstants()\n"
    changed = ("room/numbers.csv", "1,2", "3,4")
    old, new = lay(tmp_path / "old"), lay(tmp_path / "new", changed)
    assert digests(old, cell) != digests(new, cell)


def test_a_move_and_a_rename_of_a_module_change_nothing(tmp_path):
    old = lay(tmp_path / "old")
    moved = {k: v for k, v in FILES.items() if k not in ("tools.py", "room/work.py")}
    folder = tmp_path / "new" / "mchelpers"
    moved["core/gear.py"] = FILES["tools.py"]
    moved["core/__init__.py"] = ""
    moved["labour.py"] = (
        FILES["room/work.py"]
        .replace("from ..tools", "from .core.gear")
        .replace("from .. import tools", "from .core import gear as tools")
    )
    moved["room/__init__.py"] = ""
    for name, text in moved.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    cell = CELL.replace("mchelpers.room import work", "mchelpers import labour as work")
    cell += "work.constants()\n"
    (folder / "numbers.csv").write_text(FILES["room/numbers.csv"])
    assert digests(folder, cell) == digests(old, CELL + "work.constants()\n")


def test_a_recorded_cell_is_followed_through_a_map_of_moves(tmp_path):
    table = "MODULES = {'jobs': 'room.work'}\nOBJECTS = {('room', 'sum'): 'tools'}\n"
    folder = lay(tmp_path, **{"_moved.py": table})
    cell = CELL.replace("mchelpers.room import work", "mchelpers import jobs as work")
    assert digests(folder, cell) == digests(folder)


def test_two_calls_exchanged_are_another_code(tmp_path):
    files = {
        "tools.py": "def f(x):\n    return x + 1\n\ndef g(x):\n    return 2 * x\n\n"
        "def run(x):\n    return f(g(x))\n"
    }
    cell = "from mchelpers import tools\ntools.run(1)\n"
    old = lay(tmp_path / "old", **files, **{"room/work.py": ""})
    new = lay(tmp_path / "new", ("tools.py", "f(g(x))", "g(f(x))"), **files, **{"room/work.py": ""})
    assert digests(old, cell) != digests(new, cell)


def test_names_are_said_for_reading(tmp_path):
    found = Package(lay(tmp_path)).reach_of_cells([CELL])
    assert {"room.work.Net", "tools.add", "tools.WIDTH", "room.work.TABLE"} <= set(found)
    assert "room.work.unrelated" not in found


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_every_python_gives_the_same_digest(tmp_path, version):
    """The module needs nothing but Python: other interpreters of this machine can run it."""
    code = (
        "import sys, importlib.util as u; s = u.spec_from_file_location('mchelpers.source', "
        "sys.argv[1]); m = u.module_from_spec(s); sys.modules[s.name] = m; s.loader.exec_module(m);"
        "from pathlib import Path; p = m.Package(Path(sys.argv[1]).parent);"
        "print(sorted(p.reach_of_cells([sys.argv[2]]).items()))"
    )
    cell = "from mchelpers import kept, show, data\nkept.cross_validate, data.zscore, show.image"
    command = ["-c", code, source.__file__, cell]
    home = Path.home() / ".pyenv" / "versions"
    others = [*home.glob(f"{version}.*/bin/python"), f"python{version}"]
    answers = set()
    for python in others:
        try:
            done = subprocess.run([python, *command], capture_output=True, text=True, check=True)
            answers.add(done.stdout)
        except (FileNotFoundError, subprocess.CalledProcessError):
            continue
    if not answers:
        pytest.skip(f"no Python {version} on this machine")
    assert answers == {
        f"{sorted(source.Package(Path(source.__file__).parent).reach_of_cells([cell]).items())}\n"
    }


# In a running process


def test_a_replaced_callee_changes_the_key(monkeypatch):
    before = key.fingerprint(models.bce_dice)
    monkeypatch.setattr(models, "soft_dice", lambda logits, target, smooth=64: 0 * logits)
    assert key.fingerprint(models.bce_dice) != before


def test_a_replaced_method_changes_the_key_of_what_builds_the_network(monkeypatch):
    make = partial(particle_network.build, features=8)
    before = key.fingerprint(make)
    monkeypatch.setattr(models.UNet, "forward", lambda self, x: x)
    assert key.fingerprint(make) != before


def test_a_replaced_constant_changes_the_key(monkeypatch):
    before = key.fingerprint(lattice.bragg_radius)
    monkeypatch.setattr(lattice, "_LEAST_PROMINENCE", 4.0)
    assert key.fingerprint(lattice.bragg_radius) != before


def test_defaults_of_a_running_function_count(monkeypatch):
    before = key.fingerprint(particle_network.new_view)
    monkeypatch.setattr(particle_network.new_view, "__defaults__", (32,))
    assert key.fingerprint(particle_network.new_view) != before


def scaled(factor):
    def loss(logits, target):
        return factor * (logits - target).abs().mean()

    return loss


def test_a_closure_counts():
    assert key.fingerprint(scaled(1)) == key.fingerprint(scaled(1))
    assert key.fingerprint(scaled(1)) != key.fingerprint(scaled(2))


def cached(step):
    @cache
    def after(x):
        return x + step

    return after


def test_the_code_behind_a_cache_counts(monkeypatch):
    assert key.fingerprint(cached(1)) == key.fingerprint(cached(1))
    assert key.fingerprint(cached(1)) != key.fingerprint(cached(2))
    before = key.fingerprint(bragg.low_pass)
    monkeypatch.setattr(bragg, "_gaussian", cache(lambda size, sigma: None))
    assert key.fingerprint(bragg.low_pass) != before


def network(width=3, shared=1, seen=1):
    class Net:
        size = width

        @staticmethod
        def share():
            return shared

        @property
        def view(self):
            return seen

    return Net


@pytest.mark.parametrize("change", ["width", "shared", "seen"])
def test_all_that_the_body_of_a_class_binds_counts(change):
    assert key.fingerprint(network()) == key.fingerprint(network())
    assert key.fingerprint(network(**{change: 2})) != key.fingerprint(network())


LEVEL = 0.5


def threshold(x):
    """Above the level."""
    return x > LEVEL


def test_a_function_from_elsewhere_counts_with_what_it_names(monkeypatch):
    before = key.fingerprint(threshold)
    monkeypatch.setitem(globals(), "LEVEL", 0.6)
    assert key.fingerprint(threshold) != before


def test_docstrings_of_functions_from_elsewhere_do_not_count():
    def a(x):
        """Say one thing."""
        return x + 1

    def b(x):
        return x + 1

    def c(x):
        return x + 2

    names = [n.name for n in ast.walk(ast.parse(Path(__file__).read_text())) if hasattr(n, "name")]
    assert {"a", "b", "c"} <= set(names)
    assert key.fingerprint(b) != key.fingerprint(c)
    assert a(1) == b(1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.arange(5000), np.r_[:2500, 0, 2501:5000]),  # the middle of a long array
        (partial(np.sum, np.arange(5000)), partial(np.sum, np.r_[:2500, 0, 2501:5000])),
        (torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16)),
        (["ab", "c"], ["a", "bc"]),
        (1, True),
        (1, 1.0),
        ({"a": 1}, {"a": 2}),
        (partial(models.UNet, 8), partial(models.UNet, 16)),
        (models.UNet, models.double_conv),
    ],
)
def test_what_differs_has_another_key(one, other):
    assert key.fingerprint(one) != key.fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}),
        ({3, 1, 2}, {1, 2, 3}),
        (np.float64(0.5), 0.5),
        (np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3)),
    ],
)
def test_what_is_the_same_has_one_key(one, other):
    assert key.fingerprint(one) == key.fingerprint(other)


@pytest.mark.parametrize("thing", [np.random.default_rng(0), iter([1]), object(), sys.stdout])
def test_what_has_no_content_to_tell_is_refused(thing):
    with pytest.raises(TypeError, match="cannot be part of a key"):
        key.fingerprint(thing)


def test_another_process_gives_the_same_key():
    code = (
        "from functools import partial; from mchelpers import key, models, train; import numpy;"
        "print(key.fingerprint(partial(models.UNet, 8), train.fit, train.Fit(2), numpy.arange(9)))"
    )
    from mchelpers import train

    here = key.fingerprint(partial(models.UNet, 8), train.fit, train.Fit(2), np.arange(9))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here
