"""Many independent runs of a program: side by side by `torch.vmap`, or one by one where its code does not allow it."""

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import pyro
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import PGMControlError
from ..runtime.alone.thread import alone
from ..runtime.randomness import seeded
from .own_parameters import is_in_store, own_parameters

_REPEATED, _REPEATS = 16, 5  # runs whose densities are computed again, and how often
_announced: set[str] = set()  # names of programs that are run in a loop

Named = dict[str, Tensor]
Run = Callable[[Mapping[str, Tensor]], tuple[Named, Named]]


@alone()
@torch.no_grad()
def side_by_side(
    run: Run, program: Callable[[], Any], count: int, seed: int | None, like: Tensor, given: Named | None = None
) -> tuple[Named, Named]:
    """The results of independent runs, stacked.

    Args:
        run: a function of the values of some sites, by name, which runs the program and returns the values of all of
            its sites, and some functions of these values, such as log-probabilities.
        program: the program, for its parameters and its name.
        count: the number of runs.
        seed: of all random numbers; None takes torch's global generators.
        like: a tensor of the dtype and on the device of the runs.
        given: the values that each run is given, with a leading axis for the run. Runs that are given some are not
            tried for random numbers from outside of torch.
    """
    known: Named = {} if given is None else given
    if given is None:
        with seeded(seed, like.device), own_parameters(program):
            run({})  # makes the parameters of a function, which Pyro cannot make in a batch
    with seeded(seed, like.device), own_parameters(program):
        if is_in_store(program):
            with torch.random.fork_rng(devices=[]):
                run({name: value[0] for name, value in known.items()})  # puts its parameters into Pyro's store
        found = _all_at_once(run, count, like, known)
    if isinstance(found, str):
        announce_loop(program, count, found)
        with seeded(seed, like.device), own_parameters(program):
            rows = [run({name: value[i] for name, value in known.items()}) for i in range(count)]
        found = _stacked([row[0] for row in rows]), _stacked([row[1] for row in rows])
    return found


def _stacked(rows: list[Named]) -> Named:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _all_at_once(run: Run, count: int, like: Tensor, known: Named) -> tuple[Named, Named] | str:
    """Independent runs side by side, or the reason why that fails; one by one, each then gives its result or its error.

    `torch.vmap` gives every run its own random numbers, and raises where Python code would branch on a value. Random
    numbers from outside of torch would be shared by all runs: the same numbers of torch then give other values, or the
    same values another density.
    """
    batch, state = like.new_zeros(count), _torch_state(like)
    foreign = _foreign_randomness()
    try:
        with pyro.validation_enabled(False), _Draws():  # validation branches on values
            found = torch.func.vmap(lambda _, values: run(values), randomness="different")(batch, known)
            if known:
                return found
            is_same = True
            if foreign != _foreign_randomness():  # the program drew from there, or something else did
                _set_torch_state(state, like)
                again = torch.func.vmap(lambda _, values: run(values), randomness="different")(batch, known)
                is_same = _equal(again[0], found[0])
            values, logs = ({name: each[:_REPEATED] for name, each in part.items()} for part in found)
            for _ in range(_REPEATS):
                is_same = is_same and _equal(torch.func.vmap(run, randomness="different")(values)[1], logs)
    except PGMControlError:
        raise
    except Exception as problem:
        return reason(problem)
    return found if is_same else "random numbers from outside of torch"


def _equal(one: Named, other: Named) -> bool:
    return all(torch.allclose(one[name], other[name], equal_nan=True) for name in other)


def _torch_state(like: Tensor) -> Tensor:
    """The state of torch's global generator on the device of a tensor."""
    return torch.cuda.get_rng_state(like.device) if like.is_cuda else torch.get_rng_state()


def _set_torch_state(state: Tensor, like: Tensor) -> None:
    if like.is_cuda:
        torch.cuda.set_rng_state(state, like.device)
    else:
        torch.set_rng_state(state)


def _foreign_randomness() -> tuple[Any, ...]:
    """The states of the global generators of Python and numpy."""
    _, keys, *rest = np.random.get_state()  # noqa: NPY002  the state that guides may draw from
    return random.getstate(), np.asarray(keys).tobytes(), rest


@final
class _Draws(TorchFunctionMode):
    """Draws in place of a new tensor, which `torch.vmap` would share among the runs, as functions that it does not."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not args or not hasattr(args[0], "shape"):
            return func(*args, **kwargs or {})
        place = {"dtype": args[0].dtype, "device": args[0].device}
        if func is Tensor.normal_:
            mean, scale = _two(args, kwargs, ("mean", 0.0), ("std", 1.0))
            return mean + scale * torch.randn(args[0].shape, **place)
        if func is Tensor.uniform_:
            least, most = _two(args, kwargs, ("from", 0.0), ("to", 1.0))
            return least + (most - least) * torch.rand(args[0].shape, **place)
        if func is Tensor.exponential_:
            rate, _ = _two(args, kwargs, ("lambd", 1.0), ("", 0.0))
            return -torch.log1p(-torch.rand(args[0].shape, **place)) / rate
        return func(*args, **kwargs or {})


def _two(
    args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, first: tuple[str, float], second: tuple[str, float]
) -> tuple[Any, Any]:
    """Two arguments after the tensor, given in order or by name, or their defaults."""
    named = kwargs or {}
    return tuple(args[i] if len(args) > i else named.get(name, value) for i, (name, value) in ((1, first), (2, second)))  # pyright: ignore[reportReturnType]


def announce_loop(program: Callable[[], Any], runs: int, why: str) -> None:
    """Log that a program is run in a loop, and why; once for each name of a program."""
    name = getattr(program, "__name__", type(program).__name__)
    if name not in _announced:
        _announced.add(name)
        text = "`guide` cannot be run in one batch by torch.vmap: %s is called %s times. The reason: %s"
        logging.getLogger("pgm_control").warning(text, name, f"{runs:,}", why)


def reason(problem: Exception) -> str:
    """The class and the first line of an error."""
    return f"{type(problem).__name__}: {problem}".partition("\n")[0]
