"""Scripts hold files unchanged; the engine in the repository is the one that its licence names."""

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile

import numpy as np
from conftest import REPOSITORY, needs

from mchelpers.browser import pack
from mchelpers.measuring.shipped import find_network

LIVE = REPOSITORY / "book" / "_static" / "live"
ENGINE = {  # sha256, as in onnxruntime-web 1.30.0
    "ort.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}


def unpacked(script):
    content = json.loads(re.fullmatch(r"\(globalThis.packed \?\?= {}\)\.\w+ = (.*);\n", script)[1])
    files = {n: gzip.decompress(base64.b64decode(t)) for n, t in content["files"].items()}
    return content["settings"], files


def test_a_script_holds_files_and_settings():
    script = pack.packed("some", {"a.bin": b"\0\xff" * 9}, {"b": [1, 2]})
    assert unpacked(script) == ({"b": [1, 2]}, {"a.bin": b"\0\xff" * 9})
    assert script == pack.packed("some", {"a.bin": b"\0\xff" * 9}, {"b": [1, 2]})


def test_the_engine_is_the_released_one():
    settings, files = unpacked((LIVE / "engine.js").read_text())
    assert {name: hashlib.sha256(f).hexdigest() for name, f in files.items()} == ENGINE
    licence = (LIVE / "LICENCES.txt").read_text()
    assert f"onnxruntime-web {settings['onnxruntime-web']}" in licence
    assert "MIT License" in licence


def test_the_engine_is_packed_out_of_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "ROOT", tmp_path)
    (tmp_path / "book" / "_static" / "live").mkdir(parents=True)
    package = {path: name.encode() for name, path in pack.ENGINE.items()}
    package["package/package.json"] = b'{"version": "9.9"}'
    with tarfile.open(tmp_path / "it.tgz", "w:gz") as archive:
        for path, content in package.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    pack.main(tmp_path / "it.tgz")
    settings, files = unpacked((tmp_path / "book" / "_static" / "live" / "engine.js").read_text())
    assert settings == {"onnxruntime-web": "9.9"}
    assert files == {"ort.mjs": b"ort.mjs", "ort.wasm": b"ort.wasm"}


@needs("onnx")
def test_the_network_comes_with_what_it_knows_and_a_sample():
    from PIL import Image

    script = pack.graphene_script()
    settings, files = unpacked(script)
    assert settings["ranges"] == find_network("graphene_hrtem").ranges
    assert settings["weights"] == find_network("graphene_hrtem").path.name
    assert settings["weights_sha256"] == find_network("graphene_hrtem").sha256
    pixels, nm = pack.sample()
    assert (np.asarray(Image.open(io.BytesIO(files["sample.png"]))) == pixels).all()
    assert settings["sample_nm"] == nm
    page = (REPOSITORY / "book" / "graphene_hrtem" / "live.md").read_text()
    said = int(re.search(r'"megabytes": (\d+)', page)[1])
    assert said == round((len(script) + (LIVE / "engine.js").stat().st_size) / 1e6)
