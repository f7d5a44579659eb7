"""Every augmentation of the package works where the images are, on a GPU as well.

Meta tensors stand for those of a GPU: they have a shape and a device but no values, and do not
go together with tensors of the processor, on which all draws are made.
"""

import ast
import importlib
import inspect

import pytest
import torch
from conftest import REPOSITORY

SIDE, SMALL = 320, 64  # px; SIDE is large enough to turn a patch of 224 px inside it
IMAGES = (3, 1, SIDE, SIDE)
TARGETS = {  # shapes of targets, where they are not (B, 1, H, H)
    "afm_coverage.regression.as_seen": IMAGES[:1],
    "afm_coverage.regression.inscribed": (3, SIDE, SIDE),
    "afm_coverage.regression.symmetric": (3, SIDE, SIDE),
    "afm_coverage.regression.zero_fill": (3, SIDE, SIDE),
    "afm_coverage.encoders.turned": (3, 1),
}


def augmentations():
    """Name all functions that take images first and a generator: ``module.function``."""
    package = REPOSITORY / "mchelpers"
    for file in sorted(package.rglob("*.py")):
        module = ".".join(file.relative_to(package).with_suffix("").parts)
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                kinds = [ast.unparse(a.annotation) for a in node.args.args if a.annotation]
                if kinds[:1] == ["Tensor"] and "torch.Generator" in kinds:
                    yield f"{module}.{node.name}"


FOUND = list(augmentations())


def test_the_known_ones_are_among_those_found():
    known = {"augment.affine", "afm_coverage.films.shade", "afm_coverage.segmenters._views"}
    assert known <= set(FOUND) and set(TARGETS) <= set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_it_works_where_the_images_are(name):
    module, _, function = name.rpartition(".")
    augment = getattr(importlib.import_module(f"mchelpers.{module}"), function)
    parameters = inspect.signature(augment).parameters
    draws = {"generator": torch.Generator().manual_seed(0)}
    if "side" in parameters:
        draws["side"] = SMALL
    batches = [torch.rand(IMAGES)]
    if list(parameters)[1] != "generator":
        batches.append((torch.rand(TARGETS.get(name, IMAGES)) > 0.5).float())
    shapes = []
    for device in ("cpu", "meta"):
        draws["generator"].manual_seed(0)
        out = augment(*(b.to(device) for b in batches), **draws)
        out = out if isinstance(out, tuple) else (out,)
        assert len(out) == len(batches) and {o.device.type for o in out} == {device}
        shapes.append([o.shape for o in out])
    assert shapes[0] == shapes[1] and all(len(s) and s[0] % 3 == 0 for s in shapes[0])
