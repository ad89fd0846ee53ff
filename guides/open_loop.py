"""The open-loop guide: actions that do not depend on the state."""

from typing import final

import torch

from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior
from .view import SharedPolicy


@final
class OpenLoopGuide(MarkovGuide):
    r"""Learn a policy that depends on the time only; keep the model's start distribution and dynamics.

    $$q = p(s_0) \prod_t \pi_t(a_t)\, p(k_t \mid s_t, a_t)$$

    This is an open-loop plan, and it is random only as far as that increases the ELBO. The ELBO of `ClampedGuide` minus
    its own is the value of observing the state.

    Parameters: `policy_logits` (T, A), in nats relative to the geometric mean of the action priors of the states.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Initialise at the geometric mean of the action priors of the states.

        Raises:
            InvalidProblem: if no action is possible in all states that may be visited at one time.
        """
        super().__init__(model)
        steps, states = model.mdp.horizon, model.mdp.num_states
        row = torch.arange(steps, device=model.mdp.probability.device)[:, None].expand(steps, states)
        self._shared = SharedPolicy(model, row, feasible_prior(model, optimism=0.0))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._shared.log_weight))

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the plan."""
        return self.model.blocks().replace(log_policy=self._shared.policy(self.policy_logits))
