"""Run one call with one argument replaced, and judge what comes of it."""

import contextlib
import inspect
import io
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from pgm_control import PGMControlError

from . import calls_of_continuous, calls_of_packages, calls_of_planners  # noqa: F401  fill the table
from .calls import CALLS, Call, folder
from .unequal import unequal
from .values import Bad, bad_values

SECONDS = 150  # of CPU time, after which a call counts as one that does not end; the first ones compile loops


class Case(NamedTuple):
    """A public function, the argument that is replaced, and the value."""

    call: str
    argument: str
    bad: Bad

    def __str__(self) -> str:
        return f"{self.call}({self.argument}={self.bad.name})"


def cases(names: Iterator[str] | None = None) -> Iterator[Case]:
    """Every argument of the functions with every value."""
    for name in CALLS if names is None else names:
        call = CALLS[name]
        valid = call.arguments()
        for argument, parameter in inspect.signature(call.function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or argument in call.skipped:
                continue
            default = None if parameter.default is parameter.empty else parameter.default
            for bad in bad_values(valid.get(argument, default)):
                yield Case(name, argument, bad)


def fault(case: Case) -> str | None:
    """What is wrong with the answer to this case; None if it is an error of the library that names the argument.

    An answer without an error counts as right, unless the value is never right and the argument a number or a table.
    """
    call = CALLS[case.call]
    arguments = {**call.arguments(), case.argument: case.bad.value}
    try:
        with contextlib.chdir(folder()), _quiet(), _limit():
            found = call.function(**arguments)
    except PGMControlError as problem:
        named = any(_names(each, str(problem)) for each in inspect.signature(call.function).parameters)
        return None if named else f"names no argument: {problem}"
    except Exception as problem:
        return f"raw {type(problem).__name__}: {problem}"
    finally:
        torch.set_default_dtype(torch.float32)
    may_be = case.argument in call.anything or (case.bad.drawable and case.argument in call.drawn)
    may_be = may_be or (case.bad.name == "with a gradient" and case.argument in call.differentiable)
    if case.bad.never_right and not may_be:
        return "is accepted"
    if case.bad.same and unequal(found, again := _valid(call)) and not unequal(again, _valid(call)):
        return "is another answer than to the valid value"
    return None


def _valid(call: Call) -> Any:
    with contextlib.chdir(folder()), _quiet():
        return call.function(**call.arguments())


def _names(argument: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(argument)}\b", text) is not None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    import matplotlib.pyplot as plt

    plt.close("all")


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    if not hasattr(signal, "SIGPROF") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"no answer in {SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
