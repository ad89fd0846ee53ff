"""Check of functions that are passed as arguments: they can be called as they will be."""

import inspect
from typing import Any

import torch

from ..errors import InvalidArgument
from .arguments import shown


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
        raise InvalidArgument(f"`{name}` must be an object, but is the class {value.__name__}. Call it first.")
    if not callable(value):
        problem = f"`{name}` must be a function that can be {called}, but is {shown(value)}. {remedy}"
        raise InvalidArgument(problem.rstrip())
    try:
        inspect.signature(value.forward if isinstance(value, torch.nn.Module) else value).bind(*takes)
    except TypeError as problem:
        raise InvalidArgument(
            f"`{name}` must be a function that can be {called}, but Python says: {problem}. "
            f"{remedy or 'Wrap it: lambda: ….'}"
        ) from None
    except ValueError:  # a function of C, whose signature is unknown
        pass
