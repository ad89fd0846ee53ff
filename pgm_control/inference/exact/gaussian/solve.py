"""Exact inference in a linear-quadratic model, by one backward sweep for any optimism.

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
    [watson2019] J. Watson, H. Abdulsamad and J. Peters, Stochastic optimal control as approximate input inference.
        Conference on Robot Learning, Proceedings of Machine Learning Research 100, pages 697–716, 2019.
        arXiv:1910.03003
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ....chance.gaussian import GaussianEquivalent, gaussian_equivalent
from ....chance.optimism import Optimism, OptimismLike
from ....errors import InvalidArgument
from ....problems.continuous.arrays import root
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.riccati import FINE, Swept, backward_sweep, prepared
from .breakdown import refuse_breakdown
from .posterior import GaussianPosterior


class Thetas(NamedTuple):
    """θ = β/τ of the dynamics and of the start, in 1/reward."""

    dynamics: float
    initial: float

    @classmethod
    def of(cls, model: GaussianModel, optimism: Optimism) -> "Thetas":
        """θ of an optimism at the temperature of the model.

        Raises:
            InvalidArgument: if a block has a table or factors, survival is not clamped while there is a discount, or
                the temperature is 0 and a β is neither 0 nor a `Risk`.
        """
        dynamics, initial, survival = optimism.at(model.temperature).numbers("a linear-quadratic model")
        if survival != 0 and model.problem.discount < 1:
            raise InvalidArgument(
                f"`optimism` of survival must be 0 with a discount, but is {survival:g}: values are not quadratic if "
                "survival may change. Clamp it, or use discount 1."
            )
        tau = model.temperature if model.temperature > 0 else 1.0
        return cls(dynamics / tau, initial / tau)


def infer_gaussian(model: GaussianModel, optimism: OptimismLike) -> GaussianPosterior:
    """The exact optimum of the objective of a linear-quadratic model; see `infer`.

    Raises:
        OptimismBreakdown: if the objective is unbounded at this optimism.
        InvalidArgument: if `optimism` does not fit the model.

    References:
        [jacobson1973], [whittle1981], [watson2019]
    """
    beta = Optimism.of(optimism)
    theta = Thetas.of(model, beta)
    swept = backward_sweep(prepared(model), torch.tensor(theta.dynamics, dtype=torch.float64))
    if bool((swept.reason != FINE).any()):
        refuse_breakdown(model, beta, theta.dynamics, theta.initial, swept)
    start = start_equivalent(model, swept, theta.initial)
    if not bool(start.is_finite.all()):
        refuse_breakdown(model, beta, theta.dynamics, theta.initial, swept)
    problem = model.problem
    mean = problem.initial_mean
    pull = (swept.P[..., 0, :, :] @ mean[..., None])[..., 0] + swept.p[..., 0, :]
    value = -((0.5 * (start.P @ mean[..., None])[..., 0] + start.p) * mean).sum(-1) - start.v
    transition, drift = believed_dynamics(problem.F, problem.d, swept, theta.dynamics, problem.discount)
    return GaussianPosterior(
        model=model,
        optimism=beta,
        value_hessian=swept.P,
        value_gradient=swept.p,
        value_constant=swept.v,
        initial_mean=mean - theta.initial * (start.covariance @ pull[..., None])[..., 0],
        initial_covariance=start.covariance if theta.initial else problem.initial_covariance,
        gain=swept.gain,
        offset=swept.offset,
        policy_covariance=swept.policy_covariance,
        transition=transition,
        drift=drift,
        noise=swept.noise if theta.dynamics else problem.W,
        value=value if value.dim() or value.requires_grad else value.item(),
    )


def start_equivalent(model: GaussianModel, swept: Swept, theta: float) -> GaussianEquivalent:
    """The certainty equivalent of the value of the start."""
    S, v = model.problem.initial_covariance, swept.v[..., 0]
    return gaussian_equivalent(swept.P[..., 0, :, :], swept.p[..., 0, :], v, root(S), torch.full_like(v, theta))


def believed_dynamics(F: Tensor, d: Tensor, swept: Swept, theta: float, discount: float) -> tuple[Tensor, Tensor]:
    """The mean of the believed next state, $(I - θSP)(Fz + d) - θSp$, as a matrix and a vector by step."""
    if theta == 0:
        return F, d
    P, p = discount * swept.P[..., 1:, :, :], discount * swept.p[..., 1:, :]
    SP = theta * swept.noise @ P
    moved = d - (SP @ d[..., None])[..., 0] - theta * (swept.noise @ p[..., None])[..., 0]
    return F - SP @ F, moved
