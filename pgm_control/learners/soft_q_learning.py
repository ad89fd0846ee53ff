"""Soft Q-learning, and at temperature 0 Q-learning: value iteration from samples; the policy follows from the values.

Sources:
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [mnih2015] V. Mnih et al., Human-level control through deep reinforcement learning. Nature 518:529–533, 2015.
        doi:10.1038/nature14236
    [watkins1992] C. J. C. H. Watkins and P. Dayan, Q-learning. Machine Learning 8:279–292, 1992. doi:10.1007/BF00992698
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final

import torch
from jaxtyping import Float, Num
from torch import Tensor

from ..chance.risk import Risk, beta_of, unit
from ..environments.action_prior import ActionPrior, PriorSource
from ..environments.copies import WorldSource
from ..errors import InvalidArgument
from ..networks.mlp import Network, follow
from ..networks.precision import Precision
from ..runtime.arguments import one_of
from .checks import check_temperature_or_zero, exploration_of
from .descent import Descent
from .experience import Experience
from .learner import Learner
from .losses.action_values import log_policy_of_actions, value_of_actions
from .losses.amortised_sampler import AmortisedSampler
from .losses.certainty_equivalent_loss import CertaintyEquivalentLoss
from .losses.langevin import LangevinSampler
from .losses.soft_values_of_samples import soft_value_of_samples
from .losses.stein import stein_loss
from .replay import Transitions
from .saved import configuration

SAMPLERS = ("svgd", "langevin")
"""The samplers of the policy in a box."""


@final
class SoftQLearning(Learner):
    r"""Soft Q-learning: the backward messages of the clamped posterior, learned from samples.

    $$y = r + \gamma V(s'), \qquad Q \to L_\beta[y], \qquad
        V(s) = \tau \log \mathbb{E}_{a \sim \rho}\, e^{\bar Q(s, a) / \tau}, \qquad
        \pi(a|s) = \rho(a|s)\, e^{(Q(s, a) - V(s)) / \tau}$$

    with $\bar Q$ a slowly moving target critic. These are the equations of `infer(model, optimism=β)`, with samples of
    the dynamics in place of their probabilities. On one-hot observations and with `hidden=()` Q is a table. The network
    outputs Q/τ, the log backward message, so only r/τ matters and not the unit of the rewards.

    For discrete actions V and π are exact, and the policy has no network. In a box V is estimated from `num_particles`
    actions sampled from the prior, and π has no closed form. Of the two samplers that [haarnoja2017] names, "svgd" is a
    network that learns to sample π by the Stein variational gradient (`stein_loss`); "langevin" samples π by Markov
    chains with an accept step, which leave it invariant, at each action (`LangevinSampler`).
    The prior must then reach good actions within that number of samples; `effective` in the log is the effective number
    of samples. If it is small, the value is too low, and β ≠ 0 treats the variance of the estimate as randomness of the
    dynamics.

    β is the optimism: 0 is soft Q-learning as published, β > 0 is optimistic about the dynamics, and β < 0 is
    adversarial, through a loss whose minimiser is $L_\beta$ (`CertaintyEquivalentLoss`).

    Temperature 0 is the hard limit, for discrete actions: $V(s) = \max_a Q(s, a)$ over the actions that the prior
    allows, which is Q-learning [watkins1992], with a memory of transitions and a target network as in DQN [mnih2015];
    unlike there the target moves a little in each update, and the loss is the mean square. Its policy takes a best
    action, and the prior chooses among equal ones. It does not explore, so in learning an action is from the prior with
    probability `exploration`. The network outputs Q in reward units. With a `Risk` θ the backup is the certainty
    equivalent $\tfrac{1}{\theta} \log \mathbb{E}\, e^{\theta y}$; a β other than 0 has no meaning.

    Attributes:
        critic: the network of Q/τ, in nats; at temperature 0 of Q, in reward units.
        sampler: the sampler of the policy in a box, a network for "svgd"; None for discrete actions.
        prior: ρ, the action prior.

    References:
        [haarnoja2017], [levine2018], [mnih2015], [watkins1992]
    """

    def __init__(
        self,
        env: WorldSource,
        *,
        temperature: float = 1.0,
        action_prior: PriorSource = None,
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
        num_particles: int = 16,
        sampler: Literal["svgd", "langevin"] = "svgd",
        num_langevin_steps: int = 20,
        action_masks: bool = False,
        normalise_observations: bool = False,
        products: Precision = "float32",
        num_envs: int = 1,
        seed: int | torch.Generator | None = None,
        device: str = "cpu",
    ) -> None:
        """Make the networks.

        Args:
            env: an id, an environment, a vector of environments, or a function that makes one.
            temperature: τ, in reward units per nat; for discrete actions it may be 0, which is Q-learning.
            action_prior: ρ; default: uniform. See `ActionPrior`.
            optimism: β, or a `Risk`; at temperature 0 it must be 0 or a `Risk`.
            discount: γ, the probability of surviving a step.
            hidden: the number of units of each hidden layer; () is a linear network, which is a table on one-hot
                features.
            learning_rate: the learning rate of Adam, for all networks.
            batch_size: the number of transitions in an update.
            capacity: the number of transitions that are kept.
            learning_starts: the number of steps with actions from the prior, before the first update.
            exploration: ε, the probability with which a later action of learning is from the prior instead of the
                policy; default: 0, and .1 at temperature 0. It does not affect `predict` and `evaluate`.
            num_updates: the number of updates after each step in all copies.
            target_rate: the fraction of the way that the target critic moves in an update.
            num_particles: the number of actions for each state, in a box: from the prior for the value, and from the
                sampler for its update, or from the prior for the start of a chain.
            sampler: the sampler of the policy in a box, "svgd" or "langevin". The first costs more in an update, the
                second in an action.
            num_langevin_steps: the number of steps of a chain of "langevin".
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
        settings, remedy = self.config, "Soft Q-learning cannot learn its temperature; SAC can."
        temperature = check_temperature_or_zero(settings["temperature"], optimism, remedy=remedy)
        rate, self._is_hard = settings["learning_rate"], temperature == 0
        self._unit, self._number = unit(temperature), settings["num_particles"]
        self._discount, self._rate = settings["discount"], settings["target_rate"]
        self.prior = ActionPrior(action_prior, self.actions, self.observations, self.device)
        features, size, is_discrete = self.observations.features, self.actions.size, self.actions.is_discrete
        if not is_discrete and not self.config["hidden"]:
            raise InvalidArgument(
                "`hidden` must have at least one layer in a box, but is (): a linear sampler has a distribution of one "
                "shape. Take (64, 64), say; the table is for discrete actions."
            )
        if self._is_hard and not is_discrete:
            raise InvalidArgument(
                "`temperature` must be positive in a box, but is 0: the largest Q over a box is not computed here. "
                "Take a small one, or SAC with temperature 0, whose actor climbs Q."
            )
        one_of("sampler", settings["sampler"], SAMPLERS)
        if is_discrete and settings["sampler"] != "svgd":
            raise InvalidArgument(
                f'`sampler` must be left out for discrete actions, but is "{settings["sampler"]}": their policy is '
                "exact and needs none."
            )
        inputs, outputs = (features, size) if is_discrete else (features + size, 1)
        with self.randomness():
            self.critic = Network(inputs, outputs, hidden).to(self.device)
            self._target = Network(inputs, outputs, hidden).to(self.device)
            self.sampler = None if is_discrete else self._made_sampler(features, size, hidden)
        self._target.load_state_dict(self.critic.state_dict())
        self._target.requires_grad_(False)
        self._loss = CertaintyEquivalentLoss(1.0, beta_of(optimism, temperature)).to(self.device)
        self._critic_descent = Descent(self.critic.parameters(), rate)
        learned = self.sampler.parameters() if isinstance(self.sampler, AmortisedSampler) else None
        self._sampler_descent = None if learned is None else Descent(learned, rate)
        self._acceptance: Tensor | None = None  # of the chains of the step that is being made
        self._experience = Experience(self, self.prior, exploration_of(settings["exploration"], temperature))

    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Num[Tensor, "batch ..."]:
        """A sample from the policy, or its most probable action (in a box, the best that was found from fixed ones)."""
        if self.sampler is None:
            log_policy = self.log_policy(features)
            return log_policy.argmax(-1) if deterministic else torch.multinomial(log_policy.exp(), 1)[:, 0]
        features = self.normalised(features)
        if isinstance(self.sampler, LangevinSampler):
            return self._chained(self.sampler, features, deterministic)
        if not deterministic:
            return self.sampler(features, 1)[:, 0].tanh()
        actions = self.sampler.same(features).tanh()
        best = self._log_density(features, actions).argmax(-1)
        return actions[torch.arange(len(features), device=features.device), best]

    @torch.no_grad()
    def log_policy(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch action"]:
        """The log-probabilities of all discrete actions, in nats; at temperature 0 of the best actions."""
        q, log_prior = self.critic(self.normalised(features))[0], self.prior.log_probabilities(features)
        return log_policy_of_actions(q, log_prior, self._is_hard)

    @torch.no_grad()
    def soft_value(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, " batch"]:
        """The value V of the critic, in reward units; in a box an estimate, sampled with torch's generator."""
        return self._unit * self._message(self.critic, self.normalised(features))[0]

    @torch.no_grad()
    def state_value(self, observation: Num[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
        """`soft_value` of observations, of a box, one a row, or indices of discrete ones, for planners.

        It is the value of the discounted problem.

        Raises:
            InvalidArgument: if they do not fit.
        """
        return self.soft_value(self.observations.of_tensor(observation).to(self.device)).double().cpu()

    def pay_by(self, reward: Callable[[Transitions], Tensor]) -> None:
        """Replace the environment's rewards by a function of a batch, which is called in each update."""
        self._experience.reward = reward

    def advance(self) -> Mapping[str, Tensor | float]:
        """Make a step in each environment, and update all networks."""
        self._acceptance = None
        return self._experience.advance(self._update)

    def parts(self) -> dict[str, Any]:
        """All that is saved, by name."""
        found: dict[str, Any] = {
            "critic": self.critic,
            "target": self._target,
            "loss": self._loss,
            "critic_descent": self._critic_descent,
        }
        if self.sampler is not None:
            found["sampler"] = self.sampler
        if self._sampler_descent is not None:
            found["sampler_descent"] = self._sampler_descent
        return {**found, "experience": self._experience, **self.own_parts()}

    def _update(self, batch: Transitions) -> dict[str, Tensor | float]:
        """Update the critic, the sampler, and last the target."""
        with torch.no_grad():
            ahead, metrics = self._message(self._target, batch.next_observation)
            y = torch.addcmul(batch.reward / self._unit, batch.goes_on, ahead, value=self._discount)
        if self.sampler is None:
            q = self.critic(batch.observation)[0].gather(-1, batch.action[:, None])[:, 0]
        else:
            q = self._paired(self.critic, batch.observation, batch.action[:, None])[:, 0]
        loss = self._loss(q, y)
        self._critic_descent(loss)
        if isinstance(self.sampler, LangevinSampler):
            if self._acceptance is not None:
                self.sampler.adapt(self._acceptance)
                metrics["acceptance"] = self._acceptance
        elif self.sampler is not None and self._sampler_descent is not None:
            seen = batch.observation
            step = stein_loss(self.sampler(seen, self._number), lambda a: self._log_density(seen, a))
            self._sampler_descent(step.loss)
            metrics["stein"] = step.size
        follow(self._target, self.critic, self._rate)
        metrics |= {"critic_loss": loss.detach(), "value": self._unit * ahead.mean()}
        return metrics if self._loss.optimism == 0 else {**metrics, "clipped": self._loss.clipped / self._loss.seen}

    def _made_sampler(self, features: int, size: int, hidden: Sequence[int]) -> "AmortisedSampler | LangevinSampler":
        """The sampler of a policy in a box."""
        if self.config["sampler"] == "langevin":
            return LangevinSampler(size, self.config["num_langevin_steps"]).to(self.device)
        return AmortisedSampler(features, size, hidden).to(self.device)

    def _chained(
        self, sampler: LangevinSampler, features: Float[Tensor, "batch feature"], deterministic: bool
    ) -> Float[Tensor, "batch action"]:
        """The last points of chains, one for each state, or points of large density."""

        def log_density(actions: Tensor) -> Tensor:
            return self._log_density(features, actions)

        if deterministic:
            return sampler.best(features, log_density)
        starts = self._from_prior(features)
        found, self._acceptance = sampler(starts, lambda a: self._paired(self.critic, features, a), log_density)
        return found

    def _from_prior(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch particle action"]:
        """Actions sampled from the prior, for each state."""
        return self.prior.sample(features.repeat_interleave(self._number, 0)).unflatten(0, (-1, self._number))

    def _message(
        self, critic: Network, features: Float[Tensor, "batch feature"]
    ) -> tuple[Float[Tensor, " batch"], dict[str, Tensor | float]]:
        """The log message V/τ, in nats, or V at τ = 0; and for an estimate its effective number of samples."""
        if self.sampler is None:
            q, log_prior = critic(features)[0], self.prior.log_probabilities(features)
            return value_of_actions(q, log_prior, self._is_hard), {}
        q = self._paired(critic, features, self._from_prior(features))
        alike = torch.zeros_like(q)  # the proposal is the prior: their ratio is 1
        found = soft_value_of_samples(q, alike, alike, 1.0)
        return found.value, {"effective": found.effective.mean()}

    def _paired(
        self,
        critic: Network,
        features: Float[Tensor, "batch feature"],
        actions: Float[Tensor, "batch particle action"],
        frozen: bool = False,
    ) -> Float[Tensor, "batch particle"]:
        """Q/τ of each state with each of its actions, in nats."""
        seen = features[:, None].expand(-1, actions.shape[1], -1)
        flat = torch.cat((seen, actions), -1).flatten(0, 1)
        return critic(flat, frozen)[0, :, 0].unflatten(0, actions.shape[:2])

    def _log_density(
        self, features: Float[Tensor, "batch feature"], actions: Float[Tensor, "batch particle action"]
    ) -> Float[Tensor, "batch particle"]:
        """Q/τ + log ρ, in nats, differentiable in the actions only."""
        q = self._paired(self.critic, features, actions, frozen=True)
        number = actions.shape[1]
        prior = self.prior.log_density(features.repeat_interleave(number, 0), actions.flatten(0, 1))
        spread = prior.unflatten(0, actions.shape[:2]) if isinstance(prior, Tensor) else prior
        return q + spread
