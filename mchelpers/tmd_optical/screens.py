"""Screens: grabbed as a source of live frames, imitated for tests, and shown on.

A source is anything that gives the next frame when it is called, an array that
:func:`mchelpers.inputs.rgb.as_rgb8` takes. A camera's grab function is one too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .engines import need

__all__ = ["NotebookView", "Screen", "VirtualScreen", "Window", "open_view"]

_INSTEAD = "the simulated stage needs none: stage.Stage(stage.simulated_wafer().image)"


class Screen:
    """Grab a region of the screen, again and again.

    Parameters
    ----------
    region
        (left, top, width, height) in px; None is the whole first screen.
    display
        Name of an X display; None is the user's own.

    Raises
    ------
    ImportError
        If the package mss is missing.
    RuntimeError
        If there is no display; later, if it went away.
    ValueError
        If the region is empty or leaves the screen.
    """

    def __init__(self, region: tuple[int, int, int, int] | None = None, display: str | None = None):
        mss = need("mss")
        options = {} if display is None else {"display": display}
        try:
            self._grabber = mss.MSS(**options)
            whole, *screens = self._grabber.monitors
        except Exception as error:  # which one depends on the system
            raise RuntimeError(f"no screen can be grabbed here ({error}); {_INSTEAD}") from error
        first = screens[0] if screens else whole
        if region is None:
            region = tuple(first[k] for k in ("left", "top", "width", "height"))
        left, top, width, height = (int(v) for v in region)
        right, bottom = whole["left"] + whole["width"], whole["top"] + whole["height"]
        inside = whole["left"] <= left and left + width <= right
        inside &= whole["top"] <= top and top + height <= bottom
        if width < 1 or height < 1 or not inside:
            self.close()
            raise ValueError(
                f"the region {tuple(region)} (left, top, width, height) must lie on the screen, "
                f"which spans {whole['left']} to {right} by {whole['top']} to {bottom} px"
            )
        self.region = (left, top, width, height)

    def __call__(self) -> np.ndarray:
        """Grab what the region shows now: (H, W, 3) uint8, RGB.

        On a display with more than one pixel to a point, there are as many more.
        """
        import cv2

        left, top, width, height = self.region
        box = {"left": left, "top": top, "width": width, "height": height}
        try:
            shot = self._grabber.grab(box)
        except Exception as error:
            raise RuntimeError(
                f"the region {self.region} can no longer be grabbed "
                f"({str(error) or type(error).__name__}); was the screen unplugged, or its "
                "resolution changed? Open the source anew"
            ) from error
        pixels = np.frombuffer(shot.raw, np.uint8).reshape(shot.height, shot.width, 4)
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)

    def close(self) -> None:
        """Let go of the display."""
        try:
            self._grabber.close()
        except Exception:  # it went away first
            pass

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class VirtualScreen:
    """An X display without a screen, whose pixels are set as one likes (Linux, with Xvfb).

    Parameters
    ----------
    size
        Width and height, px.

    Attributes
    ----------
    display
        Its name, for :class:`Screen`.

    Raises
    ------
    RuntimeError
        If the program Xvfb is not installed, or does not start.
    """

    def __init__(self, size: tuple[int, int] = (1280, 1280)):
        program = shutil.which("Xvfb")
        if program is None:
            raise RuntimeError(
                "there is no Xvfb on the PATH; on Debian and Ubuntu: apt-get install xvfb"
            )
        self._folder = tempfile.TemporaryDirectory()
        told, tell = os.pipe()
        width, height = size
        command = [program, "-displayfd", str(tell), "-screen", "0", f"{width}x{height}x24"]
        command += ["-fbdir", self._folder.name, "-nolisten", "tcp", "-nocursor", "-noreset"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, pass_fds=[tell], stdout=quiet, stderr=quiet)
        os.close(tell)
        with os.fdopen(told) as stream:
            number = stream.readline().strip()  # empty if the program ended
        if not number:
            self.close()
            raise RuntimeError(f"Xvfb did not start: {' '.join(command)}")
        self.display, self.size = f":{number}", (width, height)
        file = Path(self._folder.name) / "Xvfb_screen0"
        header = np.fromfile(file, ">u4", 25)  # of an X window dump: big-endian words
        start, row = int(header[0] + 12 * header[19]), int(header[12])  # bytes
        memory = np.memmap(file, np.uint8, "r+", start, (height * row,))
        self._pixels = memory.reshape(height, row // 4, 4)[:, :width]  # blue, green, red, unused

    def show(self, picture: np.ndarray) -> None:
        """Set all pixels: (height, width, 3) uint8, RGB."""
        width, height = self.size
        if np.shape(picture) != (height, width, 3):
            raise ValueError(f"the screen has {height} x {width} px, got {np.shape(picture)}")
        self._pixels[..., :3] = picture[..., ::-1]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> VirtualScreen:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Window:
    """Show pictures in a window of OpenCV; Escape, q or closing it stops the loop."""

    def __init__(self, title: str = "live"):
        import cv2

        self.title = title
        cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE)

    def __call__(self, picture: np.ndarray) -> bool:
        """Show it; return whether to go on."""
        import cv2

        cv2.imshow(self.title, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        pressed = cv2.waitKey(1) & 0xFF
        visible = cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) >= 1
        return visible and pressed not in (27, ord("q"))

    def close(self) -> None:
        """Take the window away."""
        import cv2

        cv2.destroyWindow(self.title)


class NotebookView:
    """Show pictures in place of each other below a notebook's cell; interrupt it to stop.

    Parameters
    ----------
    every
        Frames of which one is shown: compressing and sending it costs time.
    alt
        What one sees, in words.
    """

    def __init__(self, every: int = 3, alt: str = "live picture with the crystals found in it"):
        self.every, self.alt, self._seen, self._handle = every, alt, 0, None

    def __call__(self, picture: np.ndarray) -> bool:
        """Show it, or skip it; go on always."""
        import base64

        import cv2
        from IPython.display import display

        self._seen += 1
        if (self._seen - 1) % self.every:
            return True
        _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        bundle = {"image/jpeg": base64.b64encode(data).decode(), "text/plain": self.alt}
        options = {"raw": True, "metadata": {"image/jpeg": {"alt": self.alt}}}
        if self._handle is None:
            self._handle = display(bundle, display_id=True, **options)
        else:
            self._handle.update(bundle, **options)
        return True

    def close(self) -> None:
        """Leave the last picture where it is."""


def open_view(title: str = "live") -> Window | NotebookView:
    """Open a window where OpenCV can, else a live image in the notebook.

    The headless build of OpenCV, which Ultralytics' extra here comes with, has
    no windows; put ``opencv-python`` in its place to get them.
    """
    import cv2

    try:
        return Window(title)
    except cv2.error:  # a headless build, or no display
        return NotebookView()
