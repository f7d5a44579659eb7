"""Draw the README's picture from simulated images: python book/_static/readme_picture.py"""

from pathlib import Path

import matplotlib.pyplot as plt

from mchelpers import metrics, show
from mchelpers.graphene_hrtem import bragg, classical
from mchelpers.graphene_hrtem import images as hrtem

show.style()
micrographs = hrtem.lattice_micrographs(12, seed=4)
number = max(
    range(12), key=lambda n: micrographs.masks[n].mean() * (micrographs.masks[n].mean() < 0.4)
)
image, truth = micrographs.images[number], micrographs.masks[number]
mask = classical.otsu_masks(bragg.bragg_filter(image)[None])[0]
f1 = metrics.macro(mask[None], truth[None])["f1"]

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3.9))
show.image(left, image, title="simulated HRTEM of graphene")
show.image(middle, image, mask=mask, title="contaminant, Bragg filter")
show.error_map(right, mask, truth, title=f"errors, F1 {f1:.2f}", legend=True)
figure.savefig(Path(__file__).with_name("readme.png"), dpi=160)
