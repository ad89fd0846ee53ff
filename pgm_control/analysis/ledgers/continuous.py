"""The ledger of a linear-quadratic model in closed form."""

import math

import torch
from torch import Tensor

from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...inference.exact.infer import infer
from ...models.linear_quadratic import LinearQuadraticModel
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.gaussian.model import GaussianModel, one_problem
from ...trajectories.gaussian.objective import discounts, gaussian_terms, keeps_dynamics, keeps_start
from ...trajectories.gaussian.terms import gaussian_blocks, require_nats, trajectory_terms
from ..continuous.beliefs import believed_noise
from ..continuous.closed_form import continuous_objective, evidence_name
from .continuous_ledger import ContinuousLedger


def continuous_ledger(model: GaussianModel, guide: object, optimism: Optimism) -> ContinuousLedger:
    """The ledger of a guide with affine-Gaussian factors; see `ledger`.

    Raises:
        OptimismBreakdown: if the objective is unbounded at this optimism.
        InvalidArgument: at temperature 0; or if a negative β makes some entries +inf and others −inf.
    """
    require_nats(model)
    one_problem(model, "a ledger")
    blocks, best = gaussian_blocks(model, guide), infer(model, optimism)
    asked = optimism.at(model.temperature)
    initial, policy, dynamics = _entries(model, blocks, best, asked)
    total = initial + policy.sum() + dynamics.sum()
    if bool(total.isnan()):
        raise InvalidArgument(
            "`guide` must stay on the support of the optimum, in blocks with β > 0 or in those with β < 0, but leaves "
            "it in both: the gap is infinity minus infinity. Give the guide the optimum's blocks in one of them."
        )
    terms = trajectory_terms(model, blocks)
    return ContinuousLedger(
        problem=model.problem,
        optimism=asked,
        log_evidence=float(best.objective),
        elbo=continuous_objective(model, blocks, optimism) if bool(total < math.inf) else -math.inf,
        initial=float(initial),
        policy_by_step=policy,
        dynamics_by_step=dynamics,
        delusion_by_step=terms.imagined_reward - terms.true_reward,
        noises=believed_noise(model, blocks),
        posterior_noises=believed_noise(model, best.blocks()),
        evidence_name=evidence_name(model),
    )


def _entries(
    model: GaussianModel, blocks: GaussianBlocks, best: GaussianPosterior, optimism: Optimism
) -> tuple[Tensor, Tensor, Tensor]:
    """The KL of start, policy and dynamics from those of the optimum, at the price 1/β.

    They are the divergences of the guide from a model whose prior, dynamics and start are those of the optimum.
    """
    top = LinearQuadraticModel(model.problem, model.temperature).with_prior(best, dynamics=True, initial=True)
    found, weight = gaussian_terms(top, blocks), discounts(model.problem)[:-1]
    of_dynamics, of_start, _ = optimism.numbers("a linear-quadratic model")
    return (
        _charged(found.initial, of_start, keeps_start(model, blocks)),
        weight * found.policy,
        weight * _charged(found.dynamics, of_dynamics, keeps_dynamics(model, blocks)),
    )


def _charged(kl: Tensor, beta: float, is_models: bool) -> Tensor:
    """KL over β; at β = 0 it is 0 for the block of the model and infinite for another."""
    if beta != 0:
        return kl / beta
    return torch.zeros_like(kl) if is_models else torch.full_like(kl, math.inf)
