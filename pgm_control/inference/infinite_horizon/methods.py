"""One iteration of each method: it improves the value and reports the change in its sweep T v.

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

from collections.abc import Callable
from typing import Literal, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from ...runtime.checkpoint_checks import Check, fields, tensor
from .operators.bellman import Bellman
from .operators.share import Change

MethodName = Literal["auto", "value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson"]
State = dict[str, Tensor]
_EVALUATIONS = 5, 100  # evaluation sweeps of one policy, at first and at most
_SLOW = 0.5  # the number doubles if an improvement has more than this share of the span of the one before
_WINDOW = 12  # earlier sweeps that Anderson's method stores
_GROWTH = 2.0  # the largest ratio of the span after a combination to the span before
_IN_PLACE = 7  # in-place sweeps between two that can be certified


@runtime_checkable
class SweepMethod(Protocol):
    """A method that runs one iteration at a time. `v` is T of some value; the iteration returns the change Δ.

    Attributes:
        v: the current value, finite; dead ends are stored as 0.
        sweeps: the work so far, in full sweeps.
    """

    v: Tensor
    sweeps: float

    def iterate(self) -> Change:
        """Store T u in `v`, where u is the best value so far, and return the change T u − u."""
        ...

    def go_on(self, shift: float) -> None:
        """Prepare the next iteration; T u + shift is the best estimate of the fixed point."""
        ...

    def state(self) -> State:
        """The state that the next iteration depends on."""
        ...


@final
class Jacobi:
    """Plain value iteration: every state is updated from the values of the last sweep."""

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Store the Bellman operator, and start from the value state["v"]."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        self._other = torch.empty_like(self.v)
        self._relative = bellman.tables.slack > 1e-12  # rows sum to 1 only to float32 precision

    def iterate(self) -> Change:
        """Run one sweep and return its change."""
        change = self._bellman.sweep(self.v, self._other)
        self.v, self._other = self._other, self.v
        self.sweeps += 1
        return change

    def go_on(self, shift: float) -> None:
        """Omit the shift, which is common to all states, unless rows do not sum to one: then the values would drift."""
        if self._relative:
            self.v += shift

    def state(self) -> State:
        """The value and the number of sweeps."""
        return {"v": self.v, "sweeps": torch.tensor(self.sweeps)}


@final
class GaussSeidel:
    """Sweeps in place in alternating directions, then one that can be certified."""

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Store the Bellman operator, and start from the value state["v"]."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        self._other = torch.empty_like(self.v)

    def iterate(self) -> Change:
        """Run several sweeps in place and one from one array to another, and return the change of the last."""
        for turn in range(_IN_PLACE):
            if not self._bellman.sweep_in_place(self.v, backwards=turn % 2 == 1).whole:
                break
        change = self._bellman.sweep(self.v, self._other)
        self.v, self._other = self._other, self.v
        self.sweeps += _IN_PLACE + 1
        self._change = change
        return change

    def go_on(self, shift: float) -> None:
        """Add the least amount by which every value must still change, since sweeps in place are slow at common shifts.

        The whole shift would be too much: it also moves absorbing states, and later sweeps do not bring them back.
        """
        least, largest = self._change.least, self._change.largest
        sure = max(least, 0.0) + min(largest, 0.0)
        if self._bellman.discount < 1 and least <= largest:
            self.v += self._bellman.discount / (1 - self._bellman.discount) * sure

    def state(self) -> State:
        """The value and the number of sweeps."""
        return {"v": self.v, "sweeps": torch.tensor(self.sweeps)}


@final
class ModifiedPolicyIteration:
    r"""Modified policy iteration: one sweep finds the best policy, several cheaper sweeps evaluate it.

    $$v' = T v + \sum_{j=1}^{k} (\gamma W)^j (T v - v),$$

    where $\gamma W$ is the derivative of T at v: the transitions under the best policy, with the dynamics that attain
    L_β. At β = 0 this is an evaluation of that policy. T is convex for β ≥ 0, so it converges from every value; for β <
    0 an iteration is replaced by a plain sweep if the change has not shrunk as much as after a plain sweep.

    References:
        [puterman1978], [geist2019]
    """

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Store the Bellman operator, and start from the value state["v"]."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        self._other = torch.empty_like(self.v)
        hard = bellman.temperature == 0
        shape = (bellman.num_states,) if hard else (bellman.num_states, bellman.num_actions)
        self._best = torch.empty(shape, dtype=torch.int32 if hard else self.v.dtype, device=self.v.device)
        self._kept = {"choice" if hard else "policy": self._best}
        self._relative = bellman.tables.slack > 1e-12
        self._evaluations = int(state.get("evaluations", torch.tensor(_EVALUATIONS[0])))
        self._span = float(state.get("span", torch.tensor(torch.inf)))
        self._size = float(state.get("size", torch.tensor(torch.inf)))
        self._plain = state.get("plain", self.v)  # used for β < 0, if `_size` is finite

    def iterate(self) -> Change:
        """Run the sweep that improves the policy, and return its change."""
        change = self._improve()
        shrunk = change.whole and change.size <= self._bellman.discount * self._size
        if self._bellman.optimism < 0 and not shrunk and self._size < torch.inf:
            self._other.copy_(self._plain)
            self.v, self._other = self._other, self.v
            change = self._improve()
        if change.span > _SLOW * self._span:
            self._evaluations = min(2 * self._evaluations, _EVALUATIONS[1])
        self._span, self._size = change.span, change.size
        return change

    def _improve(self) -> Change:
        change = self._bellman.sweep(self.v, self._other, **self._kept)
        self.v, self._other = self._other, self.v
        self.sweeps += 1
        return change

    def go_on(self, shift: float) -> None:
        """Evaluate the policy for some sweeps."""
        bellman, improved, before = self._bellman, self.v, self._other
        if bellman.optimism < 0:
            self._plain = improved.clone()
        chain = bellman.linear_part(before, self._best)
        change = improved - before
        if self._relative:
            change -= shift * (1 - bellman.discount) / bellman.discount
            before += shift / bellman.discount
        before += bellman.relax(chain, change, improved, self._evaluations)
        self.v, self._other = before, improved
        self.sweeps += self._evaluations / (bellman.num_actions if bellman.temperature == 0 else 1)

    def state(self) -> State:
        """The value, the counters, and for β < 0 the result of the last plain sweep."""
        numbers = {"sweeps": self.sweeps, "evaluations": self._evaluations, "span": self._span, "size": self._size}
        numbers = {name: torch.tensor(float(each), dtype=torch.float64) for name, each in numbers.items()}
        return {"v": self.v, **({"plain": self._plain} if self._bellman.optimism < 0 else {}), **numbers}


@final
class Anderson:
    r"""Anderson acceleration: value iteration from the combination of the last sweeps whose changes cancel best.

    With $f = T v - v$ minus its midpoint, $v' = T v - \sum_j \gamma_j (T v_{j+1} - T v_j)$, where γ is the least
    squares solution of $f = \sum_j \gamma_j (f_{j+1} - f_j)$. If a combination widens the span, a plain sweep replaces
    it.

    References:
        [geist2018], [anderson1965]
    """

    def __init__(self, bellman: Bellman, state: State) -> None:
        """Start from state["v"] and the window of an earlier run, if there is one."""
        self._bellman, self.v, self.sweeps = bellman, state["v"], float(state["sweeps"])
        size = (_WINDOW, len(self.v))
        self._values = state.get("values", self.v.new_zeros(size))  # T v_j, and below f_j; the newest is last
        self._residuals = state.get("residuals", self.v.new_zeros(size))
        self._many = int(state.get("many", torch.tensor(0)))
        self._span = float(state.get("span", torch.tensor(torch.inf)))

    def iterate(self) -> Change:
        """Run one sweep, or two if the combination widened the span, and return the change."""
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
        """Replace the value by the combination of the stored sweeps."""
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
        """The value, the stored sweeps and the counters."""
        window = {"values": self._values, "residuals": self._residuals}
        numbers = {"sweeps": self.sweeps, "many": self._many, "span": self._span}
        return {"v": self.v, **window, **{name: torch.tensor(float(each)) for name, each in numbers.items()}}


METHODS: dict[str, Callable[[Bellman, State], SweepMethod]] = {
    "value_iteration": Jacobi,
    "gauss_seidel": GaussSeidel,
    "modified_policy_iteration": ModifiedPolicyIteration,
    "anderson": Anderson,
}


def check_of_state(phase: str, num_states: int, optimism: float) -> Check:
    """The check of a method's state. The compiled sweeps rely on it: a shorter value would corrupt memory."""
    checks = {"v": tensor((num_states,), torch.float64), "sweeps": tensor((), None, 0.0)}
    if phase == "anderson":
        window = tensor((_WINDOW, num_states), torch.float64)
        checks |= {"values": window, "residuals": window, "many": tensor((), None, 0.0, _WINDOW)}
        checks |= {"span": tensor((), None, 0.0, infinite=True)}
    if phase == "modified_policy_iteration":
        checks |= {"plain": tensor((num_states,), torch.float64)} if optimism < 0 else {}
        checks |= {"evaluations": tensor((), None, 1.0, _EVALUATIONS[1])}
        checks |= {name: tensor((), None, 0.0, infinite=True) for name in ("span", "size")}
    return fields(checks)


def method_of(method: MethodName, discount: float) -> str:
    """The method to use. "auto" is modified policy iteration, or value iteration without a discount."""
    if method != "auto":
        return method
    return "modified_policy_iteration" if discount < 1 else "value_iteration"
