r"""A model whose states and actions are vectors, from batched torch functions, as a Pyro program.

Sources:
    [haarnoja2018c] T. Haarnoja et al., Latent space policies for hierarchical reinforcement learning. International
        Conference on Machine Learning, Proceedings of Machine Learning Research 80, pages 1851–1860, 2018.
        arXiv:1804.02808
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, final, runtime_checkable

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.errors import InvalidGuide, InvalidProblem
from pgm_control.problems.continuous.batched import (
    batched_distribution,
    batched_numbers,
    called,
    distribution_over_vectors,
)
from pgm_control.problems.continuous.problem import (
    ContinuousProblem,
    Dynamics,
    FinalReward,
    HasMembers,
    Reward,
    Start,
)
from pgm_control.programs.roles import Role
from pgm_control.runtime.arguments import number, shown, whole
from pgm_control.runtime.programs import require_callable
from pgm_control.runtime.randomness import seeded

_DRAWS = 16  # trajectories of the prior with which the functions are checked
_ROLES: Mapping[str, Role | tuple[Role, ...]] = {
    "state_*": ("state", "chance"),
    "action_*": "action",
    "optimality_*": "optimality",
}

ActionPrior = Any | Callable[[int, Tensor], Any]


@runtime_checkable
class HasPolicy(Protocol):
    """A guide of a continuous model whose policy can be asked for."""

    def policy(self, t: int, state: Tensor) -> Any:
        """π_t(a|s), a distribution with the batch shape of the states."""
        ...


@final
class ContinuousModel:
    r"""A distribution over trajectories of vectors, with an optimality variable of likelihood $\exp(r/\tau)$.

    Joint density (unnormalised; any finite reward)

    $$\tilde p = p(s_0) \prod_{t=0}^{T-1} \rho_t(a_t \mid s_t)\, p_t(s_{t+1} \mid s_t, a_t)\,
    \exp\bigl(r_t(s_t, a_t, s_{t+1})/\tau\bigr) \cdot \exp\bigl(r_T(s_T)/\tau\bigr)$$

    Calling the model runs it as a Pyro program with the sites `state_0`, then `action_t`, `state_{t+1}` and the factor
    `optimality_t` for t = 0 … T−1, and `optimality_T` if there is a final reward. A vector is one event of its site. It
    runs inside of plates, where a site holds one vector for each element, and under `torch.vmap`.

    Nothing about it is computed exactly: `estimate`, `iwae_bound`, `smc` and `scorecard` sample it with any guide, such
    as `ClampedNeuralGuide` and `FreeNeuralGuide`, and `fit` fits these.

    If the dynamics are an ensemble (`HasMembers`, such as `learn_dynamics(…)`), the site `member` is drawn first, once
    a trajectory and uniformly. It is chance, of the start: a guide that may change it believes in the member that suits
    it, *epistemic* optimism, as in `Ensemble`.

        >>> import pyro.distributions as dist
        >>> import torch
        >>> from pgm_control import ContinuousModel, estimate_elbo
        >>> model = ContinuousModel(
        ...     start=dist.Normal(torch.ones(1), 0.1).to_event(1),
        ...     dynamics=lambda t, s, a: dist.Normal(0.9 * s + 0.5 * a, 0.5).to_event(1),
        ...     reward=lambda t, s, a, s_next: -(s**2).sum(-1),
        ...     horizon=4,
        ...     action_prior=dist.Normal(torch.zeros(1), 1.0).to_event(1),
        ... )
        >>> model.problem
        ContinuousProblem(1 state and 1 action coordinates, horizon 4)

    Attributes:
        problem: start, dynamics and rewards.
        temperature: τ, in reward units per nat.
        horizon: T.
        roles: the roles of the sites (see `log_weights`).

    References:
        [levine2018]
    """

    def __init__(
        self,
        start: Start,
        dynamics: Dynamics | HasMembers,
        reward: Reward,
        horizon: int,
        temperature: float = 1.0,
        action_prior: ActionPrior = None,
        final_reward: FinalReward | None = None,
    ) -> None:
        """Define the model, and check its functions along draws from the prior.

        Every function is checked at all times for a batch, which must have a result for each element, and at the first
        step for single elements, which must have the same result alone. Torch's generators are left as they were.

        Args:
            start: p(s_0): a distribution of Pyro over vectors, or a function without arguments that returns one. A
                fixed state is `dist.Delta(state).to_event(1)`.
            dynamics: a function of t, states (…, n) and actions (…, m) that returns the distribution of the next state,
                with batch shape (…), event shape (n,) and reparameterised draws; or an ensemble of such functions.
            reward: a function of t, states, actions and next states that returns rewards (…), finite.
            horizon: T, the number of actions.
            temperature: τ, in reward units per nat.
            action_prior: ρ: a distribution of Pyro over vectors (m,), bounded or not, or a function of t and states
                (…, n) that returns one with batch shape (…).
            final_reward: a function of the last states that returns rewards (…); default: none.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it and the remedy.
        """
        self.horizon = whole("horizon", horizon)
        self.temperature = number(temperature)
        if not 0.0 < self.temperature < float("inf"):
            raise InvalidProblem(f"`temperature` must be a positive number, but is {shown(temperature)}.")
        if action_prior is None:
            raise InvalidProblem(
                "`action_prior` must be a distribution over vectors, or a function of t and the state that returns one,"
                " such as dist.Normal(torch.zeros(2), 1.0).to_event(1). Actions are vectors, and their number of "
                "coordinates is that of the prior."
            )
        for name, value, takes in (
            ("dynamics", dynamics, ("t", "state", "action")),
            ("reward", reward, ("t", "state", "action", "next_state")),
            ("final_reward", final_reward, ("state",)),
        ):
            if not (value is None and name == "final_reward"):
                require_callable(name, value, *takes)
        self._prior: ActionPrior = action_prior
        self.num_members = (
            dynamics.num_members if isinstance(dynamics, HasMembers) and dynamics.num_members > 1 else None
        )
        self.roles = _ROLES if self.num_members is None else {**_ROLES, "member": "chance"}
        with seeded(0), torch.no_grad():
            first = distribution_over_vectors("start", called("start", lambda: _returned(start)), (), None)
            state = first.expand(torch.Size((_DRAWS,))).rsample()
            size = state.shape[-1]
            actions = self._check(state, size, dynamics, reward, final_reward)
        self.problem = ContinuousProblem(start, dynamics, reward, self.horizon, final_reward, size, actions)  # pyright: ignore[reportArgumentType]

    def _check(self, state: Tensor, size: int, dynamics: Any, reward: Any, final_reward: Any) -> int:
        """Play the prior, check what each function returns, and return the number of coordinates of an action."""
        actions = None
        for t in range(self.horizon):
            one = dynamics if self.num_members is None else dynamics.given(torch.zeros((), dtype=torch.long))
            prior, moves, worth = partial(self.action_prior, t), partial(one, t), partial(reward, t)
            if t == 0:
                found = batched_distribution("action_prior", prior, (state,), None)
                actions = found.event_shape[0]
            rho = distribution_over_vectors("action_prior", called("action_prior", prior, state), (_DRAWS,), actions)
            action = rho.rsample()
            if t == 0:
                batched_distribution("dynamics", moves, (state, action), size)
            step = distribution_over_vectors("dynamics", called("dynamics", moves, state, action), (_DRAWS,), size)
            ahead = step.rsample()
            batched_numbers("reward", worth, (state, action, ahead))
            state = ahead
        if final_reward is not None:
            batched_numbers("final_reward", final_reward, (state,))
        assert actions is not None
        return actions

    def start(self) -> Any:
        """p(s_0), a distribution."""
        return _returned(self.problem.start)

    def action_prior(self, t: int, state: Float[Tensor, "*batch state"]) -> Any:
        """ρ_t(a|s), a distribution with the batch shape of the states."""
        if callable(self._prior) and not isinstance(
            self._prior, dist.TorchDistribution | torch.distributions.Distribution
        ):
            return self._prior(t, state)
        batch = state.shape[:-1]
        return self._prior if not batch or self._prior.batch_shape == batch else self._prior.expand(batch)

    def dynamics(self, t: int, state: Tensor, action: Tensor, member: Tensor | None = None) -> Any:
        """p_t(s'|s, a), a distribution with the batch shape of the states; of an ensemble that of a member."""
        moves: Any = self.problem.dynamics
        return (moves if member is None else moves.given(member))(t, state, action)

    def log_factor(self, t: int, state: Tensor, action: Tensor, next_state: Tensor) -> Float[Tensor, "*batch"]:
        """r_t/τ, in nats."""
        return self.problem.reward(t, state, action, next_state) / self.temperature

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        moves: Any = self.problem.dynamics
        if self.num_members is not None:
            member = pyro.sample("member", dist.Categorical(logits=torch.zeros(self.num_members, dtype=torch.float64)))
            moves = moves.given(member)
        state = pyro.sample("state_0", self.start())
        for t in range(self.horizon):
            action = pyro.sample(f"action_{t}", self.action_prior(t, state))
            ahead = pyro.sample(f"state_{t + 1}", moves(t, state, action))
            pyro.factor(f"optimality_{t}", self.log_factor(t, state, action, ahead))
            state = ahead
        if self.problem.final_reward is not None:
            pyro.factor(f"optimality_{self.horizon}", self.problem.final_reward(state) / self.temperature)

    def with_prior(self, guide: HasPolicy) -> "ContinuousModel":
        """The model whose action prior is the policy of a guide: the next layer of a hierarchy [haarnoja2018c].

        If the policy is the clamped optimum of a reward, the clamped optimum of this model with another reward is that
        of the sum of both. A policy that is not an optimum is a prior like any other.

        Args:
            guide: anything with `policy(t, state)`, such as a `ClampedNeuralGuide` of this model.

        Raises:
            InvalidGuide: if it has no policy over the actions of this model.

        References:
            [haarnoja2018c]
        """
        if isinstance(guide, type) or not isinstance(guide, HasPolicy) or not callable(guide.policy):
            raise InvalidGuide(f"`guide` must have a method `policy(t, state)`, but is {shown(guide)}.")
        problem = self.problem
        try:
            return ContinuousModel(
                problem.start, problem.dynamics, problem.reward, self.horizon, self.temperature, guide.policy,
                problem.final_reward,
            )  # fmt: skip
        except InvalidProblem as wrong:
            raise InvalidGuide(f"`guide` must have a policy over the actions of this model. {wrong}") from wrong

    def __repr__(self) -> str:
        """The problem and the temperature."""
        members = "" if self.num_members is None else f", {self.num_members} members"
        return f"ContinuousModel({self.problem!r}, temperature {self.temperature:g}{members})"


def _returned(start: Start) -> Any:
    """The distribution that `start` is or returns."""
    is_distribution = isinstance(start, dist.TorchDistribution | torch.distributions.Distribution)
    return start() if callable(start) and not is_distribution else start
