"""Vectors of eight float64 for the compiled loops: one number of each of eight problems.

A vector lives in the registers that the machine has; LLVM divides it where they are shorter. In memory it takes 64
bytes, and its address is an integer: loops over integers need no counts of references and no checks for overlap. A
product and a sum may be rounded once ("contract"); nothing is reordered.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.core.typing.templates import signature as typing_signature
from numba.extending import intrinsic, lower_builtin, register_model

LANES = 8
BYTES = 64  # of a vector in memory
_FLAGS = ("contract",)
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_QUARTET = ir.VectorType(ir.DoubleType(), 4)


class Vector(types.Type):
    """The type of a vector, for numba."""

    def __init__(self) -> None:
        """A type without parameters."""
        super().__init__(name="eight_float64")


_vector = Vector()


@register_model(Vector)
class _Model(models.PrimitiveModel):
    """A vector is a vector of LLVM."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _load(typing_context: Any, address: Any) -> Any:
    """The vector at this address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[0], _VECTOR), align=8)

    return _vector(types.int64), generate


def _store(typing_context: Any, address: Any, x: Any) -> Any:
    """Write the vector to this address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], _pointer(builder, args[0], _VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, _vector), generate


def _spread(typing_context: Any, x: Any) -> Any:
    """The vector that has this number in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), _picks([0] * LANES))

    return _vector(types.float64), generate


def _fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once if the machine can."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(builder.fmul(args[0], args[1], flags=_FLAGS), args[2], flags=_FLAGS)

    return _vector(_vector, _vector, _vector), generate


def _not_above(typing_context: Any, x: Any, bound: Any) -> Any:
    """The lanes in which x > bound does not hold, also for nan, as the bits of an integer."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(builder.fcmp_unordered("<=", *args), ir.IntType(LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(_vector, _vector), generate


def _where_positive(typing_context: Any, x: Any, other: Any) -> Any:
    """Each lane of x that is positive, and `other` elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        above = builder.fcmp_ordered(">", args[0], ir.Constant(_VECTOR, [0.0] * LANES))
        return builder.select(above, *args)

    return _vector(_vector, _vector), generate


def _scatter_four(typing_context: Any, source: Any, target: Any, stride: Any, last: Any) -> Any:
    """Write four consecutive vectors as four consecutive numbers of each lane, to target + min(lane, last) · stride."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target, stride, last = args
        x = [builder.load(_pointer(builder, _after(builder, source, BYTES * i), _VECTOR), align=8) for i in range(4)]
        halves = [_pairs(builder, x[0], x[1]), _pairs(builder, x[2], x[3])]
        for lane in range(LANES):
            odd, first = lane % 2, lane - lane % 2
            picks = _picks([first, first + 1, LANES + first, LANES + first + 1])
            four = builder.shuffle_vector(halves[0][odd], halves[1][odd], picks)
            builder.store(four, _pointer(builder, _of_lane(builder, target, lane, last, stride), _QUARTET), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


def _gather_four(typing_context: Any, target: Any, source: Any, stride: Any, last: Any) -> Any:
    """Read four consecutive numbers of each lane, from source + min(lane, last) · stride, as four vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, source, stride, last = args
        rows = [
            builder.load(_pointer(builder, _of_lane(builder, source, lane, last, stride), _QUARTET), align=8)
            for lane in range(LANES)
        ]
        wide = [builder.shuffle_vector(rows[i], rows[i + 4], _picks(range(LANES))) for i in range(4)]
        # wide[i] has lane i in its first half and lane i + 4 in its second.
        pairs = [_pairs(builder, wide[0], wide[1]), _pairs(builder, wide[2], wide[3])]
        for item in range(4):
            low, high = item - item % 2, item - item % 2 + 4
            one, other = pairs[0][item % 2], pairs[1][item % 2]
            picks = _picks([low, low + 1, LANES + low, LANES + low + 1, high, high + 1, LANES + high, LANES + high + 1])
            vector = builder.shuffle_vector(one, other, picks)
            builder.store(vector, _pointer(builder, _after(builder, target, BYTES * item), _VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


def _read(typing_context: Any, address: Any) -> Any:
    """The number at this address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[0], ir.DoubleType()), align=8)

    return types.float64(types.int64), generate


def _write(typing_context: Any, address: Any, x: Any) -> Any:
    """Write the number to this address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], _pointer(builder, args[0], ir.DoubleType()), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.float64), generate


def _picks(order: Any) -> Any:
    order = list(order)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)


def _pairs(builder: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """x0 y0 x2 y2 x4 …, and x1 y1 x3 y3 x5 …"""
    even = _picks([i // 2 * 2 + (LANES if i % 2 else 0) for i in range(LANES)])
    odd = _picks([i // 2 * 2 + 1 + (LANES if i % 2 else 0) for i in range(LANES)])
    return builder.shuffle_vector(x, y, even), builder.shuffle_vector(x, y, odd)


def _after(builder: Any, address: Any, size: int) -> Any:
    return builder.add(address, ir.Constant(ir.IntType(64), size))


def _of_lane(builder: Any, address: Any, lane: int, last: Any, stride: Any) -> Any:
    number = ir.Constant(ir.IntType(64), lane)
    least = builder.select(builder.icmp_signed("<", number, last), number, last)
    return builder.add(address, builder.mul(least, stride))


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
spread: Any = intrinsic(_spread)
fused: Any = intrinsic(_fused)
not_above: Any = intrinsic(_not_above)
where_positive: Any = intrinsic(_where_positive)
scatter_four: Any = intrinsic(_scatter_four)
gather_four: Any = intrinsic(_gather_four)
read: Any = intrinsic(_read)
write: Any = intrinsic(_write)


def _define(operation: Any, instruction: str) -> None:
    """Let numba compile this operation of two vectors as one instruction of LLVM."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=_FLAGS)

    class OfVectors(ConcreteTemplate):
        cases = [typing_signature(_vector, _vector, _vector)]  # noqa: RUF012 - numba reads this attribute

    typed: Any = infer_global(operation)
    typed(OfVectors)
    lower_builtin(operation, _vector, _vector)(generate)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_operation, _instruction)
