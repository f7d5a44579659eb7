"""Scores of detections against cases worked out by hand, and what must always hold."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import needs
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers.inputs.objects import Instance, LabelledImage
from mchelpers.tmd_optical import detections
from mchelpers.tmd_optical.detections import Detections, Matches

CLASSES = ("triangle", "hexagon")
SHAPE = (40, 60)


def rectangle(top, left, height, width):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def image_of(*things, group="run0"):
    """(class name, mask) each."""
    instances = [Instance.of(name, mask, 0.1) for name, mask in things]
    return LabelledImage("image", np.zeros((*SHAPE, 3), np.uint8), instances, group)


def found_of(*things):
    """(class number, mask, score) each."""
    masks = np.array([m for _, m, _ in things], bool).reshape(-1, *SHAPE)
    return Detections.of(masks, [c for c, _, _ in things], [s for _, _, s in things])


A, B, C = rectangle(2, 2, 10, 10), rectangle(2, 30, 10, 10), rectangle(20, 5, 10, 20)


def matched(image, found, on="mask"):
    return detections.match(found, image, CLASSES, on)


def test_detections_are_sorted_and_boxed():
    found = found_of((0, A, 0.2), (1, C, 0.9))
    assert found.classes.tolist() == [1, 0] and found.boxes.dtype == np.float32
    assert found.boxes.tolist() == [[5, 20, 25, 30], [2, 2, 12, 12]]
    assert len(found.above(0.5)) == 1 and found.above(0.5).masks[0].sum() == 200
    assert len(found_of()) == 0 and found_of().shape == SHAPE
    with pytest.raises(ValueError, match="boxes"):
        Detections(found.masks, found.classes[:1], found.scores, found.boxes)
    with pytest.raises(ValueError, match="finite score"):
        found_of((0, A, np.nan))


def test_average_precision_of_a_case_worked_by_hand():
    """Right, wrong, right of two objects: precision 1, then 2/3 up to full recall."""
    image = image_of(("triangle", A), ("triangle", B))
    found = found_of((0, A, 0.9), (0, C, 0.8), (0, B, 0.7))
    ap = detections.average_precision([matched(image, found)], CLASSES)
    assert np.allclose(ap[0], 0.5 * 1 + 0.5 * 2 / 3, atol=0.01)  # Ultralytics: 0.005 below
    assert np.isnan(ap[1]).all()
    both = detections.summary([matched(image, found)], CLASSES)
    assert both["map50"] == pytest.approx(ap[0, 0])  # the absent class does not count


@needs("ultralytics")
def test_average_precision_is_that_of_the_library():
    rng = np.random.default_rng(0)
    many = []
    for _ in range(6):
        n, m = int(rng.integers(0, 30)), int(rng.integers(1, 8))
        tp = rng.random((n, 1)) * 1.1 > detections.IOUS
        many.append(Matches(tp, rng.random(n), rng.integers(0, 2, n), rng.integers(0, 2, m)))
    parts = [
        np.concatenate([getattr(m, k) for m in many]) for k in ("tp", "scores", "classes", "truth")
    ]
    ours = detections.average_precision(many, CLASSES)
    from mchelpers.tmd_optical import yolo

    metrics = yolo.ultralytics().utils.metrics
    np.testing.assert_allclose(ours, metrics.ap_per_class(*parts)[5])
    for count in range(1, 40):
        recall, precision = np.sort(rng.random(count)), rng.random(count)
        ours = detections._area_under(recall, precision)
        assert ours == metrics.compute_ap(recall, precision)[0]


def test_scores_need_no_other_package():
    """The classical baseline is scored where no network can be trained."""
    code = (
        "import sys; sys.modules['ultralytics'] = None; import numpy as np;"
        "from mchelpers.tmd_optical.detections import IOUS, Matches, summary;"
        "one = Matches(np.ones((1, len(IOUS)), bool), np.ones(1), np.zeros(1), np.zeros(1));"
        "assert summary([one], ['a'])['map50'] == 0.995"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_masks_are_compared_whole_whatever_their_boxes():
    boxes = [[5, 5, 9, 9], [0, 0, 60, 40]]  # as a network gives them: not those of the masks
    rough = Detections.of(np.array([A, C]), [0, 1], boxes=boxes)
    np.testing.assert_array_equal(detections.mask_iou(rough, rough), np.eye(2))
    empty = Detections.of(np.zeros((1, *SHAPE), bool), [0])
    assert detections.mask_iou(rough, empty).tolist() == [[0], [0]]


def test_overlap_decides_at_which_thresholds_an_object_is_found():
    image = image_of(("triangle", A))
    shifted = found_of((0, rectangle(2, 4, 10, 10), 0.5))  # 80 of 120 px: IoU 2/3
    assert detections.mask_iou(shifted, detections.truth(image, CLASSES))[0, 0] == pytest.approx(
        2 / 3
    )
    assert matched(image, shifted).tp[0].tolist() == [True] * 4 + [False] * 6


def test_masks_and_boxes_are_told_apart():
    """Two right triangles that fill one square: boxes agree wholly, masks hardly."""
    y, x = np.mgrid[:20, :20]
    lower, upper = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    lower[:20, :20], upper[:20, :20] = y >= x, y <= x
    image, found = image_of(("triangle", lower)), found_of((0, upper, 0.5))
    assert matched(image, found, "box").tp.all()
    assert not matched(image, found, "mask").tp.any()
    with pytest.raises(ValueError, match="'mask' or 'box'"):
        matched(image, found, "area")


def test_the_surest_takes_the_object_and_a_duplicate_is_wrong():
    image = image_of(("triangle", A))
    twice = matched(image, found_of((0, A, 0.6), (0, A, 0.9)))
    assert twice.tp[:, 0].tolist() == [True, False]
    # The surer one takes what it overlaps most, though the other would have fitted better.
    near = image_of(("triangle", A), ("triangle", rectangle(2, 4, 10, 10)))
    greedy = matched(near, found_of((0, rectangle(2, 3, 10, 10), 0.9), (0, A, 0.8)))
    assert greedy.tp[:, 0].sum() in (1, 2) and greedy.tp[0, 0]


def test_a_wrong_class_is_not_found_but_confused():
    image = image_of(("triangle", A), ("hexagon", B))
    found = found_of((1, A, 0.9), (1, B, 0.8), (0, C, 0.7), (0, C, 0.1))
    assert matched(image, found).tp[:, 0].tolist() == [False, True, False, False]
    matrix = detections.confusion([found], [image], CLASSES)
    np.testing.assert_array_equal(matrix, [[0, 0, 1], [1, 1, 0], [0, 0, 0]])
    assert detections.accuracy(matrix) == 0.5 == detections.named_right(matrix)
    missed = detections.confusion([found_of((1, B, 0.8))], [image], CLASSES)
    np.testing.assert_array_equal(missed, [[0, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert detections.accuracy(missed) == 0.5 and detections.named_right(missed) == 1.0


def test_nothing_there_and_nothing_found():
    empty, full = image_of(), image_of(("triangle", A))
    nothing, something = found_of(), found_of((0, A, 0.9))
    assert np.isnan(detections.average_precision([], CLASSES)).all()
    assert np.isnan(detections.summary([matched(empty, nothing)], CLASSES)["map50"])
    assert np.isnan(detections.summary([matched(empty, something)], CLASSES)["map50_95"])
    assert detections.summary([matched(full, nothing)], CLASSES)["map50"] == 0
    # A wrong detection in an empty image, if it is the surest, lowers the score of the others.
    alone = detections.summary([matched(full, found_of((0, A, 0.5)))], CLASSES)["map50"]
    pair = [matched(full, found_of((0, A, 0.5))), matched(empty, something)]
    assert detections.summary(pair, CLASSES)["map50"] < 0.6 < alone == pytest.approx(0.995)
    matrix = detections.confusion([nothing, something], [full, empty], CLASSES)
    assert matrix.sum() == 2 and matrix[2, 0] == 1 and matrix[0, 2] == 1
    assert np.isnan(detections.accuracy(np.zeros((3, 3))))
    assert detections.area_shares(nothing, 2).tolist() == [0, 0]


def test_an_unlisted_class_or_another_size_is_refused():
    image = image_of(("star", A))
    with pytest.raises(ValueError, match=r"holds \['star'\]"):
        matched(image, found_of())
    small = Detections.of(np.ones((1, 9, 9), bool), [0])
    with pytest.raises(ValueError, match="do not lie on an image"):
        matched(image_of(("triangle", A)), small)


def test_area_shares_count_a_pixel_once_and_boxes_overstate():
    y, x = np.mgrid[:20, :20]
    half = np.zeros(SHAPE, bool)
    half[:20, :20] = y >= x
    found = found_of((0, half, 1.0), (0, half, 0.5), (1, C, 0.9))
    apart = found_of((0, A, 0.9), (0, B, 0.8))
    np.testing.assert_allclose(detections.area_shares(apart, 2), [200 / 2400, 0])
    shares = detections.area_shares(found, 2)
    np.testing.assert_allclose(shares, [210 / 2400, 200 / 2400])
    np.testing.assert_allclose(
        detections.area_shares(found, 2, boxes=True), [400 / 2400, 200 / 2400]
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 6))
def test_what_always_holds(seed, true_count, found_count):
    rng = np.random.default_rng(seed)

    def boxes(count):
        return [rectangle(*rng.integers((0, 0, 3, 3), (25, 40, 15, 20))) for _ in range(count)]

    image = image_of(*[(CLASSES[rng.integers(2)], m) for m in boxes(true_count)])
    found = found_of(*[(int(rng.integers(2)), m, rng.random()) for m in boxes(found_count)])
    true = detections.truth(image, CLASSES)
    masks, rectangles = detections.mask_iou(found, true), detections.box_iou(found, true)
    np.testing.assert_allclose(masks, rectangles, atol=1e-6)  # these masks are their boxes
    assert ((masks >= 0) & (masks <= 1)).all()
    got = matched(image, found)
    assert (got.tp.sum(0) <= true_count).all()
    scores = detections.summary([got], CLASSES)
    if true_count:
        assert all(0 <= value <= 1 for value in scores.values())
    matrix = detections.confusion([found], [image], CLASSES, score=0.0)
    assert matrix[:, :-1].sum() == true_count and matrix[:-1].sum() == found_count
    own = detections.summary([detections.match(true, image, CLASSES)], CLASSES)
    if true_count and not (np.triu(detections.mask_iou(true, true), 1) > 0.5).any():
        assert own["map50_95"] == pytest.approx(0.995)


def test_a_pixel_that_two_claim_goes_to_the_surer_one():
    masks = np.zeros((2, 4, 6), bool)
    masks[0, :, :4], masks[1, :, 2:] = True, True
    found = Detections.of(masks, [0, 1], [0.3, 0.9])
    alone = detections.without_overlap(found)
    np.testing.assert_allclose(detections.area_shares(alone, 2), [2 / 6, 4 / 6])
    np.testing.assert_allclose(
        detections.area_shares(found, 2), [4 / 6, 4 / 6]
    )  # the argument is as it was
    assert (alone.scores == found.scores).all() and (alone.boxes == found.boxes).all()
    assert len(detections.without_overlap(Detections.of(np.zeros((0, 4, 6), bool), []))) == 0


def test_the_last_overlap_is_not_in_map50_90():
    """Found at all overlaps but the last, 0.95."""
    tp = (detections.IOUS < 0.95)[None]
    one = detections.summary([Matches(tp, np.ones(1), np.zeros(1), np.zeros(1))], ["a"])
    assert one["map50"] == one["map50_90"] == pytest.approx(0.995)
    assert one["map50_95"] == pytest.approx(0.9 * 0.995)
