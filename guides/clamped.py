"""The clamped guide: a learned policy with the model's start distribution and dynamics."""

from typing import final

import torch

from pgm_control.chance.log_tables import tilted
from pgm_control.chance.optimism import Optimism
from pgm_control.inference.exact.infer import infer
from pgm_control.trajectories.blocks import Blocks, MarkovModel
from pgm_control.trajectories.remembered import prior_of

from .markov import MarkovGuide, logits_of
from .support import feasible_prior


@final
class ClampedGuide(MarkovGuide):
    r"""Learn the policy; keep the model's start distribution and dynamics.

    $$q = p(s_0) \prod_t \pi_t(a_t \mid s_t)\, p(k_t \mid s_t, a_t)$$

    The guide samples the dynamics, and they equal the model's, so they cancel in the ELBO, which is the max-ent
    objective $E[\sum_t r_t/\tau - \log \pi_t/\rho]$. Leaving the dynamics out of the guide would not clamp them: a
    spurious entropy of the dynamics would enter the ELBO. The best ELBO of this guide is `infer(model, 0.0).objective`.

    Parameters: `policy_logits` (T, S, A), in nats relative to the action prior.
    """

    optimism = Optimism(dynamics=0.0, initial=0.0, survival=0.0)

    def __init__(self, model: MarkovModel) -> None:
        """Initialise at the action prior."""
        super().__init__(model)
        self._log_prior = feasible_prior(model, optimism=0.0).log_policy
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._log_prior).contiguous())

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the learned policy."""
        return prior_of(self.model).replace(log_policy=tilted(self.policy_logits, self._log_prior))

    @torch.no_grad()
    def assign(self, blocks: Blocks) -> None:
        """Set the policy to that of these blocks; their start and dynamics are ignored.

        Raises:
            InvalidGuide: if the policy allows an action that may lead to a forbidden outcome, or does not fit the
                model.
        """
        self.policy_logits.copy_(logits_of("log_policy", blocks.log_policy, self._log_prior))

    def optimum(self) -> Blocks:
        """The blocks with the largest objective among those that this guide can represent."""
        return infer(self.model, self.optimism).blocks()
