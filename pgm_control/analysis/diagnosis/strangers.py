"""The states that a guide hardly believes in, and to which the true world leads its policy."""

from typing import NamedTuple

import torch

from ...text.wording import state_phrase
from ...trajectories.blocks import Blocks, MarkovModel
from ...trajectories.remembered import prior_of

_HARDLY = 0.01  # visits that the guide believes in, as a share of those in the true world


class Strangers(NamedTuple):
    """States where the policy of a guide is untrained, because the guide expects to be there much less than it is.

    Attributes:
        share: of all steps in the true world, those in such states.
        visits: expected number of such steps, by the name of the state, the most first.
    """

    share: float
    visits: dict[str, float]


@torch.no_grad()
def strangers(model: MarkovModel, blocks: Blocks) -> Strangers:
    """Compare where the guide expects to be with where its policy leads in the true world, at each step."""
    believed = blocks.marginals().state[:-1]
    true = prior_of(model).replace(log_policy=blocks.log_policy).marginals().state[:-1]
    missed = torch.where(believed < _HARDLY * true, true, 0.0)
    by_state = missed.sum(0)
    order = by_state.argsort(descending=True).tolist()
    visits = {state_phrase(model.mdp, s): float(by_state[s]) for s in order if by_state[s] > 0}
    return Strangers(float(missed.sum() / true.sum()), visits)
