"""Maximum-entropy policy gradient, which is variational inference in a simulated model.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [sutton2000] R. S. Sutton et al., Policy gradient methods for reinforcement learning with function approximation.
        Advances in Neural Information Processing Systems 12:1057–1063, 2000.
    [williams1992] R. J. Williams, Simple statistical gradient-following algorithms for connectionist reinforcement
        learning. Machine Learning 8:229–256, 1992. doi:10.1007/BF00992696
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from jaxtyping import Float, Num
from pyro import poutine
from pyro.infer import SVI
from pyro.optim import PyroOptim
from torch import Tensor

from ..chance.risk import unit
from ..environments.action_prior import PriorSource
from ..environments.copies import WorldSource
from ..errors import LearningDiverged
from ..guides.simulated import SimulatedGuide, default_policy
from ..inference.variational.optimisers import Adam
from ..inference.variational.to_go_elbo import ToGoELBO
from ..models.simulator import SimulatorModel
from ..networks.mlp import Network
from ..runtime.checkpoint_checks import Problem
from ..runtime.optimiser_states import check_of, restored, states_of
from .checks import check_temperature_or_zero
from .learner import Learner
from .normaliser import Normalised
from .randomness import generator_states, set_generators
from .saved import configuration


@final
class MaxEntPolicyGradient(Learner):
    r"""Policy gradient as `SVI(SimulatorModel(env), SimulatedGuide(model), Adam, ToGoELBO(baseline))`.

    Each step of SVI uses one new episode from each copy of the environment. The guide is clamped, so the objective is
    $E[\sum_t \gamma^t (r_t/\tau - \log \pi_t/\rho)]$. It is maximised by REINFORCE with reward to go, entropy to go and
    a baseline. Each episode is used once, so this needs many more episodes than `SAC`, but no critic. Its gradient is
    unbiased, except where the baseline replaces the remainder of truncated episodes.

    Temperature 0 is the hard limit, REINFORCE with a baseline: the objective is $E[\sum_t \gamma^t r_t]$, in reward
    units, without entropy and without a divergence from the prior, which then only masks actions. The model then has
    temperature 1, and the loss leaves its log-probabilities of actions out: `ToGoELBO(baseline, is_hard=True)`. Nothing
    keeps the policy random, and its gradient vanishes as it becomes deterministic, also at a bad one.

    Attributes:
        model: the environment as a Pyro program.
        guide: the policy as a Pyro program.
        baseline: the baseline b(s), in nats; at temperature 0 in reward units.

    References:
        [williams1992], [sutton2000], [levine2018]
    """

    def __init__(
        self,
        env: WorldSource,
        *,
        temperature: float = 1.0,
        action_prior: PriorSource = None,
        discount: float = 0.99,
        horizon: int | None = None,
        hidden: Sequence[int] = (64, 64),
        learning_rate: float = 3e-3,
        policy: torch.nn.Module | None = None,
        action_masks: bool = False,
        normalise_observations: bool = False,
        num_envs: int = 16,
        seed: int | torch.Generator | None = None,
        device: str = "cpu",
    ) -> None:
        r"""Make the networks.

        Args:
            env: an id, an environment, a vector of environments, or a function that makes one.
            temperature: τ, in reward units per nat; 0 for the hard limit.
            action_prior: ρ; default: uniform. See `SimulatorModel`.
            discount: γ, the probability of surviving a step, in (0, 1].
            horizon: T, after which there is no further reward; default: the environment's time limit, which truncates.
                A policy that depends on time must observe it.
            hidden: the number of units of each hidden layer; () is a linear network, which is a table on one-hot
                features.
            learning_rate: the learning rate of Adam, for policy and baseline.
            policy: any module from (batch, features) to a Pyro distribution over actions. Default: categorical, or in a
                box a squashed Gaussian.
            action_masks: whether `info["action_mask"]` of the environment says which discrete actions are allowed; see
                `ActionMasks`. Others are neither taken nor part of values, and the prior leaves them out.
            normalise_observations: whether policy and baseline get observations that are normalised by their running
                mean and variance, which are saved, and change in learning only, after the episodes of a step. The first
                episodes only measure. See `Normaliser`.
            num_envs: the number of episodes in a step.
            seed: an integer, a generator, or None for torch's global generator. The integer used is `config["seed"]`.
            device: "cpu" or "cuda".

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            UnsupportedEnvironment: if there is no policy for the spaces.
        """
        super().__init__(env, num_envs, seed, device, configuration(locals()))
        settings = self.config
        temperature = check_temperature_or_zero(settings["temperature"], 0.0)
        self._is_hard = temperature == 0
        self.model = SimulatorModel(
            self.masked(env, num_envs),
            unit(temperature),
            action_prior,
            horizon,
            self.worlds.number,
            settings["seed"],
            settings["discount"],
        )
        with self.randomness():
            if self.normaliser is not None:
                policy = Normalised(self.normaliser, default_policy(self.model, hidden) if policy is None else policy)
            self.guide = SimulatedGuide(self.model, policy, hidden).to(self.device)
            self.baseline: torch.nn.Module = Baseline(self.observations.features, hidden).to(self.device)
            if self.normaliser is not None:
                self.baseline = Normalised(self.normaliser, self.baseline)
        optim = PyroOptim(Adam, {"lr": settings["learning_rate"], "fused": True})
        self._svi = SVI(self.model, self.guide, optim, ToGoELBO(self.baseline, is_hard=self._is_hard))
        self._optimisers = _Optimisers(optim, self._parameters())

    def advance(self) -> Mapping[str, Tensor | float]:
        """Run whole episodes, and make a step of SVI. The first ones only measure if observations are normalised."""
        measures = self.normaliser is not None and self.normaliser.count == 0
        episodes, random = self.model.state(), generator_states(self.device)
        try:
            with self._recorded() as seen:
                loss = 0.0 if measures else float(self._svi.step())  # pyright: ignore[reportArgumentType]  no tuple here
                if measures:
                    self._run()
        except Exception:
            self.model.restore(episodes)
            set_generators(random, self.device)
            raise
        if not math.isfinite(loss) or not all(bool(each.isfinite().all()) for each in self._parameters()):
            raise LearningDiverged(
                f"The objective or a parameter is not finite after {self.total_steps} steps. Lower the learning rate, "
                "or scale the rewards, and continue from the last checkpoint."
            )
        for t, features in enumerate(seen):
            assert self.normaliser is not None
            self.normaliser.update(features[torch.from_numpy(self.model.lengths > t).to(features.device)])
        for total, length in zip(self.model.returns, self.model.lengths, strict=True):
            self.journal.ended(float(total), int(length))
        self.total_steps += int(self.model.lengths.sum())
        return {} if measures else {"discounted_return" if self._is_hard else "elbo": -loss}

    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Num[Tensor, "batch ..."]:
        """A sample from the policy, or its most probable action (the median in a box)."""
        policy: Any = self.guide.policy(features)
        if not deterministic:
            return policy.sample()
        if self.actions.is_discrete:
            return policy.logits.argmax(-1)
        return policy.median if hasattr(policy, "median") else policy.mean

    def parts(self) -> dict[str, Any]:
        """All that is saved, by name: networks, optimisers, and the number of resets so far."""
        return {
            "guide": self.guide,
            "baseline": self.baseline,
            "optimisers": self._optimisers,
            "episodes": self.model,
            **self.own_parts(),
        }

    @torch.no_grad()
    def _run(self) -> None:
        """Run whole episodes of the policy."""
        with poutine.block():
            self.guide()

    @contextmanager
    def _recorded(self) -> Iterator[list[Tensor]]:
        """A context that returns the features of each step in which the policy was asked; none without a normaliser."""
        policy = self.guide.policy
        if not isinstance(policy, Normalised):
            yield []
            return
        policy.recorded = []
        try:
            yield policy.recorded
        finally:
            policy.recorded = None

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [*self.guide.parameters(), *self.baseline.parameters()]


@final
class Baseline(torch.nn.Module):
    """The baseline b(s): a network that starts at 0."""

    def __init__(self, features: int, hidden: Sequence[int]) -> None:
        """Make the network."""
        super().__init__()
        self.network = Network(features, 1, hidden)
        torch.nn.init.zeros_(self.network.weights[-1])
        torch.nn.init.zeros_(self.network.biases[-1])

    def forward(self, observation: Float[Tensor, "batch feature"]) -> Float[Tensor, " batch"]:
        """The expected objective from the present observation on, in nats or, at temperature 0, in reward units."""
        return self.network(observation)[0, :, 0]


@final
class _Optimisers:
    """The state of a Pyro optimiser, which keeps one optimiser per parameter."""

    def __init__(self, optim: PyroOptim, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._optim, self._parameters = optim, {str(i): each for i, each in enumerate(parameters)}

    def state(self) -> dict[str, Any]:
        """The states of the existing optimisers, by the index of the parameter."""
        return states_of(self._optim, self._parameters)

    def check(self, state: Any) -> Problem | None:
        """The problem with a state, or None."""
        return check_of(self._optim, self._parameters, state)(state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state` returned."""
        restored(self._optim, self._parameters, state)
