r"""The objective of linear-quadratic models, differentiable in all of their numbers, for a batch in one call.

By the envelope theorem the derivative of the objective is one forward sweep of the believed moments $M = E zz'$:

$$\frac{\partial J}{\partial C_t} = -\frac{M}{2\tau}, \quad \frac{\partial J}{\partial [A\,B]_t}
    = -\frac{\tilde PFM + (\tilde Pd + \tilde p)E z'}{\tau}, \quad
    \frac{\partial J}{\partial W_t} = \frac{\theta E gg' - \tilde P}{2\tau}, \quad g = \tilde P(Fz + d) + \tilde p$$
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ....chance.optimism import Optimism
from ....chance.risk import Risk
from ....errors import InvalidArgument
from ....problems.continuous.arrays import root
from ....runtime.arguments import shown
from ....text.one_line import one_line
from ....trajectories.gaussian.blocks import GaussianBlocks, GaussianMarginals
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.model import log_det as covariance_log_det
from ....trajectories.gaussian.riccati import FINE, Prepared, Swept, backward_sweep, prepared
from .solve import refuse_breakdown, start_equivalent


@final
@dataclass(frozen=True, eq=False)
class GaussianValues:
    """The values of linear-quadratic models; `value` and `objective` are differentiable.

    Attributes:
        objective: the optimum of J_β, in nats; log p(O) if start and dynamics are free and there is no discount.
        value: τ times the objective, in reward units.
        value_hessian, value_gradient, value_constant: P, p and v, as numbers.
        gain, offset, policy_covariance: the policy, as numbers.
    """

    objective: Float[Tensor, "*batch"]
    value: Float[Tensor, "*batch"]
    value_hessian: Float[Tensor, "*batch time_and_last state state"]
    value_gradient: Float[Tensor, "*batch time_and_last state"]
    value_constant: Float[Tensor, "*batch time_and_last"]
    gain: Float[Tensor, "*batch time action state"]
    offset: Float[Tensor, "*batch time action"]
    policy_covariance: Float[Tensor, "*batch time action action"]

    __repr__ = one_line


def gaussian_values(model: GaussianModel, optimism: Any, temperature: Any = None) -> GaussianValues:
    """`soft_values` of a linear-quadratic model.

    Raises:
        OptimismBreakdown: if an objective is unbounded.
        InvalidArgument: if an argument does not fit.
    """
    tau = _by_problem(model, "temperature", model.temperature if temperature is None else temperature)
    if bool((tau.detach() <= 0).any()):
        raise InvalidArgument(f"`temperature` must be positive, but is {float(tau.detach().min()):g}.")
    dynamics, initial = _thetas(model, optimism, tau)
    given, problem = prepared(model, tau), model.problem
    found = _Value.apply(
        *given[:2], problem.W, *given[3:10], dynamics, initial, problem.initial_mean, problem.initial_covariance,
        given.discount,
    )  # fmt: skip
    value, swept, finite = found[0], Swept(*found[1:-1]), found[-1]
    if not bool(finite.all()):
        _refuse(model, optimism, tau, dynamics, initial, swept)
    return GaussianValues(
        value / tau, value, swept.P, swept.p, swept.v, swept.gain, swept.offset, swept.policy_covariance
    )


def _by_problem(model: GaussianModel, name: str, given: Any) -> Tensor:
    """A number for each problem of the batch."""
    value = torch.as_tensor(given, dtype=torch.float64) if isinstance(given, float | int | np.number) else given
    value = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if not isinstance(value, Tensor):
        raise InvalidArgument(
            f"`{name}` must be a number, or one for each problem of the batch, but is {shown(given)}."
        )
    if not bool(value.detach().isfinite().all()):
        raise InvalidArgument(f"`{name}` must be finite, but is {shown(given)}.")
    try:
        return value.double().expand(model.problem.batch_shape)
    except RuntimeError:
        raise InvalidArgument(
            f"`{name}` must be a number, or have the batch axes {model.problem.batch_shape} of the problem, but has "
            f"shape {tuple(value.shape)}."
        ) from None


def _thetas(model: GaussianModel, optimism: Any, tau: Tensor) -> tuple[Tensor, Tensor]:
    """θ of the dynamics and of the start."""
    if isinstance(optimism, Optimism):
        parts = optimism.dynamics, optimism.initial
        if optimism.survival != 0.0 and model.problem.discount < 1:
            raise InvalidArgument(
                "`optimism` of survival must be 0 with a discount: values are not quadratic otherwise."
            )
    else:
        parts = optimism, optimism
    return tuple(
        _by_problem(model, "optimism", each.theta)
        if isinstance(each, Risk)
        else _by_problem(model, "optimism", each) / tau
        for each in parts
    )  # pyright: ignore[reportReturnType]


def _refuse(model: GaussianModel, optimism: Any, tau: Tensor, dynamics: Tensor, initial: Tensor, swept: Swept) -> None:
    known = (
        optimism if isinstance(optimism, float | Risk | Optimism) else float(dynamics.flatten()[0] * tau.flatten()[0])
    )
    refuse_breakdown(model, Optimism.of(known), float(dynamics.flatten()[0]), float(initial.flatten()[0]), swept)


class _Value(torch.autograd.Function):
    """The value of the start, in reward units; its derivatives by one forward sweep."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        F, d, W, hessian, gradient, constant, P, p, v, tau, dynamics, initial, mean, spread, discount = inputs
        given = Prepared(F, d, root(W), hessian, gradient, constant, P, p, v, tau, discount)
        swept = backward_sweep(given, dynamics)
        start = start_equivalent(swept, root(spread), initial)
        value = -((0.5 * (start.P @ mean[..., None])[..., 0] + start.p) * mean).sum(-1) - start.v
        ctx.discount = discount
        ctx.save_for_backward(
            F, d, given.noise_root, dynamics, initial, mean, tau, *swept[:9], start.P, start.p, start.covariance,
            root(spread),
        )  # fmt: skip
        finite = (swept.reason == FINE) & start.is_finite
        ctx.mark_non_differentiable(*swept, finite)
        return (value, *swept, finite)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        F, d, L, theta, initial, mean, tau, *rest = ctx.saved_tensors
        swept, (start_P, start_p, start_S, start_root) = rest[:9], rest[9:]
        P, p, _, K, kappa, policy, ahead_P, ahead_p, S = swept
        steps = d.shape[-2]
        weight = ctx.discount ** torch.arange(steps + 1, dtype=d.dtype)
        scale = upstream[..., None] * weight  # (*batch, T + 1)
        at = theta[..., None, None, None]
        next_P, next_p = ctx.discount * P[..., 1:, :, :], ctx.discount * p[..., 1:, :]
        SP = at * S @ next_P
        drift = d - (SP @ d[..., None])[..., 0] - theta[..., None, None] * (S @ next_p[..., None])[..., 0]
        pulled = (P[..., 0, :, :] @ mean[..., None])[..., 0] + p[..., 0, :]
        believed_mean = mean - initial[..., None] * (start_S @ pulled[..., None])[..., 0]
        found = GaussianBlocks(believed_mean, start_S, K, kappa, policy, F - SP @ F, drift, S).marginals()
        z, M = found.mean, found.covariance + found.mean[..., :, None] * found.mean[..., None, :]
        each, wide, matrix = scale[..., :-1], scale[..., :-1, None], scale[..., :-1, None, None]
        reached = (ahead_P @ d[..., None])[..., 0] + ahead_p
        pull = ahead_P @ F
        g = (pull @ z[..., None])[..., 0] + reached
        gg = pull @ found.covariance @ pull.mT + g[..., :, None] * g[..., None, :]
        last = found.last_mean
        last_M = found.last_covariance + last[..., :, None] * last[..., None, :]
        of_start = (start_P @ mean[..., None])[..., 0] + start_p
        end = scale[..., -1]
        m = kappa.shape[-1]
        # The derivative of the cost by τ, for fixed prepared numbers, is ½ log det Haa with Haa = τ Σ⁻¹.
        log_det = m * tau.log()[..., None] - covariance_log_det(policy)
        price = _price(L, next_P, next_p, theta, F, d, found)
        start_value = _start_price(start_root, P[..., 0, :, :], pulled, initial)
        return (
            -matrix * (pull @ M + reached[..., :, None] * z[..., None, :]),
            -wide * g,
            0.5 * matrix * (at * gg - ahead_P),
            -0.5 * matrix * M,
            -wide * z,
            -each,
            -0.5 * end[..., None, None] * last_M,
            -end[..., None] * last,
            -end,
            -0.5 * (each * log_det).sum(-1),
            (each * price).sum(-1),
            upstream * start_value,
            -upstream[..., None] * of_start,
            0.5
            * upstream[..., None, None]
            * (initial[..., None, None] * of_start[..., :, None] * of_start[..., None, :] - start_P),
            None,
        )


def _price(L: Tensor, P: Tensor, p: Tensor, theta: Tensor, F: Tensor, d: Tensor, found: GaussianMarginals) -> Tensor:
    """KL/θ² of the believed dynamics from the true ones by step, in nats times reward²; also at θ = 0."""
    X = L.mT @ P @ L
    M = torch.eye(X.shape[-1], dtype=X.dtype) + theta[..., None, None, None] * X
    pull = torch.linalg.solve(M, L.mT @ P @ F)
    base = torch.linalg.solve(M, (L.mT @ (P @ d[..., None] + p[..., None])))[..., 0]
    centre = (pull @ found.mean[..., None])[..., 0] + base
    square = centre.square().sum(-1) + ((pull @ found.covariance) * pull).sum((-2, -1))
    return 0.5 * square + _spread_price(X, theta[..., None])


def _start_price(L: Tensor, P: Tensor, pulled: Tensor, theta: Tensor) -> Tensor:
    """KL/θ² of the believed start from the true one."""
    X = L.mT @ P @ L
    M = torch.eye(X.shape[-1], dtype=X.dtype) + theta[..., None, None] * X
    centre = torch.linalg.solve(M, (L.mT @ pulled[..., None]))[..., 0]
    return 0.5 * centre.square().sum(-1) + _spread_price(X, theta)


def _spread_price(X: Tensor, theta: Tensor) -> Tensor:
    """Σ ½ (log(1 + x) − x/(1 + x)) / θ² over x = θλ of the eigenvalues λ of X: λ²/4 at θ = 0."""
    eigenvalues = torch.linalg.eigvalsh(X)
    x = theta[..., None] * eigenvalues
    small = x.abs() < 1e-2
    series = 0.25 - x / 3 + 3 * x**2 / 8 - 2 * x**3 / 5 + 5 * x**4 / 12 - 3 * x**5 / 7 + 7 * x**6 / 16
    used = torch.where(small, 1.0, x)
    closed = (torch.log1p(used) - used / (1 + used)) / (2 * used**2)
    return (eigenvalues.square() * torch.where(small, series, closed)).sum(-1)
