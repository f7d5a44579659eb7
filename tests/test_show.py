"""Figures, sliders, tables: checked on cases whose answer is known."""

import base64
import io
import re
import warnings
from itertools import groupby

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from mchelpers import show
from mchelpers.show.page import _shorten_docstrings
from mchelpers.train import History

WIDGETS = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    """Collect what is displayed, as (data, metadata) pairs or objects."""
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: seen.append((*a, k)))
    return seen


@pytest.fixture
def image():
    return np.random.default_rng(0).random((32, 32)).astype(np.float32)


def test_error_colours():
    mask = np.array([[True, True], [False, False]])
    truth = np.array([[True, False], [True, False]])
    white, red, blue, black = (255, 255, 255), (214, 39, 40), (31, 119, 180), (0, 0, 0)
    expected = np.array([[white, red], [blue, black]], np.uint8)
    np.testing.assert_array_equal(show.error_colours(mask, truth), expected)
    fig, ax = plt.subplots()
    show.error_map(ax, mask, truth, "F1 = 0.5", legend=True)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert {t.get_text() for t in ax.get_legend().get_texts()} == set(show.ERRORS)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((2, 2)), "mask must be boolean"),
        (np.zeros((2, 3), bool), r"mask has shape \(2, 3\), the image has \(2, 2\)"),
    ],
)
def test_bad_masks(mask, message):
    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match=message):
        show.image(ax, np.ones((2, 2)), mask=mask)
    with pytest.raises(ValueError, match=message):
        show.error_map(ax, mask, np.ones((2, 2), bool))


@pytest.mark.parametrize(("pixel_size_nm", "bar_nm"), [(0.05, 2), (0.5, 25), (0.012, 0.75)])
def test_scale_bar_has_the_length_it_says(pixel_size_nm, bar_nm):
    fig = plt.figure(figsize=(2.56, 2.56), dpi=100, layout="none")
    ax = fig.add_axes((0, 0, 1, 1))  # one pixel of the image is one of the screen
    show.image(ax, np.tile(np.linspace(0.4, 0.8, 256), (256, 1)), pixel_size_nm=pixel_size_nm)
    fig.canvas.draw()
    screen = np.asarray(fig.canvas.buffer_rgba())[5:-5, 70:-5, :3].max(-1)
    runs = [len(list(g)) for row in screen < 40 for dark, g in groupby(row) if dark]
    assert max(runs) * pixel_size_nm == pytest.approx(bar_nm, abs=2.5 * pixel_size_nm)


@pytest.mark.parametrize("unknown", [None, np.nan, np.float32("nan")])
def test_no_scale_bar_where_the_pixel_size_is_unknown(image, unknown):
    fig, ax = plt.subplots()
    show.image(ax, image, pixel_size_nm=unknown)
    assert not ax.artists


def test_scale_bar_of_an_impossible_pixel(image):
    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match="another unit"):
        show.image(ax, image, pixel_size_nm=0)


@pytest.mark.parametrize("value", [True, False])
def test_empty_and_full_masks_draw_without_a_warning(image, value):
    fig, ax = plt.subplots()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show.image(ax, image, mask=np.full(image.shape, value))
        fig.canvas.draw()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((2, 2), complex), "complex"),
        (np.ones(4), r"shape \(4,\); .height, width."),
        (np.full((2, 2), np.nan), "no finite pixel"),
    ],
)
def test_what_is_not_an_image(bad, message):
    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match=message):
        show.image(ax, bad)


def test_grey_levels_leave_outliers_out():
    values = np.linspace(0, 1, 10_001)
    values[-1] = 1e6
    fig, ax = plt.subplots()
    show.image(ax, values.reshape(73, 137))
    np.testing.assert_allclose(ax.images[0].get_clim(), (0.005, 0.995), atol=1e-3)
    show.image(ax, np.ones((4, 4)))  # constant: no division by zero
    assert ax.images[1].get_clim() == (1, 2)


def test_montage(image):
    fig = show.montage(np.stack([image] * 5), titles=list("abcde"), columns=4)
    assert fig.get_figwidth() == pytest.approx(7)
    assert [ax.get_title() for ax in fig.axes if ax.images] == list("abcde")
    assert len(fig.axes) == 8  # two rows of four, three of them empty


def test_montage_shortens_titles_to_the_panel(image):
    name = "2013_1003_Graphene_FS_002_layer_0001"
    fig = show.montage([image] * 4, titles=[name] * 4)
    title = fig.axes[0].get_title()
    assert title.replace("\n", "") == name and "\n" in title


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"titles": ["a"]}, "1 titles for 2 images"),
        ({"masks": np.zeros((3, 32, 32), bool)}, "3 masks for 2 images"),
        ({"pixel_size_nm": [0.1, 0.1, 0.1]}, "3 pixel sizes for 2 images"),
    ],
)
def test_montage_of_unequal_lists(image, arguments, message):
    with pytest.raises(ValueError, match=message):
        show.montage([image, image], **arguments)


def test_montage_of_nothing():
    with pytest.raises(ValueError, match="there must be an image"):
        show.montage([])


def test_steps_keep_their_own_grey_levels(image):
    fig = show.steps({"image": image, "hundred times": 100 * image, "mask": image > 0.5})
    limits = [ax.images[0].get_clim() for ax in fig.axes]
    np.testing.assert_allclose(limits[1], 100 * np.array(limits[0]), rtol=1e-5)
    assert limits[2] == (0, 1)


def test_curves():
    loss = list(np.linspace(1, 0.1, 10))
    folds = [History(loss, [0.1, 0.2, 0.3, 0.4], []), History(loss[:7], [0.3, 0.4, 0.5], [])]
    fig = show.curves(folds, label="F1")
    training, validation = fig.axes
    np.testing.assert_array_equal(validation.lines[0].get_xdata(), [3, 6, 9, 10])
    mean = training.lines[-1]
    np.testing.assert_allclose(mean.get_ydata(), loss[:7])  # as far as both folds went
    np.testing.assert_allclose(validation.lines[-1].get_ydata(), [0.2, 0.3, 0.4])
    assert validation.get_ylabel() == "F1"


def test_curves_of_several_networks_have_a_legend():
    history = History([1.0, 0.5], [], [])
    (ax,) = show.curves({"small": [history], "large": [history]}).axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["small", "large"]


@pytest.mark.parametrize("nothing", [[], {}, {"net": []}, [History([], [], [])]])
def test_curves_of_nothing(nothing):
    with pytest.raises(ValueError, match="was anything trained"):
        show.curves(nothing)


def pixels(tag: str) -> np.ndarray:
    """Decode the picture in an <img> tag."""
    png = re.search(r"base64,([^\"]+)", tag).group(1)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def test_slider_is_stored_in_the_notebook():
    """Execute a notebook: its state holds every frame and the link, so no kernel is needed."""
    import nbclient
    import nbformat

    code = """
import numpy as np
from mchelpers import show
frames = [np.full((8, 8), v, np.uint8) for v in (0, 100, 200)]
show.slider(frames, ["none", "some", "much"], "blur", 'A "grey" square')
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    state = notebook.metadata.widgets[WIDGETS]["state"]

    def models(name):
        return {k: v["state"] for k, v in state.items() if v["model_name"] == f"{name}Model"}

    ((stack_id, stack),) = models("Stack").items()
    ((slider_id, slider),) = models("SelectionSlider").items()
    (link,) = models("Link").values()
    assert link["source"] == [f"IPY_MODEL_{slider_id}", "index"]
    assert link["target"] == [f"IPY_MODEL_{stack_id}", "selected_index"]
    assert slider["_options_labels"] == ["none", "some", "much"]
    tags = [state[c.removeprefix("IPY_MODEL_")]["state"]["value"] for c in stack["children"]]
    assert [pixels(t).max() for t in tags] == [0, 100, 200]
    assert 'alt="A &quot;grey&quot; square (blur: some)"' in tags[1]
    assert output.data["text/plain"] == 'A "grey" square'
    assert output.data[VIEW]["model_id"] in state
    still = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert still.width > 600


def test_slider_takes_figures_and_closes_them(displayed):
    figures = [plt.subplots(figsize=(4, 2))[0] for _ in range(6)]
    show.slider(figures, list("abcdef"), "step", "empty axes")
    ((data, options),) = displayed
    assert data["text/plain"] == "empty axes" and options["raw"]
    assert not plt.get_fignums()


def test_slider_of_ipywidgets_7_uses_the_kernel(displayed, monkeypatch):
    import ipywidgets

    class Box(ipywidgets.VBox):
        def __getattribute__(self, name):
            if name == "_repr_mimebundle_":
                raise AttributeError(name)
            return super().__getattribute__(name)

    monkeypatch.delattr(ipywidgets, "Stack")
    monkeypatch.setattr(ipywidgets, "VBox", Box)
    show.slider([np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)], ["a", "b"], "n", "alt")
    ((box, _),) = displayed
    control, shown = box.children
    before = shown.value
    control.index = 1
    assert shown.value != before and "(n: b)" in shown.value


@pytest.mark.parametrize(
    ("frames", "labels", "alt", "message"),
    [
        ([np.zeros((4, 4))] * 2, ["a"], "x", "need as many"),
        ([np.zeros((4, 4))], ["a"], "x", "two or more"),
        ([np.zeros((4, 4))] * 2, ["a", "b"], " ", "say in words"),
        ([np.zeros((4, 4, 3))] * 2, ["a", "b"], "x", "RGB one of uint8"),
        (
            np.random.default_rng(0).integers(0, 256, (2, 900, 900), np.uint8),
            ["a", "b"],
            "x",
            "at most 1 MB",
        ),
    ],
)
def test_bad_sliders(frames, labels, alt, message):
    with pytest.raises(ValueError, match=message):
        show.slider(frames, labels, "n", alt)


def test_table(displayed):
    rows = [
        {"method": "a <b>", "F1": 0.79149, "n": 131},
        {"method": "c", "F1": None, "n": np.int64(7), "ok": np.True_},
    ]
    show.table(rows, digits=2)
    ((data, _),) = displayed
    assert data["text/plain"].splitlines() == [
        "method    F1    n  ok",
        "a <b>   0.79  131  –",
        "c          –    7  yes",
    ]
    assert "a &lt;b&gt;" in data["text/html"]
    assert '<td style="text-align:right">0.79</td>' in data["text/html"]


def test_table_of_nothing():
    with pytest.raises(ValueError, match="at least one row"):
        show.table([])


def documented(x):
    """Add one.

    Parameters
    ----------
    x
        A number.
    """
    return x + 1


def test_source(displayed):
    show.source(documented)
    show.source(documented, docstring=True)
    short, whole = (shown.data for shown, _ in displayed)
    assert short == '````python\ndef documented(x):\n    """Add one."""\n    return x + 1\n````'
    assert "Parameters" in whole


def test_docstrings_of_a_class_are_shortened_too():
    code = 'class A:\n    """One.\n\n    More.\n    """\n\n    def f(self):\n        """Two."""\n'
    expected = 'class A:\n    """One."""\n\n    def f(self):\n        """Two."""'
    assert _shorten_docstrings(code) == expected


def test_style_is_readable_on_white():
    with matplotlib.rc_context():
        show.style()
        assert matplotlib.rcParams["figure.facecolor"] == "white"
        assert matplotlib.rcParams["font.size"] >= 9
        assert matplotlib.rcParams["image.cmap"] == "gray"
