"""The support of a guide: the outcomes and actions that must stay impossible."""

import torch

from pgm_control.chance.optimism import Optimism, OptimismLike
from pgm_control.inference.exact.infer import infer
from pgm_control.trajectories.betas import Betas
from pgm_control.trajectories.blocks import Blocks, MarkovModel
from pgm_control.trajectories.steps import forbids


def feasible_prior(model: MarkovModel, optimism: OptimismLike) -> Blocks:
    """The model's own factors, restricted to what a reward of −inf does not forbid.

    A guide that gives a forbidden outcome mass has an ELBO of −inf and no gradient. What is forbidden depends on β: a
    free guide (β > 0) removes the outcome itself; a clamped guide (β = 0) must avoid every action that may lead to it;
    so must a guide with an adversary (β < 0), whose outcomes stay possible. Only the support of the exact answer is
    used, not its probabilities.
    """
    prior, mdp = model.blocks(), model.mdp
    if not forbids(model):
        return prior
    exact, betas = infer(model, optimism).blocks(), Betas.of(mdp, Optimism.of(optimism), model.temperature)
    hostile = [torch.as_tensor(beta).to(prior.log_initial) < 0 for beta in betas.dynamics]
    opposed = torch.stack([each.expand(prior.log_policy.shape) for each in hostile]).any(0)[..., None]

    def keep(log_weight: torch.Tensor, log_exact: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(torch.where(log_exact > -torch.inf, log_weight, log_exact), -1)

    return Blocks(
        mdp,
        prior.log_initial if min(betas.initial) < 0 else keep(prior.log_initial, exact.log_initial),
        keep(prior.log_policy, exact.log_policy),
        keep(prior.log_dynamics, torch.where(opposed, prior.log_dynamics, exact.log_dynamics)),
    )
