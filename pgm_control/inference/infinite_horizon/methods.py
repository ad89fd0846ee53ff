"""What one iteration does, by each method: from a value to a better one, and the change of the sweep T v on the way.

Sources:
    [anderson1965] D. G. Anderson, Iterative procedures for nonlinear integral equations. Journal of the ACM
        12(4):547–560, 1965. doi:10.1145/321296.321305
    [geist2018] M. Geist and B. Scherrer, Anderson acceleration for reinforcement learning. European Workshop on
        Reinforcement Learning, 2018. arXiv:1809.09501
    [geist2019] M. Geist, B. Scherrer and O. Pietquin, A theory of regularized Markov decision processes. International
        Conference on Machine Learning, Proceedings of Machine Learning Research 97, pages 2160–2169, 2019.
        arXiv:1901.11275
    [puterman1978] M. L. Puterman and M. C. Shin, Modified policy iteration algorithms for discounted Markov decision
        problems. Management Science 24(11):1127–1137, 1978. doi:10.1287/mnsc.24.11.1127
"""

import math
from collections.abc import Callable
from typing import Literal, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from ...runtime.checkpoint_checks import Check, fields, tensor
from .bellman import Bellman, Change
from .problem import InfiniteHorizonProblem

MethodName = Literal["auto", "value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson"]
State = dict[str, Tensor]
_EVALUATIONS = 20  # sweeps of one policy between two improvements, at most
_ENOUGH = 0.2  # they end where the span of the changes is this much of what it was at the improvement
_WINDOW = 12  # earlier sweeps that Anderson's method remembers
_GROWTH = 2.0  # how much wider than the last span one may be that a combination made
_IN_PLACE = 7  # Gauss–Seidel sweeps between two that can be certified
_WATCHED = 50  # sweeps over which "auto" measures how fast the span shrinks
_TOO_LONG = 500  # sweeps to go at that rate that are worth the care of Anderson's method


@runtime_checkable
class SweepMethod(Protocol):
    """One iteration at a time. `v` is T of some value, and its change Δ is what the iteration returns.

    Attributes:
        v: the value so far, finite; dead ends stand at 0.
        sweeps: how many sweeps it took, in full ones.
    """

    v: Tensor
    sweeps: float

    def iterate(self) -> Change:
        """Leave T u in `v`, for the best value u so far, and give T u − u."""
        ...

    def go_on(self, shift: float) -> None:
        """Prepare the next iteration; T u + shift is the best guess at the fixed point."""
        ...

    def state(self) -> State:
        """All that the next iteration depends on."""
        ...


@final
class Jacobi:
    """Value iteration: every state from the values of the last sweep."""

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Start from state["v"]."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        self._other = torch.empty_like(self.v)
        self._relative = bellman.tables.slack > 1e-12  # rows that sum to 1 only in float32

    def iterate(self) -> Change:
        """One sweep."""
        change = self._bellman.sweep(self.v, self._other)
        self.v, self._other = self._other, self.v
        self.sweeps += 1
        return change

    def go_on(self, shift: float) -> None:
        """A constant is common to all states and left out, unless rows do not sum to one: then it would drift."""
        if self._relative:
            self.v += shift

    def state(self) -> State:
        """The value."""
        return {"v": self.v, "sweeps": torch.tensor(self.sweeps)}


@final
class GaussSeidel:
    """Sweeps in place, forth and back, then one that can be certified."""

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Start from state["v"]."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        self._other = torch.empty_like(self.v)

    def iterate(self) -> Change:
        """In place some times, and once from one array to another."""
        for turn in range(_IN_PLACE):
            if not self._bellman.sweep_in_place(self.v, backwards=turn % 2 == 1).whole:
                break
        change = self._bellman.sweep(self.v, self._other)
        self.v, self._other = self._other, self.v
        self.sweeps += _IN_PLACE + 1
        self._change = change
        return change

    def go_on(self, shift: float) -> None:
        """Add what all values are still to gain or lose at least: sweeps in place are slow to move them together.

        The whole shift would be too much: it moves absorbing states, which nothing then brings back.
        """
        least, largest = self._change.least, self._change.largest
        sure = max(least, 0.0) + min(largest, 0.0)
        if self._bellman.discount < 1 and least <= largest:
            self.v += self._bellman.discount / (1 - self._bellman.discount) * sure

    def state(self) -> State:
        """The value."""
        return {"v": self.v, "sweeps": torch.tensor(self.sweeps)}


@final
class ModifiedPolicyIteration:
    r"""A sweep finds the best policy, some cheap ones follow it.

    At temperature 0 they read one die a state. The soft policy takes all actions, $V = E_\pi[Q - \tau \log \pi/\rho]$.

    References:
        [puterman1978], [geist2019]
    """

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Start from state["v"]."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        self._other = torch.empty_like(self.v)
        self._soft = bellman.temperature > 0
        shape = (bellman.num_states, bellman.num_actions) if self._soft else (bellman.num_states,)
        self._policy = torch.empty(shape, dtype=self.v.dtype if self._soft else torch.int32, device=self.v.device)
        self._relative = bellman.tables.slack > 1e-12

    def iterate(self) -> Change:
        """The sweep that improves the policy."""
        kept = {"q": self._policy} if self._soft else {"choice": self._policy}
        change = self._bellman.sweep(self.v, self._other, **kept)
        self.v, self._other = self._other, self.v
        self.sweeps += 1
        self._span = change.span
        return change

    def go_on(self, shift: float) -> None:
        """Follow the policy for some sweeps."""
        if self._relative:
            self.v += shift
        enough = _ENOUGH * self._span
        policy, bonus = self._bellman.soft_policy(self._policy) if self._soft else (None, None)
        for _ in range(_EVALUATIONS):
            if self._soft:
                change = self._bellman.sweep(self.v, self._other, policy=policy, bonus=bonus)
            else:
                change = self._bellman.follow(self.v, self._other, self._policy)
            self.v, self._other = self._other, self.v
            self.sweeps += 1 if self._soft else 1 / self._bellman.num_actions
            if change.span <= enough:
                break

    def state(self) -> State:
        """The value; the policy is that of the next sweep."""
        return {"v": self.v, "sweeps": torch.tensor(self.sweeps)}


@final
class Anderson:
    r"""Value iteration from the combination of the last sweeps whose changes cancel best, where that helps.

    With $f = T v - v$ less its middle: $v' = T v - \sum_j \gamma_j (T v_{j+1} - T v_j)$, γ the least squares solution
    of $f = \sum_j \gamma_j (f_{j+1} - f_j)$. A combination that widens the span is dropped for the plain sweep.

    References:
        [geist2018], [anderson1965]
    """

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Start from state["v"], and what else an earlier run of this method left."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        size = (_WINDOW, len(self.v))
        self._values = state.get("values", self.v.new_zeros(size))  # T v_j, and f_j, the newest last
        self._residuals = state.get("residuals", self.v.new_zeros(size))
        self._many = int(state.get("many", torch.tensor(0)))
        self._span = float(state.get("span", torch.tensor(torch.inf)))

    def iterate(self) -> Change:
        """One sweep, or two if the combination was no good."""
        before, out = self.v, torch.empty_like(self.v)
        change = self._bellman.sweep(before, out)
        self.sweeps += 1
        if self._many > 1 and not (change.whole and change.span <= _GROWTH * self._span):
            before = self._values[-1].clone()
            self._many = 0
            change = self._bellman.sweep(before, out)
            self.sweeps += 1
        for kept, new in ((self._values, out), (self._residuals, out - before - change.middle)):
            kept[:-1] = kept[1:].clone()
            kept[-1] = new
        dead = self._bellman.tables.dead
        if dead is not None:
            self._residuals[-1, dead] = 0.0
        self._many = min(self._many + 1, _WINDOW)
        self._span, self.v = change.span, out
        return change

    def go_on(self, shift: float) -> None:
        """Combine."""
        if self._many < 2:
            return
        values, residuals = self._values[-self._many :], self._residuals[-self._many :]
        steps = residuals[1:] - residuals[:-1]
        gram = steps @ steps.T
        scale = gram.diagonal().sum()
        if not 0 < float(scale) < torch.inf:
            return
        steady = gram + 1e-12 * scale * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        gamma = torch.linalg.solve(steady, steps @ residuals[-1])
        if bool(gamma.isfinite().all()):
            self.v = values[-1] - gamma @ (values[1:] - values[:-1])

    def state(self) -> State:
        """The value and the window."""
        window = {"values": self._values, "residuals": self._residuals}
        numbers = {"sweeps": self.sweeps, "many": self._many, "span": self._span}
        return {"v": self.v, **window, **{name: torch.tensor(float(each)) for name, each in numbers.items()}}


METHODS: dict[str, Callable[[Bellman, State], SweepMethod]] = {
    "value_iteration": Jacobi,
    "gauss_seidel": GaussSeidel,
    "modified_policy_iteration": ModifiedPolicyIteration,
    "anderson": Anderson,
}


def phases(method: MethodName, problem: InfiniteHorizonProblem) -> set[str]:
    """The methods that may be at work when this one is asked for."""
    return {first_method(method, problem), *(("anderson",) if method == "auto" else ())}


def check_of_state(phase: str, num_states: int) -> Check:
    """What the state of a method must be. The compiled sweeps trust it: a shorter value would corrupt memory."""
    checks = {"v": tensor((num_states,), torch.float64), "sweeps": tensor((), None, 0.0)}
    if phase == "anderson":
        window = tensor((_WINDOW, num_states), torch.float64)
        checks |= {"values": window, "residuals": window, "many": tensor((), None, 0.0, _WINDOW)}
        checks |= {"span": tensor((), None, 0.0, infinite=True)}
    return fields(checks)


def first_method(method: MethodName, problem: InfiniteHorizonProblem) -> str:
    """What "auto" begins with: cheap evaluations pay at temperature 0 alone, where they read one die a state."""
    if method != "auto":
        return method
    return "modified_policy_iteration" if problem.temperature == 0 and problem.discount < 1 else "value_iteration"


def after(
    method: MethodName, phase: str, step: SweepMethod, bellman: Bellman, history: list[float], goal: float
) -> tuple[str, SweepMethod]:
    """The method of the next iteration: "auto" goes from the plain sweeps over to Anderson's where much is to be done.

    Args:
        method: as asked for.
        phase, step: the method at work.
        bellman: the operator.
        history: the spans so far.
        goal: the span at which to stop.
    """
    if method != "auto" or phase != "value_iteration" or bellman.discount == 1 or len(history) < 2 * _WATCHED:
        return phase, step
    if not 0 < history[-1] < history[-1 - _WATCHED]:
        return phase, step
    rate = math.log(history[-1] / history[-1 - _WATCHED]) / _WATCHED
    if math.log(goal / history[-1]) > _TOO_LONG * rate:
        return phase, step
    return "anderson", Anderson(bellman, {"v": step.v, "sweeps": torch.tensor(step.sweeps)})
