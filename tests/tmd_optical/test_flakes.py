"""The real flakes."""

import numpy as np
import pytest
from conftest import has_real_data

pytest.importorskip("cv2")

from mchelpers.inputs import polygons
from mchelpers.tmd_optical import flakes


def test_flakes_of_an_unknown_material_are_refused():
    with pytest.raises(ValueError, match="no flakes of"):
        flakes.load_flakes(materials=["MoTe2"])


@pytest.mark.skipif(not has_real_data("flakes"), reason="the real flakes are not on this machine")
def test_the_real_flakes_are_there():
    labelled = flakes.load_flakes(materials=["WSe2"])
    assert len(labelled) == 8 and labelled.kind == "real" and len(labelled.sha256) == 64
    assert [len(i.instances) for i in labelled].count(0) == 1  # one has no thin flake
    for image in labelled:
        assert image.image.shape == (1200, 1920, 3) and image.image.dtype == np.uint8
        assert set(image.categories) <= {"WSe2"} and image.group == "WSe2"
    thing = labelled[-1].instances[0]
    pieces = thing.rings()
    assert polygons.rings_to_mask(pieces, labelled[-1].shape).sum() == thing.crop.sum()
    bare = flakes.load_flakes(labelled=False, materials=["WSe2"])
    assert len(bare) == 2 and not any(i.instances for i in bare)
