"""The network in the page, in a real browser: the same mask as Python's, and no other host.

The page and its files are built by a small Sphinx of their own, with the book's extension.
"""

import csv
import io
import math
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
import tifffile
from chromium import browser, find_chromium
from conftest import REPOSITORY, needs
from local_host import Quiet
from PIL import Image
from scipy.ndimage import gaussian_filter

import mchelpers
from mchelpers.afm_coverage.whole import rescale
from mchelpers.graphene_hrtem.stand_in import lattice_micrographs
from mchelpers.measuring import graphene
from mchelpers.measuring.answer import overlap
from mchelpers.measuring.shipped import find_network

pytestmark = [
    needs("onnx", "tornado", "myst_parser", "sphinx_design"),
    pytest.mark.usefixtures("in_float32"),
    pytest.mark.skipif(
        find_chromium() is None, reason="no Chromium here: the page needs a browser"
    ),
]
CONF = """
extensions = ["myst_parser", "sphinx_design", "mchelpers.browser"]
root_doc = "book/graphene_hrtem/live"
html_static_path = ["book/_static"]
html_js_files = ["live/loader.js"]
"""
NM = 0.0426
MODEL = "document.querySelector('.anywidget').model"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built page, in a folder."""
    folder = tmp_path_factory.mktemp("live")
    source = folder / "source"
    shutil.copytree(REPOSITORY / "book/_static/live", source / "book/_static/live")
    (source / "book/graphene_hrtem").mkdir()
    shutil.copy(REPOSITORY / "book/graphene_hrtem/live.md", source / "book/graphene_hrtem")
    (source / "conf.py").write_text(CONF)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-b",
        "html",
        str(source),
        str(folder / "site"),
    ]
    subprocess.run(command, cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    return folder / "site"


@pytest.fixture(scope="module")
def host(site):
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page():
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def image():
    """A micrograph of 8 bits, wider than high."""
    return lattice_micrographs(5).images[4][:240].round().astype(np.uint8)


def click(page, selector):
    page.evaluate(f"document.querySelector('.try {selector}').click()")


def load(page, address):
    page.open(f"{address}/book/graphene_hrtem/live.html")
    page.wait("document.querySelector('.try .load')")
    idle = [url for url in page.requests() if "engine" in url or "graphene.js" in url]
    assert idle == []  # before the click the page is light
    click(page, ".load")
    page.wait(f"{MODEL}.get('ready')")


def measure(page, file, nm):
    """Give the page a file and a pixel size, and wait for its answer."""
    before = page.evaluate(f"{MODEL}.get('measured') || 0")
    page.choose(".try input[type=file]", file)
    page.wait("!document.querySelector('.try .measure').disabled")
    page.evaluate(f"document.querySelector('.try input[type=number]').value = '{nm}'")
    click(page, ".measure")
    page.wait(f"{MODEL}.get('measured') > {before} || !document.querySelector('.problem').hidden")
    assert page.evaluate("document.querySelector('.problem').hidden"), problem(page)


def problem(page):
    return page.evaluate("document.querySelector('.problem').textContent")


def values(page, key):
    return np.array(page.evaluate(f"Array.from({MODEL}.get('{key}'))"))


def native(image, nm, monkeypatch):
    """Measure in Python by the pixel size that is given, not by the lattice that is seen."""
    monkeypatch.setattr(graphene, "graphene_radius", lambda image: math.nan)
    return mchelpers.measure(image, study="graphene_hrtem", pixel_size_nm=nm)


def picture(page):
    return page.evaluate("document.querySelector('.try canvas').toDataURL()")


@pytest.mark.parametrize("from_server", [True, False], ids=["http", "file"])
def test_the_page_answers_as_python_does(
    page, site, host, image, tmp_path, monkeypatch, from_server
):
    address = host if from_server else site.as_uri()
    Image.fromarray(image).save(tmp_path / "own.png")
    load(page, address)
    measure(page, tmp_path / "own.png", NM)
    answer = native(image, NM, monkeypatch)
    mask = values(page, "mask").reshape(image.shape) > 0
    assert 0.02 < answer.mask.mean() < 0.5
    assert overlap(mask, answer.mask) > 0.999
    even, _ = graphene._evenly_lit(image.astype(np.float32))
    true = graphene._probability(find_network("graphene_hrtem").module, even)
    true = gaussian_filter(true, 1.0, mode="nearest")
    assert np.abs(values(page, "probability").reshape(true.shape) - true).max() < 1e-4
    row = page.evaluate(f"{MODEL}.get('row')")
    for name in ("covered_share", "covered_nm2", "covered_share_low", "covered_share_high"):
        assert row[name] == pytest.approx(answer.image[name], rel=1e-3), name
    others = [u for u in page.requests() if not u.startswith(address)]
    assert others == [] and page.faults() == []


def test_everything_is_reached_by_keyboard(page, site):
    load(page, site.as_uri())
    assert page.evaluate("document.activeElement.type") == "file"
    for _ in range(2):  # the file's button, then ours
        page.press("Enter" if page.evaluate("document.activeElement.matches('.ours')") else "Tab")
    page.wait("document.activeElement.matches('.measure')")
    page.press("Enter")
    page.wait(f"{MODEL}.get('measured')")
    shown, share = picture(page), page.evaluate(f"{MODEL}.get('row').covered_share")
    while not page.evaluate("document.activeElement.matches('input[type=range]')"):
        page.press("Tab")
    for _ in range(20):
        page.press("ArrowRight")
    assert page.evaluate("document.querySelector('.level').textContent") == "0.70"
    assert picture(page) != shown
    less = page.evaluate(f"{MODEL}.get('row').covered_share")
    assert 0 < less < share
    label = page.evaluate("document.querySelector('.try canvas').getAttribute('aria-label')")
    assert f"{100 * less:.1f} %" in label


def test_another_scale_deeper_files_and_what_is_refused(page, site, image, tmp_path, monkeypatch):
    load(page, site.as_uri())
    fine = rescale(image, scale=2.2) * 150 + 3000  # a lattice sampled more finely than is known
    fine = fine.round().astype(np.uint16)
    tifffile.imwrite(tmp_path / "fine.tif", fine, byteorder=">")
    measure(page, tmp_path / "fine.tif", NM / 2.2)
    answer = native(fine, NM / 2.2, monkeypatch)
    assert answer.settings["scale"] < 0.95
    assert overlap(values(page, "mask").reshape(fine.shape) > 0, answer.mask) > 0.999
    tifffile.imwrite(
        tmp_path / "light.tif", (fine * np.linspace(0.2, 1, fine.shape[1])).astype("f4")
    )
    measure(page, tmp_path / "light.tif", 0.1)
    said = page.evaluate("document.querySelector('.doubts').textContent")
    assert "the light is less even than in training (unevenness" in said
    click(page, "[data-save=table]")
    text = page.evaluate("""(async () => {
        let blob; const make = URL.createObjectURL;
        URL.createObjectURL = (b) => make.call(URL, blob = b);
        document.querySelector('[data-save=table]').click();
        URL.createObjectURL = make; return await blob.text(); })()""")
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["file"] == "light.tif" and row["pixel_size_nm"] == "0.1"
    assert row["warnings"].startswith("the lattice is sampled more coarsely") == (
        0.213 / 0.1 < 1.36
    )
    coloured = np.stack([image, image, 255 - image], -1)
    Image.fromarray(coloured).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "packed.tif", image, compression="zlib")
    (tmp_path / "no.png").write_bytes(b"nothing")
    for name, words in {
        "colour.png": "The image is in colour",
        "packed.tif": "This TIFF is compressed",
        "no.png": "This file is no PNG",
    }.items():
        page.choose(".try input[type=file]", tmp_path / name)
        page.wait(f"document.querySelector('.problem').textContent.startsWith('{words}')")
    click(page, ".ours")
    page.wait("!document.querySelector('.try .measure').disabled")
    page.evaluate("document.querySelector('.try input[type=number]').value = '40'")
    click(page, ".measure")
    page.wait("!document.querySelector('.problem').hidden")
    assert problem(page).startswith("A pixel of 40 nm cannot be right")
