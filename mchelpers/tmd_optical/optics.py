"""Colours of thin crystals on oxidised silicon, computed from n and k up to the camera's 8 bits.

Light that falls through an objective onto a crystal is reflected at every
interface of the stack air / crystal / SiO2 / Si, and the reflections interfere.
A lamp, the aperture, a sensor's three filters, white balance and a gamma curve
stand between that reflectance and the colour on a screen. Nothing is painted.

Complex refractive indices are in ``optical_constants.csv``, sampled every 5 nm
from refractiveindex.info (CC0; Polyanskiy, Sci. Data 11, 94 (2024)):

- Si: Green, Sol. Energy Mater. Sol. Cells 92, 1305 (2008).
- MoS2, MoSe2, WSe2 of 1, 2 and 3 layers: Hsu et al., Adv. Opt. Mater. 7, 1900239 (2019).
- MoS2, MoSe2, thicker: Beal and Hughes, J. Phys. C 12, 881 (1979).
- WSe2 thicker, WTe2 (mean permittivity of the two in-plane axes; of any
  thickness, for none was published for few layers): Munkhbat et al., ACS
  Photonics 9, 2398 (2022).

SiO2 follows Malitson, J. Opt. Soc. Am. 55, 1205 (1965); graphene has one index, that of
Blake et al., Appl. Phys. Lett. 91, 063124 (2007). In-plane indices are
used at all angles, for rays inside a crystal are steep. Monolayers of MoS2 come
out with up to 0.1 more contrast than by four other groups' constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

__all__ = [
    "LAYER_NM",
    "WAVELENGTHS_NM",
    "Camera",
    "channel_contrast",
    "contrast",
    "develop",
    "illuminant",
    "refractive_index",
    "sensor_curves",
    "stack_response",
    "wafer_reflectance",
    "wafer_table",
]

WAVELENGTHS_NM = np.arange(400.0, 701.0, 5.0)
"""(61,) float: where everything spectral is sampled."""

LAYER_NM = {"MoS2": 0.615, "MoSe2": 0.646, "WSe2": 0.648, "WTe2": 0.704, "graphene": 0.335}
"""Height of one layer: half of the crystal's lattice constant c, nm."""

_SELLMEIER = ((0.6961663, 0.0684043), (0.4079426, 0.1162414), (0.8974794, 9.896161))


@cache
def _constants() -> dict[str, np.ndarray]:
    """Read the table: ``material_layers`` or ``material`` -> (61,) complex n + ik."""
    text = resources.files("mchelpers").joinpath("tmd_optical/optical_constants.csv").read_text()
    lines = text.splitlines()
    names = lines[0].split(",")
    columns = dict(zip(names, np.array([line.split(",") for line in lines[1:]], float).T))
    if not np.array_equal(columns["wavelength_nm"], WAVELENGTHS_NM):
        raise ValueError("optical_constants.csv is not sampled at WAVELENGTHS_NM")
    stems = [n.removesuffix("_n") for n in names if n.endswith("_n")]
    table = {s: columns[f"{s}_n"] + 1j * columns[f"{s}_k"] for s in stems}
    square = (WAVELENGTHS_NM / 1000) ** 2
    terms = sum(b * square / (square - c**2) for b, c in _SELLMEIER)
    table["SiO2"] = np.sqrt(1 + terms).astype(complex)
    table["air"] = np.ones_like(table["SiO2"])
    table["graphene"] = np.full_like(table["SiO2"], 2.6 + 1.3j)
    for values in table.values():
        values.flags.writeable = False
    return table


def refractive_index(material: str, layers: int | None = None, density: float = 1.0) -> np.ndarray:
    """Look up a complex refractive index at :data:`WAVELENGTHS_NM`.

    Parameters
    ----------
    material
        ``"air"``, ``"Si"``, ``"SiO2"``, ``"MoS2"``, ``"MoSe2"``, ``"WSe2"``, ``"WTe2"`` or
        ``"graphene"``.
    layers
        Of a crystal; None is bulk. Four layers and more have the index of bulk.
    density
        Of a grown film of 1 to 3 layers against the one in the table: its susceptibility
        ``index**2 - 1`` is multiplied by it. Other groups' monolayers lie at 0.5 to 1.05.

    Returns
    -------
    (61,) complex
        n + ik, k >= 0 absorbs.

    Raises
    ------
    ValueError
        If the material is not in the table.
    """
    table = _constants()
    for name in (f"{material}_{layers}", f"{material}_bulk", material):
        if name in table:
            index = table[name]
            few = layers is not None and layers < 4
            return np.sqrt(1 + density * (index**2 - 1)) if few and density != 1 else index
    known = sorted({name.split("_")[0] for name in table})
    raise ValueError(f"no optical constants of {material!r}; there are those of {', '.join(known)}")


def stack_response(
    indices: Sequence[np.ndarray],
    thicknesses_nm: Sequence[np.ndarray | float],
    sine: float = 0.0,
    polarisation: str = "s",
    wavelengths_nm: np.ndarray = WAVELENGTHS_NM,
) -> tuple[np.ndarray, np.ndarray]:
    """Reflect light at a stack of films, by its characteristic (transfer) matrix.

    Parameters
    ----------
    indices
        Complex refractive index of each medium from above to below, ambient
        and substrate included; (W,) each, or (..., W).
    thicknesses_nm
        Of the films between ambient and substrate, two fewer than indices;
        numbers or arrays of any one shape (...).
    sine
        Of the angle of incidence in the ambient.
    polarisation
        ``"s"`` or ``"p"``.
    wavelengths_nm
        (W,) float.

    Returns
    -------
    reflectance, transmittance : (..., W) float
        Shares of the incoming power; what is missing to 1 is absorbed in the films.

    Raises
    ------
    ValueError
        If the numbers of indices and thicknesses do not fit, or the polarisation is neither.
    """
    if len(indices) != len(thicknesses_nm) + 2 or polarisation not in ("s", "p"):
        raise ValueError(
            f"need two more indices than thicknesses and polarisation 's' or 'p', got "
            f"{len(indices)}, {len(thicknesses_nm)} and {polarisation!r}"
        )
    kept = np.asarray(indices[0]) * sine  # Snell: the same in every medium
    cosines = [np.sqrt(1 - (kept / n) ** 2 + 0j) for n in indices]
    if polarisation == "s":
        admittances = [n * c for n, c in zip(indices, cosines)]
    else:
        admittances = [n / c for n, c in zip(indices, cosines)]
    electric, magnetic = np.ones_like(admittances[-1]), admittances[-1]
    films = zip(indices[1:-1], cosines[1:-1], admittances[1:-1], thicknesses_nm)
    for index, cosine, admittance, thickness in reversed(list(films)):
        path = np.asarray(thickness, float)[..., None] / wavelengths_nm  # (..., W)
        phase = 2 * np.pi * index * cosine * path
        cos, sin = np.cos(phase), -1j * np.sin(phase)
        electric, magnetic = (
            cos * electric + sin / admittance * magnetic,
            sin * admittance * electric + cos * magnetic,
        )
    total = admittances[0] * electric + magnetic
    reflected = (admittances[0] * electric - magnetic) / total
    passed = 4 * admittances[0].real * admittances[-1].real / np.abs(total) ** 2
    return np.abs(reflected) ** 2, passed


def wafer_reflectance(
    films: Sequence[tuple[str, int]] = (),
    oxide_nm: np.ndarray | float = 285.0,
    na: float = 0.0,
    residue_nm: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Reflectance of crystals on oxidised silicon under an objective.

    Parameters
    ----------
    films
        (material, layers) of each crystal from above to below; none is the bare wafer.
    oxide_nm
        Thickness of the SiO2; a number or an array (...).
    na
        Numerical aperture that the illumination fills: rays come in at all
        angles up to it, in both polarisations. 0 is normal incidence.
    residue_nm
        Transparent residue (n = 1.5, a polymer) on top; a number or (...).

    Returns
    -------
    (..., 61) float
        Share of the light that comes back at each of :data:`WAVELENGTHS_NM`.

    Raises
    ------
    ValueError
        If the aperture is not in 0..1, or a layer number not positive.
    """
    thickness, index = [], [refractive_index("air")]
    if np.any(np.asarray(residue_nm) > 0):
        index.append(np.full(len(WAVELENGTHS_NM), 1.5 + 0j))
        thickness.append(residue_nm)
    for material, layers in films:
        if layers < 1:
            raise ValueError(f"a crystal has 1 layer or more, not {layers}")
        index.append(refractive_index(material, layers))
        thickness.append(layers * LAYER_NM[material])
    index += [refractive_index("SiO2"), refractive_index("Si")]
    return _through_aperture(index, [*thickness, oxide_nm], na)


def wafer_table(
    stacks: Sequence[Sequence[tuple[str, int]]],
    oxide_nm: float = 285.0,
    na: float = 0.0,
    residue_nm: float = 0.0,
    density: float = 1.0,
) -> np.ndarray:
    """Do as :func:`wafer_reflectance` for S stacks of crystals at once: (S, 61) float.

    ``density`` is that of :func:`refractive_index`.
    """
    bare = [refractive_index("air"), np.full(len(WAVELENGTHS_NM), 1.5 + 0j)]
    deepest = max((len(films) for films in stacks), default=0)
    index, thickness = bare, [residue_nm]
    for k in range(deepest):  # a stack of fewer crystals has films of no thickness
        films = [films[k] if k < len(films) else None for films in stacks]
        index.append(np.array([refractive_index(*f, density) if f else bare[0] for f in films]))
        thickness.append(np.array([f[1] * LAYER_NM[f[0]] if f else 0.0 for f in films]))
    index += [refractive_index("SiO2"), refractive_index("Si")]
    response = _through_aperture(index, [*thickness, oxide_nm], na)
    return np.broadcast_to(response, (len(stacks), len(WAVELENGTHS_NM)))


def _through_aperture(index: list, thickness: list, na: float) -> np.ndarray:
    """Average the reflectance over the rays of an aperture and both polarisations."""
    if not 0 <= na < 1:
        raise ValueError(f"a numerical aperture in air is in 0..1, got {na}")
    if na == 0:
        return stack_response(index, thickness)[0]
    # A filled pupil is uniform in the square of the sine (aplanatic lens): Gauss' nodes there.
    nodes, weights = np.polynomial.legendre.leggauss(4)
    sines = na * np.sqrt((nodes + 1) / 2)
    return sum(
        weight / 4 * stack_response(index, thickness, sine, polarisation)[0]
        for sine, weight in zip(sines, weights)
        for polarisation in "sp"
    )


def contrast(film: np.ndarray, substrate: np.ndarray) -> np.ndarray:
    """Optical contrast ``(substrate - film) / substrate``: above 0 the film is darker.

    The sign of Benameur et al., Nanotechnology 22, 125706 (2011); others turn it round.
    """
    return (np.asarray(substrate) - film) / substrate


def illuminant(kind: str = "halogen", temperature_k: float = 3200.0) -> np.ndarray:
    """Spectral power of a lamp, (61,) float, mean 1.

    Parameters
    ----------
    kind
        ``"halogen"``, a black body; or ``"led"``, a blue chip under a yellow
        phosphor, mixed so that blue over red is that of the black body.
    temperature_k
        (Correlated) colour temperature, 2000 to 10 000 K.

    Raises
    ------
    ValueError
        If the kind or the temperature is out of range.
    """
    if kind not in ("halogen", "led") or not 2000 <= temperature_k <= 10_000:
        raise ValueError(f"no {kind!r} lamp of {temperature_k} K; 'halogen' or 'led', 2000-10000 K")
    planck = WAVELENGTHS_NM**-5.0 / np.expm1(1.438777e7 / (WAVELENGTHS_NM * temperature_k))
    if kind == "led":
        chip = np.exp(-0.5 * ((WAVELENGTHS_NM - 452) / 10) ** 2)
        width = np.where(WAVELENGTHS_NM < 565, 38, 58)
        phosphor = np.exp(-0.5 * ((WAVELENGTHS_NM - 565) / width) ** 2)
        blue = (WAVELENGTHS_NM < 500).astype(float)
        share = planck @ blue / planck.sum()
        rest = share * phosphor.sum() - phosphor @ blue  # what the chip has to add in the blue
        planck = phosphor + max(rest, 0) / ((1 - share) * chip.sum()) * chip
    return planck / planck.mean()


def sensor_curves() -> np.ndarray:
    """Sensitivity of a Bayer sensor's red, green and blue pixels, (3, 61) float, peak 1.

    Sums of Gaussians, drawn after common CMOS cameras behind an infrared filter.
    """
    w = WAVELENGTHS_NM

    def bell(centre, left, right):
        return np.exp(-0.5 * ((w - centre) / np.where(w < centre, left, right)) ** 2)

    red = bell(600, 16, 42) + 0.08 * bell(520, 25, 25) + 0.05 * bell(420, 20, 20)
    green = bell(530, 32, 38) + 0.06 * bell(640, 30, 30) + 0.04 * bell(430, 25, 25)
    blue = bell(460, 28, 27) + 0.08 * bell(540, 25, 25)
    curves = np.stack([red, green, blue]) / (1 + np.exp((w - 685) / 8))
    return curves / curves.max(1, keepdims=True)


def _colour_matching() -> np.ndarray:
    """CIE 1931 colour matching functions, (3, 61): Wyman et al., JCGT 2 (2), 1 (2013)."""

    def bell(centre, left, right):
        t = (WAVELENGTHS_NM - centre) * np.where(WAVELENGTHS_NM < centre, left, right)
        return np.exp(-0.5 * t**2)

    x = 0.362 * bell(442.0, 0.0624, 0.0374) + 1.056 * bell(599.8, 0.0264, 0.0323)
    x -= 0.065 * bell(501.1, 0.0490, 0.0382)
    y = 0.821 * bell(568.8, 0.0213, 0.0247) + 0.286 * bell(530.9, 0.0613, 0.0322)
    z = 1.217 * bell(437.0, 0.0845, 0.0278) + 0.681 * bell(459.0, 0.0385, 0.0725)
    return np.stack([x, y, z])


_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])


@cache
def _colour_correction() -> np.ndarray:
    """Matrix (3, 3) from white-balanced sensor values to linear sRGB; keeps grey grey."""
    eye, sensor = _SRGB @ _colour_matching(), sensor_curves()
    eye, sensor = (a / a.sum(1, keepdims=True) for a in (eye, sensor))
    matrix = np.linalg.lstsq(sensor.T, eye.T)[0].T
    return matrix / matrix.sum(1, keepdims=True)


@dataclass(frozen=True)
class Camera:
    """How a colour camera turns light into numbers.

    Attributes
    ----------
    balance
        Gains of red, green and blue, relative to those that make a mirror grey.
    exposure
        Signal of a mirror, in units of the full well.
    saturation
        Share of the correction from the sensor's colours to those of the eye:
        0 is the bare sensor, 1 is sRGB.
    gamma
        Of the curve from signal to grey level; 1 is linear.
    glare
        Stray light from lenses, equal in all channels and all over the frame, in units of a
        mirror's signal. It takes contrast away where the wafer is dark.
    full_well, read_noise
        Electrons at full signal, which set the shot noise; and of the read-out (sd).
    """

    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exposure: float = 2.5
    saturation: float = 1.0
    gamma: float = 2.2
    glare: float = 0.0
    full_well: float = 10_000.0
    read_noise: float = 8.0

    def raw(self, reflectance: np.ndarray, lamp: np.ndarray) -> np.ndarray:
        """Signal of the three channels, (..., 3), of a reflectance (..., 61); a mirror is 1."""
        weights = sensor_curves() * lamp
        return reflectance @ (weights / weights.sum(1, keepdims=True)).T


def develop(raw: np.ndarray, camera: Camera, rng: np.random.Generator | None = None) -> np.ndarray:
    """Expose, add stray light and noise, balance, correct and encode what the sensor sees.

    Parameters
    ----------
    raw
        (..., 3) float: red, green and blue signal; a mirror is 1.
    camera
        The camera.
    rng
        Source of shot and read noise; None for none.

    Returns
    -------
    (..., 3) uint8
        Signals above the full well are clipped, as on a sensor.
    """
    signal = (np.asarray(raw, np.float32) + np.float32(camera.glare)) * np.float32(camera.exposure)
    if rng is not None:
        electrons = np.maximum(signal, 0) * camera.full_well
        spread = np.sqrt(electrons + camera.read_noise**2)  # Poisson, at thousands of electrons
        noise = rng.standard_normal(signal.shape, np.float32)
        signal = signal + noise * spread / np.float32(camera.full_well)
    signal = np.clip(signal, 0, 1)
    matrix = (1 - camera.saturation) * np.eye(3) + camera.saturation * _colour_correction()
    matrix = (matrix * np.array(camera.balance)).astype(np.float32)
    levels = np.clip(signal @ matrix.T, 0, 1)
    curve = (255 * np.linspace(0, 1, 4096) ** (1 / camera.gamma) + 0.5).astype(np.uint8)
    return curve[(levels * 4095 + 0.5).astype(np.uint16)]


def channel_contrast(
    films: Sequence[tuple[str, int]],
    oxide_nm: float = 285.0,
    na: float = 0.0,
    lamp: np.ndarray | None = None,
) -> np.ndarray:
    """Contrast of crystals in the red, green and blue signal of the sensor, (3,) float.

    Of linear signals, before gamma, signed as :func:`contrast`. ``lamp`` is
    (61,), by default a halogen lamp.
    """
    lamp, camera = illuminant() if lamp is None else lamp, Camera()
    film, bare = (camera.raw(wafer_reflectance(f, oxide_nm, na), lamp) for f in (films, ()))
    return contrast(film, bare)
