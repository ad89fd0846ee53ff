"""The free guide: learned start distribution, policy and dynamics."""

from typing import final

import torch

from pgm_control.chance.log_tables import tilted
from pgm_control.chance.optimism import Optimism
from pgm_control.inference.exact.infer import infer
from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide, logits_of
from .support import feasible_prior


@final
class FreeGuide(MarkovGuide):
    r"""Learn the start distribution, the policy and the dynamics.

    $$q = q(s_0) \prod_t \pi_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$$

    Every factor is a table of logits relative to the model's own factor, and is initialised there. The best ELBO is
    log p(O), at the exact posterior, which believes that it controls the random events. With a discount, survival
    stays clamped, and the best ELBO is `infer(model, 1.0).objective`.

    Parameters: `initial_logits` (S), `policy_logits` (T, S, A), `dynamics_logits` (T, S, A, K), in nats.
    """

    optimism = Optimism(dynamics=1.0, initial=1.0, survival=0.0)

    def __init__(self, model: MarkovModel) -> None:
        """Initialise at the prior of the model."""
        super().__init__(model)
        self._base = feasible_prior(model, optimism=1.0)
        self.initial_logits = torch.nn.Parameter(torch.zeros_like(self._base.log_initial))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._base.log_policy).contiguous())
        self.dynamics_logits = torch.nn.Parameter(torch.zeros_like(self._base.log_dynamics).contiguous())

    def blocks(self) -> Blocks:
        """The model's factors, each tilted by its logits."""
        return Blocks(
            self.model.mdp,
            tilted(self.initial_logits, self._base.log_initial),
            tilted(self.policy_logits, self._base.log_policy),
            tilted(self.dynamics_logits, self._base.log_dynamics),
        )

    @torch.no_grad()
    def assign(self, blocks: Blocks) -> None:
        """Set start, policy and dynamics to those of these blocks.

        Raises:
            InvalidGuide: if one of them allows what the model or a reward of −inf forbids, or does not fit the model.
        """
        base = self._base
        initial = logits_of("log_initial", blocks.log_initial, base.log_initial)
        policy = logits_of("log_policy", blocks.log_policy, base.log_policy)
        dynamics = logits_of("log_dynamics", blocks.log_dynamics, base.log_dynamics)
        self.initial_logits.copy_(initial)
        self.policy_logits.copy_(policy)
        self.dynamics_logits.copy_(dynamics)

    def optimum(self) -> Blocks:
        """The blocks with the largest objective among those that this guide can represent."""
        return infer(self.model, self.optimism).blocks()
