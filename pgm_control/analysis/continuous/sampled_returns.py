"""The distribution of the return of a policy over vectors, from independent episodes.

Sources:
    [rockafellar2002] R. T. Rockafellar and S. Uryasev, Conditional value-at-risk for general loss distributions.
        Journal of Banking & Finance 26(7):1443–1471, 2002. doi:10.1016/S0378-4266(02)00271-6
"""

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...inference.exact.grid.posterior import GridPosterior
from ...inference.sampling.estimate import Estimate, require_draws
from ...inference.sampling.of_programs import program_draws
from ...runtime.arguments import ordered
from ..scores.returns_table import SHARES, ReturnsTable
from ..scores.share import require_share


@final
@dataclass(frozen=True, eq=False, repr=False)
class SampledReturns(ReturnsTable):
    r"""The returns of independent episodes of a policy in the true world, from `return_distribution`.

    Its numbers are estimates with standard errors. That of a CVaR is that of the mean of $q - (q - G)^+/\alpha$, to
    which the error of the quantile q does not count to first order; that of a quantile is half the distance of the
    order statistics one binomial deviation to both sides.

    Attributes:
        values: the returns in ascending order, in reward units.
    """

    values: Float[Tensor, " episode"]

    @property
    def mean(self) -> Estimate:
        """The mean, in reward units."""
        return Estimate.of(self.values)

    @property
    def variance(self) -> float:
        """The variance of the draws, in squared reward units."""
        return float(self.values.var())

    def quantile(self, level: float) -> Estimate:
        """The smallest return of which a share `level` of the draws is not larger, in reward units.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.
        """
        level, n = require_share("level", level), len(self.values)
        spread = math.sqrt(n * level * (1.0 - level))
        k = min(max(math.ceil(level * n - 1e-9), 1), n)
        low, high = (min(max(round(k + side * max(spread, 1.0)), 1), n) for side in (-1, 1))
        found, below, above = (float(self.values[i - 1]) for i in (k, low, high))
        return Estimate(found, 0.0 if above == below else 0.5 * (above - below), n)

    def cvar(self, level: float) -> Estimate:
        """The conditional value at risk, the mean of the worst `level` share of returns, in reward units.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1, or if fewer than two episodes are in the share.

        References:
            [rockafellar2002]
        """
        level, n = require_share("level", level), len(self.values)
        if level * n < 2:
            raise InvalidArgument(
                f"`level` must be at least 2 of the {n} episodes, but {level:g} of them is {level * n:g}. Draw more: "
                "num_samples."
            )
        q = float(self.values[min(math.ceil(level * n - 1e-9), n) - 1])
        if not math.isfinite(q):
            return Estimate(-math.inf, 0.0, n)
        return Estimate.of(q - (q - self.values).clamp(min=0.0) / level)

    def at_least(self, target: float) -> Estimate:
        """The share of the draws with a return of at least the target.

        Raises:
            InvalidArgument: if `target` is not a number; it may be infinite.
        """
        return Estimate.of((self.values >= ordered("target", target, "return")).double())

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a list of Python numbers."""
        return {"values": self.values.tolist()}

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("mean", str(self.mean)), *((f"{100 * q:g} % quantile", str(self.quantile(q))) for q in SHARES)]
        return [*rows, ("CVaR 10 %", str(self.cvar(0.1)))] if len(self.values) >= 20 else rows

    def __repr__(self) -> str:
        """The number of episodes and the mean."""
        return f"SampledReturns({len(self.values)} episodes, mean {self.mean})"


def sampled_returns(model: Any, guide: Any, num_samples: int, seed: int | torch.Generator | None) -> SampledReturns:
    """The returns of episodes of a guide's policy, of which the model draws everything else.

    Args:
        model: any Pyro program with `roles`.
        guide: a guide for it, as in `estimate`.
        num_samples: the number of episodes, at least 2.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument, InvalidGuide: as `log_weights`.
    """
    number = require_draws("num_samples", num_samples)
    if isinstance(guide, GridPosterior) and guide.model is model:
        found = model.problem.returns(guide.play(number, seed).states)
    else:
        found = program_draws(model, guide, number, seed).true_return
    return SampledReturns(found.detach().double().cpu().sort().values)
