r"""The backward sweep of a linear-quadratic model for any optimism: numbers in, numbers out.

$$H = C + F'\tilde PF + \tau E'U^{-1}E, \quad h = c + F'(\tilde Pd + \tilde p) - \tau E'U^{-1}g, \quad
    F = [A\ B],\ E = [-G\ I]$$

$$K = H_{aa}^{-1}H_{as}, \quad \kappa = H_{aa}^{-1}h_a, \quad P \leftarrow H_{ss} - H_{sa}K, \quad
    p \leftarrow h_s - H_{sa}\kappa$$

with P̃, p̃, ṽ of `chance.gaussian` [jacobson1973], [whittle1981]. With a discount γ < 1, P, p and v of the next state are
multiplied by γ first.

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...chance.gaussian import gaussian_equivalent
from .model import GaussianModel, log_det, timed_prior

FINE, DYNAMICS, ACTIONS = 0, 1, 2  # why a sweep ends: it does not; noise is unbounded; no action is best


TIMED = ("transition", "drift", "noise_root", "hessian", "gradient", "constant")  # the fields with an axis of time


def shared(table: Tensor, batch: int, timed: bool) -> Tensor:
    """A table with its batch axes as one, of size 1 if all problems share it, and so its axis of time."""
    if timed and table.stride(batch) == 0:
        table = table.narrow(batch, 0, 1)
    if all(table.stride(i) == 0 or table.shape[i] == 1 for i in range(batch)):
        return table[(0,) * batch][None]
    return table.reshape(-1, *table.shape[batch:])


class Prepared(NamedTuple):
    """A linear-quadratic model with its action prior folded into the cost; axes (*batch, time, …)."""

    transition: Float[Tensor, "*batch time state state_action"]
    drift: Float[Tensor, "*batch time state"]
    noise_root: Float[Tensor, "*batch time state noise"]
    hessian: Float[Tensor, "*batch time state_action state_action"]
    gradient: Float[Tensor, "*batch time state_action"]
    constant: Float[Tensor, "*batch time"]
    final_hessian: Float[Tensor, "*batch state state"]
    final_gradient: Float[Tensor, "*batch state"]
    final_constant: Float[Tensor, "*batch"]
    temperature: Float[Tensor, "*batch"]
    discount: float

    def expanded(self, count: int) -> "Prepared":
        """The same numbers with one more batch axis in front, as views."""
        return Prepared._make([*(each.expand(count, *each.shape) for each in self[:-1]), self.discount])

    def flat(self) -> "Prepared":
        """The same numbers with one axis of problems, and axes of size 1 where problems or times share a table."""
        batch = self.final_constant.dim()
        tables = (shared(each, batch, timed=i < len(TIMED)) for i, each in enumerate(self[:-1]))
        return Prepared._make([*tables, self.discount])

    def full(self, count: int, steps: int) -> "Prepared":
        """Flat numbers with their axes of problems and times expanded, as views."""
        tables = (
            each.expand(count, *([steps, *each.shape[2:]] if i < len(TIMED) else each.shape[1:]))
            for i, each in enumerate(self[:-1])
        )
        return Prepared._make([*tables, self.discount])


class Swept(NamedTuple):
    """The result of a backward sweep; P, p and v have T + 1 steps.

    Attributes:
        P, p, v: the values $V_t(s) = -(½ s'Ps + p's + v)$, in reward units.
        gain, offset: K and κ of the policy $N(-Ks - κ, τ H_{aa}^{-1})$.
        policy_covariance: $τ H_{aa}^{-1}$.
        reason: 0, or 1 where the noise is unbounded, or 2 where no action is best, by problem.
        at: the step at which it ends, or −1, by problem.
    """

    P: Float[Tensor, "*batch time_and_last state state"]
    p: Float[Tensor, "*batch time_and_last state"]
    v: Float[Tensor, "*batch time_and_last"]
    gain: Float[Tensor, "*batch time action state"]
    offset: Float[Tensor, "*batch time action"]
    policy_covariance: Float[Tensor, "*batch time action action"]
    reason: Int[Tensor, "*batch"]
    at: Int[Tensor, "*batch"]


def prepared(model: GaussianModel, temperature: Tensor | None = None) -> Prepared:
    """The numbers of a model with its action prior folded into the cost.

    Args:
        model: the model.
        temperature: τ by problem of the batch; default: that of the model.
    """
    problem = model.problem
    tau = torch.as_tensor(model.temperature if temperature is None else temperature, dtype=torch.float64)
    tau, m = tau.expand(problem.batch_shape), problem.num_actions
    hessian, gradient, constant = problem.C, problem.c, problem.k
    each = tau[..., None]
    prior = timed_prior(model)
    if prior is not None:
        G, g, U = prior
        E = torch.cat((-G, torch.eye(m, dtype=G.dtype, device=G.device).expand(*G.shape[:-2], m, m)), -1)
        weighted = each[..., None, None] * torch.linalg.solve(U, E)  # τ U⁻¹E
        hessian = hessian + E.mT @ weighted
        gradient = gradient - (weighted.mT @ g[..., None])[..., 0]
        inner = (g * torch.linalg.solve(U, g)).sum(-1)
        constant = constant + 0.5 * each * (inner + log_det(U) + m * math.log(2 * math.pi))
    if temperature is None:
        one = model.temperature  # τ log τ is 0 at τ = 0
        constant = constant - 0.5 * one * m * math.log(2 * math.pi * one) if one > 0 else constant
    else:
        log_tau = torch.where(each > 0, each, 1.0).log()
        constant = constant - 0.5 * each * m * (math.log(2 * math.pi) + log_tau)
    return Prepared(
        problem.F, problem.d, problem.noise_root, hessian, gradient, constant,
        problem.final_P, problem.final_p, problem.final_v, tau, problem.discount,
    )  # fmt: skip


def backward_sweep(given: Prepared, theta: Float[Tensor, "*batch"]) -> Swept:
    """The backward sweep in torch, differentiable in all numbers.

    Where it ends early the numbers of all earlier steps are nan, and `reason` and `at` say why and when.

    Args:
        given: the numbers of the model.
        theta: θ = β/τ of the dynamics, in 1/reward, by problem.
    """
    n, tau = given.drift.shape[-1], given.temperature
    steps, front = given.drift.shape[-2], given.drift.dim() - 2
    P, p, v = given.final_hessian, given.final_gradient, given.final_constant
    theta = theta.to(P.dtype).expand(v.shape)
    eye, unit = (torch.eye(size, dtype=P.dtype, device=P.device) for size in (n, given.transition.shape[-1] - n))
    reason = torch.zeros(v.shape, dtype=torch.long, device=v.device)
    at = torch.full(v.shape, -1, device=v.device)
    rows: list[tuple[Tensor, ...]] = []
    values: list[tuple[Tensor, ...]] = [(P, p, v)]
    for t in reversed(range(steps)):
        F, d, L, hessian, gradient, constant = (each.select(front, t) for each in given[:6])
        if given.discount < 1:
            P, p, v = given.discount * P, given.discount * p, given.discount * v
        ahead = gaussian_equivalent(P, p, v, L, theta)
        H = hessian + F.mT @ ahead.P @ F
        h = gradient + (F.mT @ (ahead.P @ d[..., None] + ahead.p[..., None]))[..., 0]
        factor, failed = torch.linalg.cholesky_ex(H[..., n:, n:])
        factor = torch.where((failed > 0)[..., None, None], unit, factor)
        found = torch.cholesky_solve(torch.cat((H[..., n:, :n], h[..., n:, None]), -1), factor)
        K, kappa = found[..., :n], found[..., n]
        # The value of the policy's mean: as Hss − Hsa K it would cancel near a breakdown, where P̃ is large.
        closed = torch.cat((eye.expand_as(P), -K), -2)
        moved = F @ closed
        still = d - (F[..., n:] @ kappa[..., None])[..., 0]
        reached = (ahead.P @ still[..., None])[..., 0]
        mean = gradient - (hessian[..., n:] @ kappa[..., None])[..., 0]
        v = constant + ahead.v + (still * (0.5 * reached + ahead.p)).sum(-1)
        v = v - 0.5 * ((gradient + mean)[..., n:] * kappa).sum(-1)
        v = v + tau * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        P = closed.mT @ hessian @ closed + moved.mT @ ahead.P @ moved
        P = 0.5 * (P + P.mT)
        p = (closed.mT @ mean[..., None])[..., 0] + (moved.mT @ (reached + ahead.p)[..., None])[..., 0]
        spread = torch.cholesky_inverse(factor)
        why = torch.where(ahead.is_finite, torch.where(failed == 0, FINE, ACTIONS), DYNAMICS)
        new = (reason == FINE) & (why != FINE)
        if bool(new.any()):
            reason, at = torch.where(new, why, reason), torch.where(new, t, at)
        if bool((reason != FINE).any()):
            P = torch.where((reason != FINE)[..., None, None], torch.nan, P)
            p = torch.where((reason != FINE)[..., None], torch.nan, p)
            v = torch.where(reason != FINE, torch.nan, v)
            if bool((reason != FINE).all()):
                break
        values.append((P, p, v))
        rows.append((K, kappa, tau[..., None, None] * spread))
    return _stacked(given, values, rows, reason, at)


def _stacked(
    given: Prepared, values: list[tuple[Tensor, ...]], rows: list[tuple[Tensor, ...]], reason: Tensor, at: Tensor
) -> Swept:
    """The steps in order of time; nan where every problem of the batch had ended."""
    steps, front, n = given.drift.shape[-2], given.drift.dim() - 2, given.drift.shape[-1]
    m = given.transition.shape[-1] - n
    values += [tuple(torch.full_like(each, torch.nan) for each in values[-1])] * (steps + 1 - len(values))
    if len(rows) < steps:
        shapes = ((m, n), (m,), (m, m))
        like = given.final_constant
        rows += [tuple(like.new_full((*like.shape, *each), torch.nan) for each in shapes)] * (steps - len(rows))
    stacked = [torch.stack(each[::-1], front) for each in zip(*values, strict=True)]
    stacked += [torch.stack(each[::-1], front) for each in zip(*rows, strict=True)]
    P, p, v, gain, offset, covariance = stacked
    return Swept(P, p, v, gain, offset, covariance, reason, at)
