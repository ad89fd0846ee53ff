"""The files of a training run: enough to resume it, to play its policy, and to inspect it."""

import csv
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import torch

from ..errors import InvalidArgument, InvalidCheckpoint
from ..learners.learner import Learner
from ..learners.learning import EVALUATION, EvaluationPoint
from ..learners.saved import REMEDY, check_of, made_again, require_arguments, require_plain_id
from ..runtime.checkpoint import read, write
from ..runtime.checkpoint_checks import anything, either, fields, flag, mapping, nothing, number, require, text
from ..runtime.files import write_whole
from ..text.csv_table import csv_table
from .options import no_run

_PACKAGES = ("pgm-control", "torch", "gymnasium", "numpy", "pyro-ppl")
_COUNT = number(1, whole=True)
_FACTS = fields(
    {
        "algorithm": text,
        "env": text,
        "config": mapping(anything),
        "learn": fields(
            {
                "total_steps": _COUNT,
                "evaluate_every": either(nothing, _COUNT),
                "num_evaluation_episodes": _COUNT,
                "checkpoint_every": _COUNT,
                "log_every": _COUNT,
            }
        ),
        "tensorboard": flag,
        "stop_at_return": either(nothing, number()),
        "keep_best": flag,
    },
    others=True,
)
_POLICY = fields(
    {
        "env": text,
        "config": mapping(anything),
        "total_steps": number(0, whole=True),
    }
)


@final
class RunFolder:
    """The folder of one training run. Every file is written atomically, from the state of the learner.

    | file | contents |
    |---|---|
    | `run.json` | the command, the settings, the versions, the final status |
    | `checkpoint.pt` | the whole learner, for `Learner.load` |
    | `best.pt` | the whole learner with the best evaluation, if it was asked for |
    | `policy.pt` | its networks alone, to play and to share |
    | `log.csv`, `log.jsonl` | the rows of the log |
    | `evaluations.csv` | the evaluations |
    | `curve.png` | a plot of the log and the evaluations |

    A run that is resumed from its checkpoint rewrites its log, so that no row appears twice.

    Attributes:
        path: the path of the folder.
    """

    def __init__(self, path: str | Path, own_module: str | None = None) -> None:
        """Set the path; nothing is read or written yet.

        Args:
            path: the path of the folder.
            own_module: the module that registers the environment, for the commands that go on.
        """
        self.path = Path(path)
        module = [] if own_module is None else ["--import", own_module]
        self._words = shlex.join([str(path), *module])

    @property
    def checkpoint(self) -> Path:
        """The path of the checkpoint of the whole learner."""
        return self.path / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """The path of the learner with the best evaluation."""
        return self.path / "best.pt"

    def facts(self) -> dict[str, Any]:
        """Return the contents of `run.json`.

        Raises:
            InvalidCheckpoint: if there is no run, or it cannot be read.
        """
        path = self.path / "run.json"
        try:
            found = json.loads(path.read_text(encoding="utf8"))
        except (FileNotFoundError, NotADirectoryError) as problem:
            raise no_run(self.path) from problem
        except (OSError, ValueError, RecursionError) as problem:
            raise InvalidCheckpoint(
                f"{path} cannot be read: {problem}. If checkpoint.pt is whole, `Learner.load` reads that alone."
            ) from problem
        if not isinstance(found, dict) or not {"algorithm", "env", "config", "learn"} <= set(found):
            raise InvalidCheckpoint(
                f"{path} is not from a training run of this version. Start a new run in another folder."
            )
        found = {"stop_at_return": None, "keep_best": False, **found}  # of older runs
        require(path, "a training run", found, _FACTS, "Correct it, or start a new run in another folder.")
        require_plain_id(path, found["env"])
        return found

    @property
    def go_on(self) -> str:
        """The command that resumes the run."""
        return f"pgm-control train --resume {self._words}"

    @property
    def play(self) -> str:
        """The command that evaluates the policy."""
        return f"pgm-control play {self._words}"

    def require_new(self) -> None:
        """Check that no run would be overwritten.

        Raises:
            InvalidArgument: if the folder holds a run already.
        """
        if (self.path / "run.json").exists():
            raise InvalidArgument(
                f"`out` must be a folder without a run, but {self.path} holds one. To continue it: {self.go_on}; or "
                "give another --out."
            )

    def sweep(self) -> None:
        """Remove the partial files of an interrupted write."""
        for partial in self.path.glob(".*.partial"):
            partial.unlink(missing_ok=True)

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Write `run.json`, with the current versions; create the folder if needed."""
        versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
        text = json.dumps({**facts, "versions": versions}, indent=2, ensure_ascii=False)
        write_whole(self.path / "run.json", f"{text}\n".encode())

    def write_log(self, learner: Learner) -> None:
        """Write all rows of the log and the evaluations."""
        log = [{name: _short(value) for name, value in row.items()} for row in learner.log]
        self._write_csv("log.csv", log)
        write_whole(self.path / "log.jsonl", "".join(f"{json.dumps(row)}\n" for row in log).encode())
        self._write_csv("evaluations.csv", [asdict(each) for each in learner.evaluations])

    def last_evaluation(self) -> EvaluationPoint | None:
        """Return the last evaluation of the training, or None.

        Raises:
            InvalidCheckpoint: if `evaluations.csv` cannot be read.
        """
        path = self.path / "evaluations.csv"
        try:
            rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
            last = {name: float(value) for name, value in rows[-1].items()} if rows else None
        except (OSError, csv.Error, TypeError, ValueError) as problem:
            raise InvalidCheckpoint(f"{path} cannot be read: {problem}. Remove it to play without it.") from problem
        if last is None:
            return None
        check = fields({**EVALUATION, "step": number(0)})
        require(path, "the evaluations of a run", last, check, "Remove it to play without it.")
        return EvaluationPoint(**{**last, "step": int(last["step"])})

    def write_policy(self, learner: Learner) -> None:
        """Write the networks, with the arguments that are needed to rebuild them."""
        networks = {
            name: part.state_dict() for name, part in learner.parts().items() if isinstance(part, torch.nn.Module)
        }
        facts = {
            "env": learner.env_id,
            "config": learner.config,
            "total_steps": learner.total_steps,
        }
        write(self.path / "policy.pt", f"{type(learner).__name__} policy", networks, facts)

    def begun(self, kind: type[Learner], facts: Mapping[str, Any], device: str | None) -> Learner:
        """Return the learner of a run that has no checkpoint yet, in its initial state.

        Args:
            kind: the class of the learner.
            facts: the contents of `run.json`.
            device: the device; default: the original one.

        Raises:
            InvalidCheckpoint: if `run.json` does not hold its arguments.
        """
        path = self.path / "run.json"
        require_arguments(kind, path, facts["config"])
        config = {**facts["config"], **({} if device is None else {"device": device})}
        return made_again(kind, path, facts["env"], config, ours=device is None)

    def policy(self, kind: type[Learner]) -> Learner:
        """Return a learner with the saved networks: it can act and be evaluated, but has no experience to learn from.

        Args:
            kind: the class of the saved learner.

        Raises:
            InvalidCheckpoint: if there is no policy, or it is incomplete or of another class.
        """
        path = self.path / "policy.pt"
        if self.path.is_dir() and not path.exists():
            raise InvalidCheckpoint(
                f"There is no policy in {self.path} yet: one is written with the first row of the log. To continue: "
                f"{self.go_on}"
            )
        networks, facts = read(path, f"{kind.__name__} policy", mapping(anything), _POLICY, REMEDY)
        require_plain_id(path, facts["env"])
        require_arguments(kind, path, facts["config"])
        config = {**facts["config"], "device": "cpu", "num_envs": 1}
        if "capacity" in config:
            config["capacity"] = 1  # no learning follows
        learner = made_again(kind, path, facts["env"], config, ours=True)
        parts = {name: part for name, part in learner.parts().items() if isinstance(part, torch.nn.Module)}
        remedy = f"Has {facts['env']} changed since? {REMEDY}"
        require(path, "this learner", networks, fields({name: check_of(part) for name, part in parts.items()}), remedy)
        for name, part in parts.items():
            part.load_state_dict(networks[name])
        learner.total_steps = facts["total_steps"]
        return learner

    def _write_csv(self, name: str, rows: Sequence[Mapping[str, float | int]]) -> None:
        """Write the columns of all rows, in the order in which they first appear."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        content = csv_table(columns, [[row.get(column) for column in columns] for row in rows]) if columns else ""
        write_whole(self.path / name, content.encode())


def _short(value: float) -> float | int:
    """Return a whole number as an int: 30, not 30.0."""
    return int(value) if value.is_integer() else value
