"""The whole book as one PDF: the built pages in the order of the contents, printed by Chromium.

``python tools/pdf.py`` reads ``_build/html`` and writes ``_build/micrographs-measured.pdf``.
"""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import yaml
from bs4 import BeautifulSoup
from chromium import browser, find_chromium, served

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
OUT = ROOT / "_build" / "micrographs-measured.pdf"
# What a page of paper cannot use.
SCREEN_ONLY = ".headerlink, .run-button, .claim-filter, .prev-next-area, button, script[src]"
NUMBER = (
    '<div style="width:100%;font-size:8px;text-align:center"><span class="pageNumber"></span></div>'
)


def order(contents: dict) -> list[str]:
    """List the pages of the book as its contents do."""
    files = [c["file"] for part in contents["parts"] for c in part["chapters"]]
    return [contents["root"], *files]


def anchor(page: str, fragment: str = "") -> str:
    """Name a place of a page within the one long page."""
    return f"{page.replace('/', '-')}--{fragment}" if fragment else page.replace("/", "-")


def taken_over(page: str, html: str, pages: list[str]):
    """Take the article of a built page; its places and links get names of the whole."""
    soup = BeautifulSoup(html, "html.parser")
    article = soup.find("article")
    for part in article.select(SCREEN_ONLY):
        part.decompose()
    for part in article.find_all(id=True):
        part["id"] = anchor(page, part["id"])
    for fold in article.find_all("details"):
        # Code that the page hides stays hidden; an answer that it folds is shown.
        if "hide" in fold.get("class", []):
            fold.decompose()
        else:
            fold["open"] = ""
    for link in article.find_all("a", href=True):
        link["href"] = _target(page, link["href"], pages)
    for image in article.find_all("img", src=True):
        if not image["src"].startswith("data:"):
            image["src"] = urljoin(f"/{page}.html", image["src"])
        image["loading"] = "eager"
    article["id"] = anchor(page)
    states = soup.select('script[type="application/vnd.jupyter.widget-state+json"]')
    return article, states


def _target(page: str, link: str, pages: list[str]) -> str:
    if re.match(r"[a-z]+:", link):
        return link
    path, fragment = urldefrag(urljoin(f"/{page}.html", link))
    name = path.removeprefix("/").removesuffix(".html")
    return f"#{anchor(name, fragment)}" if name in pages else f".{path}"


def whole(site: Path, pages: list[str]) -> str:
    """Join the built pages to one, with the head of one that has formulae and sliders."""
    texts = {page: (site / f"{page}.html").read_text(encoding="utf-8") for page in pages}
    richest = max(pages, key=lambda p: ("embed.js" in texts[p]) + ("mathjax" in texts[p]))
    head = BeautifulSoup(texts[richest], "html.parser").find("head")
    for state in head.select('script[type="application/vnd.jupyter.widget-state+json"]'):
        state.decompose()
    for part in head.find_all(["script", "link"]):
        for name in ("src", "href"):
            if part.get(name):
                part[name] = urljoin(f"/{richest}.html", part[name])
    body, states = [], []
    for page in pages:
        article, found = taken_over(page, texts[page], pages)
        body.append(str(article))
        states += map(str, found)
    joined = "\n".join([*states, *body])
    return f'<!DOCTYPE html><html lang="en" data-theme="light">{head}<body>{joined}</body></html>'


def print_book(address: str) -> bytes:
    """Open the one long page, wait for formulae, sliders and pictures, print it."""
    with browser() as page:
        page.open(address, 600)
        page.evaluate("new Promise(done => setTimeout(done, 5000))")
        page.evaluate(
            "Promise.all([...document.images].map(i => i.decode().catch(() => 0))).then(() => 1)",
            600,
        )
        printed = page.call(
            "Page.printToPDF",
            900,
            paperWidth=8.27,
            paperHeight=11.69,
            marginTop=0.6,
            marginBottom=0.7,
            marginLeft=0.6,
            marginRight=0.6,
            scale=0.8,
            printBackground=True,
            displayHeaderFooter=True,
            headerTemplate="<span></span>",
            footerTemplate=NUMBER,
            generateTaggedPDF=True,
            generateDocumentOutline=True,
        )
    return base64.b64decode(printed["data"])


def main() -> int:
    """Write the PDF, or say in a sentence what is missing."""
    if not (SITE / "book" / "index.html").exists():
        print("- there is no built site; run: python -m mchelpers book", file=sys.stderr)
        return 1
    if find_chromium() is None:
        print("- there is no Chromium; install one, or name it with CHROMIUM", file=sys.stderr)
        return 1
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    page = SITE / "whole.html"
    page.write_text(whole(SITE, order(contents)), encoding="utf-8")
    try:
        with served(SITE) as address:
            OUT.write_bytes(print_book(f"{address}/{page.name}"))
    finally:
        page.unlink()
    print(f"Open {OUT} ({OUT.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
