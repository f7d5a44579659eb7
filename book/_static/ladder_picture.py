"""Draw the graphene study's ladder from its records: python book/_static/ladder_picture.py"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mchelpers import metrics, show

HERE = Path(__file__).parent
RUNGS = {  # as on the page -> where its F1 of each image is recorded
    "Bragg filter as published": "02_bragg:bragg_paper.f1",
    "Bragg filter, refitted": "02_bragg:bragg.f1",
    "Bragg filter, Otsu's threshold": "02_bragg:bragg_otsu.f1",
    "local deviation, one threshold": "02_bragg:local_std.f1",
    "rule of 36 weights": "02_bragg:classical_best.f1",
    "Bragg, oracle threshold": "02_bragg:bragg_oracle.f1",
    "paper's U-Net, short training": "03_unet:unet.f1",
    "best of ours, unseen days": "04_comparison:best_by_date.f1",
}


def recorded(address: str) -> dict:
    chapter, key = address.split(":")
    record = HERE.parent / "record" / "graphene_hrtem" / f"{chapter}.json"
    return json.loads(record.read_text(encoding="utf-8"))["results"][key]


series = np.array(recorded(RUNGS["rule of 36 weights"])["groups"])
ladder = {name: np.array(recorded(address)["values"]) for name, address in RUNGS.items()}
labelled = ladder["best of ours, unseen days"] > 0  # empty labels score 0, whatever is found
ladder["labels against themselves"] = labelled.astype(float)
ladder = dict(sorted(ladder.items(), key=lambda item: item[1].mean()))
network = ladder["paper's U-Net, short training"]

show.style()
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for n, (name, values) in enumerate(ladder.items()):
    colour = show.COLOURS[1 if "U-Net" in name else 2 if "ours" in name else 0]
    for axes, shown in ((left, values), (right, 100 * (values - network))):
        if shown.any():
            axes.plot(metrics.bootstrap(shown, series), [n, n], color=colour, linewidth=2)
        axes.plot(shown.mean(), n, "o", color=colour)
for value, words in ((0.791, "paper, Bragg"), (0.884, "paper, U-Net")):
    left.axvline(value, color="0.5", linestyle="--", linewidth=1)
    left.text(value, len(ladder) - 0.4, words, ha="center", fontsize=8)
right.axvline(0, color="0.5", linewidth=1)
left.set(xlabel="F1, mean over 131 images", ylim=(-0.6, len(ladder) + 0.2))
left.set_yticks(range(len(ladder)), list(ladder))
right.set(xlabel="points above the paper's U-Net")
figure.savefig(HERE / "graphene_ladder.png", dpi=130)
