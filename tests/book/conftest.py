"""A tiny book that was really executed once; each test gets its own copy."""

import shutil

import pytest
from conftest import make_book

from mchelpers.book import execute, pages
from mchelpers.record import chapter as record


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    root = make_book(tmp_path_factory.mktemp("book"))
    execute.execute(record.Chapter("demo/01_first", root), "laptop")
    pages.write_pages(root)
    return root


@pytest.fixture
def done(executed, tmp_path):
    """Return the chapter of a fresh copy of the executed book."""
    root = tmp_path / "copy"
    shutil.copytree(executed, root)
    return record.Chapter("demo/01_first", root)
