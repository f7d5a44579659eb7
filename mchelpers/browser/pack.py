"""Files for a browser, packed into scripts: these load from a server and from a folder alike.

``python -m mchelpers.browser.pack onnxruntime-web-1.30.0.tgz`` packs the engine anew; the file is
what ``npm pack onnxruntime-web`` fetches. The network is packed whenever the book is built.
"""

from __future__ import annotations

import base64
import gzip
import inspect
import io
import json
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from ..measuring import graphene, ranges, ruler
from ..measuring.shipped import build, find_network

__all__ = ["graphene_script", "packed", "sample"]

ROOT = Path(__file__).parents[2]
ENGINE = {  # the plain build, that computes on the processor: its file here -> in the package
    "ort.mjs": "package/dist/ort.wasm.bundle.min.mjs",
    "ort.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}


def packed(name: str, files: Mapping[str, bytes], settings: Mapping | None = None) -> str:
    """Write files into a script that defines ``packed[name]``: gzip, then base64."""
    texts = {
        file: base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
        for file, content in files.items()
    }
    content = json.dumps({"settings": dict(settings or {}), "files": texts})
    return f"(globalThis.packed ??= {{}}).{name} = {content};\n"


def sample():
    """Draw the image that the page of the graphene study offers: pixels (H, W) uint8, and nm."""
    from ..graphene_hrtem.stand_in import lattice_micrographs

    drawn = lattice_micrographs(5, seed=0)
    return drawn.images[4].round().astype("uint8"), round(float(drawn.pixel_size_nm[4]), 4)


def graphene_script() -> str:
    """Pack the shipped network of the graphene study, what it knows, and the sample.

    Raises
    ------
    FileNotFoundError
        If the weights are not at hand and cannot be fetched.
    """
    from PIL import Image

    from ..graphene_hrtem.postprocess import tidy
    from ..kept import load_network
    from .graph import whole_graph

    if (shipped := find_network(graphene.STUDY)) is None:
        raise FileNotFoundError("the network of the graphene study is not at hand: see weights/")
    known = shipped.ranges
    pixels, nm = sample()
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    network = load_network(build(graphene.STUDY), shipped.path)
    model = whole_graph(network, known["unevenness"][1])
    usual = inspect.signature(tidy).parameters
    settings = {
        **shipped.facts,
        "planes_nm": ruler.PLANES_NM,
        "plausible_nm": ruler.PLAUSIBLE_NM[graphene.STUDY],
        "radii": graphene.RADII,
        "smallest": 64,
        "ranges": known,
        "words": ranges.WORDS,
        "hole_px": usual["hole_px"].default,
        "speck_px": usual["speck_px"].default,
        "sample_nm": nm,
    }
    files = {"network.onnx": model.SerializeToString(), "sample.png": picture.getvalue()}
    return packed("graphene", files, settings)


def main(package: Path) -> None:
    """Pack the engine out of its npm package."""
    with tarfile.open(package) as archive:
        files = {name: archive.extractfile(path).read() for name, path in ENGINE.items()}
        version = json.load(archive.extractfile("package/package.json"))["version"]
    target = ROOT / "book" / "_static" / "live" / "engine.js"
    target.write_text(packed("engine", files, {"onnxruntime-web": version}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
