"""One setting of a model whose blocks are clamped or free, β = 0 or 1: the most frequent call, by the shortest way."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from ...chance.optimism import Optimism
from ...kernels.bundles import Logs, Plain
from ...problems.checks import largest_temperature
from ...trajectories.blocks import MarkovModel
from .many_settings import ManySettings, tensor_of
from .prepared import Own, array_of, own_tables

Array = np.ndarray
NO_LOGS = Logs(np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0)), np.empty(0))
_NUMBERS = {float, int, np.float64}


class OneSetting(NamedTuple):
    """One setting without its rewards."""

    kernels: ModuleType
    model: MarkovModel
    own: Own
    temperature: float
    free: bool  # whether β of the dynamics is 1, otherwise 0
    free_start: bool  # the same of the start


class Values(NamedTuple):
    """The values of one setting."""

    q: Array  # (time, action, state)
    v: Array  # (time and last, state)
    objective: Array  # (), in nats
    messages: Plain  # `Messages`, for `gradient`


def one_setting(kernels: ModuleType, model: MarkovModel, optimism: Any, temperature: Any = None) -> OneSetting | None:
    """The setting, or None if it is not of this kind; default: the temperature of the model."""
    tau, dynamics, initial, survival = temperature, optimism, optimism, 0.0
    if tau is None:
        tau = model.temperature
    if isinstance(optimism, Optimism):
        dynamics, initial, survival = optimism.dynamics, optimism.initial, optimism.survival
    for each in (tau, dynamics, initial, survival):
        if type(each) not in _NUMBERS:
            return None
    if (
        not 0 < tau <= largest_temperature(model.mdp.probability.dtype)
        or dynamics not in (0, 1)
        or initial not in (0, 1)
    ):
        return None
    if survival != 0 and model.mdp.discount < 1:
        return None
    return OneSetting(kernels, model, own_tables(model), float(tau), dynamics == 1, initial == 1)


def fits(own: Tensor, given: Any) -> bool:
    """Whether a table is given that may replace a model's own as it is, or None."""
    return given is None or (
        isinstance(given, Tensor)
        and given.shape == own.shape
        and given.dtype == own.dtype
        and given.device == own.device
        and given.layout == torch.strided
    )


def solved_alone(one: OneSetting, reward: Tensor | None, final_reward: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(q, v, objective), differentiable in the rewards; None stands for the model's own."""
    if torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (reward, final_reward)):
        return _Solved.apply(one, reward, final_reward)
    return _tensors(one, values(one, *_rewards(one, reward, final_reward)))


def values(one: OneSetting, reward: Array, last: Array, keeps: bool = False, logs: Logs = NO_LOGS) -> Values:
    """Solve for these rewards, (state action outcome,) and (state,); `keeps` if `_gradient` will be called."""
    kernels, model, own, temperature, free, free_start = one
    mdp, (_, weight, prior, _, _) = model.mdp, own.single
    (outcomes, pairs), (actions, states) = weight.shape, prior.shape
    horizon, steps = mdp.horizon, mdp.horizon if keeps else 1
    products = steps if free else 1
    q, v, objective = np.empty((horizon, pairs)), np.empty((horizon + 1, states)), np.empty(1)
    v[horizon] = last
    messages = (
        np.empty((outcomes, pairs)),
        np.empty(horizon, np.bool_),
        np.empty((products, states + 1)),
        np.empty((products, states)),
        np.empty((steps, pairs)),
        np.empty(states),
    )
    kernels.solve_one(
        own.single, reward, mdp.discount, temperature, free, free_start, q, v, objective, messages, tuple(logs)
    )
    return Values(q.reshape(horizon, actions, states), v, objective.reshape(()), messages)


def _rewards(one: OneSetting, reward: Tensor | None, final_reward: Tensor | None) -> tuple[Array, Array]:
    """The rewards as arrays."""
    return (
        one.own.reward if reward is None else array_of(reward).reshape(-1),
        one.own.last if final_reward is None else array_of(final_reward),
    )


def _tensors(one: OneSetting, found: Values) -> tuple[Tensor, Tensor, Tensor]:
    q, v, objective, _ = found
    return tensor_of(q.swapaxes(-1, -2), one.model), tensor_of(v, one.model), tensor_of(objective, one.model)


def _gradient(one: OneSetting, reward: Array, found: Values, cost: float) -> tuple[Tensor, Tensor]:
    """`cost` times the derivatives of the objective by both rewards."""
    kernels, model, own, temperature, free, _ = one
    by_reward, by_last = np.zeros(len(reward)), np.empty(len(own.last))
    kernels.visits_of_one(
        own.single, reward, model.mdp.discount, temperature, free, found.v, found.messages, cost, by_reward, by_last
    )
    return tensor_of(by_reward.reshape(model.mdp.probability.shape), model), tensor_of(by_last, model)


@final
class _Solved(torch.autograd.Function):
    """`solved_alone` with derivatives. Those of q and v, and second derivatives, are left to `ManySettings`."""

    @staticmethod
    def forward(ctx: Any, one: OneSetting, *tables: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.set_materialize_grads(False)
        reward, last = _rewards(one, *tables)
        found = values(one, reward, last, keeps=True)
        q, v, objective = _tensors(one, found)
        ctx.one, ctx.reward, ctx.found = one, reward, found
        ctx.save_for_backward(*tables, v)
        return q, v, objective

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *tables, _ = ctx.saved_tensors
        by_q, by_v, by_objective = cotangents
        if by_q is None and by_v is None and by_objective is not None and not torch.is_grad_enabled():
            found: Sequence[Tensor | None] = _gradient(ctx.one, ctx.reward, ctx.found, by_objective.item())
        else:
            found = _derivatives(ctx.one, tables, cotangents)
        return None, *(each if need else None for each, need in zip(found, ctx.needs_input_grad[1:], strict=True))


def _derivatives(
    one: OneSetting, tables: Sequence[Tensor | None], cotangents: Sequence[Tensor | None]
) -> Sequence[Tensor | None]:
    """The derivatives of q, v and the objective; they are differentiable if autograd asks for that."""
    wanted = [each for each in tables if each is not None and each.requires_grad]
    with torch.enable_grad():
        numbers = one.temperature, float(one.free), float(one.free_start)
        outputs = ManySettings.apply(one.kernels, one.model, 0.0, torch.Size(), *tables, None, *numbers)
    costs = [(each, by) for each, by in zip(outputs, cotangents, strict=True) if by is not None]
    if not costs:
        return [None for _ in tables]
    results, by_results = zip(*costs, strict=True)
    found = iter(torch.autograd.grad(results, wanted, by_results, create_graph=torch.is_grad_enabled()))
    return [None if each is None or not each.requires_grad else next(found) for each in tables]
