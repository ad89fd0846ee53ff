"""What a guide must leave impossible."""

import torch

from pgm_control.chance.optimism import Optimism, OptimismLike
from pgm_control.inference.exact.infer import infer
from pgm_control.trajectories.betas import Betas
from pgm_control.trajectories.blocks import Blocks, MarkovModel


def feasible_prior(model: MarkovModel, optimism: OptimismLike) -> Blocks:
    """The model's own factors, with everything removed that a reward of −inf forbids.

    A guide that keeps a forbidden face possible has an ELBO of −inf and no gradient. Which faces are forbidden depends
    on who moves the dice: a free guide (optimism 1) only avoids the face; a clamped one (0) must avoid every action
    that may lead to it; so must one with an adversary (β < 0), whose dice stay possible. Only the support of the exact
    answer is read, not its probabilities.
    """
    prior, mdp = model.blocks(), model.mdp
    last = mdp.final_reward
    if not torch.isneginf(mdp.reward).any() and (last is None or not torch.isneginf(last).any()):
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
