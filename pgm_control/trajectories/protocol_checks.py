"""Fast `isinstance` for protocols: the names of their members are collected once, not at every check."""

import functools
from typing import Protocol


class MembersOnce(type(Protocol)):
    """The metaclass of a runtime-checkable protocol whose instances are all objects that have its members, not None.

    That of `typing` collects the names of the members again at every check, which takes longer than solving a small
    problem.
    """

    def __instancecheck__(cls, instance: object) -> bool:
        """Whether the object has every member of the protocol; for a class that inherits one, as for any class."""
        if not _is_protocol(cls):
            return super().__instancecheck__(instance)
        return all(getattr(instance, name, None) is not None for name in _members(cls))


@functools.cache
def _members(protocol: type) -> tuple[str, ...]:
    bases = [base for base in protocol.__mro__ if _is_protocol(base)]
    names = {name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    return tuple(sorted(name for name in names if name == "__call__" or not name.startswith("_")))


def _is_protocol(kind: type) -> bool:
    return vars(kind).get("_is_protocol", False)
