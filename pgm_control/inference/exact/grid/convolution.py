r"""Convolutions with a Gaussian on a mesh, of functions and of their exponentials.

A matrix product with $\exp(V - \max V)$ underflows in rows whose neighbourhood is far below the maximum. The rows are
therefore taken in blocks: with c the centre of a block and $\delta = x - c$,

$$-\frac{(x - y)^2}{2\sigma^2} = -\frac{(c - y)^2}{2\sigma^2} + \frac{\delta (y - c)}{\sigma^2}
    - \frac{\delta^2}{2\sigma^2}$$

so that one maximum for each line and block, and a matrix of bounded exponents $\delta (y - c)/\sigma^2$, give every row
with full relative precision.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_LARGEST = 250.0  # of δ (y − c)/σ²: twice that is below 700, where exp underflows


def log_convolved(
    values: Float[Tensor, "*lines mesh"], spacing: float, variance: float
) -> Float[Tensor, "*lines mesh"]:
    r"""$\log \sum_j h\, N(x_i; x_j, \sigma^2) \exp(V_j)$ along the last axis, each row with full relative precision.

    Args:
        values: V, in nats; −inf is allowed.
        spacing: h, the distance of the points.
        variance: σ², in squared units of h.
    """
    count = values.shape[-1]
    x = spacing * torch.arange(count, dtype=values.dtype, device=values.device)
    reach = _LARGEST * variance / max(spacing * count, 1e-300)
    block = max(2 * int(reach / spacing), 1)
    constant = math.log(spacing) - 0.5 * math.log(2 * math.pi * variance)
    found = torch.empty_like(values)
    for start in range(0, count, block):
        rows = x[start : start + block]
        centre = (rows[0] + rows[-1]) / 2
        shifted = values - (x - centre) ** 2 / (2 * variance)
        largest = shifted.amax(-1, keepdim=True)
        largest = torch.where(largest > -torch.inf, largest, 0.0)  # lines without any mass stay −inf
        delta = rows - centre
        kernel = torch.exp(torch.outer(x - centre, delta) / variance)
        total = (torch.exp(shifted - largest) @ kernel).log()
        found[..., start : start + block] = largest + total - delta**2 / (2 * variance) + constant
    return found


def convolved(values: Float[Tensor, "*lines mesh"], spacing: float, variance: float) -> Float[Tensor, "*lines mesh"]:
    r"""$\sum_j N(x_i; x_j, \sigma^2) V_j / \sum_j N(x_i; x_j, \sigma^2)$ along the last axis, the mean."""
    count = values.shape[-1]
    x = spacing * torch.arange(count, dtype=values.dtype, device=values.device)
    kernel = torch.softmax(-((x[:, None] - x) ** 2) / (2 * variance), -1).T
    forbidden = torch.isneginf(values)
    if not bool(forbidden.any()):
        return values @ kernel
    found = torch.where(forbidden, 0.0, values) @ kernel
    return torch.where(forbidden.to(values.dtype) @ kernel > 0, -torch.inf, found)


def log_inside(count: int, spacing: float, variance: float, like: Tensor) -> Float[Tensor, " mesh"]:
    """The log-mass on the mesh of the kernel around each of its points, by the same rule of quadrature."""
    x = spacing * torch.arange(count, dtype=like.dtype, device=like.device)
    constant = math.log(spacing) - 0.5 * math.log(2 * math.pi * variance)
    return torch.logsumexp(-((x[:, None] - x) ** 2) / (2 * variance), -1) + constant
