"""Wrong uses of the commands: each ends in one sentence and with the right status."""

import os
import re
import subprocess

import pytest
from conftest import REPOSITORY

from mchelpers.book import command_line

WRONG = [  # what is called, its status, what its sentence holds
    ([], 2, "the following arguments are required: command"),
    (["exekute", "demo/01_first"], 2, "invalid choice: 'exekute'"),
    (["execute"], 2, "one of the arguments name --all is required"),
    (["execute", "demo/01_first", "--all"], 2, "not allowed with argument"),
    (["execute", "demo/01_first", "--tier", "small"], 2, "invalid choice: 'small'"),
    (["execute", "demo/09_none"], 1, "no chapter 'demo/09_none'"),
    (["verify", "demo/09_none"], 1, "no chapter 'demo/09_none'"),
    (["verify", "demo/01_first", "--tier", "2"], 2, "invalid choice: '2'"),
    (["text", "nosuch"], 1, "no chapter 'nosuch'"),
    (["check", "demo"], 2, "unrecognized arguments: demo"),
    (["pages", "--tier", "smoke"], 2, "unrecognized arguments: --tier smoke"),
    (["book", "--tier", "all"], 2, "invalid choice: 'all'"),
    (["new"], 2, "the following arguments are required: name"),
    (["new", "SEM grains"], 1, "cannot name a study"),
    (["new", "class"], 1, "cannot name a study"),
    (["pack"], 2, "the following arguments are required: names"),
    (["pack", "nosuch"], 1, "no chapter 'nosuch'"),
    (["adopt", "none.pt"], 1, "none.pt"),
    (["ship", "nothing-0000"], 1, "nothing-0000.safetensors is not there"),
    (["measure"], 2, "name images and a --study"),
    (["measure", "image.tif"], 2, "name images and a --study"),
    (["measure", "none.tif", "--study", "graphene_hrtem"], 1, "none.tif"),
    (["measure", "none.tif", "--study", "nosuch"], 2, "nosuch"),
    (["measure", "x.tif", "--study", "graphene_hrtem", "--workers", "0"], 2, "--workers is 0"),
    (["measure", "x.tif", "--study", "graphene_hrtem", "--pixel-size-nm", "two"], 2, "'two'"),
    (["measure", "x.tif", "--study", "graphene_hrtem", "--pixel-size-nm", "-1"], 2, "-1"),
    (["measure", "--again", "none.json"], 2, "none.json"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    WRONG,
    ids=lambda v: " ".join(map(str, v)) if isinstance(v, list) else "",
)
def test_a_wrong_call_is_told_in_one_sentence(book, monkeypatch, capsys, arguments, status, words):
    (book / "_config.yml").write_text("repository: {url: https://x.y/z}\n")
    monkeypatch.chdir(book)
    monkeypatch.setattr("sys.argv", ["mchelpers", *arguments])
    try:
        ended = command_line.main()
    except SystemExit as stopped:
        ended = stopped.code
    said = "".join(capsys.readouterr())
    told = [line for line in said.splitlines() if re.match("- |.*: (error|failed): ", line)]
    assert ended == status
    assert len(told) == 1 and words in told[0], said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["chapter"], "Name a chapter: make chapter NAME="),
        (["chapter", "TIER=smoke"], "Name a chapter: make chapter NAME="),
        (["verify"], "Name a chapter: make verify NAME="),
        (["verify", "TIER=laptop"], "Name a chapter: make verify NAME="),
        (["bok"], "No rule to make target 'bok'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_make_says_what_it_lacks_before_it_installs_anything(tmp_path, call, words):
    (tmp_path / "Makefile").write_text((REPOSITORY / "Makefile").read_text())
    env = {**os.environ, "LC_ALL": "C"}
    ran = subprocess.run(["make", *call], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert ran.returncode == 2
    assert words in ran.stdout + ran.stderr
    assert not (tmp_path / ".venv").exists()
