"""Uncertainty about the model: a finite ensemble of MDPs with a prior, one of which is true.

Sources:
    [odonoghue2020] B. O'Donoghue, I. Osband and C. Ionescu, Making sense of reinforcement learning and probabilistic
        inference. International Conference on Learning Representations, 2020. arXiv:2001.00805
    [rubin1981] D. B. Rubin, The Bayesian bootstrap. The Annals of Statistics 9(1):130–134, 1981.
        doi:10.1214/aos/1176345338
    [strens2000] M. Strens, A Bayesian framework for reinforcement learning. International Conference on Machine
        Learning, pages 943–950, 2000.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidProblem
from ..runtime.arguments import listed, whole
from ..runtime.array_like import ArrayLike
from ..runtime.memory import require_room
from ..runtime.moving import Place, moved_copy, moved_probability, place_of
from ..runtime.randomness import integer_of
from . import checks
from .grid import side_by_side
from .mdp import TabularMDP
from .recorded.estimate import Unvisited, estimate_dynamics
from .timed import require_constant

MEMBER, STATE = "member", "state"


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
class Ensemble:
    r"""Several MDPs with the same states and actions; the true one is drawn once, before the first step.

    $$\tilde p = w_m\, p_m(s_0) \prod_t \rho(a_t \mid s_t)\, p_m(k_t \mid s_t, a_t) \exp(r_t/\tau)$$

    The member m is a random variable like any other, and a block of its own. A guide that may change its weights
    believes that the member that suits it is true (*epistemic* optimism, about what is unknown), whether or not the
    guide may change the dynamics (optimism about luck). `joint()` is the MDP over pairs (member, state), whose start
    has these two factors:

        model = TabularModel(Ensemble([cautious, generous], weights=[0.9, 0.1]).joint())
        infer(model, Optimism(dynamics=0.0, initial={"member": 1.0, "state": 0.0}))

    The policy of the joint problem sees the member: it is the plan of an agent that has decided which member is true,
    as in Thompson sampling. `member_returns` gives the returns of such plans in the other members. It does not
    weigh what an action would reveal about the member, as an agent that explores must [odonoghue2020].

    Attributes:
        members: the MDPs.
        weights: $w_m$, the prior probabilities.
        names: the names of the members.

    References:
        [strens2000], [odonoghue2020]
    """

    members: tuple[TabularMDP, ...]
    weights: Float[Tensor, " member"]
    names: tuple[str, ...]

    def __init__(
        self, members: Sequence[TabularMDP], weights: ArrayLike | None = None, names: Sequence[str] | None = None
    ) -> None:
        """Check and store the members, their weights and their names.

        Args:
            members: MDPs that agree in states, actions, horizon, discount and factors.
            weights: prior probabilities; default: uniform.
            names: the names of the members, for tables and messages; default: "world 0" and so on.

        Raises:
            InvalidProblem: if an argument is invalid; the message names it, the member that disagrees and the remedy.
        """
        members = tuple(listed("members", members, "TabularMDPs", InvalidProblem))
        if not all(isinstance(each, TabularMDP) for each in members):
            raise InvalidProblem("`members` must be TabularMDPs, at least one. For a FactoredMDP pass its joint().")
        first = members[0]
        for i, each in enumerate(members):
            require_constant(f"members[{i}]", each)
            for what in (
                "num_states",
                "num_actions",
                "horizon",
                "discount",
                "action_names",
                "factors",
                "initial_factors",
            ):
                one, other = getattr(first, what), getattr(each, what)
                if one != other:
                    raise InvalidProblem(
                        f"`members` must agree in {what}, but members[0] has {one} and members[{i}] {other}."
                    )
        kind = checks.Kind(first.probability.dtype, first.probability.device)
        given = [1.0 / len(members)] * len(members) if weights is None else weights
        table = checks.table("weights", given, {1: "member"}, kind)
        checks.shape("weights", table, (len(members),), "one probability a member")
        put = object.__setattr__  # the dataclass is frozen
        put(self, "members", members)
        put(self, "weights", checks.normalised("weights", table, (), given=given))
        called = [f"world {i}" for i in range(len(members))] if names is None else names
        put(self, "names", checks.names("names", called, len(members)))

    @classmethod
    def from_transitions(
        cls,
        data: Any,
        num_samples: int,
        pseudocount: float | ArrayLike = 0.0,
        *,
        seed: int | torch.Generator | None = None,
        horizon: int | None = None,
        discount: float = 1.0,
        initial: ArrayLike | None = None,
        num_states: int | None = None,
        num_actions: int | None = None,
        unvisited: Unvisited = "refuse",
        unseen_reward: float | ArrayLike | None = None,
    ) -> "Ensemble":
        r"""Draw dynamics from their Dirichlet posterior, given transitions; each draw is a member of equal weight.

        $$p_m(\cdot \mid s, a) \sim \mathrm{Dirichlet}\bigl(n(s, a, \cdot) + \alpha(s, a, \cdot)\bigr)$$

        with the counts n and the pseudocounts α, the parameters of the prior; with α = 0 only transitions that were
        recorded are possible (the Bayesian bootstrap [rubin1981]). The members share rewards and start, and the mean of
        their dynamics is `TabularMDP.from_transitions` with the same arguments.

            episodes = inverse_rl.record("FrozenLake-v1", np.full((16, 4), 0.25), 1000, seed=0)
            ensemble = Ensemble.from_transitions(episodes, 20, horizon=100, seed=0)

        Args:
            data, pseudocount: the transitions and α, as in `TabularMDP.from_transitions`.
            num_samples: the number of members.
            seed: an integer, a generator, or None for torch's global generator.
            horizon, discount, initial, num_states, num_actions, unvisited, unseen_reward: as in
                `TabularMDP.from_transitions`.

        Raises:
            InvalidArgument, InvalidProblem: as `TabularMDP.from_transitions`.

        References:
            [rubin1981], [strens2000]
        """
        num_samples = whole("num_samples", num_samples)
        own_seed = np.random.SeedSequence(integer_of(seed), spawn_key=(2,))  # not that of an environment with this seed
        random = np.random.default_rng(own_seed)
        sizes = horizon, num_states, num_actions
        found = estimate_dynamics(data, pseudocount, sizes, initial, unvisited, unseen_reward)
        require_room(
            "num_samples", f"{num_samples:,} draws of the dynamics", 3 * num_samples * found.reward.size, 8,
            "Draw fewer.",
        )  # fmt: skip
        start, tables = found.initial, (found.successor, found.reward, found.horizon, discount)
        return cls([TabularMDP(start, found.draw(random), *tables) for _ in range(num_samples)])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Ensemble":
        """The ensemble on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            InvalidProblem: if a reward exceeds the range of the dtype.
        """
        place = place_of(self.weights, device, dtype)
        if place == Place.of(self.weights):
            return self
        return moved_copy(self, place, weights=moved_probability(self.weights, place))

    def joint(self) -> TabularMDP:
        """The MDP over pairs, with index member · S + state. If all members have a layout, these are side by side."""
        first = self.members[0]
        widest = max(each.num_outcomes for each in self.members)

        def stacked(name: str) -> Tensor:
            tables = [getattr(each, name) for each in self.members]
            return torch.cat([torch.nn.functional.pad(each, (0, widest - each.shape[-1])) for each in tables])

        offsets = torch.arange(len(self.members), device=first.successor.device) * first.num_states
        target = stacked("successor").long() + offsets.repeat_interleave(first.num_states)[:, None, None]
        ends = [each.final_reward for each in self.members]
        last = None
        if any(end is not None for end in ends):
            last = torch.cat([first.initial.new_zeros(first.num_states) if end is None else end for end in ends])
        layouts = [each.layout for each in self.members if each.layout is not None]
        return TabularMDP(
            torch.cat([w * each.initial for w, each in zip(self.weights, self.members, strict=True)]),
            stacked("probability"),
            target,
            stacked("reward"),
            first.horizon,
            first.discount,
            last,
            [f"{name} | {each.state_name(s)}" for name, each in self._named() for s in range(each.num_states)],
            first.action_names,
            side_by_side(layouts) if len(layouts) == len(self.members) else None,
            first.factors,
            {MEMBER: len(self.members), STATE: first.num_states},
        )

    def _named(self) -> list[tuple[str, TabularMDP]]:
        return list(zip(self.names, self.members, strict=True))

    def __repr__(self) -> str:
        """The names and weights of the members."""
        parts = ", ".join(f"{name}: {float(w):.4g}" for name, w in zip(self.names, self.weights, strict=True))
        return f"Ensemble({{{parts}}} of {self.members[0]!r})"
