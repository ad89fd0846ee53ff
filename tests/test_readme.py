"""Tests of the README: every code block runs and prints the quoted output; its figures of speed are measured."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from page_code import assert_same, blocks, outputs, run_python

import pgm_control
import pgm_control.guides

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf8") if README.exists() else ""
BY_CI = ("main", "test", "site")  # commands that install; .ci/run runs them in empty environments
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not TEXT, reason="the README is not shipped with the package")]


def test_the_python_blocks_print_their_quoted_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(TEXT, "README.md")


def test_the_first_example_is_short():
    first = next(block for block in blocks(TEXT) if block.language == "python")
    assert len(first.body.splitlines()) <= 20


def test_the_commands_run(tmp_path):
    """The commands run as quoted, in an empty folder."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    here = os.environ | {"PYTHONPATH": str(Path(pgm_control.__file__).parent.parent), "PATH": path}
    for block, promised in outputs(TEXT):
        if block.language == "sh" and block.mark not in BY_CI:
            command = ["bash", "-euo", "pipefail", "-c", block.body]
            done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            if promised:
                assert_same(done.stdout, promised)


def test_the_commands_that_install_are_run_by_ci():
    assert tuple(block.mark for block in blocks(TEXT) if block.mark) == BY_CI
    script = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    for mark in BY_CI:
        assert re.search(rf"^{mark}_command=\$\(readme_command {mark}\)$", script, re.MULTILINE)
        assert re.search(rf'bash -euo pipefail -c "\$\{{?{mark}_command', script)


def test_no_code_is_in_an_indented_block():
    outside = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert not [line for before, line in pairwise(outside.splitlines()) if not before and line.startswith("    ")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```ruby\nputs 1\n```\n", "no test runs"),
        ("```\nx\n```\n", "no test runs"),
    ],
)
def test_an_unknown_language_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        outputs(text)


def test_quoted_output_is_compared():
    assert_same("a  1.2345\n", "a 1.2344")
    for said in ("a 1.2347", "b 1.2345", "a 1.2345 2"):
        with pytest.raises(AssertionError):
            assert_same(said, "a 1.2345")


def test_figures_of_speed_are_those_of_the_benchmarks():
    measured = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf8")
    figures = set(re.findall(r"\d+(?:\.\d+)?(?= (?:us|ms|s|times)\b)", TEXT))
    assert len(figures) >= 2
    assert figures <= set(re.findall(r"\d+(?:\.\d+)?", measured))


def test_it_is_a_front_door():
    """At most 150 lines, and one block of code with its output."""
    assert len(TEXT.splitlines()) <= 150
    assert [block.language for block in blocks(TEXT)].count("python") == 1


def test_guides_and_files_that_are_named_exist():
    for name in set(re.findall(r"`(\w+Guide)`", TEXT)):
        assert hasattr(pgm_control.guides, name), name
    for link in set(re.findall(r"(?:\]\(|src=\"|href=\")([^)\"#:]+)[)\"#]", TEXT)):
        assert (ROOT / link).exists(), link
