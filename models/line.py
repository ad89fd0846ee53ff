"""The trajectory model of a problem on the line, as a Pyro program."""

from typing import Any, final

import pyro
import pyro.distributions as dist
import torch

from pgm_control.problems.continuous.line import Line
from pgm_control.runtime.arguments import instance, positive


@final
class LineModel:
    r"""A distribution over paths on the line, with an optimality variable of likelihood $\exp(r/\tau)$ at every step.

    Joint density (unnormalised; any real reward)

    $$\tilde p = N(s_0; m_0, \sigma_0^2) \prod_{t=0}^{T-1} N(a_t; 0, U)\, p(s_{t+1} - s_t - a_t \mid s_t, a_t)\,
        \exp(r(t+1, s_{t+1})/\tau) \cdot \exp(r_T(s_T)/\tau)$$

    | site | values | unit |
    |---|---|---|
    | `state_0` | a number; a point mass if the start is known | length |
    | `action_t` | a number, t = 0 … T−1 | length |
    | `state_t` | a number, t = 1 … T | length |
    | `optimality_t` | log-factor of the state reached, r(t + 1, s_{t+1})/τ; with a final reward also t = T | nats |

    `infer_line(model, optimism)` gives the exact optimum; `estimate`, `smc`, `scorecard` and `check_model` take it as a
    program.

    Attributes:
        problem: the problem.
        temperature: τ, in reward units per nat.
        action_prior: U, the variance of the action prior.
    """

    problem: Line
    temperature: float
    action_prior: float

    def __init__(self, problem: Line, temperature: float = 1.0, action_prior: float = 1.0) -> None:
        """Define the model.

        Args:
            problem: the problem.
            temperature: τ, in reward units per nat.
            action_prior: U, the variance of the prior N(0, U) over actions.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        self.problem = instance("problem", problem, Line, "Make one: Line(reward, horizon, noise).")
        self.temperature = positive("temperature", temperature)
        self.action_prior = positive("action_prior", action_prior, "variance")

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        problem, tau = self.problem, self.temperature
        mean = torch.tensor(problem.initial_mean, dtype=torch.float64)
        start: Any = dist.Delta(mean) if problem.has_known_start else dist.Normal(mean, problem.initial_deviation)
        state = pyro.sample("state_0", start)
        for t in range(problem.horizon):
            prior = dist.Normal(torch.zeros_like(state), self.action_prior**0.5)
            action = pyro.sample(f"action_{t}", prior)
            state = pyro.sample(f"state_{t + 1}", problem.next_state(state, action))
            pyro.factor(f"optimality_{t}", problem.reward_at(t + 1, state) / tau)
        if problem.final_reward is not None:
            pyro.factor(f"optimality_{problem.horizon}", problem.final_reward_at(state) / tau)

    def __repr__(self) -> str:
        """The problem, the temperature and the action prior."""
        return f"LineModel({self.problem!r}, temperature={self.temperature:g}, action_prior={self.action_prior:g})"
