"""The mean-field guide: independent states and actions.

Sources:
    [wainwright2008] M. J. Wainwright and M. I. Jordan, Graphical models, exponential families, and variational
        inference. Foundations and Trends in Machine Learning 1(1–2):1–305, 2008. doi:10.1561/2200000001
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.chance.log_tables import tilted
from pgm_control.trajectories.blocks import Blocks, MarkovModel
from pgm_control.trajectories.steps import log_likelihood

from .markov import MarkovGuide
from .support import feasible_prior
from .view import SharedPolicy


@final
class MeanFieldGuide(MarkovGuide):
    r"""Model states and actions as independent, each with its own distribution at each time.

    $$q = q_0(s_0) \prod_t q_t(a_t)\, q_{t+1}(s_{t+1})\, q(k_t \mid s_t, a_t, s_{t+1}), \qquad
        q(k \mid s, a, s') \propto p(k \mid s, a) \exp(r/\tau)\, [s'(s,a,k) = s']$$

    The last factor distributes a transition optimally over the outcomes that cause it. Written as dynamics,

    $$q_t(k \mid s, a) \propto q_{t+1}(s'(s,a,k))\; q(k \mid s, a, s'(s,a,k))$$

    normalised over the states that can follow (s, a). If every state can follow every (s, a), this is exactly mean
    field. Otherwise $q_{t+1}$ is restricted to the states that can follow: without this mask, trajectories that are
    impossible in the model would have mass, and the ELBO would be −inf. A state that follows (s, a) with certainty in
    the model then does so in the guide, whatever $q_{t+1}$ is: in a deterministic world this guide is an open-loop
    plan.

    Parameters, in nats: `initial_logits` (S) and `state_logits` (T, S), of s_0 and of s_1 … s_T, relative to the
    visits of the prior; `policy_logits` (T, A), relative to the geometric mean of the action priors.

    References:
        [wainwright2008]
    """

    def __init__(self, model: MarkovModel) -> None:
        """Initialise at the action prior and the marginals of the states under it.

        Raises:
            InvalidProblem: if no action is possible in all states that may be visited at one time.
        """
        super().__init__(model)
        mdp, base = model.mdp, feasible_prior(model, optimism=1.0)
        steps, states = mdp.horizon, mdp.num_states
        self._base = base
        row = torch.arange(steps, device=mdp.probability.device)[:, None].expand(steps, states)
        self._shared = SharedPolicy(model, row, base)
        visits = base.replace(log_policy=self._policy()).marginals().state[1:].log()
        self._marginals = torch.where(visits > -torch.inf, visits, 0.0)
        shares = _shares(model)
        possible = (base.log_dynamics > -torch.inf) & (shares > -torch.inf)
        kept = torch.where(possible, shares, -torch.inf)
        # where every outcome is forbidden, the prior stays
        self._weights = torch.where(possible.any(-1, keepdim=True), kept, base.log_dynamics)
        self.initial_logits = torch.nn.Parameter(torch.zeros_like(base.log_initial))
        self.state_logits = torch.nn.Parameter(torch.zeros_like(self._marginals))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(self._shared.log_weight))

    def blocks(self) -> Blocks:
        """The product of marginals, written as a start distribution, a policy and dynamics."""
        mdp = self.model.mdp
        of_next = (self._marginals + self.state_logits).index_select(1, mdp.successor.flatten())
        return Blocks(
            mdp,
            tilted(self.initial_logits, self._base.log_initial),
            self._policy(self.policy_logits),
            tilted(of_next.view_as(self._weights), self._weights),
        )

    def _policy(self, logits: Tensor | None = None) -> Float[Tensor, "time state action"]:
        return self._shared.policy(torch.zeros_like(self._shared.log_weight) if logits is None else logits)


def _shares(model: MarkovModel) -> Float[Tensor, "*time state action outcome"]:
    r"""$\log q(k \mid s, a, s'(s,a,k))$, the share of each outcome among those that lead to the same state."""
    mdp = model.mdp
    weight = mdp.probability.log() + log_likelihood(model)
    together = mdp.successor[..., :, None] == mdp.successor[..., None, :]
    total = torch.where(together, weight[..., None, :], -torch.inf).logsumexp(-1)
    return torch.where(weight > -torch.inf, weight - torch.where(total > -torch.inf, total, 0.0), -torch.inf)
