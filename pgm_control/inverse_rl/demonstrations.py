"""The demonstrations: counts of the observed transitions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP, require_mdp
from ..runtime.arguments import listed, positive, shown
from ..runtime.array_like import numbers, real_array
from ..text.one_line import one_line
from ..trajectories.samples import Trajectories


class Moves(NamedTuple):
    """Observed transitions with their times and counts."""

    time: Int[Tensor, " move"]
    state: Int[Tensor, " move"]
    action: Int[Tensor, " move"]
    successor: Int[Tensor, " move"]
    """The state that the action led to; −1 if it was not observed."""
    weight: Float[Tensor, " move"]

    __repr__ = one_line


class Ends(NamedTuple):
    """The places where the recordings stop. The model predicts how they would have continued."""

    time: Int[Tensor, " end"]
    state: Int[Tensor, " end"]
    action: Int[Tensor, " end"]
    """The last action, if the state that it led to is missing; −1 if the recording ends with a state."""
    weight: Float[Tensor, " end"]

    __repr__ = one_line


@final
@dataclass(frozen=True, eq=False, repr=False)
class Demonstrations:
    r"""Trajectories, transitions or occupancies of a demonstrator, as counts.

    A recording may be shorter than the horizon, because the episode was over or because the recording was stopped. Both
    cases are treated exactly and in the same way: the future of state s at time t is worth $V_t(s)$. That value is 0 in
    an absorbing state without reward. Nothing is padded.

    Construct one by `from_trajectories`, `from_transitions` or `from_occupancies`.

    Attributes:
        mdp: the problem that was demonstrated; its rewards are ignored.
        moves: the transitions.
        starts: how often each state was the first.
        ends: where the recordings stop.
        number: the number of demonstrations; the counts are sums over all of them.
        is_timed: whether the times of the transitions are known.
        has_outcomes: whether the successors of the actions are known.
        fades: whether the discount is below 1 but ended no recording; transitions at t then have weight $\gamma^t$.
    """

    mdp: TabularMDP
    moves: Moves
    starts: Float[Tensor, " state"]
    ends: Ends
    number: float
    is_timed: bool = True
    has_outcomes: bool = True
    fades: bool = False

    @classmethod
    def from_trajectories(cls, mdp: TabularMDP, states: Any, actions: Any = None) -> "Demonstrations":
        """Return demonstrations counted from trajectories.

        Args:
            mdp: the problem.
            states: the states of each demonstration. With n actions these are n + 1 states, or n if the last one was
                not observed. Or `Trajectories`, as `Posterior.sample` returns them. With discount < 1 the index S means
                that the trajectory was ended by the discount. If no trajectory contains it, all are taken to continue,
                and later transitions have a smaller weight.
            actions: the actions of each demonstration, at most as many as the horizon of the problem.

        Raises:
            InvalidArgument: if a demonstration is empty, unknown, impossible or too long; the message names it and the
                time.
        """
        require_mdp("mdp", mdp)
        if isinstance(states, Trajectories):
            states, actions = states.states, states.actions
        if actions is None:
            raise InvalidArgument("`actions` must be given with `states`: pass the actions of each demonstration.")
        states, actions = (
            each if isinstance(each, Tensor) else listed(name, each, "demonstrations, at least one")
            for name, each in (("states", states), ("actions", actions))
        )
        if len(states) != len(actions) or len(actions) == 0:
            raise InvalidArgument(
                f"`states` and `actions` must belong to the same demonstrations, at least one, but are {len(states)} "
                f"and {len(actions)}."
            )
        moves, ends, starts = [], [], np.zeros(mdp.num_states)
        possible, ended = _possible(mdp), False
        for i, (seen, done) in enumerate(zip(states, actions, strict=True)):
            s, a = _indices(seen, f"`states[{i}]`"), _indices(done, f"`actions[{i}]`")
            ending = np.flatnonzero(s == mdp.num_states) if mdp.discount < 1 else np.empty(0, int)
            if len(ending):
                ended = True
                s, a = s[: ending[0] + 1], a[: ending[0]]
            _check(mdp, i, s[: len(s) - (len(ending) > 0)], a, len(s))
            n, knows_last = len(a), len(s) > len(a)
            for t in range(n):
                to = int(s[t + 1]) if t + 1 < len(s) and s[t + 1] < mdp.num_states else -1
                if to >= 0 and to not in possible[s[t], a[t]]:
                    raise InvalidArgument(
                        f"Demonstration {i} must be possible in `mdp`, but at time {t} action {a[t]} leads from state "
                        f"{s[t]} to state {to}, which has probability 0. Correct the recording, or give the outcome a "
                        "probability."
                    )
                moves.append((t, s[t], a[t], to))
            starts[s[0]] += 1
            if mdp.initial[int(s[0])] == 0:
                raise InvalidArgument(
                    f"Demonstration {i} must be possible in `mdp`, but starts in state {s[0]}, which has probability "
                    "0. Correct the recording, or give the state a probability in `initial`."
                )
            if not len(ending):
                ends.append((n, s[n], -1) if knows_last else (n - 1, s[n - 1], a[n - 1]))
        return cls(
            mdp,
            Moves(*_counted(moves, 4, mdp)),
            torch.from_numpy(starts).to(mdp.initial),
            Ends(*_counted(ends, 3, mdp)),
            float(len(actions)),
            fades=mdp.discount < 1 and not ended,
        )

    @classmethod
    def from_transitions(
        cls,
        mdp: TabularMDP,
        states: Any,
        actions: Any,
        successors: Any = None,
        times: Any = None,
    ) -> "Demonstrations":
        """Return demonstrations counted from transitions in any order.

        The demonstrations must have the full horizon of the problem. Without times only sums over time are known, which
        suffice for the "matching" criterion. The distribution of the first states is then that of the problem.

        Args:
            mdp: the problem; its horizon is that of the demonstrations.
            states: the state of each transition.
            actions: the action of each transition.
            successors: the next state of each transition; −1 if it was not observed. Default: none was.
            times: the time of each transition, from 0.

        Raises:
            InvalidArgument: if a transition is unknown or impossible, which the message names, or if the transitions do
                not make up a whole number of demonstrations.
        """
        require_mdp("mdp", mdp)
        s, a = _indices(states, "`states`"), _indices(actions, "`actions`")
        to = np.full(len(s), -1) if successors is None else _indices(successors, "`successors`")
        if not len(s) == len(a) == len(to) or len(s) == 0:
            raise InvalidArgument(
                f"`states`, `actions` and `successors` must have the same length, at least 1, but have {len(s)}, "
                f"{len(a)} and {len(to)}."
            )
        for name, each, size in (("states", s, mdp.num_states), ("actions", a, mdp.num_actions)):
            _require_known(f"`{name}`", each, size)
        for i in np.flatnonzero((to < -1) | (to >= mdp.num_states)):
            raise InvalidArgument(
                f"`successors` must be numbers from 0 to {mdp.num_states - 1}, or -1 for a state that was not "
                f"observed, but number {i} is {to[i]}."
            )
        possible = _possible(mdp)
        for i in range(len(s)):
            if to[i] >= 0 and int(to[i]) not in possible[s[i], a[i]]:
                raise InvalidArgument(
                    f"Transition {i} must have positive probability, but the one from state {s[i]} to state {to[i]} "
                    f"under action {a[i]} has probability 0. Correct the recording, or give the outcome a probability."
                )
        if len(s) % mdp.horizon:
            raise InvalidArgument(
                f"`states` must be those of whole demonstrations of {mdp.horizon} steps, but {len(s)} are no multiple "
                "of it. Use from_trajectories for demonstrations of different lengths."
            )
        number = len(s) // mdp.horizon
        t = np.zeros(len(s), int) if times is None else _indices(times, "`times`")
        if times is not None:
            if len(t) != len(s):
                raise InvalidArgument(f"`times` must have an entry for each of the {len(s)} states, but has {len(t)}.")
            _require_known("`times`", t, mdp.horizon)
        first = torch.from_numpy(np.bincount(s[t == 0], minlength=mdp.num_states)).to(mdp.initial)
        last = to[t == mdp.horizon - 1] if times is not None else np.empty(0, int)
        ends = [(mdp.horizon, each, -1) for each in last if each >= 0]
        return cls(
            mdp,
            Moves(*_counted(list(zip(t, s, a, to, strict=True)), 4, mdp)),
            mdp.initial * number if times is None else first,
            Ends(*_counted(ends, 3, mdp)),
            float(number),
            is_timed=times is not None,
            has_outcomes=bool((to >= 0).any()),
        )

    @classmethod
    def from_occupancies(cls, mdp: TabularMDP, occupancies: Any, number: float = 1.0) -> "Demonstrations":
        """Return demonstrations given by exact occupancies: the probabilities of (s, a), or of (s, a, k), at each t.

        `Posterior.marginals()` has them as `state_action` and `outcome`.

        Args:
            mdp: the problem.
            occupancies: of shape (T, S, A) or (T, S, A, K); they sum to 1 at t = 0.
            number: the number of demonstrations that they represent in likelihoods.

        Raises:
            InvalidArgument: if the shape does not fit, or a number is negative or not finite.
        """
        require_mdp("mdp", mdp)
        number = positive("number", number, "number of demonstrations")
        table = numbers("occupancies", occupancies, InvalidArgument).to(mdp.probability).numpy(force=True)
        shape = (mdp.horizon, *mdp.probability.shape)
        if table.shape not in (shape, shape[:-1]):
            raise InvalidArgument(
                f"`occupancies` must have the shape (T, S, A) or (T, S, A, K) with (T, S, A, K) = {shape}, but have "
                f"{table.shape}."
            )
        if not (table.min() >= 0 and table.max() < math.inf):
            raise InvalidArgument(
                f"`occupancies` must be probabilities of shape (T, S, A) or (T, S, A, K) with (T, S, A, K) = {shape}, "
                f"but have the shape {table.shape} and lie between {table.min():g} and {table.max():g}."
            )
        starts = table[0].reshape(mdp.num_states, -1).sum(-1)
        if not math.isclose(starts.sum(), 1.0, rel_tol=1e-6):
            raise InvalidArgument(f"`occupancies` must sum to 1 at time 0, but sum to {starts.sum():.9g}.")
        successor, has_outcomes = mdp.successor.numpy(force=True), table.ndim == len(shape)
        places = table.nonzero()
        to = successor[places[1:]] if has_outcomes else np.full(len(places[0]), -1)
        last = table[-1] if has_outcomes else table[-1][..., None] * mdp.probability.numpy(force=True)
        arrived = np.bincount(successor.ravel(), last.ravel(), mdp.num_states)
        (end,) = arrived.nonzero()
        ends = np.full_like(end, mdp.horizon), end, np.full_like(end, -1), number * arrived[end]
        return cls(
            mdp,
            Moves(*_tensors((*places[:3], to, number * table[places]), mdp)),
            torch.from_numpy(number * starts).to(mdp.initial),
            Ends(*_tensors(ends, mdp)),
            float(number),
            has_outcomes=has_outcomes,
        )

    @property
    def pairs(self) -> Float[Tensor, "state action"]:
        """The count of each action in each state; with `fades`, each transition counts γ to the power of its time."""
        found = torch.zeros_like(self.mdp.probability[..., 0])
        return found.index_put_((self.moves.state, self.moves.action), self.weights(self.moves), accumulate=True)

    @property
    def timed_moves(self) -> Moves:
        """The transitions, if their times are known.

        Raises:
            InvalidArgument: if the times are not known.
        """
        if not self.is_timed:
            raise InvalidArgument(
                "`demonstrations` must give the time of each transition for this demonstrator: its policy depends on "
                'the time. Pass `times`, or use ClampedDemonstrator("matching").'
            )
        return self.moves

    def weights(self, of: Moves | Ends) -> Float[Tensor, " each"]:
        """The weight of each in sums over time."""
        return of.weight * self.mdp.discount ** of.time.to(of.weight) if self.fades else of.weight

    def __repr__(self) -> str:
        """The numbers of demonstrations and actions."""
        moves = float(self.moves.weight.sum())
        return f"Demonstrations({self.number:g} of at most {self.mdp.horizon} steps, {moves:g} actions in all)"


def _possible(mdp: TabularMDP) -> np.ndarray:
    """The set of successors of each state and action."""
    reached, found = mdp.successor.numpy(force=True), np.empty((mdp.num_states, mdp.num_actions), object)
    live = (mdp.probability > 0).numpy(force=True)
    for s in range(mdp.num_states):
        for a in range(mdp.num_actions):
            found[s, a] = frozenset(reached[s, a][live[s, a]].tolist())
    return found


def _indices(given: Any, name: str) -> np.ndarray:
    array = real_array(name.strip("`"), given, InvalidArgument)
    if array.ndim != 1 or (len(array) and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidArgument(f"{name} must be a row of whole numbers, but is {shown(given)}.")
    return array.astype(np.int64)


def _require_known(name: str, found: np.ndarray, size: int) -> None:
    for i in np.flatnonzero((found < 0) | (found >= size)):
        raise InvalidArgument(f"{name} must be numbers from 0 to {size - 1}, but number {i} is {found[i]}.")


def _check(mdp: TabularMDP, i: int, s: np.ndarray, a: np.ndarray, length: int) -> None:
    if len(a) == 0:
        raise InvalidArgument(f"Demonstration {i} must have at least one action, but is empty. Leave it out.")
    if length - len(a) not in (0, 1):
        raise InvalidArgument(
            f"Demonstration {i} must have a state for each of its {len(a)} actions, and the last one if it was "
            f"observed, but has {length} states."
        )
    if len(a) > mdp.horizon:
        raise InvalidArgument(
            f"Demonstration {i} must have at most {mdp.horizon} actions, the horizon, but has {len(a)}. Give the "
            "problem the horizon of the demonstrator."
        )
    _require_known(f"The states of demonstration {i}", s, mdp.num_states)
    _require_known(f"The actions of demonstration {i}", a, mdp.num_actions)


def _counted(rows: list[tuple[Any, ...]], columns: int, mdp: TabularMDP) -> list[Tensor]:
    """The distinct rows, with the number of times that each occurs."""
    array = np.array(rows, dtype=np.int64).reshape(-1, columns)
    unique, count = np.unique(array, axis=0, return_counts=True)
    return _tensors((*unique.T.copy(), count), mdp)


def _tensors(columns: Sequence[np.ndarray], mdp: TabularMDP) -> list[Tensor]:
    """The columns as tensors on the problem's device: integers, except for the weights in the last column."""
    *indices, weight = (torch.from_numpy(each) for each in columns)
    return [*(each.to(mdp.initial.device, torch.int64) for each in indices), weight.to(mdp.initial)]
