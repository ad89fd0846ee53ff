"""Output for a terminal: text and tables of its width, and progress."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from ..runtime.progress import Progress, ProgressBar, silent


def wrapped(text: str, indent: int = 0, first: str | None = None) -> str:
    """The text wrapped to the width of the terminal, at most 110 characters."""
    width = min(110, max(60, shutil.get_terminal_size().columns))
    opening = " " * indent if first is None else first
    kept = re.sub(r"(\(\d+,) (\d+\))", "\\1\u00a0\\2", text)  # the name of a cell stays on one line
    lines = textwrap.fill(kept, width, initial_indent=opening, subsequent_indent=" " * indent, break_on_hyphens=False)
    return lines.replace("\u00a0", " ")


def folded(table: str, left: int = 1) -> str:
    """A table made by `grid`; columns that exceed the width of the terminal come below, beside the first `left` ones.

    Lines of text below the table stay as they are.
    """
    lines, width = table.split("\n"), shutil.get_terminal_size().columns
    rule = next((line for line in lines if line.startswith("─")), "")
    if len(rule) <= width:
        return table
    spans = [match.span() for match in re.finditer("─+", rule)]
    gaps = [i for i, character in enumerate(rule) if character == " "]
    end = next((n for n, line in enumerate(lines) if any(line[i : i + 1].strip() for i in gaps)), len(lines))
    indent = spans[left][0]
    groups = [[spans[left]]]
    for span in spans[left + 1 :]:
        if indent + span[1] - groups[-1][0][0] > width:
            groups.append([])
        groups[-1].append(span)
    parts = ["\n".join(_columns(line, indent, group) for line in lines[:end]) for group in groups]
    return "\n".join(["\n\n".join(parts), *lines[end:]])


def _columns(line: str, indent: int, spans: list[tuple[int, int]]) -> str:
    """The beginning of a line and these neighbouring columns of it."""
    return f"{line[:indent]:{indent}}{line[spans[0][0] : spans[-1][1]]}".rstrip()


@contextmanager
def bar_over(total: int, label: str) -> Iterator[Progress]:
    """Yield a progress bar over at most `total` steps on a terminal, and silent progress elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    with ProgressBar(total, label) as bar:
        yield bar


def fill(bar: Progress) -> None:
    """Fill a bar from `bar_over` at the end of a computation that may need fewer steps than it was given."""
    if isinstance(bar, ProgressBar):
        bar.finish()


def note(text: str) -> None:
    """Print a line on standard error, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
