"""The sufficient statistics of trajectories of vectors: by step, a regression of what was done on what was seen."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from ...errors import InvalidArgument
from ...runtime.arguments import shown
from ...trajectories.gaussian.blocks import ContinuousTrajectories
from .sensitivities import Regression

Array = np.ndarray


class Recorded(NamedTuple):
    """Trajectories as arrays of numpy."""

    states: Float[Array, "draw time_and_last state"]
    actions: Float[Array, "draw time action"]

    @property
    def both(self) -> Float[Array, "draw time state_action"]:
        """z = (s, a)."""
        return np.concatenate((self.states[:, :-1], self.actions), -1)


class Statistics(NamedTuple):
    """The least squares of targets on regressors by step: all that a Gaussian likelihood needs.

    Attributes:
        number: the number of trajectories.
        along: the targets along an orthonormal basis Q of the regressors: B̂R' of the least squares, which needs no
            inverse.
        residual: the sum of the products of the residuals.
        root: R of the regressors QR, a root of the sum of their products.
    """

    number: int
    along: Float[Array, "time target regressor"]
    residual: Float[Array, "time target target"]
    root: Float[Array, "time regressor regressor"]


def recorded(trajectories: Any, n: int, m: int, horizon: int, name: str = "demonstrations") -> Recorded:
    """Trajectories after checks.

    Raises:
        InvalidArgument: if they do not fit the problem; the message says how.
    """
    if not isinstance(trajectories, ContinuousTrajectories):
        raise InvalidArgument(
            f"`{name}` must be ContinuousTrajectories(states, actions), of tensors (trajectory, time, component), but "
            f"is {shown(trajectories)}. posterior.true_blocks().sample(100) makes them from a posterior."
        )
    found: list[Array] = []
    for part, given in zip(("states", "actions"), trajectories, strict=True):
        given: Any = given
        array = given.numpy(force=True) if isinstance(given, torch.Tensor) else np.asarray(given)
        if array.ndim != 3 or array.dtype.kind not in "fiu":
            raise InvalidArgument(
                f"`{name}` must have {part} with the axes (trajectory, time, component), all numbers, but they have "
                f"shape {tuple(array.shape)} and dtype {array.dtype}."
            )
        found.append(array.astype(np.float64))
    states, actions = found
    steps = actions.shape[1]
    if not 1 <= steps <= horizon or states.shape != (len(actions), steps + 1, n) or actions.shape[2] != m:
        raise InvalidArgument(
            f"`{name}` must have states (N, t + 1, {n}) and actions (N, t, {m}) of the first t ≤ {horizon} steps, but "
            f"have {tuple(states.shape)} and {tuple(actions.shape)}."
        )
    if len(actions) == 0:
        raise InvalidArgument(f"`{name}` must hold at least one trajectory, but is empty.")
    if not (np.isfinite(states).all() and np.isfinite(actions).all()):
        raise InvalidArgument(f"`{name}` must hold finite numbers. Leave out trajectories with nan.")
    return Recorded(states, actions)


def statistics(target: Float[Array, "draw time target"], seen: Float[Array, "draw time seen"]) -> Statistics:
    """The statistics of targets, given what was seen, with a constant as last regressor."""
    X = np.concatenate((seen, np.ones((*seen.shape[:2], 1))), -1).swapaxes(0, 1)
    y = target.swapaxes(0, 1)
    missing = max(0, X.shape[2] - X.shape[1])  # rows of zeros, so that there are at least as many as columns
    tall, padded = (np.concatenate((each, np.zeros((len(each), missing, each.shape[2]))), 1) for each in (X, y))
    Q, R = np.linalg.qr(tall)
    along = Q.swapaxes(1, 2) @ padded
    left = padded - Q @ along
    return Statistics(len(target), along.swapaxes(1, 2), left.swapaxes(1, 2) @ left, R)


def log_density(given: Statistics, model: Regression) -> tuple[float, Float[Array, " parameter"]]:
    r"""The log-density of the targets, in nats, and its derivative by each parameter.

    $$\ell = \sum_t \tfrac N2 \log\det\Lambda - \tfrac12 \mathrm{tr}\,\Lambda (E'E + \Delta\Delta')
        - \tfrac{Nm}2 \log 2\pi, \qquad \Delta = BR' - \hat BR'$$

    Steps of the model beyond the last that was recorded do not count.
    """
    steps = len(given.along)
    B, precision, by_B, by_precision = (each[:steps] for each in model)
    off = B @ given.root.swapaxes(-1, -2) - given.along
    spread = given.residual + off @ off.swapaxes(-1, -2)
    size = precision.shape[-1]
    log_det = np.linalg.slogdet(precision)[1] if size else np.zeros(steps)
    value = 0.5 * given.number * (log_det - size * np.log(2 * np.pi)) - 0.5 * (precision * spread).sum((-2, -1))
    excess = given.number * np.linalg.inv(precision) - spread
    slope = 0.5 * np.einsum("tpij,tij->p", by_precision, excess)
    slope -= np.einsum("tpij,tij->p", by_B, precision @ off @ given.root)
    return float(value.sum()), slope


def behaviour_rows(
    model: Regression,
    root: Float[Array, "time regressor regressor"],
    number: float,
) -> Float[Array, "row parameter"]:
    """A matrix J whose J'J is the Fisher information about the parameters, given what was seen.

    Args:
        model: the regression.
        root: R with R'R the sum of the products of the regressors.
        number: the number of draws.
    """
    steps = len(root)
    _, precision, by_B, by_precision = (each[:steps] for each in model)
    factor = np.linalg.cholesky(precision)[:, None]
    of_mean = factor.swapaxes(-1, -2) @ by_B @ root.swapaxes(-1, -2)[:, None]
    half = np.linalg.solve(factor, by_precision)
    of_spread = np.sqrt(number / 2) * np.linalg.solve(factor, half.swapaxes(-1, -2))
    rows = [each.swapaxes(0, 1).reshape(each.shape[1], -1) for each in (of_mean, of_spread)]
    return np.concatenate(rows, 1).T
