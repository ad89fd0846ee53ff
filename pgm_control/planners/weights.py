r"""The score of a plan by the dial, the weights of plans, and the temperature of a given effective sample size.

M draws of the noise give a plan the returns $R_1 … R_M$. Its score is the certainty equivalent of their average,

$$\hat L_\beta = \frac\tau\beta \log \frac1M \sum_m e^{\beta R_m/\tau}, \qquad \hat L_0 = \frac1M \sum_m R_m, \qquad
    w \propto e^{\hat L_\beta/\tau}\, \rho/q,$$

with ρ the action prior and q the proposal. Plans have noises of their own, so that over many plans a weight is
$E\, e^{\hat L_\beta/\tau}$. At β = 0 this is $e^{L_{1/M}[R]/\tau}$ exactly: **the mean of M draws is the optimism
1/M**, one draw is free, and the bias of the clamped planner is of order 1/M. For any β, M = 1 is free, and the score is
too high by

$$\frac{\tau (1 - \beta)}{2 \beta^2 M} \operatorname{Var}\bigl(e^{\beta R/\tau}\bigr) \big/
    \bigl(E\, e^{\beta R/\tau}\bigr)^2 + O(M^{-2}).$$

Where βR/τ varies little this is the optimism $\beta + (1 - \beta)/M$; where it varies much, only roughly.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.operators import certainty_equivalent, is_mean
from ..chance.risk import Risk, beta_of
from ..errors import InvalidArgument
from ..inference.sampling.resampling import effective_sample_size
from ..runtime.arguments import fraction

_LOWEST, _HIGHEST = -16, 8  # log τ, relative to the range of the returns, between which it is looked for
_BELOW = 4  # by how much it is looked for below the distance to the last effective plan
_HALVINGS = 40  # steps of bisection


@final
@dataclass(frozen=True)
class ESS:
    """An effective sample size to solve the temperature for, as a fraction of the plans.

    A planner that takes `temperature=ESS(0.3)` finds for each decision the τ at which 30 % of its plans are effective,
    and reports it, as β has no meaning without it.

    Attributes:
        fraction: above 0 and at most 1.
    """

    fraction: float

    def __post_init__(self) -> None:
        """Check the fraction.

        Raises:
            InvalidArgument: unless it is above 0 and at most 1.
        """
        object.__setattr__(self, "fraction", fraction("fraction", self.fraction))


class Scores(NamedTuple):
    """What the draws of many plans show.

    Attributes:
        returns: by episode, plan and noise, in reward units.
        log_prior: log ρ of the actions, in nats; by noise, or with one entry there if it does not depend on the state.
    """

    returns: Float[Tensor, "episode plan noise"]
    log_prior: Float[Tensor, "episode plan noise_or_1"]


def score(
    found: Scores, temperature: Float[Tensor, " episode"], optimism: float | Risk
) -> Float[Tensor, "episode plan"]:
    """$L_β$ of the returns over the noises, with τ log ρ, in reward units."""
    tau, prior = temperature[:, None], found.log_prior
    x = _averaged(found, temperature)
    level = x[..., 0] if x.shape[-1] == 1 else _level(x, tau, optimism)
    return level if prior.shape[-1] > 1 else level + tau * prior[..., 0]


def _level(
    x: Float[Tensor, "episode plan noise"], tau: Float[Tensor, "episode 1"], optimism: float | Risk
) -> Float[Tensor, "episode plan"]:
    """$L_β$ over the noises, in reward units."""
    beta = beta_of(optimism, tau)
    if not isinstance(beta, Tensor) and float(beta) == 0:
        return x.mean(-1)
    uniform = x.new_full((x.shape[-1],), -math.log(x.shape[-1]))
    beta = beta.expand(x.shape[:-1]) if isinstance(beta, Tensor) else float(beta)
    return certainty_equivalent(x, uniform, tau.expand(x.shape[:-1]), beta)


def largest_noise(
    found: Scores, temperature: Float[Tensor, " episode"], optimism: float | Risk, weight: Float[Tensor, "episode plan"]
) -> Float[Tensor, " episode"]:
    """The share of the largest draw in the average over the noises of a plan, averaged over plans by their weight."""
    noises, tau = found.returns.shape[-1], temperature[:, None, None]
    if noises == 1:
        return temperature.new_ones(temperature.shape)
    theta = beta_of(optimism, tau) / tau
    if bool(torch.as_tensor(is_mean(theta, 1.0, found.returns.dtype)).all()):
        return found.returns.new_full((len(found.returns),), 1.0 / noises)
    return (weight * shares(_averaged(found, temperature), theta).amax(-1)).sum(-1)


def shares(x: Float[Tensor, "*batch noise"], theta: float | Tensor) -> Float[Tensor, "*batch noise"]:
    """The shares ∝ exp(θx) of draws in their average; equal where these are no numbers, since all x are −inf or θ < 0.

    There the average is −inf, and its plan has no weight.
    """
    tilted = torch.where(torch.as_tensor(theta) == 0, 0.0, theta * x)
    lost = (tilted == torch.inf).any(-1, keepdim=True) | torch.isneginf(tilted).all(-1, keepdim=True)
    return torch.softmax(torch.where(lost, 0.0, tilted), -1)


def _averaged(found: Scores, temperature: Float[Tensor, " episode"]) -> Float[Tensor, "episode plan noise"]:
    """What is averaged over the noises, in reward units: the returns, with τ log ρ where that depends on the state."""
    if found.log_prior.shape[-1] == 1:
        return found.returns
    return found.returns + temperature[:, None, None] * found.log_prior


def require_weight(total: Float[Tensor, " episode"], t: int, plans: int) -> None:
    """Require that some plan of each episode has a positive weight, by the largest or the summed log-weight.

    Raises:
        InvalidArgument: if all have none.
    """
    if not bool(total.isfinite().all()):
        raise InvalidArgument(
            f"`state` must allow a plan of positive weight, but at step {t} all {plans} have none: each is forbidden, "
            "or its return is beyond the numbers of float64. Raise `num_plans`."
        )


def temperature_for(
    found: Scores, log_proposal: Float[Tensor, "episode plan"], optimism: float | Risk, target: float
) -> Float[Tensor, " episode"]:
    """The temperature at which the effective sample size of the plans is this fraction of their number.

    It is the lowest one of a grid of powers of e at which the target is reached, refined by bisection. The grid begins
    far below the range of the returns, and further below if a few plans make that range wide. Where the target is
    reached nowhere, since the proposal is far from the prior, it is that of the grid with the largest effective
    sample size, and the planner reports the size that was reached.

    Args:
        found: returns and log-priors.
        log_proposal: log q of the plans, in nats.
        optimism: β, whose τ is the one that is looked for, or a `Risk`.
        target: the fraction.
    """
    count = found.returns.shape[1]
    returns = found.returns.mean(-1)
    known = returns.isfinite()
    spread = torch.where(known, returns, -torch.inf).amax(-1) - torch.where(known, returns, torch.inf).amin(-1)
    scale = torch.where(spread > 0, spread, 1.0).log()
    bottom = _bottom(found.returns, spread, scale, target)

    def size(log_tau: Tensor) -> Tensor:
        tau = log_tau.exp()
        return effective_sample_size(score(found, tau, optimism) / tau[:, None] - log_proposal)

    grid = torch.arange(float(bottom.amin()), _HIGHEST, dtype=scale.dtype)
    sizes = torch.stack([torch.where(offset < bottom, -1.0, size(scale + offset)) for offset in grid])
    enough = sizes >= target * count
    lowest = torch.where(enough.any(0), enough.to(torch.int8).argmax(0), sizes.argmax(0))
    high = scale + grid[lowest]
    low = torch.where(enough.any(0) & (grid[lowest] > bottom), high - 1.0, high)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        reached = size(middle) >= target * count
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return torch.where(enough.any(0), high, scale + grid[lowest]).exp()


def _bottom(
    returns: Float[Tensor, "episode plan noise"],
    spread: Float[Tensor, " episode"],
    scale: Float[Tensor, " episode"],
    target: float,
) -> Float[Tensor, " episode"]:
    """The lowest log τ of the grid, relative to the range of the returns.

    The temperature is of the order of the distance from the best plan to the last one that is to be effective. A plan
    with a return of −1e12 widens the range, but not that distance.
    """
    rank = min(math.ceil(target * returns.shape[1]), returns.shape[1] - 1)
    bottom = torch.full_like(scale, _LOWEST)
    for each in (returns.mean(-1), returns.amax(-1), returns.amin(-1)):
        ordered = each.sort(-1, descending=True).values
        apart = torch.minimum(ordered[:, 0] - ordered[:, rank], spread)
        lower = (torch.where(apart > 0, apart.log() - scale, 0.0) - _BELOW).floor()
        bottom = torch.where(apart > 0, torch.minimum(bottom, lower), bottom)
    return bottom
