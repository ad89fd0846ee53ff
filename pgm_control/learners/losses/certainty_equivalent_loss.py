"""Optimism for learners: a loss of sampled backups whose minimiser is their certainty equivalent.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [varian1975] H. R. Varian, A Bayesian approach to real estate assessment. Studies in Bayesian Econometrics and
        Statistics in Honor of Leonard J. Savage, pages 195–208, 1975.
"""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.risk import Risk, unit
from ...errors import InvalidArgument
from ...runtime.arguments import finite

_ONE = "Samples of an environment have one β; only the parts of a tabular model can each have their own, by infer."
_SERIES = 0.1  # below it exp(u) − u − 1 loses digits


@final
class CertaintyEquivalentLoss(torch.nn.Module):
    r"""A loss of Q on samples $y = r + \gamma V(s')$ whose expectation is minimal at $Q = L_\beta[y]$.

    $$\ell(Q) = \frac{\tau^2}{\beta^2} e^{-m} (e^u - u - 1), \quad u = \beta (y - Q) / \tau, \qquad
    \frac{d \ell}{d Q} = -\frac{\tau}{\beta} e^{-m} (e^u - 1), \qquad
    L_\beta[y] = \frac{\tau}{\beta} \log \mathbb{E}\, e^{\beta y / \tau}$$

    At β = 0 it is exactly $(y - Q)^2 / 2$, and near β = 0 it is close to that. It depends on θ = β/τ alone: with a
    `Risk` the temperature may be learned, or 0.

    The expected gradient vanishes where $\mathbb{E}\, e^u = 1$, which is $Q = L_\beta[y]$, if $m$ does not depend on
    the samples that it multiplies. A maximum over the same batch would depend on them: it would reduce the weight of
    exactly the batches with large $u$, and Q would converge to the mean or even beyond. So m is a running maximum of
    $u$ over the previous batches, at least 0. A batch with a larger maximum raises m for the next batch; otherwise m
    moves by a fraction `rate` towards the maximum of the batch. Only the first batch sets m for itself.

    Where $u - m$ exceeds `cap`, the exponential is continued linearly, so that loss and gradient stay finite. This
    biases Q towards the mean, by $L_\beta[y] - Q = \frac{\tau}{\beta} \log(1 + \varepsilon)$ with $\varepsilon =
    \mathbb{E}\, (e^u - e^{m + \text{cap}})_+$ at Q. At $Q = L_\beta[y]$ an outcome of probability p has $e^u \leq 1 /
    p$, so outcomes of probability above $e^{-\text{cap}}$ are never clipped there, for any m. `clipped` counts the
    clipped samples.

    Attributes:
        temperature: τ, in reward units per nat.
        optimism: β, or a `Risk`.
        cap: the largest $u - m$ of the exponential, in nats.
        rate: the fraction of the way that m falls with each batch.
        normaliser: m, in nats. It and the next two are buffers, so that a checkpoint contains them.
        clipped: the number of samples beyond the cap so far.
        seen: the number of samples so far.

    References:
        [howard1972], [varian1975]
    """

    normaliser: Tensor
    clipped: Tensor
    seen: Tensor

    def __init__(self, temperature: float, optimism: float | Risk = 0.0, cap: float = 5.0, rate: float = 0.01) -> None:
        """Define the loss; its running maximum m and its counts start at zero.

        Raises:
            InvalidArgument: if a number is out of range.
        """
        super().__init__()
        number = require_one(optimism)
        defined = number == 0 or isinstance(optimism, Risk)
        for name, value, fits, what in (
            ("temperature", temperature, temperature > 0 or (temperature == 0 and defined), "positive"),
            ("cap", cap, cap > 0, "positive"),
            ("rate", rate, 0 <= rate <= 1, "from 0 to 1"),
        ):
            if not (fits and math.isfinite(value)):
                hard = " The hard limit τ = 0 has a loss at optimism 0 or with Risk(theta), θ in 1/reward, only."
                extra = hard if name == "temperature" else ""
                raise InvalidArgument(f"`{name}` must be {what} and finite, but is {value!r}.{extra}")
        self.temperature, self.cap, self.rate = temperature, cap, rate
        self.optimism = optimism if isinstance(optimism, Risk) else number
        self._theta = number if isinstance(optimism, Risk) else number / unit(temperature)
        self.register_buffer("normaliser", torch.zeros(()))
        self.register_buffer("clipped", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, q: Float[Tensor, "*copies batch"], y: Float[Tensor, "*#copies batch"]) -> Float[Tensor, ""]:
        """The mean of the loss over the batch, summed over copies of the critic; the call also updates m.

        Args:
            q: the values of the critics, in reward units; gradients flow to them.
            y: the sampled backups, in reward units; no gradients flow to them.
        """
        scale = self._theta
        if scale == 0:
            return torch.nn.functional.mse_loss(q, y.detach().expand_as(q), reduction="sum") / (2 * q.shape[-1])
        with torch.no_grad():
            u = scale * (y - q)
            peak = u.amax().clamp(min=0)
            m = torch.where(self.seen == 0, peak, self.normaliser).to(u.dtype)
            self.normaliser.copy_(torch.maximum(peak, m + self.rate * (peak - m)))
            self.clipped += (u - m > self.cap).sum()
            self.seen += u.numel()
        return _Exponential.apply(q, u, m, self.cap, scale)

    @property
    def clipped_fraction(self) -> float:
        """The fraction of all samples so far that were beyond the cap."""
        return float(self.clipped) / max(int(self.seen), 1)


def require_one(optimism: Any) -> float:
    """Require a single number β, or a `Risk` of a single θ; the number.

    Raises:
        InvalidArgument: otherwise.
    """
    return finite("optimism", optimism.theta if isinstance(optimism, Risk) else optimism, remedy=_ONE)


class _Exponential(torch.autograd.Function):
    r"""The loss with an explicit gradient: with autograd, $e^u - 1$ would lose all digits for a small β."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, u: Tensor, m: Tensor, cap: float, scale: float) -> Tensor:
        least = (-m).exp()
        x = (u - m).clamp(max=cap)
        slope = torch.where(u < 1, least * u.clamp(max=1).expm1(), x.exp() - least)
        small = u.clamp(-_SERIES, _SERIES)
        series = 0.5 * small.square()
        series = series * (1 + small / 3 * (1 + small / 4 * (1 + small / 5 * (1 + small / 6 * (1 + small / 7)))))
        large = x.exp() * (1 + u - m - x) - least * (1 + u)
        value = torch.where(u.abs() < _SERIES, least * series, large)
        ctx.save_for_backward(slope)
        ctx.scale = -1 / (scale * u.shape[-1])
        return value.mean(-1).sum() / scale**2

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        (slope,) = ctx.saved_tensors
        return outer[0] * ctx.scale * slope, None, None, None, None
