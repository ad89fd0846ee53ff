"""Output for a terminal: wrapped text and progress."""

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


@contextmanager
def bar_over(total: int, label: str) -> Iterator[Progress]:
    """Yield a progress bar over `total` steps on a terminal, and silent progress elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    with ProgressBar(total, label) as bar:
        yield bar
