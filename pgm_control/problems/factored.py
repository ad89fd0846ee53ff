"""Factored dynamics: several random events in one step, of which some may be freed and others clamped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..chance.factors import joint
from ..errors import InvalidProblem
from ..runtime.array_like import ArrayLike
from ..runtime.moving import Place, moved_copy, moved_probability, place_of
from . import checks
from .grid import Places
from .mdp import TabularMDP


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
class FactoredMDP:
    r"""An MDP in which a step samples several factors, such as motion and wind, or a move and the answer to it.

    $$p(k_1, \dots, k_F \mid s, a) = \prod_i p_i(k_i \mid s, a)$$

    The successor and the reward depend on all factors. Inference with one β for each factor nests the operators in the
    order of the factors: the first is sampled first, so that when it is freed it does not know the later ones.

        wind = FactoredMDP(start, {"motion": p1, "wind": p2}, successor, reward, horizon=10)
        infer(TabularModel(wind.joint()), Optimism(dynamics={"motion": 0.0, "wind": 1.0}))

    Attributes:
        initial: $p(s_0)$.
        factors: one table for each factor, in the order of sampling: $p_i(k_i \mid s, a)$ of shape (state, action,
            outcomes), or, where it depends on the factors before it, $p_i(k_i \mid s, a, k_{<i})$ of shape (state,
            action, K_1, …, K_i).
        successor: $s'(s, a, k_1, \dots, k_F)$, of shape (state, action, K_1, …, K_F).
        reward: $r(s, a, k_1, \dots, k_F)$, of the same shape, in reward units.
        horizon, discount, final_reward, state_names, action_names, layout: as in `TabularMDP`.
    """

    initial: Float[Tensor, " state"]
    factors: Mapping[str, Float[Tensor, "state action *outcomes"]]
    successor: Int[Tensor, "state action *outcomes"]
    reward: Float[Tensor, "state action *outcomes"]
    horizon: int
    discount: float = 1.0
    final_reward: Float[Tensor, " state"] | None = None
    state_names: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None
    layout: Places | None = None

    def __init__(
        self,
        initial: ArrayLike,
        factors: Mapping[str, ArrayLike],
        successor: ArrayLike,
        reward: ArrayLike,
        horizon: int,
        discount: float = 1.0,
        final_reward: ArrayLike | None = None,
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
        layout: Sequence[Sequence[int] | None] | None = None,
    ) -> None:
        """Check and store the arrays.

        Tables of factors and rewards broadcast: probabilities that do not depend on state and action may have the shape
        (outcomes,).

        Raises:
            InvalidProblem: if an argument is invalid; the message names it, the offending index and value, and the
                remedy.
        """
        if not isinstance(factors, Mapping) or not factors:
            raise InvalidProblem(
                f"`factors` must map names to tables of probabilities, in the order of sampling, but is {factors!r}. "
                "Pass {'motion': …, 'wind': …}."
            )
        target = checks.indices("successor", successor)
        if target.ndim != 2 + len(factors):
            raise InvalidProblem(
                f"`successor` must have {2 + len(factors)} axes: state, action, and one for each of the factors "
                f"{', '.join(factors)}; but has shape {tuple(target.shape)}."
            )
        kind = checks.kind(next(iter(factors.values())))
        rows, sizes = tuple(target.shape[:2]), tuple(target.shape[2:])
        tables: dict[str, Tensor] = {}
        for i, (name, given) in enumerate(factors.items()):
            tables[name] = _table(f"factors[{name!r}]", given, rows, sizes[: i + 1], kind)
        pay = checks.table("reward", reward, dict.fromkeys(range(target.ndim + 1), "state, action, factors"), kind)
        try:
            pay = pay.expand(target.shape)
        except RuntimeError:
            raise InvalidProblem(
                f"`reward` must broadcast to the shape of `successor`, {tuple(target.shape)}, but has shape "
                f"{tuple(pay.shape)}."
            ) from None
        put = object.__setattr__  # the dataclass is frozen
        put(self, "factors", tables)
        put(self, "reward", pay)
        put(self, "successor", target)
        start = checks.table("initial", initial, 1, kind)
        last = None if final_reward is None else checks.table("final_reward", final_reward, 1, kind)
        for name, value in (
            ("initial", start),
            ("horizon", horizon),
            ("discount", discount),
            ("final_reward", last),
            ("state_names", checks.names("state_names", state_names, rows[0])),
            ("action_names", checks.names("action_names", action_names, rows[1])),
            ("layout", checks.layout("layout", layout, None, rows[0])),
        ):
            put(self, name, value)
        self.joint()  # the rest of the checks

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "FactoredMDP":
        """The problem on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            InvalidProblem: if a reward exceeds the range of the dtype.
        """
        place = place_of(self.reward, device, dtype)
        if place == Place.of(self.reward):
            return self
        factors = {name: moved_probability(table, place) for name, table in self.factors.items()}
        found = moved_copy(self, place, initial=moved_probability(self.initial, place), factors=factors)
        for name in ("reward", "final_reward"):
            checks.same_infinities(name, getattr(self, name), getattr(found, name))
        return found

    def joint(self) -> TabularMDP:
        """The same problem as a `TabularMDP` with K_1 ⋯ K_F outcomes, which keeps the factors' names and sizes."""
        logs = [table.log() for table in self.factors.values()]
        probability = joint(logs).exp()
        return TabularMDP(
            self.initial,
            probability / probability.sum(-1, keepdim=True),
            self.successor.flatten(2),
            self.reward.flatten(2),
            self.horizon,
            self.discount,
            self.final_reward,
            self.state_names,
            self.action_names,
            self.layout,
            factors=dict(zip(self.factors, self.successor.shape[2:], strict=True)),
        )

    def __repr__(self) -> str:
        """The sizes, without the tables."""
        states, actions, *sizes = self.successor.shape
        parts = ", ".join(f"{name}: {size}" for name, size in zip(self.factors, sizes, strict=True))
        return f"FactoredMDP({states} states, {actions} actions, factors {{{parts}}}, horizon {self.horizon})"


def marginal_of_factor(mdp: TabularMDP, log_dynamics: Float[Tensor, "*row outcome"], name: str) -> Tensor:
    r"""The marginal of one factor under the dynamics of a guide: $q(k_i)$, the others summed out, of shape (*row, K_i).

    Args:
        mdp: an MDP with factored dynamics.
        log_dynamics: log-probabilities of the joint outcomes, such as those of `blocks()`.
        name: the name of the factor.

    Raises:
        InvalidProblem: if there is no such factor.
    """
    if mdp.factors is None or name not in mdp.factors.names:
        have = "is not factored" if mdp.factors is None else f"has the factors {', '.join(mdp.factors.names)}"
        raise InvalidProblem(f"`name` must be a factor of the dynamics, but is {name!r}: this MDP {have}.")
    place, sizes = mdp.factors.names.index(name), mdp.factors.sizes
    table = log_dynamics.exp().unflatten(-1, sizes)
    first = table.ndim - len(sizes)
    others = [first + i for i in range(len(sizes)) if i != place]
    return table.sum(others) if others else table


def _table(name: str, given: ArrayLike, rows: tuple[int, ...], sizes: tuple[int, ...], kind: checks.Kind) -> Tensor:
    """Probabilities of one factor, of shape (state, action, K_1, …, K_i)."""
    axes = {1: "outcomes", 3: "state, action, outcomes", 2 + len(sizes): "state, action, factors so far"}
    table = checks.table(name, given, axes, kind)
    if table.ndim < 2 + len(sizes):
        if table.ndim == 3:
            table = table.reshape(*table.shape[:2], *[1] * (len(sizes) - 1), table.shape[-1])
        if table.shape[-1] != sizes[-1]:
            raise InvalidProblem(
                f"`{name}` must have {sizes[-1]} outcomes, as its axis of `successor` has, but has {table.shape[-1]}."
            )
    try:
        table = table.expand(*rows, *sizes)
    except RuntimeError:
        raise InvalidProblem(
            f"`{name}` must broadcast against {(*rows, *sizes)} (state, action, factors so far), but has shape "
            f"{tuple(table.shape)}."
        ) from None
    return checks.normalised(name, table, (), given=given)
