"""What there is in place of tables for models whose states are vectors, in words for error messages."""

from ...problems.continuous.line import Line
from ...problems.continuous.planar import Planar
from ...problems.continuous.problem import ContinuousProblem
from .model import is_gaussian


def what_takes(model: object) -> str | None:
    """A sentence with the functions that take a continuous model; None for any other object."""
    if isinstance(model, type):
        return None
    if is_gaussian(model):
        return (
            "For a linear-quadratic model there are infer, evaluate, ledger, scorecard, frontier, explain and compare "
            "in closed form, and estimate and smc by sampling."
        )
    problem = getattr(model, "problem", None)
    if isinstance(problem, Planar | Line):
        where = "in the plane" if isinstance(problem, Planar) else "on a line"
        return (
            f"For a problem {where} there are infer, evaluate, ledger, scorecard, frontier, explain and compare "
            "on a mesh, and estimate, return_distribution and smc by sampling."
        )
    if isinstance(problem, ContinuousProblem):
        return (
            "A model over vectors is not solved exactly: fit(model, ClampedNeuralGuide(model), OnePassELBO(128)), "
            'fit(model, ClampedGaussianGuide(model), method="natural_gradient") and ilqg(model) find a policy, and '
            "estimate, scorecard, return_distribution, diagnose and smc sample."
        )
    return None
