"""The open-loop guide."""

from typing import final

import torch

from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior
from .view import SharedPolicy


@final
class OpenLoopGuide(MarkovGuide):
    r"""Choose the actions without looking; leave the start and the dynamics as they are.

    $$q = p(s_0) \prod_t \pi_t(a_t)\, p(k_t \mid s_t, a_t)$$

    A plan, made beforehand, and random only as far as that pays. What it loses against `ClampedGuide` is the value of
    looking.

    Parameters: `policy_logits` (T, A), in nats relative to the geometric mean of the action priors of the states.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Start at the action prior, or the geometric mean of those of the states.

        Raises:
            InvalidProblem: if no action is possible in all states that may be met at one time.
        """
        super().__init__(model)
        steps, states = model.mdp.horizon, model.mdp.num_states
        row = torch.arange(steps, device=model.mdp.probability.device)[:, None].expand(steps, states)
        self._shared = SharedPolicy(model, row, feasible_prior(model, optimism=0.0))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._shared.log_weight))

    def blocks(self) -> Blocks:
        """The model's start and dynamics, and the plan."""
        return self.model.blocks().replace(log_policy=self._shared.policy(self.policy_logits))
