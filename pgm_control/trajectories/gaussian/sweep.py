"""The backward sweep of linear-quadratic models, compiled where that loses no digits, and else in numpy or torch."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...chance.gaussian import gaussian_equivalent
from ...kernels.quadratic.backend import riccati_for
from ...kernels.quadratic.bundles import QuadraticProblem, QuadraticStart, QuadraticValues
from .one_problem import sweep_of_one
from .riccati import TIMED, Prepared, Swept, backward_sweep

_SMALLEST, _LARGEST = 1e-305, 1e305  # curvatures, near the ends of the numbers that have all digits
_NEAR = 1e-3  # eigenvalues of I + θL'PL below this, or above its inverse, cost the compiled sweep digits


def sweep(given: Prepared, theta: Float[Tensor, "*batch"]) -> Swept:
    """`backward_sweep`, compiled where no gradients are needed and the model is not close to its breakdown.

    The compiled sweep subtracts where the certainty equivalent is much larger or smaller than the value. There, and
    where it reports a failure, `careful_sweep` repeats it.

    Args:
        given: the numbers of the model.
        theta: θ = β/τ of the dynamics, in 1/reward, by problem.
    """
    return sweep_and_arrays(given, theta)[0]


def sweep_and_arrays(given: Prepared, theta: Float[Tensor, "*batch"]) -> tuple[Swept, QuadraticValues | None]:
    """`sweep`, and the arrays of the compiled one, with which `slopes` goes on; None where torch swept."""
    if needs_graph(given, theta):
        return backward_sweep(given, theta), None
    compiled = riccati_for(given.drift)
    if compiled is not None:
        arrays, swept = _solved(compiled, given, theta)
        if not arrays.failures[:, 0].any() and not _loses_digits(given, swept, theta):
            return swept, arrays
    return careful_sweep(given, theta), None


def needs_graph(given: Prepared, *others: Tensor) -> bool:
    """Whether gradients are needed of the numbers of a model or of other tensors."""
    return torch.is_grad_enabled() and any(each.requires_grad for each in (*given[:-1], *others))


def careful_sweep(given: Prepared, theta: Float[Tensor, "*batch"]) -> Swept:
    """The sweep with formulas that do not subtract, without gradients; one problem in numpy, a batch in torch."""
    return backward_sweep(given, theta) if given.final_constant.dim() else sweep_of_one(given, float(theta))


def _solved(compiled: Any, given: Prepared, theta: Tensor) -> tuple[QuadraticValues, Swept]:
    batch, steps = given.final_constant.shape, given.drift.shape[-2]
    found = compiled.solve(_arrays(given, theta), batch.numel(), steps)
    tau = given.temperature
    shaped = [each[0] for each in found] if not batch else [each.reshape((*batch, *each.shape[1:])) for each in found]
    tables = [torch.from_numpy(each) for each in shaped]
    P, p, v, gain, offset, inverse, _, failures = tables
    reason, at = failures[..., 0], failures[..., 1]
    return found, Swept(P, p, v, gain, offset, tau[..., None, None, None] * inverse, reason, at)


def slopes(
    given: Prepared, theta: Tensor, arrays: QuadraticValues, mean: Tensor, covariance: Tensor, cotangent: Tensor
) -> tuple[Tensor, ...]:
    """The derivatives of the objectives by the compiled forward sweep, times their cotangents.

    Args:
        given, theta: what was swept, with one axis of problems.
        arrays: those of the compiled sweep.
        mean, covariance: of the believed start.
        cotangent: of the objectives, in nats.

    Returns:
        The derivatives by F, d, W, the Hessian, the gradient, the constant, and those of the last state, each with axes
        of size 1 where problems or times share it, over which it is summed.
    """
    compiled = riccati_for(given.drift)
    start = QuadraticStart(*(np.ascontiguousarray(each.detach().numpy()) for each in (mean, covariance, cotangent)))
    found = compiled.slopes(_arrays(given, theta), arrays, start)  # pyright: ignore[reportOptionalMemberAccess]
    return tuple(torch.from_numpy(each) for each in found)


def _arrays(given: Prepared, theta: Tensor) -> QuadraticProblem:
    """The numbers as contiguous arrays, with axes of size 1 where problems or times share them."""
    if given.final_constant.dim() == 0:
        return _arrays_of_one(given, float(theta))
    flat, by_problem = given.flat(), theta.expand(given.final_constant.shape).reshape(-1, 1)
    tables = (*(each for each in flat if isinstance(each, Tensor)), by_problem)  # the last but one is τ
    *numbers, tau, at = (np.ascontiguousarray(each.detach().numpy()) for each in tables)
    return QuadraticProblem._make([*numbers, at, tau, np.array([given.discount])])


def _arrays_of_one(given: Prepared, theta: float) -> QuadraticProblem:
    """The numbers of one problem; slicing costs less in numpy than in torch."""
    numbers = [each.numpy(force=True) for each in given[:9]]
    for i in range(len(TIMED)):  # one time where all share it
        numbers[i] = numbers[i][:1] if numbers[i].strides[0] == 0 else numbers[i]
    numbers = [np.ascontiguousarray(each[None]) for each in numbers]
    tau = float(given.temperature)
    return QuadraticProblem._make([*numbers, np.array([[theta]]), np.array([tau]), np.array([given.discount])])


def beyond_float64(given: Prepared, swept: Swept) -> Bool[np.ndarray, "*batch"]:
    """Where float64 cannot hold the curvature Haa of the cost in an action, or holds it with few digits, by problem.

    That depends on the units of the actions, and has nothing to do with the optimism.
    """
    n = given.drift.shape[-1]
    B, C = (each.numpy(force=True)[..., n:] for each in (given.transition, given.hessian[..., n:, :]))
    P = swept.P.numpy(force=True)[..., 1:, :, :]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        curvature = C.diagonal(axis1=-2, axis2=-1) + ((P @ B) * B).sum(-2)
        off = (np.abs(curvature) > _LARGEST) | ((np.abs(curvature) < _SMALLEST) & (B != 0).any(-2))
    return np.asarray(off.any((-2, -1)))  # also of one problem, where numpy returns a number


def _loses_digits(given: Prepared, swept: Swept, theta: Tensor) -> bool:
    """Whether an eigenvalue of I + θL'PL is very small or very large somewhere."""
    scale, L = theta.numpy(force=True), given.noise_root.numpy(force=True)
    if not scale.any():
        return False
    scale = np.broadcast_to(scale[..., None], L.shape[:-2])
    X = scale[..., None, None] * (L.mT @ (given.discount * swept.P[..., 1:, :, :].numpy()) @ L)
    with np.errstate(over="ignore"):
        size = np.sqrt(np.square(X).sum((-2, -1)))
    far = (size >= 1.0 / _NEAR) | ((size > 1.0 - _NEAR) & (scale <= 0))
    if not far.any():
        return False
    eigenvalues = 1.0 + np.linalg.eigvalsh(X[far])
    return bool(((eigenvalues < _NEAR) | (eigenvalues > 1.0 / _NEAR)).any())


def believed_noise(given: Prepared, swept: Swept, theta: Tensor) -> Float[Tensor, "*batch time state state"]:
    """S = L (I + θL'PL)⁻¹L', the covariance of the believed dynamics, at all steps."""
    L, P = given.noise_root, given.discount * swept.P[..., 1:, :, :]
    if not bool((theta != 0).any()):
        return L @ L.mT
    M = torch.eye(L.shape[-1], dtype=L.dtype, device=L.device) + theta[..., None, None, None] * (L.mT @ P @ L)
    factor = torch.linalg.cholesky_ex(M).L
    half = torch.linalg.solve_triangular(factor, L.mT, upper=False)
    return half.mT @ half


def ahead_of(given: Prepared, swept: Swept, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P̃ and p̃ of the certainty equivalents of the next values, and the covariance S, at all steps."""
    P, p = given.discount * swept.P[..., 1:, :, :], given.discount * swept.p[..., 1:, :]
    unknown = ~P.isfinite().all(-1).all(-1)
    P, p = torch.where(unknown[..., None, None], 0.0, P), torch.where(unknown[..., None], 0.0, p)
    each = theta.to(P)[..., None].expand(P.shape[:-2])
    found = gaussian_equivalent(P, p, torch.zeros_like(each), given.noise_root, each)
    return found.P, found.p, found.covariance
