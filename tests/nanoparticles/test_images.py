"""Simulated nanoparticles: crystals with known bonds and faults, images with known truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mchelpers.nanoparticles import images as nanoparticles
from mchelpers.nanoparticles import particles, scenes
from mchelpers.nanoparticles.scenes import AU, CDSE

SMALL = replace(CDSE, film=(1.0, 1.0), per_square_um=25000.0)


def nearest(positions, other=None):
    """Distance of each atom to its nearest neighbour, nm."""
    if other is None:
        return cKDTree(positions).query(positions, k=2)[0][:, 1]
    return cKDTree(other).query(positions)[0]


@given(
    shape=st.sampled_from(particles.CDSE_SHAPES),
    layers=st.integers(6, 30),
    cut=st.one_of(st.none(), st.integers(2, 4)),
)
def test_neighbouring_layers_never_stand_on_top_of_each_other(shape, layers, cut):
    sequence = particles.stacking_fault_layers(shape, layers, cut)
    assert set(sequence) <= {0, 1, 2} and (np.diff(sequence) != 0).all()


def is_hexagonal(sequence):
    """Tell for each inner layer whether both its neighbours stand in the same position."""
    return sequence[:-2] == sequence[2:]


@given(layers=st.integers(8, 30), cut=st.integers(2, 6))
def test_a_fault_changes_the_surroundings_of_one_layer(layers, cut):
    hexagonal = is_hexagonal(particles.stacking_fault_layers("wurtzite", layers, cut))
    cubic = ~is_hexagonal(particles.stacking_fault_layers("zinc blende", layers, cut))
    assert (~hexagonal).sum() == 1 and (~cubic).sum() == 1


def test_perfect_crystals_are_all_hexagonal_or_all_cubic():
    assert is_hexagonal(particles.stacking_fault_layers("wurtzite", 12, None)).all()
    assert not is_hexagonal(particles.stacking_fault_layers("zinc blende", 12, None)).any()


@pytest.mark.parametrize("shape", particles.CDSE_SHAPES)
@pytest.mark.parametrize("fault", [False, True])
def test_cdse_has_its_bond_length(shape, fault):
    positions, numbers = particles.build_cdse(np.random.default_rng(1), 4.0, shape, True, fault)
    cadmium, selenium = positions[numbers == 48], positions[numbers == 34]
    assert np.allclose(
        nearest(cadmium, selenium)[nearest(cadmium, selenium) < 0.3], 0.263, atol=2e-3
    )
    assert abs(len(cadmium) / len(selenium) - 1) < 0.1
    reach = np.ptp(positions, axis=0).max()
    assert 3.6 < reach < 5.6


@pytest.mark.parametrize("shape", particles.AU_SHAPES)
def test_gold_has_its_bond_length_and_about_its_size(shape):
    positions, numbers = particles.build_au(np.random.default_rng(2), 5.0, shape, False)
    # Multiply twinned clusters are strained by about 5 percent.
    assert np.median(nearest(positions)) == pytest.approx(0.2885, rel=0.06)
    assert (numbers == 79).all() and 3.5 < np.ptp(positions, axis=0).max() < 7


def test_a_viewable_particle_stands_on_its_rows_and_a_tilted_one_does_not():
    def edge_on(viewable):
        # Seen along close-packed rows, many atoms share one projected place.
        atoms, _ = particles.build_cdse(np.random.default_rng(3), 4.0, "wurtzite", viewable, False)
        return np.median(nearest(atoms[:, :2]))

    assert edge_on(True) < edge_on(False)


def one(seed=0, side=256, sample=SMALL):
    rng = np.random.default_rng(seed)
    film, placed = scenes.draw_sample(rng, sample, side)
    return rng, film, placed, *scenes.project(sample, placed, side)


def test_truth_is_measured_on_the_projection():
    checked, lone = 0, replace(SMALL, per_square_um=9000.0, diameters=(3.0, 3.5))
    for seed in range(40):
        _, _, placed, instances, found = one(seed, sample=lone)
        assert instances.max() == len(found) <= len(placed)
        for number, particle in enumerate(found, 1):
            rows, columns = np.nonzero(instances == number)
            cut_off = min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == 255
            if cut_off or len(found) > 1:  # clipped, or perhaps covered by another
                continue
            area = len(rows) * CDSE.pixel_size**2
            assert area == pytest.approx(np.pi * particle.diameter_nm**2 / 4, rel=1e-6)
            centre = rows.mean(), columns.mean()
            assert centre == pytest.approx((particle.row, particle.column), abs=1e-6)
            checked += 1
    assert checked


def test_another_film_leaves_the_particles_as_they_are():
    _, thin, _, _, a = one(4)
    _, thick, _, _, b = one(4, sample=replace(SMALL, film=(4.0, 4.0)))
    assert len(thick) > 1.5 * len(thin)
    assert [p.diameter_nm for p in a] == pytest.approx([p.diameter_nm for p in b])


def test_fringes_stand_at_the_spacing_of_the_crystal():
    sample = replace(SMALL, viewable=1.0, diameters=(5.0, 6.0), film=(0.6, 0.6))
    for seed in range(10):
        rng, film, placed, instances, found = one(seed, sample=sample)
        if found and found[0].shape == "wurtzite" and (instances > 0).mean() > 0.1:
            break
    intensity = nanoparticles.image_sample(rng, sample, film, placed, 256)
    assert intensity.shape == (256, 256) and 0.9 < intensity.mean() < 1.1
    window = np.hanning(256)[:, None] * np.hanning(256) * (instances > 0)
    power = np.abs(np.fft.fft2((intensity - intensity[instances > 0].mean()) * window)) ** 2
    q = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) / sample.pixel_size  # 1/nm
    ring = (q > 2) & (q < 6)
    strongest = 1 / q[np.unravel_index(np.argmax(power * ring), q.shape)]
    assert any(abs(strongest / d - 1) < 0.08 for d in (0.372, 0.3505, 0.329, 0.255, 0.215, 0.198))


def test_exposure_counts_electrons():
    sample = replace(SMALL, light=0.0, spikes_per_mpx=0.0, dose=50.0)
    counts = nanoparticles.expose(np.random.default_rng(0), sample, np.ones((256, 256), np.float32))
    expected = 50 * (10 * sample.pixel_size) ** 2 * nanoparticles.GAIN
    assert counts.dtype == np.uint16 and counts.mean() == pytest.approx(expected, rel=0.02)


def test_xrays_stand_far_out():
    sample = replace(SMALL, spikes_per_mpx=200.0)
    counts = nanoparticles.expose(np.random.default_rng(0), sample, np.ones((256, 256), np.float32))
    assert (counts > 5 * counts.mean()).sum() >= 5


def test_xrays_in_the_same_pixel_add_up():
    """About 640 of them in 64 pixels, each 5 to 30 times as high as the mean."""
    electrons = 5.0
    sample = replace(SMALL, light=0.0, dose=electrons / (10 * SMALL.pixel_size) ** 2)
    sample = replace(sample, spikes_per_mpx=640 / 64e-6)
    counts = nanoparticles.expose(np.random.default_rng(0), sample, np.ones((8, 8), np.float32))
    expected = nanoparticles.GAIN * electrons * (64 + 17.5 * 640)
    assert counts.sum() == pytest.approx(expected, rel=0.15)


def test_a_repeated_call_reads_and_a_longer_one_goes_on(tmp_path):
    first = nanoparticles.particle_micrographs(SMALL, 1, 128, seed=3, folder=tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    made = file.stat().st_mtime_ns
    both = nanoparticles.particle_micrographs(SMALL, 2, 128, seed=3, folder=tmp_path)
    assert file.stat().st_mtime_ns == made and len(both) == 2
    assert (both[0].image == first[0].image).all() and both[0].kind == "simulated"
    assert not (both[1].image == first[0].image).all()
    assert (both[0].mask == (both[0].instances > 0)).all()


def test_the_same_atoms_can_be_exposed_again_at_another_dose(tmp_path):
    first = nanoparticles.particle_micrographs(SMALL, 1, 128, folder=tmp_path)
    (short,) = nanoparticles.at_dose(first, SMALL, SMALL.dose / 4)
    assert short.image.mean() == pytest.approx(first[0].image.mean() / 4, rel=0.05)
    assert (short.instances == first[0].instances).all() and short.name == first[0].name


def test_grain_grows_with_the_film_and_haze_takes_contrast_away():
    def contrast(**changes):
        bare = replace(CDSE, per_square_um=0.0, defocus=(20.0, 20.0), **changes)
        film, _ = scenes.draw_sample(np.random.default_rng(1), bare, 128)
        return nanoparticles.image_sample(np.random.default_rng(2), bare, film, [], 128).std()

    thin, thick = contrast(film=(2.0, 2.0)), contrast(film=(8.0, 8.0))
    assert thick > 1.5 * thin
    assert contrast(film=(2.0, 2.0), elastic=1.0) == pytest.approx(2 * thin, rel=1e-3)


def test_no_carbon_stands_inside_a_particle_and_a_shell_surrounds_it():
    _, carbon, placed, _, _ = one(7)
    atoms = np.concatenate([p.positions for p in placed])
    distance = nearest(carbon, atoms)
    assert distance.min() > 0.19 and (distance < SMALL.shell).sum() > 300


@pytest.mark.parametrize("count, side", [(0, 256), (1, 64)])
def test_what_cannot_be_simulated_is_refused(count, side):
    with pytest.raises(ValueError, match="count"):
        nanoparticles.particle_micrographs(AU, count, side)


@settings(max_examples=20)
@given(st.floats(2.0, 8.0))
def test_faults_grow_likelier_with_size(diameter):
    chance = scenes._fault_probability
    assert 0.1 <= chance(diameter) <= chance(diameter + 0.5) <= 0.9
