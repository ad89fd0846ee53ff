"""The Pyro programs of linear-quadratic models and affine-Gaussian guides: one layout of sites for both."""

import pyro
import torch

from ...errors import InvalidProblem
from .blocks import GaussianBlocks
from .distributions import LebesgueMeasure, gaussian
from .model import GaussianModel, one_problem, timed_prior


def run_gaussian_blocks(blocks: GaussianBlocks) -> None:
    """Sample `state_0`, then `action_t` and `state_{t+1}` for each step."""
    state = pyro.sample("state_0", gaussian(blocks.initial_mean, blocks.initial_covariance))
    for t in range(blocks.horizon):
        mean = -(blocks.gain[t] @ state[..., None])[..., 0] - blocks.offset[t]
        action = pyro.sample(f"action_{t}", gaussian(mean, blocks.policy_covariance[t]))
        z = torch.cat((state, action.expand(*state.shape[:-1], action.shape[-1])), -1)
        mean = (blocks.transition[t] @ z[..., None])[..., 0] + blocks.drift[t]
        state = pyro.sample(f"state_{t + 1}", gaussian(mean, blocks.noise[t]))


def run_gaussian_model(model: GaussianModel) -> None:
    r"""Sample a trajectory from the start, the action prior and the dynamics, weighed by $\exp(r_t/\tau)$ at each step.

    Raises:
        InvalidProblem: for a batch of problems; at temperature 0; with a discount; if the action prior is Lebesgue
            measure and actions are to be drawn.
    """
    problem, tau = one_problem(model, "a Pyro program"), float(model.temperature)
    if tau == 0:
        raise InvalidProblem(
            "`temperature` must be positive to run the model, but is 0. infer(model, 0.0) and "
            "infer(model, Risk(theta)) solve it exactly."
        )
    if problem.discount < 1:
        raise InvalidProblem(
            f"`discount` must be 1 to run the model, whose program has no end by chance, but is {problem.discount:g}. "
            "infer, evaluate and ledger are exact with a discount."
        )
    prior, F = timed_prior(model), problem.F
    state = pyro.sample("state_0", gaussian(problem.initial_mean, problem.initial_covariance))
    for t in range(problem.horizon):
        if prior is None:
            chosen = LebesgueMeasure(problem.num_actions, state.shape[:-1])
        else:
            G, g, U = prior
            chosen = gaussian((G[t] @ state[..., None])[..., 0] + g[t], U[t])
        action = pyro.sample(f"action_{t}", chosen)
        pyro.factor(f"optimality_{t}", problem.reward(t, state, action) / tau)
        mean = (F[t] @ torch.cat((state, action), -1)[..., None])[..., 0] + problem.d[t]
        state = pyro.sample(f"state_{t + 1}", gaussian(mean, problem.W[t]))
    if problem.has_final_reward:
        pyro.factor(f"optimality_{problem.horizon}", problem.final_reward(state) / tau)
