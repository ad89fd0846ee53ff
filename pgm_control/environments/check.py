"""Comparison of a table with its environment by simulation: report all that contradicts the table."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP, require_mdp
from ..runtime.arguments import whole
from ..runtime.randomness import integer_of
from ..trajectories.policy import own_seed
from .checked import Checked

_FALSE_ALARM = 1e-4  # the probability that `ok` is False for a correct table, if many steps are simulated
_RARE = 5.0  # cells with a smaller expected count are pooled: the χ² distribution would be a poor approximation
_SHOWN = 5  # the number of contradictions that a message lists
Cell = tuple[int, float]  # next state and reward


@final
@dataclass(frozen=True)
class ImpossibleStart:
    """Episodes that began in a state whose initial probability is 0: the state, the count, and a message."""

    state: int
    count: int
    text: str


@final
@dataclass(frozen=True)
class ImpossibleTransition:
    """Observed steps to which the table gives probability 0.

    Attributes:
        state, action, next_state: indices; a terminated step leads to the last state.
        reward: in reward units.
        count: the number of such steps.
        text: a message with names, and with the outcomes that the table lists instead.
    """

    state: int
    action: int
    next_state: int
    reward: float
    count: int
    text: str


@final
@dataclass(frozen=True)
class EnvironmentCheck:
    """The result of `check_against_env`; `print` shows it as text.

    Attributes:
        total_steps: the number of simulated steps.
        num_episodes: the number of episodes begun.
        impossible: the observed starts and steps to which the table gives probability 0, the most frequent first.
        statistic: the χ² statistic of the frequencies of (next state, reward) for each (state, action), and of the
            starts.
        degrees_of_freedom: those of the statistic; 0 if no (state, action) was visited often enough to be tested.
        p_value: the probability of a statistic at least as large if the table is correct; 1 without degrees of freedom.
        worst: a description of the row whose frequencies fit worst; empty without degrees of freedom.
    """

    total_steps: int
    num_episodes: int
    impossible: tuple[ImpossibleTransition | ImpossibleStart, ...]
    statistic: float
    degrees_of_freedom: int
    p_value: float
    worst: str

    @property
    def ok(self) -> bool:
        """True if nothing impossible was observed and p > 1e-4: a correct table fails about once in 10 000 checks."""
        return not self.impossible and self.p_value > _FALSE_ALARM

    def __str__(self) -> str:
        """The result, the evidence, and the remedy."""
        verdict = "agrees with" if self.ok else "contradicts"
        lines = [f"The table {verdict} the environment, in {_times(self.total_steps, 'random step')}."]
        lines += [f"  impossible: {each.text}." for each in self.impossible[:_SHOWN]]
        if len(self.impossible) > _SHOWN:
            lines.append(f"  … and {len(self.impossible) - _SHOWN} more kinds, in `impossible`.")
        if self.degrees_of_freedom:
            lines.append(
                f"  frequencies: χ² = {self.statistic:.1f} on {self.degrees_of_freedom} degrees of freedom, "
                f"p = {self.p_value:.2g}."
            )
        else:
            lines.append(
                "  frequencies: no row was visited often enough to be tested. If any is random, raise `total_steps`."
            )
        if self.p_value <= _FALSE_ALARM:
            lines.append(f"  worst row: {self.worst}.")
        if self.impossible:
            lines.append("Correct `successor`, `reward` or `initial` there, or use TabularMDP.from_gymnasium(env, …).")
        elif not self.ok:
            lines.append("Correct `probability` or `initial` there. Chance does this once in 10 000: try another seed.")
        return "\n".join(lines)


def check_against_env(
    mdp: TabularMDP, env: gymnasium.Env, total_steps: int = 10_000, seed: int | torch.Generator | None = None
) -> EnvironmentCheck:
    r"""Simulate an environment with uniformly random actions and report what contradicts its table.

    $$\chi^2 = \sum_{s,a} \sum_c \frac{(n_{sac} - n_{sa}\, p_{sac})^2}{n_{sa}\, p_{sac}}$$

    over the cells $c$ of equal (next state, reward), where cells expected fewer than 5 times are pooled, and in the
    same way over the starts. Only states that random actions reach are checked. Horizon, discount and final reward are
    not part of the environment.

    Args:
        mdp: the table; its last state is absorbing, as in `TabularMDP.from_gymnasium`.
        env: the environment. It is reset with `seed`, stepped, and left open in the middle of an episode.
        total_steps: the number of steps to simulate; 10 000 take a fraction of a second.
        seed: an integer, a generator, or None for torch's global generator. An integer seeds the environment and, in a
            separate stream, the actions.

    Raises:
        InvalidArgument: if the spaces do not fit the table, or `total_steps` or `seed` is invalid.
        EnvironmentFailure: if the environment raises an error, or its answers are not those of Gymnasium's interface.
    """
    require_mdp("mdp", mdp)
    total_steps, number = whole("total_steps", total_steps), integer_of(seed)
    env = Checked(env)
    _require(env.observation_space, "observation_space", mdp.num_states - 1, "the states but the last")
    _require(env.action_space, "action_space", mdp.num_actions, "the actions")
    seen = _simulate(mdp, env, total_steps, number)

    def state_text(state: int) -> str:
        return f"state {state}" + (f" {mdp.state_names[state]!r}" if mdp.state_names else "")

    def cell_text(cell: Cell) -> str:
        return f"{state_text(cell[0])} with reward {cell[1]:g}"

    impossible: list[ImpossibleTransition | ImpossibleStart] = []
    initial = {s: p for s, p in enumerate(mdp.initial.tolist()) if p > 0}
    for s, count in seen.starts.items():
        if s not in initial:
            text = f"{_times(count, 'episode')} began in {state_text(s)}, where `initial` is 0"
            impossible.append(ImpossibleStart(s, count, text))
    rows = [_row("the start of an episode", initial, seen.starts, state_text)]
    tolerance = _reward_tolerance(mdp)
    for (s, a), counts in seen.transitions.items():
        action = f"action {a}" + (f" {mdp.action_names[a]!r}" if mdp.action_names else "")
        where, cells = f"{action} in {state_text(s)}", _cells(mdp, s, a)
        possible, strange = _match(counts, cells, tolerance)
        for (t, r), count in strange.items():
            listed = ", ".join(f"{cell_text(cell)} (probability {p:.4g})" for cell, p in cells.items())
            text = f"{_times(count, 'time')} {where} led to {cell_text((t, r))}; the table lists {listed}"
            impossible.append(ImpossibleTransition(s, a, t, r, count, text))
        rows.append(_row(where, cells, possible, cell_text))
    tested = [row for row in rows if row.freedom]
    statistic, freedom = sum((row.statistic for row in tested), 0.0), sum(row.freedom for row in tested)
    return EnvironmentCheck(
        total_steps=total_steps,
        num_episodes=seen.starts.total(),
        impossible=tuple(sorted(impossible, key=lambda each: -each.count)),
        statistic=statistic,
        degrees_of_freedom=freedom,
        p_value=_p_value(statistic, freedom),
        worst=min(tested, key=lambda row: _p_value(row.statistic, row.freedom)).text if tested else "",
    )


class _Seen(NamedTuple):
    starts: Counter[int]
    transitions: dict[tuple[int, int], Counter[Cell]]


class _Row(NamedTuple):
    text: str
    statistic: float
    freedom: int


def _simulate(mdp: TabularMDP, env: gymnasium.Env, total_steps: int, seed: int) -> _Seen:
    """The counts of starts and transitions, over successive episodes."""
    last = mdp.num_states - 1

    actions = np.random.default_rng(own_seed(seed)).integers(mdp.num_actions, size=total_steps)
    starts, transitions = Counter(), {}
    state = None
    for number, action in enumerate(actions.tolist()):
        if state is None:
            state = int(env.reset(seed=seed if number == 0 else None)[0])
            starts[state] += 1
        observation, reward, terminated, truncated, _ = env.step(action)
        arrived = last if terminated else int(observation)
        transitions.setdefault((state, action), Counter())[arrived, reward] += 1
        state = None if terminated or truncated else arrived
    return _Seen(starts, transitions)


def _cells(mdp: TabularMDP, state: int, action: int) -> dict[Cell, float]:
    """The probability of each (next state, reward); the probabilities of outcomes that agree in both are added."""
    cells: dict[Cell, float] = {}
    outcomes = (mdp.probability[state, action], mdp.successor[state, action], mdp.reward[state, action])
    for p, t, r in zip(*(each.tolist() for each in outcomes), strict=True):
        if p > 0:
            cells[t, r] = cells.get((t, r), 0.0) + p
    return cells


def _match(counts: Counter[Cell], cells: Mapping[Cell, float], tolerance: float) -> tuple[Counter[Cell], Counter[Cell]]:
    """The counts of each cell, and the counts of observations that are in no cell."""
    possible, strange = Counter(), Counter()
    for (t, r), count in counts.items():
        distance = {cell: 0.0 if cell[1] == r else abs(cell[1] - r) for cell in cells if cell[0] == t}
        nearest = min(distance, key=lambda cell: distance[cell], default=None)
        if nearest is not None and distance[nearest] <= tolerance:
            possible[nearest] += count
        else:
            strange[t, r] += count
    return possible, strange


def _row(where: str, probability: Mapping[Any, float], counts: Counter[Any], text: Callable[[Any], str]) -> _Row:
    """The χ² statistic of one random event, rare outcomes pooled; 0 degrees of freedom if fewer than two remain."""
    total = sum(counts[outcome] for outcome in probability)
    outcomes = [(total * p, counts[outcome], text(outcome)) for outcome, p in probability.items()]
    often = sorted((outcome for outcome in outcomes if outcome[0] >= _RARE), key=lambda outcome: outcome[0])
    rare = [outcome for outcome in outcomes if outcome[0] < _RARE]
    if rare:
        pooled = sum(outcome[0] for outcome in rare), sum(outcome[1] for outcome in rare), "its rarer outcomes together"
        if pooled[0] < _RARE and often:
            least = often.pop(0)
            pooled = pooled[0] + least[0], pooled[1] + least[1], f"{least[2]}, with the rarer ones,"
        often.append(pooled)
    if len(often) < 2:
        return _Row("", 0.0, 0)
    terms = [(observed - expected) ** 2 / expected for expected, observed, _ in often]
    expected, observed, name = often[int(np.argmax(terms))]
    return _Row(
        f"{where}, seen {_times(total, 'time')}: {name} came {_times(observed, 'time')}, expected {expected:.1f}",
        sum(terms),
        len(often) - 1,
    )


def _p_value(statistic: float, freedom: int) -> float:
    """The probability that χ² with `freedom` degrees of freedom is at least `statistic`."""
    if freedom == 0:
        return 1.0
    half = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def _reward_tolerance(mdp: TabularMDP) -> float:
    """The difference from a reward of the table that counts as rounding error, relative to the largest reward."""
    finite = mdp.reward[mdp.reward.isfinite()].abs()
    relative = 1e-9 if mdp.reward.dtype == torch.float64 else 1e-5
    return relative * float(finite.max()) if finite.numel() else 0.0


def _require(space: gymnasium.Space, name: str, count: int, meaning: str) -> None:
    if not isinstance(space, Discrete) or space.start != 0:
        raise InvalidArgument(
            f"`env.{name}` must be Discrete and start at 0, but is {space}. Only such environments have a table."
        )
    if space.n != count:
        raise InvalidArgument(
            f"`env.{name}` must have {count} elements, {meaning} of `mdp`, but has {space.n}. Check the mdp that "
            "TabularMDP.from_gymnasium(env, …) makes of this environment, or one of its layout."
        )


def _times(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
