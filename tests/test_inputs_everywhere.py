"""Any array into any public function that takes an image: an answer, or one sentence of our own.

``INPUTS=200`` throws 200 arrays at each function; by default a few. A new function with an
image among its arguments must be named here, in ``CALLS`` or, with a reason, in ``LEFT_OUT``.
"""

import ast
import importlib
import linecache
import os
import tempfile
import traceback
import warnings
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

PACKAGE = REPOSITORY / "mchelpers"
EXAMPLES = int(os.environ.get("INPUTS", 15))
IMAGES = {"image", "images", "frame", "frames", "micrograph", "micrographs", "crop", "page"}
IMAGES |= {"picture", "pictures", "rgb", "padded", "distance", "contrast", "background", "patches"}
IMAGES |= {
    "features",
    "scores",
    "maps",
    "logits",
    "probabilities",
    "values",
    "arrays",
    "half",
    "spectrum",
}
MASKS = {"mask", "masks", "truth", "inside"}
LABELS = {"labels", "instances", "predicted", "true", "owner", "kinds"}
KINDS = ("b1", "u1", "i1", "<u2", ">u2", "i2", "u4", ">i4", "i8", "u8", "f2", "f4", ">f4", "f8")
KINDS += (">f8", "c8", "c16", "O", "U1")
SHAPES = [(), (0,), (9,), (0, 0), (0, 9), (1, 1), (1, 40), (40, 1), (5, 6), (16, 16), (32, 32)]
SHAPES += [(33, 47), (40, 64), (64, 64), (0, 40, 40), (1, 40, 40), (2, 33, 40), (2, 1, 1)]
SHAPES += [(40, 40, 1), (40, 40, 2), (40, 40, 3), (1, 1, 3), (33, 41, 4), (2, 40, 40, 3)]
FILLS = ("noise", "noise", "lattice", "blobs", "blank", "full", "two levels", "negative", "huge")
FLAWS = ("none",) * 6 + ("one NaN", "all NaN", "inf", "masked", "nothing masked")
LAYOUTS = ("C", "C", "F", "steps", "frozen")


def filled(shape, kind, fill, rng):
    """Make an array of a shape and a type."""
    if kind in ("O", "U1"):
        return np.full(shape, "x", kind)
    dtype = np.dtype(kind)
    whole, base = dtype.kind in "ui", rng.random(shape)
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else (0, 1)
    if fill == "lattice" and len(shape) > 1:
        waves = np.sin(0.9 * np.arange(shape[-2]))[:, None] * np.sin(0.9 * np.arange(shape[-1]))
        base = np.clip(0.5 + 0.4 * waves + 0.1 * base, 0, 1)
    elif fill == "blobs" and len(shape) > 1:
        far = np.hypot(np.arange(shape[-2])[:, None] - 15, np.arange(shape[-1]) - 15)
        base = np.broadcast_to((far < 9).astype(float), shape)
    elif fill in ("blank", "full"):
        base = np.full(shape, float(fill == "full"))
    elif fill == "two levels":
        base = (base > 0.5).astype(float)
    if dtype.kind == "b":
        return base > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if fill == "huge" and not whole:
            return (base * 1e300).astype(dtype)
        if fill == "negative" and dtype.kind != "u":
            return ((base - 0.5) * (200 if whole else 2)).astype(dtype)
        return (low + base * (high - low)).astype(dtype) if whole else base.astype(dtype)


def flawed(array, flaw, layout, rng):
    """Spoil an array, and lay it out in memory in some way."""
    array = np.array(array)
    if array.dtype.kind in "fc" and array.size:
        spot = tuple(rng.integers(0, n) for n in array.shape)
        if flaw == "one NaN":
            array[spot] = np.nan
        if flaw == "all NaN":
            array[...] = np.nan
        if flaw == "inf":
            array[spot] = np.inf
    if layout == "F":
        array = np.asfortranarray(array)
    if layout == "steps" and array.ndim > 1:
        array = np.repeat(array, 2, axis=-1)[..., ::2][::-1]
    if layout == "frozen":
        array.flags.writeable = False
    if flaw in ("masked", "nothing masked"):
        array = np.ma.array(array, mask=rng.random(array.shape) < (0.1 if flaw == "masked" else 0))
    return array


arrays = st.tuples(
    st.sampled_from(SHAPES),
    st.sampled_from(KINDS),
    st.sampled_from(FILLS),
    st.sampled_from(FLAWS),
    st.sampled_from(LAYOUTS),
)


def stages(array):
    return {"one": array}


def labelled(image):
    """Wrap an array as an image with one labelled object."""
    from mchelpers.inputs.objects import Instance, LabelledImage

    return LabelledImage("one", image, [Instance("crystal", 0, 0, np.ones((1, 1), bool))], "run")


def one(image):
    return [labelled(image)]


def several(image):
    return [labelled(image), labelled(image)]


def network(pool=False):
    """Build a network that answers each pixel, or each picture, whatever its channels are."""
    from torch import nn

    class Stub(nn.Module):
        multiple = 32

        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, image):
            answer = self.layer(image.float().mean(1, keepdim=True))
            return answer.mean((2, 3)) if pool else answer

    return Stub()


def lattice():
    from mchelpers.graphene_hrtem.atoms import Lattice

    return Lattice(5.0, 0.9)


def found(count=1):
    from mchelpers.tmd_optical.detections import Detections

    masks = np.zeros((count, 33, 41), bool)
    masks[:, 5:20, 5:20] = True
    return Detections.of(masks, [0] * count)


def region(box=(2, 3, 8, 9)):
    from mchelpers.nanoparticles.regions import Region

    return Region(box, np.ones((box[2] - box[0], box[3] - box[1]), bool))


def pair(array):
    """Two images; other than a stack, they need not have one size."""
    return [array, array]


def stack(array):
    return np.ma.stack(pair(array)) if np.ma.isMaskedArray(array) else np.stack(pair(array))


def pixel_model():
    chances = partial(np.full, fill_value=0.5)
    return SimpleNamespace(predict_proba=lambda rows: chances((len(rows), 2)))


def film():
    from mchelpers.afm_coverage.films import FilmNetwork

    return FilmNetwork(2)


def layout():
    from mchelpers.afm_coverage.whole import study_layout

    return study_layout((40, 64), 32)


def baseline():
    from mchelpers.tmd_optical.contrast import Baseline

    chances = SimpleNamespace(
        classes_=np.arange(2), predict_proba=lambda rows: np.full((len(rows), 2), 0.5)
    )
    return Baseline(("one", "other"), "colour", chances)


def folder():
    return Path(tempfile.mkdtemp(dir=os.environ["PYTEST_FOLDER"]))


def axes():
    import matplotlib.pyplot as plt

    return plt.figure().add_subplot()


def micrographs(image):
    instances = np.ones(np.shape(image), np.uint8)
    return [
        SimpleNamespace(
            name="one", image=image, instances=instances, material="Au", pixel_size_nm=0.02,
            kind="simulated", particles=[None],
        )
    ]  # fmt: skip


def fits(shape=(40, 64), kind="f4", **others):
    """Say what a function likes best, and how its other arguments come about."""
    return shape, kind, others


FOLDS = [np.array([0]), np.array([1])]
STACK = (2, 33, 40)
RGB = (33, 41, 3)
CALLS = {
    "afm_coverage.encoders.features": fits(STACK, "u1", encoder=partial(network, pool=True)),
    "afm_coverage.export.export_page": fits(RGB, "u1", range_nm=(0, 5), pixel_size_nm=4.0),
    "afm_coverage.films.as_tensor": fits(STACK, "u1"),
    "afm_coverage.films.describe": fits((2, 64, 64), "u1", network=film),
    "afm_coverage.films.mirrored": fits((2, 64, 64), "u1", network=network),
    "afm_coverage.films.predict_films": fits(kind="u1", images=pair, network=network),
    "afm_coverage.labels.best_threshold": fits(kind="u1"),
    "afm_coverage.labels.coverage_curve": fits(kind="u1"),
    "afm_coverage.labels.coverage_uncertainty": fits(kind="u1", threshold=100.5, delta=0.01),
    "afm_coverage.labels.crop_export": fits(RGB, "u1"),
    "afm_coverage.labels.hand_threshold": fits(kind="u1"),
    "afm_coverage.labels.li": fits(kind="u1"),
    "afm_coverage.labels.luminance": fits(RGB, "u1"),
    "afm_coverage.labels.otsu": fits(kind="u1"),
    "afm_coverage.labels.outline_contrast": fits(kind="u1"),
    "afm_coverage.labels.overlap_curve": fits(kind="u1"),
    "afm_coverage.labels.two_gaussians": fits(kind="u1"),
    "afm_coverage.patches.cut_patches": fits(kind="u1", images=pair, masks=pair, side=4, count=2),
    "afm_coverage.regression.predict_coverage": fits(
        (2, 224, 224), "u1", network=partial(network, pool=True)
    ),
    "afm_coverage.segmenters.coverage_of": fits(STACK, "b1"),
    "afm_coverage.segmenters.iou": fits(STACK, "b1"),
    "afm_coverage.segmenters.shrink": fits(kind="u1", images=pair, masks=pair, times=2),
    "afm_coverage.whole.area_coverage": fits(network=partial(network, pool=True), side=16),
    "afm_coverage.whole.cut_tiles": fits((64, 96), layout=layout),
    "afm_coverage.whole.pad": fits(layout=layout),
    "afm_coverage.whole.rescale": fits(scale=0.7),
    "afm_coverage.whole.sliding": fits(network=network, side=16),
    "afm_coverage.whole.study_coverage": fits(network=partial(network, pool=True), side=16),
    "afm_coverage.whole.study_mask": fits(network=network, side=16),
    "afm_coverage.whole.whole": fits(network=network),
    "data.bezier_background": fits(),
    "data.zscore": fits(STACK),
    "graphene_hrtem.atoms.find_atoms": fits(lattice=lattice),
    "graphene_hrtem.atoms.find_hexagons": fits(lattice=lattice),
    "graphene_hrtem.atoms.hexagon_signal": fits(lattice=lattice, zoom=2),
    "graphene_hrtem.atoms.measure_lattice": fits(),
    "graphene_hrtem.atoms.order_parameter": fits(radius=0.15),
    "graphene_hrtem.atoms.unmasked": fits(kind="b1", atoms=np.array([[3.0, 4.0], [-1.0, 5.0]])),
    "graphene_hrtem.bragg.bragg_filter": fits(),
    "graphene_hrtem.bragg.bragg_image": fits(spots=np.array([[0.1, 0.2]], np.float32)),
    "graphene_hrtem.bragg.bragg_spots": fits((40, 33), width=64),
    "graphene_hrtem.bragg.full_plane": fits((40, 33), width=64),
    "graphene_hrtem.bragg.low_pass": fits(sigma=3.0),
    "graphene_hrtem.bragg.weighted_spectrum": fits(),
    "graphene_hrtem.classical.best_masks": fits((2, 7, 33, 40), folds=FOLDS),
    "graphene_hrtem.classical.bragg_maps": fits(images=pair),
    "graphene_hrtem.classical.bragg_masks": fits(STACK, folds=FOLDS, sigmas=(0.01,)),
    "graphene_hrtem.classical.f1_by_threshold": fits(STACK),
    "graphene_hrtem.classical.feature_maps": fits(),
    "graphene_hrtem.classical.feature_stack": fits(images=pair),
    "graphene_hrtem.classical.fit_pixels": fits((2, 7, 33, 40)),
    "graphene_hrtem.classical.flat_field": fits(),
    "graphene_hrtem.classical.lattice_free_channels": fits(STACK),
    "graphene_hrtem.classical.local_deviation": fits(),
    "graphene_hrtem.classical.otsu_masks": fits(scores=pair),
    "graphene_hrtem.classical.pixel_probability": fits((7, 33, 40), model=pixel_model),
    "graphene_hrtem.classical.probability_masks": fits(STACK),
    "graphene_hrtem.classical.threshold_masks": fits(STACK, folds=FOLDS),
    "graphene_hrtem.lattice.bragg_radius": fits(),
    "graphene_hrtem.lattice.ring_prominence": fits(),
    "graphene_hrtem.postprocess.tidy": fits(STACK),
    "graphene_hrtem.postprocess.tidy_cross_fitted": fits(
        STACK, folds=FOLDS, grid={"threshold": (0.0,)}
    ),
    "graphene_hrtem.reduction.compress": fits(kind="u1"),
    "graphene_hrtem.reduction.encode_runs": fits(kind="b1"),
    "graphene_hrtem.reduction.lattice_lost": fits(STACK, "b1"),
    "graphene_hrtem.scores.auc_per_image": fits(STACK),
    "graphene_hrtem.scores.oracle_threshold": fits(STACK, steps=4),
    "graphene_hrtem.scores.surface_dice": fits(STACK, "b1", tolerance_px=2.0),
    "metrics.check_masks": fits(STACK, "b1"),
    "metrics.confusion": fits(STACK, "b1"),
    "metrics.per_image": fits(STACK, "b1"),
    "metrics.pooled": fits(STACK, "b1"),
    "metrics.radial_spectrum": fits(),
    "metrics.windowed_amplitude": fits(),
    "measuring.one.measure": fits((64, 64), study="graphene_hrtem", pixel_size_nm=0.03),
    "nanoparticles.crystallinity.best_annulus": fits(images=pair, masks=stack, middles=(0.1, 0.2)),
    "nanoparticles.crystallinity.best_threshold": fits(STACK),
    "nanoparticles.crystallinity.fourier_envelope": fits(inner=0.1, outer=0.2),
    "nanoparticles.crystallinity.fourier_mask": fits(inner=0.1, outer=0.2),
    "nanoparticles.crystallinity.lattice_mask": fits(threshold=3.0),
    "nanoparticles.crystallinity.local_lattice_map": fits(),
    "nanoparticles.crystallinity.otsu_mask": fits(),
    "nanoparticles.faults.better_features": fits(pixel_size_nm=0.03),
    "nanoparticles.faults.study_features": fits(),
    "nanoparticles.faults.study_profile": fits(),
    "nanoparticles.faults.to_8bit": fits(),
    "nanoparticles.network.flatten": fits(),
    "nanoparticles.network.prepare": fits(STACK),
    "nanoparticles.network.prepare_whole": fits(images=pair),
    "nanoparticles.populations.match": fits(kind="i4"),
    "nanoparticles.populations.measure": fits(kind="i4", pixel_size_nm=0.03),
    "nanoparticles.populations.panoptic_quality": fits(kind="i4", predicted=pair, true=pair),
    "nanoparticles.populations.particle_f1": fits(kind="i4", predicted=pair, true=pair),
    "nanoparticles.populations.separate": fits(kind="b1", minimum_px=5),
    "nanoparticles.regions.crop": fits(region=region),
    "nanoparticles.regions.empty_regions": fits(STACK, "b1", count=1, sides=(4, 6)),
    "nanoparticles.regions.regions": fits(kind="b1", minimum_px=2, sides=(1, 50)),
    "nanoparticles.regions.tidy_mask": fits(kind="b1", opening_px=2, closing_px=2, hull=True),
    "nanoparticles.regions.truth_class": fits(
        kind="u1", region=region, particles=[SimpleNamespace(viewable=True, fault=True)] * 9
    ),
    "nanoparticles.stacking.bragg_spectrum": fits(pixel_size_nm=0.03),
    "nanoparticles.tiles.cut": fits(micrographs=micrographs, size=16),
    "nanoparticles.tiles.normalise": fits(),
    "nanoparticles.tiles.remove_xrays": fits(),
    "nanoparticles.whole.segment": fits(network=network, pixel_size_nm=0.3, tile=32, halo=32),
    "show.figures.error_colours": fits(kind="b1"),
    "show.figures.error_map": fits(kind="b1", ax=axes),
    "show.figures.grey_limits": fits(),
    "show.figures.image": fits(ax=axes),
    "show.figures.montage": fits(images=pair, masks=pair),
    "show.figures.steps": fits(arrays=stages),
    "inputs.coco.write_coco": fits(RGB, "u1", images=one, folder=folder, classes=["crystal"]),
    "tmd_optical.contrast.Baseline.__call__": fits(RGB, "u1", self=baseline),
    "tmd_optical.contrast.check_frame": fits(RGB, "u1"),
    "tmd_optical.contrast.colour_contrast": fits(RGB, "u1"),
    "tmd_optical.contrast.colour_distance": fits(RGB, "u1"),
    "tmd_optical.contrast.colour_features": fits((9, 8, 3)),
    "tmd_optical.contrast.describe": fits(RGB, "u1", found=found, by="colour"),
    "tmd_optical.contrast.fit_background": fits(RGB, "u1"),
    "tmd_optical.contrast.gather_examples": fits(
        RGB, "u1", images=several, classes=["crystal"], progress=False
    ),
    "tmd_optical.contrast.outline_crystals": fits(RGB, "u1"),
    "tmd_optical.contrast.segment": fits(threshold=0.5, least_px=5),
    "tmd_optical.contrast.shape_features": fits(kind="b1"),
    "tmd_optical.corruptions.blur": fits(RGB, "u1", sd_px=1.0),
    "tmd_optical.corruptions.corrupted_copies": fits(
        RGB, "u1", images=several, most={"blur": 1.0, "jpeg": 30}
    ),
    "tmd_optical.corruptions.gaussian": fits(RGB, "u1", sd=0.1),
    "tmd_optical.corruptions.jpeg": fits(RGB, "u1", loss=20),
    "tmd_optical.corruptions.salt_and_pepper": fits(RGB, "u1", share=0.1),
    "tmd_optical.corruptions.white_balance": fits(RGB, "u1", stops=0.2),
    "tmd_optical.live.fit": fits(RGB, "u1", side=64),
    "inputs.rgb.as_rgb8": fits(RGB, "u1"),
    "inputs.rgb.native_rgb8": fits(RGB, "u1"),
    "inputs.yolo.write_yolo": fits(
        RGB, "u1", images=one, split={"train": [0]}, classes=["crystal"], folder=folder
    ),
    "inputs.objects.check_images": fits(RGB, "u1", images=one, classes=["crystal"]),
    "tmd_optical.stage.Stage.__init__": fits(RGB, "u1", window=(20, 30)),
    "tmd_optical.transfer.as_contrast": fits(RGB, "u1", image=labelled),
    "tmd_optical.transfer.cut_window": fits(RGB, "u1", image=labelled, top=1, left=2, side=16),
    "tmd_optical.transfer.draw_windows": fits(
        RGB, "u1", image=labelled, side=16, empty=2, rng=np.random.default_rng(0)
    ),
    "tmd_optical.transfer.quarters": fits(RGB, "u1", image=labelled),
    "whole.predict_whole": fits(network=network, tile=32, halo=32),
}
COVERAGES = "one number an image, no image"
POSITIONS = "positions of atoms"
TRAINS = "trains; its arrays pass through as_tensor, as_rgb8 or check_images first"
SIMULATES = "its source is in the key of kept simulated images, which a check would make anew"
KEPT = "its source is in the key of kept trainings, which a check would make anew"
MARKS = "its mask was drawn by a reader of labels, or let through by check_images"
OBJECTS = "compares objects; looks at no pixel of the image"
LEFT_OUT = {
    **dict.fromkeys(
        (
            *(f"afm_coverage.coverage.{name}" for name in ("calibrator", "interval", "mae", "r2")),
            *(f"afm_coverage.coverage.{name}" for name in ("overlap_areas", "recalibrate")),
            *(f"afm_coverage.coverage.{name}" for name in ("rmse", "sample_mean_predictor")),
            "afm_coverage.coverage.within_sample_r2",
        ),
        COVERAGES,
    ),
    "metrics.bootstrap": COVERAGES,
    "measuring.answer.answer_of": "takes what measure let through",
    "measuring.answer.corrected": "takes an answer, and a mask of its size or says so",
    "measuring.outlines.annotations": "takes the objects that measure numbered",
    "measuring.outlines.outlined": "takes the objects that measure numbered",
    "measuring.outlines.trace": "takes one object that measure numbered",
    "measuring.physics.fringe_radius": "looks at what measure let through",
    "measuring.ranges.lattice_properties": "looks at what measure let through",
    "measuring.ranges.properties": "looks at what measure let through",
    "measuring.shipped.compared": "looks at what measure let through",
    "measuring.ruler.middle": "cuts what measure let through",
    "measuring.ruler.graphene_radius": "looks at what measure let through",
    "nanoparticles.faults.fit_forest": "names of classes, one a crop",
    "nanoparticles.faults.predict_splits": "names of classes, one a crop",
    "nanoparticles.faults.recalls": "names of classes, one a crop",
    "tmd_optical.corruptions.dose_at": "scores, one a dose",
    "tmd_optical.corruptions.relative_drop": "scores, one a dose",
    "graphene_hrtem.bonds.match": POSITIONS,
    "graphene_hrtem.bonds.score_atoms": POSITIONS,
    "graphene_hrtem.bonds.score_bonds": POSITIONS,
    "afm_coverage.patches.Patches.of": "numbers of micrographs",
    "afm_coverage.encoders.fine_tune": TRAINS,
    "afm_coverage.encoders.fit_mlp": TRAINS,
    "afm_coverage.films.train_films": TRAINS,
    "tmd_optical.contrast.fit_baseline": TRAINS,
    "tmd_optical.yolo.train": TRAINS,
    "afm_coverage.export.write_tiff": "writes a page of export_page, nothing else",
    "afm_coverage.images.export_tiff": "writes a simulated micrograph",
    "graphene_hrtem.scenes.stretch": SIMULATES,
    "inputs.objects.Instance.of": SIMULATES,
    "inputs.marks.add_object": MARKS,
    "inputs.marks.paste": MARKS,
    "inputs.polygons.mask_to_outlines": MARKS,
    "inputs.run_lengths.mask_to_runs": MARKS,
    "inputs.polygons.mask_to_rings": SIMULATES,
    "inputs.polygons.polygon_box": SIMULATES,
    "tmd_optical.detections.confusion": OBJECTS,
    "tmd_optical.detections.match": OBJECTS,
    "tmd_optical.detections.truth": OBJECTS,
    "tmd_optical.contrast.Baseline.name": "numbers of objects, as describe returns them",
    "nanoparticles.whole.in_own_process": "starts a process, which calls segment",
    "tmd_optical.images.split_runs": "splits by names; looks at no pixel",
    "inputs.yolo.find_leaks": "compares names; looks at no pixel",
    "tmd_optical.engines.Engine.__call__": "refuses all but the one shape and type it takes",
    "tmd_optical.screens.NotebookView.__call__": "shows what live.overlay drew",
    "tmd_optical.screens.VirtualScreen.show": "needs Xvfb",
    "tmd_optical.screens.Window.__call__": "needs a display",
    "tmd_optical.yolo.Detector.__call__": "needs a trained network; as_rgb8 is its first step",
    "tmd_optical.live.overlay": "draws what owners() made of the same frame",
    "graphene_hrtem.scores.macro": KEPT,
    "tmd_optical.detections.Detections.of": KEPT,
    "tmd_optical.objects.augmented_copies": "turns what check_images or write_yolo let through",
    "tmd_optical.yolo.prepare": KEPT,
    "tmd_optical.yolo.detect": "calls a Detector for each image",
}


def takes_images(function):
    """Name the arguments of a function that hold images, masks or labels."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    kinds = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in arguments}
    arrays = ("ndarray", "LabelledImage", "ParticleMicrograph", "AfmMicrograph")
    return [
        name
        for name, kind in kinds.items()
        if name in IMAGES | MASKS | LABELS and any(a in kind for a in arrays)
    ]


@cache
def functions():
    """Map each public function that takes an image, as ``tiles.cut``, to those arguments."""
    hit = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        if module.partition(".")[0] in ("book", "claims", "record", "checks", "__init__"):
            continue
        for node in ast.parse(file.read_text()).body:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            before = f"{module}.{node.name}." if isinstance(node, ast.ClassDef) else f"{module}."
            for f in inner:
                if isinstance(f, ast.FunctionDef) and takes_images(f):
                    name = before + f.name
                    if not any(p.startswith("_") and p[:2] != "__" for p in name.split(".")):
                        hit[name] = takes_images(f)
    return hit


def test_no_function_that_takes_an_image_is_forgotten():
    assert set(CALLS) | set(LEFT_OUT) == set(functions())
    assert not set(CALLS) & set(LEFT_OUT)


NOT_FINITE = {  # function -> what its NaN says
    "graphene_hrtem.atoms.measure_lattice": "no lattice",
    "graphene_hrtem.lattice.bragg_radius": "no lattice",
    "graphene_hrtem.reduction.lattice_lost": "no clean pixel",
    "graphene_hrtem.scores.auc_per_image": "one class only",
    "measuring.one.measure": "no lattice",
    "nanoparticles.regions.crop": "what the image holds there",
}


def drawn(name, choices, luck):
    """Make the arguments of one call from what was drawn."""
    (shape, kind, fill, flaw, layout), luck = choices, np.random.default_rng(luck)
    best_shape, best_kind, others = CALLS[name]
    shape = best_shape if luck.random() < 0.6 else shape
    kind = best_kind if luck.random() < 0.5 else kind
    given = {}
    for n, argument in enumerate(functions()[name]):
        if n and luck.random() < 0.7:  # what belongs to the first
            kind = {argument in MASKS: "b1", argument in LABELS: "u1"}.get(True, kind)
            flaw = "none"
            if argument in MASKS and len(shape) > len(best_shape) - (best_shape == RGB):
                shape = shape[:2]
            if argument == "inside":
                shape = shape[:2]
            if name.endswith(("fit_pixels", "best_masks")):
                shape = shape[:1] + shape[2:]
        array = flawed(filled(shape, kind, fill, luck), flaw, layout, luck)
        if argument in LABELS and array.dtype.kind == "u":
            array = array % 4
        wrap = others.get(argument)
        given[argument] = array if wrap is None else wrap(array)
    return given


def called(name, given):
    """Call a function by its name."""
    import matplotlib.pyplot as plt
    import torch

    plt.close("all")
    torch.manual_seed(0)
    others = {k: v() if callable(v) else v for k, v in CALLS[name][2].items() if k not in given}
    module = name
    while not (PACKAGE / f"{module.replace('.', '/')}.py").exists():
        module = module.rpartition(".")[0]
    function = importlib.import_module(f"mchelpers.{module}")
    for part in name.removeprefix(f"{module}.").removesuffix(".__init__").split("."):
        function = getattr(function, part)
    return function(**given, **others)


def numbers(answer):
    """Walk through all floating-point arrays and numbers of an answer."""
    if isinstance(answer, np.ndarray | np.generic | float):
        yield np.asarray(answer)
    elif isinstance(answer, dict):
        yield from numbers(list(answer.values()))
    elif isinstance(answer, list | tuple):
        for part in answer:
            yield from numbers(part)
    elif hasattr(answer, "numpy"):
        yield answer.numpy()
    elif is_dataclass(answer):
        unknown = ("pixel_um", "area_um2", "bond_px")  # NaN where it is not known
        names = [f.name for f in fields(answer) if f.name not in unknown]
        yield from numbers([getattr(answer, name) for name in names])


@pytest.mark.parametrize("name", CALLS)
def test_any_array_gives_an_answer_or_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_FOLDER", str(tmp_path))
    answered = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        derandomize=EXAMPLES < 100,
        suppress_health_check=list(HealthCheck),
    )
    @given(arrays, st.integers(0, 2**32 - 1))
    def check(choices, luck):
        given = drawn(name, choices, luck)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                answer = called(name, given)
            except (ValueError, TypeError) as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                assert PACKAGE in Path(last.filename).parents, f"{last.filename}: {error}"
                raised = linecache.getline(last.filename, last.lineno).strip()
                assert raised.startswith("raise "), f"{last.filename}, line {last.lineno}: {error}"
                return
        if name not in NOT_FINITE:
            kept = [a for a in numbers(answer) if a.dtype.kind in "fc"]
            assert all(np.isfinite(a).all() for a in kept), "NaN or infinity in the answer"
        answered.append(1)

    check()
    assert answered, "nothing was ever answered"


@pytest.mark.parametrize("name", [n for n in CALLS if "pixel_size_nm" in CALLS[n][2]])
@pytest.mark.parametrize("size", [0, -0.02, np.nan, np.inf, 2e-11])
def test_a_pixel_size_that_is_none_is_refused(name, size):
    shape, kind, others = CALLS[name]
    luck = np.random.default_rng(0)
    wanted = functions()[name]
    given = {a: filled(shape, "b1" if a in MASKS else kind, "noise", luck) for a in wanted}
    with pytest.raises(ValueError, match="pixel_size_nm must be"):
        called(name, {**given, "pixel_size_nm": size})
