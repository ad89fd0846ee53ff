"""The guides of an agent that does not see the state, but remembers what it saw last.

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
    r"""Choose the actions by the last w observations and the w − 1 actions between; leave all dice as they are.

    $$q = p(s_0)\, p(o_0 \mid s_0) \prod_t \pi_t(a_t \mid o_{t-w+1}, a_{t-w+1}, \dots, o_t)\,
        p(k_t \mid s_t, a_t)\, p(o_{t+1} \mid a_t, s_{t+1})$$

    It is `ViewGuide` on the problem with a memory: `guide.model` is that problem, `guide.remembered` says which of its
    states is which memory. To compare windows on one model, take `ViewGuide(model, remembered.view(w))`.

        guide = WindowGuide(PartiallyObservedModel(tiger(horizon=4), temperature=5.0), window=2)
        fit(guide.model, guide)

    A window of T is all of the past: then the best is `history_optimum`. Shorter ones do worse, and may have several
    optima, since what a memory means depends on what was done before.

    Parameters: `look.policy_logits` (T, M, A) for M memories, in nats relative to the action prior.

    References:
        [kaelbling1998]
    """

    def __init__(self, model: PartiallyObservedModel, window: int | None = 2) -> None:
        """Build the model, and start at the action prior.

        Args:
            model: the problem with its temperature and action prior. For a prior by memory take `ViewGuide` on a
                `TabularModel` with `remembered.action_prior(ρ)`.
            window: w, at least 1; None for all of the past.

        Raises:
            InvalidArgument: if `window` is none, or gives too many memories; if `model` is no `PartiallyObservedModel`.
            InvalidProblem: if a memory leaves no action that is possible in all of the states it may be met in.
        """
        remembered, tabular = with_memory(model, window)
        super().__init__(tabular)
        self.remembered = remembered
        self.look = ViewGuide(self.model, remembered.memory_of_state)

    def blocks(self) -> Blocks:
        """The model's start and dice, and the learned policy."""
        return self.look.blocks()


@final
class FreeWindowGuide(MarkovGuide):
    r"""Choose the actions by the last w observations, and throw all dice as well: the state, and what is seen of it.

    $$q = q(s_0, o_0) \prod_t \pi_t(a_t \mid o_{t-w+1}, a_{t-w+1}, \dots, o_t)\,
        q_t(k_t, o_{t+1} \mid s_t, o_{t-w+1}, \dots, o_t, a_t)$$

    An optimist that is honest about what it sees, but not about the world: it cannot act on the state, so it arranges
    that the state is what it acts on, and that it hears what it needs to. Its dice know the state and the memory. Its
    ELBO lies between those of `WindowGuide` and of the exact posterior, which sees the state too. It has several
    optima, and where a problem is symmetric its start is a saddle that a fit does not leave: move the parameters first.

    Parameters: `initial_logits` (S), `policy_logits` (T, M, A), `dynamics_logits` (T, S, A, K·O), in nats; S counts the
    pairs of state and memory.
    """

    def __init__(self, model: PartiallyObservedModel, window: int | None = 2) -> None:
        """Build the model, and start at its prior. Arguments and errors as in `WindowGuide`."""
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
        """The model's start and dice, each tilted by its logits, and the learned policy."""
        return Blocks(
            self.model.mdp,
            tilted(self.initial_logits, self._base.log_initial),
            self._shared.policy(self.policy_logits.flatten(0, 1)),
            tilted(self.dynamics_logits, self._base.log_dynamics),
        )
