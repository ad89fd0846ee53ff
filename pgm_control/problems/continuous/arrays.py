"""Checks of the arrays of a continuous problem: axes for a batch and time, symmetry, covariances."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.array_like import Refusal, numbers

_SYMMETRIC = 1e-9  # the largest asymmetry of a symmetric matrix, relative to its largest entry
_NEGATIVE = 1e-10  # how far below 0 an eigenvalue of a covariance may be by rounding, relative to the largest


def array(name: str, value: Any, event: tuple[int | None, ...], timed: bool, error: Refusal = InvalidProblem) -> Tensor:
    """The value in float64 with axes (*batch, time, *event), or (*batch, *event) if it cannot depend on time.

    Args:
        name: the name of the argument, for messages.
        value: a constant of the shape `event`, or one with a time axis in front, or with batch and time axes; a number
            stands for a 1 × 1 matrix or a vector of one entry.
        event: the shape of one entry; None where any size fits.
        timed: whether there is a time axis, of size 1 if the value is constant.
        error: the class of error to raise.

    Raises:
        InvalidProblem: or `error`, if the value is no array of finite numbers of this shape.
    """
    found = no_truth_values(name, value, error)
    found = found if found.dtype == torch.float64 else found.double()
    many = len(event)
    if found.ndim == 0 and many and all(size in (1, None) for size in event):
        found = found.reshape([1] * many)
    sizes = found.shape[found.ndim - many :] if found.ndim >= many else ()
    if len(sizes) != many or any(due not in (None, size) for due, size in zip(event, sizes, strict=True)):
        wanted = tuple("any" if size is None else size for size in event)
        also = ", with an axis of time in front if it depends on time, and of a batch before that" if timed else ""
        raise error(
            f"`{name}` must have shape {wanted}{also}, but has shape {tuple(found.shape)}. Check the order of its axes."
        )
    if found.numel() == 0:
        raise error(f"`{name}` must not be empty, but has shape {tuple(found.shape)}. Every axis needs an entry.")
    wrong = ~found.detach().isfinite()
    if bool(wrong.any()):
        at = tuple(int(i) for i in wrong.nonzero()[0])
        raise error(f"`{name}` must hold finite numbers, but entry {at} is {found[at].item():g}. Replace it.")
    return found[None] if timed and found.ndim == many else found


def no_truth_values(name: str, value: Any, error: Refusal = InvalidProblem) -> Tensor:
    """The value as a tensor of numbers, which keeps its graph.

    Raises:
        InvalidProblem: or `error`, if it holds anything else, such as truth values, or is not on the CPU.
    """
    found = numbers(name, value, error, keeps_graph=True)
    if found.device.type != "cpu":
        raise error(
            f"`{name}` must lie on the CPU, but lies on {found.device}: continuous problems are computed there. Pass "
            "`.cpu()` of it."
        )
    if found.dtype == torch.bool or (not isinstance(value, Tensor) and np.asarray(value).dtype.kind == "b"):
        raise error(f"`{name}` must hold numbers, but holds truth values.")
    return found


def symmetric(name: str, value: Tensor, error: Refusal = InvalidProblem) -> Tensor:
    """The symmetric part of matrices that are symmetric up to rounding.

    Raises:
        InvalidProblem: or `error`, if they are not.
    """
    off = (value - value.mT).detach().abs().amax((-2, -1))
    if bool((off > _SYMMETRIC * value.detach().abs().amax((-2, -1))).any()):
        raise error(
            f"`{name}` must be symmetric, but differs from its transpose by {float(off.max()):.3g}. "
            "Pass (M + M') / 2 for the quadratic form of M."
        )
    return (value + value.mT) / 2


def covariance(name: str, value: Tensor, error: Refusal = InvalidProblem, regular: bool = False) -> Tensor:
    """Covariances: symmetric and positive semidefinite, or positive definite if `regular`.

    Raises:
        InvalidProblem: or `error`, if they are not.
    """
    found = symmetric(name, value, error)
    eigenvalues = torch.linalg.eigvalsh(found.detach())
    least, most = eigenvalues[..., 0], eigenvalues[..., -1].clamp(min=0.0)
    if regular and bool((least <= 0).any()):
        raise error(
            f"`{name}` must be a positive definite covariance, but has the eigenvalue {float(least.min()):.3g}. "
            "Variances must be positive; these are not standard deviations. Where there must be a density, add a small "
            "variance."
        )
    if bool((least < -_NEGATIVE * most).any()) or bool(((most == 0) & (least < 0)).any()):
        raise error(
            f"`{name}` must be a covariance, positive semidefinite, but has the eigenvalue {float(least.min()):.3g}. "
            "Pass L L' of a matrix L of noise."
        )
    return found


def covariance_of(name: str, value: Any, size: int, may_be_zero: bool = False) -> Tensor:
    """A positive definite covariance without a graph, of one variance, of `size` variances or of a matrix.

    Args:
        name: the name of the argument, for messages.
        value: the value of the argument.
        size: the number of dimensions.
        may_be_zero: whether the zero matrix is allowed, of a value that is known for sure.

    Raises:
        InvalidProblem: if it is not symmetric and positive definite; the message names it.
    """
    given = numbers_without_graph(name, value)
    shapes = {0: (), 1: (size,), 2: (size, size)}
    if given.ndim not in shapes or tuple(given.shape) != shapes[given.ndim] or not bool(given.isfinite().all()):
        raise InvalidProblem(
            f"`{name}` must be a variance, {size} variances, or a {size}×{size} covariance matrix of finite numbers, "
            f"but has shape {tuple(given.shape)}: {given.tolist()}."
        )
    matrix = torch.diag(given.expand(size)) if given.ndim < 2 else given
    if may_be_zero and not bool(matrix.any()):
        return matrix.clone()
    return covariance(name, matrix, regular=True).clone()


def numbers_without_graph(name: str, value: Any) -> Tensor:
    """The value as a tensor of float64 that requires no gradient; truth values are not numbers.

    Raises:
        InvalidProblem: if it holds anything else; the message names it.
    """
    numbers(name, value, InvalidProblem)  # a graph would be lost
    return no_truth_values(name, value).to(torch.float64)


def root(matrix: Tensor) -> Tensor:
    """A root L of a covariance W, L L' = W: the Cholesky factor, or that of the eigenvalues where W is singular.

    Eigenvalues that are 0 but for rounding count as 0; their roots, of some 1e-8, would be directions of noise. They
    are those of the correlations, so that the units of the components do not matter.
    """
    full = matrix.shape
    for axis in range(matrix.dim() - 2):  # those of matrices that all share are the root of one
        matrix = matrix.narrow(axis, 0, 1) if matrix.stride(axis) == 0 and matrix.shape[axis] > 1 else matrix
    if not matrix.requires_grad:
        if not bool(matrix.any()):
            return torch.zeros_like(matrix).expand(full)
        regular = _root_in_numpy(matrix)
        if regular is not None:
            return regular.expand(full)
    found, info = torch.linalg.cholesky_ex(matrix)
    least, scale = _least(matrix), matrix.diagonal(dim1=-2, dim2=-1)
    failed = (info > 0) | (found.detach().diagonal(dim1=-2, dim2=-1).square() <= least * scale.detach()).any(-1)
    if not bool(failed.any()):
        return found.expand(full)
    scale = torch.where(scale > 0, scale, 1.0).sqrt()
    eigenvalues, vectors = torch.linalg.eigh(matrix / (scale[..., :, None] * scale[..., None, :]))
    sizes = torch.where(eigenvalues > least, eigenvalues, 0.0).sqrt()
    spectral = scale[..., :, None] * vectors * sizes[..., None, :]
    return torch.where(failed[..., None, None], spectral, found).expand(full)


def _root_in_numpy(matrix: Tensor) -> Tensor | None:
    """The Cholesky factor in numpy, which takes a fifth of the time of torch for one small matrix; None if singular."""
    given = matrix.numpy()
    try:
        found = np.linalg.cholesky(given)
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diagonal(found, axis1=-2, axis2=-1)
    if (diagonal * diagonal <= _least(matrix) * np.diagonal(given, axis1=-2, axis2=-1)).any():
        return None
    return torch.from_numpy(found)


def _least(matrix: Tensor) -> float:
    """The largest share of a variance, not explained by the components before it, that counts as rounding."""
    return 2 * matrix.shape[-1] * torch.finfo(matrix.dtype).eps


def together(time: int, axes: dict[str, tuple[Tensor, int, bool]]) -> dict[str, Tensor]:
    """All arrays expanded to common batch axes and the horizon, as views.

    Args:
        time: the horizon.
        axes: by name an array, the number of its event axes, and whether an axis of time stands before them.

    Raises:
        InvalidProblem: if the axes do not fit together.
    """
    batches: dict[str, torch.Size] = {}
    for name, (value, events, timed) in axes.items():
        front = value.ndim - events - timed
        batches[name] = value.shape[:front]
        if timed and value.shape[front] not in (1, time):
            raise InvalidProblem(
                f"`{name}` must have one entry for each of the {time} steps on its axis of time, or one for all, but "
                f"has {value.shape[front]}. Change `horizon`, or the array."
            )
    try:
        batch = torch.broadcast_shapes(*batches.values())
    except RuntimeError:
        shown = ", ".join(f"{name} {tuple(each)}" for name, each in batches.items() if each)
        raise InvalidProblem(f"the batch axes must broadcast together, but are those of {shown}.") from None
    return {
        name: value.expand((*batch, *([time] if timed else []), *value.shape[value.ndim - events :]))
        for name, (value, events, timed) in axes.items()
    }


def blocked(Q: Tensor, N: Tensor, R: Tensor) -> Tensor:
    """[[Q, N], [N', R]]."""
    front = torch.broadcast_shapes(Q.shape[:-2], N.shape[:-2], R.shape[:-2])
    Q, N, R = (each.expand(*front, *each.shape[-2:]) for each in (Q, N, R))
    return torch.cat((torch.cat((Q, N), -1), torch.cat((N.mT, R), -1)), -2)


def final_quadratic(given: Any, n: int, zero: Any) -> tuple[Tensor, Tensor, Tensor]:
    """P_T, p_T and v_T of the argument `final_cost`."""
    if given is None:
        return zero(n, n), zero(n), zero(())
    if isinstance(given, tuple):
        if len(given) != 3:
            raise InvalidProblem(f"`final_cost` must be a matrix P_T or (P_T, p_T, v_T), but has {len(given)} parts.")
        P, p, v = given
    else:
        P, p, v = given, zero(n), zero(())
    P = symmetric("final_cost", array("final_cost", P, (n, n), timed=False))
    return P, array("final_cost[1]", p, (n,), timed=False), array("final_cost[2]", v, (), timed=False)


def start_covariance(given: Any, n: int, zero: Any) -> Tensor:
    """S_0 of the argument `initial_covariance`."""
    if given is None:
        return zero(n, n)
    return covariance("initial_covariance", array("initial_covariance", given, (n, n), timed=False))
