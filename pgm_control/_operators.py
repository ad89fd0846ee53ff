r"""The one operator of the subject: the certainty equivalent of a random value, and the tilt that attains it.

Dice, actions, start and survival are all chance with a reference probability w and a price 1/β for changing it:

    L_β[x] = (τ/β) log Σ w exp(β x/τ)   is attained by   w exp(β x/τ) / Σ w exp(β x/τ).

With β = 1 and the action prior as $w$ it is the soft maximum; with β = 0 it is the mean; with τ → 0 the hard maximum.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def certainty_equivalent(
    x: Float[Tensor, "*batch face"],
    log_weight: Float[Tensor, "*batch face"],
    temperature: float,
    optimism: float,
) -> Float[Tensor, "*batch"]:
    r"""Sum chance out of a value.

    $$L_\beta[x] = \frac{\tau}{\beta} \log \sum_k w_k \exp(\beta x_k / \tau), \qquad L_0[x] = \sum_k w_k x_k$$

    Args:
        x: values, in reward units; −inf is forbidden. Where the weight is zero the value is ignored.
        log_weight: $\log w$, in nats, normalised over the last axis.
        temperature: τ ≥ 0, in reward units per nat. At 0 the limit: the largest (β > 0) or smallest (β < 0) possible x.
        optimism: β. At 0 the mean. Exact near 0 too; a row with one possible face has its value to the last bit, for
            any β.

    Returns:
        The certainty equivalent, in reward units.

    References:
        [howard1972], [levine2018]
    """
    possible = log_weight > -torch.inf
    x = torch.where(possible, x, torch.zeros_like(x))
    weight = log_weight.exp()
    mean = (weight * x).sum(-1)
    if is_mean(optimism, temperature, x.dtype):
        return mean
    if temperature == 0:
        worst = torch.full_like(x, -torch.inf if optimism > 0 else torch.inf)
        candidates = torch.where(possible, x, worst)
        return candidates.amax(-1) if optimism > 0 else candidates.amin(-1)
    scale = optimism / temperature
    centre = torch.where(mean.isfinite(), mean, torch.zeros_like(mean))
    y = torch.where(possible, scale * (x - centre[..., None]), torch.zeros_like(x))
    # Near β = 0 the sum is 1 + O(β): log1p keeps the digits that log would lose before they are multiplied by τ/β.
    small = y.abs().amax(-1) < 0.5
    near = torch.log1p((weight * torch.expm1(torch.where(small[..., None], y, torch.zeros_like(y)))).sum(-1))
    # Elsewhere the mean must stay out of it: a face of −1e18 would take every digit of an answer that ignores it.
    far = torch.logsumexp(log_weight + scale * x, -1) / scale
    # One step of the exact identity L[x] = c + L[x − c] gives back the digits that a far face took at small β.
    rest = torch.where(possible, scale * (x - torch.where(far.isfinite(), far, 0.0)[..., None]), 0.0)
    total = (weight * torch.expm1(rest)).sum(-1)
    helps = (total.abs() < 0.5) & ((scale * far).abs() < 1)
    better = far + torch.log1p(torch.where(helps, total, 0.0)) / scale
    return torch.where(small, centre + near / scale, torch.where(far.isfinite(), better, far))


def is_mean(optimism: float, temperature: float, dtype: torch.dtype) -> bool:
    """True where β is 0, or so near that β x/τ has no digits left: there the certainty equivalent is the mean."""
    kind = torch.finfo(dtype)
    return abs(optimism) <= temperature * kind.tiny / kind.eps


def tilt(
    x: Float[Tensor, "*batch face"],
    log_weight: Float[Tensor, "*batch face"],
    temperature: float,
    optimism: float,
) -> Float[Tensor, "*batch face"]:
    r"""The log-probabilities that attain the certainty equivalent, $\log w_k + \beta (x_k - L_\beta[x]) / \tau$.

    At τ = 0 the best (β > 0) faces share in proportion to their weight. A row of which every face is forbidden keeps
    its weights, since nothing can be preferred there.

    Args and units as in `certainty_equivalent`.
    """
    if is_mean(optimism, temperature, x.dtype) and (optimism == 0 or temperature > 0):
        return log_weight
    possible = log_weight > -torch.inf
    none = torch.full_like(log_weight, -torch.inf)
    if temperature == 0:
        best = certainty_equivalent(x, log_weight, temperature, optimism)
        return torch.log_softmax(torch.where(possible & (x == best[..., None]), log_weight, none), -1)
    y = torch.where(possible, (optimism / temperature) * x, none)
    highest = y.amax(-1, keepdim=True)
    # +inf: an adversary takes the forbidden faces; −inf: all faces are forbidden. Either way these faces are alike.
    gain = torch.where(highest.isfinite(), y - highest, torch.where(y == highest, torch.zeros_like(y), none))
    return torch.log_softmax(torch.where(possible, log_weight + gain, none), -1)
