"""What soft actor-critics have in common: a policy judged by a critic, the entropy relative to the prior included."""

from typing import final

import torch
from jaxtyping import Float, Num
from torch import Tensor

from .action_prior import ActionPrior
from .networks import Network
from .policies import Policy


@final
class SoftPolicyLoss:
    r"""The value of a policy by critics, and its distance to the best policy there is for them.

    $$\hat V(s) = \mathbb{E}_{a \sim \pi}\bigl[\min_i Q_i(s, a) - \tau \log \tfrac{\pi(a|s)}{\rho(a|s)}\bigr], \qquad
    \tau\, \mathrm{KL}\bigl(\pi \,\|\, \rho\, e^{(\min Q - V) / \tau}\bigr) = V(s) - \hat V(s)$$

    For discrete actions the expectations are sums; in a box one draw of the policy stands for each.

    References:
        [haarnoja2018], [christodoulou2019]
    """

    def __init__(self, actor: Policy, prior: ActionPrior, is_discrete: bool) -> None:
        """Take a policy π, its prior ρ, and whether its actions are discrete."""
        self._actor, self._prior, self._is_discrete = actor, prior, is_discrete

    def value(
        self, critics: Network, features: Float[Tensor, "batch feature"], temperature: Tensor | float
    ) -> Float[Tensor, " batch"]:
        """V̂, in reward units."""
        if self._is_discrete:
            log_policy, log_prior = self._actor(features), self._prior.log_probabilities(features)
            return _expect(log_policy, critics(features).amin(0) - temperature * _minus(log_policy, log_prior))
        action, log_prob = self._actor(features).rsample_with_log_prob()
        q = critics(torch.cat((features, action), -1)).amin(0)[:, 0]
        return q - temperature * (log_prob - self._prior.log_density(features, action))

    def taken(
        self, critics: Network, features: Float[Tensor, "batch feature"], action: Num[Tensor, "batch ..."]
    ) -> Float[Tensor, "copies batch"]:
        """Q of what was done, in reward units, with gradients to the critics."""
        if self._is_discrete:
            return critics(features).gather(-1, action.expand(critics.copies, -1)[..., None])[..., 0]
        return critics(torch.cat((features, action), -1))[..., 0]

    def __call__(
        self, critics: Network, features: Float[Tensor, "batch feature"], temperature: Tensor | float
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, ""]]:
        """−V̂, in reward units, with gradients to the policy alone; and the mean entropy of the policy, in nats."""
        if self._is_discrete:
            log_policy, log_prior = self._actor(features), self._prior.log_probabilities(features)
            with torch.no_grad():
                q = critics(features).amin(0)
            loss = _expect(log_policy, temperature * _minus(log_policy, log_prior) - q)
            return loss, -_expect(log_policy.detach(), log_policy.detach()).mean()
        action, log_prob = self._actor(features).rsample_with_log_prob()
        frozen = [each.detach() for each in critics.parameters()]
        q = critics(torch.cat((features, action), -1), frozen).amin(0)[:, 0]
        log_ratio = log_prob - self._prior.log_density(features, action)
        return temperature * log_ratio - q, -log_prob.detach().mean()


def descend(optimiser: torch.optim.Optimizer, loss: Float[Tensor, ""]) -> None:
    """A step of an optimiser along the gradient of a loss."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def _expect(log_policy: Float[Tensor, "batch action"], x: Float[Tensor, "batch action"]) -> Float[Tensor, " batch"]:
    """Σ π x, where a masked action counts nothing."""
    possible = log_policy > -torch.inf
    return torch.where(possible, log_policy.exp() * torch.where(possible, x, 0.0), 0.0).sum(-1)


def _minus(log_policy: Float[Tensor, "batch action"], log_prior: Float[Tensor, "batch action"]) -> Tensor:
    """log π/ρ, 0 where both are masked."""
    possible = log_prior > -torch.inf
    return torch.where(possible, log_policy - torch.where(possible, log_prior, 0.0), 0.0)
