"""The values that a demonstrator plans by: up to a horizon or for ever, soft or hard."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..inference.exact.soft_values import soft_values
from ..trajectories.blocks import MarkovModel
from .stationary_values import stationary_values


def planned_values(
    model: MarkovModel,
    optimism: Tensor | float,
    reward: Tensor,
    last: Tensor,
    temperature: Tensor | float,
    forever: bool,
    hard: bool = False,
) -> tuple[Float[Tensor, "*batch time state action"], Float[Tensor, "*batch time_and_last state"]]:
    """Q and V, at all times alike for one who plans for ever. Leading axes of the arguments are settings."""
    steps = model.mdp.horizon
    if forever:
        if bool((last != 0).any()) or last.requires_grad:
            raise InvalidArgument(
                "`reward` must not pay for the last state where the demonstrator plans for ever: there is none."
            )
        q, v = stationary_values(model, optimism, reward, temperature, hard)
        return torch.stack([q] * steps, -3), torch.stack([v] * (steps + 1), -2)
    if hard:
        return _hard_values(model, reward, last)
    found = soft_values(model, optimism, reward=reward, final_reward=last, temperature=temperature)
    return found.q, found.v


def _hard_values(model: MarkovModel, reward: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The best there are."""
    mdp, possible = model.mdp, model.action_prior > 0
    paid = (mdp.probability * torch.where(mdp.probability > 0, reward, 0.0)).sum(-1)
    qs, vs = [], [last.expand(*paid.shape[:-2], -1)]
    for _ in range(mdp.horizon):
        qs.append(paid + mdp.discount * (mdp.probability * vs[-1][..., mdp.successor]).sum(-1))
        vs.append(torch.where(possible, qs[-1], -torch.inf).amax(-1))
    return torch.stack(qs[::-1], -3), torch.stack(vs[::-1], -2)
