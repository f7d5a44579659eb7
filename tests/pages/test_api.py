"""The page of the package's functions lists every module, each once."""

import re

from conftest import REPOSITORY

from mchelpers.pages import api


def test_every_public_module_is_there_once():
    listed = re.findall(r"automodule:: (\S+)\n   :members:", api.api_page(REPOSITORY, ""))
    package = REPOSITORY / "mchelpers"
    files = [f for f in package.rglob("*.py") if not f.stem.startswith("_")]
    modules = [".".join(f.relative_to(REPOSITORY).with_suffix("").parts) for f in files]
    assert sorted(listed) == sorted(modules)
