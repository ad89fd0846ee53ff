"""Models of the demonstrator. What it believes about the dynamics determines what its actions reveal about the reward.

Sources:
    [gleave2022] A. Gleave and S. Toyer, A primer on maximum causal entropy inverse reinforcement learning. 2022.
        arXiv:2203.11409
    [ramachandran2007] D. Ramachandran and E. Amir, Bayesian inverse reinforcement learning. International Joint
        Conference on Artificial Intelligence, pages 2586–2591, 2007.
    [ziebart2008] B. D. Ziebart et al., Maximum entropy inverse reinforcement learning. AAAI Conference on Artificial
        Intelligence, pages 1433–1438, 2008.
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.factors import aligned
from ..chance.operators import tilt
from ..chance.risk import Risk, beta_of
from ..errors import InvalidArgument
from ..runtime.arguments import finite, one_of
from ..text.one_line import one_line
from ..trajectories.blocks import MarkovModel
from .demonstrations import Demonstrations
from .likelihood import soft_log_likelihood
from .values import planned_values


@dataclass(frozen=True)
class Behaviour:
    """The policy of a demonstrator, and the dynamics in which it acts.

    Attributes:
        log_policy: log-probabilities of its actions, in nats.
        log_dynamics: log-probabilities of the outcomes, in nats: the true ones, or those that it believes.
        q, v: its values, in reward units.
    """

    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    q: Float[Tensor, "time state action"]
    v: Float[Tensor, "time_and_last state"]

    __repr__ = one_line


@runtime_checkable
class Demonstrator(Protocol):
    """A model of the demonstrator."""

    def behaviour(
        self,
        model: MarkovModel,
        reward: Float[Tensor, "state action outcome"],
        last: Float[Tensor, " state"],
        temperature: Tensor | float,
    ) -> Behaviour:
        """Return its behaviour for a reward, differentiable with respect to the reward and the temperature."""
        ...

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Float[Tensor, "*batch state action outcome"],
        last: Float[Tensor, "*#batch state"],
        temperature: Float[Tensor, "*#batch"] | float,
    ) -> Float[Tensor, "*batch"]:
        """Return the log-likelihood of the demonstrations in nats, up to a constant that does not depend on the reward.

        It is differentiable with respect to the reward and the temperature. Leading axes are a batch of rewards.
        """
        ...


@final
@dataclass(frozen=True)
class ClampedDemonstrator:
    r"""A demonstrator that knows the dynamics and cannot change them: maximum causal entropy, the max-ent policy.

    $$\log p(\text{actions}) = \sum_t \log \pi_t(a_t | s_t), \qquad \log \pi_t = \log \rho + (Q_t - V_t) / \tau$$

    The "matching" criterion replaces the values of the observed outcomes by their expectations,

    $$\ell(\psi) = \frac1\tau \sum_i \Bigl[\sum_t \bar r_\psi(s_t, a_t) + V_{t_\mathrm{end}}(s_\mathrm{end})
        - V_0(s_0)\Bigr] + \sum \log \rho,$$

    The difference between the two has mean zero. $\ell$ is concave for a linear reward and demonstrations of the full
    horizon. Its gradient is the counts of the demonstrations minus those of the model. For exact occupancies the two
    criteria are equal. For a few trajectories in random dynamics the likelihood is far more precise, because matching
    attributes the luck of the demonstrator to the reward.

    Attributes:
        criterion: "likelihood", or "matching", which does not need the times of the actions.
        infinite_horizon: whether it plans without a horizon, by the discount alone; a recording may be any part of its
            life.

    References:
        [ziebart2010], [gleave2022]
    """

    criterion: Literal["likelihood", "matching"] = "likelihood"
    infinite_horizon: bool = False

    def __post_init__(self) -> None:
        """Check the arguments."""
        one_of("criterion", self.criterion, ("likelihood", "matching"))

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """Return the max-ent policy in the true dynamics."""
        return _soft(model, reward, last, temperature, 0.0, self.infinite_horizon)

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Return the log-likelihood by the chosen criterion."""
        if self.criterion == "likelihood":
            return soft_log_likelihood(
                model, demonstrations, reward, last, temperature, 0.0, self.infinite_horizon, believed=False
            )
        q, v = planned_values(model, 0.0, reward, last, temperature, self.infinite_horizon)
        moves, ends = demonstrations.moves, demonstrations.ends
        paid = (model.mdp.probability * torch.where(model.mdp.probability > 0, reward, 0.0)).sum(-1)
        weight, cut = demonstrations.weights(moves), demonstrations.weights(ends)
        total = (weight * paid[..., moves.state, moves.action]).sum(-1) - v[..., 0, :] @ demonstrations.starts
        unseen = ends.action >= 0
        time, action = torch.where(unseen, ends.time, 0), torch.where(unseen, ends.action, 0)
        after = q[..., time, ends.state, action] - paid[..., ends.state, action]
        ahead = torch.where(unseen, after, v[..., ends.time, ends.state])
        log_prior = (weight * model.action_prior.log()[moves.state, moves.action]).sum()
        return (total + (cut * ahead).sum(-1)) / temperature + log_prior


@final
@dataclass(frozen=True)
class FreeDemonstrator:
    r"""A demonstrator that controls the dynamics: maximum entropy over trajectories.

    $$p(\text{trajectory} | s_0) \propto \prod_t \rho(a_t | s_t)\, p(k_t | s_t, a_t)\, e^{r_\psi / \tau}$$

    This is the first form of maximum-entropy inverse reinforcement learning. In random dynamics it implies that the
    demonstrator wanted the observed outcomes. The log-likelihood is concave for a linear reward, and its gradient is
    the counts of the demonstrations minus those of the posterior.

    Attributes:
        infinite_horizon: whether it plans without a horizon, by the discount alone; a recording may be any part of its
            life.

    References:
        [ziebart2008]
    """

    infinite_horizon: bool = False

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """Return the posterior: its policy in the dynamics that it believes."""
        return DialDemonstrator(1.0, "believed", self.infinite_horizon).behaviour(model, reward, last, temperature)

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Return the log-likelihood of actions and outcomes, given the first state."""
        return DialDemonstrator(1.0, "believed", self.infinite_horizon).log_likelihood(
            model, demonstrations, reward, last, temperature
        )


@final
@dataclass(frozen=True)
class DialDemonstrator:
    r"""A demonstrator that plans as if it could change the dynamics at the price 1/β of a nat.

    $$\log p = \sum_t \log \pi^\beta_t(a_t | s_t) \; \bigl[ + \log q^\beta_t(s_{t+1} | s_t, a_t) \bigr]$$

    β > 0 is optimistic, β < 0 is adversarial. β → 0 forbids any change, as for the clamped demonstrator. A `Risk`
    stands for β = θτ: its attitude to risk does not change with the temperature.

    Attributes:
        optimism: β, or a `Risk`; a tensor to be differentiated, or one β or θ for each reward of a batch.
        dynamics: "world": the observed outcomes follow the true dynamics and reveal nothing about the reward.
            "believed": they follow the dynamics that it believes, and the term in brackets is included.
        infinite_horizon: whether it plans without a horizon, by the discount alone; a recording may be any part of its
            life.

    References:
        [ziebart2008], [ziebart2010]
    """

    optimism: float | Tensor | Risk
    dynamics: Literal["world", "believed"] = "world"
    infinite_horizon: bool = False

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the arguments."""
        one_of("dynamics", self.dynamics, ("world", "believed"))
        if isinstance(self.optimism, Tensor):
            if not self.optimism.is_floating_point() or not bool(self.optimism.detach().isfinite().all()):
                raise InvalidArgument(f"`optimism` must hold finite numbers, but is {self.optimism!r}.")
        elif not isinstance(self.optimism, Risk):
            beta = finite("optimism", self.optimism, remedy="A demonstrator has a single β.")
            object.__setattr__(self, "optimism", beta)  # the dataclass is frozen

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """Return its policy in the true dynamics or in those that it believes."""
        beta = beta_of(self.optimism, temperature)
        return _soft(model, reward, last, temperature, beta, self.infinite_horizon, self.dynamics == "believed")

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Return the log-likelihood of the actions, and of the outcomes if `dynamics` is "believed"."""
        beta = beta_of(self.optimism, temperature)
        believed = self.dynamics == "believed"
        return soft_log_likelihood(
            model, demonstrations, reward, last, temperature, beta, self.infinite_horizon, believed
        )


@final
@dataclass(frozen=True)
class BoltzmannDemonstrator:
    r"""A demonstrator that errs around the optimal values: $\pi_t(a | s) \propto \rho(a | s)\, e^{Q^*_t(s, a) / \tau}$.

    $Q^*$ are the optimal values at temperature 0: it does not expect to err later.

    Attributes:
        infinite_horizon: whether it plans without a horizon, by the discount alone; a recording may be any part of its
            life.

    References:
        [ramachandran2007]
    """

    infinite_horizon: bool = False

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """Return the softmax of the hard values as policy, in the true dynamics."""
        q, v = planned_values(model, 0.0, reward, last, temperature, self.infinite_horizon, hard=True)
        return Behaviour(_softmax(model, q, temperature), _true_dynamics(model), q, v)

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Return the log-likelihood of the actions."""
        moves = demonstrations.timed_moves
        q, _ = planned_values(model, 0.0, reward, last, temperature, self.infinite_horizon, hard=True)
        log_policy = _softmax(model, q, temperature)
        return (moves.weight * log_policy[..., moves.time, moves.state, moves.action]).sum(-1)


def _softmax(
    model: MarkovModel, q: Float[Tensor, "*batch time state action"], temperature: Tensor | float
) -> Float[Tensor, "*batch time state action"]:
    return torch.log_softmax(model.action_prior.log() + q / aligned(temperature, 3), -1)


def _true_dynamics(model: MarkovModel) -> Float[Tensor, "time state action outcome"]:
    return model.mdp.probability.log().expand(model.mdp.horizon, -1, -1, -1)


def _soft(
    model: MarkovModel,
    reward: Tensor,
    last: Tensor,
    temperature: Tensor | float,
    optimism: Tensor | float,
    infinite_horizon: bool,
    believed: bool = False,
) -> Behaviour:
    mdp = model.mdp
    q, v = planned_values(model, optimism, reward, last, temperature, infinite_horizon)
    log_policy = model.action_prior.log() + (q - v[..., :-1, :, None]) / aligned(temperature, 3)
    log_dynamics = _true_dynamics(model)
    if believed:
        x = reward[..., None, :, :, :] + mdp.discount * v[..., 1:, mdp.successor]
        log_dynamics = tilt(x, mdp.probability.log(), aligned(temperature, 3), aligned(optimism, 3))
    return Behaviour(log_policy, log_dynamics, q, v)


NAMED: dict[str, Demonstrator] = {
    "clamped": ClampedDemonstrator(),
    "free": FreeDemonstrator(),
    "boltzmann": BoltzmannDemonstrator(),
}
