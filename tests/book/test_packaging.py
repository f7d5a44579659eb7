"""The environment files agree, and the package takes what Colab has."""

import json
import re
import tomllib
from pathlib import PurePath

import pytest
import yaml
from conftest import REPOSITORY
from jsonschema import Draft202012Validator

import mchelpers
from mchelpers import install


def names(requirements):
    return {re.split(r"[=<>\[; ]", r)[0].lower().replace("_", "-") for r in requirements}


def test_the_conda_environment_holds_the_same_set():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert "-r requirements.txt" in pip or names(pip) >= names(
        (REPOSITORY / "requirements.txt").read_text().split()
    )


def wanted():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + sum(project["optional-dependencies"].values(), [])


def test_torch_and_numpy_are_never_pinned():
    """A hosted notebook keeps its own: a lower bound is no pin."""
    assert {"torch", "numpy"} <= names(wanted())
    assert not [w for w in wanted() if "==" in w]
    for name in ("torch", "numpy"):
        (bound,) = (w for w in wanted() if re.match(rf"{name}\b(?!-)", w))
        assert re.fullmatch(rf"{name}(>=[\d.]+)?", bound)


def test_the_lock_holds_every_dependency():
    assert names(wanted()) <= names((REPOSITORY / "requirements.txt").read_text().split())


@pytest.mark.parametrize("name", ["claims.json", "record.json"])
def test_schemas_are_packaged_and_are_schemas(name):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["mchelpers"]
    assert any(PurePath(f"record/schemas/{name}").match(p) for p in patterns)
    text = (REPOSITORY / "mchelpers" / "record" / "schemas" / name).read_text()
    Draft202012Validator.check_schema(json.loads(text))


def test_install_lines_name_this_distribution_and_its_address():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    address = yaml.safe_load((REPOSITORY / "_config.yml").read_text())["repository"]["url"]
    assert install.DISTRIBUTION == project["name"]
    assert install.REPOSITORY == address == project["urls"]["Repository"]
    assert install.install_line("yolo", "live") == (
        f"pip install 'micrographs-measured[yolo,live] @ git+{address}'"
    )


def test_no_error_text_names_the_distribution_of_somebody_else():
    """``mchelpers`` on the package index is not this package."""
    for module in sorted((REPOSITORY / "mchelpers").rglob("*.py")):
        assert not re.search(r"pip install ['\"]?mchelpers", module.read_text()), module


def test_what_an_extra_lacks_is_named_with_the_command_that_installs_it(monkeypatch):
    needs = ["numpy>=1", 'numpy>=1; extra == "a"', 'nosuch-package>=2; extra == "b"']
    monkeypatch.setattr(install.metadata, "requires", lambda name: needs)
    mchelpers.need()
    mchelpers.need("a")
    with pytest.raises(ImportError, match=r"^nosuch-package is missing here: pip .*\[a,b\]"):
        mchelpers.need("a", "b")


def test_a_package_that_is_not_installed_at_all_is_named(monkeypatch):
    monkeypatch.setattr(install, "DISTRIBUTION", "nosuch-distribution")
    with pytest.raises(ImportError, match="nosuch-distribution is missing here: pip install"):
        mchelpers.need("simulate")


def test_the_public_address_is_the_one_of_the_configuration():
    """Files that must spell it out (README, citation, chapters) spell the same one."""
    address = yaml.safe_load((REPOSITORY / "_config.yml").read_text())["repository"]["url"]
    owner_and_name = address.removeprefix("https://github.com/")
    organisation = owner_and_name.split("/")[0]
    texts = [REPOSITORY / n for n in ("README.md", "CITATION.cff", "CONTRIBUTING.md")]
    texts += sorted((REPOSITORY / "book").rglob("*.md"))
    mentions = [
        (path.name, found)
        for path in texts
        for found in re.findall(rf"github(?:\.com)?/({organisation}/[\w-]+)", path.read_text())
    ]
    assert mentions
    assert {found for _, found in mentions} == {owner_and_name}
