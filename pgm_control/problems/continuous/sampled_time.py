"""Linear dynamics and quadratic costs of continuous time, integrated over one step of constant action.

Sources:
    [vanloan1978] C. F. Van Loan, Computing integrals involving the matrix exponential. IEEE Transactions on Automatic
        Control 23(3):395–404, 1978. doi:10.1109/TAC.1978.1101743
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .arrays import array, covariance
from .tracking import cost_of, final_tracking, references


def sampled_problem(
    A: Any, B: Any, Q: Any, R: Any, W: Any, N: Any, dt: float, final_cost: Any, reference: Any, action_reference: Any,
    horizon: int,
) -> dict[str, Any]:  # fmt: skip
    """The arguments of `LinearQuadratic` for a problem in continuous time; those of `from_continuous`.

    Raises:
        InvalidProblem: if one does not fit; the message names it.
    """
    B = array("B", B, (None, None), timed=True)
    n, m = B.shape[-2:]
    A = array("A", A, (n, n), timed=True)
    W = covariance("W", array("W", W, (n, n), timed=True))
    C = cost_of(Q, R, N, n, m)
    target, last = references(reference, action_reference, n, m, horizon)
    step, effect, noise = sampled_dynamics(A, B, W, dt)
    cost, k = sampled_cost(A, B, C, W, dt)
    pull = (C @ target[..., None])[..., 0]
    return {
        "A": step,
        "B": effect,
        "W": noise,
        "C": cost,
        "c": -(_held(A, B, dt).mT @ pull[..., None])[..., 0],
        "k": k + 0.5 * dt * (pull * target).sum(-1),
        "final_cost": final_tracking(final_cost, last),
    }


def sampled_dynamics(
    A: Float[Tensor, "*batch n n"], B: Float[Tensor, "*batch n m"], W: Float[Tensor, "*batch n n"], dt: float
) -> tuple[Tensor, Tensor, Tensor]:
    r"""$e^{A\,dt}$, $\int_0^{dt} e^{Au}B\,du$ and $\int_0^{dt} e^{Au} W e^{A'u}\,du$ [vanloan1978].

    References:
        [vanloan1978]
    """
    n = A.shape[-1]
    grown = torch.linalg.matrix_exp(_augmented(A, B) * dt)
    return grown[..., :n, :n], grown[..., :n, n:], _integral(A.mT, W, dt)


def sampled_cost(
    A: Float[Tensor, "*batch n n"],
    B: Float[Tensor, "*batch n m"],
    C: Float[Tensor, "*batch z z"],
    W: Float[Tensor, "*batch n n"],
    dt: float,
) -> tuple[Float[Tensor, "*batch z z"], Float[Tensor, "*batch"]]:
    r"""The matrix of the cost of one step, $\int e^{M'u} C e^{Mu}\,du$ with M = [[A, B], [0, 0]], and its constant.

    The constant is the expected cost of the noise within the step, $\tfrac12 \int_0^{dt} \mathrm{tr}(Q\,\Sigma_u)\,du$,
    with $\Sigma_u$ the covariance of the noise after time u.
    """
    n = A.shape[-1]
    M = _augmented(A, B)
    # ∫₀^dt tr(Q Σ_u) du = tr(W X), X = ∫₀^dt ∫₀^u e^{A'v} Q e^{Av} dv du: the upper right corner of a chain of three.
    Q = C[..., :n, :n]
    front = torch.broadcast_shapes(A.shape[:-2], Q.shape[:-2])
    A, Q = A.expand(*front, n, n), Q.expand(*front, n, n)
    none, one = torch.zeros_like(A), torch.eye(n, dtype=A.dtype).expand_as(A)
    rows = [torch.cat(row, -1) for row in ((-A.mT, one, none), (none, -A.mT, Q), (none, none, A))]
    chain = torch.linalg.matrix_exp(torch.cat(rows, -2) * dt)
    twice = chain[..., 2 * n :, 2 * n :].mT @ chain[..., :n, 2 * n :]
    constant = 0.5 * (W * twice.mT).sum((-2, -1))
    whole = _integral(M, C, dt)
    return (whole + whole.mT) / 2, constant


def _held(A: Tensor, B: Tensor, dt: float) -> Tensor:
    """The integral of the path of (x, u) over a step, ∫₀^dt e^{Mu} du with M = [[A, B], [0, 0]]."""
    M = _augmented(A, B)
    z = M.shape[-1]
    upper = torch.cat((M, torch.eye(z, dtype=M.dtype).expand_as(M)), -1)
    return torch.linalg.matrix_exp(torch.cat((upper, torch.zeros_like(upper)), -2) * dt)[..., :z, z:]


def _augmented(A: Tensor, B: Tensor) -> Tensor:
    """[[A, B], [0, 0]]: the rates of (x, u) while u is held."""
    front = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    upper = torch.cat((A.expand(*front, *A.shape[-2:]), B.expand(*front, *B.shape[-2:])), -1)
    return torch.cat((upper, upper.new_zeros(*front, B.shape[-1], upper.shape[-1])), -2)


def _integral(A: Tensor, X: Tensor, dt: float) -> Tensor:
    """∫₀^dt e^{A'u} X e^{Au} du, by one exponential of [[−A', X], [0, A]]."""
    n = A.shape[-1]
    front = torch.broadcast_shapes(A.shape[:-2], X.shape[:-2])
    A, X = A.expand(*front, n, n), X.expand(*front, n, n)
    upper = torch.cat((torch.cat((-A.mT, X), -1), torch.cat((torch.zeros_like(A), A), -1)), -2)
    grown = torch.linalg.matrix_exp(upper * dt)
    found = grown[..., n:, n:].mT @ grown[..., :n, n:]
    return (found + found.mT) / 2
