"""The clamped guide."""

from typing import final

import torch

from pgm_control._blocks import Blocks, MarkovModel

from .markov import MarkovGuide, tilted
from .support import feasible_prior


@final
class ClampedGuide(MarkovGuide):
    r"""Choose the actions; leave the start and the dynamics as they are.

    $$q = p(s_0) \prod_t \pi_t(a_t \mid s_t)\, p(k_t \mid s_t, a_t)$$

    The dynamics are named and equal to the model's, so they cancel in the ELBO, which becomes the max-ent objective
    $E[\sum_t r_t/\tau - \log \pi_t/\rho]$. Leaving the dynamics out of the guide would not clamp them: a spurious
    entropy of the dynamics would enter. Its best ELBO is `infer(model, 0.0).objective`.

    Parameters: `policy_logits` (T, S, A), in nats relative to the action prior.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Start at the action prior."""
        super().__init__(model)
        self._log_prior = feasible_prior(model, optimism=0.0).log_policy
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._log_prior).contiguous())

    def blocks(self) -> Blocks:
        """The model's start and dynamics, and the learned policy."""
        prior = self.model.blocks()
        return Blocks(prior.log_initial, tilted(self.policy_logits, self._log_prior), prior.log_dynamics)
