"""The action prior, the start and the dynamics of a linear-quadratic model as affine-Gaussian blocks."""

import torch

from .blocks import GaussianBlocks
from .model import GaussianModel, one_problem, timed_prior


def prior_blocks(model: GaussianModel) -> GaussianBlocks:
    """The blocks of the model without its rewards; the policy has unit covariance if the prior is Lebesgue measure.

    Raises:
        InvalidProblem: for a batch of problems.
    """
    problem = one_problem(model, "a guide")
    n, m, steps = problem.num_states, problem.num_actions, problem.horizon
    prior, zeros = timed_prior(model), problem.initial_mean.new_zeros
    if prior is None:
        prior = zeros(steps, m, n), zeros(steps, m), torch.eye(m, dtype=torch.float64).expand(steps, m, m)
    G, g, U = prior
    return GaussianBlocks(
        problem.initial_mean, problem.initial_covariance, -G, -g, U, problem.F, problem.d, problem.W
    ).detach()
