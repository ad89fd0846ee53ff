"""The noise and the start that a guide of a linear-quadratic model believes in, beside the true ones."""

from typing import NamedTuple

import torch
from torch import Tensor

from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...text.wording import amount
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.gaussian.model import GaussianModel
from ...trajectories.gaussian.objective import gaussian_terms

_LEAST = 1e-9  # nats: beliefs that cost less are rounding


class BelievedNoise(NamedTuple):
    """One component of the noise of a step, $s_{t+1} - (A s_t + B a_t + d)$, in units of the state.

    Attributes:
        time: t.
        component: the component of the state, from 0.
        mean: what the guide expects it to be, on average over its own trajectories; truly 0.
        root_mean_square: of its expectation given state and action, which moves with them.
        deviation: the standard deviation that it believes in, given state and action.
        true_deviation: the true one.
        tilt: the expected KL of the dynamics of the whole step from the true ones, in nats.
    """

    time: int
    component: int
    mean: float
    root_mean_square: float
    deviation: float
    true_deviation: float
    tilt: float


class BelievedStart(NamedTuple):
    """One component of the start.

    Attributes:
        component: the component of the state, from 0.
        mean, deviation: what the guide believes.
        true_mean, true_deviation: those of the model.
        tilt: the KL of the whole start from the true one, in nats.
    """

    component: int
    mean: float
    deviation: float
    true_mean: float
    true_deviation: float
    tilt: float


def believed_noise(model: GaussianModel, blocks: GaussianBlocks, most: int = 5) -> tuple[BelievedNoise, ...]:
    """The noise of the steps that the guide tilts most, one component a step, the largest KL first; empty if none."""
    problem, found = model.problem, blocks.marginals()
    tilts = gaussian_terms(model, blocks).dynamics
    slope, shift = blocks.transition - problem.F, blocks.drift - problem.d
    mean = (slope @ found.mean[..., None])[..., 0] + shift
    square = mean.square() + (slope @ found.covariance @ slope.mT).diagonal(dim1=-2, dim2=-1).clamp(min=0.0)
    deviation, true = _deviations(blocks.noise), _deviations(problem.W)
    apart = torch.where(true > 0, square / true.square() + (deviation / true - 1.0).square(), 0.0)
    steps = [t for t in tilts.argsort(descending=True, stable=True).tolist() if tilts[t] > _LEAST][:most]
    rows: list[BelievedNoise] = []
    for t in steps:
        i = int(apart[t].argmax())
        numbers = mean[t, i], square[t, i].sqrt(), deviation[t, i], true[t, i], tilts[t]
        rows.append(BelievedNoise(t, i, *(float(each) for each in numbers)))
    return tuple(rows)


def believed_start(model: GaussianModel, blocks: GaussianBlocks) -> BelievedStart | None:
    """The component of the start that the guide tilts most; None if it keeps the start."""
    problem = model.problem
    tilt = float(gaussian_terms(model, blocks).initial)
    if not tilt > _LEAST:
        return None
    deviation, true = _deviations(blocks.initial_covariance), _deviations(problem.initial_covariance)
    moved = blocks.initial_mean - problem.initial_mean
    apart = torch.where(true > 0, (moved / true).square() + (deviation / true - 1.0).square(), moved.abs())
    i = int(apart.argmax())
    believed, model_s = (blocks.initial_mean[i], deviation[i]), (problem.initial_mean[i], true[i])
    return BelievedStart(i, *map(float, believed), *map(float, model_s), tilt)  # pyright: ignore[reportCallIssue]


def noise_phrase(belief: BelievedNoise, problem: LinearQuadratic) -> str:
    """What it believes of the noise: `the noise at t = 3 is 0.30 up with deviation 0.10 (truly 0 and 0.22)`."""
    alone = problem.num_states == 1 and problem.state_names is None
    which = "the noise" if alone else f"the noise of {problem.state_name(belief.component)}"
    spread = f"deviation {amount(belief.deviation)} (truly 0 and {amount(belief.true_deviation)})"
    text = f"{which} at t = {belief.time} is {_moved(belief.mean)} with {spread}"
    if belief.root_mean_square > 1.5 * abs(belief.mean):
        text += f", and moves with state and action by {amount(belief.root_mean_square)} (root mean square)"
    return text


def start_phrase(belief: BelievedStart, problem: LinearQuadratic) -> str:
    """What it believes of the start."""
    if problem.state_names is not None:
        which = f"{problem.state_name(belief.component)} at the start"
    else:
        which = "the start" if problem.num_states == 1 else f"component {belief.component} of the start"
    true = f"truly {amount(belief.true_mean)} and {amount(belief.true_deviation)}"
    return f"{which} is {amount(belief.mean)} with deviation {amount(belief.deviation)} ({true})"


def _moved(mean: float) -> str:
    return "0" if mean == 0 else f"{amount(abs(mean))} {'up' if mean > 0 else 'down'}"


def _deviations(covariance: Tensor) -> Tensor:
    return covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()
