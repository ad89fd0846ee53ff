"""The code of Markdown pages: their blocks, the outputs that they quote, and the comparison of the two."""

import contextlib
import io
import re
from typing import NamedTuple

import pytest

RUN = ("python", "sh")
READ = ("text", "bibtex", "csv", "json")  # no code
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


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
    found = [block for block in blocks(text) if not block.language.startswith("{")]  # directives of the site
    for block in found:
        if block.language not in RUN + READ:
            raise ValueError(f"a block of the page is {block.language!r}, which no test runs: {block.body[:60]}")
    promised = [each.body if each.follows and each.language == "text" else "" for each in found[1:]] + [""]
    return [(block, said) for block, said in zip(found, promised, strict=True) if block.language in RUN]


def assert_same(said, promised):
    """Assert equal words, and numbers that agree to one unit of the last quoted digit."""
    words = [" ".join(NUMBER.sub("#", each).split()) for each in (said, promised)]
    assert words[0] == words[1], f"it prints\n{said}"
    for found, number in zip(NUMBER.findall(said), NUMBER.findall(promised), strict=True):
        unit = 10.0 ** -len(number.partition(".")[2])
        assert float(found) == pytest.approx(float(number), abs=1.01 * unit), f"it prints\n{said}"


def run_python(text, name):
    """Run the Python blocks of a page, one after the other, and compare what they print with what is quoted."""
    namespace: dict[str, object] = {}
    for block, promised in outputs(text):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(block.body, name, "exec"), namespace)
            assert_same(said.getvalue(), promised)
