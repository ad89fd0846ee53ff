"""The low-rank guide: dynamics perturbed by a few factors shared across time."""

import math
from typing import final

import torch

from pgm_control.chance.log_tables import tilted
from pgm_control.chance.optimism import Optimism
from pgm_control.runtime.arguments import whole
from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior


@final
class LowRankGuide(MarkovGuide):
    r"""Learn the start distribution, the policy, and a low-rank perturbation of the dynamics shared across time steps.

    $$q_t(k \mid s, a) \propto p(k \mid s, a) \exp\Bigl(\sum_{i=1}^{R} u_i(t)\, w_i(s, a, k)\Bigr)$$

    The residual, log q/p, is a table of T × SAK numbers of rank R. Rank 0 gives clamped dynamics with a free start;
    rank min(T, SAK) can represent any dynamics, as `FreeGuide`. Ranks between show how much of the posterior's optimism
    is a bias that is constant in time, and how much changes with the remaining time.

    Parameters, in nats: `initial_logits` (S), `policy_logits` (T, S, A), relative to the model's own; `time_factors`
    (T, R), without unit; `dynamics_factors` (R, S, A, K).
    """

    def __init__(self, model: MarkovModel, rank: int = 1) -> None:
        """Initialise at the prior of the model: the w are zero, the u are cosines of rising, distinct frequencies.

        Args:
            model: the model.
            rank: R, at least 0. A rank above T adds nothing, and T is used instead.

        Raises:
            InvalidArgument: if `rank` is not a whole number, 0 or more.
        """
        super().__init__(model)
        rank = whole("rank", rank, 0, remedy="0 clamps the dynamics.")
        steps = model.mdp.horizon
        self.rank = min(rank, steps)
        # With rank 0 only the choice of action can avoid a forbidden outcome.
        self._base = base = feasible_prior(model, Optimism(dynamics=float(self.rank > 0), initial=1.0))
        self.initial_logits = torch.nn.Parameter(torch.zeros_like(base.log_initial))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(base.log_policy).contiguous())
        self.time_factors = self.dynamics_factors = None
        if self.rank:
            time, frequency = (torch.arange(n).to(base.log_initial) for n in (steps, self.rank))
            self.time_factors = torch.nn.Parameter(torch.cos(math.pi / steps * (time[:, None] + 0.5) * frequency))
            self.dynamics_factors = torch.nn.Parameter(
                base.log_initial.new_zeros(self.rank, *base.log_dynamics.shape[1:])
            )

    def blocks(self) -> Blocks:
        """The model's start distribution and policy, each tilted by its logits, and the perturbed dynamics."""
        base, dynamics = self._base, self._base.log_dynamics
        if self.time_factors is not None and self.dynamics_factors is not None:
            dynamics = tilted(torch.tensordot(self.time_factors, self.dynamics_factors, 1), dynamics)
        start, policy = tilted(self.initial_logits, base.log_initial), tilted(self.policy_logits, base.log_policy)
        return Blocks(base.mdp, start, policy, dynamics)
