"""The atom finder on lattices whose atoms are known, and the scores of its work."""

import numpy as np
import pytest

from mchelpers.graphene_hrtem import atoms, bonds
from mchelpers.graphene_hrtem import samples as graphene

SHAPE = (128, 144)


def honeycomb(bond_px, angle=0.0, shape=SHAPE, origin=(0.3, 0.7)):
    """List the atoms of a perfect sheet, in px, with a margin beyond the frame."""
    nm_per_px = atoms.BOND_NM / bond_px
    side = max(shape) + 20
    sheet = graphene.honeycomb(side * nm_per_px, np.radians(angle), np.array(origin) * nm_per_px)
    points = sheet / nm_per_px - 10
    return points[((points > -3) & (points < np.array(shape) + 2)).all(1)]


def picture(points, bond_px, noise=0.0, shape=SHAPE, seed=0):
    image = atoms.draw_atoms(points, shape, max(0.35 * bond_px, 0.6))
    image = (image - image.mean()) / image.std()
    return image + noise * np.random.default_rng(seed).normal(size=shape)


def scores(image, true, bond_px):
    found = atoms.find_atoms(image, atoms.measure_lattice(image))
    rim = 2.5 * bond_px
    of_atoms = bonds.score_atoms(found, true, 0.4 * bond_px, image.shape, rim)
    of_bonds = bonds.score_bonds(found, true, 1.3 * bond_px, 0.4 * bond_px, image.shape, rim)
    return of_atoms, of_bonds


@pytest.mark.parametrize("period", [3.3, 4.2, 5.5, 8.0])
@pytest.mark.parametrize("angle", [0.0, 11.0, 23.5, 30.0])
def test_perfect_lattice_is_found_whole(period, angle):
    bond = 2 / 3 * period  # period: spacing of the innermost planes
    true = honeycomb(bond, angle)
    image = picture(true, bond, noise=0.2)  # a spectrum of spots alone has no scale to compare with
    lattice = atoms.measure_lattice(image)
    assert lattice.bond_px == pytest.approx(bond, rel=0.02)
    assert lattice.resolved and lattice.certain and lattice.white
    of_atoms, of_bonds = scores(image, true, bond)
    assert of_atoms["precision"] == of_atoms["recall"] == 1
    assert of_bonds["precision"] == of_bonds["recall"] == 1
    assert of_atoms["rmse"] < 0.15  # px
    assert of_atoms["shift"] < 0.05


@pytest.mark.parametrize("contrast", [1, -1])
def test_noise_as_strong_as_the_lattice(contrast):
    true = honeycomb(3.2, 17)
    image = contrast * picture(true, 3.2) + np.random.default_rng(3).normal(size=SHAPE)
    assert atoms.measure_lattice(image).white == (contrast > 0)
    of_atoms, of_bonds = scores(image, true, 3.2)
    assert min(of_atoms["precision"], of_atoms["recall"]) > 0.97
    assert min(of_bonds["precision"], of_bonds["recall"]) > 0.95
    assert of_atoms["rmse"] < 0.3


def test_inverted_contrast_finds_the_same_atoms():
    image = picture(honeycomb(3.5, 9), 3.5, noise=0.3)
    one, other = (atoms.find_atoms(i, atoms.measure_lattice(i)) for i in (image, 5 - 2 * image))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_two_grains_in_one_image():
    left, right = honeycomb(3.2, 3), honeycomb(3.2, 27)
    true = np.concatenate([left[left[:, 1] < 70], right[right[:, 1] > 71.5]])
    image = picture(true, 3.2, noise=0.5)
    of_atoms, _ = scores(image, true, 3.2)
    assert min(of_atoms["precision"], of_atoms["recall"]) > 0.95
    found = atoms.find_atoms(image, atoms.measure_lattice(image))
    angles = bonds.bond_angles(found, bonds.find_bonds(found, 1.3 * 3.2))
    middles = found[bonds.find_bonds(found, 1.3 * 3.2)].mean(1)[:, 1]
    far = [np.median(angles[middles < 60]), np.median(angles[middles > 80])]
    turn = (far[0] - far[1]) % 60
    assert min(turn, 60 - turn) == pytest.approx(24, abs=1.5)


def test_sampling_too_coarse_is_flagged_but_answered():
    shape = (256, 256)
    image = atoms.draw_atoms(honeycomb(1.5, 5, shape), shape, 0.9)  # blurred: no aliases
    image = image / image.std() + 0.2 * np.random.default_rng(0).normal(size=shape)
    lattice = atoms.measure_lattice(image)
    assert lattice.found and not lattice.resolved
    assert len(atoms.find_atoms(image, lattice)) > 0


def test_one_kind_of_atom_alone_is_uncertain():
    """Three lattices of blobs in a row of heights +, 0, -: which is empty cannot be told."""
    axis = np.arange(128)
    phases = [np.radians(a) for a in (10, 70, 130)]
    turns = [q[:, None] for q in (np.sin(phases), -np.cos(phases))]
    waves = 2 * np.pi / 5 * (turns[0][..., None] * axis[:, None] + turns[1][..., None] * axis)
    image = np.cos(waves * np.array([1, -1, 1])[:, None, None] + np.pi / 6).sum(0)
    assert not atoms.measure_lattice(image).certain


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((64, 80), 7.0)])
def test_constant_image_has_no_lattice(image):
    lattice = atoms.measure_lattice(image)
    assert not (lattice.found or lattice.resolved or lattice.certain)
    assert atoms.find_atoms(image, lattice).shape == (0, 2)
    with pytest.raises(ValueError, match="Bragg"):
        atoms.hexagon_signal(image, lattice)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_atoms(seed):
    noise = np.random.default_rng(seed).normal(size=(256, 256))
    lattice = atoms.measure_lattice(noise)
    assert not lattice.found
    assert len(atoms.find_atoms(noise, lattice)) == 0


def test_a_hole_has_no_atoms():
    true = honeycomb(3.2, 14, (192, 192))
    hole = np.hypot(*(true - 96).T) < 30
    image = picture(true[~hole], 3.2, noise=0.3, shape=(192, 192))
    found = atoms.find_atoms(image, atoms.measure_lattice(image))
    inside = np.hypot(*(found - 96).T) < 25
    assert inside.sum() < 0.1 * hole.sum()


@pytest.mark.parametrize("bad", [np.zeros((16, 16)), np.zeros((2, 64, 64)), np.zeros(0)])
def test_what_is_not_an_image_is_refused(bad):
    with pytest.raises(ValueError, match="32 x 32"):
        atoms.measure_lattice(bad + np.random.default_rng(0).normal(size=bad.shape))


def test_an_exit_wave_has_no_lattice_of_its_own():
    image = picture(honeycomb(3.0, 4, (64, 64)), 3.0, shape=(64, 64))
    with pytest.raises(ValueError, match=r"complex.*np.abs\(\)"):
        atoms.measure_lattice(image * 1j)


def test_zoom_keeps_the_original_pixels():
    image = picture(honeycomb(3.0, 4, (63, 70)), 3.0, shape=(63, 70))
    lattice = atoms.Lattice(3.0, 1.0)
    plain, fine = atoms.hexagon_signal(image, lattice), atoms.hexagon_signal(image, lattice, 3)
    assert fine.shape == (189, 210)
    np.testing.assert_allclose(fine[::3, ::3], plain, atol=1e-9)


def test_masks_drop_atoms():
    points = np.array([[0.0, 0.0], [2.4, 3.0], [2.6, 3.0], [-0.6, 1.0], [4.0, 9.0]])
    none, whole = np.zeros((5, 6), bool), np.ones((5, 6), bool)
    np.testing.assert_array_equal(atoms.unmasked(points, none), points[:3])  # two lie outside
    assert atoms.unmasked(points, whole).shape == (0, 2)
    half = none.copy()
    half[3:] = True
    np.testing.assert_array_equal(atoms.unmasked(points, half), points[:2])
    assert atoms.unmasked(np.empty((0, 2)), half).shape == (0, 2)
    with pytest.raises(ValueError, match="boolean"):
        atoms.unmasked(points, half.astype(int))


def test_bonds_are_all_pairs_within_reach():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.1], [5.0, 5.0]])
    np.testing.assert_array_equal(bonds.find_bonds(points, 1.05), [[0, 1]])
    np.testing.assert_array_equal(bonds.find_bonds(points, 1.2), [[0, 1], [1, 2]])
    for few in (np.empty((0, 2)), points[:1], points[[0, 3]]):
        assert bonds.find_bonds(few, 1.2).shape == (0, 2)


def test_each_inner_atom_has_three_bonds_of_one_angle():
    true = honeycomb(4.0, 12)
    pairs = bonds.find_bonds(true, 1.3 * 4)
    degree = np.bincount(pairs.ravel(), minlength=len(true))
    inner = ((true > 6) & (true < np.array(SHAPE) - 7)).all(1)
    assert (degree[inner] == 3).all()
    angles = bonds.bond_angles(true, pairs)
    assert np.ptp(angles) < 1e-6


@pytest.mark.parametrize(
    ("step", "angle"), [((0, 1), 0), ((-1, 1), 45), ((-1, 0), 30), ((1, 0), 30), ((1, 1), 15)]
)
def test_bond_angles_are_anticlockwise_modulo_60(step, angle):
    points = np.array([(0.0, 0.0), step], float)
    np.testing.assert_allclose(bonds.bond_angles(points, np.array([[0, 1]])), angle, atol=1e-9)
    np.testing.assert_allclose(bonds.bond_angles(points, np.array([[1, 0]])), angle, atol=1e-9)


def test_no_bonds_have_no_angles():
    assert bonds.bond_angles(np.empty((0, 2)), np.empty((0, 2), int)).shape == (0,)


def test_matching_is_one_to_one():
    true = np.array([[0.0, 0.0], [0.0, 3.0]])
    found = np.array([[0.0, 0.2], [0.0, 0.5], [0.0, 3.9]])
    np.testing.assert_array_equal(bonds.match(found, true, 1.0), [[0, 0], [2, 1]])
    np.testing.assert_array_equal(bonds.match(found, true, 0.5), [[0, 0]])
    for few in ((found[:0], true), (found, true[:0]), (found[:0], true[:0])):
        assert bonds.match(*few, 1.0).shape == (0, 2)


def test_scores_of_nothing():
    some, none = np.array([[1.0, 1.0]]), np.empty((0, 2))
    assert bonds.score_atoms(none, none, 1)["precision"] == 1
    assert bonds.score_atoms(none, none, 1)["recall"] == 1
    for found, true in ((none, some), (some, none)):
        score = bonds.score_atoms(found, true, 1)
        assert (score["precision"], score["recall"]) == (0, 0)
        assert np.isnan(score["rmse"]) and np.isnan(score["shift"])
    assert bonds.score_bonds(none, none, 1, 1) == {"precision": 1, "recall": 1}


def test_scores_count_spurious_and_missing():
    true = honeycomb(4.0, 3)
    extra = true[:50] + 2.0  # at no atom's place
    shifted = true[60:] + [0.3, 0.4]
    score = bonds.score_atoms(np.concatenate([extra, shifted]), true, 1.0)
    assert score["recall"] == pytest.approx(len(shifted) / len(true))
    assert score["precision"] == pytest.approx(len(shifted) / (len(shifted) + 50))
    assert score["shift"] == pytest.approx(0.5)
    assert score["rmse"] == pytest.approx(0, abs=1e-9)


def test_a_bond_needs_both_ends_right():
    true = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    assert bonds.score_bonds(true, true, 1.2, 0.3) == {"precision": 1, "recall": 1}
    one_off = np.array([[0.0, 0.0], [0.0, 1.0], [0.9, 1.5]])
    assert bonds.score_bonds(one_off, true, 1.2, 0.3) == {"precision": 0.5, "recall": 0.5}


def test_the_rim_does_not_count():
    true = np.array([[1.0, 1.0], [5.0, 5.0]])
    found = np.array([[5.0, 5.0], [9.0, 9.0]])
    inner = bonds.score_atoms(found, true, 0.5, (11, 11), rim=3)
    assert (inner["precision"], inner["recall"]) == (1, 1)
    whole = bonds.score_atoms(found, true, 0.5, (11, 11), rim=0)
    assert (whole["precision"], whole["recall"]) == (0.5, 0.5)
