"""Sweeps in torch: the reference for `kernels.infinite_horizon`, the fallback without numba, and the dense form."""

import torch
from torch import Tensor

from ....chance.operators import certainty_equivalent
from ....kernels.bundles import Chain, SweepNumbers, SweepTables, SweepValues
from ....kernels.components import best_reachable as best_reachable
from ....kernels.components import strong_components as strong_components

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
    bonus: Tensor,
    first: int,
    last: int,
    block: int,
    backwards: bool,
) -> tuple[float, float, bool]:
    """As `kernels.infinite_horizon.sweep`; here the probabilities may also be a dense matrix (S A, S)."""
    v, out, q_out, choice, policy = values
    discount, temperature, scale = numbers
    prior = tables.prior
    lo, hi, whole = torch.inf, -torch.inf, True
    starts = range(first, last, block)
    for b in reversed(starts) if backwards else starts:
        n = min(block, last - b)
        q = _expected(v, tables, discount, b, n) if scale == 0 else _equivalent(v, tables, numbers, b, n)
        if len(q_out):
            q_out[b : b + n] = q
        if temperature == 0:
            value = q.amax(-1)
            if len(choice):
                choice[b : b + n] = q.argmax(-1)
        else:
            here = prior[b : b + n] if len(prior) > 1 else prior
            value = certainty_equivalent(q, here.log().expand_as(q), temperature, 1.0)
            if len(policy):
                policy[b : b + n] = (q / temperature + here.log()).softmax(-1).nan_to_num(0.0)  # dead ends have none
            value = value + bonus[b : b + n] if len(bonus) else value
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


def linearise(
    tables: SweepTables,
    numbers: SweepNumbers,
    values: SweepValues,
    weight: Tensor,
    successor: Tensor,
    first: int,
    last: int,
) -> None:
    """As `kernels.infinite_horizon.linearise` for all states; the weights may also be a dense matrix (S, S)."""
    p, target, reward, _, rows, width, _, prior = tables
    discount, temperature, scale = numbers
    v, _, _, choice, policy = values
    states, actions = len(v), prior.shape[1]
    if temperature == 0:
        policy = torch.nn.functional.one_hot(choice.long(), actions).to(v.dtype)
    if p.ndim == 2:
        weight.copy_((policy[:, None] @ p.reshape(states, actions, states))[:, 0])
        return
    lengths = rows.diff() if len(rows) else torch.full((states * actions,), len(width), device=p.device)
    owner = torch.arange(states * actions, device=p.device).repeat_interleave(lengths)
    flat = p.to(v.dtype)
    if scale != 0:
        x = torch.where(p > 0, scale * (reward.to(v.dtype) + discount * v[target]), -torch.inf)
        top = v.new_full((states * actions,), -torch.inf).scatter_reduce_(0, owner, x, "amax")
        flat = torch.where(x > -torch.inf, flat * (x - top[owner]).exp(), 0.0)
        flat = flat / v.new_zeros(states * actions).index_add_(0, owner, flat)[owner]
        flat = flat.nan_to_num(0.0)  # rows that are lost
    flat = torch.where(policy.flatten()[owner] > 0, policy.flatten()[owner] * flat, 0.0)
    if len(successor) == 0:
        weight.copy_(flat)
        return
    index = (torch.arange(states, device=v.device) * actions + choice)[:, None] * len(width)
    index = (index + torch.arange(len(width), device=v.device)).flatten()
    weight.copy_(flat[index])
    successor.copy_(target[index])


def relax(
    chain: Chain,
    discount: float,
    change: Tensor,
    d: Tensor,
    out: Tensor,
    first: int,
    last: int,
    sweeps: int,
) -> None:
    """As `kernels.infinite_horizon.relax` for all states; the weights may also be a dense matrix (S, S)."""
    weight, successor, begin, end, width = chain
    states = len(d)
    spans = end - begin if len(begin) else torch.full((states,), len(width), device=d.device)
    begin = begin if len(begin) else torch.arange(states, device=d.device) * len(width)
    owner = torch.arange(states, device=d.device).repeat_interleave(spans if weight.ndim == 1 else 0 * spans)
    step = torch.arange(len(owner), device=d.device) - (spans.cumsum(0) - spans)[owner]
    index = begin[owner] + step
    for _ in range(sweeps):
        if weight.ndim == 2:
            ahead = weight @ d
        else:
            ahead = d.new_zeros(states).index_add_(0, owner, weight[index] * d[successor[index]])
        torch.add(change, ahead, alpha=discount, out=out)
        d, out = out, d


def survey(p: Tensor, reward: Tensor, pay: Tensor) -> tuple[float, float, int, int]:
    """The result of `kernels.infinite_horizon.survey`."""
    slack, largest, possible, forbidden = 0.0, 0.0, 0, 0
    outcomes, flat = p.numel() // pay.numel(), pay.reshape(-1)
    rows, one = max(1, BLOCK * 8 // outcomes), len(reward) == len(flat)
    for row in range(0, len(flat), rows):
        part = slice(row * outcomes, (row + rows) * outcomes)
        weight = p[part].double().reshape(-1, outcomes)
        r = reward[slice(row, row + rows) if one else part].double().reshape(len(weight), -1)
        if not one:
            torch.sum(weight * r, -1, out=flat[row : row + rows])
        slack = max(slack, float((weight.sum(-1) - 1).abs().max()))
        finite = r > -torch.inf
        largest = max(largest, float(torch.where(finite, r, torch.zeros_like(r)).abs().max()))
        possible, forbidden = (
            possible + int((weight > 0).sum()),
            forbidden + int((~finite).sum()) * (outcomes if one else 1),
        )
    return slack, largest, possible, forbidden
