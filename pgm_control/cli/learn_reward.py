"""The command `pgm-control learn-reward`."""

import csv
import json
import math
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import InvalidArgument, MissingExtra
from ..inverse_rl import Demonstrations, DialDemonstrator, Inverse, InverseStatus, from_episodes, inverse
from ..inverse_rl.demonstrators import NAMED, Demonstrator
from ..plot import has_layout, recovered_reward, recovered_reward_maps
from ..runtime.progress import Progress
from ..text.tables import grid
from ..text.terminal import fill, folded, wrapped
from ..text.wording import action_label, state_label
from ..trajectories.blocks import MarkovModel
from .named_problem import named_model, sizes

_SHOWN = 20  # rows of the printed table; the file has all rows
_OF = ("state", "state_action", "outcome")


class _Row(NamedTuple):
    """A reward: the name of its state, action or outcome, its mean visits per demonstration, and its values."""

    name: str
    visits: float
    learned: float
    true: float


def learn_reward(
    asked: dict[str, Any],
    say: Callable[[str], None],
    bar_over: Callable[[int, str], AbstractContextManager[Progress]],
) -> None:
    """Read or sample demonstrations, fit, print and write; `asked` holds the options of the command by name."""
    name, of = asked["name"], asked["of"]
    if of not in _OF:
        raise InvalidArgument(f"`of` must be {', '.join(_OF)}, but is {of!r}.")
    demonstrator = _demonstrator("demonstrator", asked["demonstrator"])
    model = named_model(name, asked["horizon"], asked["temperature"])
    demonstrations, whence = _demonstrations(model, asked, demonstrator)
    num_steps = asked["num_steps"]
    with bar_over(num_steps, "reward") as bar:
        found = inverse(
            model, demonstrations, of, demonstrator, prior=asked["prior"], num_steps=num_steps, progress=bar
        )
        if found.status is not InverseStatus.interrupted:
            fill(bar)
    say(f"{name}: {sizes(model.mdp)}, temperature {model.temperature:g}; {whence}\n")
    rows = _rows(found, of)
    say(_table(rows, of))
    say(f"\n{_certificate(found)}")
    out = Path("pgm-control-out") / f"{name.replace('/', '_').replace(':', '_')}-reward"
    folder = out if asked["out"] is None else asked["out"]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, rows, found, asked)
    say(f"\nTable:   {folder / 'reward.csv'}\nNumbers: {folder / 'reward.json'}")
    try:
        _picture(found, rows, of, folder / "reward.png")
        say(f"Picture: {folder / 'reward.png'}")
    except MissingExtra as problem:
        say(f"Picture: none. {problem}")
    other = "free" if asked["demonstrator"] != "free" else "clamped"
    again = _command({**asked, "demonstrator": other, "out": None})
    say(f"\nNext, assume another model of the demonstrator:\n  {again}")


def _demonstrator(option: str, text: str) -> Demonstrator:
    """Return the demonstrator with this name, or the dial demonstrator with this number β."""
    if text in NAMED:
        return NAMED[text]
    try:
        beta = float(text)
    except ValueError:
        beta = math.nan
    if not math.isfinite(beta):
        raise InvalidArgument(f"`{option}` must be {', '.join(NAMED)} or a number, the dial β, but is {text!r}.")
    return DialDemonstrator(beta)


def _demonstrations(
    model: MarkovModel, asked: dict[str, Any], demonstrator: Demonstrator
) -> tuple[Demonstrations, str]:
    """Return demonstrations and their source: a file, or samples of a demonstrator of the problem's own reward."""
    file, number = asked["demonstrations"], asked["num_episodes"]
    if (file is None) == (number is None):
        raise InvalidArgument(
            "Either `--demonstrations` FILE.npz or `--num-episodes` N must be given: a file of demonstrations, "
            "or the number of episodes to sample from a demonstrator of the problem's own reward."
        )
    if file is not None:
        found = from_episodes(model.mdp, _read(file))
        return found, f"{found.number:g} demonstrations from {file}"
    drawn_by = demonstrator if asked["by"] is None else _demonstrator("by", asked["by"])
    seed = asked["seed"]
    if number < 1 or seed < 0:
        raise InvalidArgument(f"`num_episodes` must be at least 1 and `seed` at least 0, but are {number} and {seed}.")
    last = model.mdp.final_reward
    last = torch.zeros_like(model.mdp.initial) if last is None else last
    behaviour = drawn_by.behaviour(model, model.mdp.reward, last, model.temperature)
    # The outcomes follow the demonstrator's dynamics: a free demonstrator controls them.
    blocks = model.blocks().replace(log_policy=behaviour.log_policy, log_dynamics=behaviour.log_dynamics)
    drawn = blocks.sample(number, seed)
    by = asked["demonstrator"] if asked["by"] is None else asked["by"]
    return Demonstrations.from_trajectories(model.mdp, drawn), f"{number} demonstrations by {_called(by)}, seed {seed}"


def _called(demonstrator: str) -> str:
    return f"a {demonstrator} demonstrator" if demonstrator in NAMED else f"a demonstrator of optimism {demonstrator}"


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the episodes of a file: obs (n, T+1) and acts (n, T), with `lengths` (n) if padded, and `terminal` (n)."""
    try:
        with path.open("rb") as file:
            held = dict(np.load(file, allow_pickle=False))
    except FileNotFoundError:
        raise InvalidArgument(f"`demonstrations` must be a file, but there is no {path}.") from None
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


def _rows(found: Inverse, of: str) -> list[_Row]:
    """Return the learned reward beside the problem's own, shifted to its mean over the visited entries."""
    mdp, counts = found.demonstrations.mdp, _outcome_counts(found.demonstrations)
    learned, own = found.table, torch.where(mdp.probability > 0, mdp.reward, 0.0)
    axes = tuple(range(1 + _OF.index(of), 3))
    visits = counts.sum(axes) if axes else counts
    share = counts if not axes else counts / visits.reshape(*visits.shape, *[1] * len(axes)).clamp_min(1e-300)
    true = (share * torch.where(counts > 0, own, 0.0)).sum(axes) if axes else own
    values = learned[(..., *[0] * len(axes))]
    shift = float((visits * torch.where(visits > 0, true - values, 0.0)).sum() / visits.sum())
    rows = []
    for place in zip(*(each.tolist() for each in (visits > 0).nonzero(as_tuple=True)), strict=True):
        numbers = (float(visits[place]), float(values[place]) + shift, float(true[place]))
        rows.append(_Row(_name(mdp, place), *numbers))
    return rows


def _outcome_counts(demonstrations: Demonstrations) -> torch.Tensor:
    """Return the mean count of each outcome per demonstration; an unobserved outcome counts by its probability."""
    mdp, (_, s, a, to, _) = demonstrations.mdp, demonstrations.moves
    lands = (mdp.successor[s, a] == to[:, None]) | (to < 0)[:, None]
    share = torch.where(lands, mdp.probability[s, a], 0.0)
    share = share / share.sum(-1, keepdim=True) * demonstrations.weights(demonstrations.moves)[:, None]
    return torch.zeros_like(mdp.probability).index_put_((s, a), share, accumulate=True) / demonstrations.number


def _name(mdp: Any, place: tuple[int, ...]) -> str:
    words = [state_label(mdp, place[0])]
    if len(place) > 1:
        words.append(action_label(mdp, place[1]))
    if len(place) > 2:
        words.append(f"to {state_label(mdp, int(mdp.successor[place]))}")
    return ", ".join(words)


def _table(rows: list[_Row], of: str) -> str:
    """Return the table of the rewards, the most visited first."""
    most = sorted(rows, key=lambda row: -row.visits)[:_SHOWN]
    lines = [(row.name, f"{row.visits:.4f}", f"{row.learned:.4f}", f"{row.true:.4f}") for row in most]
    table = grid([(of.replace("_", ", "), "visits", "learned", "true")], lines, left=1)
    left = len(rows) - len(most)
    return folded(table) + (f"\n… and {left} more, in the file" if left else "")


def _certificate(found: Inverse) -> str:
    lines = [
        f"log-likelihood {found.log_likelihood:.4f} nats, {found.log_likelihood / found.demonstrations.number:.4f} a "
        f"demonstration; gradient {found.gradient:.2g} after {len(found.objective_history) - 1} steps; it predicts the "
        f"visits of every state to within {found.occupancy_error:.2g}.",
        "Both rewards have the same mean, weighted by visits. What is never visited is omitted: its reward is not "
        "identifiable.",
    ]
    message = found.status.message
    if found.status in (InverseStatus.out_of_steps, InverseStatus.not_finite):
        happened = message.partition(". ")[0]
        message = (
            f"{happened}. If the reward diverges, the demonstrations never contain some possible action: give --prior."
        )
    return "\n".join(wrapped(each) for each in (*lines, message))


def _write(folder: Path, rows: list[_Row], found: Inverse, asked: dict[str, Any]) -> None:
    with (folder / "reward.csv").open("w", newline="", encoding="utf8") as file:
        writer = csv.writer(file)
        writer.writerow(_Row._fields)
        writer.writerows(rows)
    numbers = {
        "command": _command(asked),
        "status": found.status.name,
        "log_likelihood": found.log_likelihood,
        "log_prior": found.log_prior,
        "gradient": found.gradient,
        "occupancy_error": found.occupancy_error,
        "num_steps": len(found.objective_history) - 1,
        "seconds": found.seconds,
        "reward": [row._asdict() for row in rows],
    }
    (folder / "reward.json").write_text(json.dumps(numbers, indent=1, ensure_ascii=False), encoding="utf8")


def _command(asked: dict[str, Any]) -> str:
    words = ["pgm-control", "learn-reward", asked["name"]]
    for name, value in asked.items():
        if name != "name" and value is not None:
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def _picture(found: Inverse, rows: list[_Row], of: str, path: Path) -> None:
    """Draw a map if rewards belong to states and there is a grid; else one line per reward, for the most visited."""
    mdp = found.demonstrations.mdp
    if of == "state" and has_layout(mdp):
        table = torch.full((3, mdp.num_states), torch.nan)
        seen = (found.demonstrations.pairs.sum(-1) > 0).nonzero()[:, 0]
        table[:, seen] = torch.tensor([row[1:] for row in rows]).T
        weights, learned, true = table.nan_to_num(), table[1], table[2]
        axes = recovered_reward_maps(mdp, true, {"learned": learned}, weights=weights[0])[0]
    else:
        most = sorted(rows, key=lambda row: -row.visits)[:_SHOWN]
        axes = recovered_reward(
            [row.true for row in most], {"learned": [row.learned for row in most]}, names=[row.name for row in most],
            up_to_a_constant=False, title="Learned and true reward",
        )  # fmt: skip
    figure: Any = axes.figure
    figure.savefig(path, dpi=150)
