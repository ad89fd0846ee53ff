"""Linear-quadratic problems: linear dynamics with Gaussian noise, and a quadratic reward.

Sources:
    [vanloan1978] C. F. Van Loan, Computing integrals involving the matrix exponential. IEEE Transactions on Automatic
        Control 23(3):395–404, 1978. doi:10.1109/TAC.1978.1101743
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.arguments import positive, shown
from ...runtime.array_like import ArrayLike
from .. import checks
from .arrays import (
    array,
    covariance,
    final_quadratic,
    root,
    start_covariance,
    symmetric,
    together,
)
from .sampled_time import sampled_problem
from .tracking import regulator

_FIELDS = ("A", "B", "d", "W", "C", "c", "k", "final_P", "final_p", "final_v", "initial_mean", "initial_covariance")


@final
class LinearQuadratic:
    r"""A control problem with linear dynamics, Gaussian noise and a quadratic reward.

    $$s_{t+1} = A s_t + B a_t + d + w_t, \quad w_t \sim N(0, W), \qquad
        r_t = -(\tfrac12 z'Cz + c'z + k), \quad z = (s_t, a_t)$$

    The final reward is $-(\tfrac12 s'P_T s + p_T's + v_T)$, and the start $s_0 \sim N(m_0, S_0)$. Everything may depend
    on time. W and $S_0$ may be singular: an S_0 of zeros is a fixed start. C couples states and actions, and need not
    be positive.

    Shapes, for n states and m actions: A (n, n), B (n, m), d (n), W (n, n), C (n + m, n + m), c (n + m), k (). Each may
    have an axis of time in front, of T entries, and batch axes before that; a constant in a batch has a time axis of
    size 1. P_T (n, n), p_T (n), v_T (), m_0 (n) and S_0 (n, n) may have batch axes in front. The batch axes broadcast
    together, and one problem stands for many. All numbers are in float64.

        problem = LinearQuadratic(0.9, 0.5, 0.3, torch.diag(torch.tensor([1.0, 0.2])), horizon=6, initial_mean=1.0)

    Attributes:
        A, B, d, W, C, c, k: as above, with all batch axes and the axis of time.
        final_P, final_p, final_v: P_T, p_T and v_T.
        initial_mean, initial_covariance: m_0 and S_0.
        horizon: T, the number of actions.
        discount: γ, the probability of surviving each step. The marginals of a posterior are those of survivors.
        batch_shape: the batch axes.
        num_states, num_actions: n and m.
        state_names, action_names: the names of the components of states and actions, or None.
    """

    def __init__(
        self,
        A: ArrayLike,
        B: ArrayLike,
        W: ArrayLike,
        C: ArrayLike,
        *,
        horizon: int,
        initial_mean: ArrayLike,
        initial_covariance: ArrayLike | None = None,
        c: ArrayLike | None = None,
        k: ArrayLike | None = None,
        d: ArrayLike | None = None,
        final_cost: ArrayLike | Sequence[Any] | None = None,
        discount: float = 1.0,
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
    ) -> None:
        """Define the problem.

        Args:
            A: the change of the state, (n, n).
            B: the effect of the action, (n, m).
            W: the covariance of the noise, (n, n).
            C: the matrix of the cost of (s, a), (n + m, n + m), in reward units; symmetric.
            horizon: T, the number of actions.
            initial_mean: m_0, (n).
            initial_covariance: S_0, (n, n); default: zeros, a fixed start.
            c: the linear cost, (n + m); default: zeros.
            k: the constant cost; default: 0.
            d: the drift of the state, (n); default: zeros.
            final_cost: the matrix P_T of the cost of the last state, or (P_T, p_T, v_T); default: no final reward.
            discount: γ in (0, 1].
            state_names, action_names: the names of the components, for sentences, pictures and files; default: none.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it and the remedy.
        """
        self.horizon, self.discount = checks.horizon("horizon", horizon), checks.discount("discount", discount)
        A = array("A", A, (None, None), timed=True)
        if A.shape[-1] != A.shape[-2]:
            raise InvalidProblem(f"`A` must be square, but has shape {tuple(A.shape[-2:])}.")
        n = A.shape[-1]
        B = array("B", B, (n, None), timed=True)
        m = B.shape[-1]
        zero = A.new_zeros
        P, p, v = final_quadratic(final_cost, n, zero)
        axes = {
            "A": (A, 2, True),
            "B": (B, 2, True),
            "d": (zero(1, n) if d is None else array("d", d, (n,), timed=True), 1, True),
            "W": (covariance("W", array("W", W, (n, n), timed=True)), 2, True),
            "C": (symmetric("C", array("C", C, (n + m, n + m), timed=True)), 2, True),
            "c": (zero(1, n + m) if c is None else array("c", c, (n + m,), timed=True), 1, True),
            "k": (zero(1) if k is None else array("k", k, (), timed=True), 0, True),
            "final_P": (P, 2, False),
            "final_p": (p, 1, False),
            "final_v": (v, 0, False),
            "initial_mean": (array("initial_mean", initial_mean, (n,), timed=False), 1, False),
            "initial_covariance": (start_covariance(initial_covariance, n, zero), 2, False),
        }
        found = together(self.horizon, axes)
        self.A, self.B, self.d, self.W = (found[name] for name in ("A", "B", "d", "W"))
        self.C, self.c, self.k = (found[name] for name in ("C", "c", "k"))
        self.final_P, self.final_p, self.final_v = (found[name] for name in ("final_P", "final_p", "final_v"))
        self.initial_mean, self.initial_covariance = found["initial_mean"], found["initial_covariance"]
        self.state_names = checks.names("state_names", state_names, n)
        self.action_names = checks.names("action_names", action_names, m)

    @classmethod
    def from_cost(
        cls,
        A: ArrayLike,
        B: ArrayLike,
        Q: ArrayLike,
        R: ArrayLike,
        W: ArrayLike,
        N: ArrayLike | None = None,
        *,
        horizon: int,
        initial_mean: ArrayLike,
        initial_covariance: ArrayLike | None = None,
        final_cost: ArrayLike | None = None,
        d: ArrayLike | None = None,
        reference: ArrayLike | None = None,
        action_reference: ArrayLike | None = None,
        discount: float = 1.0,
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
    ) -> "LinearQuadratic":
        r"""A regulator, or a tracker of a reference, from the matrices of its cost.

        $$r_t = -\tfrac12 \bigl(x'Qx + 2x'Nu + u'Ru\bigr), \qquad x = s_t - \bar s_t, \quad u = a_t - \bar a_t$$

        Args:
            A: the change of the state, (n, n).
            B: the effect of the action, (n, m).
            Q: the cost of the state, (n, n).
            R: the cost of the action, (m, m).
            W: the covariance of the noise, (n, n).
            N: the coupling of state and action in the cost, (n, m); default: zeros.
            horizon: T, the number of actions.
            initial_mean: m_0, (n).
            initial_covariance: S_0, (n, n); default: zeros, a fixed start.
            final_cost: the matrix of the final reward, $-\tfrac12 (s_T - \bar s_T)' Q_T (s_T - \bar s_T)$; default:
                none.
            d: the drift of the state, (n); default: zeros.
            reference: the state to be tracked, (n), or by time and last, (T + 1, n); default: zeros.
            action_reference: the action that costs nothing, (m), or by time; default: zeros.
            discount: γ in (0, 1].
            state_names, action_names: the names of the components; default: none.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it.
        """
        horizon = checks.horizon("horizon", horizon)
        given = regulator(B, Q, R, N, final_cost, reference, action_reference, horizon)
        return cls(
            A, B, W, horizon=horizon, initial_mean=initial_mean, initial_covariance=initial_covariance, d=d,
            discount=discount, state_names=state_names, action_names=action_names, **given,
        )  # fmt: skip

    @classmethod
    def from_continuous(
        cls,
        A: ArrayLike,
        B: ArrayLike,
        Q: ArrayLike,
        R: ArrayLike,
        W: ArrayLike,
        N: ArrayLike | None = None,
        *,
        dt: float,
        horizon: int,
        initial_mean: ArrayLike,
        initial_covariance: ArrayLike | None = None,
        final_cost: ArrayLike | None = None,
        reference: ArrayLike | None = None,
        action_reference: ArrayLike | None = None,
        discount: float = 1.0,
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
    ) -> "LinearQuadratic":
        r"""The problem in discrete time of one in continuous time, with actions held constant for `dt`.

        $$dx = (Ax + Bu)\,dt + dW_t, \quad E[dW dW'] = W\,dt, \qquad
            \text{cost } \int \tfrac12 (y'Qy + 2y'Nv + v'Rv)\,dt$$

        with $y = x - \bar x$ and $v = u - \bar u$, the distances from a reference, which is held during a step like
        the action. Dynamics, noise and cost are exact: the integrals of matrix exponentials of [vanloan1978], among
        them the constant cost of the noise within a step.

        Args:
            A: the rate of change of the state, (n, n), in 1/time.
            B: the effect of the action, (n, m).
            Q: the cost of the state, in reward per time.
            R: the cost of the action.
            W: the intensity of the noise, (n, n), in variance per time.
            N: the coupling of state and action in the cost, (n, m); default: zeros.
            dt: the length of a step, in units of time.
            horizon: T, the number of actions.
            initial_mean: m_0, (n).
            initial_covariance: S_0, (n, n); default: zeros.
            final_cost: the matrix of the final reward, as in `from_cost`; default: none.
            reference: the state to be tracked, (n), or by step and last, (T + 1, n); default: zeros.
            action_reference: the action that costs nothing, (m), or by step; default: zeros.
            discount: γ in (0, 1], of one step.
            state_names, action_names: the names of the components; default: none.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it.

        References:
            [vanloan1978]
        """
        dt, horizon = positive("dt", dt, "length of a step"), checks.horizon("horizon", horizon)
        given = sampled_problem(A, B, Q, R, W, N, dt, final_cost, reference, action_reference, horizon)
        return cls(
            horizon=horizon, initial_mean=initial_mean, initial_covariance=initial_covariance, discount=discount,
            state_names=state_names, action_names=action_names, **given,
        )  # fmt: skip

    @property
    def num_states(self) -> int:
        """n, the number of components of the state."""
        return self.A.shape[-1]

    @property
    def num_actions(self) -> int:
        """m, the number of components of the action."""
        return self.B.shape[-1]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The batch axes, () for one problem."""
        return tuple(self.initial_mean.shape[:-1])

    @property
    def F(self) -> Float[Tensor, "*batch time state state_action"]:  # noqa: N802
        """[A B], which maps (s, a) to the mean of the next state."""
        return torch.cat((self.A, self.B), -1)

    @property
    def noise_root(self) -> Float[Tensor, "*batch time state state"]:
        """A root L of the covariance of the noise, L L' = W."""
        return root(self.W)

    @property
    def has_final_reward(self) -> bool:
        """Whether the last state is rewarded."""
        return any(bool((each != 0).any()) for each in (self.final_P, self.final_p, self.final_v))

    def reward(
        self, t: int, state: Float[Tensor, "*draws state"], action: Float[Tensor, "*draws action"]
    ) -> Float[Tensor, "*draws"]:
        """The reward of step t, $-(½ z'Cz + c'z + k)$, in reward units."""
        z = torch.cat((state, action), -1).to(self.C)
        C, c, k = self.C[..., t, :, :], self.c[..., t, :], self.k[..., t]
        return -((0.5 * (C @ z[..., None])[..., 0] + c) * z).sum(-1) - k

    def final_reward(self, state: Float[Tensor, "*draws state"]) -> Float[Tensor, "*draws"]:
        """The reward of the last state, $-(½ s'P_T s + p_T's + v_T)$, in reward units."""
        state = state.to(self.final_P)
        quadratic = 0.5 * (self.final_P @ state[..., None])[..., 0] + self.final_p
        return -(quadratic * state).sum(-1) - self.final_v

    def replace(self, **changes: Any) -> "LinearQuadratic":
        """A copy with some arguments of the constructor changed: `problem.replace(W=…, horizon=…)`.

        A new horizon needs arrays that do not depend on time.

        Raises:
            InvalidProblem: if an argument does not fit.
        """
        kept = "initial_mean", "initial_covariance", "horizon", "discount", "state_names", "action_names"
        due = {*_FIELDS[:7], "final_cost", *kept}
        if odd := sorted(set(changes) - due):
            raise InvalidProblem(
                f"`{odd[0]}` is not an argument of LinearQuadratic. Pass one of {', '.join(sorted(due))}."
            )
        given: dict[str, Any] = {name: _constant(getattr(self, name), i) for i, name in enumerate(_FIELDS[:7])}
        given |= {"final_cost": (self.final_P, self.final_p, self.final_v)} | {
            name: getattr(self, name) for name in kept
        }
        return LinearQuadratic(**(given | changes))

    def __getitem__(self, index: int | tuple[int, ...]) -> "LinearQuadratic":
        """One problem, or a part, of a batch.

        Raises:
            InvalidProblem: if this is no batch, or there is no such entry.
        """
        try:
            chosen = torch.empty(self.batch_shape)[index].shape if self.batch_shape else None
        except (IndexError, TypeError):
            chosen = None
        if chosen is None:
            raise InvalidProblem(f"`index` must be one of the batch {self.batch_shape}, but is {shown(index)}.")
        given = {name: _constant(getattr(self, name), i)[index] for i, name in enumerate(_FIELDS[:7])}
        final = self.final_P[index], self.final_p[index], self.final_v[index]
        start = {name: getattr(self, name)[index] for name in ("initial_mean", "initial_covariance")}
        return LinearQuadratic(
            **given, **start, final_cost=final, horizon=self.horizon, discount=self.discount,
            state_names=self.state_names, action_names=self.action_names,
        )  # fmt: skip

    def state_name(self, component: int) -> str:
        """The name of a component of the state, such as "speed", or "component 1 of the state"."""
        return f"component {component} of the state" if self.state_names is None else self.state_names[component]

    def action_name(self, component: int) -> str:
        """The name of a component of the action, or "component 1 of the action"."""
        return f"component {component} of the action" if self.action_names is None else self.action_names[component]

    def __repr__(self) -> str:
        """The sizes with the names, the horizon, the discount and the batch axes."""
        batch = f", batch {self.batch_shape}" if self.batch_shape else ""
        discount = f", discount {self.discount:g}" if self.discount < 1 else ""
        states, actions = (f" ({', '.join(each)})" if each else "" for each in (self.state_names, self.action_names))
        sizes = f"{self.num_states} states{states}, {self.num_actions} actions{actions}, horizon {self.horizon}"
        return f"LinearQuadratic({sizes}{discount}{batch})"


def _constant(value: Tensor, field: int) -> Tensor:
    """The value with a time axis of size 1 where it does not depend on time."""
    axis = value.ndim - (2, 2, 1, 2, 2, 1, 0)[field] - 1
    return value.narrow(axis, 0, 1) if value.stride(axis) == 0 else value
