"""Features of a cut-out nanoparticle, and a random forest that finds stacking faults with them.

The five features and the forest are those of Groschner et al., Microsc.
Microanal. 27, 549 (2021), as their code computes them; the others read the
stacking of the layers. Taken apart in the chapter *Stacking faults*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_image, check_mask, check_pixel_size_nm
from .stacking import LAYER_NM, PIXEL_SIZES_NM, Spectrum, bragg_spectrum, read_stacking

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

__all__ = [
    "BETTER_FEATURES",
    "STUDY_FEATURES",
    "better_features",
    "fit_forest",
    "grouped_splits",
    "predict_splits",
    "recalls",
    "study_features",
    "study_profile",
    "to_8bit",
]

STUDY_FEATURES = ("mean of f", "sd of f", "mean of image", "sd of image", "centre of f")
"""In the order in which the study's code computes them."""

_BANDS = (1.0, 2.0, 2.5, 3.0, 3.5, 4.5, 5.5, 6.5)  # 1/nm
_RING, _OUTER = (2.4, 3.3), (4.4, 6.0)  # the innermost reflections of CdSe, and those off its axes

BETTER_FEATURES = (
    "darkness",
    *(f"power {a:g}-{b:g}" for a, b in zip(_BANDS, _BANDS[1:])),
    "ring peak",
    "ring spread",
    "outer peak",
    "spots",
    "layer fringe",
    "row",
    "row over noise",
    "explained",
    "two crystals",
    "second crystal over noise",
    "off lattice",
    "halves",
    "solidity",
    "dent",
)
"""Names of what :func:`better_features` returns, in order."""


def to_8bit(crop: np.ndarray) -> np.ndarray:
    """Bring a crop of a 0..1 micrograph to grey levels 0..255, as the study's image files hold."""
    return np.rint(255.0 * np.clip(check_image(crop, "the crop"), 0, 1)).astype(np.uint8)


def _crop(crop: np.ndarray) -> np.ndarray:
    return check_image(crop, "the crop", least=16).astype(np.float64)


def study_profile(crop: np.ndarray, length: int = 100) -> np.ndarray:
    """Sum the study's Fourier amplitudes in rings that widen by a pixel's diagonal.

    The top left square of the crop, no window, the mean kept. Ring i starts at
    sqrt(2) i bins of 1/N: it rises over 4 bins, stays for 10 and falls over 4.
    Beyond the corner of the transform there is nothing to sum.

    Parameters
    ----------
    crop
        (H, W) float.
    length
        Values kept; a smaller crop has one a pixel of its shorter side.

    Returns
    -------
    (min(H, W, length),) float

    Raises
    ------
    ValueError
        If the crop is not a finite (H, W) image of 16 px or more.
    """
    from scipy.special import erf

    crop = _crop(crop)
    n = min(crop.shape)
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(crop[:n, :n])))
    axis = np.arange(n) - n / 2
    # A ring sees the radius only: add up equal radii first (squares are whole quarters).
    quarters = np.rint(4 * (axis[:, None] ** 2 + axis**2)).astype(int)
    squares, place = np.unique(quarters, return_inverse=True)
    amplitude = np.bincount(place.ravel(), amplitude.ravel())
    radius = np.sqrt(squares) / 2
    rise = np.sqrt(2) * np.arange(min(n, length))[:, None] + 2
    rings = (erf(radius - rise) - erf(radius - rise - 14)) / 2
    return rings @ amplitude


def study_features(crop: np.ndarray) -> np.ndarray:
    """Compute the study's five numbers of a crop: :data:`STUDY_FEATURES`.

    Mean and standard deviation of :func:`study_profile` f and of the image, and
    the centre of mass of f in numbers of bins. All but the last scale with the
    unit of the image; f and its centre grow with the size of the crop.

    Parameters
    ----------
    crop
        (H, W), the box of a region, not masked.

    Returns
    -------
    (5,) float

    Raises
    ------
    ValueError
        If the crop is not a finite (H, W) image of 16 px or more.
    """
    crop = _crop(crop)
    f = study_profile(crop)
    total = f.sum()
    centre = np.arange(len(f)) @ f / total if total else 0.0  # all black
    return np.array([f.mean(), f.std(), crop.mean(), crop.std(), centre])


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-6)))


def _halves(spectrum: Spectrum) -> float:
    """Correlate the diffraction of the crop's two halves: 1 in a single crystal."""
    from scipy import fft
    from scipy.ndimage import gaussian_filter

    long = int(np.argmax(spectrum.waves.shape))
    n = fft.next_fast_len(int(np.ceil(7.5 / spectrum.pixel_size_nm)))
    axis = fft.fftfreq(n, spectrum.pixel_size_nm)
    frequency = np.hypot(axis[:, None], axis)
    ring = (frequency > _RING[0]) & (frequency < 4.5)
    parts = np.array_split(spectrum.waves, 2, axis=long)
    powers = [
        gaussian_filter(np.abs(fft.fft2(part, (n, n))) ** 2, 1.5, mode="wrap")[ring]
        for part in parts
    ]
    if min(p.std() for p in powers) == 0:
        return 0.0
    return float(np.corrcoef(*powers)[0, 1])


def _outline(mask: np.ndarray, pixel_size_nm: float) -> tuple[float, float]:
    """Measure how far a region, its atomic steps smoothed, is from convex: solidity, dent."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter
    from skimage.morphology import convex_hull_image

    # Within its box: a straight cut by the tile's border stays straight.
    smooth = gaussian_filter(mask.astype(np.float32), 0.2 / pixel_size_nm, mode="nearest") > 0.5
    if not smooth.any():  # thinner than an atom
        smooth = mask
    hull = convex_hull_image(smooth)
    depth = distance_transform_edt(~smooth)[hull].max(initial=0)
    return float(smooth.sum() / hull.sum()), float(depth * pixel_size_nm)


def better_features(
    crop: np.ndarray,
    pixel_size_nm: float,
    mask: np.ndarray | None = None,
    layer_nm: float = LAYER_NM,
) -> np.ndarray:
    """Compute numbers that depend on the crystal, not on the size and unit of the crop.

    Parameters
    ----------
    crop
        (H, W), the box of a region, in any unit.
    pixel_size_nm
        Edge of a pixel.
    mask
        (H, W) bool, the region; None takes the ellipse that touches the sides.
    layer_nm
        Spacing of the close-packed layers.

    Returns
    -------
    (22,) float
        See :data:`BETTER_FEATURES`.

        darkness
            How much darker the region is than the rest of its box, in standard
            deviations of the image.
        power a-b
            Power in this band of frequencies (1/nm) over that of the noise at
            the highest ones, as a logarithm.
        ring peak, ring spread, outer peak
            The strongest reflection at 2.4 to 3.3/nm and the standard deviation
            of that ring, over its mean; the strongest at 4.4 to 6/nm.
        spots
            Pairs of reflections.
        layer fringe to second crystal over noise
            As in :class:`mchelpers.nanoparticles.stacking.Stacking`; logarithms, but for
            the two shares.
        off lattice
            The strongest reflection that the one crystal does not have.
        halves
            Correlation of the diffraction of both halves of the box.
        solidity, dent
            Area of the region over that of its convex outline, and how deep (nm)
            the outline runs inside of the latter: two particles meet in a dent.

    Raises
    ------
    ValueError
        If the crop is not a finite (H, W) image of 16 px or more, the mask does
        not fit or is empty, or the pixel size is not positive.
    """
    from scipy.ndimage import maximum_filter

    crop = _crop(crop)
    check_pixel_size_nm(pixel_size_nm, *PIXEL_SIZES_NM)
    if mask is None:
        rows, columns = (np.linspace(-1, 1, size) for size in crop.shape)
        mask = np.hypot(rows[:, None], columns) <= 1
    if not check_mask(mask, shape=crop.shape).any():
        raise ValueError("the mask of the crop is empty")
    spread = crop.std()
    if spread == 0:  # nothing in it
        return np.zeros(len(BETTER_FEATURES))
    crop = (crop - crop.mean()) / spread
    outside = ~mask
    darkness = crop[outside].mean() - crop[mask].mean() if outside.mean() > 0.02 else 0.0

    spectrum = bragg_spectrum(crop, mask, pixel_size_nm)
    frequency = spectrum.frequency
    top = float(frequency[0].min())
    noise = spectrum.power[(frequency > 0.8 * top) & (frequency <= top)].mean()
    bands = [
        _log(spectrum.power[(frequency >= a) & (frequency < b)].mean() / noise)
        for a, b in zip(_BANDS, _BANDS[1:])
    ]
    contrast = spectrum.contrast
    ring, outer = (
        contrast[(frequency >= low) & (frequency < high)] for low, high in (_RING, _OUTER)
    )
    summit = maximum_filter(contrast, int(0.5 / spectrum.step)) == contrast
    spots = (summit & (contrast > 4) & (frequency > 1.5) & (frequency < 6)).sum() / 2

    stacking = read_stacking(spectrum, layer_nm)
    axis = spectrum.step * (np.arange(len(contrast)) - len(contrast) // 2)
    across = np.cos(stacking.angle) * axis[:, None] - np.sin(stacking.angle) * axis
    rows = across * stacking.row_nm
    apart = np.abs(rows - np.rint(rows)) / stacking.row_nm  # 1/nm from the nearest row
    off = contrast[(apart > 0.5) & (frequency > 2.2) & (frequency < 4.5)].max(initial=0)
    return np.array(
        [
            darkness,
            *bands,
            _log(ring.max()),
            _log(ring.std() / ring.mean()),
            _log(outer.max()),
            spots,
            _log(stacking.fringe),
            _log(stacking.row),
            _log(stacking.signal),
            stacking.explained,
            stacking.two_crystals,
            _log(stacking.second),
            _log(off),
            _halves(spectrum),
            *_outline(mask, pixel_size_nm),
        ]
    )


def fit_forest(
    features: np.ndarray, labels: np.ndarray, seed: int = 0, trees: int = 500, workers: int = 1
) -> RandomForestClassifier:
    """Fit the study's forest: Gini, square root of the features, out-of-bag score.

    Parameters
    ----------
    features
        (N, F) float.
    labels
        (N,) str.
    seed
        The study set none.
    trees
        The study's 500.
    workers
        Trees grown at a time; the forest is the same for any number.

    Returns
    -------
    RandomForestClassifier
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(trees, oob_score=True, random_state=seed, n_jobs=workers)
    return forest.fit(features, labels)


def grouped_splits(
    groups: np.ndarray, repeats: int = 20, share: float = 0.25, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw splits that keep each group on one side.

    Parameters
    ----------
    groups
        (N,), e.g. names of micrographs.
    repeats
        Number of splits.
    share
        Of the groups to test on.
    seed
        Of the draws.

    Returns
    -------
    list of (train, test) int arrays
    """
    from sklearn.model_selection import GroupShuffleSplit

    splitter = GroupShuffleSplit(repeats, test_size=share, random_state=seed)
    return list(splitter.split(np.zeros(len(groups)), groups=groups))


def recalls(truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Share of each class that was called by its name: (C,) float, NaN where there is none of it.

    Their mean is the class-balanced accuracy.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    return np.array(
        [(predicted[truth == c] == c).mean() if (truth == c).any() else np.nan for c in classes]
    )


def predict_splits(
    features: np.ndarray,
    labels: np.ndarray,
    splits: Iterable[tuple[np.ndarray, np.ndarray]],
    **settings: int,
) -> list[np.ndarray]:
    """Fit a forest on the training side of each split and name the regions of the other.

    Parameters
    ----------
    features
        (N, F) float.
    labels
        (N,) str.
    splits
        Pairs of train and test indices.
    settings
        Of :func:`fit_forest`.

    Returns
    -------
    list of (len(test),) str
    """
    return [
        fit_forest(features[train], labels[train], **settings).predict(features[test])
        for train, test in splits
    ]
