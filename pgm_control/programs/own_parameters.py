"""The parameters of Pyro modules: made before they are needed, and not shared through Pyro's global store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pyro
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch.nn.parameter import is_lazy

from ..errors import InvalidGuide, UsedByAnotherThread
from ..runtime.alone.thread import alone

F = TypeVar("F", bound=Callable[..., Any])


def keeps_parameters(forward: F) -> F:
    """Mark the program of a `PyroModule` that never puts its parameters into Pyro's store."""
    forward.keeps_parameters = True  # pyright: ignore[reportFunctionMemberAccess]
    return forward


def is_in_store(guide: object) -> bool:
    """Whether Pyro puts the parameters of a guide, a `PyroModule`, into its store whenever the guide runs."""
    return isinstance(guide, PyroModule) and not getattr(type(guide).forward, "keeps_parameters", False)


@contextmanager
def own_parameters(guide: object) -> Iterator[None]:
    """Make the parameters of a guide, and keep those of a `PyroModule` its own inside the context and afterwards.

    Some guides make their parameters on the first call, such as Pyro's AutoGuides and those with lazy layers of torch:
    they are run once. Whenever a `PyroModule` runs, Pyro puts its parameters into a global store, from which another
    module with parameters of the same names would take them as its own. Therefore the names of this module are freed
    there, before and after. All modules keep their parameters. Guide functions, whose parameters are in the store, are
    not affected.

    Raises:
        InvalidGuide: if the guide cannot run; the message holds its error.
    """
    if not isinstance(guide, torch.nn.Module):
        yield
        return
    parameters = list(guide.parameters())
    if parameters and not is_in_store(guide) and not any(map(is_lazy, parameters)):
        yield
        return
    with alone(), _free_names(guide):
        yield


@contextmanager
def _free_names(guide: torch.nn.Module) -> Iterator[None]:
    store = pyro.get_param_store()
    try:
        with store.scope() as made, poutine.block():
            guide()
    except UsedByAnotherThread:
        raise
    except Exception as problem:  # of the user's code, or of Pyro about the user's model
        raise InvalidGuide(
            f"`guide` must run without arguments, to make its parameters, but {type(guide).__name__} raises "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    try:
        _free(set(made["params"]))
        yield
    finally:
        own = set(map(id, guide.parameters()))
        _free({name for name, parameter in store.named_parameters() if id(parameter) in own})


def _free(names: set[str]) -> None:
    """Take names out of the store. A parameter of Pyro's flows has two, of which `del store[name]` takes only one."""
    store = pyro.get_param_store()
    if names & set(store.keys()):
        state = store.get_state()
        for held in (state["params"], state["constraints"]):
            for name in names & set(held):
                del held[name]
        store.clear()
        store.set_state(state)
