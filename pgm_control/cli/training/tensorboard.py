"""The log of a training run for TensorBoard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from ...errors import MissingExtra
from ...learners.learning import EvaluationPoint


@final
class TensorBoard:
    """A writer of the new rows of the log and the evaluations."""

    def __init__(self, path: Path, steps: int) -> None:
        """Start a file of events.

        Args:
            path: the folder.
            steps: the number of steps so far; entries of earlier files for later steps are discarded.

        Raises:
            MissingExtra: without tensorboard, with the command that installs it.
        """
        self._writer = self.require()(str(path), purge_step=steps + 1)
        self._after = {"log": steps, "evaluations": steps}

    @staticmethod
    def require() -> Any:
        """Return TensorBoard's writer class.

        Raises:
            MissingExtra: without tensorboard, with the command that installs it.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter  # an extra, and slow to import
        except ImportError as problem:
            raise MissingExtra(
                "`--tensorboard` needs tensorboard, which is missing: pip install tensorboard"
            ) from problem
        return SummaryWriter

    def write(self, log: Sequence[Mapping[str, float]], evaluations: Sequence[EvaluationPoint]) -> None:
        """Add the rows since the last call, and flush them to disk."""
        points = [{"step": each.step, "return": each.mean, "length": each.length} for each in evaluations]
        for name, rows in (("log", log), ("evaluations", points)):
            for row in rows:
                if row["step"] > self._after[name]:
                    for column, value in row.items():
                        if column != "step":
                            self._writer.add_scalar(f"{name}/{column}", value, int(row["step"]))
            self._after[name] = int(rows[-1]["step"]) if rows else self._after[name]
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
