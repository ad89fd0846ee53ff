"""Does the table tell the truth about the environment? A simulation, and what it contradicts."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete

from ._errors import InvalidArgument
from ._mdp import TabularMDP
from ._policy import own_stream

_FALSE_ALARM = 1e-4  # the probability that `ok` is False for a true table, for enough steps
_EXPECTED = 5.0  # rarer cells are pooled: below it the χ² distribution is a poor approximation
_SHOWN = 5  # how many contradictions a message lists


@final
@dataclass(frozen=True)
class ImpossibleStart:
    """An episode began where the table says that none does."""

    state: int
    count: int
    name: str

    def __str__(self) -> str:
        """Where, and how often."""
        return f"{_times(self.count)} an episode began in state {self.name}, where `initial` is 0"


@final
@dataclass(frozen=True)
class ImpossibleTransition:
    """The environment did what the table calls impossible.

    Attributes:
        state, action, next_state: indices; a terminated step leads to the last state.
        reward: in reward units.
        count: how often it happened.
        allowed: what the table lists there instead: (next state, reward, probability).
        names: of the state, the action and the next state.
    """

    state: int
    action: int
    next_state: int
    reward: float
    count: int
    allowed: tuple[tuple[int, float, float], ...]
    names: tuple[str, str, str]

    def __str__(self) -> str:
        """What happened, how often, and what should have."""
        listed = ", ".join(f"{s} with reward {r:g} (probability {p:.4g})" for s, r, p in self.allowed)
        return (
            f"{_times(self.count)} action {self.names[1]} in state {self.names[0]} led to state {self.names[2]} (index "
            f"{self.next_state}) with reward {self.reward:g}; the table lists {listed}"
        )


@final
@dataclass(frozen=True)
class EnvironmentCheck:
    """What the simulation found; print it.

    Attributes:
        steps: how many were simulated.
        episodes: how many were begun.
        impossible: what the table calls impossible, most frequent first.
        statistic: χ² of the frequencies of (next state, reward) in each (state, action), and of the starts.
        degrees_of_freedom: of the statistic; 0 if no die was thrown often enough to be tested.
        p_value: the probability of a statistic at least as large if the table is true; 1 without degrees of freedom.
        most_surprising: the row whose frequencies fit worst, in words; None without degrees of freedom.
    """

    steps: int
    episodes: int
    impossible: tuple[ImpossibleTransition | ImpossibleStart, ...]
    statistic: float
    degrees_of_freedom: int
    p_value: float
    most_surprising: str | None

    @property
    def ok(self) -> bool:
        """True if nothing impossible happened and p > 1e-4: a true table is rejected once in 10 000 checks."""
        return not self.impossible and self.p_value > _FALSE_ALARM

    def __str__(self) -> str:
        """The verdict, the evidence, and what to do."""
        lines = [
            f"The table {'agrees with' if self.ok else 'contradicts'} the environment in {self.steps} random steps "
            f"({_count(self.episodes, 'episode')})."
        ]
        lines += [f"  impossible: {each}." for each in self.impossible[:_SHOWN]]
        if len(self.impossible) > _SHOWN:
            lines.append(f"  … and {len(self.impossible) - _SHOWN} more kinds, in `impossible`.")
        if self.degrees_of_freedom == 0:
            lines.append("  frequencies: no die was thrown often enough to be tested; raise `steps` if there are any.")
        else:
            lines.append(
                f"  frequencies: χ² = {self.statistic:.1f} on {self.degrees_of_freedom} degrees of freedom, "
                f"p = {self.p_value:.2g}."
            )
        if self.p_value <= _FALSE_ALARM:
            lines.append(f"  worst row: {self.most_surprising}.")
        if self.impossible:
            lines.append("Correct `successor`, `reward` or `initial` there, or build the table with from_gymnasium(env).")
        elif not self.ok:
            lines.append("Correct `probability` there. By chance this happens once in 10 000 checks: try another seed.")
        return "\n".join(lines)


def check_against_env(
    mdp: TabularMDP, env: gymnasium.Env, steps: int = 10_000, seed: int | None = 0
) -> EnvironmentCheck:
    r"""Simulate an environment with uniformly random actions and report what contradicts its table.

    $$\chi^2 = \sum_{s,a} \sum_c \frac{(n_{sac} - n_{sa}\, p_{sac})^2}{n_{sa}\, p_{sac}}$$

    over the cells $c$ of equal (next state, reward), those expected fewer than 5 times pooled, and over the starts.
    Horizon, discount and final reward are not the environment's and are not checked. Only what random actions reach is.

    Args:
        mdp: the table, with one absorbing state last, as `TabularMDP.from_gymnasium` makes it.
        env: the environment. It is reset with `seed`, stepped, and left open in the middle of an episode.
        steps: how many to simulate; 10 000 take about a second.
        seed: of the environment and, in a stream of its own, of the actions.

    Raises:
        InvalidArgument: if the spaces do not fit the table, or `steps` is no positive whole number.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InvalidArgument(f"`steps` must be a whole number, at least 1, but is {steps!r}. Try steps=10_000.")
    _require_discrete("observation_space", env.observation_space, mdp.num_states - 1, "states (besides the last)")
    _require_discrete("action_space", env.action_space, mdp.num_actions, "actions")
    seen = _simulate(mdp, env, steps, seed)
    impossible: list[ImpossibleTransition | ImpossibleStart] = []
    rows: list[_Row] = []
    initial = mdp.initial.cpu().double().numpy()
    impossible += [
        ImpossibleStart(s, count, _quoted(mdp.state_names, s)) for s, count in seen.starts.items() if not initial[s] > 0
    ]
    rows += _row("the start of an episode", dict(enumerate(initial)), seen.starts)
    for (s, a), counts in seen.transitions.items():
        cells = _cells(mdp, s, a)
        merged, strange = _sorted_into(cells, counts, _tolerance(mdp))
        allowed = tuple((t, r, p) for (t, r), p in cells.items())
        for (t, r), count in strange.items():
            names = (_quoted(mdp.state_names, s), _quoted(mdp.action_names, a), _quoted(mdp.state_names, t))
            impossible.append(ImpossibleTransition(s, a, t, r, count, allowed, names))
        where = f"action {_quoted(mdp.action_names, a)} in state {_quoted(mdp.state_names, s)}"
        rows += _row(where, cells, merged)
    statistic, freedom = sum(row.statistic for row in rows), sum(row.freedom for row in rows)
    worst = min(rows, key=lambda row: (_p_value(row.statistic, row.freedom), -row.statistic), default=None)
    return EnvironmentCheck(
        steps=steps,
        episodes=seen.starts.total(),
        impossible=tuple(sorted(impossible, key=lambda each: -each.count)),
        statistic=statistic,
        degrees_of_freedom=freedom,
        p_value=_p_value(statistic, freedom),
        most_surprising=None if worst is None else worst.text,
    )


class _Seen(NamedTuple):
    starts: Counter[int]
    transitions: dict[tuple[int, int], Counter[tuple[int, float]]]


class _Row(NamedTuple):
    text: str
    statistic: float
    freedom: int


def _simulate(mdp: TabularMDP, env: gymnasium.Env, steps: int, seed: int | None) -> _Seen:
    """Count starts and transitions over episodes that follow each other."""
    actions = np.random.default_rng(own_stream(seed)).integers(mdp.num_actions, size=steps)
    ended = mdp.num_states - 1
    seen = _Seen(Counter(), {})
    state = int(env.reset(seed=seed)[0])
    seen.starts[state] += 1
    for step, action in enumerate(actions.tolist(), start=1):
        observation, reward, terminated, truncated, _ = env.step(action)
        arrived = ended if terminated else int(observation)
        seen.transitions.setdefault((state, action), Counter())[arrived, float(reward)] += 1
        state = arrived
        if (terminated or truncated) and step < steps:
            state = int(env.reset()[0])
            seen.starts[state] += 1
    return seen


def _cells(mdp: TabularMDP, state: int, action: int) -> dict[tuple[int, float], float]:
    """The probabilities of (next state, reward), outcomes that agree in both summed."""
    cells: dict[tuple[int, float], float] = {}
    for p, t, r in zip(
        mdp.probability[state, action].tolist(),
        mdp.successor[state, action].tolist(),
        mdp.reward[state, action].tolist(),
        strict=True,
    ):
        if p > 0:
            cells[t, r] = cells.get((t, r), 0.0) + p
    return cells


def _sorted_into(
    cells: Mapping[tuple[int, float], float], counts: Counter[tuple[int, float]], tolerance: float
) -> tuple[Counter[tuple[int, float]], Counter[tuple[int, float]]]:
    """The counts by cell, and those that fit no cell."""
    merged, strange = Counter(), Counter()
    for (t, r), count in counts.items():
        near = [cell for cell in cells if cell[0] == t and (cell[1] == r or abs(cell[1] - r) <= tolerance)]
        if near:
            merged[min(near, key=lambda cell: abs(cell[1] - r))] += count
        else:
            strange[t, r] += count
    return merged, strange


def _row[C](text: str, probability: Mapping[C, float], counts: Counter[C]) -> Iterator[_Row]: ...
