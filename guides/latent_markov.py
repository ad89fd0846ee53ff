"""The abstract guide with a discrete latent variable at each step, and its Pyro program.

Sources:
    [agakov2004] F. V. Agakov and D. Barber, An auxiliary variational method. Neural Information Processing, Lecture
        Notes in Computer Science 3316, pages 561–566, 2004. doi:10.1007/978-3-540-30499-9_86
"""

import abc
from collections.abc import Mapping

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgm_control.errors import InvalidGuide
from pgm_control.inference.variational.auxiliary_elbo import best_reverse
from pgm_control.inference.variational.latent_blocks import LatentBlocks
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.programs.own_parameters import keeps_parameters
from pgm_control.trajectories.program import arrival_logits, survival_logits, with_end
from pgm_control.trajectories.remembered import prior_of

from .latent_process import LatentProcess
from .markov import TabularGuide


class LatentMarkovGuide(TabularGuide):
    r"""A distribution over trajectories and a latent variable z_t at each step, a Markov chain over pairs (s, z).

    $$q = q(s_0)\, q(z_0 \mid s_0) \prod_t \pi_t(a_t \mid s_t, z_t)\, q_t(k_t \mid s_t, a_t, z_t)\,
        q_t(z_{t+1} \mid s_{t+1}, z_t)$$

    The latent variables are the auxiliary sites `option_0`, `option_1`, … of its program; without them the actions
    depend on the whole past. Three numbers are known about such a guide, each at most the next:

    - the auxiliary bound, exact, by one sweep over (s, z): `auxiliary_elbo(model, guide)`, which `fit`
      maximises. Pyro's losses of `with_reverse(model, guide)` estimate it;
    - the marginal ELBO, of trajectories without z: `estimate(model, guide)`, with its standard error;
    - log p(O).

    The density without z, which `estimate`, `log_weights`, `iwae_bound` and `smc` use, is that of `process()`. The
    reverse model has no parameters: it is the best one that factorises along time, computed from the guide.

    To write a guide, inherit from this class, keep parameters as `torch.nn.Parameter`, call `super().__init__(model)`
    first, and return `LatentBlocks` from `latent_blocks()`. Read `OptionGuide` as an example.

    References:
        [agakov2004]
    """

    @abc.abstractmethod
    def latent_blocks(self) -> LatentBlocks:
        """The factors as normalised log-probabilities, computed from the current parameters, differentiable."""

    def process(self) -> LatentProcess:
        """The distribution over trajectories without z, by filtering: the memory is the belief about z_t."""
        return LatentProcess(self.latent_blocks())

    @keeps_parameters
    def forward(self) -> None:
        """Sample one trajectory and its latent variables, or one for each draw of a plate around it.

        Raises:
            InvalidGuide: if a site is enumerated in parallel.
        """
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            blocks = self.latent_blocks()
        mdp = self.model.mdp
        ends, successor = mdp.discount < 1, mdp.successor.long()
        first, policy, dynamics, after = blocks.log_first, blocks.log_policy, blocks.log_dynamics, blocks.log_next
        initial = with_end(blocks.log_initial) if ends else blocks.log_initial
        if ends:
            first = with_end(first[None], 1)[0]
            policy, dynamics, after = with_end(policy, 1), with_end(dynamics, 1), with_end(after, 1)
            successor = torch.cat((successor, torch.full_like(successor[:1], mdp.num_states)))
        survives, stops = survival_logits(prior_of(self.model))
        state = pyro.sample("state_0", dist.Categorical(logits=initial))
        option = _drawn("option_0", first[state], state, is_auxiliary=True)
        for t in range(mdp.horizon):
            action = _drawn(f"action_{t}", policy[t][state, option], state)
            outcome = _drawn(f"outcome_{t}", dynamics[t][state, option, action], state)
            arrived = successor[state, action, outcome]
            logits = arrival_logits(arrived, survives[t], stops[t])
            state = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=logits))
            if t + 1 < mdp.horizon:
                option = _drawn(f"option_{t + 1}", after[t][state, option], state, is_auxiliary=True)

    def reverse(self, values: Mapping[str, Tensor]) -> None:
        """Sample the latent variables given a trajectory, the last one first, as a Pyro program."""
        with pyro.settings.context(module_local_params=True):
            log_reverse = best_reverse(self)
        ended, none = self.model.mdp.num_states, log_reverse.shape[-1]
        if self.model.mdp.discount < 1:
            log_reverse = with_end(log_reverse, 1)
        later = torch.full_like(values["state_0"], none)
        for t in reversed(range(self.model.mdp.horizon)):
            state, action, outcome = (values[f"{kind}_{t}"] for kind in ("state", "action", "outcome"))
            later = torch.where(values[f"state_{t + 1}"] == ended, none, later)
            later = pyro.sample(f"option_{t}", dist.Categorical(logits=log_reverse[t][state, action, outcome, later]))


def _drawn(
    site: str, logits: Float[Tensor, "*batch value"], state: Int[Tensor, "*batch"], is_auxiliary: bool = False
) -> Int[Tensor, "*batch"]:
    """Sample a site."""
    drawn = pyro.sample(site, dist.Categorical(logits=logits), infer={"is_auxiliary": is_auxiliary})
    if drawn.shape != state.shape:
        raise InvalidGuide(
            f"`{site}` of a guide with latent variables cannot be enumerated in parallel, because the reverse model "
            "goes back in time. Fit it with AuxiliaryELBO, which is exact, or Trace_ELBO."
        )
    return drawn
