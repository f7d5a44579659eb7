"""The live loop: grab a frame, find the crystals in it, draw them, and time every step.

A frame is shrunk once, and all that follows happens at the size that the
network sees: masks are computed inside their boxes only and laid into one map
of owners, and one overlay is blended over the picture, whatever the number of
crystals. Taken apart in the chapter *Live*.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..inputs.rgb import as_rgb8
from .engines import Engine

__all__ = [
    "STAGES",
    "Objects",
    "Session",
    "class_colours",
    "fit",
    "overlay",
    "owners",
    "select",
    "watch",
]

STAGES = ("grab", "prepare", "network", "select", "masks", "draw", "show")
"""Steps of the loop, in order; the last one only where somebody looks."""

_GREY = 114  # what fills a square up, as in training
_CANDIDATES = 1000  # of which boxes are compared; a real frame has a few hundred
_RECENT = 20  # frames that the rate on the picture is the mean of


@dataclass(frozen=True)
class Objects:
    """What a network found in one frame, surest first, before any mask is computed.

    Attributes
    ----------
    boxes
        (n, 4) float32: left, top, right, bottom in px of the network's square.
    classes
        (n,) int64, numbers of the classes.
    scores
        (n,) float32, confidence.
    coefficients
        (n, 32) float32: how much of each prototype is in the mask.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    coefficients: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def fit(frame: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Shrink a frame so that it fits a square, and fill up with grey.

    Parameters
    ----------
    frame
        (H, W, 3) uint8, RGB.
    side
        Of the square, px.

    Returns
    -------
    picture
        (h, w, 3) uint8, the shrunk frame.
    image
        (1, 3, side, side) float32 in 0 to 1, as
        :class:`~mchelpers.tmd_optical.engines.Engine` takes it.
    corner
        (top, left) of the picture in the square, px.
    """
    import cv2

    frame = as_rgb8(frame)
    ratio = side / max(frame.shape[:2])
    height, width = (max(1, round(n * ratio)) for n in frame.shape[:2])
    picture = frame if ratio == 1 else cv2.resize(frame, (width, height))
    top, left = (round((side - n) / 2 - 0.1) for n in (height, width))  # as Ultralytics rounds
    square = picture
    if (height, width) != (side, side):
        square = np.full((side, side, 3), _GREY, np.uint8)
        square[top : top + height, left : left + width] = picture
    image = np.empty((1, 3, side, side), np.float32)
    np.multiply(square.transpose(2, 0, 1)[None], np.float32(1 / 255), out=image)
    return picture, image, (top, left)


def select(
    prediction: np.ndarray, count: int, score: float = 0.25, iou: float = 0.7, most: int = 300
) -> Objects:
    """Keep what is sure enough, and of boxes of one class that overlap the surest only.

    Parameters
    ----------
    prediction
        (1, 4 + C + 32, anchors) float32.
    count
        Of classes, C.
    score
        Confidence that must be exceeded.
    iou
        Boxes that overlap more are the same object.
    most
        Objects, at most.

    Returns
    -------
    Objects
    """
    import cv2

    rows = prediction[0]
    scores = rows[4 : 4 + count].max(0)  # (anchors,)
    sure = np.flatnonzero(scores > score)
    sure = sure[np.argsort(-scores[sure], kind="stable")][:_CANDIDATES]
    rows, scores = rows[:, sure].T, scores[sure]  # (candidates, 4 + C + 32), surest first
    classes, size = rows[:, 4 : 4 + count].argmax(1), rows[:, 2:4]
    corner = rows[:, :2] - size / 2
    boxes = np.hstack([corner, size])  # left, top, width, height
    kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), 0.0, iou)
    kept = np.sort(np.array(kept, int).reshape(-1))[:most]
    boxes[:, 2:] += corner
    return Objects(boxes[kept], classes[kept], scores[kept], rows[kept, 4 + count :])


def owners(
    objects: Objects,
    prototypes: np.ndarray,
    shape: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Say which object each pixel of the picture belongs to.

    A mask is the sum of prototypes that its coefficients ask for, where that is
    above zero, within its box. Prototypes have a quarter of the resolution; so
    the sum is taken there, on the box only, and scaled up.

    Parameters
    ----------
    objects
        From :func:`select`.
    prototypes
        (1, 32, side / 4, side / 4) float32.
    shape
        Rows and columns of the picture.
    corner
        (top, left) of the picture in the square, px.

    Returns
    -------
    (h, w) uint16
        0 for none, 1 for the first object. Where two overlap, the surer one has it.
    """
    import cv2

    owner = np.zeros(shape, np.uint16)
    (top, left), (rows, columns) = corner, prototypes.shape[2:]
    low = np.array([left, top, left, top])
    high = low + [shape[1], shape[0], shape[1], shape[0]]
    boxes = np.ceil(np.clip(objects.boxes, low, high)).astype(int)
    for n in range(len(objects) - 1, -1, -1):
        x0, y0, x1, y1 = (int(v) for v in boxes[n])
        if x1 <= x0 or y1 <= y0:
            continue
        # One prototype pixel more on each side, so that scaling up knows its neighbours.
        c0, r0 = max(x0 // 4 - 1, 0), max(y0 // 4 - 1, 0)
        c1, r1 = min(-(-x1 // 4) + 1, columns), min(-(-y1 // 4) + 1, rows)
        part = prototypes[0, :, r0:r1, c0:c1].reshape(prototypes.shape[1], -1)  # (32, r * c)
        small = (objects.coefficients[n] @ part).reshape(r1 - r0, c1 - c0)
        large = cv2.resize(small, (4 * (c1 - c0), 4 * (r1 - r0)))
        inside = large[y0 - 4 * r0 : y1 - 4 * r0, x0 - 4 * c0 : x1 - 4 * c0] > 0
        owner[y0 - top : y1 - top, x0 - left : x1 - left][inside] = n + 1
    return owner


def overlay(
    picture: np.ndarray,
    owner: np.ndarray,
    kinds: np.ndarray,
    colours: Sequence[tuple[int, int, int]],
    lines: Sequence[tuple[str, tuple[int, int, int]]] = (),
) -> np.ndarray:
    """Tint every object in the colour of its class, outline it, and write a panel of text.

    Parameters
    ----------
    picture
        (h, w, 3) uint8, RGB.
    owner
        (h, w) uint16 of :func:`owners`.
    kinds
        (h, w) uint8, 0 for none, 1 for the first class.
    colours
        RGB of each class.
    lines
        (text, RGB) of each line in the upper left corner.

    Returns
    -------
    (h, w, 3) uint8
    """
    import cv2

    table = np.zeros((256, 1, 3), np.uint8)
    table[1 : 1 + len(colours), 0] = colours
    tint = cv2.applyColorMap(kinds, table)  # whatever the order of the colours
    drawn = picture.copy()
    cv2.copyTo(cv2.addWeighted(picture, 0.6, tint, 0.4, 0), kinds, drawn)
    step = cv2.morphologyEx(owner, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    cv2.copyTo(tint, cv2.min(kinds, (step > 0).astype(np.uint8)), drawn)
    if lines:
        width = 8 + max(cv2.getTextSize(t, 0, 0.5, 1)[0][0] for t, _ in lines)
        cv2.rectangle(drawn, (0, 0), (width, 20 * len(lines) + 6), (0, 0, 0), -1)
        for n, (text, colour) in enumerate(lines):
            cv2.putText(drawn, text, (4, 18 + 20 * n), 0, 0.5, colour, 1, cv2.LINE_AA)
    return drawn


@dataclass(frozen=True)
class Session:
    """What a live loop saw, and how long it took.

    Attributes
    ----------
    seconds
        (frames, stages) of each step of :data:`STAGES`.
    elapsed
        Seconds from before the first frame to after the last, with all that is
        between the steps.
    counts, shares
        (frames, C): objects of each class, and the share of the frame that they cover.
    picture
        The last frame with what was drawn over it.
    """

    seconds: np.ndarray
    elapsed: float
    counts: np.ndarray
    shares: np.ndarray
    picture: np.ndarray

    @property
    def fps(self) -> float:
        """Frames a second, end to end."""
        return len(self.seconds) / self.elapsed

    def ms(self, stage: str | None = None, quantile: float = 0.5) -> float:
        """Milliseconds that a stage (None: all of them together) takes in a typical frame.

        ``quantile`` 0.95 is exceeded by one frame in twenty.
        """
        spent = self.seconds.sum(1) if stage is None else self.seconds[:, STAGES.index(stage)]
        return 1000 * float(np.quantile(spent, quantile))


def class_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB for each of so many classes, bright ones first."""
    from ..show import COLOURS

    names = [COLOURS[n] for n in (4, 5, 2, 3, 1, 0)]
    return [tuple(bytes.fromhex(names[n % len(names)][1:])) for n in range(count)]


def watch(
    source: Callable[[], np.ndarray],
    engine: Engine,
    frames: int | None = None,
    score: float = 0.25,
    iou: float = 0.7,
    most: int = 300,
    view: Callable[[np.ndarray], bool] | None = None,
) -> Session:
    """Run the loop: grab, prepare, network, select, masks, draw, show.

    Parameters
    ----------
    source
        Gives the next frame when called; see :mod:`mchelpers.tmd_optical.stage`.
    engine
        From :func:`mchelpers.tmd_optical.engines.open_engine`.
    frames
        How many; None goes on until the view says stop or the user interrupts.
    score, iou, most
        As for :func:`select`.
    view
        Shows a picture, and returns whether to go on; see
        :func:`mchelpers.tmd_optical.screens.open_view`.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        If a frame is empty or no image, or no frame is asked for.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"need a frame at least, got {frames}")
    count = len(engine.classes)
    colours = class_colours(count)
    log: list[tuple[list[float], np.ndarray, np.ndarray]] = []
    recent: deque[float] = deque(maxlen=_RECENT)
    clock, drawn = time.perf_counter, None
    begun, going = clock(), True
    try:
        while going and (frames is None or len(log) < frames):
            times = [clock()]
            frame = as_rgb8(source())
            times.append(clock())
            picture, image, corner = fit(frame, engine.side)
            times.append(clock())
            prediction, prototypes = engine(image)
            times.append(clock())
            objects = select(prediction, count, score, iou, most)
            times.append(clock())
            owner = owners(objects, prototypes, picture.shape[:2], corner)
            kinds = np.take(np.r_[0, objects.classes + 1].astype(np.uint8), owner)
            times.append(clock())
            counts = np.bincount(objects.classes, minlength=count)
            shares = _shares(kinds, count)
            rate = len(recent) / (times[0] - recent[0]) if recent else 0.0
            recent.append(times[0])
            lines = _panel(engine, rate, counts, shares, colours)
            drawn = overlay(picture, owner, kinds, colours, lines)
            times.append(clock())
            going = view is None or view(drawn)
            times.append(clock())
            log.append((np.diff(times), counts, shares))
    except KeyboardInterrupt:  # the way to stop a loop in a notebook
        if not log:
            raise
    elapsed = clock() - begun
    seconds, counts, shares = (np.array(column) for column in zip(*log))
    return Session(seconds, elapsed, counts, shares, drawn)


def _shares(kinds: np.ndarray, count: int) -> np.ndarray:
    import cv2

    pixels = cv2.calcHist([kinds], [0], None, [256], [0, 256]).ravel()
    return pixels[1 : 1 + count] / kinds.size


def _panel(engine, rate, counts, shares, colours) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [(f"{rate:.0f} frames/s, {engine.name}", (255, 255, 255))]
    for name, n, share, colour in zip(engine.classes, counts, shares, colours):
        lines.append((f"{name}: {n}, {100 * share:.1f} %", colour))
    return lines
