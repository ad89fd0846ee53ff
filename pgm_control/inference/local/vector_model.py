"""What local approximations need of a model over vectors, and the moments of its distributions."""

from typing import Any, NamedTuple, Protocol, TypeGuard, final, runtime_checkable

import torch
from jaxtyping import Float
from pyro.distributions import Delta
from torch import Tensor

from ...errors import InvalidProblem
from ...problems.continuous.planar import Planar
from ...problems.continuous.support import is_everywhere
from ...runtime.arguments import shown
from ...trajectories.gaussian.distributions import SingularNormal, gaussian

_AFFINE = 1e-9  # relative difference of numbers in double precision that are equal but for rounding
_ROUNDINGS = 100  # the same in another precision, in units of its own rounding


@runtime_checkable
class VectorModel(Protocol):
    """A model over vectors: `ContinuousModel`, or yours with these members."""

    horizon: int
    temperature: float
    problem: Any

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        ...

    def start(self) -> Any:
        """p(s_0), a distribution."""
        ...

    def action_prior(self, t: int, state: Tensor) -> Any:
        """ρ_t(a|s), a distribution with the batch shape of the states."""
        ...

    def dynamics(self, t: int, state: Tensor, action: Tensor) -> Any:
        """p_t(s'|s, a), a distribution with the batch shape of the states."""
        ...

    def log_factor(self, t: int, state: Tensor, action: Tensor, next_state: Tensor) -> Float[Tensor, "*batch"]:
        """r_t/τ, in nats."""
        ...


def is_vector_model(model: object) -> "TypeGuard[VectorModel]":
    """Whether a model has these members, and is not an ensemble."""
    return (
        not isinstance(model, type) and isinstance(model, VectorModel) and getattr(model, "num_members", None) is None
    )


def vector_model_of(model: object) -> VectorModel | None:
    """The model, or a problem in the plane as a model over vectors; None for any other.

    It takes and gives vectors in double precision: a model in another one is wrapped.
    """
    if is_vector_model(model):
        start = model.start()
        try:
            state, action = start.mean.dtype, model.action_prior(0, start.mean).mean.dtype
        except (NotImplementedError, AttributeError):
            return model  # refused by `moments`
        is_double = state == action == torch.float64
        return model if is_double else InDouble(model, state, action)
    if not isinstance(model, type) and isinstance(getattr(model, "problem", None), Planar):
        return PlanarVectors(model)
    return None


def payoff(model: VectorModel, t: int, state: Tensor, action: Tensor, ahead: Tensor) -> Float[Tensor, "*batch"]:
    """r_t(s, a, s') in nats, with the final reward in the last step."""
    found = model.log_factor(t, state, action, ahead)
    final = getattr(model.problem, "final_reward", None)
    if final is not None and t == model.horizon - 1:
        found = found + final(ahead) / model.temperature
    return found


def accuracy_of(model: VectorModel) -> float:
    """The relative difference of two numbers of a model that counts as rounding."""
    return model.accuracy if isinstance(model, InDouble) else _AFFINE


def log_density(distribution: Any, value: Tensor) -> Tensor:
    """The log-density of vectors in double precision, in the precision of the distribution itself."""
    return distribution.log_prob(value.to(dtype_of(distribution))).double()


def dtype_of(distribution: Any) -> torch.dtype:
    """The dtype of the draws; that of double precision if the distribution has no known mean."""
    try:
        return distribution.mean.dtype
    except (NotImplementedError, AttributeError):
        return torch.float64


def require_everywhere(name: str, distribution: Any) -> None:
    """Refuse a distribution with bounds, within which no Gaussian stays, with InvalidProblem."""
    if not is_everywhere(distribution):
        raise InvalidProblem(
            f"`{name}` must be a distribution without bounds, such as dist.Normal(…).to_event(1), for a Gaussian "
            f"guide and for ilqg, but is {shown(distribution)}. Take ClampedNeuralGuide or FreeNeuralGuide, which stay "
            "within bounds."
        )


@final
class InDouble:
    """A model over vectors in single precision that takes vectors, and gives rewards, in double precision.

    Its functions run in the precision of its start and its action prior, and so do their errors of rounding.

    Attributes:
        accuracy: the relative difference of two numbers that counts as rounding.
    """

    def __init__(self, model: VectorModel, state: torch.dtype, action: torch.dtype) -> None:
        """Take the model, and the dtypes of its states and actions."""
        self._model, self._state, self._action = model, state, action
        self.horizon, self.temperature = model.horizon, model.temperature
        final = getattr(model.problem, "final_reward", None)
        self.problem = _Rewards(None if final is None else lambda last: final(last.to(state)).double())
        self.accuracy = _ROUNDINGS * max(torch.finfo(state).eps, torch.finfo(action).eps)

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        self._model()

    def start(self) -> Any:
        """p(s_0)."""
        return self._model.start()

    def action_prior(self, t: int, state: Tensor) -> Any:
        """ρ_t(a|s)."""
        return self._model.action_prior(t, state.to(self._state))

    def dynamics(self, t: int, state: Tensor, action: Tensor) -> Any:
        """p_t(s'|s, a)."""
        return self._model.dynamics(t, state.to(self._state), action.to(self._action))

    def log_factor(self, t: int, state: Tensor, action: Tensor, next_state: Tensor) -> Float[Tensor, "*batch"]:
        """r_t/τ, in nats."""
        given = state.to(self._state), action.to(self._action), next_state.to(self._state)
        return self._model.log_factor(t, *given).double()


@final
class PlanarVectors:
    """A problem in the plane, such as `PlanarModel`, as a model over vectors."""

    def __init__(self, model: Any) -> None:
        """Take its problem, its temperature and the covariance of its action prior."""
        self.problem, self.temperature, self.horizon = (
            _Rewards(model.problem.final_reward_at),
            model.temperature,
            model.problem.horizon,
        )
        self._model, self._prior = model, torch.as_tensor(model.action_prior)

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        self._model()

    def start(self) -> Any:
        """p(s_0)."""
        given = self._model.problem
        mean = torch.as_tensor(given.initial_mean)
        if given.has_known_start:
            return Delta(mean, event_dim=1)
        return gaussian(mean, torch.as_tensor(given.initial_covariance))

    def action_prior(self, t: int, state: Tensor) -> Any:
        """ρ(a)."""
        return gaussian(torch.zeros_like(state), self._prior)

    def dynamics(self, t: int, state: Tensor, action: Tensor) -> Any:
        """p(s'|s, a)."""
        return gaussian(state + action, torch.as_tensor(self._model.problem.noise_covariance))

    def log_factor(self, t: int, state: Tensor, action: Tensor, next_state: Tensor) -> Float[Tensor, "*batch"]:
        """r_t/τ, in nats."""
        return self._model.problem.reward_at(t + 1, next_state) / self.temperature


class _Rewards(NamedTuple):
    """What `payoff` reads of a problem."""

    final_reward: Any


def moments(name: str, distribution: Any, batch: torch.Size) -> tuple[Tensor, Tensor]:
    """The means and covariances of a distribution of vectors, expanded to these batch axes.

    Raises:
        InvalidProblem: if it does not know them.
    """
    try:
        mean = distribution.mean
        covariance = getattr(_inner(distribution), "covariance_matrix", None)
        if covariance is None:
            covariance = torch.diag_embed(distribution.variance)
    except (NotImplementedError, AttributeError):
        mean, covariance = torch.tensor(torch.nan), torch.tensor(torch.nan)
    if not bool(mean.isfinite().all()) or not bool(covariance.isfinite().all()):
        raise InvalidProblem(
            f"`{name}` must be a distribution with a known mean and covariance, such as dist.Normal(…).to_event(1), "
            f"for a Gaussian guide, but is {shown(distribution)}. Networks, such as ClampedNeuralGuide, take any."
        )
    n, mean, covariance = mean.shape[-1], mean.double(), covariance.double()
    return mean.expand(*batch, n), covariance.expand(*batch, n, n)


def is_gaussian_distribution(distribution: Any) -> bool:
    """Whether a distribution is Gaussian with a density, so that its log-density is a quadratic form."""
    kinds = torch.distributions.Normal, torch.distributions.MultivariateNormal, SingularNormal
    return isinstance(_inner(distribution), kinds)


def _inner(distribution: Any) -> Any:
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return distribution
