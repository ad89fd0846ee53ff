"""The parameters of guides, and how they are announced to Pyro without its global parameter store."""

import math
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import constraints
from pyro.nn import PyroModule
from pyro.poutine.runtime import effectful
from torch import Tensor

from ...runtime.alone.thread import alone
from ...runtime.checkpoint_checks import Check, Problem, anything, fields, tensor

_FINITE = sys.float_info.max


def announce_parameters(module: torch.nn.Module) -> None:
    """Make one `param` statement for each parameter of the module, as `SVI.step` needs in order to find them.

    `pyro.module` would do so through the global store, in which two guides whose parameters share a name would share
    their values. This function has no effect outside of Pyro's handlers.
    """
    for name, parameter in module.named_parameters():
        parameter.unconstrained = weakref.ref(parameter)  # pyright: ignore[reportAttributeAccessIssue]
        _statement(parameter, constraint=constraints.real, name=name)


def announced(guide: Callable[[], Any]) -> Callable[[], Any]:
    """The guide, announcing its parameters to Pyro: a bare `torch.nn.Module` does not, and would never be updated."""
    if not isinstance(guide, torch.nn.Module) or isinstance(guide, PyroModule):
        return guide

    def program(*args: Any, **kwargs: Any) -> Any:
        announce_parameters(guide)
        return guide(*args, **kwargs)

    return program


@effectful(type="param")
def _statement(parameter: torch.nn.Parameter, **_: object) -> torch.nn.Parameter:
    return parameter


def together(guide: Callable[[], Any], model: object, loss: object) -> Callable[[], Any]:
    """The guide; or, if the model or the loss has modules with parameters too, a module of all that are fitted."""
    if not isinstance(guide, torch.nn.Module):
        return guide
    others = {"model": model, **{f"loss_{name}": each for name, each in getattr(loss, "__dict__", {}).items()}}
    modules = {
        name: each
        for name, each in others.items()
        if isinstance(each, torch.nn.Module) and not name.startswith("loss__") and any(True for _ in each.parameters())
    }
    return torch.nn.ModuleDict({"guide": guide, **modules}) if modules else guide


def parameters_of(guide: Callable[[], Any]) -> dict[str, Tensor]:
    """The tensors that an optimiser updates, by name: a module's, or for a guide function those in Pyro's store."""
    if isinstance(guide, torch.nn.Module):
        return dict(guide.named_parameters())
    return dict(pyro.get_param_store().named_parameters())


def state_of(guide: Callable[[], Any]) -> dict[str, Tensor]:
    """The state for `load_state`: parameters and buffers of a module, or the unconstrained tensors in the store."""
    return dict(guide.state_dict()) if isinstance(guide, torch.nn.Module) else parameters_of(guide)


def check_of_state(guide: Callable[[], Any]) -> Check:
    """A check that a state fits this guide: its names, shapes, dtypes and values.

    nan is refused. −inf is the logit of an impossible outcome; +inf is allowed only in tensors that have one already.
    """
    if isinstance(guide, torch.nn.Module):
        return fields({name: _check_of(value) for name, value in state_of(guide).items()})
    with alone(), poutine.block(), torch.random.fork_rng(devices=[]):
        trace = poutine.trace(guide, param_only=True).get_trace()  # creates what the store does not hold yet
    own = [name for name, site in trace.nodes.items() if site.get("type") == "param"]
    present = {name: _check_of(value) for name, value in parameters_of(guide).items()}

    def check(found: Any) -> Problem | None:
        # Other programs may keep parameters in the store too: a state holds all of them, or fewer than there are now.
        return fields({name: each for name, each in present.items() if name in own or name in found})(found)

    return check


def _check_of(value: Any) -> Check:
    if not isinstance(value, Tensor):
        return anything  # the extra state of another library's module
    most = math.inf if bool((value == math.inf).any()) else _FINITE
    return tensor(value.shape, value.dtype, most=most, infinite=True)


def load_state(guide: Callable[[], Any], state: dict[str, Tensor]) -> None:
    """Load a state into the guide.

    Raises:
        RuntimeError: if the guide has other parameters.
    """
    if isinstance(guide, torch.nn.Module):
        guide.load_state_dict(state)
        return
    with alone(), poutine.block(), torch.random.fork_rng(devices=[]):
        guide()  # its pyro.param statements create what the store does not hold yet
    present = parameters_of(guide)
    if missing := set(state) - set(present):
        raise RuntimeError(f"the guide has no parameter {sorted(missing)[0]!r}")
    with torch.no_grad():
        for name, value in state.items():
            present[name].copy_(value)
