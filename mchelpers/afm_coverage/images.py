"""AFM micrographs of WSe2 films, simulated, with the exact mask of what is covered.

A film (:mod:`mchelpers.afm_coverage.growth`) is felt by a blunt tip, line by line,
by an instrument that drifts, bends and stumbles; software flattens the lines,
and a viewer turns height into colour in a range of its own. Taken apart in the
chapter *From export to label*.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..checks import check_mask
from ..simulate.cache import finished_files, save_arrays
from . import growth
from .export import COLOURS, export_page, write_tiff
from .labels import hand_threshold, luminance

__all__ = [
    "AfmMicrograph",
    "AfmSet",
    "Instrument",
    "afm_micrographs",
    "draw_instrument",
    "export_tiff",
    "feel",
    "flatten",
    "level",
    "record",
    "round_range",
    "show_range",
]

_SCANS_UM = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
_LONG_SIDES = (512, 512, 905, 933, 1024, 1028, 1551)  # of images whose short side is 512
_HALF_RANGES_NM = (1.0, 1.5, 2.5, 5.0, 10.0)  # of heights that are shown
_PER_SAMPLE = (4, 3, 6, 4)  # images of one sample after the other: 221 of 52


@dataclass
class AfmMicrograph:
    """A simulated AFM micrograph and the truth below it.

    Attributes
    ----------
    name
        Of the image.
    sample
        Of the growth run; images of one sample must stay on one side of a split.
    position
        ``"centre"`` or ``"edge"`` of the wafer.
    temperature_c, pressure_torr, time_s
        Growth conditions.
    height
        (H, W) float32, nm, flattened as the software left it.
    mask
        (H, W) bool, True where WSe2 covers the substrate; exact.
    scan_um
        Length of the long side.
    pixel_size_nm
        Edge of a pixel.
    range_nm
        Heights that are shown as black and as white.
    kind
        Always ``"simulated"``.
    """

    name: str
    sample: str
    position: str
    temperature_c: int
    pressure_torr: int
    time_s: int
    height: np.ndarray
    mask: np.ndarray
    scan_um: float
    pixel_size_nm: float
    range_nm: tuple[float, float]
    kind: str = "simulated"

    @property
    def coverage(self) -> float:
        """Share of the frame that WSe2 covers, exact."""
        return float(self.mask.mean())

    def label(self) -> np.ndarray:
        """Return the mask that a hand would make of the picture by one lightness, (H, W) bool."""
        light = self.lightness()
        return light > hand_threshold(light, self.mask)

    def _levels(self) -> np.ndarray:
        low, high = self.range_nm
        return np.clip((self.height - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)

    def rgb(self) -> np.ndarray:
        """Return the image in the viewer's colours, (H, W, 3) uint8."""
        return COLOURS[self._levels()]

    def lightness(self) -> np.ndarray:
        """Return the lightness of the viewer's colours, (H, W) uint8."""
        return luminance(COLOURS[None])[0].round().astype(np.uint8)[self._levels()]


class AfmSet(list):
    """A list of micrographs that a run can write down; a slice of it is a plain list."""

    kind = "simulated"

    @property
    def sha256(self) -> str:
        """Hash of all lightness images and masks."""
        digest = hashlib.sha256()
        for micrograph in self:
            digest.update(micrograph.lightness().tobytes() + micrograph.mask.tobytes())
        return digest.hexdigest()


def feel(surface: np.ndarray, pixel_nm: float, radius_nm: float) -> np.ndarray:
    """Let a parabolic tip touch a surface: what stands up is widened.

    Parameters
    ----------
    surface
        (H, W) float32, nm.
    pixel_nm
        Edge of a pixel.
    radius_nm
        Radius of the tip's apex; 0 is infinitely sharp.

    Returns
    -------
    (H, W) float32
        Height of the tip: the grey dilation of the surface by
        ``-x**2 / (2 radius)``, first along columns, then along rows.
    """
    felt = np.asarray(surface, np.float32)
    if radius_nm <= 0:
        return felt.copy()
    reach = int(np.sqrt(2 * radius_nm * float(np.ptp(felt))) / pixel_nm)
    for axis in (0, 1):
        flat, felt = felt, felt.copy()
        for k in range(1, min(reach, flat.shape[axis] - 1) + 1):
            lower = np.float32((k * pixel_nm) ** 2 / (2 * radius_nm))
            here, there = [slice(None)] * 2, [slice(None)] * 2
            here[axis], there[axis] = slice(None, -k), slice(k, None)
            here, there = tuple(here), tuple(there)
            np.maximum(felt[here], flat[there] - lower, out=felt[here])
            np.maximum(felt[there], flat[here] - lower, out=felt[there])
    return felt


def flatten(height: np.ndarray, order: int) -> np.ndarray:
    """Take a polynomial from each line, as AFM software does.

    Parameters
    ----------
    height
        (H, W) float, nm; lines are rows.
    order
        Degree of the polynomial: 0 takes the mean of each line.

    Returns
    -------
    (H, W) float32
        Every line has mean 0.

    Raises
    ------
    ValueError
        If the order is negative or not below the pixels of a line.
    """
    height = np.asarray(height, np.float32)
    if not 0 <= order < height.shape[1]:
        raise ValueError(f"order must be 0..{height.shape[1] - 1}, got {order}")
    basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, height.shape[1]), order)
    basis = basis.astype(np.float32)  # (W, order + 1)
    return height - (height @ np.linalg.pinv(basis).T) @ basis.T


def level(height: np.ndarray, order: int, film: np.ndarray) -> np.ndarray:
    """Flatten the substrate: what the film adds to its height is left out of the fit.

    All of a line counts, its film one layer lower, so that a line without any
    bare substrate is brought to the height of its neighbours.

    Parameters
    ----------
    height, order
        As for :func:`flatten`.
    film
        (H, W) bool, True on the film.

    Returns
    -------
    (H, W) float32
        The substrate has mean 0 in every line.
    """
    above = growth.LAYER_NM * check_mask(film, "film", np.shape(height)).astype(np.float32)
    return flatten(height - above, order) + above


@dataclass(frozen=True)
class Instrument:
    """How a surface is scanned, levelled and shown: a microscope and whoever sits at it.

    Attributes
    ----------
    tip_nm
        Radius of the tip.
    broken_nm
        Radius after it broke somewhere on the way; 0 if it did not.
    native
        Every how many pixels a reading was taken; between them is interpolated.
    lag
        Share of the last reading in the next one.
    noise_nm, drift_nm
        White noise, and 1/f noise along each line (sd).
    bow_nm
        Height of the scanner's bow (sd).
    scars
        Stumbles of the tip per 512 lines.
    order
        Of the polynomial that is taken from each line.
    careful
        The film is left out when the lines are levelled.
    round_range
        Heights are shown in the smallest round range about the mean that holds
        nearly all of them; else as :func:`show_range` draws.
    """

    tip_nm: float = 8.0
    broken_nm: float = 0.0
    native: int = 1
    lag: float = 0.1
    noise_nm: float = 0.04
    drift_nm: float = 0.03
    bow_nm: float = 0.1
    scars: float = 0.5
    order: int = 1
    careful: bool = True
    round_range: bool = True


def draw_instrument(rng: np.random.Generator) -> Instrument:
    """Draw an instrument and its operator as one meets them, good and bad."""
    return Instrument(
        tip_nm=rng.uniform(3, 20),
        broken_nm=rng.uniform(30, 80) if rng.random() < 0.1 else 0.0,
        native=2 if rng.random() < 0.25 else 1,
        lag=rng.uniform(0, 0.45),
        noise_nm=rng.uniform(0.02, 0.09),
        drift_nm=rng.uniform(0.02, 0.12),
        bow_nm=0.5,
        scars=rng.choice([0.0, 2.0, 8.0]),
        order=int(rng.choice(4, p=(0.1, 0.45, 0.3, 0.15))),
        careful=rng.random() < 0.5,
        round_range=False,
    )


def record(
    rng: np.random.Generator,
    surface: np.ndarray,
    pixel_nm: float,
    instrument: Instrument | None = None,
    film: np.ndarray | None = None,
) -> np.ndarray:
    """Scan a surface line by line and level it, with all that goes wrong.

    Tip, sampling, lag of the feedback, drift along each line, offsets between
    lines, bow of the scanner, scars, noise; then a plane is taken away, and a
    polynomial from each line: of the substrate by a careful operator, else of
    the whole line, so that lines with much film come out too low.

    Parameters
    ----------
    rng
        Source of randomness.
    surface
        (H, W) float32, nm.
    pixel_nm
        Edge of a pixel.
    instrument
        What scans it; by default :class:`Instrument` as it stands.
    film
        (H, W) bool, what a careful operator leaves out of the fit.

    Returns
    -------
    (H, W) float32
        Height in nm, mean 0.
    """
    from scipy.ndimage import map_coordinates
    from scipy.signal import lfilter

    instrument = instrument or Instrument()
    felt = feel(surface, pixel_nm, instrument.tip_nm)
    if instrument.broken_nm:
        whole = np.arange(len(felt))[:, None] < rng.integers(len(felt))
        felt = np.where(whole, felt, feel(surface, pixel_nm, instrument.broken_nm))
    native, lag = instrument.native, instrument.lag
    raw = felt[::native, ::native]
    raw = lfilter([1 - lag], [1, -lag], raw, axis=1, zi=lag * raw[:, :1])[0]
    rows, columns = raw.shape
    raw = raw + instrument.noise_nm * rng.standard_normal((rows, columns), np.float32)
    raw += instrument.drift_nm * _drift(rng, rows, columns)
    raw += np.cumsum(rng.normal(0, 0.1, (rows, 1)), 0) + rng.normal(0, 0.3, (rows, 1))
    v, u = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    raw += 5 * (rng.normal() * u + rng.normal() * v)
    raw += instrument.bow_nm * (
        rng.normal() * u**2 + rng.normal() * v**2 + 0.6 * rng.normal() * u * v
    )
    raw = _scar(rng, raw.astype(np.float32), instrument.scars)

    raw -= raw.mean()
    for slope in (u, v):  # at right angles to each other and to the mean
        raw -= slope * ((raw * slope).mean() / (slope**2).mean())
    order = instrument.order
    if instrument.careful and film is not None:
        height = level(raw, order, film[::native, ::native])
    else:
        height = flatten(raw, order)
    if native > 1:
        grid = np.meshgrid(*(np.arange(n) / native for n in surface.shape), indexing="ij")
        height = map_coordinates(height, grid, order=1, mode="nearest")
    return (height - height.mean()).astype(np.float32)


def _drift(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Make 1/f noise along each line, standard deviation 1."""
    spectrum = np.fft.rfft(rng.standard_normal((rows, columns)), axis=1)
    noise = np.fft.irfft(spectrum / np.sqrt(1 + np.arange(spectrum.shape[1])), columns, axis=1)
    return noise / noise.std()


def _scar(rng: np.random.Generator, raw: np.ndarray, scars: float) -> np.ndarray:
    """Let the tip stumble: streaks along the scan that begin at once and fade."""
    rows, columns = raw.shape
    for _ in range(rng.poisson(scars * rows / 512)):
        row, start = rng.integers(rows), rng.integers(columns)
        length = int(columns * rng.uniform(0.03, 0.5))
        fade = np.exp(-3 * np.arange(min(length, columns - start)) / length)
        raw[row : row + rng.integers(1, 3), start : start + length] += (
            rng.choice([-1, 1], p=(0.3, 0.7)) * rng.uniform(0.3, 2.0) * fade
        )
    return raw


def show_range(rng: np.random.Generator, height: np.ndarray) -> tuple[float, float]:
    """Choose which heights are shown as black and as white, each time in another way.

    Some viewers stretch the image between its extremes, so that one particle
    dims the film; some people set a round range. Nobody does the same twice.
    Height (H, W) and the two limits are in nm.
    """
    spread = float(np.subtract(*np.percentile(height, (98, 2))))
    if rng.random() < 0.45:
        tail = rng.choice([0.0, 0.02, 0.3])
        low, high = np.percentile(height, (tail, 100 - tail))
        limit = 4 * spread  # a viewer's automatic range forgets a few outliers
        return float(max(low, -limit)), float(min(high, limit))
    full = spread * rng.uniform(1.3, 4.0)
    full = float(np.ceil(2 * full) / 2)  # nm, rounded up to a half
    middle = float(np.median(height) + rng.uniform(-0.15, 0.15) * full)
    return middle - full / 2, middle + full / 2


def round_range(height: np.ndarray) -> tuple[float, float]:
    """Return the smallest of a few round ranges about the mean that holds 99 % of the heights.

    As one operator does it, image after image. Height (H, W) and limits in nm.
    """
    reach = np.percentile(np.abs(height), 99)
    half = next((h for h in _HALF_RANGES_NM if h >= reach), _HALF_RANGES_NM[-1])
    return -half, half


def _choose_scan(rng: np.random.Generator, sample: growth.FilmSample, aspect: float) -> float:
    """Choose a scan size at which the domains can be seen, as an operator would."""
    scans = np.array(_SCANS_UM)
    domains = sample.density * scans**2 / aspect
    good = scans[(domains >= 30) & (domains <= 1200)]
    if not len(good):
        return float(scans[np.argmin(np.abs(np.log(domains / 200)))])
    return float(rng.choice(good))


def _make(seed: int, short_side: int, instruments: str, number: int, shot: int, file: Path) -> None:
    """Simulate one micrograph and save it in one step."""
    sample = growth.draw_film_sample(seed, number)
    shared = np.random.default_rng([seed, number, 1])  # what images of a sample share
    long_side = round(int(shared.choice(_LONG_SIDES)) * short_side / 512)
    scan = _choose_scan(shared, sample, long_side / short_side)
    rng = np.random.default_rng([seed, number, 2, shot])
    if rng.random() < 0.3:
        scan = _choose_scan(rng, sample, long_side / short_side)
    position = "edge" if shot % 2 else "centre"
    pixel = 1000 * scan / long_side
    film = growth.grow(rng, sample, (short_side, long_side), pixel, position)
    instrument = Instrument() if instruments == "one" else draw_instrument(rng)
    height = record(rng, film.height, pixel, instrument, film.mask)
    about = {
        "name": f"{sample.name}_{position}_{shot}",
        "sample": sample.name,
        "position": position,
        **{k: getattr(sample, k) for k in ("temperature_c", "pressure_torr", "time_s")},
        "scan_um": scan,
        "pixel_size_nm": pixel,
        "range_nm": round_range(height) if instrument.round_range else show_range(rng, height),
    }
    picometres = np.clip(1000 * height, -32767, 32767).round().astype(np.int16)
    save_arrays(file, height=picometres, mask=film.mask, about=json.dumps(about))


def _read(file: Path) -> AfmMicrograph:
    with np.load(file) as arrays:
        about = json.loads(str(arrays["about"]))
        about["range_nm"] = tuple(about["range_nm"])
        height = arrays["height"].astype(np.float32) / 1000
        return AfmMicrograph(**about, height=height, mask=arrays["mask"])


def afm_micrographs(
    samples: int = 52,
    seed: int = 0,
    short_side: int = 512,
    workers: int = 1,
    folder: Path | None = None,
    instruments: str = "many",
) -> AfmSet:
    """Simulate AFM micrographs, three to six of each sample, or read those that are there.

    Parameters
    ----------
    samples
        Growth runs. 52 give 221 images, as in the study.
    seed
        Sample ``i`` and its images depend on ``(seed, i)`` and the side only.
    short_side
        Pixels along the short side; the long one is one to three times as long.
    workers
        Processes that simulate at a time.
    folder
        Where finished micrographs are kept, so that an interrupted run goes on
        and a repeated one reads. By default ``simulated`` in the run folder.
    instruments
        ``"one"``: the same :class:`Instrument` and habits for all, as in the
        study; ``"many"``: one drawn for each micrograph.

    Returns
    -------
    AfmSet
        A list of :class:`AfmMicrograph`, sorted by sample; images of one sample
        have one size.

    Raises
    ------
    ValueError
        If there is no sample, the side is below 64, or the instruments are neither.
    """
    if instruments not in ("one", "many"):
        raise ValueError(f"instruments are 'one' or 'many', got {instruments!r}")
    if samples < 1 or short_side < 64:
        raise ValueError(f"need samples >= 1 and short_side >= 64, got {samples} and {short_side}")
    shots = [(n, k) for n in range(samples) for k in range(_PER_SAMPLE[n % len(_PER_SAMPLE)])]
    files = finished_files(
        "afm",
        partial(_make, seed, short_side, instruments),
        shots,
        [f"sample{n:02d}_{k}" for n, k in shots],
        workers,
        folder,
    )
    return AfmSet(_read(file) for file in files)


def export_tiff(micrograph: AfmMicrograph, path: Path) -> tuple[slice, slice]:
    """Write a micrograph as AFM software would: colours, scale bar, colour bar and text.

    The folder of ``path`` must exist. Returns the slices (rows, columns) of the
    page that are the micrograph.
    """
    page, where = export_page(micrograph.rgb(), micrograph.range_nm, micrograph.pixel_size_nm)
    write_tiff(page, path)
    return where
