"""Names that recorded chapters still import from their old places.

The cells of a recorded chapter are what was executed: they change when it is executed
again. Until then an old import gives the very objects of the new place. An entry goes when
no chapter names it any more; with the last one this module goes.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULES = {
    "atoms": "graphene_hrtem.atoms",
    "bonds": "graphene_hrtem.bonds",
    "bragg": "graphene_hrtem.bragg",
    "classical": "graphene_hrtem.classical",
    "coco": "inputs.coco",
    "contrast": "tmd_optical.contrast",
    "corruptions": "tmd_optical.corruptions",
    "coverage": "afm_coverage.coverage",
    "crossval": "kept",
    "crystallinity": "nanoparticles.crystallinity",
    "detections": "tmd_optical.detections",
    "encoders": "afm_coverage.encoders",
    "engines": "tmd_optical.engines",
    "faults": "nanoparticles.faults",
    "film_network": "afm_coverage.films",
    "flakes": "tmd_optical.flakes",
    "instances": "inputs.objects",
    "labelling": "afm_coverage.labels",
    "lattice": "graphene_hrtem.lattice",
    "live": "tmd_optical.live",
    "losses": "models",
    "networks": "graphene_hrtem.classical",
    "particle_network": "nanoparticles.network",
    "patches": "afm_coverage.patches",
    "polygons": "inputs.polygons",
    "populations": "nanoparticles.populations",
    "postprocess": "graphene_hrtem.postprocess",
    "preprocess": "data",
    "pretraining": "afm_coverage.pretraining",
    "prevalence": "nanoparticles.prevalence",
    "reduction": "graphene_hrtem.reduction",
    "regions": "nanoparticles.regions",
    "regression": "afm_coverage.regression",
    "screens": "tmd_optical.screens",
    "segmenters": "afm_coverage.segmenters",
    "simulate.afm": "afm_coverage.images",
    "simulate.crystals": "tmd_optical.crystals",
    "simulate.export": "afm_coverage.export",
    "simulate.flakes": "tmd_optical.peeled",
    "simulate.graphene": "graphene_hrtem.samples",
    "simulate.growth": "afm_coverage.growth",
    "simulate.hrtem": "graphene_hrtem.images",
    "simulate.nanoparticles": "nanoparticles.images",
    "simulate.optical": "tmd_optical.images",
    "simulate.optics": "tmd_optical.optics",
    "simulate.particles": "nanoparticles.particles",
    "simulate.runs": "tmd_optical.runs",
    "simulate.scenes": "tmd_optical.scenes",
    "simulate.sem": "afm_coverage.sem",
    "simulate.standin": "graphene_hrtem.stand_in",
    "stacking": "nanoparticles.stacking",
    "stacks": "nanoparticles.release",
    "stage": "tmd_optical.stage",
    "tiles": "nanoparticles.tiles",
    "tiling": "afm_coverage.whole",
    "tmd": "tmd_optical.tasks",
    "transfer": "tmd_optical.transfer",
    "weights": "kept",
    "wse2": "afm_coverage.release",
    "yolo": "tmd_optical.yolo",
}

OBJECTS = {  # those that left their module
    ("augment", "micrograph"): "graphene_hrtem.views",
    ("augment", "predict_symmetric"): "graphene_hrtem.views",
    ("augment", "rotate_fill"): "nanoparticles.rotation",
    ("data", "load_graphene"): "graphene_hrtem.images",
    ("instances", "augmented_copies"): "tmd_optical.objects",
    ("instances", "find_leaks"): "inputs.yolo",
    ("instances", "read_yolo"): "inputs.yolo",
    ("instances", "write_yolo"): "inputs.yolo",
    ("lattice", "radial_spectrum"): "metrics",
    ("metrics", "auc_per_image"): "graphene_hrtem.scores",
    ("metrics", "macro"): "graphene_hrtem.scores",
    ("metrics", "oracle_threshold"): "graphene_hrtem.scores",
    ("metrics", "surface_dice"): "graphene_hrtem.scores",
    ("models", "ParticleUNet"): "nanoparticles.network",
    ("patches", "Split"): "data",
    ("patches", "split_samples"): "data",
    ("simulate.graphene", "amorphous_carbon"): "simulate.electrons",
    ("simulate.graphene", "projected_mask"): "simulate.electrons",
    ("simulate.growth", "rough_surface"): "simulate.fields",
    ("simulate.hrtem", "detect"): "simulate.electrons",
    ("whole", "in_own_process"): "nanoparticles.whole",
    ("whole", "segment"): "nanoparticles.whole",
}


def find_object(old: str, name: str):
    """Look up what module ``mchelpers.<old>`` used to hold."""
    place = OBJECTS.get((old, name)) or MODULES.get(old)
    if place is None:
        raise AttributeError(f"module 'mchelpers.{old}' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mchelpers.{place}"), name)


class _OldModule(ModuleType):
    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return find_object(self.__name__.removeprefix("mchelpers."), name)


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.startswith("mchelpers.") and fullname.removeprefix("mchelpers.") in MODULES:
            return ModuleSpec(fullname, self)

    def create_module(self, spec):
        return _OldModule(spec.name)

    def exec_module(self, module):
        pass  # it looks everything up in the new place


sys.meta_path.append(_Finder())
