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

from dataclasses import fields
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....chance.gaussian import GaussianEquivalent, gaussian_equivalent
from ....chance.optimism import Optimism, OptimismLike
from ....errors import InvalidArgument
from ....problems.continuous.arrays import root
from ....trajectories.gaussian.blocks import GaussianBlocks
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.riccati import FINE, Prepared, Swept, prepared
from ....trajectories.gaussian.sweep import believed_noise, needs_graph, sweep
from .breakdown import refuse_breakdown, require_float64
from .one_problem import optimum_of_one
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
        InvalidArgument: if `optimism` does not fit the model, a singular covariance needs gradients, or float64 cannot
            hold the squares of the numbers of the model.

    References:
        [jacobson1973], [whittle1981], [watson2019]
    """
    beta = Optimism.of(optimism)
    theta = Thetas.of(model, beta)
    _require_derivatives(model)
    given = prepared(model)
    found = optimum(model, given, *(torch.tensor(each, dtype=torch.float64) for each in theta))
    if not bool(found.is_finite.all()):
        refuse_breakdown(model, beta, theta.dynamics, theta.initial, found.swept)
    require_float64(given, found.swept)
    swept, value = found.swept, found.value
    return GaussianPosterior(
        model=model,
        optimism=beta,
        value_hessian=swept.P,
        value_gradient=swept.p,
        value_constant=swept.v,
        value=value if value.dim() or value.requires_grad else value.item(),
        **{each.name: getattr(found.blocks, each.name) for each in fields(found.blocks)},
    )


def _require_derivatives(model: GaussianModel) -> None:
    """Refuse gradients in a singular covariance, of which the root, through which the graph goes, has none."""
    for name in ("W", "initial_covariance") if torch.is_grad_enabled() else ():
        each: Tensor = getattr(model.problem, name)
        if each.requires_grad and bool(torch.linalg.cholesky_ex(each.detach()).info.any()):
            raise InvalidArgument(
                f"`{name}` must be positive definite where it needs gradients, but is singular. "
                "soft_values(model, optimism).objective has them; or infer within torch.no_grad()."
            )


class Optimum(NamedTuple):
    """The optimum of the objective: a backward sweep, the factors, and τ times the objective, where it is bounded."""

    swept: Swept
    blocks: GaussianBlocks
    value: Float[Tensor, "*batch"]
    is_finite: Bool[Tensor, "*batch"]


def optimum(
    model: GaussianModel, given: Prepared, dynamics: Float[Tensor, "*batch"], initial: Float[Tensor, "*batch"]
) -> Optimum:
    """The optimum for θ of the dynamics and of the start, by problem.

    Where it is unbounded the numbers have no meaning. Blocks with θ = 0 are those of the model, to the last bit.

    Args:
        model: the model.
        given: its numbers, with the batch axes of θ.
        dynamics: θ of the dynamics, in 1/reward.
        initial: θ of the start.
    """
    problem, swept = model.problem, sweep(given, dynamics)
    start_root = root(problem.initial_covariance)
    if swept.v.dim() == 1 and not needs_graph(given, dynamics, initial, problem.initial_mean, start_root):
        one = optimum_of_one(model, given, swept, start_root, float(dynamics), float(initial))
        if one is not None:
            return Optimum(swept, one[0], torch.tensor(one[1], dtype=torch.float64), torch.tensor(True))
    start = start_equivalent(swept, start_root, initial)
    mean = problem.initial_mean.expand(*start.p.shape)
    pull = times(swept.P[..., 0, :, :], mean) + swept.p[..., 0, :]
    theta, gamma = dynamics.expand(start.v.shape)[..., None, None, None], given.discount
    noise = believed_noise(given, swept, dynamics.expand(start.v.shape))
    pulled = theta * gamma * noise @ swept.P[..., 1:, :, :]  # θSP of the mean of the believed next state
    drift = given.drift - times(pulled, given.drift) - theta[..., 0] * gamma * times(noise, swept.p[..., 1:, :])
    of_start = initial[..., None]
    blocks = GaussianBlocks(
        mean - of_start * times(start.covariance, pull),
        torch.where(of_start[..., None] == 0, problem.initial_covariance, start.covariance),
        swept.gain,
        swept.offset,
        swept.policy_covariance,
        torch.where(theta == 0, given.transition, given.transition - pulled @ given.transition),
        torch.where(theta[..., 0] == 0, given.drift, drift),
        torch.where(theta == 0, problem.W, noise),
    )
    value = -((0.5 * times(start.P, mean) + start.p) * mean).sum(-1) - start.v
    return Optimum(swept, blocks, value, (swept.reason == FINE) & start.is_finite & value.isfinite())


def start_equivalent(swept: Swept, start_root: Tensor, theta: Tensor) -> GaussianEquivalent:
    """The certainty equivalent of the value of the start; that of 0 where the sweep ended before."""
    ended = swept.reason != FINE
    P = torch.where(ended[..., None, None], 0.0, swept.P[..., 0, :, :])
    p, v = torch.where(ended[..., None], 0.0, swept.p[..., 0, :]), torch.where(ended, 0.0, swept.v[..., 0])
    return gaussian_equivalent(P, p, v, start_root, theta.to(v).expand(v.shape))


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """The product of matrices and vectors with the same batch axes."""
    return (matrix @ vector[..., None])[..., 0]
