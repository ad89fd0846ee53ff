"""The pages of the course run: every cell of every page, in order, without the machinery of the site."""

import contextlib
import io
import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "course").glob("*.md"))
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.M | re.S)


def cells(text):
    """The code of each cell, without its options and without the commands of IPython."""
    for block in CELL.findall(text):
        lines = [line for line in block.splitlines() if not re.match(r":\w+:|%", line)]
        yield "\n".join(lines)


@pytest.fixture
def figures(monkeypatch):
    """Draw into memory, and close every figure afterwards."""
    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.mark.skipif(not PAGES, reason="the site is not shipped with the package")
def test_there_are_six_chapters():
    assert [path.name[0] for path in PAGES] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_page_says_that_its_cells_run(path):
    text = path.read_text(encoding="utf8")
    assert text.startswith("---\nfile_format: mystnb\n")
    first = CELL.search(text)
    assert first is not None
    assert "%matplotlib inline" in first[1]
    assert "remove-cell" in first[1]
    assert text.count("```") == 2 * len(re.findall(r"^```\S", text, re.M))
    assert len(list(cells(text))) >= 5
    assert f"pgm-control exercise {path.name[0]} answer.py" in text


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_cell_runs(path, figures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, code in enumerate(cells(path.read_text(encoding="utf8")), 1):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, f"{path.name}, cell {number}", "exec"), names)


def test_options_and_commands_are_left_out():
    text = "a\n```{code-cell}\n:tags: [remove-cell]\n\n%matplotlib inline\n```\n\n```{code-cell} python\nx = 1\n```\n"
    assert [code.strip() for code in cells(text)] == ["", "x = 1"]
