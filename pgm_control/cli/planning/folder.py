"""The files of a run of a planner: enough to continue it with the same command, and to inspect it."""

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from ...errors import InvalidArgument, InvalidCheckpoint
from ...runtime.checkpoint_checks import anything, fields, mapping, number, require, text
from ...runtime.files import write_whole
from ...text.csv_table import csv_table
from .episodes import COLUMNS, OF_PLANS, SEEDS, WHOLE, Row, seeds_of

_PACKAGES = ("pgm-control", "torch", "gymnasium", "numpy", "pyro-ppl")
_FACTS = fields(
    {
        "env": text,
        "planner": text,
        "settings": mapping(anything),
        "seed": number(0, whole=True),
        "num_episodes": number(1, whole=True),
    },
    others=True,
)
_REMEDY = "Remove it to play all episodes again, or give another --out."
_OTHER = "Give another --out, or remove the folder to play all episodes again."


@final
class PlanFolder:
    """The folder of one run of a planner. Every file is written atomically.

    | file | contents |
    |---|---|
    | `run.json` | the command, the settings, the versions, the final status |
    | `log.csv` | a row for each episode that is done |
    | `returns.png` | a plot of the log |

    Attributes:
        path: the path of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Set the path; nothing is read or written yet."""
        self.path = Path(path)

    def facts(self) -> dict[str, Any] | None:
        """Return the contents of `run.json`, or None if there is none.

        Raises:
            InvalidCheckpoint: if it cannot be read.
            InvalidArgument: if it is that of a training run.
        """
        path = self.path / "run.json"
        try:
            found = json.loads(path.read_text(encoding="utf8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as problem:
            raise InvalidCheckpoint(f"{path} cannot be read: {problem}. {_OTHER}") from problem
        if isinstance(found, dict) and "algorithm" in found:
            raise InvalidArgument(
                f"`out` must be a folder without a training run, but {self.path} holds one. Give another --out."
            )
        require(path, "a run of a planner", found, _FACTS, _OTHER)
        return found

    def require_no_files(self) -> None:
        """Check that a new run writes over no file: without `run.json` they are those of something else.

        Raises:
            InvalidArgument: if there is a file with the name of one that a run writes.
        """
        for name in ("log.csv", "returns.png"):
            if (self.path / name).exists():
                raise InvalidArgument(
                    f"`out` must be a new folder, or that of the same run, but {self.path} holds {name}, which would "
                    "be overwritten, and no run.json. Give another --out."
                )

    def log(self, seed: int) -> list[Row]:
        """Return the episodes that are done.

        Args:
            seed: the seed of the run, of which the rows must be.

        Raises:
            InvalidCheckpoint: if `log.csv` cannot be read, or is not that of this run.
        """
        path = self.path / "log.csv"
        try:
            lines = list(csv.reader(path.read_text(encoding="utf8").splitlines())) if path.exists() else []
            rows = [_row(cells) for cells in lines[1:]]
        except (OSError, ValueError, csv.Error) as problem:
            raise InvalidCheckpoint(f"{path} cannot be read: {problem}. {_REMEDY}") from problem
        named = not lines or tuple(lines[0]) == COLUMNS
        if not named or any(
            (row["episode"], *(row[name] for name in SEEDS)) != (i, *seeds_of(seed, i)) for i, row in enumerate(rows)
        ):
            raise InvalidCheckpoint(f"{path} is not the log of this run: its columns or seeds are others. {_REMEDY}")
        return rows

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Write `run.json`, with the current versions; create the folder if needed."""
        versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
        content = json.dumps({**facts, "versions": versions}, indent=2, ensure_ascii=False)
        write_whole(self.path / "run.json", f"{content}\n".encode())

    def forget(self) -> None:
        """Remove `run.json`, of a run that failed before its first episode was done."""
        (self.path / "run.json").unlink(missing_ok=True)

    def write_log(self, rows: Sequence[Row]) -> None:
        """Write all rows."""
        table = csv_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
        write_whole(self.path / "log.csv", table.encode())


def _row(cells: Sequence[str]) -> Row:
    """The numbers of a line.

    Raises:
        ValueError: if it has another length, or a cell is no number.
    """
    found: dict[str, float | int | None] = {}
    for name, cell in zip(COLUMNS, cells, strict=True):
        is_empty = cell == "" and name in OF_PLANS
        found[name] = None if is_empty else int(cell) if name in WHOLE else float(cell)
    return found
