"""The guide with a continuous latent variable, drawn once per trajectory, on which the policy depends.

Sources:
    [agakov2004] F. V. Agakov and D. Barber, An auxiliary variational method. Neural Information Processing, Lecture
        Notes in Computer Science 3316, pages 561–566, 2004. doi:10.1007/978-3-540-30499-9_86
    [ranganath2016] R. Ranganath, D. Tran and D. M. Blei, Hierarchical variational models. International Conference on
        Machine Learning, pages 324–333, 2016. arXiv:1511.02386
"""

from collections.abc import Mapping
from typing import final

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.programs.own_parameters import keeps_parameters
from pgm_control.runtime.arguments import finite, whole
from pgm_control.runtime.randomness import generator_of
from pgm_control.trajectories.blocks import MarkovModel
from pgm_control.trajectories.program import arrival_logits, survival_logits, with_end
from pgm_control.trajectories.remembered import prior_of

from .markov import TabularGuide
from .support import feasible_prior


@final
class LatentPolicyGuide(TabularGuide):
    r"""Learn a policy that depends on a Gaussian variable drawn at the start; keep the model's start and dynamics.

    $$q = N(z; 0, 1)\, p(s_0) \prod_t \pi_t(a_t \mid s_t, z)\, p(k_t \mid s_t, a_t), \qquad
        \pi_t(a \mid s, z) \propto \rho_t(a \mid s)\, \exp(b_{sa} + w_{sa} \cdot z)$$

    It is a continuous mixture of stationary policies: z is a style that lasts for the whole trajectory, and makes the
    actions of different times depend on each other. z is the auxiliary site `latent` of the program. The reverse model
    is a Gaussian, whose mean and log standard deviation are affine in how often each action was taken in each state,
    which is all that a trajectory says about z where the action prior does not depend on time [ranganath2016]:

    $$r(z \mid \tau) = N\bigl(z;\, m_0 + M n/T,\, \exp(l_0 + L n/T)\bigr), \qquad n_{sa} = \#\{t: s_t = s, a_t = a\}$$

    `fit` maximises the auxiliary bound $E_q[\log \tilde p + \log r - \log q]$ by sampling [agakov2004].

    Parameters: `policy_logits` b (S, A) and `latent_weights` w (S, A, D), in nats; `reverse_mean` (M, m_0) and
    `reverse_log_scale` (L, l_0), (SA + 1, D). The weights start at random, since 0 is a saddle point.

        guide = fit(model, LatentPolicyGuide(model, seed=0), TraceGraph_ELBO(), num_steps=500).guide
        estimate_elbo(model, guide)  # the auxiliary bound

    References:
        [agakov2004], [ranganath2016]
    """

    def __init__(
        self, model: MarkovModel, latent_dim: int = 1, spread: float = 0.5, seed: int | torch.Generator | None = None
    ) -> None:
        """Initialise near the action prior, with a reverse model that is the distribution of z.

        Args:
            model: the model.
            latent_dim: the dimension of z, D, at least 1.
            spread: the standard deviation of the initial weights, in nats.
            seed: of these: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        super().__init__(model)
        like, size = model.mdp.initial, whole("latent_dim", latent_dim)
        pairs = model.mdp.num_states, model.mdp.num_actions
        noise = torch.randn(
            *pairs, size, generator=generator_of(seed, like.device), dtype=like.dtype, device=like.device
        )
        self._base = feasible_prior(model, optimism=0.0)
        self.policy_logits = torch.nn.Parameter(like.new_zeros(pairs))
        self.latent_weights = torch.nn.Parameter(finite("spread", spread) * noise)
        self.reverse_mean = torch.nn.Parameter(like.new_zeros(pairs[0] * pairs[1] + 1, size))
        self.reverse_log_scale = torch.nn.Parameter(like.new_zeros(pairs[0] * pairs[1] + 1, size))

    def log_policy(
        self, t: int, state: Int[Tensor, "*batch"], latent: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch action"]:
        """The log-probabilities of the actions given the state and z, in nats."""
        logits = self.policy_logits[state] + _dot(self.latent_weights[state], latent)
        return torch.log_softmax(self._base.log_policy[t, state] + logits, -1)

    @keeps_parameters
    def forward(self) -> None:
        """Sample z and one trajectory, or one for each draw of a plate around it."""
        announce_parameters(self)
        mdp, prior = self.model.mdp, prior_of(self.model)
        ends, successor = mdp.discount < 1, mdp.successor.long()
        policy, dynamics, initial = self._base.log_policy, prior.log_dynamics, prior.log_initial
        with pyro.settings.context(module_local_params=True):
            bias, weights = self.policy_logits, self.latent_weights
        zeros = weights.new_zeros(weights.shape[-1])
        if ends:
            policy, dynamics, initial = with_end(policy, 1), with_end(dynamics, 1), with_end(initial)
            successor = torch.cat((successor, torch.full_like(successor[:1], mdp.num_states)))
            bias, weights = (torch.cat((each, torch.zeros_like(each[:1]))) for each in (bias, weights))
        survives, stops = survival_logits(prior)
        latent = pyro.sample("latent", dist.Normal(zeros, 1.0).to_event(1), infer={"is_auxiliary": True})
        state = pyro.sample("state_0", dist.Categorical(logits=initial))
        for t in range(mdp.horizon):
            logits = policy[t][state] + bias[state] + _dot(weights[state], latent)
            action = pyro.sample(f"action_{t}", dist.Categorical(logits=logits))
            outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=dynamics[t][state, action]))
            arrival = arrival_logits(successor[state, action, outcome], survives[t], stops[t])
            state = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=arrival))

    def reverse(self, values: Mapping[str, Tensor]) -> None:
        """Sample z given a trajectory, as a Pyro program."""
        with pyro.settings.context(module_local_params=True):
            share = self._shares(values)
            mean, log_scale = share @ self.reverse_mean, share @ self.reverse_log_scale
        pyro.sample("latent", dist.Normal(mean, log_scale.exp()).to_event(1))

    def _shares(self, values: Mapping[str, Tensor]) -> Float[Tensor, "*batch pair_and_one"]:
        """The share of the steps in which each action was taken in each state, and 1."""
        steps, (states, actions) = self.model.mdp.horizon, self.policy_logits.shape
        pairs = torch.arange(states * actions, device=self.policy_logits.device)
        found = self.policy_logits.new_zeros(states * actions)
        for t in range(steps):
            state, action = values[f"state_{t}"], values[f"action_{t}"]
            taken = torch.where(state < states, state * actions + action, -1)
            found = found + (pairs == taken[..., None]).to(found)
        return torch.cat((found / steps, torch.ones_like(found[..., :1])), -1)


def _dot(weights: Float[Tensor, "*batch action dim"], latent: Float[Tensor, "*batch dim"]) -> Tensor:
    """The product w · z for each action."""
    return (weights @ latent[..., None])[..., 0]
