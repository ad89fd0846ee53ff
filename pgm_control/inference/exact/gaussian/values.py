r"""The objective of linear-quadratic models, differentiable in all of their numbers, for a batch in one call.

By the envelope theorem the derivative of the objective is one forward sweep of the believed moments $M = E zz'$:

$$\frac{\partial J}{\partial C_t} = -\frac{M}{2\tau}, \quad \frac{\partial J}{\partial [A\,B]_t}
    = -\frac{\tilde PFM + (\tilde Pd + \tilde p)E z'}{\tau}, \quad
    \frac{\partial J}{\partial W_t} = \frac{\theta E gg' - \tilde P}{2\tau}, \quad g = \tilde P(Fz + d) + \tilde p$$
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ....chance.optimism import Optimism
from ....chance.risk import Risk
from ....errors import InvalidArgument
from ....problems.continuous.arrays import no_truth_values, root
from ....runtime.arguments import shown
from ....text.one_line import one_line
from ....trajectories.gaussian.blocks import GaussianBlocks
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.model import log_det as covariance_log_det
from ....trajectories.gaussian.riccati import FINE, Prepared, Swept, prepared, shared
from ....trajectories.gaussian.sweep import ahead_of, slopes, sweep_and_arrays
from .breakdown import refuse_breakdown, require_float64
from .solve import start_equivalent, times


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
    flat, batch = given.flat(), problem.batch_shape
    front = len(batch)
    found = _Value.apply(
        *flat[:2], shared(problem.W, front, timed=True), *flat[3:9],
        *(each.expand(batch).reshape(-1) for each in (tau, dynamics, initial)),
        shared(problem.initial_mean, front, timed=False), shared(problem.initial_covariance, front, timed=False),
        given.discount, problem.horizon,
    )  # fmt: skip
    value, *numbers, finite = (each.reshape((*batch, *each.shape[1:])) for each in found)
    swept = Swept(*numbers)
    if not bool(finite.all()):
        _refuse(model, optimism, tau, dynamics, initial, swept)
    require_float64(given, swept)
    return GaussianValues(
        value / tau, value, swept.P, swept.p, swept.v, swept.gain, swept.offset, swept.policy_covariance
    )


def _by_problem(model: GaussianModel, name: str, given: Any) -> Tensor:
    """A number for each problem of the batch."""
    value = no_truth_values(name, given, InvalidArgument)
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
    """The values of the starts, in reward units; their derivatives by one forward sweep.

    All tables have one axis of problems, and axes of size 1 where problems or times share them.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        F, d, W, hessian, gradient, constant, P, p, v, tau, dynamics, initial, mean, spread, discount, steps = inputs
        flat = Prepared(F, d, root(W), hessian, gradient, constant, P, p, v, tau, discount)
        given = flat.full(len(tau), steps)
        swept, arrays = sweep_and_arrays(given, dynamics)
        mean, spread = mean.expand(*swept.p[:, 0].shape), spread.expand(*swept.P[:, 0].shape)
        start_root = root(spread)
        start = start_equivalent(swept, start_root, initial)
        value = -((0.5 * times(start.P, mean) + start.p) * mean).sum(-1) - start.v
        ctx.given, ctx.arrays, ctx.shapes = given, arrays, [each.shape for each in inputs[:14]]
        ctx.save_for_backward(dynamics, initial, mean, start_root, *swept[:6], *start[:4])
        finite = (swept.reason == FINE) & start.is_finite & value.isfinite()
        ctx.mark_non_differentiable(*swept, finite)
        return (value, *swept, finite)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        given, (theta, initial, mean, start_root, *rest) = ctx.given, ctx.saved_tensors
        swept = Swept._make([*rest[:6], theta, theta])  # the last two are not used
        start_P, start_p, _, start_S = rest[6:]
        pulled = times(swept.P[:, 0], mean) + swept.p[:, 0]
        believed = mean - initial[:, None] * times(start_S, pulled)
        of_start = times(start_P, mean) + start_p
        outer = initial[:, None, None] * of_start[:, :, None] * of_start[:, None, :] - start_P
        by_start = -upstream[:, None] * of_start, 0.5 * upstream[:, None, None] * outer
        by_settings = (None, None, None)
        if ctx.arrays is not None and not any(ctx.needs_input_grad[9:12]):
            by_tables = slopes(given, theta, ctx.arrays, believed, start_S, upstream * given.temperature)
        else:
            by_tables, by_settings = _by_moments(given, swept, theta, believed, start_S, upstream)
            price = _spread_price(start_root, swept.P[:, 0], initial, pulled[..., None])
            by_settings = (*by_settings, upstream * price)
        found = [*by_tables, *by_settings, *by_start]
        summed = (
            each if each is None else each.sum_to_size(shape) for each, shape in zip(found, ctx.shapes, strict=True)
        )
        return (*summed, None, None)


def _by_moments(
    given: Prepared, swept: Swept, theta: Tensor, mean: Tensor, covariance: Tensor, upstream: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    """The derivatives of values by all tables, and by τ and θ of the dynamics, from the believed moments, in torch."""
    F, d, L, tau, steps = given.transition, given.drift, given.noise_root, given.temperature, given.drift.shape[1]
    P, p = given.discount * swept.P[:, 1:], given.discount * swept.p[:, 1:]
    ahead_P, ahead_p, S = ahead_of(given, swept, theta)
    at = theta[:, None, None, None]
    SP = at * S @ P
    drift = d - times(SP, d) - at[..., 0] * times(S, p)
    policy = swept.gain, swept.offset, swept.policy_covariance
    found = GaussianBlocks(mean, covariance, *policy, F - SP @ F, drift, S).marginals()
    z, last = found.mean, found.last_mean
    M = found.covariance + z[..., :, None] * z[..., None, :]
    last_M = found.last_covariance + last[..., :, None] * last[..., None, :]
    scale = upstream[:, None] * given.discount ** torch.arange(steps + 1, dtype=d.dtype)
    each, end = scale[:, :-1], scale[:, -1]
    wide, matrix = each[..., None], each[..., None, None]
    reached = times(ahead_P, d) + ahead_p
    pull = ahead_P @ F
    g = times(pull, z) + reached
    gg = pull @ found.covariance @ pull.mT + g[..., :, None] * g[..., None, :]
    # The derivative of the cost by τ, for fixed prepared numbers, is ½ log det Haa with Haa = τ Σ⁻¹.
    log_det = swept.offset.shape[-1] * tau.log()[:, None] - covariance_log_det(swept.policy_covariance)
    # P(Fz + d) + p, of which the columns are the mean and a root of the covariance
    spread = torch.cat(((P @ (times(F, z) + d)[..., None] + p[..., None]), P @ F @ root(found.covariance)), -1)
    price = _spread_price(L, P, theta[:, None], spread)
    tables = (
        -matrix * (pull @ M + reached[..., :, None] * z[..., None, :]),
        -wide * g,
        0.5 * matrix * (at * gg - ahead_P),
        -0.5 * matrix * M,
        -wide * z,
        -each,
        -0.5 * end[:, None, None] * last_M,
        -end[:, None] * last,
        -end,
    )
    return tables, (-0.5 * (each * log_det).sum(-1), (each * price).sum(-1))


def _spread_price(L: Tensor, P: Tensor, theta: Tensor, pulled: Tensor) -> Tensor:
    r"""KL/θ² of the tilted Gaussian from N(·, LL'), in nats times reward², also at θ = 0.

    $$\tfrac12 |M^{-1}L'g|^2 + \sum_i \frac{\log(1 + x_i) - x_i/(1 + x_i)}{2\theta^2}, \qquad M = I + \theta L'PL$$

    Args:
        L: a root of the covariance.
        P: the Hessian of the cost.
        theta: θ.
        pulled: gradients g of the cost, in columns whose squares are added.
    """
    X = L.mT @ P @ L
    M = torch.eye(X.shape[-1], dtype=X.dtype) + theta[..., None, None] * X
    square = torch.linalg.solve(M, L.mT @ pulled).square().sum((-2, -1))
    eigenvalues = torch.linalg.eigvalsh(X)
    x = theta[..., None] * eigenvalues
    small = x.abs() < 1e-2
    series = 0.25 - x / 3 + 3 * x**2 / 8 - 2 * x**3 / 5 + 5 * x**4 / 12 - 3 * x**5 / 7 + 7 * x**6 / 16
    used = torch.where(small, 1.0, x)
    closed = (torch.log1p(used) - used / (1 + used)) / (2 * used**2)
    return 0.5 * square + (eigenvalues.square() * torch.where(small, series, closed)).sum(-1)
