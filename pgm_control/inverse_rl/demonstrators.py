"""Who was it that was watched? What a demonstrator believes of the dice decides how its actions are to be read.

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
from ..errors import InvalidArgument
from ..runtime.arguments import finite
from ..text.one_line import one_line
from ..trajectories.blocks import MarkovModel
from .demonstrations import Demonstrations
from .values import planned_values


@dataclass(frozen=True)
class Behaviour:
    """What a demonstrator does, and what becomes of it.

    Attributes:
        log_policy: of its actions, in nats.
        log_dynamics: of the faces of the dice: those of the world, or what it believes of them.
        q, v: its values, in reward units.
    """

    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    q: Float[Tensor, "time state action"]
    v: Float[Tensor, "time_and_last state"]

    __repr__ = one_line


@runtime_checkable
class Demonstrator(Protocol):
    """A model of who was watched."""

    def behaviour(
        self,
        model: MarkovModel,
        reward: Float[Tensor, "state action outcome"],
        last: Float[Tensor, " state"],
        temperature: Tensor | float,
    ) -> Behaviour:
        """What it does for a reward, differentiable by the reward and the temperature."""
        ...

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Float[Tensor, "*batch state action outcome"],
        last: Float[Tensor, "*#batch state"],
        temperature: Float[Tensor, "*#batch"] | float,
    ) -> Float[Tensor, "*batch"]:
        """Of the demonstrations, in nats, likewise; up to a number that does not depend on the reward.

        Leading axes are rewards to be judged side by side.
        """
        ...


@final
@dataclass(frozen=True)
class ClampedDemonstrator:
    r"""It knows the dice and cannot change them: maximum causal entropy, the max-ent policy.

    $$\log p(\text{actions}) = \sum_t \log \pi_t(a_t | s_t), \qquad \log \pi_t = \log \rho + (Q_t - V_t) / \tau$$

    By matching, the values of what the dice did are replaced by what they were expected to be,

    $$\ell(\psi) = \frac1\tau \sum_i \Bigl[\sum_t \bar r_\psi(s_t, a_t) + V_{t_\mathrm{end}}(s_\mathrm{end})
        - V_0(s_0)\Bigr] + \sum \log \rho,$$

    which differs by a number of mean zero, is concave for a linear reward and whole demonstrations, and whose gradient
    is the counts of the demonstrations less those of the model. For exact occupancies the two are the same. For a few
    trajectories with dice the likelihood is far more precise: matching takes the luck of the demonstrator for a wish.

    Attributes:
        criterion: "likelihood", or "matching", which does not need to know the times of actions.
        infinite_horizon: it plans without a horizon, by the discount alone; recordings are of any part of that.

    References:
        [ziebart2010], [gleave2022]
    """

    criterion: Literal["likelihood", "matching"] = "likelihood"
    infinite_horizon: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no criterion."""
        if self.criterion not in ("likelihood", "matching"):
            raise InvalidArgument(f'`criterion` must be "likelihood" or "matching", but is {self.criterion!r}.')

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """The max-ent policy, in the world."""
        return _soft(model, reward, last, temperature, 0.0, self.infinite_horizon)

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """By either criterion."""
        q, v = planned_values(model, 0.0, reward, last, temperature, self.infinite_horizon)
        moves, ends = demonstrations.moves, demonstrations.ends
        if self.criterion == "likelihood":
            return _of_actions(model, demonstrations, q, v, temperature)
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
    r"""Trajectories as they would be if the demonstrator controlled the dice: maximum entropy over trajectories.

    $$p(\text{trajectory} | s_0) \propto \prod_t \rho(a_t | s_t)\, p(k_t | s_t, a_t)\, e^{r_\psi / \tau}$$

    This is how maximum-entropy inverse reinforcement learning was first written. With dice it says that the outcomes
    that were seen were wanted; the log-likelihood is concave for a linear reward, and its gradient is the counts of
    the demonstrations less those of the posterior.

    Attributes:
        infinite_horizon: it plans without a horizon, by the discount alone; recordings are of any part of that.

    References:
        [ziebart2008]
    """

    infinite_horizon: bool = False

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """The posterior: its policy, in the dynamics that it believes in."""
        return DialDemonstrator(1.0, "believed", self.infinite_horizon).behaviour(model, reward, last, temperature)

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Of actions and outcomes, given the first state."""
        return DialDemonstrator(1.0, "believed", self.infinite_horizon).log_likelihood(
            model, demonstrations, reward, last, temperature
        )


@final
@dataclass(frozen=True)
class DialDemonstrator:
    r"""It plans as if it could change the dice at the price β: 0 is sober, above it hopes, below it fears.

    $$\log p = \sum_t \log \pi^\beta_t(a_t | s_t) \; \bigl[ + \log q^\beta_t(s_{t+1} | s_t, a_t) \bigr]$$

    Attributes:
        optimism: β; a tensor to be differentiated, or one β for each of many rewards.
        dynamics: "world": it believes in luck, but the dice that were seen fell as they do, and say nothing of the
            reward. "believed": the dice fell as it wished, the bracket counts.
        infinite_horizon: it plans without a horizon, by the discount alone; recordings are of any part of that.

    References:
        [ziebart2008], [ziebart2010]
    """

    optimism: float | Tensor
    dynamics: Literal["world", "believed"] = "world"
    infinite_horizon: bool = False

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Refuse what is no dice."""
        if self.dynamics not in ("world", "believed"):
            raise InvalidArgument(f'`dynamics` must be "world" or "believed", but is {self.dynamics!r}.')
        if isinstance(self.optimism, Tensor):
            if not bool(self.optimism.detach().isfinite().all()):
                raise InvalidArgument(f"`optimism` must hold finite numbers, but is {self.optimism!r}.")
        else:
            beta = finite("optimism", self.optimism, remedy="A demonstrator has one β for the start and the dice.")
            object.__setattr__(self, "optimism", beta)  # the dataclass is frozen

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """Its policy, in the world or in what it believes."""
        return _soft(
            model, reward, last, temperature, self.optimism, self.infinite_horizon, self.dynamics == "believed"
        )

    def log_likelihood(
        self,
        model: MarkovModel,
        demonstrations: Demonstrations,
        reward: Tensor,
        last: Tensor,
        temperature: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Of the actions, and of the outcomes if they fell as it wished."""
        q, v = planned_values(model, self.optimism, reward, last, temperature, self.infinite_horizon)
        total = _of_actions(model, demonstrations, q, v, temperature)
        if self.dynamics == "world":
            return total
        moves = demonstrations.moves
        if not demonstrations.has_outcomes:
            raise InvalidArgument(
                "`demonstrations` must say where the actions led: for this demonstrator the outcomes tell of the "
                "reward. Pass whole trajectories, or occupancies of shape (T, S, A, K)."
            )
        seen = moves.successor >= 0
        t, s, a, to = (each[seen] for each in moves[:4])
        log_outcomes = _believed(model, reward, v, temperature, self.optimism, t, s, a)
        lands = (model.mdp.successor[s, a] == to[:, None]) & (model.mdp.probability[s, a] > 0)
        log_landing = torch.where(lands, log_outcomes, -torch.inf).logsumexp(-1)
        return total + (moves.weight[seen] * log_landing).sum(-1)


@final
@dataclass(frozen=True)
class BoltzmannDemonstrator:
    r"""It knows the best policy there is and errs: $\pi_t(a | s) \propto \rho(a | s)\, e^{Q^*_t(s, a) / \tau}$.

    $Q^*$ are the values without temperature: it does not expect to err later on.

    Attributes:
        infinite_horizon: it plans without a horizon, by the discount alone; recordings are of any part of that.

    References:
        [ramachandran2007]
    """

    infinite_horizon: bool = False

    def behaviour(self, model: MarkovModel, reward: Tensor, last: Tensor, temperature: Tensor | float) -> Behaviour:
        """A softmax of hard values, in the world."""
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
        """Of the actions."""
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


def _believed(
    model: MarkovModel,
    reward: Tensor,
    v: Float[Tensor, "*batch time_and_last state"],
    temperature: Tensor | float,
    optimism: Tensor | float,
    t: Tensor,
    s: Tensor,
    a: Tensor,
) -> Float[Tensor, "*batch move outcome"]:
    """Log-probabilities of the faces in the places that were seen."""
    mdp = model.mdp
    x = reward[..., s, a, :] + mdp.discount * v[..., t[:, None] + 1, mdp.successor[s, a].long()]
    return tilt(x, mdp.probability[s, a].log(), aligned(temperature, 1), aligned(optimism, 1))


def _of_actions(
    model: MarkovModel, demonstrations: Demonstrations, q: Tensor, v: Tensor, temperature: Tensor | float
) -> Float[Tensor, "*batch"]:
    moves = demonstrations.timed_moves
    t, s, a = moves.time, moves.state, moves.action
    log_policy = model.action_prior.log()[s, a] + (q[..., t, s, a] - v[..., t, s]) / aligned(temperature, 1)
    return (moves.weight * log_policy).sum(-1)


NAMED: dict[str, Demonstrator] = {
    "clamped": ClampedDemonstrator(),
    "free": FreeDemonstrator(),
    "boltzmann": BoltzmannDemonstrator(),
}
