"""The trajectory model of a problem in the plane, as a Pyro program."""

from typing import Any, final

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.problems.continuous.arrays import covariance_of
from pgm_control.problems.continuous.planar import Planar
from pgm_control.runtime.arguments import instance, positive
from pgm_control.runtime.array_like import ArrayLike
from pgm_control.trajectories.gaussian.distributions import gaussian


@final
class PlanarModel:
    r"""A distribution over paths in the plane, with an optimality variable of likelihood $\exp(r/\tau)$ at every step.

    Joint density (unnormalised; any reward)

    $$\tilde p = N(s_0; m_0, S_0) \prod_{t=0}^{T-1} N(a_t; 0, U)\, N(s_{t+1}; s_t + a_t, W)\, \exp(r(t+1, s_{t+1})/\tau)
        \cdot \exp(r_T(s_T)/\tau)$$

    | site | values | unit |
    |---|---|---|
    | `state_0` | two numbers; a point mass if the start is known | length |
    | `action_t` | two numbers, t = 0 … T−1 | length |
    | `state_t` | two numbers, t = 1 … T | length |
    | `optimality_t` | log-factor of the state reached, r(t + 1, s_{t+1})/τ; with a final reward also t = T | nats |

    The order is `state_0`, then `action_t`, `state_{t+1}`, `optimality_t` for each step.
    `infer_planar(model, optimism)` gives the exact optimum for any optimism; `estimate`, `smc`, `scorecard` and
    `check_model` take it as a program.

    Attributes:
        problem: the problem.
        temperature: τ, in reward units per nat.
        action_prior: U, the covariance of the action prior, 2 × 2.
    """

    problem: Planar
    temperature: float
    action_prior: Float[Tensor, "2 2"]

    def __init__(self, problem: Planar, temperature: float = 1.0, action_prior: ArrayLike = 1.0) -> None:
        """Define the model.

        Args:
            problem: the problem.
            temperature: τ, in reward units per nat.
            action_prior: U of the prior N(0, U) over actions: a variance, two variances, or a matrix.

        Raises:
            InvalidProblem, InvalidArgument: if an argument does not fit; the message names it.
        """
        self.problem = instance("problem", problem, Planar, "Make one: Planar(reward, horizon, noise_covariance).")
        self.temperature = positive("temperature", temperature)
        self.action_prior = covariance_of("action_prior", action_prior, 2)

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        problem, tau = self.problem, self.temperature
        mean, noise = torch.as_tensor(problem.initial_mean), torch.as_tensor(problem.noise_covariance)
        start: Any = dist.Delta(mean, event_dim=1)
        if not problem.has_known_start:
            start = gaussian(mean, torch.as_tensor(problem.initial_covariance))
        state = pyro.sample("state_0", start)
        for t in range(problem.horizon):
            action = pyro.sample(f"action_{t}", gaussian(torch.zeros_like(state), self.action_prior))
            state = pyro.sample(f"state_{t + 1}", gaussian(state + action, noise))
            pyro.factor(f"optimality_{t}", problem.reward_at(t + 1, state) / tau)
        if problem.final_reward is not None:
            pyro.factor(f"optimality_{problem.horizon}", problem.final_reward_at(state) / tau)

    def __repr__(self) -> str:
        """The problem, the temperature and the action prior."""
        prior = self.action_prior.tolist()
        return f"PlanarModel({self.problem!r}, temperature={self.temperature:g}, action_prior={prior})"
