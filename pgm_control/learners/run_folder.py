"""What a training run keeps on disk: enough to go on, to play, and to look at."""

import csv
import io
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import torch

from .._errors import InvalidArgument, InvalidCheckpoint
from .._whole_file import write_whole
from .learner import Learner
from .learning import EvaluationPoint
from .saved import read, write

_PACKAGES = ("pgm-control", "torch", "gymnasium", "numpy", "pyro-ppl")


@final
class RunFolder:
    """One folder a run. Every file is written whole or not at all, from what the learner knows.

    | file | holds |
    |---|---|
    | `run.json` | the command, the settings, the versions, how it ended |
    | `checkpoint.pt` | the whole learner, for `Learner.load` |
    | `policy.pt` | its networks alone, to play and to share |
    | `log.csv`, `log.jsonl` | the rows of the log |
    | `evaluations.csv` | the evaluations |
    | `curve.png` | both, drawn |

    A run that goes on from its checkpoint writes its log anew, so no row is there twice.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Nothing is read or written yet."""
        self.path = Path(path)

    @property
    def checkpoint(self) -> Path:
        """Of the whole learner."""
        return self.path / "checkpoint.pt"

    def facts(self) -> dict[str, Any]:
        """What `run.json` holds.

        Raises:
            InvalidCheckpoint: if there is no run, or it cannot be read.
        """
        path = self.path / "run.json"
        try:
            found = json.loads(path.read_text(encoding="utf8"))
        except (FileNotFoundError, NotADirectoryError) as problem:
            missing = f"there is no {path}" if self.path.is_dir() else "there is no such folder"
            raise InvalidCheckpoint(
                f"`{self.path}` must be the folder of a training run, but {missing}. `pgm-control train` makes one, "
                "and says where."
            ) from problem
        except ValueError as problem:
            raise InvalidCheckpoint(
                f"{path} cannot be read: {problem}. If checkpoint.pt is whole, `Learner.load` reads that alone."
            ) from problem
        if not isinstance(found, dict) or not {"algorithm", "env", "config", "learn"} <= set(found):
            raise InvalidCheckpoint(f"{path} is not of a training run of this version. Start anew in another folder.")
        return found

    @property
    def go_on(self) -> str:
        """The command that goes on with the run."""
        return f"pgm-control train --resume {shlex.quote(str(self.path))}"

    def require_new(self) -> None:
        """Let no run be written over.

        Raises:
            InvalidArgument: if there is one already.
        """
        if (self.path / "run.json").exists():
            raise InvalidArgument(
                f"`out` must be a folder without a run, but {self.path} holds one. To go on with it: {self.go_on}; or "
                "give another --out."
            )

    def sweep(self) -> None:
        """Remove what writing left behind where it was killed."""
        for partial in self.path.glob(".*.partial"):
            partial.unlink(missing_ok=True)

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Write `run.json`, with the versions of now; make the folder."""
        versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
        text = json.dumps({**facts, "versions": versions}, indent=2, ensure_ascii=False)
        write_whole(self.path / "run.json", f"{text}\n".encode())

    def write_log(self, learner: Learner) -> None:
        """Write all rows."""
        log = [{name: _short(value) for name, value in row.items()} for row in learner.log]
        self._write_csv("log.csv", log)
        write_whole(self.path / "log.jsonl", "".join(f"{json.dumps(row)}\n" for row in log).encode())
        self._write_csv("evaluations.csv", [asdict(each) for each in learner.evaluations])

    def last_evaluation(self) -> EvaluationPoint | None:
        """Of the training, if there was one.

        Raises:
            InvalidCheckpoint: if `evaluations.csv` cannot be read.
        """
        path = self.path / "evaluations.csv"
        try:
            rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
            last = {name: float(value) for name, value in rows[-1].items()} if rows else None
            return None if last is None else EvaluationPoint(**{**last, "step": int(last["step"])})
        except (TypeError, ValueError, KeyError) as problem:
            raise InvalidCheckpoint(f"{path} cannot be read: {problem}. Remove it to play without it.") from problem

    def write_policy(self, learner: Learner) -> None:
        """Write the networks, with what is needed to make them again."""
        networks = {
            name: part.state_dict() for name, part in learner.parts().items() if isinstance(part, torch.nn.Module)
        }
        facts = {
            "policy_of": type(learner).__name__,
            "format": learner.format,
            "env": learner.env_id,
            "config": learner.config,
            "steps": learner.steps,
        }
        write(self.path / "policy.pt", networks, facts)

    def policy(self, kind: type[Learner]) -> Learner:
        """A learner with these networks: it can act and be evaluated, but has no experience to learn on from.

        Args:
            kind: the class that it was.

        Raises:
            InvalidCheckpoint: if there is none, it is not whole, or of another kind.
        """
        path = self.path / "policy.pt"
        if self.path.is_dir() and not path.exists():
            raise InvalidCheckpoint(
                f"There is no policy in {self.path} yet: one is written with the first row of the log. To go on: "
                f"{self.go_on}"
            )
        networks, facts = read(path)
        if facts.get("policy_of") != kind.__name__ or facts["format"] != kind.format:
            raise InvalidCheckpoint(
                f"{path} must hold the policy of a {kind.__name__} of format {kind.format}, but does not. Take the "
                "version that wrote it."
            )
        config = {**facts["config"], "device": "cpu", "num_envs": 1}
        if "capacity" in config:
            config["capacity"] = 1  # nothing will be learned from
        learner = kind(facts["env"], **config)
        try:
            for name, part in learner.parts().items():
                if isinstance(part, torch.nn.Module):
                    part.load_state_dict(networks[name])
        except (KeyError, RuntimeError) as problem:
            raise InvalidCheckpoint(
                f"{path} does not fit {facts['env']}: {problem}. Has the environment changed since?"
            ) from problem
        learner.steps = facts["steps"]
        return learner

    def _write_csv(self, name: str, rows: Sequence[Mapping[str, float | int]]) -> None:
        """The columns of all rows, in the order in which they first appear."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        file = io.StringIO()
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if columns:
            writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path / name, file.getvalue().encode())


def _short(value: float) -> float | int:
    """30 rather than 30.0."""
    return int(value) if value.is_integer() else value
