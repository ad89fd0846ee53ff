r"""The certainty equivalent of a random value, and the tilt that attains it: the one operator behind all solvers.

Dynamics, actions, start and survival are all random, with reference probabilities w. Changing them costs 1/β per nat:

    L_β[x] = (τ/β) log Σ w exp(β x/τ)   is attained by   w exp(β x/τ) / Σ w exp(β x/τ).

With β = 1 and the action prior as $w$ it is the soft maximum; with β = 0 the mean; with β > 0 and τ → 0 the hard
maximum.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor


def certainty_equivalent(
    x: Float[Tensor, "*batch outcome"],
    log_weight: Float[Tensor, "*#batch outcome"],
    temperature: float | Tensor,
    optimism: float | Tensor,
) -> Float[Tensor, "*batch"]:
    r"""The certainty equivalent $L_\beta[x]$ of a random value x, taken over the last axis.

    $$L_\beta[x] = \frac{\tau}{\beta} \log \sum_k w_k \exp(\beta x_k / \tau), \qquad L_0[x] = \sum_k w_k x_k$$

    Args:
        x: values, in reward units; −inf forbids an outcome. Where the weight is zero the value is ignored.
        log_weight: $\log w$, in nats, normalised over the last axis.
        temperature: τ ≥ 0, in reward units per nat. At 0 the result is the limit: the largest (β > 0) or smallest
            (β < 0) possible x. A tensor has one τ for each row, and must be positive.
        optimism: β. At 0 the result is the mean. It is exact near 0 too; a row with one possible outcome returns its
            value to the last bit, for any β. A tensor has one β for each row.

    Returns:
        The certainty equivalent, in reward units.

    References:
        [howard1972], [levine2018]
    """
    possible = log_weight > -torch.inf
    x = torch.where(possible, x, 0.0)
    weight = log_weight.exp()
    mean = (weight * x).sum(-1)
    if isinstance(temperature, Tensor) or isinstance(optimism, Tensor):
        level = is_mean(optimism, temperature, x.dtype)
        scale = torch.where(level, 1.0, optimism / temperature)
        return torch.where(level, mean, _soft(x, log_weight, possible, weight, mean, scale, scale[..., None]))
    if is_mean(optimism, temperature, x.dtype):
        return mean
    if temperature == 0:
        worst = torch.full_like(x, -torch.inf if optimism > 0 else torch.inf)
        candidates = torch.where(possible, x, worst)
        return candidates.amax(-1) if optimism > 0 else candidates.amin(-1)
    scale = optimism / temperature
    return _soft(x, log_weight, possible, weight, mean, scale, scale)


def _soft(
    x: Tensor,
    log_weight: Tensor,
    possible: Tensor,
    weight: Tensor,
    mean: Tensor,
    scale: float | Tensor,
    outcome_scale: float | Tensor,
) -> Tensor:
    """L_β for β/τ other than 0, given for each row as `scale` and with an outcome axis as `outcome_scale`."""
    centre = torch.where(mean.isfinite(), mean, 0.0)
    y = torch.where(possible, outcome_scale * (x - centre[..., None]), 0.0)
    # Near β = 0 the sum is 1 + O(β): log1p keeps the digits that log would lose before they are multiplied by τ/β.
    small = y.abs().amax(-1) < 0.5
    near = torch.log1p((weight * torch.expm1(torch.where(small[..., None], y, 0.0))).sum(-1))
    # Elsewhere x is not centred on the mean: an outcome of −1e18 would cost all digits of an answer that ignores it.
    far = torch.logsumexp(log_weight + outcome_scale * x, -1) / scale
    # One step of the exact identity L[x] = c + L[x − c] restores the digits that a far outcome took at small β.
    rest = torch.where(possible, outcome_scale * (x - torch.where(far.isfinite(), far, 0.0)[..., None]), 0.0)
    total = (weight * torch.expm1(rest)).sum(-1)
    helps = (total.abs() < 0.5) & ((scale * far).abs() < 1)
    better = far + torch.log1p(torch.where(helps, total, 0.0)) / scale
    return torch.where(small, centre + near / scale, torch.where(far.isfinite(), better, far))


@overload
def is_mean(optimism: float, temperature: float, dtype: torch.dtype) -> bool: ...
@overload
def is_mean(optimism: Any, temperature: Any, dtype: torch.dtype) -> Any: ...
def is_mean(optimism: Any, temperature: Any, dtype: torch.dtype) -> Any:
    """Whether β is 0, or so near 0 that β x/τ underflows: there the certainty equivalent is the mean.

    The arguments are numbers, tensors or arrays.
    """
    kind = torch.finfo(dtype)
    return abs(optimism) <= temperature * (kind.tiny / kind.eps)


def tilt(
    x: Float[Tensor, "*batch outcome"],
    log_weight: Float[Tensor, "*#batch outcome"],
    temperature: float | Tensor,
    optimism: float | Tensor,
) -> Float[Tensor, "*batch outcome"]:
    r"""The log-probabilities that attain the certainty equivalent, $\log w_k + \beta (x_k - L_\beta[x]) / \tau$.

    At τ = 0 the outcomes with the largest (β > 0) or smallest (β < 0) value share the probability in proportion to
    their weight. A row whose outcomes are all forbidden keeps its weights, since no outcome is preferred there.

    Arguments and units are those of `certainty_equivalent`.
    """
    by_row = isinstance(temperature, Tensor) or isinstance(optimism, Tensor)
    if not by_row and is_mean(optimism, temperature, x.dtype) and (optimism == 0 or temperature > 0):
        return log_weight.expand_as(x)
    possible = log_weight > -torch.inf
    if not by_row and temperature == 0:
        best = certainty_equivalent(x, log_weight, temperature, optimism)
        return torch.log_softmax(torch.where(possible & (x == best[..., None]), log_weight, -torch.inf), -1)
    scale = optimism / temperature
    if isinstance(scale, Tensor):
        level = is_mean(optimism, temperature, x.dtype)[..., None]  # where the product would be 0 · (−inf)
        tilted = scale[..., None] * torch.where(level & ~x.isfinite(), 0.0, x)
    else:
        tilted = scale * x
    y = torch.where(possible, tilted, -torch.inf)
    highest = y.amax(-1, keepdim=True)
    # +inf: an adversary takes the forbidden outcomes; −inf: all are forbidden. Either way these outcomes are equal.
    gain = torch.where(highest.isfinite(), y - highest, torch.where(y == highest, 0.0, -torch.inf))
    return torch.log_softmax(torch.where(possible, log_weight + gain, -torch.inf), -1)
