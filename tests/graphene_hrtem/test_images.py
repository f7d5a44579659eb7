"""Simulated micrographs: exact masks, honest noise, the same from the same seed."""

from pathlib import Path

import numpy as np
import pytest
from conftest import has_real_data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mchelpers import data
from mchelpers.graphene_hrtem import images as hrtem
from mchelpers.graphene_hrtem import samples as graphene
from mchelpers.graphene_hrtem import scenes
from mchelpers.simulate import electrons


@pytest.fixture(scope="module")
def standin():
    return hrtem.lattice_micrographs(40)


def test_standin_looks_like_a_data_set(standin):
    assert isinstance(standin, data.Micrographs) and standin.kind == "simulated"
    assert standin.images.shape == (40, 256, 256) and standin.images.dtype == np.float32
    assert standin.images.min() == 0 and standin.images.max() == 255
    assert standin.masks.dtype == bool and len(set(standin.names)) == 40
    shares = standin.masks.mean((1, 2))
    assert (shares == 0).any() and 0.05 < np.median(shares) < 0.15 and shares.max() < 0.65


def test_standin_groups_can_be_split(standin):
    _, sizes = np.unique(standin.groups["series"], return_counts=True)
    assert set(sizes) == {1, 2, 3}
    assert len(set(standin.groups["date"])) >= 5
    for series in set(standin.groups["series"]):
        assert len(set(standin.groups["date"][standin.groups["series"] == series])) == 1


def test_standin_image_depends_on_seed_and_number_only(standin):
    few = hrtem.lattice_micrographs(7)
    np.testing.assert_array_equal(few.images, standin.images[:7])
    np.testing.assert_array_equal(few.masks, standin.masks[:7])
    assert few.names == standin.names[:7]
    other = hrtem.lattice_micrographs(7, seed=1)
    assert other.sha256 != few.sha256 and (other.images != few.images).any()


def test_standin_mask_is_where_the_lattice_is_not(standin):
    """Inside the mask the texture is stronger than the lattice outside."""
    for image, mask in zip(standin.images, standin.masks, strict=True):
        if mask.sum() > 1000:
            assert image[mask].std() > image[~mask].std()


@pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 2, "size": 16}])
def test_standin_refuses_nonsense(arguments):
    with pytest.raises(ValueError, match="need count"):
        hrtem.lattice_micrographs(**arguments)


@settings(max_examples=20, deadline=None)
@given(fraction=st.floats(0.01, 0.6), count=st.integers(1, 3), seed=st.integers(0, 999))
def test_blobs_cover_the_share_asked_for(fraction, count, seed):
    mask = scenes.blobs(np.random.default_rng(seed), 64, fraction, count)
    assert mask.mean() == pytest.approx(fraction, abs=2 / mask.size)


def test_band_limited_noise_stays_in_its_band():
    noise = scenes.smooth_noise(np.random.default_rng(0), 128, 0.1, 0.2)
    power = np.abs(np.fft.fft2(noise)) ** 2
    q = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    assert noise.mean() == pytest.approx(0, abs=1e-6) and noise.std() == pytest.approx(1, abs=1e-5)
    assert power[(q > 0.05) & (q < 0.25)].sum() > 0.98 * power.sum()


def test_series_have_the_lengths_they_say():
    places = [scenes.series_of(i) for i in range(80)]
    assert places[0] == (0, 0) and len(set(places)) == 80
    for series in range(places[-1][0]):
        assert sum(s == series for s, _ in places) == scenes.series_length(series)


@settings(max_examples=15, deadline=None)
@given(angle=st.floats(0, np.pi / 3), x=st.floats(0, 0.246), y=st.floats(0, 0.246))
def test_honeycomb_has_the_bonds_and_density_of_graphene(angle, x, y):
    atoms = graphene.honeycomb(4.0, angle, np.array([x, y]))
    inner = atoms[((atoms > 0.3) & (atoms < 3.7)).all(1)]
    distance, _ = cKDTree(atoms).query(inner, k=5)
    np.testing.assert_allclose(distance[:, 1:4], 0.246 / np.sqrt(3), atol=1e-9)  # three bonds
    assert (distance[:, 4] > 0.24).all()
    assert len(atoms) / 16 == pytest.approx(4 / np.sqrt(3) / 0.246**2, rel=0.06)


def test_sample_keeps_its_distances():
    sample = graphene.draw_sample(np.random.default_rng(4), 6.0, 120)
    assert set(sample.grains) == {0, 1} and len(sample.grains) == len(sample.atoms)
    distance, _ = cKDTree(sample.atoms).query(sample.atoms, k=2)
    assert distance[:, 1].min() > 0.05  # merging moves an atom by half of 0.1 nm at most
    assert (distance[:, 1] < 0.1).mean() < 0.01
    if len(sample.adatoms):
        apart, _ = cKDTree(sample.adatoms).query(sample.adatoms, k=2)
        assert apart[:, 1].min() >= 0.14
        assert sample.adatoms[:, 2].min() > sample.positions()[: len(sample.atoms), 2].max()


def test_carbon_lies_where_it_was_put_and_the_mask_says_so():
    layers = np.zeros((80, 80))
    layers[20:50, 30:70] = 2
    atoms = electrons.amorphous_carbon(np.random.default_rng(0), layers, 4.0)
    assert len(atoms) / (1.5 * 2.0 * 0.6) == pytest.approx(90, rel=0.15)  # per nm^3
    mask = electrons.projected_mask(atoms, 4.0, 80)
    truth = layers > 0
    overlap = (mask & truth).sum() / (mask | truth).sum()
    assert overlap > 0.85  # the mask reaches 0.1 nm, 2 px, beyond the outermost atoms
    assert mask[22:48, 32:68].all()  # no gaps between the atoms


def test_no_carbon_no_mask():
    atoms = electrons.amorphous_carbon(np.random.default_rng(0), np.zeros((10, 10)), 1.0)
    assert atoms.shape == (0, 3)
    assert not electrons.projected_mask(atoms, 1.0, 10).any()


@settings(max_examples=10, deadline=None)
@given(dose=st.floats(500, 20_000), seed=st.integers(0, 99))
def test_counting_noise_has_the_variance_of_its_mean(dose, seed):
    flat = np.ones((128, 128))
    counts = hrtem.detect(flat, dose, 0.02, np.random.default_rng(seed), blur=0)
    assert counts.mean() == pytest.approx(dose * 0.04, rel=0.05)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.1)


def test_noise_falls_with_the_root_of_the_dose():
    relative = []
    for dose in (1e3, 1e4):
        counts = hrtem.detect(np.ones((128, 128)), dose, 0.02, np.random.default_rng(0))
        relative.append(counts.std() / counts.mean())
    assert relative[0] / relative[1] == pytest.approx(np.sqrt(10), rel=0.05)


def test_detector_blur_comes_after_counting():
    """Blurred counts keep their mean, lose variance, and resemble their neighbours."""
    counts = hrtem.detect(np.ones((128, 128)), 5e3, 0.02, np.random.default_rng(0), blur=0.7)
    assert counts.var() / counts.mean() < 0.4
    neighbours = np.corrcoef(counts[:, :-1].ravel(), counts[:, 1:].ravel())[0, 1]
    assert neighbours == pytest.approx(np.exp(-1 / (4 * 0.7**2)), abs=0.06)


def test_detector_refuses_no_dose():
    with pytest.raises(ValueError, match="dose must be positive"):
        hrtem.detect(np.ones((4, 4)), 0, 0.02, np.random.default_rng(0))


@pytest.fixture(scope="module")
def physical(tmp_path_factory):
    pytest.importorskip("abtem")
    folder = tmp_path_factory.mktemp("simulated")
    return hrtem.graphene_micrographs(3, size=48, seed=2, folder=folder), folder


def test_physical_simulation_holds_its_truth(physical):
    micrographs, _ = physical
    assert micrographs.kind == "simulated" and len(micrographs) == 3
    assert micrographs.images.shape == micrographs.masks.shape == (3, 48, 48)
    spacing = hrtem.PLANE_SPACING_NM / micrographs.pixel_size_nm
    assert ((spacing >= 4) & (spacing <= 7)).all()
    for atoms, grains in zip(micrographs.atoms, micrographs.grains, strict=True):
        assert len(atoms) == len(grains) > 20
        assert (atoms > -0.5).all() and (atoms < 47.5).all()
    doses = [c.dose for c in micrographs.conditions]
    assert len(set(doses)) == 3 and min(doses) >= 1e3 and max(doses) <= 1e4


def test_physical_simulation_repeats_and_resumes(physical, tmp_path):
    micrographs, folder = physical
    again = hrtem.graphene_micrographs(3, size=48, seed=2, folder=folder)  # from the cache
    fresh = hrtem.graphene_micrographs(1, size=48, seed=2, folder=tmp_path)  # simulated anew
    assert again.sha256 == micrographs.sha256
    assert again.conditions == micrographs.conditions
    np.testing.assert_array_equal(fresh.images[0], micrographs.images[0])
    np.testing.assert_array_equal(fresh.atoms[0], micrographs.atoms[0])
    assert not list(folder.rglob(".*"))  # nothing half written is left


def test_atoms_lie_where_the_image_shows_them():
    """Without aberrations but defocus, the image is darkest or brightest at the atoms."""
    pytest.importorskip("abtem")
    pixel, size = 0.03, 96
    side = size * pixel
    atoms = graphene.honeycomb(side, 0.2, np.zeros(2))
    sample = graphene.Sample(atoms, np.zeros(len(atoms), np.int8), np.empty((0, 3)), side)
    wave = hrtem.exit_wave(sample, size)
    inner = atoms[((atoms > 0.5) & (atoms < side - 0.5)).all(1)]
    i, j = np.rint(inner / pixel).astype(int).T
    contrast = []
    for defocus in (-5, 5):
        image = hrtem.form_image(wave, hrtem.Conditions(defocus=defocus, vibration=0.01))
        assert image.mean() == pytest.approx(1, abs=0.01)
        contrast.append((image[i, j].mean() - image.mean()) / image.std())
    assert min(map(abs, contrast)) > 0.5
    assert contrast[0] * contrast[1] < 0  # the sign of the defocus turns the contrast


def test_physical_simulation_refuses_nonsense(tmp_path):
    with pytest.raises(ValueError, match="spacing_px"):
        hrtem.graphene_micrographs(1, spacing_px=(1.0, 2.0), folder=tmp_path)


def test_series_and_dates_are_read_off_the_names(tmp_path, monkeypatch):
    """Images of a focal series are one group, and so are series of one day."""
    from skimage.io import imsave

    files = {}
    series = ["2013_0611_GrGB_TS_001", "2013_0611_GrGB_TS_002", "2013_1002_Graph_FS_001"]
    layers = [(series[0], 3), (series[0], 31), (series[1], 3), (series[2], 3)]
    for name in (f"{s}_layer_{n:04d}" for s, n in layers):
        for part, array in (("", np.eye(8)), ("_LABEL", np.zeros((8, 8)))):
            file = tmp_path / f"{name}{part}.png"
            imsave(file, (255 * array).astype(np.uint8), check_contrast=False)
            files[f"graphene_hrtem/training_images/{file.name}"] = ("0", 0, "")
    monkeypatch.setattr(hrtem, "registry", lambda: files)
    monkeypatch.setattr(hrtem, "fetch_all", lambda paths: [tmp_path / Path(p).name for p in paths])
    groups = hrtem.load_graphene().groups
    assert groups["series"].tolist() == [s for s, _ in layers]
    assert groups["date"].tolist() == ["2013_0611"] * 3 + ["2013_1002"]


@pytest.mark.skipif(
    not has_real_data("graphene_hrtem"), reason="MCHELPERS_DATA lacks graphene_hrtem"
)
def test_the_graphene_study_as_released():
    graphene = hrtem.load_graphene()
    assert graphene.images.shape == graphene.masks.shape == (131, 256, 256)
    assert (~graphene.masks.any((1, 2))).sum() == 3
    assert graphene.masks.mean() == pytest.approx(0.132, abs=5e-4)
    assert len(set(graphene.groups["series"])) == 109
    assert len(set(graphene.groups["date"])) == 17
    assert graphene.names == sorted(graphene.names)
