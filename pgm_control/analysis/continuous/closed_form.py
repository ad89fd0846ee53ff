"""Numbers of a linear-quadratic model without sampling: objectives, the best return, references."""

import math
from typing import Any

import torch

from ...chance.optimism import Optimism
from ...errors import InvalidArgument, OptimismBreakdown
from ...inference.exact.gaussian.solve import Thetas
from ...inference.exact.infer import infer
from ...models.linear_quadratic import LinearQuadraticModel
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import shown
from ...trajectories.gaussian.model import is_gaussian
from ...trajectories.gaussian.objective import keeps_dynamics, keeps_start
from ...trajectories.gaussian.terms import gaussian_blocks, require_nats, trajectory_terms


def continuous_objective(model: Any, guide: object, optimism: Optimism) -> float:
    """$J_β$ of a guide of a continuous model, in nats.

    Raises:
        InvalidArgument: at temperature 0, or if parts of the optimism do not fit.
    """
    require_nats(model)
    if not is_gaussian(model):
        dynamics, initial, _ = optimism.at(model.temperature).numbers("a continuous model")
        return float(trajectory_terms(model, guide).objective(model.temperature, dynamics, initial))
    theta = Thetas.of(model, optimism)
    found, blocks = trajectory_terms(model, guide), gaussian_blocks(model, guide)
    dynamics, initial = theta.dynamics * model.temperature, theta.initial * model.temperature
    if (dynamics == 0 and not keeps_dynamics(model, blocks)) or (initial == 0 and not keeps_start(model, blocks)):
        return -math.inf
    return float(found.objective(model.temperature, dynamics or math.inf, initial or math.inf))


def world_of(model: Any, world: object) -> LinearQuadratic:
    """The true world of an evaluation, with the sizes and the horizon of the model.

    Raises:
        InvalidArgument: if it is no linear-quadratic problem, or differs in them.
    """
    if not is_gaussian(model):
        raise InvalidArgument(
            "`world` must be left out for a problem on a mesh, whose policy is evaluated in its own world, but is "
            f"{shown(world)}. rollout(to_gymnasium(world), guide) plays the policy in another one."
        )
    found = world.problem if is_gaussian(world) else world
    if not isinstance(found, LinearQuadratic):
        raise InvalidArgument(
            f"`world` must be a LinearQuadratic or a model of one for a linear-quadratic `model`, but is "
            f"{shown(world)}. Pass model.problem.replace(…)."
        )
    for name in ("num_states", "num_actions", "horizon", "batch_shape"):
        here, there = getattr(model.problem, name), getattr(found, name)
        if here != there:
            raise InvalidArgument(
                f"`world` must have the {name} of `model`, {here}, but has {there}: a policy for the one does not say "
                "what to do in the other. Pass model.problem.replace(…)."
            )
    return found


def best_policy(problem: LinearQuadratic) -> Any:
    """The regulator at temperature 0, whose policy has the largest true return; None if no action is best."""
    try:
        return infer(LinearQuadraticModel(problem, 0.0), 0.0)
    except OptimismBreakdown:
        return None


def best_return(problem: LinearQuadratic) -> float:
    """The largest true return of any policy, in reward units; infinite if no action is best.

    Where the cost is flat in some action it is the limit of costs of that action that go to 0.
    """
    with torch.no_grad():
        best = best_policy(problem)
        return math.inf if best is None else float(best.value)


def reference(model: Any) -> float:
    """log p(O), or what stands for it, in nats: the largest ELBO of the guides whose survival is clamped.

    It is infinite beyond the euphoric breakdown.
    """
    try:
        with torch.no_grad():
            return float(infer(model, 1.0).objective)
    except OptimismBreakdown:
        return math.inf


def evidence_name(model: Any) -> str:
    """The name of `reference` in tables and sentences."""
    if not is_gaussian(model):
        return "log p(O)"
    if model.problem.discount < 1:
        return "largest ELBO with clamped survival"
    return "log partition function" if model.action_prior is None else "log p(O)"
