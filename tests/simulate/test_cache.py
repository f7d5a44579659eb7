"""Simulated images are made once, and anew where their code or their arguments change."""

from functools import partial

import numpy as np
import pytest

from mchelpers.simulate import cache


def draw(level, number, file):
    cache.save_arrays(file, value=np.array(level * number))


def draw_otherwise(level, number, file):
    cache.save_arrays(file, value=np.array(level + number))


DOUBLED = partial(draw, 2)


def get(folder, count, make=DOUBLED):
    return cache.finished_files(
        "test", make, [(n,) for n in range(count)], [f"n{n}" for n in range(count)], folder=folder
    )


def test_what_is_missing_is_made_once(tmp_path):
    first = get(tmp_path, 2)
    assert [int(np.load(f)["value"]) for f in first] == [0, 2]
    stamps = [f.stat().st_mtime_ns for f in first]
    more = get(tmp_path, 3)
    assert more[:2] == first and [f.stat().st_mtime_ns for f in first] == stamps
    assert int(np.load(more[2])["value"]) == 4


def test_other_arguments_and_other_code_are_other_images(tmp_path):
    folders = {
        get(tmp_path, 1, make)[0].parent
        for make in (partial(draw, 2), partial(draw, 3), partial(draw_otherwise, 2))
    }
    assert len(folders) == 3


def test_names_must_differ(tmp_path):
    with pytest.raises(ValueError, match="a name of its own"):
        cache.finished_files("test", partial(draw, 2), [(1,), (2,)], ["a", "a"], folder=tmp_path)


def test_a_full_disk_leaves_no_half_of_an_image(tmp_path, monkeypatch):
    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        cache.save_arrays(tmp_path / "a.npz", value=np.zeros(3))
    assert not list(tmp_path.iterdir())
