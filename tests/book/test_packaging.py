"""The environment files agree, and the package takes what Colab has."""

import re
import tomllib

import yaml
from conftest import REPOSITORY


def names(requirements):
    return {re.split(r"[=<>\[; ]", r)[0].lower().replace("_", "-") for r in requirements}


def test_the_conda_environment_holds_the_same_set():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert "-r requirements.txt" in pip or names(pip) >= names(
        (REPOSITORY / "requirements.txt").read_text().split()
    )


def test_torch_and_numpy_are_never_pinned():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    assert {"torch", "numpy"} <= set(wanted)
    assert not [w for w in wanted if "==" in w]


def test_the_lock_holds_every_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    wanted = {w for w in wanted if not w.startswith("mchelpers")}
    assert names(wanted) <= names((REPOSITORY / "requirements.txt").read_text().split())


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
