"""The registry and its files: found, downloaded, or refused with a reason."""

import functools
import hashlib
import http.server
import os
import threading
from urllib.parse import quote

import numpy as np
import pytest
from skimage.io import imsave

from mchelpers import data


@pytest.fixture
def server(tmp_path):
    """Serve a folder on this machine as a host would; return (folder, address)."""
    folder = tmp_path / "host"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if "cut" in self.path:  # promise more bytes than are sent
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"half")
                self.close_connection = True
                return
            super().do_GET()

    host = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{host.server_port}"
    host.shutdown()


def entry(content: bytes, url: str):
    return {"set/file.bin": (hashlib.sha256(content).hexdigest(), len(content), url)}


def test_a_file_is_downloaded_once_and_checked(server, tmp_path):
    folder, address = server
    (folder / "file.bin").write_bytes(b"micrograph")
    files = entry(b"micrograph", f"{address}/file.bin")
    found = data.fetch("set/file.bin", tmp_path / "here", files)
    assert found.read_bytes() == b"micrograph"
    (folder / "file.bin").unlink()  # from now on the host has nothing
    assert data.fetch("set/file.bin", tmp_path / "here", files) == found


def test_a_present_file_needs_no_network(tmp_path):
    target = tmp_path / "set" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"x")
    assert data.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/none")) == target


def test_a_wrong_hash_names_file_and_address(tmp_path):
    target = tmp_path / "set" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"tampered")
    with pytest.raises(
        data.DataError, match=r"file\.bin is not the registered file.*Delete it.*none"
    ):
        data.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/none"))
    assert target.read_bytes() == b"tampered"


@pytest.mark.parametrize("name", ["other.bin", "cut.bin", "missing.bin"])
def test_bad_downloads_keep_nothing(server, tmp_path, name):
    folder, address = server
    (folder / "other.bin").write_bytes(b"something else")
    with pytest.raises(data.DataError, match=name):
        data.fetch("set/file.bin", tmp_path / "here", entry(b"x", f"{address}/{name}"))
    left = [p for p in (tmp_path / "here").rglob("*") if p.is_file()]
    assert left == []


def test_no_network_says_what_to_do(tmp_path):
    with pytest.raises(data.DataError, match="Check the network, or set MCHELPERS_DATA"):
        data.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/file.bin"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_says_what_to_do(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(data.DataError, match="folder of your own"):
        data.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/file.bin"))


def test_an_unregistered_path():
    with pytest.raises(data.DataError, match="not in the registry"):
        data.fetch("nothing.png")


def test_the_registry_is_sound():
    files = data.registry()
    assert len(files) > 400
    assert {p.split("/")[0] for p in files} == {
        "graphene_hrtem",
        "graphene_sem",
        "flakes",
        "wse2_results",
    }
    for path, (sha256, size, url) in files.items():
        assert len(sha256) == 64 and size > 0
        assert url.startswith("https://") and url.endswith(quote(path.split("/")[-1]))
    urls = [url for _, _, url in files.values()]
    assert len(set(urls)) == len(urls)


def image_file(tmp_path, array, name="i.png"):
    imsave(tmp_path / name, array, check_contrast=False)
    return tmp_path / name


GRADIENT = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    "array",
    [
        GRADIENT,
        GRADIENT.astype(np.uint16) * 900,
        np.dstack([GRADIENT] * 3),
        np.dstack([GRADIENT] * 3 + [np.full_like(GRADIENT, 255)]),
    ],
    ids=["8 bit", "16 bit", "grey RGB", "grey RGBA"],
)
def test_grey_images_of_any_kind_are_read(tmp_path, array):
    image = data.read_micrograph(image_file(tmp_path, array))
    assert image.shape == (8, 8) and image.dtype == np.float32
    assert image.max() == array[..., 0].max() if array.ndim == 3 else array.max()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), np.uint8), "constant"),
        (np.dstack([GRADIENT, GRADIENT.T, GRADIENT]), "colour"),
    ],
)
def test_useless_images_are_refused(tmp_path, array, message):
    with pytest.raises(data.DataError, match=message):
        data.read_micrograph(image_file(tmp_path, array))


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_nan_and_infinity_are_refused(tmp_path, value, message):
    array = GRADIENT.astype(np.float32)
    array[2, 2] = value
    with pytest.raises(data.DataError, match=message):
        data.read_micrograph(image_file(tmp_path, array, "i.tif"))


def test_a_stack_is_not_an_image(tmp_path):
    with pytest.raises(data.DataError, match="shape"):
        data.read_micrograph(image_file(tmp_path, np.zeros((5, 8, 8), np.float32), "i.tif"))


def test_a_cut_file_is_refused(tmp_path):
    path = image_file(tmp_path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(data.DataError, match="cut short"):
        data.read_micrograph(path)
    with pytest.raises(data.DataError, match="cut short"):
        data.read_mask(path)


def test_masks(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    assert not data.read_mask(image_file(tmp_path, mask)).any()
    mask[2, 3] = 255
    read = data.read_mask(image_file(tmp_path, mask), (8, 8))
    assert read.sum() == 1 and read[2, 3]
    with pytest.raises(data.DataError, match="its image has"):
        data.read_mask(image_file(tmp_path, mask), (9, 8))
