"""Numbers that README, examples and commands print and write; times and versions are left out."""

import contextlib
import csv
import importlib
import io
import json
import multiprocessing
import re
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgm_control import ClampedGuide, TabularModel, fit, infer, value_iteration
from pgm_control.models import risky_path

from .entries import numbers

PACKAGES = ("exchange", "inverse_rl", "learners", "plot")
ROOT = Path(__file__).parent.parent.parent
COMMANDS = {
    "zoo": ["zoo"],
    "compare": ["compare restaurant"],
    "compare_path": ["compare risky_path --temperature 0.5 --seed 1 --num-steps 300"],
    "compare_grid": ["compare FrozenLake-v1 --horizon 20 --num-steps 200"],
    "report": ["report windy_bridge --num-steps 100"],
    "explore": ["explore lottery --no-browser"],
    "bench": [
        "bench --models restaurant risky_path --guides free clamped deterministic mean_field "
        "--num-seeds 2 --num-steps 60"
    ],
    "train_and_play": [
        "train soft_q pgm_control/RiskyPath-v0 --temperature 20 --total-steps 200 --seed 0 --option hidden=32 "
        "--out run",
        "train --resume run --total-steps 300",
        "play run --num-episodes 5 --stochastic",
    ],
    "learn_reward": ["learn-reward FrozenLake-v1 --horizon 20 --num-episodes 50 --temperature 0.1"],
    "learn_reward_free": [
        "learn-reward windy_bridge --num-episodes 20 --demonstrator free --of state_action --prior 1 --num-steps 50"
    ],
}
_TIMED = ("bench", "train")  # commands that print a column of seconds; their files hold the other columns
_LEFT_OUT = re.compile(r"seconds|versions|command")
_VERSION = re.compile(r"\b(?:python|torch|pyro-ppl|gymnasium|numpy|pgm-control)\s+\d[\w.+]*")


def cases() -> dict[str, Callable[[], Any]]:
    """The README, each example and each command, by name."""
    _load()
    found: dict[str, Callable[[], Any]] = {"README": lambda: _apart(_readme)}
    for path in sorted((ROOT / "examples").glob("*.py")):
        if path.stem != "notebook":
            found[f"example_{path.stem}"] = lambda path=path: _apart(_example, path)
    for name, commands in COMMANDS.items():
        found[f"command_{name}"] = lambda commands=commands: _apart(_commands, commands)
    return found


def _load() -> None:
    """Load libraries and compiled loops once, before the forks."""
    for name in ("matplotlib.pyplot", "tyro", *(f"pgm_control.{each}" for each in PACKAGES)):
        importlib.import_module(name)
    model = TabularModel(risky_path(), 20.0)
    fit(model, ClampedGuide(model), num_steps=1)
    infer(model, 1.0)
    value_iteration(TabularModel(model.mdp.replace(discount=0.5), 0.0), 0.0)


def _apart(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a fork of this process, which has everything imported, and in an empty folder."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_in_an_empty_folder, (function, *args))


def _in_an_empty_folder(function: Callable[..., Any], *args: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return function(*args)


def _readme() -> dict[str, Any]:
    """Numbers that the Python blocks of the README, and of pages that quote output, print; run in order."""
    found = {}
    for page in ("README.md", "docs/howto/own_guide.md", "docs/howto/own_model.md", "docs/howto/learn_reward.md"):
        blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf8"), re.M | re.S)
        namespace: dict[str, object] = {}
        for block in blocks:
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(block, page, "exec"), namespace)
            found[f"block_{len(found)}"] = numbers(said.getvalue())
    return found


def _example(path: Path) -> dict[str, Any]:
    return {"printed": numbers(_run([str(path), "--smoke"], lambda: runpy.run_path(str(path), run_name="__main__")))}


def _commands(commands: list[str]) -> dict[str, Any]:
    """Numbers that commands print, and those in the files that they write."""
    found: dict[str, Any] = {}
    for i, command in enumerate(commands):
        words = ["pgm-control", *command.split()]
        said = _run(words, lambda: runpy.run_module("pgm_control", run_name="__main__", alter_sys=True))
        if words[1] not in _TIMED:
            found[f"printed_{i}"] = numbers(said)
    for path in sorted(Path().rglob("*.*")):
        name = path.name.replace(".", "_")
        if path.suffix == ".json":
            found[name] = _plain("", json.loads(path.read_text(encoding="utf8")))
        elif path.suffix == ".csv":
            found[name] = _columns(path)
        elif path.suffix == ".html":
            found[name] = _page(path.read_text(encoding="utf8"))
    return found


def _run(words: list[str], program: Callable[[], Any]) -> str:
    """Run a program with these words as its command line, and return what it prints.

    Raises:
        RuntimeError: if it exits with an error.
    """
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as complained:
        sys.argv = words
        try:
            program()
        except SystemExit as end:
            if end.code not in (0, None):
                raise RuntimeError(f"{' '.join(words)} exits with {end.code}: {complained.getvalue()}") from end
    return said.getvalue()


def _plain(key: str, value: Any) -> Any:
    """JSON without times and versions. A text is replaced by its numbers; a status is kept."""
    if isinstance(value, dict):
        kept = {name: _plain(name, each) for name, each in value.items() if not _LEFT_OUT.search(name)}
        return {name: each for name, each in kept.items() if each != []}  # texts without numbers
    if isinstance(value, list):
        return [_plain(key, each) for each in value]
    return numbers(value) if isinstance(value, str) and key != "status" else value


def _columns(path: Path) -> dict[str, Any]:
    """The columns of a table: numbers or statuses."""
    with path.open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, Any] = {}
    for name in rows[0] if rows else ():
        column = [row[name] for row in rows]
        if name == "status":
            found[name] = ", ".join(column)
        elif not _LEFT_OUT.search(name):
            found[name] = [number for each in column for number in numbers(each)]
    return found


def _page(text: str) -> dict[str, Any]:
    """The numbers of a page, and the coordinates in its pictures."""
    paths = " ".join(re.findall(r'\bd="([^"]*)"', text))
    text = re.sub(r"<svg.*?</svg>|<style.*?</style>", "", text, flags=re.S)
    return {"numbers": numbers(_VERSION.sub("", re.sub(r"<[^>]*>", " ", text))), "pictures": numbers(paths)}
