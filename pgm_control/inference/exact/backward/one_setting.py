"""One setting of a model whose blocks are clamped or free, β = 0 or 1: the most frequent call, by the shortest way."""

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from ....chance.optimism import Optimism
from ....chance.risk import Risk, beta_of
from ....kernels.bundles import SPARE, Plain
from ....problems.checks import largest_temperature
from ....runtime.array_like import is_transformed
from ....trajectories.blocks import MarkovModel
from ....trajectories.steps import is_plain, last_worth, temperature_at, worth_at
from .many_settings import ManySettings, tensor_of
from .prepared import Own, array_of, own_tables, single_at

Array = np.ndarray
_largest = functools.cache(largest_temperature)  # making the limits of a dtype takes longer than all other checks
_NUMBERS = {float, int, np.float64, np.float32, np.int64, np.int32}


class OneSetting(NamedTuple):
    """One setting, apart from its rewards."""

    kernels: ModuleType
    model: MarkovModel
    own: Own | Any  # None if `values_by_step` solves it
    temperature: float
    free: bool  # whether β of the dynamics is 1, otherwise 0
    free_start: bool  # the same of the start


def one_setting(kernels: ModuleType, model: MarkovModel, optimism: Any, temperature: Any = None) -> OneSetting | None:
    """The setting, or None if it is not of this kind; default: the temperature of the model."""
    tau, dynamics, initial, survival = temperature, optimism, optimism, 0.0
    if tau is None:
        tau = temperature_at(model, 0)
    if type(optimism) not in _NUMBERS:
        if isinstance(optimism, Optimism):
            dynamics, initial, survival = optimism.dynamics, optimism.initial, optimism.survival
        if (isinstance(dynamics, Risk) or isinstance(initial, Risk)) and isinstance(model.temperature, Tensor):
            return None  # β depends on time
        dynamics, initial = beta_of(dynamics, tau), beta_of(initial, tau)
        if not _NUMBERS.issuperset((type(dynamics), type(initial), type(survival))):
            return None
        if survival != 0 and model.mdp.discount < 1:
            return None
    if type(tau) not in _NUMBERS or not 0 < tau <= _largest(model.mdp.probability.dtype):
        return None
    if dynamics not in (0, 1) or initial not in (0, 1):
        return None
    own = own_tables(model) if is_plain(model) else None
    return OneSetting(kernels, model, own, float(tau), bool(dynamics == 1), bool(initial == 1))


def fits(own: Tensor, given: Any) -> bool:
    """Whether a dense table is given that may replace a model's own as it is, or None."""
    return given is None or (
        isinstance(given, Tensor)
        and given.shape == own.shape
        and given.dtype == own.dtype
        and given.device == own.device
        and given.layout is torch.strided
        and not is_transformed(given)
    )


def values_by_step(one: OneSetting, logs: Plain) -> tuple[Array, Array]:
    """Q (time, action state) and V of a model that depends on time, by one problem of one step after the other.

    Each ends with V of the step ahead, in its own unit, as the final reward. `logs` are those of `logs_of`; the start
    is left out.
    """
    model, mdp = one.model, one.model.mdp
    steps, (states, actions, _) = mdp.horizon, mdp.successor.shape
    q, v, here = np.empty((steps, actions * states)), np.empty((steps + 1, states)), np.empty((2, states))
    v[steps], unit_ahead = array_of(last_worth(model)), temperature_at(model, steps)
    weight = single_at(model, 0)[1]
    products, rest = (1, states + SPARE), (np.empty(()), np.empty(()))
    messages = (
        *(np.empty(weight.shape), np.empty(1, np.bool_), np.empty(products), np.empty((1, states))),
        *(np.empty((1, actions * states)), np.empty(states)),
    )
    for t in reversed(range(steps)):
        tau, reward = temperature_at(model, t), array_of(worth_at(model, t)).reshape(-1)
        here[1] = v[t + 1] * (tau / unit_ahead)
        found = (q[t : t + 1], here, *rest)
        single, own = single_at(model, t), tuple([each[t : t + 1] if len(each) else each for each in logs])
        one.kernels.solve_one(single, reward, mdp.discount, tau, one.free, False, found, messages)
        one.kernels.factors_of_one(single, reward, mdp.discount, tau, *found[:2], messages[1], own)
        v[t], unit_ahead = here[0], tau
    return q, v


def solved_alone(one: OneSetting, reward: Tensor | None, final_reward: Tensor | None) -> tuple[Tensor, ...]:
    """(q, v, value, objective), differentiable in the rewards; None stands for the model's own."""
    for each in (reward, final_reward):
        if each is not None and each.requires_grad and torch.is_grad_enabled():
            return _Solved.apply(one, reward, final_reward)
    return tensors_of(one, *values_of(one, *_rewards(one, reward, final_reward)))


def values_of(one: OneSetting, reward: Array, last: Array, keeps: bool = False) -> tuple[Plain, Plain]:
    """`ValuesOfOne` for these rewards, (state action outcome,) and (state,), and `Messages`, whole only if `keeps`."""
    kernels, model, own, temperature, free, free_start = one
    mdp, (_, weight, prior, _, _) = model.mdp, own.single
    horizon, pairs, states = mdp.horizon, prior.size, prior.shape[1]
    steps = horizon if keeps else 1
    products = steps if free and keeps else 1
    found = (np.empty((horizon, pairs)), np.empty((horizon + 1, states)), np.empty(()), np.empty(()))
    found[1][horizon] = last
    messages = (
        np.empty(weight.shape),
        np.empty(horizon, np.bool_),
        np.empty((products, states + SPARE)),
        np.empty((products, states)),
        np.empty((steps, pairs)),
        np.empty(states),
    )
    kernels.solve_one(own.single, reward, mdp.discount, temperature, free, free_start, found, messages)
    return found, messages


def logs_of(one: OneSetting) -> Plain:
    """Empty tables of log-probabilities, `Logs`: those of dynamics and start have entries where these are free."""
    steps, (states, actions, outcomes) = one.model.mdp.horizon, one.model.mdp.successor.shape
    return (
        np.empty((steps, actions * states)),
        np.empty((steps if one.free else 0, states * actions * outcomes)),
        np.empty((0, 0)),
        np.empty(states if one.free_start else 0),
    )


def _rewards(one: OneSetting, reward: Tensor | None, final_reward: Tensor | None) -> tuple[Array, Array]:
    """The rewards as arrays."""
    return (
        one.own.reward if reward is None else array_of(reward).reshape(-1),
        one.own.last if final_reward is None else array_of(final_reward),
    )


def tensors_of(one: OneSetting, found: Plain, _: Plain) -> tuple[Tensor, ...]:
    """The `ValuesOfOne` as tensors (time, state, action), (time and last, state), () and ()."""
    model, q = one.model, found[0]
    q = q.reshape(len(q), *one.own.single[2].shape).swapaxes(1, 2)
    return tensor_of(q, model), tensor_of(found[1], model), tensor_of(found[2], model), tensor_of(found[3], model)


@final
class _Solved(torch.autograd.Function):
    """`solved_alone` with derivatives. Those of q and v, and second derivatives, are left to `ManySettings`."""

    @staticmethod
    def forward(ctx: Any, one: OneSetting, *tables: Tensor | None) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Solve, and keep the messages."""
        ctx.set_materialize_grads(False)
        reward, last = _rewards(one, *tables)
        found, messages = values_of(one, reward, last, keeps=True)
        tensors = tensors_of(one, found, messages)
        ctx.kept = one, reward, found[1], messages
        ctx.save_for_backward(*tables, tensors[1])
        return tensors

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The forward sweep of visits, for the value and the objective."""
        *tables, _ = ctx.saved_tensors  # torch refuses those that were changed in place
        one, reward, v, messages = ctx.kept
        by_q, by_v, by_value, by_objective = cotangents
        if by_q is not None or by_v is not None or torch.is_grad_enabled():
            return None, *_derivatives(one, tables, cotangents)
        _, by_reward, by_last = ctx.needs_input_grad
        cost = 0.0 if by_objective is None else by_objective.item()
        cost += 0.0 if by_value is None else by_value.item() * one.temperature
        kernels, model, own, temperature, free, _ = one
        found = np.zeros(len(reward)), np.empty(v.shape[1])
        kernels.visits_of_one(own.single, reward, model.mdp.discount, temperature, free, v, messages, cost, *found)
        return (
            None,
            tensor_of(found[0].reshape(model.mdp.probability.shape), model) if by_reward else None,
            tensor_of(found[1], model) if by_last else None,
        )


def _derivatives(
    one: OneSetting, tables: Sequence[Tensor | None], cotangents: Sequence[Tensor | None]
) -> Sequence[Tensor | None]:
    """The derivatives of all results; they are differentiable themselves if autograd asks for that."""
    with torch.enable_grad():
        # views, because a table may be a function of the other: the derivatives must not pass through it
        tables = [None if each is None else each.view_as(each) for each in tables]
        wanted = [each for each in tables if each is not None and each.requires_grad]
        numbers = one.temperature, float(one.free), float(one.free_start)
        q, v, objective = ManySettings.apply(
            one.kernels, one.model, 0.0, torch.Size(), *tables, None, *numbers, None, None
        )
        outputs = q, v, objective * one.temperature, objective
    costs = [(each, by) for each, by in zip(outputs, cotangents, strict=True) if by is not None]
    if not costs:
        return [None for _ in tables]
    results, by_results = zip(*costs, strict=True)
    found = iter(torch.autograd.grad(results, wanted, by_results, create_graph=torch.is_grad_enabled()))
    return [None if each is None or not each.requires_grad else next(found) for each in tables]
