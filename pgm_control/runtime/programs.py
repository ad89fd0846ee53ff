"""Programs and other functions that are passed as arguments: their signatures, and what they are conditioned on."""

import functools
import inspect
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.messenger import Messenger

from ..errors import InvalidArgument
from .arguments import shown

_accepted: WeakKeyDictionary[FunctionType, set[tuple[Any, ...]]] = WeakKeyDictionary()  # reading a signature is slow


def require_callable(name: str, value: Any, *takes: str, remedy: str = "") -> None:
    """Require a function or a module that can be called with these arguments and no others.

    Args:
        name: the name of the argument, for the message.
        value: the value of the argument.
        takes: what the function is called with, as the message names it; nothing for a Pyro program.
        remedy: a sentence for the end of the message.

    Raises:
        InvalidArgument: if it is not callable, or is a class, or has another signature; the message names it.
    """
    called = f"called with {', '.join(takes)}" if takes else "called without arguments"
    if isinstance(value, type):
        raise InvalidArgument(f"`{name}` must be an object, but is the class {value.__name__}. Pass {_call_of(value)}.")
    if not callable(value):
        problem = f"`{name}` must be a function that can be {called}, but is {shown(value)}. {remedy}"
        raise InvalidArgument(problem.rstrip())
    program = value.forward if isinstance(value, torch.nn.Module) else value
    code, way = _code_of(program), (isinstance(program, FunctionType), *takes)  # a method is called with self too
    if code is not None and way in _accepted.get(code, ()):
        return
    try:
        inspect.signature(program).bind(*takes)
    except TypeError as problem:
        raise InvalidArgument(
            f"`{name}` must be a function that can be {called}, but Python says: {problem}. "
            f"{remedy or 'Wrap it: lambda: ….'}"
        ) from None
    except ValueError:  # a function of C, whose signature is unknown
        return
    if code is not None:
        _accepted.setdefault(code, set()).add(way)


def _call_of(kind: type) -> str:
    """The call that makes an object of a class, with the names of the arguments that have no default."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except ValueError:  # a class of C, whose signature is unknown
        return f"{kind.__name__}(…)"
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each.name for each in parameters if each.kind in plain and each.default is each.empty]
    return f"{kind.__name__}({', '.join(needed)})"


def _code_of(program: Any) -> FunctionType | None:
    """The function of Python whose signature that of the call is, but for self: of a method, or of `__call__`."""
    if isinstance(program, FunctionType):
        return program
    found = program.__func__ if isinstance(program, MethodType) else vars(type(program)).get("__call__")
    own = getattr(program, "__dict__", {})
    return found if isinstance(found, FunctionType) and "__signature__" not in own else None


def without_condition(program: Any) -> tuple[Any, dict[str, Any]]:
    """The program inside of any number of `pyro.condition`, and what they condition on."""
    known: dict[str, Any] = {}
    while (inner := _bound(program)) is not None:
        messenger, program = inner
        if not isinstance(messenger.data, Mapping):
            raise InvalidArgument(
                f"`model` must be conditioned on a dictionary of values, but here on {shown(messenger.data)}. "
                'Pass pyro.condition(model, data={"state_4": torch.tensor(2)}).'
            )
        known = {**messenger.data, **known}
    return program, known


def without_handlers(program: Any) -> Any:
    """The program inside of any number of Pyro's handlers, such as `pyro.condition` and `poutine.scale`."""
    while isinstance(program, functools.partial) and any(isinstance(each, Messenger) for each in program.args):
        program = program.args[-1]
    return program


def _bound(program: Any) -> tuple[ConditionMessenger, Any] | None:
    """The handler and the program of `pyro.condition`, if it is one."""
    while isinstance(program, functools.partial) and isinstance(program.func, functools.partial):
        program = program.func
    args = program.args if isinstance(program, functools.partial) else ()
    return args if len(args) == 2 and isinstance(args[0], ConditionMessenger) else None
