"""One long page of the built ones: its links and places lead where they led."""

import pdf
from bs4 import BeautifulSoup

PAGE = """<html><head><script src="../../_static/mathjax/tex-chtml.js"></script>
<link href="../../_static/book.css"></head><body><nav>menu</nav><article>
<h1 id="top">One<a class="headerlink" href="#top">#</a></h1>
<a href="02_b.html#part">next</a> <a href="#top">up</a> <a href="../../genindex.html">index</a>
<a href="https://x.y/z">out</a> <img src="../../_images/a.png">
<details class="admonition hide"><summary>code</summary>hidden</details>
<details class="sd-sphinx-override"><summary>answer</summary>shown</details>
</article></body></html>"""
OTHER = '<html><head></head><body><article><h1 id="part">Two</h1></article></body></html>'


def test_the_order_is_that_of_the_contents():
    parts = [{"chapters": [{"file": "b"}, {"file": "c"}]}, {"chapters": [{"file": "d"}]}]
    assert pdf.order({"root": "a", "parts": parts}) == ["a", "b", "c", "d"]


def test_pages_are_joined_and_their_links_lead_within(tmp_path):
    pages = ["book/s/01_a", "book/s/02_b"]
    (tmp_path / "book" / "s").mkdir(parents=True)
    for page, text in zip(pages, (PAGE, OTHER)):
        (tmp_path / f"{page}.html").write_text(text)
    soup = BeautifulSoup(pdf.whole(tmp_path, pages), "html.parser")
    assert [a["id"] for a in soup.find_all("article")] == ["book-s-01_a", "book-s-02_b"]
    targets = [a["href"] for a in soup.find_all("a")]
    assert targets == [
        "#book-s-02_b--part",
        "#book-s-01_a--top",
        "./genindex.html",
        "https://x.y/z",
    ]
    places = {part["id"] for part in soup.find_all(id=True)}
    assert {t.removeprefix("#") for t in targets if t.startswith("#")} <= places
    assert soup.img["src"] == "/_images/a.png"
    assert soup.find("script")["src"] == "/_static/mathjax/tex-chtml.js"
    assert soup.find("link")["href"] == "/_static/book.css"


def test_paper_shows_answers_and_no_menus(tmp_path):
    (tmp_path / "page.html").write_text(PAGE)
    text = pdf.whole(tmp_path, ["page"])
    assert (
        "shown" in text and "hidden" not in text and "menu" not in text and "headerlink" not in text
    )
