r"""Breakdown of a problem on the line, decided by the growth of its rewards against the tails of its noise.

For a reward that is bounded above, $L_\beta[r]$ with β < 0 is −inf if $p(w)\, e^{\beta r(w)/\tau}$ does not fall faster
than 1/w for large w. With noise that grows with |a| this is so at some action for every β < 0, if the reward falls
quadratically. Growth that comes of the values of later steps is not examined here: what it adds can show as probability
at the edge.
"""

import torch
from torch import Tensor

from ....problems.continuous.line import Line

_ACTIONS = (0.0, 1.0, 3.0, 1e1, 1e3, 1e5)  # in deviations of the prior
_FAR = (1e4, 1e5, 1e6)  # in deviations of the noise


def breakdown_on_line(problem: Line, temperature: float, variance: float, beta: float) -> tuple[int, float] | None:
    """The time of the state and the action at which the certainty equivalent diverges; None if none was found.

    Args:
        problem: the problem.
        temperature: τ.
        variance: that of the action prior.
        beta: the optimism of the dynamics.
    """
    if beta == 0:
        return None
    unit, start = variance**0.5, torch.tensor(problem.initial_mean, dtype=torch.float64)
    for t in range(problem.horizon, 0, -1):
        for size in _ACTIONS:
            for side in (1.0, -1.0):
                action = torch.tensor(side * size * unit, dtype=torch.float64)
                if _diverges(problem, t, start, action, beta / temperature):
                    return t, float(action)
    return None


def plans_break_down_on_line(problem: Line, theta: float, steps: int, is_last: bool) -> int | None:
    """The first step of a plan whose certainty equivalent diverges, as it answers no noise; None if none is found.

    The return along three paths of the noise is held against their density, for a plan without actions: noises that add
    up as those that a quadratic reward suffers most from, equal ones, and one gust in the first step. So what is found
    has broken down; other paths, and the growth of a terminal value, are not examined.

    Args:
        problem: the problem.
        theta: θ = β/τ.
        steps: H, the steps of a plan.
        is_last: examine only plans that end with the problem.
    """
    if theta == 0:
        return None
    sums = torch.ones(steps, steps, dtype=torch.float64).tril()
    most = torch.linalg.eigh(sums.mT @ sums).eigenvectors[:, -1]
    rays = torch.stack((most, torch.ones_like(most), torch.eye(steps, dtype=torch.float64)[0]))
    rays = torch.cat((rays, -rays))
    start = torch.full((1,), problem.initial_mean, dtype=torch.float64)
    for first in reversed(range(problem.horizon - steps + 1)):
        far = _deviation(problem, start, torch.zeros_like(start)) * torch.tensor(_FAR, dtype=torch.float64)
        path = rays[:, None] * far[:, None]
        state, total = start.expand(path.shape[:2]).flatten(), torch.zeros(path.shape[:2].numel(), dtype=torch.float64)
        for k, noise in enumerate(path.flatten(0, 1).unbind(-1)):
            density = problem.noise_at(state, torch.zeros_like(state)).log_prob(noise)
            state = state + noise
            total = total + density + theta * _reward(problem, first + k + 1, state)
        if any(_rises(each, far) for each in total.view(path.shape[:2])):
            return first
        if is_last:
            break
    return None


def action_diverges(problem: Line, temperature: float, variance: float) -> int | None:
    """The time of a state for which the prior does not keep actions from rewards that rise without bound."""
    for t in range(1, problem.horizon + 1):
        for side in (1.0, -1.0):
            far = side * torch.tensor(_FAR, dtype=torch.float64) * variance**0.5
            log_integrand = -(far**2) / (2 * variance) + _reward(problem, t, far) / temperature
            if _rises(log_integrand, far):
                return t
    return None


def _diverges(problem: Line, t: int, state: Tensor, action: Tensor, theta: float) -> bool:
    scale = _deviation(problem, state.expand(1), action.expand(1))
    for side in (1.0, -1.0):
        far = side * scale * torch.tensor(_FAR, dtype=torch.float64)
        here = problem.noise_at(state.expand_as(far), action.expand_as(far))
        if _rises(here.log_prob(far) + theta * _reward(problem, t, state + action + far), far):
            return True
    return False


def _deviation(problem: Line, state: Tensor, action: Tensor) -> float:
    """That of the noise in one state; 1 where it is not known."""
    try:
        deviation = float(problem.noise_at(state, action).stddev)
    except (NotImplementedError, AttributeError):
        return 1.0
    return deviation if 0 < deviation < float("inf") else 1.0


def _reward(problem: Line, t: int, state: Tensor) -> Tensor:
    found = problem.reward_at(t, state)
    return found + problem.final_reward_at(state) if t == problem.horizon else found


def _rises(log_integrand: Tensor, far: Tensor) -> bool:
    """Whether an integrand does not fall faster than 1/x from point to point; from 0 nothing rises."""
    mass = log_integrand + far.abs().log()
    return bool(mass[-1] == torch.inf) or bool(((mass[1:] >= mass[:-1]) & (mass[:-1] > -torch.inf)).all())
