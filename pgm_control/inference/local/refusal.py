"""The named errors of a search whose linear-quadratic problem has no solution at the optimism that is asked for."""

from typing import NoReturn

import torch

from ...chance.optimism import Optimism
from ...errors import InvalidArgument, OptimismBreakdown
from ...text.wording import amount
from ...trajectories.gaussian.riccati import prepared
from ..exact.gaussian.breakdown import BreakdownEdge, breakdown
from ..exact.gaussian.open_loop import open_loop_optimum
from ..exact.gaussian.solve import optimum
from .around import LocalModel
from .step import Step


def refuse_unbounded(
    step: Step, optimism: Optimism, beta: tuple[float, float], at_rest: bool, sees_state: bool = True
) -> None:
    """Raise an error if the last step shows that the objective is unbounded.

    It is so for certain where the linear-quadratic problem is the model itself. Otherwise the search is refused once it
    has come to rest, because a guide at which the objective is stationary solves the problem around itself.

    Args:
        step: the last one.
        optimism: what was asked for.
        beta: β of the dynamics and of the start.
        at_rest: whether the search ends.
        sees_state: whether actions may depend on the state.

    Raises:
        OptimismBreakdown: with the limit of the problem, if it is known.
        InvalidArgument: if no plan is best, or the objective is no number although no β is negative.
    """
    beyond = step.beyond
    if beyond is not None and (step.is_whole or (at_rest and _is_bounded(beyond, (0.0, 0.0)))):
        if not sees_state:
            open_loop_optimum(beyond)  # raises the error
        if not _is_bounded(beyond, (0.0, 0.0)):
            raise OptimismBreakdown(
                "`model` must have a cost that is convex in the actions, but no action is best, even with clamped "
                "dynamics. Raise the cost of the action, or narrow the action prior.",
                beta[0],
            )
        _refuse(step, beyond, optimism, beta)
    if not step.is_bounded and (at_rest or step.size == 0) and min(beta) >= 0:
        raise InvalidArgument(
            f"`model` must have finite rewards where a Gaussian guide goes, which is everywhere, but the objective of "
            f"the guide is {step.before:g} nats. Replace rewards of −inf by large finite costs."
        )
    if not step.is_bounded and (at_rest or step.size == 0):
        raise OptimismBreakdown(
            f"`optimism` {optimism} must be one at which an adversary that pays KL/|β| is bounded, but it is so "
            "against no policy of the search, which has come to rest at the best one without an adversary. Choose a β "
            "nearer to 0, or begin with a policy fitted there: guide.assign(other.factors()).",
            beta[0] if beta[0] < 0 else beta[1],
        )


def _refuse(step: Step, beyond: LocalModel, optimism: Optimism, beta: tuple[float, float]) -> NoReturn:
    worst = beta[0] if beta[0] != 0 else beta[1]
    edge = _edge(beyond, beta)
    kind = "euphoric: log p(O) is infinite" if worst > 0 else "neurotic: the adversary is unbounded"
    what = "this model" if step.is_whole else "the linear-quadratic problem around the last guide"
    limit, time, direction = "", -1, None
    if edge is not None and edge.time is not None:
        n = step.found.local.problem.num_states
        direction = edge.direction if edge.block == "actions" or edge.direction is None else edge.direction[:n]
        time = edge.time
        where = "the start" if time == -1 else f"step {time} of the {edge.block}"
        along = ", ".join(f"{each:.3g}" for each in direction or ())
        limit = f" Its limit is β* = {amount(edge.optimism)}, at {where}, along ({along})."
    raise OptimismBreakdown(
        f"`optimism` {optimism} is beyond the breakdown of {what} ({kind}).{limit} Choose a β nearer to 0.",
        worst, None if edge is None else edge.optimism, time, direction,
    )  # fmt: skip


def _edge(beyond: LocalModel, beta: tuple[float, float]) -> BreakdownEdge | None:
    """The limit of the dynamics' β, with the start at the same β or clamped; None in any other case."""
    if beta[0] == 0 or beta[1] not in (0.0, beta[0]):
        return None
    found = breakdown(beyond, initial=beta[1] != 0)
    edge = found.euphoric if beta[0] > 0 else found.neurotic
    return edge if edge.time is not None and abs(edge.optimism) <= abs(beta[0]) else None


def _is_bounded(model: LocalModel, beta: tuple[float, float]) -> bool:
    theta = (torch.tensor(each / model.temperature, dtype=torch.float64) for each in beta)
    return bool(optimum(model, prepared(model), *theta).is_finite)
