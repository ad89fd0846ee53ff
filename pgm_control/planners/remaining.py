"""The model that is left of an episode: it starts at the present state, and has the steps that are left."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from ..errors import InvalidArgument
from ..inference.local.vector_model import VectorModel, is_vector_model
from ..models.continuous import ContinuousModel
from ..models.line import LineModel
from ..models.linear_quadratic import LinearQuadraticModel
from ..models.planar import PlanarModel
from ..models.tabular import TabularModel
from ..problems.continuous.line import Line
from ..problems.continuous.linear_quadratic import LinearQuadratic
from ..problems.continuous.planar import Planar
from ..runtime.arguments import shown
from ..trajectories.gaussian.model import GaussianPrior
from ..trajectories.steps import is_exponential, observed_of


def remaining(model: Any, t: int, state: Tensor, steps: int) -> Any:
    """The model of these steps from a known state on; the final reward belongs to it if it ends with the model.

    Args:
        model: a model of which a planner knows the world.
        t: the step at which the state is seen.
        state: one state.
        steps: how many actions are left.

    Raises:
        InvalidArgument: for a model of another class, or a table whose optimality is not exp(r/τ) at each step.
    """
    if isinstance(model, LinearQuadraticModel):
        return _linear_quadratic(model, t, state, steps)
    if isinstance(model, PlanarModel):
        given = model.problem
        final = given.final_reward if t + steps == given.horizon else None
        left = Planar(
            lambda k, s: given.reward_at(t + int(k), s), steps, given.noise_covariance, state, final_reward=final
        )
        return PlanarModel(left, model.temperature, model.action_prior)
    if isinstance(model, LineModel):
        start, final = float(state), model.problem.final_reward if t + steps == model.problem.horizon else None
        reached = model.problem.reward_at
        line = Line(lambda k, s: reached(t + int(k), s), steps, model.problem.noise, start, final_reward=final)
        return LineModel(line, model.temperature, model.action_prior)
    if isinstance(model, TabularModel):
        return _tabular(model, t, state, steps)
    if is_vector_model(model):
        return _vectors(model, t, state, steps)
    raise InvalidArgument(
        "`model` must be a LinearQuadraticModel, a PlanarModel, a LineModel, a ContinuousModel or a TabularModel for a "
        f"guide that is fitted anew at each step, but is {shown(model)}."
    )


def _linear_quadratic(model: LinearQuadraticModel, t: int, state: Tensor, steps: int) -> LinearQuadraticModel:
    given, times = model.problem, slice(t, t + steps)
    ends = t + steps == given.horizon
    final = (given.final_P, given.final_p, given.final_v) if ends else None
    left = LinearQuadratic(
        given.A[times], given.B[times], given.W[times], given.C[times], horizon=steps, initial_mean=state,
        c=given.c[times], k=given.k[times], d=given.d[times], final_cost=final, discount=given.discount,
        state_names=given.state_names, action_names=given.action_names,
    )  # fmt: skip
    prior = model.action_prior
    if prior is not None:
        front = given.horizon
        gain, offset = prior.gain.expand(front, *prior.gain.shape[-2:]), prior.offset.expand(front, given.num_actions)
        covariance = prior.covariance.expand(front, given.num_actions, given.num_actions)
        prior = GaussianPrior(gain[times], offset[times], covariance[times])
    return LinearQuadraticModel(left, model.temperature, prior)


def _tabular(model: TabularModel, t: int, state: Tensor, steps: int) -> TabularModel:
    if observed_of(model) is not None or not is_exponential(model) or isinstance(model.temperature, Tensor):
        raise InvalidArgument(
            "`model` must have one temperature, and the likelihood exp(r/τ) at each step, for a guide that is fitted "
            "anew at each step."
        )
    mdp, times = model.mdp, slice(t, t + steps)
    start = torch.zeros_like(mdp.initial)
    start[state] = 1.0
    changes: dict[str, Any] = {"initial": start, "horizon": steps}
    for name in ("probability", "reward"):
        table = getattr(mdp, name)
        changes[name] = table[times] if table.ndim > 3 else table
    if t + steps < mdp.horizon:
        changes["final_reward"] = None
    prior = model.action_prior
    return TabularModel(mdp.replace(**changes), model.temperature, prior[times] if prior.ndim > 2 else prior)


def _vectors(model: VectorModel, t: int, state: Tensor, steps: int) -> ContinuousModel:
    like = model.start().rsample()
    reward, final = model.problem.reward, model.problem.final_reward if t + steps == model.horizon else None
    return ContinuousModel(
        dist.Delta(state.to(like)).to_event(1),
        lambda k, s, a: model.dynamics(t + k, s, a),
        lambda k, s, a, ahead: reward(t + k, s, a, ahead),
        steps,
        model.temperature,
        lambda k, s: model.action_prior(t + k, s),
        final,
    )


def require_step_left(time: int, horizon: int) -> None:
    """Require that an episode has not ended.

    Raises:
        InvalidArgument: if it has.
    """
    if time >= horizon:
        raise InvalidArgument(
            f"`state` must be in an episode of at most {horizon} steps, the horizon of the model. Call "
            "reset() to begin a new one."
        )
