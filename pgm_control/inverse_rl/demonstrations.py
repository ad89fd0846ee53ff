"""What a demonstrator was seen to do, counted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP
from ..text.one_line import one_line
from ..trajectories.samples import Trajectories


class Moves(NamedTuple):
    """Actions in states, each at a time, and how often."""

    time: Int[Tensor, " move"]
    state: Int[Tensor, " move"]
    action: Int[Tensor, " move"]
    successor: Int[Tensor, " move"]
    """The state it led to; −1 where that was not seen."""
    weight: Float[Tensor, " move"]

    __repr__ = one_line


class Ends(NamedTuple):
    """Where the recordings stop. What would have come after is left to the model."""

    time: Int[Tensor, " end"]
    state: Int[Tensor, " end"]
    action: Int[Tensor, " end"]
    """The last action, where the state that it led to is missing; −1 where the state is the last thing seen."""
    weight: Float[Tensor, " end"]

    __repr__ = one_line


@final
@dataclass(frozen=True, eq=False, repr=False)
class Demonstrations:
    r"""Trajectories, transitions or occupancies of a demonstrator, as counts.

    A recording may be shorter than the horizon, because the episode was over or because nobody looked on. Both are
    treated alike and exactly: at time t in state s the future is worth $V_t(s)$, whatever the reward, and that is 0 in
    a state without reward that is never left. Nothing is padded.

    Make them by `from_trajectories`, `from_transitions` or `from_occupancies`.

    Attributes:
        mdp: the problem they are of; its rewards do not count.
        moves: actions, each in its state and at its time.
        starts: how often each state was the first.
        ends: where the recordings stop.
        number: of demonstrations; the counts belong to all of them together.
        is_timed: whether the times of the moves are known.
        has_outcomes: whether it is known where they led.
        fades: whether the recordings go on although the discount ends some: then a move at t counts $\gamma^t$.
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
        """Count trajectories.

        Args:
            mdp: the problem.
            states: of each demonstration; of one that has n actions, n + 1 states, or n if the last was not seen. Or
                `Trajectories`, as `Posterior.sample` gives them. With discount < 1 the index S says that it has ended
                by its discount; if no trajectory has that, all are taken to go on, and later moves fade.
            actions: of each demonstration, at most the horizon of the problem.

        Raises:
            InvalidArgument: naming the demonstration and the time of what is empty, unknown, impossible or too long.
        """
        if isinstance(states, Trajectories):
            states, actions = states.states, states.actions
        if actions is None:
            raise InvalidArgument("`actions` must be given with `states`: pass the actions of each demonstration.")
        if len(states) != len(actions) or len(actions) == 0:
            raise InvalidArgument(
                f"`states` and `actions` must be of the same demonstrations, at least one, but are of {len(states)} "
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
                        f"Demonstration {i} must be possible, but at time {t} action {a[t]} leads from state {s[t]} to "
                        f"state {to}, which has probability 0. Mend the recording, or give the outcome a probability."
                    )
                moves.append((t, s[t], a[t], to))
            starts[s[0]] += 1
            if mdp.initial[int(s[0])] == 0:
                raise InvalidArgument(
                    f"Demonstration {i} must be possible, but starts in state {s[0]}, which has probability 0. Mend "
                    "the recording, or let `initial` reach the state."
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
        """Count transitions in any order, of demonstrations of the whole horizon of the problem.

        Without times only sums over them are known, which is all that rewards without time and `matching` need; the
        first states are taken to be as in the problem.

        Args:
            mdp: the problem; its horizon is that of the demonstrations.
            states: where each action was done.
            actions: what was done.
            successors: where it led.
            times: of each, from 0.

        Raises:
            InvalidArgument: naming the transition that is unknown or impossible, or if they are no whole number of
                demonstrations.
        """
        s, a = _indices(states, "`states`"), _indices(actions, "`actions`")
        to = np.full(len(s), -1) if successors is None else _indices(successors, "`successors`")
        if not len(s) == len(a) == len(to) or len(s) == 0:
            raise InvalidArgument(
                f"`states`, `actions` and `successors` must have the same length, at least 1, but have {len(s)}, "
                f"{len(a)} and {len(to)}."
            )
        for name, each, size in (("states", s, mdp.num_states), ("actions", a, mdp.num_actions)):
            _require_known(f"`{name}`", each, size)
        possible = _possible(mdp)
        for i in range(len(s)):
            if to[i] >= 0 and int(to[i]) not in possible[s[i], a[i]]:
                raise InvalidArgument(
                    f"Transition {i} must be possible, but action {a[i]} leads from state {s[i]} to state {to[i]}, "
                    "which has probability 0. Mend the recording, or give the outcome a probability."
                )
        if len(s) % mdp.horizon:
            raise InvalidArgument(
                f"`states` must be those of whole demonstrations of {mdp.horizon} steps, but {len(s)} are no multiple "
                "of it. Use from_trajectories for demonstrations of different lengths."
            )
        number = len(s) // mdp.horizon
        t = np.zeros(len(s), int) if times is None else _indices(times, "`times`")
        if times is not None:
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
            has_outcomes=successors is not None,
        )

    @classmethod
    def from_occupancies(cls, mdp: TabularMDP, occupancies: Any, number: float = 1.0) -> "Demonstrations":
        """Take exact probabilities: of being in s at t and doing a, or of that and the face of the die.

        `Posterior.marginals()` has them as `state_action` and `outcome`.

        Args:
            mdp: the problem.
            occupancies: of shape (T, S, A) or (T, S, A, K); they sum to 1 at t = 0.
            number: how many demonstrations they stand for, in likelihoods.

        Raises:
            InvalidArgument: if the shape does not fit, or a number is negative or not finite.
        """
        table = torch.as_tensor(occupancies).to(mdp.probability).numpy(force=True)
        shape = (mdp.horizon, *mdp.probability.shape)
        if table.shape not in (shape, shape[:-1]) or not (table.min() >= 0 and table.max() < math.inf):
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
        """How often each action was done in each state; with `fades`, each time γ to the power of its time."""
        found = torch.zeros_like(self.mdp.probability[..., 0])
        return found.index_put_((self.moves.state, self.moves.action), self.weights(self.moves), accumulate=True)

    @property
    def timed_moves(self) -> Moves:
        """The moves, for who needs their times.

        Raises:
            InvalidArgument: if the times are not known.
        """
        if not self.is_timed:
            raise InvalidArgument(
                "`demonstrations` must tell the time of each transition for this demonstrator: its policy depends on "
                'it. Pass `times`, or use ClampedDemonstrator("matching").'
            )
        return self.moves

    def weights(self, of: Moves | Ends) -> Float[Tensor, " each"]:
        """How much each counts in sums over time."""
        return of.weight * self.mdp.discount ** of.time.to(of.weight) if self.fades else of.weight

    def __repr__(self) -> str:
        """How many."""
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
    array = np.asarray(given)
    if array.ndim != 1 or (len(array) and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidArgument(f"{name} must be a row of whole numbers, but is {given!r}.")
    return array.astype(np.int64)


def _require_known(name: str, found: np.ndarray, size: int) -> None:
    for i in np.flatnonzero((found < 0) | (found >= size)):
        raise InvalidArgument(f"{name} must be numbers from 0 to {size - 1}, but number {i} is {found[i]}.")


def _check(mdp: TabularMDP, i: int, s: np.ndarray, a: np.ndarray, length: int) -> None:
    if len(a) == 0:
        raise InvalidArgument(f"Demonstration {i} must have at least one action, but is empty. Leave it out.")
    if length - len(a) not in (0, 1):
        raise InvalidArgument(
            f"Demonstration {i} must have a state for each of its {len(a)} actions, and the last one if it was seen, "
            f"but has {length} states."
        )
    if len(a) > mdp.horizon:
        raise InvalidArgument(
            f"Demonstration {i} must have at most {mdp.horizon} actions, the horizon, but has {len(a)}. Give the "
            "problem the horizon that the demonstrator had."
        )
    _require_known(f"The states of demonstration {i}", s, mdp.num_states)
    _require_known(f"The actions of demonstration {i}", a, mdp.num_actions)


def _counted(rows: list[tuple[Any, ...]], columns: int, mdp: TabularMDP) -> list[Tensor]:
    """Rows that are alike as one, with how often it was."""
    array = np.array(rows, dtype=np.int64).reshape(-1, columns)
    unique, count = np.unique(array, axis=0, return_counts=True)
    return _tensors((*unique.T.copy(), count), mdp)


def _tensors(columns: Sequence[np.ndarray], mdp: TabularMDP) -> list[Tensor]:
    """Whole numbers, and in the last column weights, where the problem is."""
    *indices, weight = (torch.from_numpy(each) for each in columns)
    return [*(each.to(mdp.initial.device, torch.int64) for each in indices), weight.to(mdp.initial)]
