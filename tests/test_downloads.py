"""The registry and its files: found, downloaded, or refused with a reason."""

import hashlib
import os
from urllib.parse import quote

import local_host
import pytest
from local_host import serve

from mchelpers import downloads


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path / "host") as host:
        yield host


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    with local_host.zenodo(tmp_path / "zenodo", monkeypatch) as publish:
        yield publish


def entry(content: bytes, url: str):
    return {"set/file.bin": (hashlib.sha256(content).hexdigest(), len(content), url)}


def test_a_file_is_downloaded_once_and_checked(server, tmp_path):
    folder, address = server
    (folder / "file.bin").write_bytes(b"micrograph")
    files = entry(b"micrograph", f"{address}/file.bin")
    found = downloads.fetch("set/file.bin", tmp_path / "here", files)
    assert found.read_bytes() == b"micrograph"
    (folder / "file.bin").unlink()  # from now on the host has nothing
    assert downloads.fetch("set/file.bin", tmp_path / "here", files) == found


def test_a_present_file_needs_no_network(tmp_path):
    target = tmp_path / "set" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"x")
    assert (
        downloads.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/none")) == target
    )


def test_a_wrong_hash_names_file_and_address(tmp_path):
    target = tmp_path / "set" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"tampered")
    with pytest.raises(
        downloads.DataError, match=r"file\.bin is not the registered file.*Delete it.*none"
    ):
        downloads.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/none"))
    assert target.read_bytes() == b"tampered"


@pytest.mark.parametrize("name", ["other.bin", "cut.bin", "missing.bin"])
def test_bad_downloads_keep_nothing(server, tmp_path, name):
    folder, address = server
    (folder / "other.bin").write_bytes(b"something else")
    with pytest.raises(downloads.DataError, match=name):
        downloads.fetch("set/file.bin", tmp_path / "here", entry(b"x", f"{address}/{name}"))
    left = [p for p in (tmp_path / "here").rglob("*") if p.is_file()]
    assert left == []


def test_no_network_says_what_to_do(tmp_path):
    with pytest.raises(downloads.DataError, match="Check the network.*or set MCHELPERS_DATA"):
        downloads.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/file.bin"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_says_what_to_do(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(downloads.DataError, match="folder of your own"):
        downloads.fetch("set/file.bin", tmp_path, entry(b"x", "http://127.0.0.1:9/file.bin"))


def test_an_unregistered_path():
    with pytest.raises(downloads.DataError, match="not in the registry"):
        downloads.fetch("nothing.png")


@pytest.mark.parametrize("path", ["../evil.bin", "/evil.bin", "a/../../evil.bin", r"..\\evil.bin"])
def test_a_path_out_of_the_folder_is_refused(server, tmp_path, path):
    folder, address = server
    (folder / "evil.bin").write_bytes(b"x")
    files = {path: (hashlib.sha256(b"x").hexdigest(), 1, f"{address}/evil.bin")}
    with pytest.raises(downloads.DataError, match="leads out of"):
        downloads.fetch(path, tmp_path / "deep" / "here", files)
    assert not list(tmp_path.rglob("deep/evil.bin"))


@pytest.mark.parametrize("proxy", ["http:///", "strange://127.0.0.1:9", "127.0.0.1:not-a-port"])
def test_a_malformed_proxy_is_not_taken_for_a_damaged_file(tmp_path, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(downloads.DataError, match="could not be downloaded.*proxy"):
        downloads.fetch("set/file.bin", tmp_path, entry(b"x", "http://data.example/file.bin"))


def test_a_file_without_a_known_hash_is_taken_as_it_is(server, tmp_path):
    folder, address = server
    (folder / "file.bin").write_bytes(b"any")
    files = {"file.bin": (None, 0, f"{address}/file.bin")}
    for _ in range(2):
        assert downloads.fetch("file.bin", tmp_path / "here", files).read_bytes() == b"any"
        (folder / "file.bin").unlink(missing_ok=True)


def test_a_record_is_downloaded_by_its_doi(zenodo, tmp_path):
    zenodo("123", {"a.txt": b"one", "b.txt": b"two"})
    some = downloads.fetch_record("10.5281/zenodo.123", tmp_path / "some", ["b.txt"])
    assert [f.read_bytes() for f in some] == [b"two"]
    assert [f.name for f in (tmp_path / "some").iterdir()] == ["b.txt"]
    found = downloads.fetch_record("10.5281/zenodo.123", tmp_path / "all")
    assert [f.read_bytes() for f in found] == [b"one", b"two"]


def test_a_record_s_present_files_need_no_network(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("mine")
    monkeypatch.setattr("pooch.create", None)
    assert downloads.fetch_record("10.5281/zenodo.1", tmp_path, ["a.txt"]) == [tmp_path / "a.txt"]


def test_a_record_cannot_write_outside_its_folder(zenodo, tmp_path):
    zenodo("123", {"../evil.txt": b"x"})
    with pytest.raises(downloads.DataError, match=r"no \.\./evil\.txt to take"):
        downloads.fetch_record("10.5281/zenodo.123", tmp_path / "deep" / "here")
    assert not (tmp_path / "deep" / "evil.txt").exists()


def test_a_record_that_comes_down_damaged_is_not_kept(zenodo, tmp_path):
    zenodo("123", {"a.txt": b"one"}, sums={"a.txt": b"what it should be"})
    with pytest.raises(downloads.DataError, match="damaged or cut short.*by hand"):
        downloads.fetch_record("10.5281/zenodo.123", tmp_path / "here")
    assert not (tmp_path / "here" / "a.txt").exists()


def test_a_record_without_network_says_what_to_do(tmp_path, monkeypatch):
    def unreachable(doi, **_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("pooch.downloaders.doi_to_url", unreachable)
    with pytest.raises(downloads.DataError, match="no route to host.*Check the network"):
        downloads.fetch_record("10.5281/zenodo.123", tmp_path / "here")


def test_the_registry_is_sound():
    files = downloads.registry()
    assert len(files) > 400
    sets = {"graphene_hrtem", "graphene_sem", "flakes", "wse2_results"}
    assert sets <= {p.split("/")[0] for p in files}
    for path, (sha256, size, url) in files.items():
        assert len(sha256) == 64 and size > 0
        assert url.startswith("https://") and url.endswith(quote(path.split("/")[-1]))
    urls = [url for _, _, url in files.values()]
    assert len(set(urls)) == len(urls)
