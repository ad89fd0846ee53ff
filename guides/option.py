"""Guides with options: a policy for each option, which is followed until it terminates.

Sources:
    [sutton1999] R. S. Sutton, D. Precup and S. Singh, Between MDPs and semi-MDPs: a framework for temporal abstraction
        in reinforcement learning. Artificial Intelligence 112(1–2):181–211, 1999. doi:10.1016/S0004-3702(99)00052-1
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.chance.log_tables import tilted
from pgm_control.inference.variational.latent_blocks import LatentBlocks
from pgm_control.runtime.arguments import finite, whole
from pgm_control.runtime.randomness import generator_of
from pgm_control.trajectories.blocks import MarkovModel
from pgm_control.trajectories.remembered import prior_of

from .latent_markov import LatentMarkovGuide
from .support import feasible_prior


@final
class OptionGuide(LatentMarkovGuide):
    r"""Learn options: policies that each last until they terminate; keep the model's start distribution and dynamics.

    $$q = p(s_0)\, \mu(z_0 \mid s_0) \prod_t \pi(a_t \mid s_t, z_t)\, p(k_t \mid s_t, a_t)\,
        q(z_{t+1} \mid s_{t+1}, z_t)$$

    $$q(z' \mid s', z) = (1 - \beta(s', z))\, [z' = z] + \beta(s', z)\, \mu(z' \mid s')$$

    The policies π, the terminations β and the choice of the next option μ do not depend on time [sutton1999]. An option
    is an auxiliary variable: the model has none, and the actions without it depend on the past. With one option it is
    the family of `StationaryGuide`. More options help where the best action depends on more than the state, such as on
    what remains to be done: the option remembers it. Its optima are at most that of `ClampedGuide`, whose policy
    knows the time.

    The policy of each option is the action prior tilted by logits, where the prior and what a reward of −inf forbids
    may depend on time. The bound is not concave: fit from several seeds.

    Parameters: `policy_logits` (S, Z, A), in nats relative to the action prior, normal at random, since equal options
    would stay equal; `option_logits` (S, Z) of μ and `termination_logits` (S, Z) of β, zero.

        guide = fit(model, OptionGuide(model, num_options=2, seed=0)).guide
        guide.termination  # β(s, z)
        estimate(model, guide).elbo

    References:
        [sutton1999]
    """

    def __init__(
        self,
        model: MarkovModel,
        num_options: int = 2,
        spread: float = 0.5,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Initialise near the action prior.

        Args:
            model: the model.
            num_options: the number of options, Z, at least 1.
            spread: the standard deviation of the initial policy logits, in nats.
            seed: of these: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        super().__init__(model)
        self._base = feasible_prior(model, optimism=0.0)
        self.policy_logits, self.option_logits, self.termination_logits = _parameters(model, num_options, spread, seed)

    def latent_blocks(self) -> LatentBlocks:
        """The model's start distribution and dynamics, and the learned options."""
        prior = prior_of(self.model)
        shape = -1, -1, self.option_logits.shape[-1], -1, -1
        return LatentBlocks(
            self.model.mdp,
            prior.log_initial,
            torch.log_softmax(self.option_logits, -1),
            _tilted(self.policy_logits, self._base.log_policy),
            prior.log_dynamics[:, :, None].expand(shape),
            _next(self.option_logits, self.termination_logits, self.model.mdp.horizon),
        )

    @property
    def termination(self) -> Float[Tensor, "state option"]:
        """The probability β(s, z) that option z terminates on arrival in state s."""
        return torch.sigmoid(self.termination_logits.detach())


@final
class FreeOptionGuide(LatentMarkovGuide):
    r"""Learn options, and for each option the dynamics that it believes in; learn the start distribution.

    $$q = q(s_0)\, \mu(z_0 \mid s_0) \prod_t \pi(a_t \mid s_t, z_t)\, q(k_t \mid s_t, a_t, z_t)\,
        q(z_{t+1} \mid s_{t+1}, z_t)$$

    As `OptionGuide`, but start and dynamics are free, so that its ELBO approaches log p(O) where policy and dynamics of
    the posterior depend on the state and the option alone. It believes in the outcomes that suit its option.

    Parameters: those of `OptionGuide`, `initial_logits` (S) and `dynamics_logits` (S, Z, A, K), in nats relative to the
    model's own.
    """

    def __init__(
        self,
        model: MarkovModel,
        num_options: int = 2,
        spread: float = 0.5,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Initialise near the prior of the model. Arguments and errors are those of `OptionGuide`."""
        super().__init__(model)
        self._base = feasible_prior(model, optimism=1.0)
        self.policy_logits, self.option_logits, self.termination_logits = _parameters(model, num_options, spread, seed)
        self.initial_logits = torch.nn.Parameter(torch.zeros_like(self._base.log_initial))
        shape = *self.policy_logits.shape, model.mdp.num_outcomes
        self.dynamics_logits = torch.nn.Parameter(self.policy_logits.new_zeros(shape))

    def latent_blocks(self) -> LatentBlocks:
        """The learned start distribution, options and dynamics."""
        return LatentBlocks(
            self.model.mdp,
            tilted(self.initial_logits, self._base.log_initial),
            torch.log_softmax(self.option_logits, -1),
            _tilted(self.policy_logits, self._base.log_policy),
            _tilted(self.dynamics_logits, self._base.log_dynamics),
            _next(self.option_logits, self.termination_logits, self.model.mdp.horizon),
        )

    @property
    def termination(self) -> Float[Tensor, "state option"]:
        """The probability β(s, z) that option z terminates on arrival in state s."""
        return torch.sigmoid(self.termination_logits.detach())


def _parameters(
    model: MarkovModel, num_options: int, spread: float, seed: int | torch.Generator | None
) -> tuple[torch.nn.Parameter, torch.nn.Parameter, torch.nn.Parameter]:
    """The initial logits of the policies, of the choice of an option and of its termination."""
    like, options = model.mdp.initial, whole("num_options", num_options)
    shape = model.mdp.num_states, options, model.mdp.num_actions
    noise = torch.randn(shape, generator=generator_of(seed, like.device), dtype=like.dtype, device=like.device)
    policy, zeros = finite("spread", spread) * noise, like.new_zeros(shape[:2])
    return torch.nn.Parameter(policy), torch.nn.Parameter(zeros), torch.nn.Parameter(zeros.clone())


def _tilted(
    logits: Float[Tensor, "state option *event"], log_weight: Float[Tensor, "time state *event"]
) -> Float[Tensor, "time state option *event"]:
    """The weights of each time tilted by logits that do not depend on time; computed once if the weights do not."""
    steps = len(log_weight)
    weight = log_weight[:1] if log_weight.stride(0) == 0 else log_weight
    found = torch.log_softmax(weight.unsqueeze(2) + logits, -1)
    return found.expand(steps, *found.shape[1:])


def _next(
    option_logits: Float[Tensor, "state option"], termination_logits: Float[Tensor, "state option"], steps: int
) -> Float[Tensor, "time_but_last state option next_option"]:
    """log q(z'|s', z) at each time: the option goes on, or terminates and another is chosen, perhaps the same."""
    logsigmoid, options = torch.nn.functional.logsigmoid, option_logits.shape[-1]
    again = logsigmoid(termination_logits)[..., None] + torch.log_softmax(option_logits, -1)[:, None]
    stays = torch.eye(options, dtype=torch.bool, device=option_logits.device)
    found = torch.where(stays, torch.logaddexp(again, logsigmoid(-termination_logits)[..., None]), again)
    return found.expand(steps - 1, -1, -1, -1)
