"""The exact distribution of a return that has finitely many values.

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

from ...runtime.arguments import ordered
from ...text.wording import amount
from .returns_table import SHARES, ReturnsTable
from .share import require_share


@final
@dataclass(frozen=True, eq=False, repr=False)
class ReturnDistribution(ReturnsTable):
    r"""The distribution of $G = \sum_t r_t$ in the true world, with the final reward; atoms in ascending order.

    Attributes:
        values: the possible returns, in reward units; the first may be −inf.
        probability: the probability of each return.
    """

    values: Float[Tensor, " atom"]
    probability: Float[Tensor, " atom"]

    @property
    def mean(self) -> float:
        """The mean, E G, in reward units."""
        return float((self.probability * self.values).sum())

    @property
    def variance(self) -> float:
        """The variance, E (G − E G)², in squared reward units; nan if a return of −inf is possible."""
        return float((self.probability * (self.values - self.mean) ** 2).sum())

    def quantile(self, level: float) -> float:
        """The smallest return g with P(G ≤ g) ≥ level, in reward units.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.
        """
        level = require_share("level", level)
        below = self.probability.cumsum(0)
        return float(self.values[int((below < level - 1e-12).sum().clamp(max=len(below) - 1))])

    def cvar(self, level: float) -> float:
        r"""The conditional value at risk, the mean of the worst `level` share of returns, in reward units.

        $$\mathrm{CVaR}_\alpha = \tfrac1\alpha \int_0^\alpha F^{-1}(u)\, du$$

        An atom that the level splits counts with the part below the level. At level 1 it is the mean.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.

        References:
            [rockafellar2002]
        """
        level = require_share("level", level)
        above = self.probability.cumsum(0) - self.probability
        share = torch.minimum(self.probability, (level - above).clamp(min=0.0))
        counted = torch.where(share > 0, self.values, 0.0)
        return float((share * counted).sum() / share.sum())

    def at_least(self, target: float) -> float:
        """The probability P(G ≥ target), where a return that misses the target only by rounding counts.

        Raises:
            InvalidArgument: if `target` is not a number; it may be infinite.
        """
        target = ordered("target", target, "return")
        finite = self.values[self.values.isfinite()].abs()
        slack = 1e-9 * max(abs(target), float(finite.max()) if len(finite) else 0.0) if math.isfinite(target) else 0.0
        return float(self.probability[self.values >= target - slack].sum())

    def to_dict(self) -> dict[str, Any]:
        """Return values and probabilities as lists of Python numbers."""
        return {"values": self.values.tolist(), "probability": self.probability.tolist()}

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("mean", amount(self.mean)), ("standard deviation", amount(math.sqrt(self.variance)))]
        rows += [(f"{100 * share:g} % quantile", amount(self.quantile(share))) for share in SHARES]
        return [*rows, ("CVaR 10 %", amount(self.cvar(0.1)))]

    def __repr__(self) -> str:
        """The number of atoms, the mean and the CVaR."""
        return f"ReturnDistribution({len(self.values)} atoms, mean {self.mean:.6g}, 10 % CVaR {self.cvar(0.1):.6g})"
