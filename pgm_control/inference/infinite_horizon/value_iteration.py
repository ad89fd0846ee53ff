"""Exact inference without a horizon: the fixed point of the Bellman operator, with a certified error bound.

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

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final, get_args

from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument
from ...runtime.arguments import one_of, whole
from ...runtime.array_like import ArrayLike
from ...runtime.checkpoint import require_same
from ...runtime.checkpoint_checks import one_of as being_one_of
from ...runtime.checkpoint_checks import require
from ...runtime.files import path_of
from ...runtime.progress import Progress, silent
from ...trajectories.blocks import MarkovModel
from .believed import believed_dynamics, believed_start, discounted_return
from .checkpoint import REMEDY, SweepCheckpoint
from .fixed_point import Stopping, ValueStatus, fixed_point
from .methods import MethodName, check_of_state, method_of
from .problem import InfiniteHorizonProblem, limits, optimal_policy, prior_rows


@final
@dataclass(frozen=True, eq=False, repr=False)
class ValueIteration:
    r"""Stationary soft values, and the start, policy and dynamics that attain them.

    `policy`, `initial`, `dynamics` and the two returns are computed when they are read, since huge problems may have no
    room for the believed dynamics.

    Attributes:
        v: V(s), in reward units; −inf where a forbidden outcome cannot be avoided. Always float64.
        q: Q(s, a), in reward units; −inf where a is masked, or can (β > 0: must) lead to a forbidden outcome.
        error_bound: a bound on the distance of every entry of `v` and `q` from the fixed point, in reward units; inf
            where nothing can be certified. It holds for the tables as they are stored: in float32 a row sums to 1 only
            within 1e-7.
        num_sweeps: the number of full passes over the dynamics, including those before a resume.
        status: how the iteration ended; `status.message` explains it.
        seconds: the time it took.
        span_history: the span of the changes in the sweep of each iteration, in reward units.
        checkpoint: the state from which `value_iteration(…, resume=…)` continues.
        model: the model that was solved.
        optimism: the `Optimism` that was requested.
        method: the requested method.
    """

    v: Float[Tensor, " state"]
    q: Float[Tensor, "state action"]
    error_bound: float
    num_sweeps: int
    status: ValueStatus
    seconds: float
    span_history: Float[Tensor, " iteration"]
    checkpoint: SweepCheckpoint
    model: MarkovModel
    optimism: Optimism
    method: MethodName

    @cached_property
    def policy(self) -> Float[Tensor, "state action"]:
        r"""$\pi(a \mid s) = \rho \exp((Q - V)/\tau)$; at temperature 0 the prior restricted to the best actions."""
        return optimal_policy(self.q, prior_rows(self.model.action_prior), self.model.temperature)

    @property
    def initial(self) -> Float[Tensor, " state"]:
        r"""The believed start, $q(s_0) \propto p(s_0) \exp(\beta_0 V(s_0)/\tau)$."""
        return believed_start(self.model.mdp, self.optimism, self.model.temperature, self.v)

    @property
    def dynamics(self) -> Float[Tensor, "state action outcome"]:
        r"""The believed dynamics, $q(k \mid s,a) \propto p(k \mid s,a) \exp(\beta (r + \gamma V(s'))/\tau)$.

        They are the true ones where β = 0, and where every outcome is forbidden.

        Raises:
            InvalidArgument: if the table does not fit into memory; the message says how large it is.
        """
        return believed_dynamics(self._problem, self.v)

    @property
    def imagined_return(self) -> float:
        r"""$E_q[\sum_t \gamma^t r_t]$ of the policy under the believed start and dynamics, in reward units.

        At β = 0 it is the true return. −inf if a forbidden outcome is believed possible.

        Raises:
            InvalidArgument: if the return does not converge, with discount 1, or the tables do not fit into memory.
        """
        return discounted_return(self._problem, self.policy, self.dynamics, self.initial)

    @property
    def true_return(self) -> float:
        r"""$E[\sum_t \gamma^t r_t]$ of the policy under the true start and dynamics, in reward units.

        `policy_evaluation` gives it from every state.

        Raises:
            InvalidArgument: as for `imagined_return`.
        """
        return discounted_return(self._problem, self.policy)

    @property
    def _problem(self) -> InfiniteHorizonProblem:
        return InfiniteHorizonProblem.of(self.model, self.optimism)

    def save(self, path: str | Path) -> None:
        """Write the checkpoint atomically; `value_iteration(…, resume=path)` continues from it bit for bit."""
        self.checkpoint.save(path, _description(self))

    def __repr__(self) -> str:
        """A line with the error bound and the message."""
        return (
            f"ValueIteration({len(self.v)} states, error at most {self.error_bound:.3g} "
            f"after {self.num_sweeps} sweeps, {self.seconds:.2f} s. {self.status.message})"
        )


def value_iteration(
    model: MarkovModel,
    optimism: OptimismLike,
    tolerance: float = 1e-6,
    *,
    method: MethodName = "auto",
    stopping: Stopping = "span",
    initial_value: ArrayLike | None = None,
    num_threads: int | None = None,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    resume: ValueIteration | str | Path | None = None,
) -> ValueIteration:
    r"""The fixed point of the Bellman operator of a problem without a horizon, to a certified accuracy.

    $$Q(s,a) = L_\beta[r + \gamma V(s')], \qquad V(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q(s,a)/\tau)$$

    It is the limit of `infer` for a long horizon. For every temperature and optimism the operator is monotone, and it
    adds γ c when c is added to all values. It is therefore a contraction, and one sweep bounds the distance from the
    fixed point [macqueen1966, porteus1971].

    Args:
        model: a tabular model; the horizon and the final reward of its problem are ignored. Its arrays are not copied,
            except for 64-bit successors. Tables in float32 are read as they are, with all sums in float64. Temperature
            0 is the hard maximum. With a discount of 1 there may be no fixed point, and there is no certificate;
            `TabularModel(mdp.replace(discount=0.99), temperature)` sets another discount and shares the tables.
        optimism: β of the dynamics: 0 clamped, 1 free, negative adversarial; or a `Risk`, the only choice but 0 at
            temperature 0. An `Optimism` must leave survival clamped, since with free survival the operator need not
            contract.
        tolerance: the largest allowed distance of a value from the fixed point, in reward units.
        method: "value_iteration"; "gauss_seidel", in place, on one thread; "modified_policy_iteration", which evaluates
            the policy between two improvements; "anderson", which combines earlier sweeps. "auto" is the third, or the
            first if the discount is 1.
        stopping: "span" certifies by how much the changes differ; "sup_norm" by how large they are, which takes
            1/(1 − γ) times as many sweeps on problems that mix.
        initial_value: (S,) the initial values, in reward units; default: zeros. −inf is read as 0.
        num_threads: the number of threads of the compiled loops; default: that of torch. It does not change the result.
        max_sweeps: the maximum number of sweeps, approximately.
        progress: called after every iteration, e.g. `PrintEvery(10)`.
        checkpoint: a path to write to every `checkpoint_every` iterations and at the end, however it ends.
        checkpoint_every: the interval between checkpoints, in iterations.
        resume: a result, or the path of its checkpoint, from which to continue as if the run had not stopped.

    Returns:
        A `ValueIteration`. Ctrl-C ends the run after the current iteration and returns the result so far.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it and the remedy.
        InvalidCheckpoint: if `resume` cannot be read or belongs to another problem or method.

    References:
        [macqueen1966], [porteus1971], [puterman1978], [geist2018], [howard1972]

    Examples:
        >>> from pgm_control import TabularModel, value_iteration
        >>> from pgm_control.models import restaurant
        >>> model = TabularModel(restaurant().replace(discount=0.9), temperature=1.0)
        >>> free = value_iteration(model, optimism=1.0)
        >>> delusion = free.imagined_return - free.true_return  # what the optimist will miss
    """
    problem = InfiniteHorizonProblem.of(model, optimism)
    tolerance, max_sweeps = limits(tolerance, max_sweeps)
    one_of("method", method, get_args(MethodName))
    one_of("stopping", stopping, get_args(Stopping))
    every = whole("checkpoint_every", checkpoint_every)
    checkpoint = None if checkpoint is None else path_of(checkpoint, "checkpoint")
    if initial_value is not None and resume is not None:
        raise InvalidArgument("`initial_value` and `resume` exclude each other: a resumed run has its own values.")
    begin = problem.value("initial_value", initial_value)
    save = None if checkpoint is None else lambda now: now.save(checkpoint, problem.description(method))
    found = fixed_point(
        problem, begin, tolerance, max_sweeps, method=method, stopping=stopping, num_threads=num_threads,
        progress=progress, save=save, save_every=every,
        past=None if resume is None else _past(resume, problem, method),
    )  # fmt: skip
    return ValueIteration(
        v=found.v,
        q=found.q,
        error_bound=found.error_bound,
        num_sweeps=found.num_sweeps,
        status=found.status,
        seconds=found.seconds,
        span_history=found.checkpoint.history,
        checkpoint=found.checkpoint,
        model=model,
        optimism=Optimism.of(optimism),
        method=method,
    )


def _past(resume: ValueIteration | str | Path, problem: InfiniteHorizonProblem, method: MethodName) -> SweepCheckpoint:
    if isinstance(resume, ValueIteration):
        where, past, about = "`resume`", resume.checkpoint, _description(resume)
    else:
        where, (past, about) = str(resume), SweepCheckpoint.load(resume)
    same = "Pass the same arguments, or its values as `initial_value` to start from them."
    require_same(where, about, problem.description(method), same)
    require(where, "this method", past.phase, being_one_of(method_of(method, problem.discount)), REMEDY)
    require(where, "this problem", past.state, check_of_state(past.phase, problem.num_states, problem.optimism), REMEDY)
    return past


def _description(result: ValueIteration) -> dict[str, Any]:
    return result._problem.description(result.method)
