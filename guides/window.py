"""Guides for an agent that does not observe the state but remembers its last observations.

Sources:
    [kaelbling1998] L. P. Kaelbling, M. L. Littman and A. R. Cassandra, Planning and acting in partially observable
        stochastic domains. Artificial Intelligence 101(1–2):99–134, 1998. doi:10.1016/S0004-3702(98)00023-X
"""

from typing import final

import torch

from pgm_control.chance.log_tables import tilted
from pgm_control.models.partially_observed import PartiallyObservedModel, with_memory
from pgm_control.trajectories.blocks import Blocks

from .markov import MarkovGuide
from .support import feasible_prior
from .view import SharedPolicy, ViewGuide


@final
class WindowGuide(MarkovGuide):
    r"""Learn a policy of the last w observations and the w − 1 actions between; keep the model's dynamics.

    $$q = p(s_0)\, p(o_0 \mid s_0) \prod_t \pi_t(a_t \mid o_{t-w+1}, a_{t-w+1}, \dots, o_t)\,
        p(k_t \mid s_t, a_t)\, p(o_{t+1} \mid a_t, s_{t+1})$$

    It is `ViewGuide` on the problem with a memory: `guide.model` is the model of that problem, and `guide.remembered`
    maps its states to memories. To compare windows on one model, use `ViewGuide(model, remembered.view(w))`.

        guide = WindowGuide(PartiallyObservedModel(tiger(horizon=4), temperature=5.0), window=2)
        fit(guide.model, guide)

    A window of T is the whole history: the optimum is then `history_optimum`. Shorter windows do no better, and may
    have several local optima, because what a memory implies about the state depends on the earlier actions.

    Parameters: `look.policy_logits` (T, M, A) for M memories, in nats relative to the action prior.

    References:
        [kaelbling1998]
    """

    def __init__(self, model: PartiallyObservedModel, window: int | None = 2) -> None:
        """Build the model, and initialise at the action prior.

        Args:
            model: the problem with its temperature and action prior. For a prior that depends on the memory, use
                `ViewGuide` on a `TabularModel` with `remembered.action_prior(ρ)`.
            window: w, at least 1; None for the whole history.

        Raises:
            InvalidArgument: if `window` is not a valid window or gives too many memories; if `model` is not a
                `PartiallyObservedModel`.
            InvalidProblem: if a memory has no action that is possible in all of its states.
        """
        remembered, tabular = with_memory(model, window)
        super().__init__(tabular)
        self.remembered = remembered
        self.look = ViewGuide(self.model, remembered.memory_of_state)

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the learned policy."""
        return self.look.blocks()


@final
class FreeWindowGuide(MarkovGuide):
    r"""Learn a policy of the last w observations, and the dynamics of both the state and the observations.

    $$q = q(s_0, o_0) \prod_t \pi_t(a_t \mid o_{t-w+1}, a_{t-w+1}, \dots, o_t)\,
        q_t(k_t, o_{t+1} \mid s_t, o_{t-w+1}, \dots, o_t, a_t)$$

    Its policy cannot depend on the state. Its dynamics depend on the state and the memory, so it imagines that the
    state and the observations suit its actions. Its ELBO lies between those of `WindowGuide` and of the exact
    posterior, whose policy observes the state. It has several local optima. In a symmetric problem it starts at a
    saddle point that a fit does not leave: perturb the parameters first.

    Parameters: `initial_logits` (S), `policy_logits` (T, M, A), `dynamics_logits` (T, S, A, K·O), in nats; S counts the
    pairs of state and memory.
    """

    def __init__(self, model: PartiallyObservedModel, window: int | None = 2) -> None:
        """Build the model, and initialise at its prior. Arguments and errors are those of `WindowGuide`."""
        remembered, tabular = with_memory(model, window)
        super().__init__(tabular)
        self.remembered = remembered
        self._base = feasible_prior(self.model, optimism=1.0)
        steps, where = self.model.mdp.horizon, remembered.memory_of_state
        row = where + remembered.num_memories * torch.arange(steps, device=where.device)[:, None]
        self._shared = SharedPolicy(self.model, row, self._base)
        self.initial_logits = torch.nn.Parameter(torch.zeros_like(self._base.log_initial))
        shape = steps, remembered.num_memories, self.model.mdp.num_actions
        self.policy_logits = torch.nn.Parameter(self._shared.log_weight.new_zeros(shape))
        self.dynamics_logits = torch.nn.Parameter(torch.zeros_like(self._base.log_dynamics).contiguous())

    def blocks(self) -> Blocks:
        """The learned policy, and the model's start distribution and dynamics, reweighted by exp(logits)."""
        return Blocks(
            self.model.mdp,
            tilted(self.initial_logits, self._base.log_initial),
            self._shared.policy(self.policy_logits.flatten(0, 1)),
            tilted(self.dynamics_logits, self._base.log_dynamics),
        )
