"""What people and GitHub are told to run exists, and what runs for us is what we have seen."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import yaml
from conftest import REPOSITORY

from mchelpers.book.command_line import make_parser
from mchelpers.record.chapter import chapters

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
HOOKS = REPOSITORY / ".pre-commit-config.yaml"
CONTAINER = REPOSITORY / ".devcontainer" / "devcontainer.json"
EXPRESSION = re.compile(r"\$\{\{.*?\}\}|\$\w+|\"\$\w+\"")


def read(file):
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # "on" stays a word


def steps(file):
    return [s for job in read(file)["jobs"].values() for s in job["steps"]]


def commands():
    """List every line that a workflow, a hook, the container or a text tells to run."""
    found = [(w.name, line) for w in WORKFLOWS for s in steps(w) for line in _lines(s)]
    found += [(HOOKS.name, h["entry"]) for r in read(HOOKS)["repos"] for h in r["hooks"]]
    found.append((CONTAINER.name, json.loads(CONTAINER.read_text())["postCreateCommand"]))
    for text in ("CONTRIBUTING.md", "README.md", "book/start/run.md", "pull_request_template.md"):
        path = REPOSITORY / (text if (REPOSITORY / text).exists() else f".github/{text}")
        inline = re.findall(r"`((?:make|python) [^`\n]+)`", path.read_text(encoding="utf-8"))
        blocks = re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S)
        found += [(text, c) for c in [*inline, *(b for t in blocks for b in t.splitlines())]]
    return found


def _lines(step):
    return [line.strip() for line in step.get("run", "").splitlines()]


def words(command):
    command = re.sub(r'"?\$TIER"?', "laptop", command)
    return shlex.split(EXPRESSION.sub("graphene_hrtem/02_bragg", command), comments=True)


def targets():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, flags=re.M))


MADE = [c for c in commands() if re.match(r"make( |$)", c[1])]
OURS = [c for c in commands() if "-m mchelpers" in c[1]]


@pytest.mark.parametrize(("where", "command"), MADE)
def test_each_target_that_is_named_is_in_the_makefile(where, command):
    named = [w for w in words(command)[1:] if re.fullmatch("[a-z]+", w)]
    assert set(named) <= targets()


@pytest.mark.parametrize(("where", "command"), OURS)
def test_each_command_that_is_named_is_one_that_the_package_takes(where, command):
    said = words(command)
    arguments = said[said.index("mchelpers") + 1 :]
    if len(arguments) == 1:  # a text that names it and no more
        arguments.append("--help")
    try:
        make_parser().parse_args(arguments)
    except SystemExit as stopped:
        assert stopped.code == 0  # --help


def test_there_were_commands_to_look_at():
    assert len(MADE) > 10 and len(OURS) > 8


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_each_action_is_pinned_to_a_commit_and_says_its_version(file):
    used = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", u) for u in used), used
    versions = {u.partition("@")[0]: set() for u in used}
    for other in WORKFLOWS:
        for name in versions:
            versions[name] |= set(re.findall(rf"{name}@\w+", other.read_text(encoding="utf-8")))
    assert all(len(v) == 1 for v in versions.values()), versions


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_each_workflow_may_no_more_than_it_must_and_ends_in_time(file):
    workflow = read(file)
    assert workflow["permissions"]["contents"] == "read"
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job or name == "publish", name


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_each_file_that_a_step_runs_is_there(file):
    for step in steps(file):
        for script in re.findall(r"python3? ((?:tools|tests)/\S+\.py)", step.get("run", "")):
            assert (REPOSITORY / script).exists()


def test_the_oldest_and_the_newest_python_are_tried():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    tried = read(WORKFLOWS[0].with_name("test.yml"))["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f">={tried[0]}" == project["requires-python"]
    assert tried == sorted(tried, key=lambda v: int(v.partition(".")[2])) and len(tried) > 1


def test_the_chapters_that_forms_and_workflows_name_are_there():
    names = {c.name for c in chapters(REPOSITORY)}
    studies = {n.partition("/")[0] for n in names}
    for file in [*WORKFLOWS, *(REPOSITORY / ".github").rglob("*.yml")]:
        for study, chapter in re.findall(r"\b([a-z_]+)/(\d\d_\w+)", file.read_text()):
            assert study in studies and f"{study}/{chapter}" in names


@pytest.mark.parametrize("name", ["problem", "study"])
def test_forms_ask_what_can_be_answered(name):
    form = read(REPOSITORY / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    for field in form["body"]:
        assert field["type"] in ("input", "dropdown", "textarea")
        assert field["attributes"]["label"]
        if field["type"] == "dropdown":
            assert len(set(field["attributes"]["options"])) > 1


def test_the_second_jupyter_book_is_not_proposed():
    updates = read(REPOSITORY / ".github" / "dependabot.yml")["updates"]
    (pip,) = (u for u in updates if u["package-ecosystem"] == "pip")
    assert {"dependency-name": "jupyter-book", "versions": [">=2"]} in pip["ignore"]


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing():
    subprocess.run(["actionlint"], cwd=REPOSITORY, check=True)
