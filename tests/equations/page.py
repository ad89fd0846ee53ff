"""The page of the site that shows the table of equations."""

from pathlib import Path

from equations.exact import EXACT
from equations.learning import LEARNING
from equations.variational import VARIATIONAL

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "theory" / "equations.md"
PICTURES = ROOT / "examples" / "gallery"
ROWS = tuple(sorted((*EXACT, *VARIATIONAL, *LEARNING), key=lambda row: row.chapter))
CHAPTERS = (
    "The model and its messages",
    "Exact inference and its optimism",
    "Variational inference, clamped",
    "Between and beyond",
    "Function approximation",
    "The other way",
)
_OPENING = """# Equations and the functions that compute them

Each row of these tables is an equation, the function of the library that computes its left side, the test of its law
on many problems, and a picture in which it can be seen. The page is generated from `tests/equations/`. A test
calls the function of each row on a small random problem (three states, two actions, two outcomes, three steps) and
computes the other side by a plain sum over all trajectories, or by the recursion written out in numpy. The two sides
differ by less than 1e-10. [Notation](notation.md) explains the symbols; the proofs are on the page of
[laws](laws.md).
"""


def page():
    """Return the text of the page."""
    parts = [_OPENING]
    for number, title in enumerate(CHAPTERS, 1):
        rows = [_line(row) for row in ROWS if row.chapter == number]
        head = ["| equation | function | law (test) | picture |", "|---|---|---|---|"]
        parts.append("\n".join([f"## Chapter {number}: {title}", "", *head, *rows, ""]))
    return "\n".join(parts)


def _line(row):
    file, test = row.law.split("::")
    equation = row.equation.replace(r"\|", r"\Vert ").replace("|", r"\vert ")  # a bar would end the cell
    shown = row.shown.replace("|", r"\|")
    picture = f"[example {int(row.picture[:2])}](../../examples/{row.picture}.py)"
    law = f"{test.removeprefix('test_').replace('_', ' ')} (`{Path(file).name}`)"
    return f"| ${equation}$ | `{shown}` | {law} | {picture} |"
