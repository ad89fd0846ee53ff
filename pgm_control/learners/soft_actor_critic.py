"""Soft actor-critic: the amortised clamped guide, with critics instead of a model; and its hard limit.

Sources:
    [christodoulou2019] P. Christodoulou, Soft actor-critic for discrete action settings. 2019. arXiv:1910.07207
    [fellows2019] M. Fellows et al., VIREL: a variational inference framework for reinforcement learning. Advances in
        Neural Information Processing Systems 32:7122–7136, 2019. arXiv:1811.01132
    [fujimoto2018] S. Fujimoto, H. van Hoof and D. Meger, Addressing function approximation error in actor-critic
        methods. International Conference on Machine Learning, Proceedings of Machine Learning Research 80, pages
        1587–1596, 2018. arXiv:1802.09477
    [haarnoja2018] T. Haarnoja et al., Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a
        stochastic actor. International Conference on Machine Learning, Proceedings of Machine Learning Research 80,
        pages 1861–1870, 2018. arXiv:1801.01290
    [haarnoja2018b] T. Haarnoja et al., Soft actor-critic algorithms and applications. 2018. arXiv:1812.05905
    [heess2015] N. Heess et al., Learning continuous control policies by stochastic value gradients. Advances in Neural
        Information Processing Systems 28, 2015. arXiv:1510.09142
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final

import torch
from jaxtyping import Float, Num
from torch import Tensor

from ..chance.risk import Risk, unit
from ..environments.action_prior import ActionPrior, PriorSource
from ..environments.copies import WorldSource
from ..errors import InvalidArgument, LearningDiverged
from ..networks.mlp import Network, follow
from ..networks.policies import PolicySource, policy_of
from ..networks.precision import Precision
from ..runtime.arguments import finite, whole
from .checks import check_temperature_or_zero, exploration_of
from .descent import Descent
from .experience import Experience
from .learner import Learner
from .losses.certainty_equivalent_loss import CertaintyEquivalentLoss, require_one
from .losses.soft_policy_loss import SoftPolicyLoss
from .replay import Transitions
from .saved import configuration

_HOTTEST = math.log(1e30)  # log τ beyond which float32 is near its end


@final
class SAC(Learner):
    r"""Soft actor-critic in its present form: two critics, no network for V, and a temperature that can be learned.

    The policy is a clamped guide: it cannot change the dynamics, which appear in model and guide and cancel, so samples
    from them are enough. With $\bar Q$ the smaller of two slowly moving target critics,

    $$y = r + \gamma \, \mathbb{E}_{a' \sim \pi}\bigl[\bar Q(s', a') - \tau \log \tfrac{\pi(a'|s')}{\rho(a'|s')}\bigr],
        \qquad Q \to L_\beta[y], \qquad
        \pi \to \arg\min_\pi \mathbb{E}_s\, \mathrm{KL}\bigl(\pi \,\|\, \rho\, e^{Q/\tau} / e^{V/\tau}\bigr)$$

    For discrete actions the expectations are sums. In a box they are estimated from samples.

    β is the optimism: 0 is soft actor-critic as published, β > 0 is optimistic about the dynamics, and β < 0 is
    adversarial, through a loss whose minimiser is $L_\beta$ (`CertaintyEquivalentLoss`). In a box the sample a' adds
    its own variance to y, which β ≠ 0 treats as randomness of the dynamics. This variance vanishes as π approaches its
    optimum, where the bracket is V(s') for every a'.

    Temperature 0 is the hard limit: a policy gradient through two critics, without an entropy, whose policy becomes
    deterministic as far as its family allows. For discrete actions the gradient is that of
    $\sum_a \pi(a|s) \min_i Q_i(s, a)$, over all actions; in a box that of one reparameterised action, as in SVG(0)
    [heess2015], which for a policy without scale is the deterministic policy gradient. It has the two critics of TD3
    [fujimoto2018], and neither its noise in the targets nor its delay. As nothing keeps the policy random, an action of
    learning is from the prior with probability `exploration`. The prior then only masks discrete actions and explores.
    A β other than 0 has no meaning there; a `Risk` has.

    Actor and critic can also be derived as the two steps of expectation-maximisation, with a policy that becomes
    deterministic at the optimum [fellows2019]; here it stays random, at a τ that is given or set by the target entropy.

    Attributes:
        actor: the network of the policy.
        critics: two Q networks in one `Network`.
        temperature: the current τ.
        prior: ρ, the action prior.

    References:
        [haarnoja2018], [haarnoja2018b], [christodoulou2019], [fujimoto2018], [fellows2019], [heess2015]
    """

    def __init__(
        self,
        env: WorldSource,
        *,
        temperature: float | Literal["auto"] = "auto",
        target_entropy: float | None = None,
        action_prior: PriorSource = None,
        policy: PolicySource = "gaussian",
        optimism: float | Risk = 0.0,
        discount: float = 0.99,
        hidden: Sequence[int] = (256, 256),
        learning_rate: float = 3e-4,
        batch_size: int = 256,
        capacity: int = 1_000_000,
        learning_starts: int = 100,
        exploration: float | None = None,
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
            temperature: τ, in reward units per nat, 0 for the hard limit; or "auto", learned so that the entropy stays
                near the target.
            target_entropy: the target of the entropy, in nats. Default for discrete actions: half of the entropy of the
                action prior, which is half of log A for a uniform one. In a box (of the density in $[-1, 1]^d$): that
                of the prior minus d (1 + log 2), which is −d for a uniform one.
            action_prior: ρ; default: uniform. See `ActionPrior`.
            policy: in a box "gaussian", a squashed Gaussian, or "flow", which can have several modes; or a function
                that makes a module, see `policy_of`.
            optimism: β, or a `Risk`. A β other than 0 needs a fixed, positive temperature; a `Risk` does not.
            discount: γ, the probability of surviving a step, in [0, 1).
            hidden: the number of units of each hidden layer; () is a linear network, which is a table on one-hot
                features.
            learning_rate: the learning rate of Adam, for all networks.
            batch_size: the number of transitions in an update.
            capacity: the number of transitions that are kept.
            learning_starts: the number of steps with actions from the prior, before the first update.
            exploration: ε, the probability with which a later action of learning is from the prior instead of the
                policy; default: 0, and .1 at temperature 0. It does not affect `predict` and `evaluate`.
            num_updates: the number of updates after each step in all copies.
            target_rate: the fraction of the way that the target critics move in an update.
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
        temperature, self._learns_temperature = _check(self.config["temperature"], target_entropy, optimism)
        self._discount, self._rate = self.config["discount"], self.config["target_rate"]
        self.prior = ActionPrior(action_prior, self.actions, self.observations, self.device)
        size, is_discrete = self.actions.size, self.actions.is_discrete
        inputs = self.observations.features + (0 if is_discrete else size)
        outputs = size if is_discrete else 1
        self._target_entropy = _check_target(target_entropy, self.prior, size, is_discrete)
        with self.randomness():
            self.actor = policy_of(policy, self.observations.features, self.actions, hidden, self.prior)
            self.actor = self.actor.to(self.device)
            self.critics = Network(inputs, outputs, hidden, copies=2).to(self.device)
            self._targets = Network(inputs, outputs, hidden, copies=2).to(self.device)
        self._targets.load_state_dict(self.critics.state_dict())
        self._targets.requires_grad_(False)
        self._is_hard = temperature == 0
        log_temperature = torch.tensor(math.log(unit(temperature)))
        self._scalars = torch.nn.ParameterDict({"log_temperature": log_temperature}).to(self.device)
        self._loss = CertaintyEquivalentLoss(temperature, optimism).to(self.device)
        self._policy_loss = SoftPolicyLoss(self.actor, self.prior, is_discrete, self._is_hard)
        learned = [*self.actor.parameters(), *(self._scalars.parameters() if self._learns_temperature else ())]
        rate = self.config["learning_rate"]
        self._actor_descent = Descent(learned, rate)
        self._critic_descent = Descent(self.critics.parameters(), rate)
        self._experience = Experience(self, self.prior, exploration_of(self.config["exploration"], temperature))

    @property
    def temperature(self) -> float:
        """The current temperature τ, in reward units per nat."""
        return 0.0 if self._is_hard else math.exp(self._scalars["log_temperature"].item())

    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Num[Tensor, "batch ..."]:
        """A sample from the policy, or its most probable action (the median in a box)."""
        return self.actor.act(self.normalised(features), deterministic)

    @torch.no_grad()
    def state_value(self, observation: Num[Tensor, "batch ..."], num_samples: int = 8) -> Float[Tensor, " batch"]:
        r"""The soft value of the policy by the smaller critic, in reward units, as a `terminal_value` of a planner.

        $$V(s) = \mathbb{E}_{a \sim \pi}\bigl[\min_i Q_i(s, a) - \tau \log \tfrac{\pi(a|s)}{\rho(a|s)}\bigr]$$

        It is that of the discounted problem, at the present temperature.

        Args:
            observation: observations of a box, one a row, or indices of discrete ones.
            num_samples: the actions, in a box, over which it is averaged; they are drawn with torch's generator.

        Raises:
            InvalidArgument: if an argument does not fit.
        """
        seen = self.normalised(self.observations.of_tensor(observation).to(self.device))
        count = 1 if self.actions.is_discrete else whole("num_samples", num_samples)
        found = self._policy_loss.value(self.critics, seen.repeat_interleave(count, 0), self.temperature)
        return found.unflatten(0, (len(seen), count)).double().mean(1).cpu()

    def pay_by(self, reward: Callable[[Transitions], Tensor]) -> None:
        """Replace the environment's rewards by a function of a batch, which is called in each update."""
        self._experience.reward = reward

    def advance(self) -> Mapping[str, Tensor | float]:
        """Make a step in each environment, and update all networks."""
        metrics = self._experience.advance(self._update)
        if self._learns_temperature and self._scalars["log_temperature"].item() > _HOTTEST:
            raise LearningDiverged(
                f"The temperature has grown to {self.temperature:.3g} after {self.total_steps} steps: the entropy of "
                "the policy stays below its target. Lower `target_entropy`, or give a temperature; where the action "
                "prior leaves few actions, no policy has a large entropy."
            )
        return metrics

    def parts(self) -> dict[str, Any]:
        """The objects that a checkpoint saves, by name."""
        return {
            "actor": self.actor,
            "critics": self.critics,
            "targets": self._targets,
            "scalars": self._scalars,
            "loss": self._loss,
            "actor_descent": self._actor_descent,
            "critic_descent": self._critic_descent,
            "experience": self._experience,
            **self.own_parts(),
        }

    def _update(self, batch: Transitions) -> dict[str, Tensor | float]:
        """Update the critics and their targets, then the policy and the temperature."""
        log_temperature = self._scalars["log_temperature"]
        temperature = log_temperature.new_zeros(()) if self._is_hard else log_temperature.detach().exp()
        with torch.no_grad():
            ahead = self._policy_loss.value(self._targets, batch.next_observation, temperature)
            y = torch.addcmul(batch.reward, batch.goes_on, ahead, value=self._discount)
        critic_loss = self._loss(self._policy_loss.taken(self.critics, batch.observation, batch.action), y)
        self._critic_descent(critic_loss)
        follow(self._targets, self.critics, self._rate)
        actor_loss, entropy = self._policy_loss(self.critics, batch.observation, temperature)
        if self._learns_temperature:
            # The gradient of log τ (entropy − target).
            log_temperature.grad = entropy - self._target(batch.observation)
        self._actor_descent(actor_loss.mean())
        return {"critic_loss": critic_loss.detach(), "entropy": entropy, "temperature": temperature}

    @torch.no_grad()
    def _target(self, features: Float[Tensor, "batch feature"]) -> Tensor | float:
        """The target of the entropy, in nats."""
        if self._target_entropy is not None:
            return self._target_entropy
        most = self.prior.entropy(features)
        return 0.5 * most if self.actions.is_discrete else most - self.actions.size * (1 + math.log(2))


def _check_target(target: Any, prior: ActionPrior, size: int, is_discrete: bool) -> float | None:
    """Require a target that a policy can have at a finite temperature; None if it depends on the state."""
    if target is None:
        return None if not prior.is_uniform else 0.5 * prior.most_entropy if is_discrete else -float(size)
    found, most = finite("target_entropy", target, "number of nats, or None"), prior.most_entropy
    if found >= most or (is_discrete and found < 0):
        least = "at least 0 and " if is_discrete else ""
        raise InvalidArgument(
            f"`target_entropy` must be {least}below {most:.6g} nats, the most that any policy has here, but is "
            f"{target!r}: the temperature would grow or fall without end. Leave it out for the default."
        )
    return found


def _check(temperature: Any, target_entropy: Any, optimism: Any) -> tuple[float, bool]:
    """The temperature at the start, and whether it is learned."""
    is_learned = isinstance(temperature, str) and temperature == "auto"
    start = 1.0 if is_learned else check_temperature_or_zero(temperature, optimism, ', or "auto"')
    if target_entropy is not None and not is_learned:
        raise InvalidArgument(
            f'`target_entropy` is for temperature="auto", but `temperature` is {temperature!r}. Leave one of them out.'
        )
    if is_learned and require_one(optimism) != 0 and not isinstance(optimism, Risk):
        raise InvalidArgument(
            f"`optimism` must be 0 or a Risk while the temperature is learned, but is {optimism!r}: the loss is for "
            "fixed β/τ. Give a temperature, or Risk(theta), with θ = β/τ in 1/reward."
        )
    return start, is_learned
