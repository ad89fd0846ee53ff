"""The stationary guide."""

from typing import final

import torch

from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior
from .view import SharedPolicy


@final
class StationaryGuide(MarkovGuide):
    r"""Choose the actions by the state alone, at all times alike; leave the start and the dynamics as they are.

    $$q = p(s_0) \prod_t \pi(a_t \mid s_t)\, p(k_t \mid s_t, a_t)$$

    What most reinforcement learning fits. What it loses against `ClampedGuide` is the price of not knowing how much
    time is left.

    Parameters: `policy_logits` (S, A), in nats relative to the action prior.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Start at the action prior.

        Raises:
            InvalidProblem: if a state has no action that is possible whenever the state may be met.
        """
        super().__init__(model)
        steps, states = model.mdp.horizon, model.mdp.num_states
        row = torch.arange(states, device=model.mdp.probability.device).expand(steps, states)
        self._shared = SharedPolicy(model, row, feasible_prior(model, optimism=0.0))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._shared.log_weight))

    def blocks(self) -> Blocks:
        """The model's start and dynamics, and the learned policy at every time."""
        return self.model.blocks().replace(log_policy=self._shared.policy(self.policy_logits))
