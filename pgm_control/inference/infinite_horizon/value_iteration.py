"""Exact inference without a horizon: the fixed point of the Bellman operator, with a certificate.

Sources:
    [geist2018] M. Geist and B. Scherrer, Anderson acceleration for reinforcement learning. European Workshop on
        Reinforcement Learning, 2018. arXiv:1809.09501
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [macqueen1966] J. MacQueen, A modified dynamic programming method for Markovian decision problems. Journal of
        Mathematical Analysis and Applications 14(1):38–43, 1966.
    [porteus1971] E. L. Porteus, Some bounds for discounted sequential decision processes. Management Science
        18(1):7–11, 1971.
    [puterman1978] M. L. Puterman and M. C. Shin, Modified policy iteration algorithms for discounted Markov decision
        problems. Management Science 24(11):1127–1137, 1978. doi:10.1287/mnsc.24.11.1127
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...problems.mdp import TabularMDP
from ...runtime.arguments import one_of, whole
from ...runtime.array_like import ArrayLike
from ...runtime.checkpoint import require_same
from ...runtime.checkpoint_checks import one_of as being_one_of
from ...runtime.checkpoint_checks import require
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.status import Status
from .bellman import Change
from .certificate import Certificate, span_certificate, sup_norm_certificate
from .checkpoint import REMEDY, SweepCheckpoint
from .methods import METHODS, MethodName, after, check_of_state, first_method, phases
from .problem import Endless, optimal_policy, require_number

Stopping = Literal["span", "sup_norm"]


class ValueStatus(Status):
    """How value iteration ended."""

    converged = "No value is further from the fixed point than the tolerance."
    undiscounted = (
        "The sweeps stopped changing the values by more than the tolerance, but there is no certificate because the "
        "discount is 1."
    )
    out_of_steps = (
        "`max_sweeps` was reached. Continue with value_iteration(…, max_sweeps=more, resume=this result), or try "
        'method="anderson". With discount 1 values may have no limit.'
    )
    out_of_digits = (
        "Rounding alone exceeds the tolerance: no further sweep can help. Raise the tolerance, or scale the rewards "
        "down."
    )
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: continue with value_iteration(…, resume=this result)."
    not_finite = (
        "Values exceeded the range of float64; those it started from were put back, with the action prior as the "
        "policy. Scale the rewards down or raise the temperature."
    )


@final
@dataclass(frozen=True, eq=False, repr=False)
class ValueIteration:
    r"""Stationary soft values and the policy that attains them.

    Attributes:
        v: V(s), in reward units; −inf where a forbidden outcome cannot be avoided. Always float64.
        q: Q(s, a), in reward units; −inf where a is masked, or can (β > 0: must) lead to a forbidden outcome.
        policy: $\pi(a \mid s) = \rho \exp((Q - V)/\tau)$; at temperature 0 the best actions share.
        error_bound: no entry of `v` or `q` is further from that of the fixed point, in reward units. inf where nothing
            can be certified.
        sweeps: how often the dice of all states and actions were read, those before a resume included.
        status: how it ended; `status.message` explains it.
        seconds: how long it took.
        history: after each iteration, the span of the changes of its sweep, in reward units.
        checkpoint: the state from which `value_iteration(…, resume=…)` continues.
        problem: the sizes and settings of the problem.
    """

    v: Float[Tensor, " state"]
    q: Float[Tensor, "state action"]
    policy: Float[Tensor, "state action"]
    error_bound: float
    sweeps: int
    status: ValueStatus
    seconds: float
    history: Float[Tensor, " iteration"]
    checkpoint: SweepCheckpoint
    problem: Endless = field(repr=False)
    method: str = "auto"

    def save(self, path: str | Path) -> None:
        """Write the checkpoint, atomically; `value_iteration(…, resume=path)` continues bit for bit."""
        self.checkpoint.save(path, self.problem.description(self.method))

    def __repr__(self) -> str:
        """The certificate and the message."""
        return (
            f"ValueIteration({len(self.v)} states, error at most {self.error_bound:.3g} after {self.sweeps} sweeps, "
            f"{self.seconds:.2f} s. {self.status.message})"
        )


def value_iteration(
    mdp: TabularMDP,
    temperature: float = 0.0,
    optimism: float | Optimism = 0.0,
    discount: float | None = None,
    tolerance: float = 1e-6,
    *,
    action_prior: ArrayLike | None = None,
    method: MethodName = "auto",
    stopping: Stopping = "span",
    initial_value: ArrayLike | None = None,
    threads: int | None = None,
    max_sweeps: int = 10_000,
    progress: Progress = silent,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    resume: ValueIteration | str | Path | None = None,
) -> ValueIteration:
    r"""The fixed point of the Bellman operator of an endless problem, to a certified distance.

    $$Q(s,a) = L_\beta[r + \gamma V(s')], \qquad V(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q(s,a)/\tau)$$

    It is the limit of `infer` for a long horizon. The operator is monotone and adds γ c when c is added to all values,
    for every temperature and optimism; so it contracts, and one sweep bounds the distance that is left
    [macqueen1966, porteus1971].

    Args:
        mdp: the problem; its horizon and final reward are ignored. Its arrays are not copied, save for 64-bit
            successors. Tables in float32 are read as they are, with all sums in float64.
        temperature: τ ≥ 0, in reward units per nat; 0 is the hard maximum.
        optimism: β of the dynamics: 0 clamped, 1 free, negative robust; must be 0 at temperature 0. An `Optimism` must
            leave survival clamped, as freed survival does not contract.
        discount: γ in (0, 1]; that of the MDP unless given. At 1 there may be no fixed point, and there is never a
            certificate.
        tolerance: how far a value may be from the fixed point, in reward units.
        action_prior: ρ(a|s); uniform unless given. 0 masks an action.
        method: "value_iteration"; "gauss_seidel", in place, on one thread; "modified_policy_iteration", which follows a
            policy between two improvements; "anderson", which combines earlier sweeps. "auto" takes the third at
            temperature 0, else the first, and goes on with the last if at its rate 500 sweeps are still to come.
        stopping: "span" certifies by how much the changes differ; "sup_norm" by how large they are, which takes
            1/(1 − γ) as many sweeps on problems that mix.
        initial_value: (S,) values to start from, in reward units; zeros unless given. −inf is read as 0.
        threads: of the compiled loops; as many as torch uses unless given. The answer does not depend on it.
        max_sweeps: at most about so many.
        progress: called after every iteration, e.g. `PrintEvery(10)`.
        checkpoint: a path to write to every `checkpoint_every` iterations and at the end, however it ends.
        checkpoint_every: in iterations.
        resume: a result, or the path of its checkpoint, to continue as if it had never stopped.

    Returns:
        A `ValueIteration`. Ctrl-C ends it after the iteration in hand and returns what there is.

    Raises:
        InvalidArgument: naming the argument and the remedy.
        InvalidCheckpoint: if `resume` cannot be read or belongs to another problem or method.

    References:
        [macqueen1966], [porteus1971], [puterman1978], [geist2018], [howard1972]
    """
    problem = Endless.of(mdp, temperature, optimism, discount, action_prior)
    _check(method, stopping, tolerance, max_sweeps, checkpoint_every, initial_value, resume)
    begin = problem.value("initial_value", initial_value)
    history, seconds = [], 0.0
    phase, state = first_method(method, problem), {"v": begin.clone(), "sweeps": torch.tensor(0.0)}
    if resume is not None:
        past = _past(resume, problem, method)
        state = {name: each.to(begin.device, copy=True) for name, each in past.state.items()}
        phase, history, seconds = past.phase, past.history.tolist(), past.seconds
    goal = 2 * tolerance * (1 - problem.discount) / problem.discount
    certify = span_certificate if stopping == "span" else sup_norm_certificate

    def now() -> SweepCheckpoint:
        return SweepCheckpoint(step.state(), phase, torch.tensor(history, dtype=torch.float64), loop.seconds)

    def save() -> None:
        if checkpoint is not None:
            now().save(checkpoint, problem.description(method))

    loop = Loop(
        ValueStatus.out_of_steps, begin=len(history), seconds=seconds,
        progress=progress, save=save, save_every=checkpoint_every,
    )  # fmt: skip
    best = begin
    with problem.bellman(threads) as bellman, loop:
        step = METHODS[phase](bellman, state)

        def judge(change: Change, v: Tensor) -> Certificate:
            return certify(change, problem.discount, bellman.tables.slack, bellman.rounding(v))

        def floor(v: Tensor) -> float:
            return judge(_NO_CHANGE, v).bound

        for _ in loop:
            change = step.iterate()
            history.append(change.span)
            found = judge(change, step.v)
            ending = _judgement(change, found, problem.discount, tolerance, floor(step.v))
            if ending is None and step.sweeps >= max_sweeps:  # an iteration may take several sweeps
                ending = ValueStatus.out_of_steps
            loop.report({"span": change.span, "error_bound": found.bound}, ending=ending)
            if loop.over:
                best = step.v + found.shift
            step.go_on(found.shift)
            phase, step = after(method, phase, step, bellman, history, goal)
        last = now()
        if checkpoint is not None:
            last.save(checkpoint, problem.description(method))
        status = loop.status
        if status is ValueStatus.not_finite:
            best = begin
        v, q = torch.empty_like(best), best.new_empty(problem.num_states, problem.num_actions)
        found = judge(bellman.sweep(best, v, q=q), best)
    v += found.shift
    q += found.shift
    if bellman.tables.dead is not None:
        v[bellman.tables.dead] = -torch.inf
    if status is ValueStatus.not_finite:
        v, q = begin, begin[:, None].expand_as(q).clone()
    elif status is ValueStatus.converged and found.bound > tolerance:
        status = ValueStatus.out_of_digits
    return ValueIteration(
        v=v,
        q=q,
        policy=optimal_policy(q, problem),
        error_bound=found.bound if status is not ValueStatus.not_finite else math.inf,
        sweeps=round(step.sweeps) + 1,
        status=status,
        seconds=loop.seconds,
        history=last.history,
        checkpoint=last,
        problem=problem,
        method=method,
    )


_NO_CHANGE = Change(0.0, 0.0, True)


def _judgement(
    change: Change, found: Certificate, discount: float, tolerance: float, floor: float
) -> ValueStatus | None:
    """Whether to stop, and why. `floor` is what rounding alone leaves of a certificate."""
    if not change.whole:
        return ValueStatus.not_finite
    if found.bound <= tolerance:
        return ValueStatus.converged
    if math.isfinite(found.bound) and floor > tolerance and found.bound <= 2 * floor:
        return ValueStatus.out_of_digits
    if discount == 1 and change.size <= tolerance:
        return ValueStatus.undiscounted
    return None


def _past(resume: ValueIteration | str | Path, problem: Endless, method: MethodName) -> SweepCheckpoint:
    if isinstance(resume, ValueIteration):
        where, past, about = "`resume`", resume.checkpoint, resume.problem.description(resume.method)
    else:
        where, (past, about) = str(resume), SweepCheckpoint.load(resume)
    same = "Pass the same arguments, or its values as `initial_value` to start from them."
    require_same(where, about, problem.description(method), same)
    require(where, "this method", past.phase, being_one_of(*sorted(phases(method, problem))), REMEDY)
    require(where, "this problem", past.state, check_of_state(past.phase, problem.num_states), REMEDY)
    return past


def _check(
    method: str, stopping: str, tolerance: Any, max_sweeps: Any, every: Any, initial_value: object, resume: object
) -> None:
    one_of("method", method, get_args(MethodName))
    one_of("stopping", stopping, get_args(Stopping))
    whole("max_sweeps", max_sweeps)
    whole("checkpoint_every", every)
    require_number("tolerance", tolerance)
    if initial_value is not None and resume is not None:
        raise InvalidArgument("`initial_value` and `resume` exclude each other: a resumed run has its own values.")
