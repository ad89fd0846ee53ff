"""The fixed point of a Bellman operator, by any of the methods, with a certified error bound."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.status import Status
from .checkpoint import SweepCheckpoint
from .methods import METHODS, MethodName, method_of
from .operators.bellman import Bellman
from .operators.certificate import Certificate, span_certificate, sup_norm_certificate
from .operators.share import Change

Stopping = Literal["span", "sup_norm"]


class ValueStatus(Status):
    """How value iteration ended."""

    converged = "No value is further from the fixed point than the tolerance."
    undiscounted = (
        "The sweeps stopped changing the values by more than the tolerance, but there is no certificate because the "
        "discount is 1."
    )
    out_of_steps = (
        "`max_sweeps` was reached. Continue with more: value_iteration takes resume=this result and may be faster with "
        'method="anderson", value_iteration_blocks takes the same folder. With discount 1 the values may have no limit.'
    )
    out_of_digits = (
        "Rounding alone exceeds the tolerance: more sweeps cannot help. Raise the tolerance, or scale the rewards down."
    )
    interrupted = (
        "Interrupted by Ctrl-C. Nothing is lost: value_iteration goes on with resume=this result, and "
        "value_iteration_blocks with the same folder."
    )
    not_finite = (
        "Values exceeded the range of float64. The result holds the initial values, with the action prior as the "
        "policy. Scale the rewards down or raise the temperature."
    )


@runtime_checkable
class HasBellman(Protocol):
    """A problem, or a share of its states, with its Bellman operator."""

    @property
    def num_states(self) -> int:
        """The number of states."""
        ...

    @property
    def num_actions(self) -> int:
        """The number of actions."""
        ...

    @property
    def discount(self) -> float:
        """γ."""
        ...

    def bellman(self, num_threads: int | None = None) -> Bellman:
        """The operator."""
        ...


class FixedPoint(NamedTuple):
    """The values, their error bound and how they were found; the fields are those of `ValueIteration`."""

    v: Float[Tensor, " state"]
    q: Float[Tensor, "state action"]
    error_bound: float
    num_sweeps: int
    status: ValueStatus
    seconds: float
    checkpoint: SweepCheckpoint


def fixed_point(
    problem: HasBellman,
    begin: Float[Tensor, " state"],
    tolerance: float,
    max_sweeps: int,
    *,
    method: MethodName,
    stopping: Stopping = "span",
    num_threads: int | None = None,
    progress: Progress = silent,
    save: Callable[[SweepCheckpoint], object] | None = None,
    save_every: int = 100,
    past: SweepCheckpoint | None = None,
    interrupted: Callable[[], bool] | None = None,
) -> FixedPoint:
    """Iterate until no value is further from the fixed point than the tolerance.

    Args:
        problem: the problem that defines the operator.
        begin: the initial values, finite.
        save: called with the state every `save_every` iterations and at the end, however it ends.
        past: the checkpoint of an earlier run of the same problem and method, from which to continue.
        interrupted: what says, after each iteration, whether to end here; default: Ctrl-C.
        tolerance, max_sweeps, method, stopping, num_threads, progress: as in `value_iteration`, already checked.
    """
    history, seconds = [], 0.0
    phase, state = method_of(method, problem.discount), {"v": begin.clone(), "sweeps": torch.tensor(0.0)}
    if past is not None:
        state = {name: each.to(begin.device, copy=True) for name, each in past.state.items()}
        history, seconds = past.history.tolist(), past.seconds
    certify = span_certificate if stopping == "span" else sup_norm_certificate

    def now() -> SweepCheckpoint:
        return SweepCheckpoint(step.state(), phase, torch.tensor(history, dtype=torch.float64), loop.seconds)

    loop = Loop(
        ValueStatus.out_of_steps, begin=len(history), seconds=seconds,
        progress=progress, save=None if save is None else lambda: save(now()), save_every=save_every,
        interrupted=interrupted,
    )  # fmt: skip
    best = begin
    with problem.bellman(num_threads) as bellman, loop:
        step = METHODS[phase](bellman, state)

        def judge(change: Change, rounding: float) -> Certificate:
            return certify(change, problem.discount, bellman.tables.slack, rounding)

        for _ in loop:
            change = step.iterate()
            history.append(change.span)
            rounding = bellman.rounding(step.v)
            found, floor = judge(change, rounding), judge(_NO_CHANGE, rounding).bound
            ending = _judgement(change, found, problem.discount, tolerance, floor)
            if ending is None and step.sweeps >= max_sweeps:  # an iteration may take several sweeps
                ending = ValueStatus.out_of_steps
            loop.report({"span": change.span, "error_bound": found.bound}, ending=ending)
            if loop.over:
                best = step.v + found.shift
            if ending is not ValueStatus.converged:
                step.go_on(found.shift)
        last = now()
        if save is not None:
            save(last)
        status = loop.status
        if status is ValueStatus.not_finite:
            best = begin
        bellman.release()
        v, q = torch.empty_like(best), best.new_empty(problem.num_states, problem.num_actions)
        found = judge(bellman.sweep(best, v, q=q), bellman.rounding(best))
    v += found.shift
    q += found.shift
    if bellman.tables.dead is not None:
        v[bellman.tables.dead] = -torch.inf
    if status is ValueStatus.not_finite:
        v, q = begin, begin[: problem.num_states, None].expand_as(q).clone()
    elif status is ValueStatus.converged and found.bound > tolerance:
        status = ValueStatus.out_of_digits
    bound = found.bound if status is not ValueStatus.not_finite else math.inf
    return FixedPoint(v, q, bound, round(step.sweeps) + 1, status, loop.seconds, last)


_NO_CHANGE = Change(0.0, 0.0, True)


def _judgement(
    change: Change, found: Certificate, discount: float, tolerance: float, floor: float
) -> ValueStatus | None:
    """The status with which to stop, or None to continue. `floor` is the error bound that rounding alone causes."""
    if not change.whole:
        return ValueStatus.not_finite
    if found.bound <= tolerance:
        return ValueStatus.converged
    if math.isfinite(found.bound) and floor > tolerance and found.bound <= 2 * floor:
        return ValueStatus.out_of_digits
    if discount == 1 and change.size <= tolerance:
        return ValueStatus.undiscounted
    return None
