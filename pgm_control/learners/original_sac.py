"""Soft actor-critic as first published: the amortised clamped guide, with a network for each message.

Sources:
    [fujimoto2018] S. Fujimoto, H. van Hoof and D. Meger, Addressing function approximation error in actor-critic
        methods. International Conference on Machine Learning, Proceedings of Machine Learning Research 80, pages
        1587–1596, 2018. arXiv:1802.09477
    [haarnoja2018] T. Haarnoja et al., Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a
        stochastic actor. International Conference on Machine Learning, Proceedings of Machine Learning Research 80,
        pages 1861–1870, 2018. arXiv:1801.01290
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float, Num
from torch import Tensor

from ..chance.risk import Risk
from ..environments.action_prior import ActionPrior, PriorSource
from ..environments.copies import WorldSource
from ..networks.mlp import Network, follow
from ..networks.policies import PolicySource, policy_of
from ..networks.precision import Precision
from .checks import check_temperature
from .descent import Descent
from .experience import Experience
from .learner import Learner
from .losses.certainty_equivalent_loss import CertaintyEquivalentLoss
from .losses.soft_policy_loss import SoftPolicyLoss
from .replay import Transitions
from .saved import configuration


@final
class OriginalSAC(Learner):
    r"""Soft actor-critic in its first form: two critics, a network for V with a slow target network, and a fixed τ.

    $$Q \to L_\beta[r + \gamma \bar V(s')], \qquad
        V(s) \to \mathbb{E}_{a \sim \pi}\bigl[\min_i Q_i(s, a) - \tau \log \tfrac{\pi(a|s)}{\rho(a|s)}\bigr]$$
    $$\pi \to \arg\min_\pi \mathbb{E}_s\, \mathrm{KL}\bigl(\pi \,\|\, \rho\, e^{(\min_i Q_i - V) / \tau}\bigr)$$

    These are the equations of `infer`, in the same order: V and Q are the backward messages, and π is the policy. The
    paper scales rewards by 1/τ and has τ = 1; here Q and V are in reward units. V uses new actions sampled from π; for
    discrete actions the expectations are sums.

    β is the optimism, as in `SAC`: 0 is the algorithm as published. Here it is exact in a box too: V(s') is a function
    of s' alone, so the only randomness in $r + \gamma \bar V(s')$ is that of the dynamics.

    Attributes:
        actor: the network of the policy.
        critics: two Q networks in one `Network`.
        soft_value: the network of V.

    References:
        [haarnoja2018], [fujimoto2018]
    """

    def __init__(
        self,
        env: WorldSource,
        *,
        temperature: float = 1.0,
        action_prior: PriorSource = None,
        policy: PolicySource = "gaussian",
        optimism: float | Risk = 0.0,
        discount: float = 0.99,
        hidden: Sequence[int] = (256, 256),
        learning_rate: float = 3e-4,
        batch_size: int = 256,
        capacity: int = 1_000_000,
        learning_starts: int = 100,
        num_updates: int = 1,
        target_rate: float = 0.005,
        action_masks: bool = False,
        normalise_observations: bool = False,
        products: Precision = "float32",
        num_envs: int = 1,
        seed: int | torch.Generator | None = None,
        device: str = "cpu",
    ) -> None:
        r"""Make the networks.

        Args:
            env: an id, an environment, a vector of environments, or a function that makes one.
            temperature: τ, in reward units per nat; the paper's reward scale is 1/τ.
            action_prior: ρ; default: uniform. See `ActionPrior`.
            policy: in a box "gaussian", a squashed Gaussian, or "flow", which can have several modes; or a function
                that makes a module, see `policy_of`.
            optimism: β, or a `Risk`.
            discount: γ, the probability of surviving a step.
            hidden: the number of units of each hidden layer; () is a linear network, which is a table on one-hot
                features.
            learning_rate: the learning rate of Adam, for all networks.
            batch_size: the number of transitions in an update.
            capacity: the number of transitions that are kept.
            learning_starts: the number of steps with actions from the prior, before the first update.
            num_updates: the number of updates after each step in all copies.
            target_rate: the fraction of the way that the target of V moves in an update.
            action_masks: whether `info["action_mask"]` of the environment says which discrete actions are allowed; see
                `ActionMasks`. Others are neither taken nor part of values, and the prior leaves them out.
            normalise_observations: whether networks get observations that are normalised by their running mean and
                variance, which are saved, and change in learning only. See `Normaliser`.
            products: "float32", or "bfloat16" for faster matrix products of three digits. Where the processor has no
                instructions for it, "float32" is used, with a warning.
            num_envs: the number of parallel copies of the environment.
            seed: an integer, a generator, or None for torch's global generator. The integer used is `config["seed"]`.
            device: "cpu" or "cuda".

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            UnsupportedEnvironment: if there is no policy for the spaces.
        """
        super().__init__(env, num_envs, seed, device, configuration(locals()))
        self._temperature = check_temperature(self.config["temperature"], remedy='SAC also takes 0 and "auto".')
        rate = self.config["learning_rate"]
        self._discount, self._rate = self.config["discount"], self.config["target_rate"]
        prior = ActionPrior(action_prior, self.actions, self.observations, self.device)
        features, size, is_discrete = self.observations.features, self.actions.size, self.actions.is_discrete
        inputs, outputs = (features, size) if is_discrete else (features + size, 1)
        with self.randomness():
            self.actor = policy_of(policy, features, self.actions, hidden, prior).to(self.device)
            self.critics = Network(inputs, outputs, hidden, copies=2).to(self.device)
            self.soft_value = Network(features, 1, hidden).to(self.device)
            self._target = Network(features, 1, hidden).to(self.device)
        self._target.load_state_dict(self.soft_value.state_dict())
        self._target.requires_grad_(False)
        self._loss = CertaintyEquivalentLoss(self._temperature, optimism).to(self.device)
        self._policy_loss = SoftPolicyLoss(self.actor, prior, is_discrete)
        self._actor_descent = Descent(self.actor.parameters(), rate)
        self._critic_descent = Descent(self.critics.parameters(), rate)
        self._value_descent = Descent(self.soft_value.parameters(), rate)
        self._experience = Experience(self, prior)

    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Num[Tensor, "batch ..."]:
        """A sample from the policy, or its most probable action (in a box the policy defines it)."""
        return self.actor.act(self.normalised(features), deterministic)

    @torch.no_grad()
    def state_value(self, observation: Num[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
        """The network V of observations, of a box, one a row, or indices of discrete ones, in reward units.

        It is the value of the discounted problem, and serves planners as `terminal_value`.

        Raises:
            InvalidArgument: if they do not fit.
        """
        seen = self.normalised(self.observations.of_tensor(observation).to(self.device))
        return self.soft_value(seen)[0, :, 0].double().cpu()

    def advance(self) -> Mapping[str, Tensor | float]:
        """Make a step in each environment, and update all networks."""
        return self._experience.advance(self._update)

    def parts(self) -> dict[str, Any]:
        """All that is saved, by name."""
        return {
            "actor": self.actor,
            "critics": self.critics,
            "soft_value": self.soft_value,
            "target": self._target,
            "loss": self._loss,
            "actor_descent": self._actor_descent,
            "critic_descent": self._critic_descent,
            "value_descent": self._value_descent,
            "experience": self._experience,
            **self.own_parts(),
        }

    def _update(self, batch: Transitions) -> dict[str, Tensor | float]:
        """Update the critics, the policy, V, and last the target of V."""
        with torch.no_grad():
            ahead = self._target(batch.next_observation)[0, :, 0]
            y = torch.addcmul(batch.reward, batch.goes_on, ahead, value=self._discount)
        critic_loss = self._loss(self._policy_loss.taken(self.critics, batch.observation, batch.action), y)
        self._critic_descent(critic_loss)
        divergence, entropy = self._policy_loss(self.critics, batch.observation, self._temperature)
        self._actor_descent(divergence.mean())
        v = self.soft_value(batch.observation)[0, :, 0]
        value_loss = 0.5 * (v + divergence.detach()).square().mean()
        self._value_descent(value_loss)
        follow(self._target, self.soft_value, self._rate)
        return {"critic_loss": critic_loss.detach(), "value_loss": value_loss.detach(), "entropy": entropy}
