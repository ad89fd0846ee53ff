"""The stationary guide: the same policy at all times."""

from typing import final

import torch

from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior
from .view import SharedPolicy


@final
class StationaryGuide(MarkovGuide):
    r"""Learn a policy that depends on the state only; keep the model's start distribution and dynamics.

    $$q = p(s_0) \prod_t \pi(a_t \mid s_t)\, p(k_t \mid s_t, a_t)$$

    Most reinforcement learning fits this family. The ELBO of `ClampedGuide` minus its own is the cost of not knowing
    the remaining time. Without a horizon the ELBO of the same family is `stationary_elbo`, and per step `elbo_rate`.

    Parameters: `policy_logits` (S, A), in nats relative to the action prior.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Initialise at the action prior.

        Raises:
            InvalidProblem: if a state has no action that is possible at every time at which the state may be visited.
        """
        super().__init__(model)
        steps, states = model.mdp.horizon, model.mdp.num_states
        row = torch.arange(states, device=model.mdp.probability.device).expand(steps, states)
        self._shared = SharedPolicy(model, row, feasible_prior(model, optimism=0.0))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._shared.log_weight))

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the learned policy at every time."""
        return self.model.blocks().replace(log_policy=self._shared.policy(self.policy_logits))
