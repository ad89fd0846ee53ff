"""The clamped guide of a simulator, and policies for it."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from pyro.distributions import Categorical
from pyro.distributions.torch_distribution import TorchDistribution, TorchDistributionMixin
from torch import Tensor
from torch.distributions import Distribution, constraints

from pgm_control.environments.spaces import Actions, Observations
from pgm_control.errors import InvalidArgument, InvalidGuide
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.networks.mlp import Network
from pgm_control.networks.squashed_gaussian import SquashedGaussian
from pgm_control.runtime.arguments import shown
from pgm_control.runtime.programs import require_callable
from pgm_control.runtime.randomness import seeded

_ONE = torch.Size()  # a single sample
_LEAST, _MOST = -5.0, 2.0  # bounds of log σ; beyond them floats cannot distinguish actions


@runtime_checkable
class SimulatedWorld(Protocol):
    """The protocol that this guide requires of its model; `SimulatorModel` implements it."""

    observations: Observations
    actions: Actions

    def prior(self, observation: Float[Tensor, "batch feature"]) -> Distribution:
        """The action prior ρ for a batch of observations."""
        ...

    def to(self, device: torch.device | None, dtype: torch.dtype | None) -> object:
        """Set the device and the dtype of future tensors."""
        ...

    def run(self, policy: Callable[[Tensor], Distribution], is_model: bool = False) -> None:
        """Run episodes with this policy, as a Pyro program."""
        ...


@final
class SimulatedGuide(torch.nn.Module):
    r"""Learn a policy network; keep the dynamics of the simulator.

    $$q = p(s_0) \prod_t \pi_\theta(a_t \mid s_t)\, p(s_{t+1}, r_t \mid s_t, a_t)$$

    The guide steps the environment with the same distribution as the model, so p cancels in the ELBO, which is the
    max-ent objective $E[\sum_t \gamma^t (r_t/\tau - \log \pi_t/\rho)]$. Actions are not reparameterised: the gradient
    of the reward through a simulator outside torch would silently be zero. Fit the guide with `ToGoELBO`.

    Attributes:
        policy: the module that maps observations to a distribution over actions.
    """

    def __init__(
        self,
        model: SimulatedWorld,
        policy: torch.nn.Module | None = None,
        hidden: Sequence[int] = (64, 64),
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Set the policy, or create one.

        Args:
            model: the model whose sites this guide samples.
            policy: any module from (batch, features) to a Pyro distribution over a batch of actions: indices, or points
                of [−1, 1]^d. Default: a `CategoricalPolicy` or a `SquashedGaussianPolicy`.
            hidden: the number of units of each hidden layer of the default policy.
            seed: an integer, a generator, or None for torch's global generator: for the weights of the default policy.

        Raises:
            InvalidArgument: if the model is not a simulator, or the policy is not a module.
        """
        super().__init__()
        require_simulated(model)
        if policy is not None and not isinstance(policy, torch.nn.Module):
            raise InvalidArgument(
                f"`policy` must be a torch.nn.Module, whose parameters are fitted, but is {shown(policy)}. Put it into "
                "the `forward` of a module."
            )
        if policy is not None:
            require_callable("policy", policy, "the observations")
        self._model = [model]  # in a list, so that torch does not register it as a submodule
        with seeded(seed):
            self.policy = default_policy(model, hidden) if policy is None else policy

    @property
    def model(self) -> SimulatedWorld:
        """The model whose sites this guide samples."""
        return self._model[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SimulatedGuide":
        """Move the guide and, in place, its model; torch calls this for every method that moves a module."""
        for parameter in self.parameters():
            like = fn(parameter.detach().flatten()[:0])
            self.model.to(like.device, like.dtype)
            break
        return super()._apply(fn, recurse)

    def forward(self) -> None:
        """Run episodes, as a Pyro program."""
        announce_parameters(self)
        self.model.run(self._choose)

    def _choose(self, observation: Float[Tensor, "batch feature"]) -> Distribution:
        found: Any = self.policy(observation)
        event = () if self.model.actions.is_discrete else (self.model.actions.size,)
        if not isinstance(found, TorchDistributionMixin) or (found.batch_shape, found.event_shape) != (
            observation.shape[:-1],
            torch.Size(event),
        ):
            shapes = [tuple(getattr(found, f"{each}_shape", ())) for each in ("batch", "event")]
            raise InvalidGuide(
                f"`policy` must give a Pyro distribution of batch shape {tuple(observation.shape[:-1])} and event "
                f"shape {event}, but gives a {type(found).__name__} with {shapes[0]} and {shapes[1]}. Call "
                ".to_event(1) on one that has its coordinates in the batch."
            )
        return WithoutPath(found) if found.has_rsample else found


def require_simulated(model: object) -> None:
    """Require a simulated model.

    Raises:
        InvalidArgument: if it is not; the message names what it is, and the remedy.
    """
    if not isinstance(model, SimulatedWorld):
        kind = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise InvalidArgument(
            f"`model` must be simulated, such as SimulatorModel(env, temperature), but is {kind}. For a tabular one "
            "take ClampedGuide or NeuralGuide."
        )


@final
class WithoutPath(TorchDistribution):
    """Any distribution, but its samples carry no gradient; expanding it keeps this property."""

    has_rsample = False

    def __init__(self, base: Any) -> None:
        """Wrap a distribution."""
        self.base = base
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """None: the distribution has checked its parameters itself."""
        return {}

    @property
    def support(self) -> constraints.Constraint:
        """The support of the distribution."""
        return self.base.support

    def expand(self, batch_shape: Sequence[int], _instance: None = None) -> "WithoutPath":
        """The same distribution, expanded to a larger batch."""
        return WithoutPath(self.base.expand(torch.Size(batch_shape)))

    def sample(self, sample_shape: Sequence[int] = _ONE) -> Tensor:
        """Samples that are not differentiable."""
        with torch.no_grad():
            return self.base.sample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, in nats, differentiable in the parameters."""
        return self.base.log_prob(value)


def default_policy(model: SimulatedWorld, hidden: Sequence[int] = (64, 64)) -> torch.nn.Module:
    """Return a categorical policy for discrete actions, a squashed Gaussian for continuous ones."""
    inputs, size = model.observations.features, model.actions.size
    if model.actions.is_discrete:
        return CategoricalPolicy(inputs, size, hidden, model.prior)
    return SquashedGaussianPolicy(inputs, size, hidden)


@final
class CategoricalPolicy(torch.nn.Module):
    r"""$\pi(a \mid s) \propto \rho(a \mid s) \exp f_\theta(s)_a$; it starts at the prior and has its support."""

    def __init__(
        self,
        features: int,
        actions: int,
        hidden: Sequence[int] = (64, 64),
        prior: Callable[[Tensor], Distribution] | None = None,
    ) -> None:
        """Build a network of these sizes; for one-hot features and no hidden layers it is a table.

        Args:
            features: the number of features of an observation.
            actions: the number of actions.
            hidden: the number of units of each hidden layer.
            prior: ρ, a function from a batch of observations to a Categorical (default: uniform).
        """
        super().__init__()
        self.network = _at_rest(Network(features, actions, hidden))
        self._prior = prior

    def forward(self, observation: Float[Tensor, "batch feature"]) -> Distribution:
        """The distribution over actions for each observation."""
        logits = self.network(observation)[0]
        if self._prior is None:
            return Categorical(logits=logits)
        prior: Any = self._prior(observation)
        return Categorical(logits=logits + prior.logits)


@final
class SquashedGaussianPolicy(torch.nn.Module):
    """A squashed Gaussian with mean and log-scale from a network; it starts near the uniform prior."""

    def __init__(self, features: int, size: int, hidden: Sequence[int] = (64, 64)) -> None:
        """Build a network of these sizes.

        Args:
            features: the number of features of an observation.
            size: the dimension of an action, d.
            hidden: the number of units of each hidden layer.
        """
        super().__init__()
        self.network = _at_rest(Network(features, 2 * size, hidden))

    def forward(self, observation: Float[Tensor, "batch feature"]) -> Distribution:
        """The distribution over actions for each observation."""
        loc, raw = self.network(observation)[0].chunk(2, -1)
        log_scale = _LEAST + (_MOST - _LEAST) * torch.sigmoid(raw + math.log(-_LEAST / _MOST))  # 0 at 0
        return SquashedGaussian(loc, log_scale)


def _at_rest(network: Network) -> Network:
    """Set the last layer of a network to zero, and return the network."""
    torch.nn.init.zeros_(network.weights[-1])
    torch.nn.init.zeros_(network.biases[-1])
    return network
