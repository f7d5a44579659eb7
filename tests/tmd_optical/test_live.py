"""The live loop: known pixels on a screen without a screen, and what is found and drawn in them."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import needs
from hypothesis import given, settings
from hypothesis import strategies as st

cv2 = pytest.importorskip("cv2")

from mchelpers.tmd_optical import live, screens, stage
from mchelpers.tmd_optical.engines import Engine

SIDE, CLASSES = 64, ("MoS2", "MoSe2")
virtual = pytest.mark.skipif(
    shutil.which("Xvfb") is None, reason="no Xvfb on the PATH (apt-get install xvfb)"
)
PIXELS = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)


def answer(objects, side=SIDE):
    """What a network would answer: (left, top, right, bottom, class, score), masks fill boxes."""
    prediction = np.zeros((1, 4 + 2 + 32, 84), np.float32)  # as many places as 64 px have
    prototypes = np.ones((1, 32, side // 4, side // 4), np.float32)
    for n, (left, top, right, bottom, kind, score) in enumerate(objects):
        box = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        prediction[0, :4, n], prediction[0, 4 + kind, n], prediction[0, 6, n] = box, score, 1
    return prediction, prototypes


def bright(image):
    """A stand-in for a network: one box around all that is red or green."""
    found = []
    for kind in (0, 1):
        rows, columns = np.nonzero((image[0, kind] > 0.9) & (image[0, 2] < 0.1))
        if len(rows):
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            found.append((*box, kind, 0.9))
    return answer(found)


ENGINE = Engine("stand-in", CLASSES, SIDE, "float32", bright)


def square(left=10, top=20, size=16, colour=(255, 0, 0)):
    """A coloured square on black, in a frame of 64 x 64 px."""
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    frame[top : top + size, left : left + size] = colour
    return frame


@virtual
def test_a_screen_is_grabbed_pixel_by_pixel():
    with screens.VirtualScreen((80, 48)) as screen:
        screen.show(PIXELS)
        with screens.Screen(display=screen.display) as source:
            assert source.region == (0, 0, 80, 48)
            np.testing.assert_array_equal(source(), PIXELS)
            screen.show(255 - PIXELS)
            np.testing.assert_array_equal(source(), 255 - PIXELS)
        with screens.Screen((7, 5, 40, 30), screen.display) as source:
            np.testing.assert_array_equal(source(), 255 - PIXELS[5:35, 7:47])
        for region in ((60, 0, 30, 30), (0, 0, 0, 5), (-1, 0, 5, 5), (0, 40, 10, 10)):
            with pytest.raises(ValueError, match="must lie on the screen, which spans 0 to 80 by"):
                screens.Screen(region, screen.display)
        with pytest.raises(ValueError, match="48 x 80 px"):
            screen.show(PIXELS[:5])


@virtual
def test_a_screen_that_goes_away_is_told():
    with screens.VirtualScreen((80, 48)) as screen:
        source = screens.Screen(display=screen.display)
        source()
    with pytest.raises(RuntimeError, match="can no longer be grabbed.*unplugged"):
        source()
    source.close()


@virtual
def test_the_loop_runs_on_a_screen():
    with screens.VirtualScreen((64, 64)) as screen:
        screen.show(square())
        with screens.Screen(display=screen.display) as source:
            session = live.watch(source, ENGINE, 3)
    np.testing.assert_array_equal(session.counts, [[1, 0]] * 3)
    np.testing.assert_allclose(session.shares, [[1 / 16, 0]] * 3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X displays are of Linux")
def test_without_a_display_the_stage_is_offered(monkeypatch):
    pytest.importorskip("mss")
    monkeypatch.delenv("DISPLAY", raising=False)
    for display in (None, ":987"):
        with pytest.raises(RuntimeError, match="no screen can be grabbed here.*simulated stage"):
            screens.Screen(display=display)


def test_what_a_screen_needs_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mss", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"mss: pip install 'micrographs-measured\[live\] @ git"):
        screens.Screen()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="no Xvfb on the PATH"):
        screens.VirtualScreen()


def test_the_stage_pans_over_all_of_the_picture_and_comes_back():
    picture = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    pan = stage.Stage(picture, (40, 50), frames=24)
    corners = []
    for _ in range(25):
        frame = pan()
        top, left = pan.corner
        np.testing.assert_array_equal(frame, picture[top : top + 40, left : left + 50])
        corners.append(pan.corner)
    assert corners[0] == corners[24] == (25, 0) and len(set(corners[:24])) > 20
    tops, lefts = zip(*corners)
    assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 50, 0, 70)
    frame[:] = 0  # the picture stays as it was
    assert pan.picture.any()
    for bad in ((91, 10), (0, 10)):
        with pytest.raises(ValueError, match="does not fit"):
            stage.Stage(picture, bad)
    with pytest.raises(ValueError, match="a frame at least"):
        stage.Stage(picture, (9, 9), frames=0)


def test_a_simulated_wafer_knows_its_crystals(tmp_path):
    options = {"size": (128, 192), "side": 50, "folder": tmp_path}
    wafer = stage.simulated_wafer(**options)
    assert wafer.image.shape == (128, 192, 3) and wafer.kind == "simulated"
    assert len(wafer.instances) >= 2 and sum(wafer.area_shares().values()) > 0.02
    again = stage.simulated_wafer(**options)
    np.testing.assert_array_equal(again.image, wafer.image)
    assert again.categories == wafer.categories


@needs("ultralytics")
@pytest.mark.parametrize("shape", [(64, 64), (128, 128), (96, 200), (200, 37), (30, 41)])
def test_frames_fit_as_the_network_was_trained(shape):
    frame = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    picture, image, (top, left) = live.fit(frame, SIDE)
    height, width = picture.shape[:2]
    inside = image[0, :, top : top + height, left : left + width]
    np.testing.assert_allclose(inside, picture.transpose(2, 0, 1) / 255, atol=1e-6)
    from mchelpers.tmd_optical import yolo

    tensor, _ = yolo.prepare(frame, SIDE, square=True)
    np.testing.assert_allclose(image, tensor.numpy(), atol=1e-6)


@needs("ultralytics")
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 40))
def test_objects_and_masks_are_those_of_the_detector(seed, count):
    """Against Ultralytics' own suppression and masks, on random answers of a network."""
    import torch

    from mchelpers.tmd_optical import yolo

    rng = np.random.default_rng(seed)
    left, top = rng.uniform(-5, 50, (2, count))
    sizes = rng.uniform(3, 40, (2, count))
    objects = [
        (x, y, x + w, y + h, int(rng.integers(2)), s)
        for x, y, w, h, s in zip(left, top, *sizes, rng.random(count))
    ]
    prediction, _ = answer(objects)
    prediction[0, 6:] = rng.normal(size=(32, prediction.shape[2]))
    prototypes = cv2.resize(
        rng.normal(size=(4, 4, 32)).astype(np.float32), (16, 16), interpolation=cv2.INTER_CUBIC
    ).transpose(2, 0, 1)[None]
    found = live.select(prediction, 2, 0.3, 0.5)
    owner = live.owners(found, prototypes, (SIDE, SIDE))
    theirs = yolo.decode(
        torch.from_numpy(prediction),
        torch.from_numpy(np.ascontiguousarray(prototypes)),
        yolo.Geometry((SIDE, SIDE), (SIDE, SIDE)),
        score=0.3,
        iou=0.5,
    )
    assert len(theirs) <= len(found)  # it leaves out what has no pixel
    assert set(np.round(theirs.scores, 5)) <= set(np.round(found.scores, 5))
    union = theirs.masks.any(0)
    assert np.count_nonzero((owner > 0) != union) <= 0.01 * max(union.sum(), 100)


def test_the_surer_of_two_objects_has_the_pixels_that_both_want():
    prediction, prototypes = answer([(0, 0, 32, 32, 1, 0.6), (16, 16, 48, 48, 0, 0.9)])
    found = live.select(prediction, 2)
    assert found.scores.tolist() == pytest.approx([0.9, 0.6]) and found.classes.tolist() == [0, 1]
    owner = live.owners(found, prototypes, (SIDE, SIDE))
    assert (owner[16:48, 16:48] == 1).all() and (owner[:16, :32] == 2).all()
    assert np.count_nonzero(owner) == 2 * 32**2 - 16**2
    assert len(live.select(prediction, 2, score=0.7)) == 1
    assert len(live.select(prediction, 2, most=1)) == 1
    assert len(live.select(np.zeros_like(prediction), 2)) == 0


def test_twice_the_same_object_is_one_unless_the_classes_differ():
    twice = [(0, 0, 32, 32, 0, 0.9), (1, 0, 32, 32, 0, 0.8), (0, 0, 32, 32, 1, 0.7)]
    found = live.select(answer(twice)[0], 2)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


def test_a_frame_full_of_candidates_is_no_burden():
    crowd = np.random.default_rng(3).random((1, 38, 8400), np.float32)
    crowd[:, :4] *= 64
    assert 0 < len(live.select(crowd, 2, most=300)) <= 300


def test_the_overlay_tints_outlines_and_keeps_the_rest():
    picture = np.full((40, 40, 3), 100, np.uint8)
    owner = np.zeros((40, 40), np.uint16)
    owner[10:30, 10:30] = 1
    drawn = live.overlay(picture, owner, owner.astype(np.uint8), [(200, 0, 0)])
    np.testing.assert_array_equal(drawn[20, 20], [140, 60, 60])  # 0.6 and 0.4
    np.testing.assert_array_equal(drawn[10, 20], [200, 0, 0])
    np.testing.assert_array_equal(drawn[5, 5], [100, 100, 100])
    assert (picture == 100).all()
    written = live.overlay(
        picture, owner, owner.astype(np.uint8), [(9, 9, 9)], [("a", (0, 255, 0))]
    )
    assert (written[2, 2] == 0).all() and (written[..., 1] > 200).any()


def test_a_session_counts_measures_and_times():
    frames = iter([square(), square(colour=(0, 255, 0)), np.zeros((64, 64, 3), np.uint8)])
    session = live.watch(lambda: next(frames), ENGINE, 3)
    np.testing.assert_array_equal(session.counts, [[1, 0], [0, 1], [0, 0]])  # black: nothing
    np.testing.assert_allclose(session.shares, [[1 / 16, 0], [0, 1 / 16], [0, 0]])
    assert session.seconds.shape == (3, len(live.STAGES)) and (session.seconds >= 0).all()
    assert session.seconds.sum() <= session.elapsed and session.fps == 3 / session.elapsed
    assert session.ms(quantile=0.95) >= session.ms() >= session.ms("network") >= 0
    assert session.picture.shape == (64, 64, 3)


def test_a_wide_frame_has_its_shares_of_the_frame_and_not_of_the_square():
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[8:24, 8:40] = (255, 0, 0)
    session = live.watch(lambda: wide, ENGINE, 1)
    assert session.picture.shape == (32, 64, 3)
    assert session.shares[0, 0] == pytest.approx(0.25)


def test_frames_of_every_kind_are_taken_or_refused():
    grey = square(colour=(255, 255, 255))[..., 0]
    white = Engine("w", CLASSES, SIDE, "float32", lambda i: answer([(10, 20, 26, 36, 0, i.max())]))
    opaque = np.dstack([square(), np.full((64, 64), 255, np.uint8)])
    for frame in (grey, grey[..., None], grey.astype(np.uint16) * 257, opaque):
        session = live.watch(lambda f=frame: f, white, 1)
        np.testing.assert_allclose(session.shares, [[1 / 16, 0]])
    for bad in (np.zeros((0, 64, 3), np.uint8), np.zeros((64, 0), np.uint8), np.array(None)):
        with pytest.raises(ValueError, match="not an image"):
            live.watch(lambda f=bad: f, ENGINE, 1)
    with pytest.raises(ValueError, match="a frame at least"):
        live.watch(square, ENGINE, 0)


def test_the_viewer_and_the_user_can_stop_the_loop():
    shown = []

    def view(picture):
        shown.append(picture)
        return len(shown) < 4

    assert len(live.watch(square, ENGINE, view=view).seconds) == len(shown) == 4
    calls = iter(range(9))

    def source():
        if next(calls) == 2:
            raise KeyboardInterrupt
        return square()

    assert len(live.watch(source, ENGINE).seconds) == 2


def test_a_notebook_shows_where_there_is_no_window(monkeypatch):
    def refuse(*_):
        raise cv2.error("no GUI here")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    view = screens.open_view()
    assert isinstance(view, screens.NotebookView)
    shown = []
    display = pytest.importorskip("IPython.display")

    class Handle:
        def update(self, bundle, **_):
            shown.append(bundle)

    def put(bundle, **_):
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(display, "display", put)
    assert all(view(square()) for _ in range(7))
    view.close()
    assert len(shown) == 3 and set(shown[0]) == {"image/jpeg", "text/plain"}  # every third


def test_a_window_shows_true_colours_and_ends_with_a_key(monkeypatch):
    shown, keys = {}, iter([-1, ord("q"), -1])
    visible = iter([1, 1, 0])
    monkeypatch.setattr(cv2, "namedWindow", lambda *a: None)
    monkeypatch.setattr(cv2, "destroyWindow", lambda title: shown.pop(title))
    monkeypatch.setattr(cv2, "imshow", shown.__setitem__)
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: next(visible))
    view = screens.open_view("live")
    assert isinstance(view, screens.Window)
    assert [view(square()) for _ in range(3)] == [True, False, False]
    np.testing.assert_array_equal(shown["live"], square()[..., ::-1])  # OpenCV wants BGR
    view.close()
    assert not shown


@virtual
@pytest.mark.skipif(
    any(line.split()[:2] == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines()),
    reason="this build of OpenCV is headless",
)
def test_a_real_window_shows_known_pixels():
    """In a process of its own, for a window system may end it when the screen goes away."""
    code = """if True:
        import os, numpy as np
        from mchelpers import screens
        with screens.VirtualScreen((640, 480)) as screen:
            os.environ["DISPLAY"] = screen.display
            view, colour = screens.open_view(), np.array([250, 130, 10], np.uint8)
            assert isinstance(view, screens.Window)
            for _ in range(20):
                assert view(np.broadcast_to(colour, (100, 150, 3)).copy())
            with screens.Screen(display=screen.display) as source:
                assert (source() == colour).all(-1).sum() == 100 * 150
            view.close()"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
