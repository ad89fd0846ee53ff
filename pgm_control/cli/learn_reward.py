"""The command `pgm-control learn-reward`."""

import json
import math
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..chance.risk import Risk
from ..errors import InvalidArgument, MissingExtra
from ..inverse_rl import Demonstrations, DialDemonstrator, Inverse, InverseStatus, from_episodes, inverse
from ..inverse_rl.demonstrators import NAMED, Demonstrator
from ..plot import has_layout, recovered_reward, recovered_reward_maps
from ..runtime.files import write_whole
from ..runtime.progress import Progress
from ..text.csv_table import csv_table
from ..text.tables import grid
from ..text.terminal import fill, folded, wrapped
from ..text.wording import listed
from ..trajectories.blocks import MarkovModel
from .learned_rows import Row, is_small, rows_of
from .named_problem import named_model, sizes

_DEFAULT = "clamped"  # the demonstrator
_SHOWN = 20  # rows of the printed table; the file has all rows
_WEAK = 10.0  # temperatures: the standard deviation of the default prior
_AS_BEFORE = 0.9  # of the prior's standard deviation: a reward that is known no better was not learned
_TOO_LARGE = 100.0  # times the largest reward of the problem


def learn_reward(
    asked: dict[str, Any],
    say: Callable[[str], None],
    bar_over: Callable[[int, str], AbstractContextManager[Progress]],
) -> None:
    """Read or sample demonstrations, fit, print and write; `asked` holds the options of the command by name."""
    name, of = asked["name"], asked["of"]
    demonstrator = _demonstrator(asked["demonstrator"], asked["risk"])
    model = named_model(name, asked["horizon"], asked["temperature"])
    demonstrations, whence = _demonstrations(model, asked, demonstrator)
    num_steps, prior = asked["num_steps"], _prior(asked["prior"], float(model.temperature))
    with bar_over(num_steps, "reward") as bar:
        found = inverse(model, demonstrations, of, demonstrator, prior=prior, num_steps=num_steps, progress=bar)
        if found.status is not InverseStatus.interrupted:
            fill(bar)
    _require_something_learned(found, of)
    say(f"{name}: {sizes(model.mdp)}, temperature {model.temperature:g}; {whence}\n")
    rows = rows_of(found, of, prior)
    say(_table(rows, of))
    say(f"\n{_certificate(found, rows, prior)}")
    out = Path("pgm-control-out") / f"{name.replace('/', '_').replace(':', '_')}-reward"
    folder = out if asked["out"] is None else asked["out"]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, rows, found, asked)
    say(f"\nTable:   {folder / 'reward.csv'}\nNumbers: {folder / 'reward.json'}")
    try:
        _picture(found, rows, of, prior, folder / "reward.png")
        say(f"Picture: {folder / 'reward.png'}")
    except MissingExtra as problem:
        say(f"Picture: none. {problem}")
    other = "free" if asked["demonstrator"] != "free" else "clamped"
    again = _command({**asked, "demonstrator": other, "risk": None, "out": None})
    say(f"\nNext, assume another model of the demonstrator:\n  {again}")


def _demonstrator(text: str | None, risk: float | None = None) -> Demonstrator:
    """Return the demonstrator with this name, or the dial demonstrator with this number β or this risk parameter θ."""
    if text is None:
        return NAMED[_DEFAULT] if risk is None else DialDemonstrator(Risk(risk))
    return NAMED[text] if text in NAMED else DialDemonstrator(float(text))


def _prior(text: str, temperature: float) -> float | None:
    """Return σ, or None for no prior; by default the prior is weak."""
    if text == "weak":
        return _WEAK * temperature
    if text.lower() == "none":
        return None
    return float(text) or None


def _require_something_learned(found: Inverse, of: str) -> None:
    """Refuse to print rewards of which the demonstrations identify nothing."""
    if not is_small(found) or len(found.identification.free_directions) < len(found.identification.names):
        return
    visited = int((found.demonstrations.pairs.sum(-1) > 0).sum())
    happened = (
        "Only one state was visited" if visited == 1 else f"The demonstrations do not depend on rewards of a {of}"
    )
    remedy = "" if of == "outcome" else " Use --of outcome."
    raise InvalidArgument(f"{happened}: nothing can be learned.{remedy}")


def _demonstrations(
    model: MarkovModel, asked: dict[str, Any], demonstrator: Demonstrator
) -> tuple[Demonstrations, str]:
    """Return demonstrations and their source: a file, or samples of a demonstrator of the problem's own reward."""
    file, number = asked["demonstrations"], asked["num_episodes"]
    if file is not None:
        found = from_episodes(model.mdp, _read(file))
        return found, f"{found.number:g} demonstrations from {file}"
    drawn_by = demonstrator if asked["by"] is None else _demonstrator(asked["by"])
    seed = asked["seed"]
    last = model.mdp.final_reward
    last = torch.zeros_like(model.mdp.initial) if last is None else last
    behaviour = drawn_by.behaviour(model, model.mdp.reward, last, model.temperature)
    # The outcomes follow the demonstrator's dynamics: a free demonstrator controls them.
    blocks = model.blocks().replace(log_policy=behaviour.log_policy, log_dynamics=behaviour.log_dynamics)
    drawn = blocks.sample(number, seed)
    by = _called(asked["demonstrator"], asked["risk"]) if asked["by"] is None else _called(asked["by"])
    return Demonstrations.from_trajectories(model.mdp, drawn), f"{number} demonstrations by {by}, seed {seed}"


def _called(text: str | None, risk: float | None = None) -> str:
    if risk is not None:
        return f"a demonstrator of risk parameter {risk:g}"
    return f"a demonstrator of optimism {text}" if text and text not in NAMED else f"a {text or _DEFAULT} demonstrator"


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the episodes of a file: obs (n, T+1) and acts (n, T), with `lengths` (n) if padded, and `terminal` (n)."""
    try:
        with path.open("rb") as file:
            held = dict(np.load(file, allow_pickle=False))
    except Exception:  # bytes of another format raise nearly any error, and numpy's message advises to run code
        raise InvalidArgument(
            f"`demonstrations` must be a file of numpy that holds arrays of numbers, FILE.npz, but {path} is not. Use "
            "numpy.savez."
        ) from None
    missing = [each for each in ("obs", "acts") if each not in held]
    if missing or held["obs"].ndim != 2 or held["acts"].shape != (len(held["obs"]), held["obs"].shape[1] - 1):
        shapes = {name: array.shape for name, array in held.items()}
        raise InvalidArgument(
            "`demonstrations` must hold obs, the states (n, T + 1), and acts, the actions (n, T); and may hold lengths "
            f"(n), the number of actions of each, and terminal (n), whether it ended. {path} holds {shapes}. Use "
            "numpy.savez."
        )
    n, steps = held["acts"].shape
    lengths, over = held.get("lengths", np.full(n, steps)), held.get("terminal", np.zeros(n, bool))
    for name, array in (("lengths", lengths), ("terminal", over)):
        if array.shape != (n,):
            raise InvalidArgument(f"`demonstrations` must hold {name} of {n} episodes, but {path} has {array.shape}.")
        most = steps if name == "lengths" else 1
        if array.dtype.kind not in "biuf" or not ((array >= 0) & (array <= most) & (array == np.floor(array))).all():
            raise InvalidArgument(
                f"`demonstrations` must hold {name} that are whole numbers from 0 to {most}, but {path} holds others."
            )
    return [
        {"obs": held["obs"][i, : int(m) + 1], "acts": held["acts"][i, : int(m)], "terminal": bool(over[i])}
        for i, m in enumerate(lengths)
    ]


def _table(rows: list[Row], of: str) -> str:
    """Return the table of the rewards, the most visited first."""
    most = sorted(rows, key=lambda row: -row.visits)[:_SHOWN]
    lines = [
        (row.name, f"{row.visits:.4f}", f"{row.learned:.4f}", f"{row.deviation:.2g}", f"{row.true:.4f}") for row in most
    ]
    head = [(of.replace("_", ", "), "visits", "learned", "±", "true"), ("", "", "", "", "expected")]
    left = len(rows) - len(most)
    return folded(grid(head, lines, left=1)) + (f"\n… and {left} more, in the file" if left else "")


def _certificate(found: Inverse, rows: list[Row], prior: float | None) -> str:
    lines = [
        f"log-likelihood {found.log_likelihood:.4f} nats, {found.log_likelihood / found.demonstrations.number:.4f} a "
        f"demonstration; gradient {found.gradient:.2g} after {len(found.objective_history) - 1} steps, "
        f"{found.num_starts} start{'s' * (found.num_starts > 1)}; it predicts the visits of every state to within "
        f"{found.occupancy_error:.2g}.",
        "true: the problem's own expected reward. Both rewards have the same mean, weighted by visits, without those "
        "that grow without bound. What is never visited is omitted.",
    ]
    if prior is not None:
        lines.append(f"Prior: every reward is near 0, with standard deviation {prior:g}. --prior none omits it.")
    lines += _warnings(found, rows, prior)
    first, *others = found.findings()
    if found.status in (InverseStatus.out_of_steps, InverseStatus.not_finite):
        first = f"{first.partition('. ')[0]}. {'Raise' if prior else 'Give --prior, or raise'} --num-steps."
    lines += [each.replace("`num_steps`", "--num-steps").replace("a `prior`", "--prior") for each in (first, *others)]
    return "\n".join(wrapped(each) for each in lines)


def _warnings(found: Inverse, rows: list[Row], prior: float | None) -> list[str]:
    """Return sentences that name the rewards that are not to be trusted."""
    lines, own = [], found.demonstrations.mdp
    if len(rows) == 1:
        lines.append("Warning: with a single row the two rewards agree by construction, because both have one mean.")
    scale = float(torch.where(own.probability > 0, own.reward, 0.0).abs().max())
    large = [row.name for row in rows if 0 < _TOO_LARGE * scale < abs(row.learned)]
    if large:
        lines.append(f"Warning: above {_TOO_LARGE:g} times the largest reward of the problem: {listed(large)}.")
    vague = [row.name for row in rows if _is_vague(row, prior)]
    if vague:
        known = "their standard deviation is " + ("infinite" if prior is None else "nearly that of the prior")
        lines.append(f"Warning: not learned, {known}: {listed(vague)}.")
    return lines


def _is_vague(row: Row, prior: float | None) -> bool:
    """Return whether a reward was not learned: its standard deviation is infinite, or nearly that of the prior."""
    return row.deviation >= (math.inf if prior is None else _AS_BEFORE * prior)


def _write(folder: Path, rows: list[Row], found: Inverse, asked: dict[str, Any]) -> None:
    write_whole(folder / "reward.csv", csv_table(Row._fields, rows).encode())
    numbers = {
        "command": _command(asked),
        "status": found.status.name,
        "log_likelihood": found.log_likelihood,
        "log_prior": found.log_prior,
        "unbounded": found.unbounded_names,
        "runners_up": [
            {"difference": each.difference, "parameters": each.parameters.tolist()} for each in found.runners_up
        ],
        "findings": found.findings(),
        "gradient": found.gradient,
        "occupancy_error": found.occupancy_error,
        "num_steps": len(found.objective_history) - 1,
        "seconds": found.seconds,
        "reward": [row._asdict() for row in rows],
    }
    write_whole(folder / "reward.json", json.dumps(numbers, indent=1, ensure_ascii=False).encode())


def _command(asked: dict[str, Any]) -> str:
    words = ["pgm-control", "learn-reward", asked["name"]]
    for name, value in asked.items():
        if name != "name" and value is not None:
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def _picture(found: Inverse, rows: list[Row], of: str, prior: float | None, path: Path) -> None:
    """Draw a map if rewards belong to states and there is a grid; else one line per reward, for the most visited."""
    mdp = found.demonstrations.mdp

    def spread(row: Row) -> float:
        return math.inf if _is_vague(row, prior) else row.deviation

    if of == "state" and has_layout(mdp):
        table = torch.full((4, mdp.num_states), torch.nan)
        seen = (found.demonstrations.pairs.sum(-1) > 0).nonzero()[:, 0]
        table[:, seen] = torch.tensor([(row.visits, row.learned, row.true, spread(row)) for row in rows]).T
        visits, learned, true, deviations = table
        axes = recovered_reward_maps(
            mdp, true, {"learned": learned}, weights=visits.nan_to_num(), deviations={"learned": deviations},
            up_to_a_constant=False,
        )[0]  # fmt: skip
    else:
        most = sorted(rows, key=lambda row: -row.visits)[:_SHOWN]
        axes = recovered_reward(
            [row.true for row in most], {"learned": [row.learned for row in most]}, names=[row.name for row in most],
            deviations={"learned": [spread(row) for row in most]},
            up_to_a_constant=False, title="Learned reward and the problem's own expected reward",
        )  # fmt: skip
    figure: Any = axes.figure
    figure.savefig(path, dpi=150)
