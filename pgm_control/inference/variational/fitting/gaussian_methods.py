"""The methods of `fit` for Gaussian guides: natural gradient and exact optimum."""

from collections.abc import Sequence

import torch

from ....errors import InvalidArgument, InvalidGuide
from ....runtime.arguments import shown
from ....trajectories.gaussian.assignable import GaussianAssignable
from ....trajectories.gaussian.model import GaussianModel, is_gaussian
from ...local.vector_model import vector_model_of
from ..gaussian_elbo import GaussianELBO, gaussian_objective
from ..gaussian_natural_gradient import GaussianNaturalGradient
from ..svi_losses import ExactLoss
from .method import Method, rests


def is_gaussian_pair(model: object, guide: object) -> bool:
    """Whether a model is linear-quadratic or over vectors, and the guide Gaussian."""
    return isinstance(guide, GaussianAssignable) and (is_gaussian(model) or vector_model_of(model) is not None)


def needs_no_program(model: object, guide: object, loss: object) -> bool:
    """Whether a linear-quadratic model and a Gaussian guide are fitted without running either as a program.

    Raises:
        InvalidGuide: if the guide is of a model with other shapes.
    """
    if not is_gaussian(model) or not isinstance(guide, GaussianAssignable):
        return False
    if loss is not None and not isinstance(loss, ExactLoss):
        return False
    found, due = tuple(guide.factors().transition.shape), tuple(model.problem.F.shape)
    if found != due:
        raise InvalidGuide(
            f"`guide` must be a guide of this model, whose dynamics have shape {due}, but its own have {found}. Build "
            "it from this model."
        )
    return True


def exact_gaussian(model: GaussianModel, guide: GaussianAssignable) -> Method:
    """A single step that sets the guide to its exact optimum."""
    _require_linear_quadratic(model)

    def update() -> float:
        with torch.no_grad():
            before = float(gaussian_objective(model, guide, guide.optimism))
        guide.assign(guide.optimum())
        return before

    name = GaussianELBO(guide.optimism).objective_name
    return Method(update, lambda history, tolerance: True, {"method": "exact"}, objective_name=name)


def gaussian_natural_gradient(model: object, guide: GaussianAssignable, step_size: float) -> Method:
    """A step of the natural gradient, at quasi-random points (see `GaussianNaturalGradient`).

    A step raises OptimismBreakdown if the objective is unbounded; so does the end of a fit at a guide around which the
    linear-quadratic problem has no solution.

    Raises:
        InvalidArgument: if the model is linear-quadratic.
    """
    vectors = None if is_gaussian(model) else vector_model_of(model)
    if vectors is None:
        raise InvalidArgument(
            f'`model` must be over vectors, such as ContinuousModel, for method="natural_gradient" and a Gaussian '
            f'guide, but is {shown(model)}. Use method="exact", which solves a linear-quadratic model in one sweep.'
        )
    way = GaussianNaturalGradient(vectors, guide, step_size)
    name = GaussianELBO(guide.optimism).objective_name
    if not way.is_exact:
        name = f"{name} at Gaussian marginals"
    description = {"method": "natural_gradient of a Gaussian guide"}

    def has_converged(history: Sequence[float], tolerance: float) -> bool:
        ends = rests(history, tolerance)
        if ends:
            way.require_bounded()
        return ends

    return Method(way.step, has_converged, description, objective_name=name, remeasured=way.remeasured)


def exact_elbo_of(model: object, guide: object) -> float | None:
    """The exact ELBO of a Gaussian guide of a linear-quadratic model, in nats; None for any other pair."""
    if not is_gaussian(model) or not isinstance(guide, GaussianAssignable):
        return None
    with torch.no_grad():
        return GaussianELBO().bound(model, guide).item()


def _require_linear_quadratic(model: object) -> None:
    if not is_gaussian(model):
        raise InvalidArgument(
            f'`model` must be a LinearQuadraticModel for method="exact" and a Gaussian guide, but is {shown(model)}. '
            'Use method="natural_gradient".'
        )
