"""The study's HDF5 stacks: small files of the same layout, and a host that imitates Zenodo's."""

from functools import partial

import local_host
import numpy as np
import pytest

from mchelpers import data
from mchelpers.nanoparticles import release as stacks

h5py = pytest.importorskip("h5py")
SIDE, COUNT = 32, 20  # more than are read at once


def write(path, key, array):
    with h5py.File(path, "w") as file:
        file[key] = array
    return path


def one_hot(masks, top=1.0):
    return top * np.stack([~masks, masks], -1).astype(float)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.random((COUNT, SIDE, SIDE, 1)), rng.random((COUNT, SIDE, SIDE)) < 0.2


@pytest.fixture
def files(tmp_path, arrays):
    images, masks = arrays
    return (
        write(tmp_path / stacks.FILES[0], "images", images),
        write(tmp_path / stacks.FILES[1], "maps", one_hot(masks)),
    )


def test_the_layout_of_the_study(files, arrays):
    images, masks = arrays
    loaded = stacks.load_nanoparticle_stack(*files)
    assert loaded.images.dtype == np.float32 and loaded.images.max() == 1
    assert np.allclose(loaded.images, images[..., 0] / images.max(), atol=1e-6)
    assert np.array_equal(loaded.masks, masks)
    assert loaded.kind == "real" and loaded.instances is None and loaded.particles == {}
    assert set(loaded.micrograph) == set(loaded.material) == {"unknown"}
    assert np.isnan(loaded.pixel_size_nm).all() and (loaded.corner == -1).all()
    assert len(loaded.sha256) == 64


def test_variants_that_mean_the_same(tmp_path, files, arrays):
    images, masks = arrays
    flat = write(tmp_path / "flat.h5", "images", images[..., 0])
    counts = write(tmp_path / "counts.h5", "images", (images * 60000).astype(np.uint16))
    maps = write(tmp_path / "m.h5", "maps", one_hot(masks, 255).astype(np.uint8))
    first = stacks.load_nanoparticle_stack(*files)
    for other in (flat, counts):
        same = stacks.load_nanoparticle_stack(str(other), maps)
        assert np.allclose(same.images, first.images, atol=1e-4)
        assert np.array_equal(same.masks, first.masks)


def test_a_map_without_a_particle_is_a_fact(tmp_path, files):
    empty = one_hot(np.zeros((COUNT, SIDE, SIDE), bool))
    maps = write(tmp_path / "m.h5", "maps", empty)
    assert not stacks.load_nanoparticle_stack(files[0], maps).masks.any()


def test_a_missing_file(tmp_path, files):
    with pytest.raises(data.DataError, match=r"none\.h5 does not exist.*fetch_nanoparticles"):
        stacks.load_nanoparticle_stack(tmp_path / "none.h5", files[1])


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_cut_file(files, kept):
    content = files[0].read_bytes()
    files[0].write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(data.DataError, match="cut short|breaks off"):
        stacks.load_nanoparticle_stack(*files)


def test_another_key_lists_what_is_there(tmp_path, files, arrays):
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["pictures"], file["attributes"] = arrays[0], [1]
        file.create_group("images")  # a group is no dataset
    with pytest.raises(data.DataError, match="no dataset 'images'; it has attributes, images"):
        stacks.load_nanoparticle_stack(tmp_path / "k.h5", files[1])
    with pytest.raises(data.DataError, match="no dataset 'maps'; it has images"):
        stacks.load_nanoparticle_stack(files[0], files[0])


@pytest.mark.parametrize(
    "shape", [(4, 32), (4, 32, 30), (4, 32, 32, 2), (4, 32, 32, 1, 1), (0, 32, 32, 1)]
)
def test_wrong_shapes_of_images(tmp_path, files, shape):
    path = write(tmp_path / "s.h5", "images", np.random.default_rng(0).random(shape))
    with pytest.raises(data.DataError, match="is needed|are needed"):
        stacks.load_nanoparticle_stack(path, files[1])


@pytest.mark.parametrize("shape", [(4, 32, 32), (4, 32, 32, 1), (4, 32, 32, 3), (4, 32, 30, 2)])
def test_wrong_shapes_of_maps(tmp_path, files, shape):
    path = write(tmp_path / "s.h5", "maps", np.zeros(shape))
    with pytest.raises(data.DataError, match="one-hot"):
        stacks.load_nanoparticle_stack(files[0], path)


def test_maps_that_are_not_one_hot(tmp_path, files, arrays):
    for wrong in (
        np.zeros((COUNT, SIDE, SIDE, 2)),
        np.ones((COUNT, SIDE, SIDE, 2)),
        np.dstack([np.full((SIDE, SIDE), 0.7), np.full((SIDE, SIDE), 0.3)])[None].repeat(COUNT, 0),
    ):
        path = write(tmp_path / "m.h5", "maps", wrong)
        with pytest.raises(data.DataError, match="not one-hot near tile 0"):
            stacks.load_nanoparticle_stack(files[0], path)


def test_images_and_maps_of_different_sets(tmp_path, files, arrays):
    path = write(tmp_path / "m.h5", "maps", one_hot(arrays[1][:-1]))
    with pytest.raises(data.DataError, match="not one set"):
        stacks.load_nanoparticle_stack(files[0], path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_found_in_its_tile(tmp_path, files, arrays, value):
    images = arrays[0].copy()
    images[17, 3, 3] = value
    path = write(tmp_path / "n.h5", "images", images)
    with pytest.raises(data.DataError, match="infinity in tile 17"):
        stacks.load_nanoparticle_stack(path, files[1])


@pytest.mark.parametrize("level", [0.0, 0.4, -1.0])
def test_no_grey_levels(tmp_path, files, level):
    path = write(tmp_path / "b.h5", "images", np.full((COUNT, SIDE, SIDE, 1), level))
    with pytest.raises(data.DataError, match="grey levels"):
        stacks.load_nanoparticle_stack(path, files[1])


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    with local_host.zenodo(tmp_path / "host", monkeypatch) as publish:
        yield partial(publish, "3755011")


def test_the_record_is_downloaded_by_its_doi(zenodo, files, tmp_path):
    zenodo({f.name: f.read_bytes() for f in files} | {"other.h5": b"x"})
    here = tmp_path / "here"
    found = stacks.fetch_nanoparticles(here)
    assert [f.read_bytes() for f in found] == [f.read_bytes() for f in files]
    assert sorted(p.name for p in here.iterdir()) == sorted(stacks.FILES)
    assert len(stacks.load_nanoparticle_stack(*found)) == COUNT


def test_real_tiles_come_only_when_asked_for(zenodo, files, tmp_path, monkeypatch):
    """A chapter calls it: by default nothing is fetched, with MCHELPERS_REAL=1 the record is."""
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MCHELPERS_REAL", raising=False)
    assert stacks.real_tiles() is None and not (tmp_path / "data").exists()
    zenodo({f.name: f.read_bytes() for f in files})
    monkeypatch.setenv("MCHELPERS_REAL", "1")
    real = stacks.real_tiles()
    assert len(real) == COUNT and real.kind == "real"


def test_present_files_need_no_network(files, tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path))
    (tmp_path / "nanoparticles").mkdir()
    for file in files:
        file.rename(tmp_path / "nanoparticles" / file.name)
    monkeypatch.setattr("pooch.create", None)
    assert stacks.fetch_nanoparticles()[1].name == stacks.FILES[1]


def test_a_record_without_the_file_says_what_it_has(zenodo, tmp_path):
    zenodo({"something.h5": b"x"})
    with pytest.raises(data.DataError, match=r"holds no Bal_.*it has something\.h5"):
        stacks.fetch_nanoparticles(tmp_path / "here")


def test_complex_images_are_refused(tmp_path, files, arrays):
    """Of an exit wave only the real part would be kept."""
    path = write(tmp_path / "c.h5", "images", arrays[0].astype(np.complex64))
    with pytest.raises(data.DataError, match=r"c.h5 holds complex64.*np.abs\(\)"):
        stacks.load_nanoparticle_stack(path, files[1])
