"""What inference needs of a linear-quadratic model, and its action prior."""

from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import TypeIs

from ...errors import InvalidProblem
from ...problems.continuous.arrays import array, covariance
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.array_like import ArrayLike
from ...text.one_line import one_line


@final
@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """An action prior $N(Gs + g, U)$ that may depend on the state, and on time.

    Attributes:
        gain: G, (m, n), or with an axis of time in front, and batch axes before that.
        offset: g, (m).
        covariance: U, (m, m), positive definite.
    """

    gain: Float[Tensor, "*batch action state"] | Any
    offset: Float[Tensor, "*batch action"] | Any
    covariance: Float[Tensor, "*batch action action"] | Any

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the shapes, and that the covariance is positive definite.

        Raises:
            InvalidProblem: if they do not fit together.
        """
        U = array("covariance", self.covariance, (None, None), timed=True)
        m = U.shape[-1]
        U = covariance("covariance", array("covariance", U, (m, m), timed=True), regular=True)
        object.__setattr__(self, "covariance", U)
        object.__setattr__(self, "gain", array("gain", self.gain, (m, None), timed=True))
        object.__setattr__(self, "offset", array("offset", self.offset, (m,), timed=True))

    @classmethod
    def of(cls, given: "GaussianPrior | ArrayLike | None", problem: LinearQuadratic) -> "GaussianPrior | None":
        """The prior of an argument: a covariance U, a `GaussianPrior`, or None for Lebesgue measure.

        Raises:
            InvalidProblem: if it does not fit the problem.
        """
        if given is None:
            return None
        n, m = problem.num_states, problem.num_actions
        if not isinstance(given, GaussianPrior):
            U = array("action_prior", given, (m, m), timed=True)
            U = covariance("action_prior", U, regular=True)
            given = cls(U.new_zeros(m, n), U.new_zeros(m), U)
        sizes = tuple(given.gain.shape[-2:])
        if sizes != (m, n):
            raise InvalidProblem(
                f"`action_prior` must have a gain of shape {(m, n)} for {m} actions and {n} states, but has {sizes}."
            )
        return given


@runtime_checkable
class GaussianModel(Protocol):
    """A linear-quadratic model: `LinearQuadraticModel`, or yours with these attributes."""

    problem: LinearQuadratic
    temperature: float
    action_prior: GaussianPrior | None

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        ...


def is_gaussian(model: object) -> TypeIs[GaussianModel]:
    """Whether a model is linear-quadratic."""
    return not isinstance(model, type) and isinstance(getattr(model, "problem", None), LinearQuadratic)


def one_problem(model: GaussianModel, what: str) -> LinearQuadratic:
    """The problem of a model that must not be a batch.

    Raises:
        InvalidProblem: if it is.
    """
    if model.problem.batch_shape:
        raise InvalidProblem(
            f"`model` must be one problem for {what}, but is a batch {model.problem.batch_shape}. Choose one of them: "
            "problem[index]."
        )
    return model.problem


def timed_prior(model: GaussianModel) -> tuple[Tensor, Tensor, Tensor] | None:
    """G, g and U of the action prior with all batch axes and the axis of time; None for Lebesgue measure."""
    prior, problem = model.action_prior, model.problem
    if prior is None:
        return None
    n, m = problem.num_states, problem.num_actions
    front = (*problem.batch_shape, problem.horizon)
    try:
        return (
            prior.gain.expand(*front, m, n),
            prior.offset.expand(*front, m),
            prior.covariance.expand(*front, m, m),
        )
    except RuntimeError:
        raise InvalidProblem(
            f"`action_prior` must have the axes of the problem, {front}, in front of its matrices, but has "
            f"gain {tuple(prior.gain.shape)}, offset {tuple(prior.offset.shape)} and covariance "
            f"{tuple(prior.covariance.shape)}."
        ) from None


def log_det(covariances: Tensor) -> Tensor:
    """log det of positive definite matrices."""
    return 2.0 * torch.linalg.cholesky(covariances).diagonal(dim1=-2, dim2=-1).log().sum(-1)
