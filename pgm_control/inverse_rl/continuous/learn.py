"""The search for the reward, and for the optimism and the dynamics that a linear-quadratic demonstrator believes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import shown
from ...runtime.progress import Progress
from ...trajectories.gaussian.model import GaussianModel, one_problem
from ..search.from_starts import Step, search_from_starts
from ..search.optima import RunnerUp
from .objective import Demonstrated, GaussianObjective
from .result import BelievedDynamics, GaussianInverse
from .rewards import DiagonalReward, FullReward, QuadraticReward, SemidefiniteReward, fitting_cost
from .statistics import Recorded, recorded

_NAMED: dict[str, Callable[[LinearQuadratic], QuadraticReward]] = {
    "diagonal": DiagonalReward,
    "semidefinite": SemidefiniteReward,
    "full": FullReward,
}
_SMALLER, _TRIES = 0.25, 30


def learn_quadratic(
    model: GaussianModel,
    demonstrations: Any,
    reward: Any,
    demonstrator: Any,
    assumed: Demonstrated,
    *,
    has_optimism: bool,
    keeps_risk: bool,
    prior: float | None,
    method: str,
    num_steps: int,
    num_starts: int | None,
    learning_rate: float,
    tolerance: float,
    progress: Progress,
    callbacks: Sequence[Callable[[Any], bool | None]],
    seen: Callable[[Step, QuadraticReward], Any],
) -> GaussianInverse:
    """`inverse` of a linear-quadratic model, with checked options.

    Raises:
        InvalidArgument: if the model, the demonstrations or the reward do not fit, or the start of the search is beyond
            the breakdown.
    """
    problem = one_problem(model, "inverse")
    if not model.temperature > 0:
        raise InvalidArgument("`model` must have a positive temperature: at 0 its actions have no noise to be read.")
    if assumed.learns_dynamics and not bool((problem.F[:1] == problem.F).all()):
        raise InvalidArgument('`learn` must not contain "dynamics" for A and B that depend on time.')
    record = recorded(demonstrations, problem.num_states, problem.num_actions, problem.horizon)
    made = _chosen(problem, reward)
    if made is not reward:
        _set(made, *_typical(record, float(model.temperature)))
    objective = GaussianObjective(model, made, assumed, record, prior)
    _require_start(objective, made, is_ours=made is not reward)
    found = search_from_starts(
        objective, objective.number, may_diverge=prior is None, method=method, num_steps=num_steps,
        num_starts=num_starts, learning_rate=learning_rate, tolerance=tolerance, progress=progress,
        callbacks=callbacks, seen=lambda step: seen(step, made),
    )  # fmt: skip
    x, number = found.result.x, objective.number
    of_prior = objective.log_prior(x)
    runners_up = tuple(
        RunnerUp(
            torch.from_numpy(each.x.copy()),
            -number * each.value - objective.log_prior(each.x),
            number * (found.result.value - each.value),
        )
        for each in found.others
    )
    _, beta, F = objective.parts(x)
    n = problem.num_states
    believed = torch.from_numpy(F.copy()) if assumed.learns_dynamics else None
    return GaussianInverse(
        made,
        model,
        demonstrator,
        demonstrations,
        torch.from_numpy(x.copy()),
        objective.names,
        optimism=beta,
        believed_dynamics=None if believed is None else BelievedDynamics(believed[:, :n], believed[:, n:]),
        log_likelihood=-number * found.result.value - of_prior,
        log_prior=of_prior,
        gradient=float(np.abs(found.result.slope).max()),
        objective_history=torch.tensor(found.trace, dtype=torch.float64),
        num_starts=found.num_starts,
        num_refused=objective.refused,
        runners_up=runners_up,
        direction=None if found.direction is None else torch.from_numpy(found.direction.copy()),
        status=found.status,
        seconds=found.seconds,
        likelihood=objective,
        has_optimism=has_optimism,
        keeps_risk=keeps_risk,
        counts_states=assumed.believed,
    )


def _chosen(problem: LinearQuadratic, reward: Any) -> QuadraticReward:
    """The reward model that the argument denotes."""
    if isinstance(reward, str) and reward in _NAMED:
        return _NAMED[reward](problem)
    if not isinstance(reward, QuadraticReward):
        raise InvalidArgument(
            f"`reward` must be {', '.join(_NAMED)}, or a QuadraticReward such as FunctionReward(problem, function, "
            f"start), but is {shown(reward)}."
        )
    with torch.no_grad():
        fitting_cost(problem, reward(), "reward")
    return reward


def _typical(record: Recorded, tau: float) -> tuple[Tensor, Tensor]:
    """Costs q and r of the size that the demonstrations suggest: a nat for a typical state and a typical action."""
    states, actions = (np.square(each).mean((0, 1)) for each in record)
    q, r = (torch.from_numpy(tau / np.where(each > 0, each, 1.0)) for each in (states, actions))
    return q, r


@torch.no_grad()
def _set(reward: QuadraticReward, q: Tensor, r: Tensor) -> None:
    """Start a reward of ours at these costs."""
    if isinstance(reward, DiagonalReward):
        reward.weight.copy_(torch.cat((q, r)))
    elif isinstance(reward, SemidefiniteReward):
        for part, each in ((reward.state_root, q), (reward.action_root, r)):
            part.copy_(_triangle(each.sqrt()))
    elif isinstance(reward, FullReward):
        reward.triangle.copy_(_triangle(torch.cat((q, r))))


def _triangle(diagonal: Tensor) -> Tensor:
    size = len(diagonal)
    return torch.diag(diagonal)[tuple(torch.tril_indices(size, size))]


def _require_start(objective: GaussianObjective, reward: QuadraticReward, is_ours: bool) -> None:
    """Refuse a start beyond the breakdown; a start of ours is made smaller until it is not."""
    for _ in range(_TRIES if is_ours else 1):
        x = objective.start
        if np.isfinite(objective.log_likelihood(x, slopes=False)[0]):
            objective.refused = 0
            return
        with torch.no_grad():
            cost = reward()
        n, diagonal = len(cost.final_p), cost.C.diagonal(dim1=-2, dim2=-1)
        _set(reward, _SMALLER * diagonal[..., :n], diagonal[..., n:])
    raise InvalidArgument(
        "`reward` must start where the demonstrator has an optimum, but at its parameters the optimism "
        f"β = {objective.parts(objective.start)[1]:g} is beyond the breakdown, or no action is best. Start with a "
        "smaller cost of the states or a larger one of the actions, or with a β nearer to 0."
    )
