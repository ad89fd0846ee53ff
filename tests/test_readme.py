"""Tests of the README: every code block runs and prints the quoted output; its figures of speed are measured."""

import contextlib
import io
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import pgm_control
import pgm_control.guides

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf8") if README.exists() else ""
RUN = ("python", "sh")
READ = ("text", "bibtex")  # no code
BY_CI = ("main", "test")  # commands that install; .ci/run runs them in empty environments
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not TEXT, reason="the README is not shipped with the package")]


class Block(NamedTuple):
    """A fenced block: its mark for .ci/run, its language, its body, and whether it directly follows another block."""

    mark: str
    language: str
    body: str
    follows: bool


def blocks(text):
    """The blocks of a Markdown file, in order."""
    found, end = [], 0
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE):
        before = text[end : match.start()]
        mark = re.search(r"<!-- command: (\w+) -->\n\Z", before)
        found.append(Block(mark[1] if mark else "", match[1], match[2], end > 0 and not before.strip()))
        end = match.end()
    return found


def outputs(text):
    """Return each block that is run, with its quoted output, or an empty text."""
    found = blocks(text)
    for block in found:
        if block.language not in RUN + READ:
            raise ValueError(f"a block of the README is {block.language!r}, which no test runs: {block.body[:60]}")
    promised = [each.body if each.follows and each.language == "text" else "" for each in found[1:]] + [""]
    return [(block, said) for block, said in zip(found, promised, strict=True) if block.language in RUN]


def assert_same(said, promised):
    """Assert equal words, and numbers that agree to one unit of the last quoted digit."""
    words = [" ".join(NUMBER.sub("#", each).split()) for each in (said, promised)]
    assert words[0] == words[1], f"it prints\n{said}"
    for found, number in zip(NUMBER.findall(said), NUMBER.findall(promised), strict=True):
        unit = 10.0 ** -len(number.partition(".")[2])
        assert float(found) == pytest.approx(float(number), abs=1.01 * unit), f"it prints\n{said}"


def test_the_python_blocks_print_their_quoted_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block, promised in outputs(TEXT):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(block.body, "README.md", "exec"), namespace)
            assert_same(said.getvalue(), promised)


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


def test_the_two_commands_that_install_are_run_by_ci():
    assert tuple(block.mark for block in blocks(TEXT) if block.mark) == BY_CI
    script = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    for mark in BY_CI:
        assert re.search(rf"^{mark}_command=\$\(readme_command {mark}\)$", script, re.MULTILINE)
        assert f'bash -euo pipefail -c "${mark}_command"' in script


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
    section = re.search(r"^## How fast\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)[1]
    measured = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf8")
    figures = set(re.findall(r"\d+(?:\.\d+)?(?= (?:us|ms|s|times)\b)", section))
    assert len(figures) >= 15
    assert figures <= set(re.findall(r"\d+(?:\.\d+)?", measured))
    for module in re.findall(r"`(?:python -m tests\.benchmarks)?\.(\w+)[^`]*`", section):
        assert (ROOT / "tests" / "benchmarks" / f"{module}.py").exists()


def test_guides_and_files_that_are_named_exist():
    for name in set(re.findall(r"`(\w+Guide)`", TEXT)):
        assert hasattr(pgm_control.guides, name), name
    for link in set(re.findall(r"(?:\]\(|src=\"|href=\")([^)\"#:]+)[)\"#]", TEXT)):
        assert (ROOT / link).exists(), link
