"""The weekly look at other hosts: what answers, what refuses a program, what is gone."""

import outside
import pytest
from local_host import serve


@pytest.fixture
def host(tmp_path):
    with serve(tmp_path / "host") as host:
        yield host


def test_links_are_found_once_a_file_without_what_stands_behind_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "See [it](https://a.b/c_d), <https://a.b/e>. Or https://a.b/f.\nhttps://a.b/e!\n"
    )
    (tmp_path / "other.md").write_text("| https://a.b/e | `pip install git+https://a.b/g` |")
    found = outside.find_links([page, tmp_path / "other.md"])
    assert found == {
        "https://a.b/c_d": ["page.md"],
        "https://a.b/e": ["page.md", "other.md"],
        "https://a.b/f": ["page.md"],
        "https://a.b/g": ["other.md"],
    }


def test_what_answers_is_well_and_what_is_gone_is_told(host):
    folder, address = host
    (folder / "page.html").write_text("here")
    assert outside.ask(f"{address}/page.html") is None
    assert outside.ask(f"{address}/gone.html").startswith("404")
    assert outside.ask("http://127.0.0.1:9/closed", seconds=5)


@pytest.mark.parametrize(("code", "well"), [(403, True), (429, True), (404, False), (500, False)])
def test_a_host_that_refuses_programs_is_no_fault(monkeypatch, code, well):
    def refuse(request, timeout):
        raise outside.urllib.error.HTTPError(request.full_url, code, "why", {}, None)

    monkeypatch.setattr(outside.urllib.request, "urlopen", refuse)
    assert (outside.ask("https://a.b") is None) == well


def test_a_file_that_does_not_come_is_named_and_the_others_are_still_fetched(tmp_path):
    asked = []

    def fetch(path, folder):
        asked.append(path)
        if path == "set/b":
            raise OSError("wrong hash\nsecond line")

    assert outside.check_data(["set/a", "set/b", "set/c"], tmp_path, fetch) == {
        "set/b": "OSError: wrong hash"
    }
    assert asked == ["set/a", "set/b", "set/c"]
