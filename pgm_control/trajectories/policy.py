"""Policies as tables of action probabilities, for exact evaluation and for acting in a live environment."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from ..errors import InvalidArgument
from ..problems import checks
from ..runtime.arguments import flag, shown, whole
from ..runtime.array_like import real_array
from ..runtime.randomness import generator_of, integer_of
from ..text.html import ROWS, HeatmapCell, counted, heading, heatmap, left_out, share
from .blocks import Blocks, HasBlocks, blocks_of

_AXES = {2: "state, action", 3: "time, state, action"}
_COLUMNS = 8  # the most actions that a table in a notebook shows


@final
class TabularPolicy:
    r"""A policy $\pi(a \mid s)$ or $\pi_t(a \mid s)$ that samples actions with Stable-Baselines3's `predict`.

    Attributes:
        probability: the probability of each action, (state, action), or (time, state, action) if it depends on time.
    """

    probability: Float[Tensor, "*time state action"]

    def __init__(
        self, probability: Num[Tensor, "..."] | Num[np.ndarray, "..."], seed: int | torch.Generator | None = None
    ) -> None:
        """Check and copy the probabilities.

        Args:
            probability: (state, action), or (time, state, action) with t = 0 … T−1. Rows must sum to one, within 1e-8
                in float64 and within the rounding of a narrower dtype. A tensor of float32 or float64 keeps its dtype;
                anything else becomes float64.
            seed: an integer, a generator, or None for torch's global generator. The random numbers of an integer differ
                from those of an environment reset with the same seed: actions do not correlate with transitions.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it, or the offending entry, its value and the
                remedy.
        """
        table = _table("probability", probability)
        self.probability = checks.normalised("probability", table, (), InvalidArgument, given=probability)
        self._table = self.probability.cpu().numpy()
        if seed is None or isinstance(seed, torch.Generator):
            self._random = generator_of(seed)
        else:
            self._random = np.random.default_rng(own_seed(integer_of(seed)))

    @classmethod
    def of(cls, guide: object, seed: int | torch.Generator | None = None) -> "TabularPolicy":
        """The policy of a guide, a posterior or a table.

        Args:
            guide: anything with `blocks()`, `Blocks`, probabilities as in `TabularPolicy`, or a `TabularPolicy`, which
                is returned as it is or, with a seed, as a copy with its own random numbers.
            seed: as in `TabularPolicy`.

        Raises:
            InvalidArgument: if it is none of these, or not a policy.
        """
        return policy_in("guide", guide, seed)

    @property
    def horizon(self) -> int | None:
        """The number of steps that the policy is defined for, T; None if it does not depend on time."""
        return self.probability.shape[0] if self.probability.ndim == 3 else None

    @property
    def num_states(self) -> int:
        """The number of states, S."""
        return self.probability.shape[-2]

    @property
    def num_actions(self) -> int:
        """The number of actions, A."""
        return self.probability.shape[-1]

    def table(self, horizon: int) -> Float[Tensor, "time state action"]:
        """The probabilities at t = 0 … `horizon` − 1; a policy that does not depend on time is repeated.

        Raises:
            InvalidArgument: if the policy depends on time and has another length.
        """
        horizon = whole("horizon", horizon)
        if self.horizon is None:
            return self.probability.expand(horizon, -1, -1)
        if self.horizon != horizon:
            raise InvalidArgument(
                f"`horizon` must be {self.horizon}, the number of steps this policy is defined for, but is {horizon}. "
                "Solve the problem with that horizon, mdp.replace(horizon=…), or pass a (state, action) table."
            )
        return self.probability

    def predict(
        self,
        observation: Num[np.ndarray, "*batch"] | int | np.integer,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | bool | None = None,
        deterministic: bool = False,
    ) -> tuple[Int[np.ndarray, " batch"] | np.int64, tuple[Int[np.ndarray, " batch"]]]:
        """Choose actions, with the signature and meaning of Stable-Baselines3's `predict`.

        Args:
            observation: one state for each environment, or a single state.
            state: the time step of each environment, as the last call returned it; None if all episodes begin.
            episode_start: True where a new episode begins, so that time is 0 again.
            deterministic: take the most probable action (the first of several) instead of sampling.

        Returns:
            The actions (one action, as `numpy.int64`, for a single state), and the time steps for the next call.

        Raises:
            InvalidArgument: if an observation is not a state of this policy, or an episode outlasts its horizon.
        """
        deterministic = flag("deterministic", deterministic)
        seen = real_array("observation", observation, InvalidArgument)
        if not np.issubdtype(seen.dtype, np.integer) or seen.ndim > 1:
            raise InvalidArgument(
                "`observation` must be a state, or one state for each environment, but has dtype "
                f"{seen.dtype} and shape {seen.shape}. This policy needs an environment with a Discrete space."
            )
        here = seen.reshape(-1)
        outside = here[(here < 0) | (here >= self.num_states)]
        if outside.size:
            raise InvalidArgument(
                f"`observation` must be a state, 0 to {self.num_states - 1}, but is {outside[0]}. "
                "Use the policy in the environment that its MDP describes."
            )
        time = self._time(here.size, state, episode_start)
        rows = self._table[here] if self.horizon is None else self._table[time, here]
        if deterministic:
            action = rows.argmax(-1)
        else:
            below = rows.astype(np.float64).cumsum(-1)  # its last column scales u, so that a zero is never drawn
            action = (self._uniform(here.size) * below[:, -1:] >= below).sum(-1)
        return (action if seen.ndim else action[0]), (time + 1,)

    def _uniform(self, count: int) -> Float[np.ndarray, "batch 1"]:
        """Uniform random numbers from 0 to 1."""
        if self._random is None or isinstance(self._random, torch.Generator):
            return torch.rand(count, 1, dtype=torch.float64, generator=self._random).numpy()
        return self._random.random((count, 1))

    def _time(self, count: int, state: Any, episode_start: Any) -> Int[np.ndarray, " batch"]:
        """The checked time step of each environment."""
        if state is not None and (not isinstance(state, tuple | list) or len(state) != 1):
            raise InvalidArgument(f"`state` must be None, or what the last call returned, but is {shown(state)}.")
        time = np.zeros(count, dtype=np.int64)
        if state is not None:
            time = real_array("state", state[0], InvalidArgument).reshape(-1)
        start = np.zeros(count, dtype=bool)
        if episode_start is not None:
            start = real_array("episode_start", episode_start, InvalidArgument).reshape(-1) != 0
        for name, given in (("state", time), ("episode_start", start)):
            if given.size != count:
                raise InvalidArgument(
                    f"`{name}` must hold one number for each of the {count} observations, but holds {given.size}. "
                    "Pass what the last call returned, or None when all episodes begin."
                )
        if not np.issubdtype(time.dtype, np.integer) or (time < 0).any():
            raise InvalidArgument(f"`state` must hold time steps, whole numbers from 0, but is {shown(state)}.")
        time = np.where(start, 0, time)
        if self.horizon is not None and (time >= self.horizon).any():
            raise InvalidArgument(
                f"`state` must be a time step before this policy's horizon, {self.horizon}, but is {time.max()}: the "
                "environment's episode is longer. Solve the problem with a longer horizon, mdp.replace(horizon=…), cut "
                "episodes with rollout(…, max_episode_steps=…), or pass episode_start=True where an episode began."
            )
        return time

    def __repr__(self) -> str:
        """The sizes, without the tables."""
        time = "stationary" if self.horizon is None else f"{self.horizon} steps"
        return f"TabularPolicy({self.num_states} states, {self.num_actions} actions, {time})"

    def _repr_html_(self) -> str:
        """A table of the probabilities in the first states (at t = 0 if they depend on time), for a notebook."""
        timed = self.horizon is not None
        table = self.probability[0] if timed else self.probability
        about = f"{counted(self.num_states, 'state')}, {counted(self.num_actions, 'action')}, "
        about += counted(self.probability.shape[0], "step") if timed else "the same at every step"
        names = (lambda s: f"state {s}"), (lambda a: f"action {a}")
        return heading("TabularPolicy", about) + policy_table(table, *names, when="at t = 0" if timed else "")


def _table(name: str, value: Any) -> Tensor:
    return checks.table(name, value, _AXES, checks.kind(value), InvalidArgument)


def policy_table(
    table: Float[Tensor, "state action"],
    state: Callable[[int], str],
    action: Callable[[int], str],
    also: dict[str, Callable[[int], str]] | None = None,
    when: str = "",
) -> str:
    """A heatmap of action probabilities, as HTML: the first states by the first actions, darker where more probable.

    Args:
        table: π(a|s).
        state, action: functions that name a state and an action.
        also: further columns: from a title to the function that writes the entry of a state.
        when: the title of the first column.
    """
    count, actions = table.shape
    also, shown, columns = also or {}, min(count, ROWS), min(actions, _COLUMNS)
    titles = [when, *map(action, range(columns)), *(["…"] if actions > columns else []), *also]
    lines: list[list[str | HeatmapCell]] = []
    for s in range(shown):
        cells: list[str | HeatmapCell] = [HeatmapCell(share(p), p) for p in table[s, :columns].tolist()]
        cells += [f"{actions - columns:,} more"] if actions > columns else []
        lines.append([state(s), *cells, *(HeatmapCell(write(s), 0.0) for write in also.values())])
    return heatmap(titles, lines) + left_out(count - shown, "state")


def own_seed(seed: int) -> np.random.SeedSequence:
    """A seed sequence with other random numbers than those of an environment with the same seed.

    Gymnasium seeds an environment with `SeedSequence(seed)`; drawing actions from it too would repeat its numbers.
    """
    return np.random.SeedSequence(seed, spawn_key=(1,))


def two_seeds(seed: int | torch.Generator | None) -> tuple[int, int]:
    """Two integer seeds of 31 bits, for an environment and for the policy that acts in it.

    Raises:
        InvalidArgument: if `seed` is invalid.
    """
    one, two = np.random.SeedSequence(integer_of(seed)).generate_state(2) >> 1
    return int(one), int(two)


def policy_in(name: str, value: object, seed: int | torch.Generator | None = None) -> TabularPolicy:
    """The policy of an argument, as in `TabularPolicy.of`.

    Raises:
        InvalidArgument: if there is none; the message calls the argument `name`.
    """
    if isinstance(value, TabularPolicy):
        return value if seed is None else TabularPolicy(value.probability, seed)
    if isinstance(value, HasBlocks) and not isinstance(value, type):
        return TabularPolicy(blocks_of(value, name).log_policy.detach().exp(), seed)
    if isinstance(value, Blocks):
        return TabularPolicy(value.log_policy.detach().exp(), seed)
    if isinstance(value, Tensor | np.ndarray):
        return TabularPolicy(checks.normalised(name, _table(name, value), (), InvalidArgument, given=value), seed)
    raise InvalidArgument(
        f"`{name}` must be a guide or a posterior (anything with blocks()), a TabularPolicy, or an array "
        f"of action probabilities, but is {shown(value)}. Pass infer(model, optimism=0), for "
        "example, or numpy.asarray(…) of the probabilities; for a Pyro function, tabulate(model, guide)."
    )
