"""The values of many settings as one function of autograd, compiled if possible, else in torch."""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ....chance.operators import is_mean
from ....kernels.bundles import Cotangents, Settings
from ....trajectories.blocks import MarkovModel
from ....trajectories.steps import is_timed, tables_of
from .batch import solved
from .prepared import array_of
from .recursion import Chances, backward, derivatives


@final
class ManySettings(torch.autograd.Function):
    """(q, v, objective) of a batch, with derivatives.

    The inputs are reward, final reward and prior, each shared by all settings or with all axes of the batch, or None
    for the model's own; then temperature and the optimism of dynamics and start, numbers or of the batch's shape; then
    the probabilities of outcomes and of the start, like the first three.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, kernels: Any, model: MarkovModel, survival: float, batch: torch.Size, *inputs: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Solve all settings."""
        ctx.kernels, ctx.model, ctx.survival, ctx.batch = kernels, model, survival, batch
        ctx.set_materialize_grads(False)
        needs = ctx.needs_input_grad[4:]
        if kernels is None:
            found = _in_torch(model, *_completed(model, survival, batch.numel(), inputs))
            q, v, objective = (each.reshape((*batch, *each.shape[1:])) for each in found)
        else:
            ctx.settings = _arrays(model, survival, batch.numel(), inputs)
            ctx.chances = _chances(model, inputs)
            wants, by_chances = 2 if any(needs[2:6]) else int(any(needs)), any(needs[6:])
            ctx.ready = solved(kernels, model.mdp, ctx.settings, wants, chances=ctx.chances, by_chances=by_chances)
            found = (ctx.ready.q.swapaxes(-1, -2), ctx.ready.v, ctx.ready.objective)
            q, v, objective = (tensor_of(each.reshape((*batch, *each.shape[1:])), model) for each in found)
        ctx.plain = [None if isinstance(each, Tensor) else each for each in inputs]
        ctx.shapes = [each.shape if isinstance(each, Tensor) else None for each in inputs]
        ctx.save_for_backward(*(each if isinstance(each, Tensor) else None for each in inputs), q, v, objective)
        return q, v, objective

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The derivatives that are asked for."""
        needs, start = ctx.needs_input_grad[4:], len(ctx.batch)
        if all(each is None for each in cotangents):
            return (None,) * (4 + len(needs))
        flat = [None if each is None else each.reshape(-1, *each.shape[start:]) for each in cotangents]
        if ctx.kernels is None or torch.is_grad_enabled():
            *inputs, q, v, objective = ctx.saved_tensors
            given = [plain if each is None else each for each, plain in zip(inputs, ctx.plain, strict=True)]
            outputs = [each.reshape(-1, *each.shape[start:]) for each in (q, v, objective)]
            chances, full = _completed(ctx.model, ctx.survival, ctx.batch.numel(), given)
            found = derivatives(ctx.model.mdp, chances, full, outputs, flat, any(needs[2:6]), any(needs[6:]))
        else:
            found = _compiled_derivatives(ctx, flat)
        wanted = zip(found, ctx.shapes, needs, strict=True)
        return *(None,) * 4, *(_like(each(), shape) if need else None for each, shape, need in wanted)


_AXES = (3, 1, 2, 0, 0, 0, 3, 1)  # of the inputs, without those of the batch
_AXES_BY_TIME = (4, 1, 3, 0, 0, 0, 4, 1)  # the same if something depends on time


def _like(derivative: Tensor, shape: torch.Size) -> Tensor:
    """The derivative in the shape of its input, summed over settings that share the input."""
    if derivative.numel() > shape.numel():
        derivative = derivative.sum(0)
    return derivative.reshape(shape)


def _chosen(model: MarkovModel, inputs: Sequence[Any]) -> list[Any]:
    """The inputs, with the model's own in place of None."""
    reward, last, prior, temperature, probability, initial = tables_of(model)
    own = (reward, last, prior, temperature, None, None, probability, initial)
    return [mine if each is None else each for each, mine in zip(inputs, own, strict=True)]


def _completed(model: MarkovModel, survival: float, count: int, inputs: Sequence[Any]) -> tuple[Chances, Settings]:
    """All inputs as tensors with one leading axis; a temperature that depends on time is a list."""
    tables: list[Any] = [
        each.reshape(-1, *each.shape[each.ndim - axes :])
        if isinstance(each, Tensor)
        else [model.mdp.initial.new_full((count,), tau) for tau in each]
        if isinstance(each, list)
        else model.mdp.initial.new_full((count,), each)
        for each, axes in zip(_chosen(model, inputs), _AXES_BY_TIME if is_timed(model) else _AXES, strict=True)
    ]
    return Chances(*tables[6:]), Settings(*tables[:6], survival)  # pyright: ignore[reportCallIssue]


def _in_torch(model: MarkovModel, chances: Chances, given: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """(q, v, objective) of all settings."""
    dynamics = given.dynamics.expand(model.mdp.horizon, -1)[..., None, None]  # (time, setting, state, action)
    q, v, value = backward(model.mdp, chances, given._replace(dynamics=[dynamics], initial=[given.initial]))
    return q, v, value / (given.temperature[0] if is_timed(model) else given.temperature)


def _arrays(model: MarkovModel, survival: float, count: int, inputs: Sequence[Any]) -> Settings:
    """All inputs as arrays of float64 with one leading axis; a β too small to matter becomes 0."""
    tables = []
    for each, axes in zip(_chosen(model, inputs)[:6], _AXES, strict=False):
        if isinstance(each, Tensor):
            array = array_of(each)
            tables.append(array.reshape(-1, *array.shape[array.ndim - axes :]))
        else:
            tables.append(np.full(count, float(each)))
    for beta in (4, 5):
        if tables[beta].any():
            level = is_mean(tables[beta], tables[3], model.mdp.probability.dtype)
            tables[beta] = np.where(level, 0.0, tables[beta])
    reward, final_reward, prior, temperature, dynamics, initial = tables
    return Settings(reward, final_reward, prior, temperature, dynamics, initial, survival)


def _chances(model: MarkovModel, inputs: Sequence[Any]) -> Chances | None:
    """The probabilities as arrays with one leading axis, or None for the model's own."""
    if inputs[6] is None and inputs[7] is None:
        return None
    arrays = [array_of(each) for each in _chosen(model, inputs)[6:]]
    return Chances(*(each.reshape(-1, *each.shape[each.ndim - n :]) for each, n in zip(arrays, _AXES[6:], strict=True)))


def tensor_of(array: np.ndarray, model: MarkovModel) -> Tensor:
    """The array in the dtype of the model."""
    dtype = model.mdp.probability.dtype
    return torch.from_numpy(array) if dtype == torch.float64 else torch.from_numpy(array).to(dtype)


def _compiled_derivatives(ctx: Any, cotangents: Sequence[Tensor | None]) -> Sequence[Callable[[], Tensor]]:
    """The derivatives: those of the objective are ready, any others take another sweep."""
    by_q, by_v, by_objective = (None if each is None else each.numpy().astype(np.float64) for each in cotangents)
    if by_q is None and by_v is None and by_objective is not None:
        ready, cost = ctx.ready, by_objective
    else:
        q, v, objective = ctx.ready[:3]
        costs = Cotangents(
            np.zeros_like(objective) if by_objective is None else by_objective,
            np.zeros_like(q) if by_q is None else np.ascontiguousarray(by_q.swapaxes(-1, -2)),
            np.zeros_like(v) if by_v is None else np.ascontiguousarray(by_v),
        )
        by_chances = any(ctx.needs_input_grad[10:])
        ready = solved(ctx.kernels, ctx.model.mdp, ctx.settings, 2, costs, chances=ctx.chances, by_chances=by_chances)
        cost = np.ones(len(objective))

    def by_prior() -> Tensor:
        prior, by_log = ctx.settings.action_prior, cost[:, None, None] * ready.by_log_prior.swapaxes(-1, -2)
        return tensor_of(np.divide(by_log, prior, out=np.zeros_like(by_log), where=prior > 0), ctx.model)

    return (
        lambda: tensor_of(cost[:, None, None, None] * ready.by_reward, ctx.model),
        lambda: tensor_of(cost[:, None] * ready.by_final_reward, ctx.model),
        by_prior,
        *(lambda n=n: tensor_of(cost * ready.by_numbers[:, n], ctx.model) for n in range(3)),
        lambda: tensor_of(cost[:, None, None, None] * ready.by_probability, ctx.model),
        lambda: tensor_of(cost[:, None] * ready.by_initial, ctx.model),
    )
