"""Models of a quadratic reward with parameters to be learned."""

from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import flag, function, instance, listed
from ...runtime.array_like import numbers
from ...text.one_line import one_line

_PROBLEM = "Pass model.problem."


class QuadraticCost(NamedTuple):
    r"""The reward $-(\tfrac12 z'Cz + c'z)$, z = (s, a), and that of the last state, $-(\tfrac12 s'P_Ts + p_T's)$.

    C and c may have an axis of time in front.
    """

    C: Float[Tensor, "*time state_action state_action"]
    c: Float[Tensor, "*time state_action"]
    final_P: Float[Tensor, "state state"]  # noqa: N815 - the name in LinearQuadratic
    final_p: Float[Tensor, " state"]

    __repr__ = one_line


class QuadraticReward(torch.nn.Module):
    """A quadratic reward with parameters ψ. A call returns a `QuadraticCost`, differentiable in ψ.

    Attributes:
        names: the names of the parameters, as one vector; None for ψ[0], ψ[1], …
        is_linear: whether the cost is certainly linear in ψ; some likelihoods are then concave.
    """

    names: tuple[str, ...] | None = None
    is_linear: bool = False

    def forward(self) -> QuadraticCost:
        """Return the cost."""
        raise NotImplementedError


@final
class DiagonalReward(QuadraticReward):
    r"""A separate cost of each component: $r = -\tfrac12 \sum_i q_i s_i^2 - \tfrac12 \sum_j r_j a_j^2 - c'z$.

    The parameters are q, r, and c if `linear`, in reward units. They may be negative: the likelihood decides.

    Attributes:
        weight: q and r. They start at 1.
        slope: c, or None. It starts at 0.
        pays_last: whether the last state has the cost of the others.
    """

    is_linear = True

    def __init__(self, problem: LinearQuadratic, linear: bool = False, pays_last: bool = False) -> None:
        """Create the reward.

        Args:
            problem: the problem, for its sizes.
            linear: whether there is a linear cost c too, which moves what is wanted away from 0.
            pays_last: whether the last state has the cost of the others; otherwise it has none.

        Raises:
            InvalidArgument: if an argument does not fit.
        """
        super().__init__()
        n, m = _sizes(problem)
        linear, self.pays_last = flag("linear", linear), flag("pays_last", pays_last)
        self._n = n
        self.weight = torch.nn.Parameter(torch.ones(n + m, dtype=torch.float64))
        self.slope = torch.nn.Parameter(torch.zeros(n + m, dtype=torch.float64)) if linear else None
        own = tuple(f"Q[{i},{i}]" for i in range(n)) + tuple(f"R[{j},{j}]" for j in range(m))
        self.names = own + (tuple(f"c[{i}]" for i in range(n + m)) if linear else ())

    def forward(self) -> QuadraticCost:
        """Return the cost."""
        slope = torch.zeros_like(self.weight) if self.slope is None else self.slope
        return _with_last(torch.diag(self.weight), slope, self._n, self.pays_last)


@final
class SemidefiniteReward(QuadraticReward):
    r"""Costs of states and actions that are never negative: $r = -\tfrac12 s'LL's - \tfrac12 a'MM'a$.

    The parameters are the lower triangles of L and M. The sign of a column changes nothing, and where Q is not regular
    several L are the same Q: `identification` counts such directions.

    Attributes:
        state_root, action_root: L and M, as vectors of the rows of their lower triangles. They start at the identity.
        pays_last: whether the last state has the cost of the others.
    """

    def __init__(self, problem: LinearQuadratic, pays_last: bool = False) -> None:
        """Create the reward.

        Raises:
            InvalidArgument: if an argument does not fit.
        """
        super().__init__()
        n, m = _sizes(problem)
        self.pays_last, self._sizes = flag("pays_last", pays_last), (n, m)
        self.state_root, self.action_root = (
            torch.nn.Parameter(torch.eye(size, dtype=torch.float64)[tuple(torch.tril_indices(size, size))])
            for size in (n, m)
        )
        places = (zip(*torch.tril_indices(size, size).tolist(), strict=True) for size in (n, m))
        self.names = tuple(f"{name}[{i},{j}]" for name, each in zip("LM", places, strict=True) for i, j in each)

    def forward(self) -> QuadraticCost:
        """Return the cost."""
        n, m = self._sizes
        roots = _lower(self.state_root, n), _lower(self.action_root, m)
        C = torch.block_diag(*(each @ each.mT for each in roots))
        return _with_last(C, C.new_zeros(n + m), n, self.pays_last)


@final
class FullReward(QuadraticReward):
    r"""Any quadratic reward: $r = -\tfrac12 z'Cz - c'z$ with all entries of C and c as parameters.

    It is more than behaviour can tell apart, in the long run: a potential $\tfrac12 s'\Phi s$ that is paid back a step
    later changes C and not the policy, except near the last step.

    Attributes:
        triangle: the rows of the lower triangle of C. C starts at the identity.
        slope: c. It starts at 0.
        pays_last: whether the last state has the cost of the others.
    """

    is_linear = True

    def __init__(self, problem: LinearQuadratic, pays_last: bool = False) -> None:
        """Create the reward.

        Raises:
            InvalidArgument: if an argument does not fit.
        """
        super().__init__()
        n, m = _sizes(problem)
        self.pays_last, self._sizes = flag("pays_last", pays_last), (n, m)
        k = n + m
        where = torch.tril_indices(k, k)
        self.triangle = torch.nn.Parameter(torch.eye(k, dtype=torch.float64)[tuple(where)])
        self.slope = torch.nn.Parameter(torch.zeros(k, dtype=torch.float64))
        places = zip(*where.tolist(), strict=True)
        self.names = tuple(f"C[{i},{j}]" for i, j in places) + tuple(f"c[{i}]" for i in range(k))

    def forward(self) -> QuadraticCost:
        """Return the cost."""
        n, m = self._sizes
        L = _lower(self.triangle, n + m)
        return _with_last(L + L.mT - torch.diag(L.diagonal()), self.slope, n, self.pays_last)


@final
class FunctionReward(QuadraticReward):
    """A reward by a function of yours, from ψ to the cost.

        FunctionReward(problem, lambda psi: (torch.diag(psi.exp()), c), [0.0, 0.0])

    Attributes:
        weight: ψ.
        function: maps ψ to (C, c), to (C, c, P_T, p_T) or to a `QuadraticCost`, in torch. Without P_T and p_T the last
            state costs nothing.
    """

    def __init__(
        self, problem: LinearQuadratic, function_of_psi: Callable[[Tensor], Any], start: Any, names: Any = None
    ) -> None:
        """Create the reward at ψ = `start`.

        Args:
            problem: the problem, for its sizes.
            function_of_psi: the function.
            start: the first ψ, a vector.
            names: the names of the parameters.

        Raises:
            InvalidArgument: if the function does not give arrays of the right shapes.
        """
        super().__init__()
        self._sizes = _sizes(problem)
        self.function = function("function_of_psi", function_of_psi)
        many: Any = start if isinstance(start, list | tuple | np.ndarray) else ()
        is_truth = any(isinstance(each, bool | np.bool_) for each in many)
        vector = numbers("start", start, InvalidArgument).double()
        if vector.ndim != 1 or not len(vector) or is_truth or not bool(vector.isfinite().all()):
            what = "holds truth values" if is_truth else f"has shape {tuple(vector.shape)} or is not finite"
            raise InvalidArgument(f"`start` must be a vector of finite numbers, but {what}.")
        self.weight = torch.nn.Parameter(vector.clone())
        own = None if names is None else tuple(listed("names", names, "strings"))
        if own is not None and len(own) != len(vector):
            raise InvalidArgument(f"`names` must name {len(vector)} parameters, but are {len(own)}.")
        self.names = own
        try:
            with torch.no_grad():
                cost = self()
        except InvalidArgument:
            raise
        except Exception as error:  # a function of one's own may raise anything
            raise InvalidArgument(f"`function_of_psi` must map ψ to the cost, but raises {error!r}.") from error
        fitting_cost(problem, cost, "function_of_psi")

    def forward(self) -> QuadraticCost:
        """Return the cost."""
        found = self.function(self.weight)
        n = self._sizes[0]
        if isinstance(found, tuple) and len(found) == 2:
            C, c = found
            return QuadraticCost(C, c, self.weight.new_zeros(n, n), self.weight.new_zeros(n))
        if isinstance(found, tuple) and len(found) == 4:
            return QuadraticCost(*found)
        raise InvalidArgument("`function_of_psi` must return (C, c) or (C, c, P_T, p_T), but does not.")


def fitting_cost(problem: LinearQuadratic, cost: Any, name: str) -> QuadraticCost:
    """The cost with an axis of time in C and c, and symmetric matrices, after a check of its shapes.

    Raises:
        InvalidArgument: if it does not fit the problem.
    """
    n, k = problem.num_states, problem.num_states + problem.num_actions
    due = {"C": (k, k), "c": (k,), "final_P": (n, n), "final_p": (n,)}
    if not isinstance(cost, QuadraticCost) or not all(isinstance(each, Tensor) for each in cost):
        raise InvalidArgument(f"`{name}` must give a QuadraticCost of tensors, but gives a {type(cost).__name__}.")
    for part, shape in due.items():
        found = tuple(getattr(cost, part).shape)
        timed = (shape, (problem.horizon, *shape)) if part in ("C", "c") else (shape,)
        if found not in timed:
            raise InvalidArgument(f"`{name}` must give {part} of shape {shape}, but gives {found}.")
    C, c, P, p = (each.double() for each in cost)
    C, c = (C[None] if C.ndim == 2 else C), (c[None] if c.ndim == 1 else c)
    return QuadraticCost(0.5 * (C + C.mT), c, 0.5 * (P + P.mT), p)


def _sizes(problem: LinearQuadratic) -> tuple[int, int]:
    instance("problem", problem, LinearQuadratic, _PROBLEM)
    return problem.num_states, problem.num_actions


def _lower(rows: Tensor, size: int) -> Tensor:
    return torch.zeros(size, size, dtype=rows.dtype).index_put(tuple(torch.tril_indices(size, size)), rows)


def _with_last(C: Tensor, c: Tensor, n: int, pays_last: bool) -> QuadraticCost:
    share = 1.0 if pays_last else 0.0
    return QuadraticCost(C, c, share * C[:n, :n], share * c[:n])
