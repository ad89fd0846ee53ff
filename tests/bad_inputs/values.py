"""The values that replace a valid argument: wrong types, shapes and numbers, other dtypes, objects of other models."""

import fractions
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from problems import random_mdp

from pgm_control import FreeGuide, TabularModel, TabularPolicy, infer


class Bad(NamedTuple):
    """A value with its name.

    `never_right` says that no function may accept it, except a picture if it is `drawable`; `same` that it is another
    form of the valid value: an answer must be the same as to that.
    """

    name: str
    value: Any
    never_right: bool = False
    same: bool = False
    drawable: bool = False


def bad_values(valid: Any) -> Iterator[Bad]:
    """The values that replace this valid argument."""
    yield from _types()
    yield from _numbers()
    yield from _arrays()
    yield from _others()
    if isinstance(valid, bool):
        yield from _for_a_flag(valid)
    elif isinstance(valid, int | float):
        yield from _for_a_number(valid)
    elif (
        isinstance(valid, list | tuple)
        and valid
        and not any(isinstance(each, bool) or not isinstance(each, int | float) for each in valid)
    ):
        yield from _for_numbers(valid)
    table = _table(valid)
    if table is not None and table.dtype.kind in "fiu" and table.ndim:
        yield Bad("its float32", table.astype(np.float32))
        yield Bad("its tensor", torch.from_numpy(table.copy()), same=True)
        yield Bad("its list", table.tolist(), same=True)
        yield Bad("its nan", table * math.nan, never_right=True, drawable=True)
        yield Bad("one nan", _but_one(table, math.nan), never_right=True, drawable=True)
        yield Bad("one infinite entry", _but_one(table, math.inf))
        yield Bad("its numbers as strings", table.astype(str), never_right=True)
        yield Bad("no rows", table[:0])
        if table.dtype.kind in "iu":
            yield Bad("half a unit more", table + 0.5, never_right=True)
        yield Bad("its double", table * 2)
        yield Bad("its negative", -table - 1)
        yield Bad("one axis more", table[None])
        yield Bad("one axis fewer", table[0])
        yield Bad("one row more", np.concatenate((table, table[:1])))
        yield Bad("complex", table * 1j, never_right=True)
        yield Bad("sparse", torch.from_numpy(table.copy()).to_sparse(), never_right=True)
        yield Bad("masked", np.ma.masked_array(table, np.ones_like(table, bool)), never_right=True)
        yield Bad(
            "with a gradient", torch.from_numpy(table.astype(float)).requires_grad_(), never_right=True, drawable=True
        )


def _for_a_flag(valid: bool) -> Iterator[Bad]:
    yield Bad("a flag of numpy", np.bool_(valid), same=True)
    for name, value in (("1", 1), ("0", 0), ("a string", "False"), ("a list", [False]), ("None", None)):
        yield Bad(f"{name} for a flag", value, never_right=True)


def _for_a_number(valid: float) -> Iterator[Bad]:
    yield Bad("its negative", -valid - 1)
    yield Bad("float32", np.float32(valid), same=float(np.float32(valid)) == valid)
    yield Bad("a whole number of numpy", np.int64(valid), same=int(valid) == valid)
    yield Bad("a number of numpy", np.float64(valid), same=isinstance(valid, float))
    yield Bad("a tensor without axes", torch.tensor(valid, dtype=torch.float64 if isinstance(valid, float) else None))
    yield Bad("an array without axes", np.array(valid), same=True)
    yield Bad("its digits", str(valid), never_right=True)
    yield Bad("a truth value", bool(valid), never_right=True)
    yield Bad("a truth value of numpy", np.bool_(valid), never_right=True)
    yield Bad("a truth value as a tensor", torch.tensor(bool(valid)), never_right=True)
    if isinstance(valid, int):
        yield Bad("half a unit more", valid + 0.5, never_right=True)


def _for_numbers(valid: Sequence[float]) -> Iterator[Bad]:
    yield Bad("its array", np.array(valid), same=True)
    yield Bad(
        "its tensor", torch.tensor(valid, dtype=torch.float64 if isinstance(valid[0], float) else None), same=True
    )
    yield Bad("its digits", [str(each) for each in valid], never_right=True)
    yield Bad("truth values", [bool(each) for each in valid], never_right=True, drawable=True)
    yield Bad("one nan", [*valid[:-1], math.nan], never_right=True)
    yield Bad("one infinite entry", [*valid[:-1], math.inf])
    yield Bad("one list", [*valid[:-1], [valid[-1]]], never_right=True)
    yield Bad("backwards", valid[::-1])
    yield Bad("its first twice", [*valid[:1], *valid])


def _types() -> Iterator[Bad]:
    yield Bad("an object", object(), never_right=True)
    yield Bad("a class", int, never_right=True)
    yield Bad("bytes", b"x", never_right=True)
    yield Bad("a complex number", 1j, never_right=True)
    yield Bad("a list of objects", [object()], never_right=True)
    yield Bad("a string", "no such thing")
    yield Bad("half a surrogate pair", "\ud800")
    yield Bad("an empty string", "")
    yield Bad("an empty list", [])
    yield Bad("an empty mapping", {})
    yield Bad("a mapping", {"a": object()})
    yield Bad("None", None)
    yield Bad("True", True)
    yield Bad("a function", print)
    yield Bad("a fraction", fractions.Fraction(1, 3))


def _numbers() -> Iterator[Bad]:
    yield Bad("nan", math.nan, never_right=True)
    for number in (math.inf, -math.inf, -1, 0, 1.5, -0.5):
        yield Bad(str(number), number)
    yield Bad("a number of 400 digits", 10**400)


def _arrays() -> Iterator[Bad]:
    yield Bad("an empty array", np.zeros(0))
    yield Bad("an array of another shape", np.zeros((2, 3, 5, 1, 1)))
    yield Bad("an array of strings", np.array(["a"]), never_right=True)
    yield Bad("ragged lists", [[1.0], [1.0, 2.0]])


@cache
def _others() -> tuple[Bad, ...]:
    other = TabularModel(random_mdp(9, states=5, actions=2, horizon=2), 0.5)
    same_size = TabularModel(random_mdp(9, states=3, actions=2, outcomes=3, horizon=2), 0.5)
    return (
        Bad("another model", other),
        Bad("another problem", other.mdp),
        Bad("the posterior of another model", infer(other, 1.0)),
        Bad("a guide of another model", FreeGuide(other)),
        Bad("another model of the same size", same_size),
        Bad("the posterior of another model of the same size", infer(same_size, 1.0)),
        Bad("a policy of another problem", TabularPolicy(np.full((5, 2), 0.5))),
        Bad("an environment", gymnasium.make("CartPole-v1")),
    )


def _but_one(table: np.ndarray, entry: float) -> np.ndarray:
    """The table with another last entry."""
    found = table.astype(np.float64)
    found.flat[-1] = entry
    return found


def _table(value: Any) -> np.ndarray | None:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    return value if isinstance(value, np.ndarray) else None
