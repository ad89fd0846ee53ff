"""Tests of the pages of the site: code runs and prints what it quotes, commands run, figures and files are right."""

import os
import re
import subprocess
from pathlib import Path

import pyro
import pytest
from page_code import assert_same, outputs, run_python

import pgm_control.guides

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = ("api", "beside", "gallery")  # by the build, from files that have tests of their own
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).parts[0] not in (*MADE, "_examples")]
TEXTS = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf8") for path in PAGES}
CELLS = {name for name, text in TEXTS.items() if "file_format: mystnb" in text}  # the build runs their cells
OWN_TEST = {"howto/behaviour.md", "howto/many_runs.md"}  # tests/behaviour/test_how_to.py, tests/sweeps/test_how_to.py
CODE = [name for name, text in TEXTS.items() if "```python\n" in text and name not in CELLS | OWN_TEST]
COMMANDS = [
    name
    for name, text in TEXTS.items()
    if re.search(r"^```sh\npgm-control", text, re.MULTILINE) and name not in OWN_TEST
]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PAGES, reason="the site is not shipped with the package")]


@pytest.mark.parametrize("name", CODE)
def test_the_code_of_a_page_prints_its_quoted_output(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(TEXTS[name], name)
    pyro.clear_param_store()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_of_a_page_run(name, preloaded, tmp_path):
    here = os.environ | {"PATH": os.pathsep.join((str(preloaded), os.environ["PATH"]))}
    for block, promised in outputs(TEXTS[name]):
        if block.language == "sh" and block.body.startswith("pgm-control"):
            command = ["bash", "-euo", "pipefail", "-c", block.body]
            done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            if promised:
                assert_same(done.stdout, promised)


def test_pages_with_code_are_found():
    assert {"howto/own_guide.md", "howto/own_model.md", "howto/learn_reward.md"} <= set(CODE)
    assert "howto/command_line.md" in COMMANDS


def test_figures_of_speed_are_those_of_the_benchmarks():
    section = re.search(r"^## What takes how long\n(.*?)^## ", TEXTS["howto/speed.md"], re.MULTILINE | re.DOTALL)[1]
    measured = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf8")
    figures = set(re.findall(r"\d+(?:\.\d+)?(?= (?:us|ms|s|times)\b)", section))
    assert len(figures) >= 15
    assert figures <= set(re.findall(r"\d+(?:\.\d+)?", measured))
    for module in re.findall(r"`(?:python -m tests\.benchmarks)?\.(\w+)[^`]*`", section):
        assert (ROOT / "tests" / "benchmarks" / f"{module}.py").exists()


@pytest.mark.parametrize("name", TEXTS)
def test_guides_and_files_that_a_page_names_exist(name):
    for guide in set(re.findall(r"`(\w+Guide)`", TEXTS[name])):
        assert hasattr(pgm_control.guides, guide) or hasattr(pgm_control, guide), guide
    for link in set(re.findall(r"\]\(([^)\s#:]+)[)#]", TEXTS[name])):
        path = Path(os.path.normpath(DOCS / Path(name).parent / link))
        assert path.exists() or path.relative_to(DOCS).parts[0] in MADE, link
