"""The deterministic guide: one action for every time and state.

Sources:
    [puterman1994] M. L. Puterman, Markov Decision Processes: Discrete Stochastic Dynamic Programming. Wiley, 1994.
        doi:10.1002/9780470316887
"""

from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from pgm_control.chance.optimism import Optimism
from pgm_control.errors import InvalidGuide
from pgm_control.problems.timed import at_time
from pgm_control.trajectories.blocks import Blocks, MarkovModel
from pgm_control.trajectories.steps import last_worth, prior_at, temperature_at, worth_at

from .markov import MarkovGuide, logits_of
from .support import feasible_prior


@final
class DeterministicGuide(MarkovGuide):
    r"""Choose one action for every time and state; keep the model's start distribution and dynamics.

    $$q = p(s_0) \prod_t [a_t = \mu_t(s_t)]\, p(k_t \mid s_t, a_t)$$

    The policy has no entropy, so the ELBO is the expected return with the log action prior as a price,
    $E[\sum_t r_t/\tau + \log \rho(a_t \mid s_t)]$: risk-neutral control. With a uniform prior over all actions it is
    the return of classical dynamic programming divided by τ, minus T log A. Hard value iteration finds the best
    policy.

    The guide has no parameters for a gradient: fit it with `method="exact"`, or with `method="natural_gradient"`, which
    with step size 1 is policy iteration, exact after T steps.

    Buffer: `actions` (T, S), $\mu_t(s)$.

    References:
        [puterman1994]
    """

    optimism = Optimism(dynamics=0.0, initial=0.0, survival=0.0)

    def __init__(self, model: MarkovModel) -> None:
        """Initialise at the action with the highest prior probability, the first of equals."""
        super().__init__(model)
        self._log_prior = feasible_prior(model, optimism=0.0).log_policy
        self.register_buffer("actions", self._log_prior.argmax(-1))

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the deterministic policy."""
        return self._blocks_of(self._actions())

    @torch.no_grad()
    def assign(self, blocks: Blocks) -> None:
        """Set the actions to the most probable possible ones, the first of equals; start and dynamics are ignored.

        Raises:
            InvalidGuide: if no possible action of some row has positive probability, or the blocks do not fit the
                model.
        """
        logits_of("log_policy", blocks.log_policy, torch.zeros_like(self._log_prior))  # refuses other shapes and sums
        allowed = torch.where(self._log_prior > -torch.inf, blocks.log_policy, -torch.inf)
        if (wrong := torch.isneginf(allowed).all(-1)).any():
            t, s = wrong.nonzero()[0].tolist()
            raise InvalidGuide(
                f"`blocks.log_policy` must allow an action that is possible, but at time {t} in state {s} only allows "
                "what the action prior or a reward of −inf forbids. Take the blocks of a guide, or of a posterior, "
                "that clamps the dynamics: infer(model, 0.0)."
            )
        self._actions().copy_(allowed.argmax(-1))

    @torch.no_grad()
    def optimum(self) -> Blocks:
        r"""The blocks with the largest objective that this guide can represent, by value iteration in reward units.

        $$V_t(s) = \max_a \Bigl[\tau \log \rho(a \mid s) + \sum_k p(k \mid s, a) (r + \gamma V_{t+1}(s'))\Bigr]$$
        """
        mdp, chosen = self.model.mdp, []
        v, after = last_worth(self.model), temperature_at(self.model, mdp.horizon)
        for t in reversed(range(mdp.horizon)):
            p, tau = at_time(mdp.probability, t, 3), temperature_at(self.model, t)
            price, gain = tau * prior_at(self.model, t).log(), mdp.discount * (v * (tau / after))[mdp.successor]
            mean = (p * torch.where(p > 0, worth_at(self.model, t) + gain, 0.0)).sum(-1)
            q, after = torch.where(self._log_prior[t] > -torch.inf, price + mean, -torch.inf), tau
            # where every action has value −inf, the prior decides
            best = torch.where(torch.isneginf(q).all(-1, keepdim=True), self._log_prior[t], q).argmax(-1)
            v = q.gather(-1, best[:, None])[:, 0]
            chosen.append(best)
        return self._blocks_of(torch.stack(chosen[::-1]))

    def _blocks_of(self, actions: Int[Tensor, "time state"]) -> Blocks:
        nowhere = torch.full_like(self._log_prior, -torch.inf)
        return self.model.blocks().replace(log_policy=nowhere.scatter(-1, actions[..., None], 0.0))

    def _actions(self) -> Tensor:
        return self.get_buffer("actions")
