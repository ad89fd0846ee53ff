"""The policy loss of soft actor-critics: the value of a policy by critics, with its entropy relative to the prior.

Sources:
    [christodoulou2019] P. Christodoulou, Soft actor-critic for discrete action settings. 2019. arXiv:1910.07207
    [haarnoja2018] T. Haarnoja et al., Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a
        stochastic actor. International Conference on Machine Learning, Proceedings of Machine Learning Research 80,
        pages 1861–1870, 2018. arXiv:1801.01290
"""

from typing import final

import torch
from jaxtyping import Float, Num
from torch import Tensor

from ...environments.action_prior import ActionPrior
from ...networks.mlp import Network
from ...networks.policies import Policy


@final
class SoftPolicyLoss:
    r"""The value of a policy by critics, and its KL divergence to the optimal policy for these critics.

    $$\hat V(s) = \mathbb{E}_{a \sim \pi}\bigl[\min_i Q_i(s, a) - \tau \log \tfrac{\pi(a|s)}{\rho(a|s)}\bigr], \qquad
    \tau\, \mathrm{KL}\bigl(\pi \,\|\, \rho\, e^{(\min Q - V) / \tau}\bigr) = V(s) - \hat V(s)$$

    For discrete actions the expectations are sums; in a box each is estimated from one sample of the policy. At τ = 0
    $\hat V$ is the expected Q alone, and the loss, −V̂, is not a divergence.

    References:
        [haarnoja2018], [christodoulou2019]
    """

    def __init__(self, actor: Policy, prior: ActionPrior, is_discrete: bool, is_hard: bool = False) -> None:
        """Take a policy π, its prior ρ, whether its actions are discrete, and whether the temperature is always 0."""
        self._actor, self._prior, self._is_discrete, self._is_hard = actor, prior, is_discrete, is_hard

    def value(
        self, critics: Network, features: Float[Tensor, "batch feature"], temperature: Tensor | float
    ) -> Float[Tensor, " batch"]:
        """The value V̂, in reward units."""
        if self._is_discrete:
            log_policy, log_prior = self._actor(features), self._prior.log_probabilities(features)
            return _expect(log_policy, critics(features).amin(0) - temperature * _minus(log_policy, log_prior))
        action, log_prob = self._actor(features).rsample_with_log_prob()
        q = critics(torch.cat((features, action), -1)).amin(0)[:, 0]
        return q - self._price(features, action, log_prob, temperature)

    def taken(
        self, critics: Network, features: Float[Tensor, "batch feature"], action: Num[Tensor, "batch ..."]
    ) -> Float[Tensor, "copies batch"]:
        """The Q-values of the given actions, in reward units, differentiable in the critics."""
        if self._is_discrete:
            return critics(features).gather(-1, action.expand(critics.copies, -1)[..., None])[..., 0]
        return critics(torch.cat((features, action), -1)).squeeze(-1)

    def __call__(
        self, critics: Network, features: Float[Tensor, "batch feature"], temperature: Tensor | float
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, ""]]:
        """The loss −V̂, in reward units, differentiable in the policy only, and the policy's mean entropy, in nats."""
        if self._is_discrete:
            log_policy, log_prior = self._actor(features), self._prior.log_probabilities(features)
            with torch.no_grad():
                q = critics(features).amin(0)
            loss = _expect(log_policy, temperature * _minus(log_policy, log_prior) - q)
            return loss, -_expect(log_policy.detach(), log_policy.detach()).mean()
        action, log_prob = self._actor(features).rsample_with_log_prob()
        q = critics(torch.cat((features, action), -1), frozen=True)
        return self._price(features, action, log_prob, temperature) - q.amin(0)[:, 0], -log_prob.detach().mean()

    def _price(self, features: Tensor, action: Tensor, log_prob: Tensor, temperature: Tensor | float) -> Tensor | float:
        """τ log π/ρ of actions in a box, in reward units: 0 at τ = 0, even where ρ is 0."""
        if self._is_hard:
            return 0.0
        return temperature * (log_prob - self._prior.log_density(features, action))


def _expect(log_policy: Float[Tensor, "batch action"], x: Float[Tensor, "batch action"]) -> Float[Tensor, " batch"]:
    """Σ π x, where masked actions contribute 0."""
    possible = log_policy > -torch.inf
    return torch.where(possible, log_policy.exp() * torch.where(possible, x, 0.0), 0.0).sum(-1)


def _minus(log_policy: Float[Tensor, "batch action"], log_prior: Float[Tensor, "batch action"]) -> Tensor:
    """log π/ρ, or 0 where the action is masked."""
    possible = log_prior > -torch.inf
    return torch.where(possible, log_policy - torch.where(possible, log_prior, 0.0), 0.0)
