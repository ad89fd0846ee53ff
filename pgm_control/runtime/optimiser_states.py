"""The state of a Pyro optimiser, which keeps a torch optimiser for each parameter."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from pyro.optim import PyroOptim
from pyro.optim.lr_scheduler import PyroLRScheduler
from pyro.optim.optim import _get_state_dict, _load_state_dict, is_scheduler
from torch import Tensor

from ..errors import InvalidArgument
from .arguments import shown
from .checkpoint_checks import Check, alike, either, fields, number, one_of, row, tensor


def require_optimiser(optim: object, num_steps: int) -> None:
    """Require a Pyro optimiser that torch can run, with a schedule of learning rates that lasts for all steps.

    Raises:
        InvalidArgument: if it is none, if torch refuses its settings, or if its schedule ends before `num_steps`.
    """
    if not isinstance(optim, PyroOptim):
        raise InvalidArgument(
            f"`optim` must be a Pyro optimiser, but is {shown(optim)}. Write pyro.optim.PyroOptim(torch.optim.Adam, "
            '{"lr": 0.1}), or with a scheduler pyro.optim.ExponentialLR({"optimizer": torch.optim.Adam, "optim_args": '
            '{"lr": 0.1}, "gamma": 0.99}).'
        )
    if isinstance(optim.pt_optim_args, dict) and isinstance(optim.pt_clip_args, dict):  # not by a parameter's name
        try:
            _try_out(optim)
        except Exception as problem:
            raise InvalidArgument(
                f"`optim` must be an optimiser that torch can run on each parameter, but {described_optimiser(optim)} "
                f"raises: {problem} Correct its settings, or use another, such as torch.optim.Adam."
            ) from problem
    last = _steps_of_schedule(optim)
    if last is not None and num_steps > last:
        schedule = _described(cast(Any, optim).pt_scheduler_constructor)
        raise InvalidArgument(
            f"`num_steps` must be at most {last}, where the schedule {schedule} of "
            f"`optim` ends, but is {num_steps}. Give num_steps={last}, or a schedule of {num_steps} steps."
        )


def _try_out(optim: PyroOptim) -> None:
    """Make one step on a parameter that is thrown away; it has no gradient, which might have to be sparse."""
    parameter: Any = torch.zeros(1, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        found: Any = optim._get_optim(parameter)
        clip: Any = optim._get_grad_clip(parameter)
        if clip is not None:
            clip(parameter)
        (found.optimizer if is_scheduler(found) else found).step()
        if is_scheduler(found):
            _step(found, 0.0)


def _steps_of_schedule(optim: PyroOptim) -> int | None:
    """The number of steps after which a schedule such as OneCycleLR has no learning rate, or None."""
    given = optim.kwargs if isinstance(optim, PyroLRScheduler) else {}
    if given.get("total_steps") is not None:
        return given["total_steps"]
    return given["epochs"] * given["steps_per_epoch"] if {"epochs", "steps_per_epoch"} <= given.keys() else None


def described_optimiser(optim: PyroOptim) -> str:
    """The name of an optimiser, of its scheduler if it has one, and their settings."""
    parts = [(optim.pt_optim_constructor, optim.pt_optim_args), ("clip", optim.pt_clip_args)]
    if isinstance(optim, PyroLRScheduler):
        parts.append((optim.pt_scheduler_constructor, optim.kwargs))
    return ", ".join(f"{_described(each)}({_described(settings)})" for each, settings in parts if settings != {})


def step_schedulers(optim: PyroOptim, loss: float) -> None:
    """Let the schedulers of an optimiser, if it has some, set the learning rates of the next step."""
    if isinstance(optim, PyroLRScheduler):
        for scheduler in optim.optim_objs.values():
            _step(scheduler, loss)


def _step(scheduler: Any, loss: float) -> None:
    scheduler.step(*((loss,) if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) else ()))


def states_of(optim: PyroOptim, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """The states by the name of the parameter; a parameter that has made no step yet has none."""
    there = optim.optim_objs
    return {name: _get_state_dict(there[each]) for name, each in parameters.items() if each in there}


def restored(optim: PyroOptim, parameters: Mapping[str, Tensor], states: Mapping[str, Any]) -> None:
    """Restore the states that `states_of` returned."""
    for name, parameter in parameters.items():
        if name in states:
            # PyroOptim keeps one optimiser per parameter, by names in the global store, in which ours have no names.
            optim.optim_objs[parameter] = optim._get_optim(parameter)
            optim.grad_clip[parameter] = optim._get_grad_clip(parameter)  # pyright: ignore[reportArgumentType]
            _load_state_dict(optim.optim_objs[parameter], states[name])


def check_of(optim: PyroOptim, parameters: Mapping[str, Tensor], states: Any) -> Check:
    """The check that these states must pass.

    Torch accepts any state, and its fused operations read and write beyond tensors that are too short.
    """
    there = states if isinstance(states, dict) else {}
    return fields({name: _check_of(optim, each) for name, each in parameters.items() if name in there})


def _described(value: Any) -> str:
    """A setting as text that is the same in every process."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={_described(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_described, value))})"
    if isinstance(value, bool | int | float | Tensor | None):
        return repr(value)
    return value if isinstance(value, str) else getattr(value, "__qualname__", type(value).__name__)


def _check_of(optim: PyroOptim, parameter: Tensor) -> Check:
    """The check for the state before the first step, which a parameter without a gradient keeps, or after a step."""
    found: Any = optim._get_optim(parameter)
    fresh = _check_now(found)
    optimiser = found.optimizer if is_scheduler(found) else found
    copy = torch.zeros_like(parameter, requires_grad=True)
    copy.grad = torch.zeros_like(copy)
    optimiser.param_groups[0]["params"] = [copy]
    if parameter in optimiser.state:  # some have one before the first step
        optimiser.state[copy] = optimiser.state.pop(parameter)
    with torch.random.fork_rng(devices=[]):
        optimiser.step()
    stepped = _check_now(found)
    if not is_scheduler(found):
        return either(fresh, stepped)
    _step(found, 0.0)
    return either(fresh, stepped, _check_now(found))


def _check_now(found: Any) -> Check:
    """Return a check of saved states: structure and settings as in `found`, but for those that change during a fit."""
    if is_scheduler(found):
        return fields({"scheduler": alike(found.state_dict()), "optimizer": _check_settings(found.optimizer, True)})
    return _check_settings(found, False)


def _check_settings(optimiser: torch.optim.Optimizer, scheduled: bool) -> Check:
    state = optimiser.state_dict()
    moments = {
        i: fields({name: _check_moment(name, value) for name, value in each.items()})
        for i, each in state["state"].items()
    }
    groups = [
        fields({name: _check_setting(name, value, scheduled) for name, value in group.items()})
        for group in state["param_groups"]
    ]
    return fields({"state": fields(moments), "param_groups": row(groups)})


def _check_moment(name: str, value: Any) -> Check:
    if name == "step":  # a correction that is 0 at step 0 is divided by
        return tensor((), value.dtype, 0.0) if isinstance(value, Tensor) else number(0)
    return alike(value)


def _check_setting(name: str, value: Any, scheduled: bool) -> Check:
    if isinstance(value, Tensor):
        return alike(value)
    if isinstance(value, list | tuple):
        return row([_check_setting(name, each, scheduled) for each in value])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return number(0) if is_number and (scheduled or name == "lr") else one_of(value)
