"""Write the ranges of the images that the shipped network of nanoparticles has learned from.

Run it when that network is trained anew: ``python tools/particle_ranges.py``.
"""

import json
from pathlib import Path

from mchelpers.measuring.ranges import properties, ranges_of
from mchelpers.nanoparticles.images import at_dose
from mchelpers.nanoparticles.scenes import AU, CDSE
from mchelpers.nanoparticles.sets import DOSES, load_sets
from mchelpers.nanoparticles.tiles import remove_xrays

FILE = Path(__file__).parents[1] / "mchelpers" / "measuring" / "nanoparticles_ranges.json"

if __name__ == "__main__":
    learn, rows = load_sets().learn, []
    for sample, shots in ((AU, learn.au), (CDSE, learn.cdse)):
        for m in [*shots, *(x for dose in DOSES for x in at_dose(shots, sample, dose))]:
            found = properties(remove_xrays(m.image), m.image)
            rows.append(found | {"covered_share": m.mask.mean(), "pixel_nm": m.pixel_size_nm})
    rounded = {k: [float(f"{v:.4g}") for v in pair] for k, pair in ranges_of(rows).items()}
    content = {"images": len(rows), "data": "simulated", "ranges": rounded}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
