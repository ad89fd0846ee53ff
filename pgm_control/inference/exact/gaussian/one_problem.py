"""The optimum of one linear-quadratic problem from its backward sweep, without gradients, in numpy.

The formulas are those of `solve`; numpy starts each of these small products in a third of the time of torch.
"""

from typing import NamedTuple

import numpy as np
import torch

from ....trajectories.gaussian.blocks import GaussianBlocks
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.one_problem import log_det_by_theta
from ....trajectories.gaussian.riccati import FINE, Prepared, Swept

Array = np.ndarray


def optimum_of_one(
    model: GaussianModel, given: Prepared, swept: Swept, start_root: torch.Tensor, dynamics: float, initial: float
) -> tuple[GaussianBlocks, float] | None:
    """The factors of the optimum and its value, τ times the objective; None where that is unbounded.

    Args:
        model: a model of one problem.
        given: its numbers.
        swept: the backward sweep.
        start_root: a root of the covariance of the start.
        dynamics, initial: θ of the dynamics and of the start, in 1/reward.
    """
    if int(swept.reason) != FINE:
        return None
    problem = model.problem
    mean, P, p = problem.initial_mean.numpy(force=True), swept.P.numpy(), swept.p.numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        start = _believed_start(P[0], p[0], start_root.numpy(force=True), mean, initial)
    if start is None:
        return None
    value = start.value - float(swept.v[0])
    if not np.isfinite(value):
        return None
    F, d, W = given.transition, given.drift.clone(), problem.W.clone()  # the model keeps its own tables
    if dynamics != 0:
        transition, drift, L = F.numpy(force=True), d.numpy(force=True), given.noise_root.numpy(force=True)
        P, p = given.discount * P[1:], given.discount * p[1:]
        try:
            factor = np.linalg.cholesky(np.eye(L.shape[-1]) + dynamics * (L.mT @ P @ L))
        except np.linalg.LinAlgError:  # rounded otherwise than in the sweep, at the breakdown
            return None
        half = np.linalg.solve(factor, L.mT)
        noise = half.mT @ half
        pulled = dynamics * (noise @ P)  # θSP of the mean of the believed next state
        drift = drift - _times(pulled, drift) - dynamics * _times(noise, p)
        F, d, W = (torch.from_numpy(each) for each in (transition - pulled @ transition, drift, noise))
    believed = problem.initial_mean.clone(), problem.initial_covariance.clone()
    if initial != 0:
        believed = torch.from_numpy(start.mean), torch.from_numpy(start.covariance)
    return GaussianBlocks(*believed, swept.gain, swept.offset, swept.policy_covariance, F, d, W), value


class _Start(NamedTuple):
    """The start that is believed in, and L_β of the value there without its constant, in reward units."""

    mean: Array
    covariance: Array
    value: float


def _believed_start(P: Array, p: Array, root: Array, mean: Array, theta: float) -> _Start | None:
    """The start; None where it is unbounded. Like `gaussian_equivalent` at one mean, where that does not cancel."""
    X = root.T @ P @ root
    if theta == 0:
        return _Start(mean, root @ root.T, -float(mean @ (0.5 * (P @ mean) + p) + 0.5 * np.trace(X)))
    try:
        factor = np.linalg.cholesky(np.eye(len(X)) + theta * X)
    except np.linalg.LinAlgError:
        return None
    half = np.linalg.solve(factor, root.T)
    pull = half @ (P @ mean + p)
    believed = mean - theta * (half.T @ pull)
    if theta > 0:
        step = np.linalg.solve(factor.T, pull)
        cost = believed @ (0.5 * (P @ believed) + p) + 0.5 * theta * (step @ step)
    else:
        cost = mean @ (0.5 * (P @ mean) + p) - 0.5 * theta * (pull @ pull)
    return _Start(believed, half.T @ half, -float(cost + log_det_by_theta(X, theta)))


def _times(matrices: Array, vectors: Array) -> Array:
    return (matrices @ vectors[..., None])[..., 0]
