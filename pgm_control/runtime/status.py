"""How a computation ended: one family of enumerations."""

import enum


class Status(enum.Enum):
    """How a computation ended. This is the base class; every method has an enumeration of its own.

    The value of a member is the message. A name means the same in all enumerations:

        converged       The tolerance was reached.
        exact           The problem was solved without iterating.
        complete        Everything that was requested was done.
        bounded         The values converge, and the limit was reached.
        unbounded       The values have no finite limit.
        undiscounted    The changes are below the tolerance, but without a discount nothing is certified.
        no_progress     No step improves the objective any more.
        out_of_digits   Rounding alone exceeds the tolerance.
        degenerate      One random draw decides the result.
        out_of_steps    The limit of steps, or of sweeps, was reached first.
        stopped         A callback returned True.
        interrupted     Ctrl-C was pressed.
        not_finite      A number became nan or infinite.
    """

    @property
    def message(self) -> str:
        """What happened, and the remedy if there is one."""
        return self.value

    @property
    def ended_early(self) -> bool:
        """Whether the method was cut short: out of steps, stopped, interrupted or not finite."""
        return self.name in _EARLY


_EARLY = frozenset({"out_of_steps", "stopped", "interrupted", "not_finite"})
