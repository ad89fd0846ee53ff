"""The problem of an agent that does not see the state, but remembers its observations and actions."""

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidArgument, InvalidProblem
from ..runtime.arguments import shown, whole, whole_number
from ..runtime.moving import Place, moved_copy, place_of
from . import checks
from .mdp import TabularMDP
from .partially_observed import PartiallyObservedMDP

Memory = tuple[int, ...]  # o, a, o, …, a, o, the newest last


@final
@dataclass(frozen=True, eq=False, repr=False)
class Remembered:
    """A `PartiallyObservedMDP` as a tabular problem whose state is the pair of the true state and the memory.

    A policy of `mdp` sees the pair. A policy that the agent can follow depends on the memory alone: it is tied over the
    states with the same entry of `memory_of_state`, as in `WindowGuide` and `history_optimum`.
    `infer(TabularModel(remembered.mdp, …), 0.0)` is the answer of an agent that sees the state, an upper bound; its
    value is that of the underlying problem. `remember` makes it.

    Attributes:
        pomdp: the underlying problem.
        window: w, the number of observations that are remembered.
        mdp: the MDP over pairs (s, memory).
        state_of: s of each pair.
        memory_of_state: the index of the memory of each pair.
        memories: the content of each memory: indices of observations and actions in turn, the newest last.
        memory_names: the content of each memory in words.
    """

    pomdp: PartiallyObservedMDP
    window: int
    mdp: TabularMDP
    state_of: Int[Tensor, " state"]
    memory_of_state: Int[Tensor, " state"]
    memories: tuple[Memory, ...]
    memory_names: tuple[str, ...]

    @property
    def num_memories(self) -> int:
        """The number of memories, M."""
        return len(self.memories)

    def action_prior(
        self, action_prior: Float[Tensor, "..."] | Float[np.ndarray, "..."]
    ) -> Float[Tensor, "state action"]:
        """The action prior of an agent that does not see the state, in the form that a model of `mdp` takes.

            model = TabularModel(remembered.mdp, temperature, remembered.action_prior([0.8, 0.1, 0.1]))

        Args:
            action_prior: ρ(a), shape (action,), or ρ(a | memory), shape (memory, action), probabilities. No action can
                be masked by the state.

        Returns:
            One row for each pair: that of its memory.

        Raises:
            InvalidProblem: if the shape is wrong, or a row is no distribution.
        """
        checks.no_counts(action_prior)
        kind = checks.Kind(self.mdp.probability.dtype, self.mdp.probability.device)
        prior = checks.table("action_prior", action_prior, {1: "action", 2: "memory, action"}, kind)
        if prior.ndim == 1:
            checks.shape("action_prior", prior, (self.mdp.num_actions,), "one probability an action")
        else:
            checks.shape("action_prior", prior, (self.num_memories, self.mdp.num_actions), "one row a memory")
        prior = checks.normalised("action_prior", prior, (), given=action_prior)
        return prior.expand(self.num_memories, -1)[self.memory_of_state]

    def view(self, window: int) -> Int[Tensor, " state"]:
        """The index of the memory of each pair for an agent with a shorter window; equal memories have the same index.

        Agents with several windows can then be compared on one model, as `ViewGuide(model, remembered.view(w))`.

        Args:
            window: a number of observations, from 1 to the window of this problem.

        Raises:
            InvalidArgument: if `window` is not such a number.
        """
        found = whole_number(window)
        if found is None or not 1 <= found <= self.window:
            raise InvalidArgument(
                f"`window` must be a whole number of observations, 1 to {self.window}, but is {shown(window)}. More is "
                "not remembered here: make it by remember(pomdp, window=…)."
            )
        number: dict[Memory, int] = {}
        shorter = [number.setdefault(_last(memory, found), len(number)) for memory in self.memories]
        return torch.tensor(shorter, device=self.memory_of_state.device)[self.memory_of_state]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Remembered":
        """The same on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        place = place_of(self.mdp.probability, device, dtype)
        return self if place == Place.of(self.mdp.probability) else moved_copy(self, place)

    def __repr__(self) -> str:
        """The sizes, without the tables."""
        return f"Remembered(window {self.window}, {self.num_memories} memories, {self.mdp!r})"


def remember(pomdp: PartiallyObservedMDP, window: int | None = None, *, max_states: int = 100_000) -> Remembered:
    r"""The problem of an agent that knows the last w observations and the w − 1 actions between them.

    Its states are pairs (s, memory). It has an outcome for each pair of an outcome k and an observation o, in the order
    k·O + o, with probability $p(k \mid s, a)\, p(o \mid a, s')$ and the reward of k. Discount, final reward and horizon
    carry over. Only pairs that can be reached within the horizon are included, ordered by the first time at which they
    can be reached. Pairs that are first reached after the last action are absorbing, so change the horizon of `pomdp`
    before calling `remember`, not afterwards.

    Args:
        pomdp: the underlying problem.
        window: w, at least 1. None: the whole past, for which a window of T suffices.
        max_states: the largest number of pairs allowed.

    Raises:
        InvalidProblem: if `pomdp` is not a `PartiallyObservedMDP`.
        InvalidArgument: if `window` is not such a number, or there are too many pairs.
    """
    if not isinstance(pomdp, PartiallyObservedMDP):
        raise InvalidProblem(
            f"`pomdp` must be a PartiallyObservedMDP, but is a {type(pomdp).__name__}. Make one of a TabularMDP and "
            "what is seen of its state: PartiallyObservedMDP(mdp, observation)."
        )
    window = pomdp.mdp.horizon if window is None else window
    window = whole(
        "window", window, remedy="An agent that sees nothing has one observation: observation=torch.ones(S, 1). None "
        "remembers everything.",
    )  # fmt: skip
    reached = _reach(pomdp, window, whole("max_states", max_states))
    memories = list(dict.fromkeys(memory for _, memory in reached.pairs))
    number = {memory: i for i, memory in enumerate(memories)}
    device = pomdp.mdp.probability.device
    return Remembered(
        pomdp=pomdp,
        window=window,
        mdp=_augmented(pomdp, reached),
        state_of=torch.tensor([s for s, _ in reached.pairs], device=device),
        memory_of_state=torch.tensor([number[memory] for _, memory in reached.pairs], device=device),
        memories=tuple(memories),
        memory_names=tuple(_memory_name(pomdp, memory) for memory in memories),
    )


def _memory_name(pomdp: PartiallyObservedMDP, memory: Memory) -> str:
    """The name of a memory, such as "heard left, listen, heard right"."""
    actions = pomdp.mdp.action_names
    newest_first = [
        pomdp.observation_name(each) if i % 2 == 0 else actions[each] if actions else f"a{each}"
        for i, each in enumerate(reversed(memory))
    ]
    return ", ".join(reversed(newest_first)) or "nothing yet"


class _Reached(NamedTuple):
    """The pairs that can be reached, start pairs first, and the successors of the pairs that still act."""

    pairs: list[tuple[int, Memory]]
    starts: int
    successor: list[np.ndarray]


def _last(memory: Memory, window: int) -> Memory:
    """The last w observations with the actions between them; a memory that begins with an action has w − 1."""
    return memory[-(2 * window - 1) :]


def _reach(pomdp: PartiallyObservedMDP, window: int, max_states: int) -> _Reached:
    """Find the pairs that can be reached, breadth first, with one layer for each step."""
    mdp, observations = pomdp.mdp, pomdp.num_observations
    possible = (mdp.probability[..., None] * _on_arrival(pomdp) > 0).cpu()
    outcomes = [[each.nonzero().tolist() for each in row] for row in possible]
    successor = mdp.successor.tolist()
    number: dict[tuple[int, Memory], int] = {}
    for s in mdp.initial.nonzero()[:, 0].tolist():
        first = pomdp.initial_observation
        for memory in [()] if first is None else [(o,) for o in first[s].nonzero()[:, 0].tolist()]:
            number[s, memory] = len(number)
    pairs, rows = list(number), []
    starts = len(pairs)
    for depth in range(mdp.horizon):
        for s, memory in pairs[len(rows) :]:
            row = np.full((mdp.num_actions, mdp.num_outcomes * observations), len(rows))  # padding may point anywhere
            for a, listed in enumerate(outcomes[s]):
                for k, o in listed:
                    pair = successor[s][a][k], _last((*memory, a, o), window)
                    if pair not in number:
                        number[pair] = len(pairs)
                        pairs.append(pair)
                    row[a, k * observations + o] = number[pair]
            rows.append(row)
            if len(pairs) > max_states:
                raise InvalidArgument(
                    f"`window` must give at most {max_states} pairs of state and memory, but {window} observations "
                    f"give {len(pairs)} within {depth + 1} of {mdp.horizon} actions, and more later. Take a smaller "
                    "window or a shorter horizon, or raise `max_states`."
                )
    return _Reached(pairs, starts, rows)


def _augmented(pomdp: PartiallyObservedMDP, reached: _Reached) -> TabularMDP:
    """The MDP over the pairs that can be reached."""
    mdp, pairs, acting, starts = pomdp.mdp, reached.pairs, len(reached.successor), reached.starts
    state_of = torch.tensor([s for s, _ in pairs], device=mdp.probability.device)
    start = mdp.initial[state_of[:starts]]
    if pomdp.initial_observation is not None:
        start = start * pomdp.initial_observation[state_of[:starts], [memory[0] for _, memory in pairs[:starts]]]
    initial = torch.cat((start, start.new_zeros(len(pairs) - starts)))
    probability = (mdp.probability[..., None] * _on_arrival(pomdp)).flatten(-2)[state_of]
    probability[acting:] = torch.nn.functional.one_hot(torch.tensor(0), probability.shape[-1]).to(probability)
    successor = np.empty(probability.shape, dtype=np.int64)
    successor[:acting] = reached.successor
    successor[acting:] = np.arange(acting, len(pairs))[:, None, None]
    reward = mdp.reward.repeat_interleave(pomdp.num_observations, -1)[state_of]
    reward[acting:] = 0.0
    factors = {"dynamics": mdp.num_outcomes}
    if mdp.factors is not None:
        factors = dict(zip(mdp.factors.names, mdp.factors.sizes, strict=True))
    names = [f"{mdp.state_name(s)} | {_memory_name(pomdp, memory)}" for s, memory in pairs]
    return TabularMDP(
        initial=initial,
        probability=probability,
        successor=successor,
        reward=reward,
        horizon=mdp.horizon,
        discount=mdp.discount,
        final_reward=None if mdp.final_reward is None else mdp.final_reward[state_of],
        state_names=names if len(set(names)) == len(names) else [f"{i}: {name}" for i, name in enumerate(names)],
        action_names=mdp.action_names,
        factors={**factors, "observation": pomdp.num_observations},
    )


def _on_arrival(pomdp: PartiallyObservedMDP) -> Float[Tensor, "state action outcome observation"]:
    """The probabilities of the observations after each outcome."""
    actions = torch.arange(pomdp.mdp.num_actions, device=pomdp.mdp.successor.device)
    return pomdp.observation[actions[:, None], pomdp.mdp.successor.long()]
