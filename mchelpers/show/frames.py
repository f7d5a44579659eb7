"""A slider over frames that moves in a built page, where no kernel runs."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .figures import WIDTH, grey_limits

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 1_000_000  # of all frames of one slider; a notebook stays under 2 MB


def slider(frames: Sequence[Any], labels: Sequence[str], name: str, alt: str) -> None:
    """Display frames joined to a slider that needs no kernel.

    The frames and the link between them and the slider are kept in the
    notebook, so that the slider moves in the built page, in Jupyter and in
    Colab. Where widgets cannot be (print, a plain viewer) a strip of at most
    four frames stands instead.

    Parameters
    ----------
    frames
        Figures (closed afterwards), or (H, W) or (H, W, 3) arrays. A grey array
        that is not uint8 is stretched between its own 0.5th and 99.5th
        percentile.
    labels
        One short text per frame, shown beside the slider.
    name
        What the slider changes, e.g. ``"aperture"``.
    alt
        What one sees, in words; each frame's label is added to it.

    Raises
    ------
    ValueError
        If there are fewer than two frames, labels do not match, ``alt`` is
        empty, or the frames are too large for a page.
    """
    import ipywidgets
    from IPython.display import display

    if len(frames) < 2 or len(frames) != len(labels):
        raise ValueError(
            f"{len(frames)} frames and {len(labels)} labels: need as many, two or more"
        )
    if not alt.strip():
        raise ValueError("alt is empty; say in words what one sees")
    pictures = [_picture(f) for f in frames]
    encoded = [_png(p) for p in pictures]
    size = sum(map(len, encoded))
    if size > MAX_BYTES:
        raise ValueError(
            f"the frames take {size / 1e6:.1f} MB, at most {MAX_BYTES / 1e6:.0f} MB fit a "
            "page; show fewer, or smaller ones"
        )
    tags = [
        _tag(png, picture.width, f"{alt} ({name}: {text})")
        for png, picture, text in zip(encoded, pictures, labels, strict=True)
    ]
    control = ipywidgets.SelectionSlider(
        options=[(text, n) for n, text in enumerate(labels)],
        description=name,
        layout=ipywidgets.Layout(width="95%", max_width=f"{WIDTH * 100:.0f}px"),
        style={"description_width": "initial"},
    )
    box = ipywidgets.VBox([control, _joined(control, tags)])
    if not hasattr(box, "_repr_mimebundle_"):  # ipywidgets 7, as in Colab
        display(box)
        return
    bundle = box._repr_mimebundle_()
    bundle["image/png"] = base64.b64encode(_strip(pictures, labels)).decode()
    bundle["text/plain"] = alt
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def _tag(png: bytes, width: int, alt: str) -> str:
    """Write an <img> of our own, for ipywidgets' Image cannot carry alternative text."""
    widest = width if width > 400 else 2 * width
    return (
        f'<img class="widget-image" style="width:{widest}px;max-width:100%" '
        f'alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    )


def _joined(control: Any, tags: list[str]) -> Any:
    """Make the widget that shows one of the frames, joined to the slider."""
    import ipywidgets

    if hasattr(ipywidgets, "Stack"):
        wide = ipywidgets.Layout(width="100%")
        frames = [ipywidgets.HTML(tag, layout=wide) for tag in tags]
        stack = ipywidgets.Stack(frames, selected_index=0, layout=wide)
        ipywidgets.jslink((control, "index"), (stack, "selected_index"))
        return stack
    shown = ipywidgets.HTML(tags[0])  # ipywidgets 7: the kernel changes the frame
    control.observe(lambda change: setattr(shown, "value", tags[change["new"]]), "index")
    return shown


def _picture(frame: Any) -> Image:
    """Turn a figure or an array into a picture of the smallest mode that holds it."""
    from PIL import Image

    if isinstance(frame, Figure):
        buffer = io.BytesIO()
        frame.savefig(buffer, format="png")
        plt.close(frame)
        return _plain(Image.open(buffer).convert("RGB"))
    values = np.asarray(frame)
    if values.ndim == 2 and values.dtype != np.uint8:
        low, high = grey_limits(values)
        values = (255 * np.clip((values - low) / (high - low), 0, 1)).round().astype(np.uint8)
    if values.dtype != np.uint8 or not (values.ndim == 2 or values.shape[2:] == (3,)):
        raise ValueError(
            f"a frame is a figure, a (height, width) array or an RGB one of uint8; got "
            f"{values.dtype} of shape {values.shape}"
        )
    return Image.fromarray(values)


def _png(picture: Image) -> bytes:
    """Encode a picture; colours are reduced to a palette of 128, invisible in a plot."""
    buffer = io.BytesIO()
    reduced = picture if picture.mode == "L" else picture.quantize(128, dither=0)
    reduced.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _strip(pictures: Sequence[Image], labels: Sequence[str], most: int = 4) -> bytes:
    """Lay at most ``most`` frames, evenly chosen, on a sheet of page width with their labels."""
    from PIL import Image, ImageDraw, ImageFont

    chosen = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(int)
    columns = 2 if pictures[0].width > 1.5 * pictures[0].height else min(most, len(chosen))
    width, gap, text = round(100 * WIDTH / columns) - 4, 4, 18
    height = max(round(p.height * width / p.width) for p in pictures)
    rows = math.ceil(len(chosen) / columns)
    size = (columns * (width + gap), rows * (height + text + gap))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, n in enumerate(chosen):
        x, y = place % columns * (width + gap), place // columns * (height + text + gap)
        draw.text((x + 2, y + 1), labels[n], fill="black", font=font)
        small = pictures[n].resize((width, round(pictures[n].height * width / pictures[n].width)))
        sheet.paste(small, (x, y + text))
    return _png(_plain(sheet))


def _plain(picture: Image) -> Image:
    """Drop the colour of a picture that has none."""
    pixels = np.asarray(picture)
    return picture.convert("L") if (pixels == pixels[..., :1]).all() else picture
