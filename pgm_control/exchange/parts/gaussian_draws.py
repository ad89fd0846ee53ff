"""Draws from guides of linear-quadratic models, with their log-weights, for ArviZ."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...runtime.randomness import generator_of
from ...trajectories.gaussian.blocks import ContinuousTrajectories, GaussianBlocks
from ...trajectories.gaussian.distributions import gaussian
from ...trajectories.gaussian.model import GaussianModel, one_problem, timed_prior
from ...trajectories.gaussian.objective import discounts, has_density, true_blocks
from ...trajectories.gaussian.terms import gaussian_blocks


@torch.no_grad()
def continuous_groups(
    model: GaussianModel, guide: object, shape: tuple[int, int], seed: int | torch.Generator | None
) -> dict[str, dict[str, Any]]:
    """The groups `posterior`, `sample_stats` and `prior` of independent draws, in chains and draws.

    There are no weights at temperature 0 or with a discount, and no prior where that of the actions is improper.

    Raises:
        InvalidGuide: if the guide has no affine-Gaussian factors.
    """
    one_problem(model, "draws")
    blocks, generator, count = gaussian_blocks(model, guide), generator_of(seed), shape[0] * shape[1]
    drawn = blocks.sample(count, generator)
    groups = {"posterior": _variables(model, drawn, shape)}
    prior = timed_prior(model)
    if model.temperature > 0 and model.problem.discount == 1 and has_density(blocks):
        target = _log_prior(model, drawn, prior) + _rewards(model, drawn) / model.temperature
        weight = target - _log_density(blocks, drawn)
        groups["sample_stats"] = {"log_weight": weight.reshape(shape).numpy(), "lp": target.reshape(shape).numpy()}
    if prior is not None:
        G, g, U = prior
        own = true_blocks(model, blocks).replace(gain=-G, offset=-g, policy_covariance=U)
        groups["prior"] = _variables(model, own.sample(count, generator), shape)
    return groups


def _variables(model: GaussianModel, drawn: ContinuousTrajectories, shape: tuple[int, int]) -> dict[str, Any]:
    states, actions = (each.reshape(*shape, *each.shape[1:]).numpy() for each in drawn)
    return {"state": states, "action": actions, "total_reward": _rewards(model, drawn).reshape(shape).numpy()}


def _rewards(model: GaussianModel, drawn: ContinuousTrajectories) -> Float[Tensor, " draw"]:
    """The return of each draw, with the discount."""
    problem, weight = model.problem, discounts(model.problem)
    total = weight[-1] * problem.final_reward(drawn.states[:, -1])
    for t in range(problem.horizon):
        total = total + weight[t] * problem.reward(t, drawn.states[:, t], drawn.actions[:, t])
    return total


def _log_density(blocks: GaussianBlocks, drawn: ContinuousTrajectories) -> Float[Tensor, " draw"]:
    """log q of each draw."""
    total = _log_world(blocks, drawn)
    for t in range(blocks.horizon):
        mean = -drawn.states[:, t] @ blocks.gain[t].mT - blocks.offset[t]
        total = total + gaussian(mean, blocks.policy_covariance[t]).log_prob(drawn.actions[:, t])
    return total


def _log_prior(model: GaussianModel, drawn: ContinuousTrajectories, prior: Any) -> Float[Tensor, " draw"]:
    """log p of each draw without the factors of optimality; Lebesgue measure has the density 1."""
    problem = model.problem
    total = _log_density_of_start(problem.initial_mean, problem.initial_covariance, drawn)
    for t in range(problem.horizon):
        total = total + _log_step(problem.F[t], problem.d[t], problem.W[t], drawn, t)
        if prior is not None:
            G, g, U = prior
            mean = drawn.states[:, t] @ G[t].mT + g[t]
            total = total + gaussian(mean, U[t]).log_prob(drawn.actions[:, t])
    return total


def _log_world(blocks: GaussianBlocks, drawn: ContinuousTrajectories) -> Float[Tensor, " draw"]:
    total = _log_density_of_start(blocks.initial_mean, blocks.initial_covariance, drawn)
    for t in range(blocks.horizon):
        total = total + _log_step(blocks.transition[t], blocks.drift[t], blocks.noise[t], drawn, t)
    return total


def _log_density_of_start(mean: Tensor, covariance: Tensor, drawn: ContinuousTrajectories) -> Tensor:
    return gaussian(mean.expand(len(drawn.states), -1), covariance).log_prob(drawn.states[:, 0])


def _log_step(F: Tensor, d: Tensor, W: Tensor, drawn: ContinuousTrajectories, t: int) -> Tensor:
    z = torch.cat((drawn.states[:, t], drawn.actions[:, t]), -1)
    return gaussian(z @ F.mT + d, W).log_prob(drawn.states[:, t + 1])
