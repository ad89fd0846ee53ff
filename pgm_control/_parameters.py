"""Telling Pyro about a guide's parameters without its global parameter store."""

import weakref

import torch
from pyro.distributions import constraints
from pyro.poutine.runtime import effectful


def announce_parameters(module: torch.nn.Module) -> None:
    """Make one `param` statement for each parameter of the module, as `SVI.step` needs in order to find them.

    `pyro.module` would do so through the global store, in which two guides whose parameters share a name would share
    their values. Does nothing outside of Pyro's handlers.
    """
    for name, parameter in module.named_parameters():
        parameter.unconstrained = weakref.ref(parameter)  # pyright: ignore[reportAttributeAccessIssue]
        _statement(parameter, constraint=constraints.real, name=name)


@effectful(type="param")
def _statement(parameter: torch.nn.Parameter, **_: object) -> torch.nn.Parameter:
    return parameter
