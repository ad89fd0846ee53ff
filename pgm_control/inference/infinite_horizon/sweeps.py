"""Sweeps in torch: the reference for `kernels.infinite_horizon`, the fallback without numba, and the dense form."""

import torch
from torch import Tensor

from ...chance.operators import certainty_equivalent
from ...kernels.bundles import FixedPolicy, SweepNumbers, SweepTables, SweepValues
from ...kernels.components import best_reachable as best_reachable
from ...kernels.components import strong_components as strong_components

BLOCK = 1 << 14  # limits the memory of a block


def _expected(v: Tensor, tables: SweepTables, discount: float, b: int, n: int) -> Tensor:
    """Mean reward + γ Σ p v(s') for a block of n states that starts at b."""
    p, successor, _, pay, rows, width, _, _ = tables
    actions = pay.shape[1]
    first, last = b * actions, (b + n) * actions
    if p.ndim == 2:  # dense
        ahead = p[first:last] @ v
    elif len(rows):
        lo, hi = int(rows[first]), int(rows[last])
        owner = torch.arange(last - first, device=p.device).repeat_interleave(
            rows[first + 1 : last + 1] - rows[first:last]
        )
        ahead = v.new_zeros(last - first).index_add_(0, owner, p[lo:hi].to(v.dtype) * v[successor[lo:hi]])
    else:
        outcomes = slice(first * len(width), last * len(width))
        ahead = (p[outcomes].to(v.dtype) * v[successor[outcomes]]).reshape(last - first, len(width)).sum(-1)
    return pay[b : b + n] + discount * ahead.reshape(n, actions)


def _equivalent(v: Tensor, tables: SweepTables, numbers: SweepNumbers, b: int, n: int) -> Tensor:
    """The certainty equivalent L_β[r + γ v(s')] for each action in the n states from b on; `numbers` hold β/τ."""
    p, successor, reward, pay, rows, width, longest, prior = tables
    discount, _, scale = numbers
    actions = prior.shape[1]
    first, last = b * actions, (b + n) * actions
    if len(rows):
        start, end = rows[first:last, None], rows[first + 1 : last + 1, None]
        index = start + torch.arange(longest, device=p.device)
        inside = index < end
        index = torch.where(inside, index, torch.zeros_like(index))
    else:
        index = torch.arange(first * len(width), last * len(width), device=p.device).reshape(-1, len(width))
        inside = torch.ones_like(index, dtype=torch.bool)
    log_weight = torch.where(inside, p[index].to(v.dtype), torch.zeros((), dtype=v.dtype, device=v.device)).log()
    x = reward[index].to(v.dtype) + discount * v[successor[index]]
    q = certainty_equivalent(x, log_weight, 1.0, scale).reshape(n, actions)
    return q if len(pay) == 0 else torch.where(pay[b : b + n] == 0, q, -torch.inf)


def sweep(
    tables: SweepTables,
    numbers: SweepNumbers,
    values: SweepValues,
    fixed: FixedPolicy,
    first: int,
    last: int,
    block: int,
    backwards: bool,
) -> tuple[float, float, bool]:
    """As `kernels.infinite_horizon.sweep`; here the probabilities may also be a dense matrix (S A, S)."""
    v, out, q_out, choice = values
    discount, temperature, scale = numbers
    prior, policy = tables.prior, fixed.policy
    lo, hi, whole = torch.inf, -torch.inf, True
    starts = range(first, last, block)
    for b in reversed(starts) if backwards else starts:
        n = min(block, last - b)
        q = _expected(v, tables, discount, b, n) if scale == 0 else _equivalent(v, tables, numbers, b, n)
        if len(q_out):
            q_out[b : b + n] = q
        if len(policy):
            chosen = policy[b : b + n]
            value = fixed.bonus[b : b + n] + torch.where(chosen > 0, chosen * q, torch.zeros_like(q)).sum(-1)
        elif temperature == 0:
            value = q.amax(-1)
            if len(choice):
                choice[b : b + n] = q.argmax(-1)
        else:
            here = prior[b : b + n] if len(prior) > 1 else prior
            value = certainty_equivalent(q, here.log().expand_as(q), temperature, 1.0)
            value = value + fixed.bonus[b : b + n] if len(fixed.bonus) else value
        least, largest, good = _settle(value, v[b : b + n], out[b : b + n])
        lo, hi, whole = min(lo, least), max(hi, largest), whole and good
    return lo, hi, whole


def _settle(value: Tensor, v: Tensor, out: Tensor) -> tuple[float, float, bool]:
    """Write a block and return its smallest and largest change; dead ends are stored as 0 and do not count."""
    alive = value > -torch.inf
    change = (value - v)[alive]
    out.copy_(torch.where(alive, value, torch.zeros_like(value)))
    if len(change) == 0:
        return torch.inf, -torch.inf, not bool(value.isnan().any())
    return float(change.min()), float(change.max()), bool((value < torch.inf).all())


def follow(
    tables: SweepTables, discount: float, values: SweepValues, first: int, last: int
) -> tuple[float, float, bool]:
    """As `kernels.infinite_horizon.follow`; here the probabilities may also be a dense matrix."""
    p, successor, _, pay, rows, width, _, _ = tables
    v, out, _, choice = values
    actions = pay.shape[1]
    row = torch.arange(first, last, device=v.device) * actions + choice[first:last]
    if p.ndim == 2:
        ahead = p[row] @ v
    elif len(rows):
        spans = rows[row + 1] - rows[row]
        owner = torch.arange(len(row), device=v.device).repeat_interleave(spans)
        step = torch.arange(len(owner), device=v.device) - (spans.cumsum(0) - spans).repeat_interleave(spans)
        index = rows[row].repeat_interleave(spans) + step
        ahead = v.new_zeros(len(row)).index_add_(0, owner, p[index].to(v.dtype) * v[successor[index]])
    else:
        outcomes = row[:, None] * len(width) + torch.arange(len(width), device=v.device)
        ahead = (p[outcomes].to(v.dtype) * v[successor[outcomes]]).sum(-1)
    return _settle(pay.flatten()[row] + discount * ahead, v[first:last], out[first:last])


def survey(p: Tensor, reward: Tensor, pay: Tensor) -> tuple[float, float, int, int]:
    """The result of `kernels.infinite_horizon.survey`."""
    slack, largest, possible, forbidden = 0.0, 0.0, 0, 0
    outcomes, flat = p.numel() // pay.numel(), pay.reshape(-1)
    rows = max(1, BLOCK * 8 // outcomes)
    for row in range(0, len(flat), rows):
        part = slice(row * outcomes, (row + rows) * outcomes)
        weight, r = p[part].double().reshape(-1, outcomes), reward[part].double().reshape(-1, outcomes)
        torch.sum(weight * r, -1, out=flat[row : row + rows])
        slack = max(slack, float((weight.sum(-1) - 1).abs().max()))
        finite = r > -torch.inf
        largest = max(largest, float(torch.where(finite, r, torch.zeros_like(r)).abs().max()))
        possible, forbidden = possible + int((weight > 0).sum()), forbidden + int((~finite).sum())
    return slack, largest, possible, forbidden
