"""The result of `diagnose`, in numbers and in sentences."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from ...inference.sampling.estimate import Estimate
from ...text.html import bullets, heading
from ...text.tables import grid, html_grid
from ...text.terminal import wrapped
from ...text.wording import amount, listed, plus_minus
from .gradients import GradientNoise
from .importance import largest_reliable_shape
from .strangers import Strangers

_NONE = 0.01  # nats that count as no gap
_FEW = 0.01  # the share of steps in states that the guide does not expect, below which it is not mentioned
_SURE = 2.0  # standard errors of an estimated gap
_COVERED = 0.9  # share of p(O) below which the mean weight is mentioned
_SMALL = 100  # effective draws below which they are called few
_FLAT = 1e-2  # norm of an exact gradient, in nats, that counts as none


@final
@dataclass(frozen=True, repr=False)
class Diagnosis:
    r"""Whether a guide is bad or badly fitted.

    $$\log p(O) - \text{ELBO} = \underbrace{\log p(O) - \text{ELBO}(q^*)}_{\text{family}}
        + \underbrace{\text{ELBO}(q^*) - \text{ELBO}}_{\text{optimisation}}$$

    where $q^*$ is the best guide of the family.

    Attributes:
        guide: the name of its class.
        elbo: the ELBO, in nats; with a standard error of 0 if it is exact.
        log_evidence: log p(O), in nats; None for a program without tables.
        gap: log p(O) − ELBO, in nats; None without log p(O).
        family_gap: the gap of the best guide of the family, in nats; None if that is not known.
        optimisation_gap: what is left to the best guide of the family, in nats; None if that is not known.
        pareto_shape: k̂ of the log-weights (see `pareto_shape`): −inf if they are constant, nan if it cannot be fitted.
        effective_sample_size: the number of draws from the posterior that the weighted draws are worth.
        num_samples: the number of draws.
        covered: the share of the posterior that the draws have, by their mean weight over p(O), at most 1; the guide
            never draws the rest. None without log p(O).
        gradients: the size and the noise of the gradient under each loss.
        strangers: the states to which the true world leads the policy, and which the guide does not expect; None where
            there are no tables.
    """

    guide: str
    elbo: Estimate
    log_evidence: float | None
    family_gap: float | None
    optimisation_gap: float | None
    pareto_shape: float
    effective_sample_size: float
    num_samples: int
    covered: float | None
    gradients: Mapping[str, GradientNoise]
    strangers: Strangers | None

    @property
    def gap(self) -> float | None:
        """log p(O) − ELBO, in nats."""
        return None if self.log_evidence is None else self.log_evidence - self.elbo.mean

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words, the gap first."""
        found = [*self._about_gap(), self._about_weights(), *self._about_gradients(), *self._about_strangers()]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and the sentences, for JSON or a data frame."""
        gradients = {
            name: {**asdict(each), "signal_to_noise": each.signal_to_noise} for name, each in self.gradients.items()
        }
        return {
            "guide": self.guide,
            "elbo": self.elbo.mean,
            "elbo_standard_error": self.elbo.standard_error,
            "log_evidence": self.log_evidence,
            "gap": self.gap,
            "family_gap": self.family_gap,
            "optimisation_gap": self.optimisation_gap,
            "pareto_shape": self.pareto_shape,
            "effective_sample_size": self.effective_sample_size,
            "num_samples": self.num_samples,
            "covered": self.covered,
            "gradients": gradients,
            "strangers": None if self.strangers is None else self.strangers._asdict(),
            "sentences": list(self.sentences),
        }

    def __str__(self) -> str:
        """The sentences and the tables as text, for a terminal."""
        words = "\n".join(wrapped(each, first="- ") for each in self.sentences)
        tables = [grid(_HEAD, self._rows())]
        if self.gradients:
            tables.append(grid(_GRADIENT_HEAD, self._gradient_rows()))
        return "\n\n".join([f"Diagnosis of {self.guide}", words, *tables])

    def __repr__(self) -> str:
        """The same text."""
        return str(self)

    def _repr_html_(self) -> str:
        """The sentences and the tables as HTML, for a notebook."""
        gradients = html_grid(_GRADIENT_HEAD, self._gradient_rows()) if self.gradients else ""
        words = heading(f"Diagnosis of {self.guide}") + bullets(self.sentences)
        return words + html_grid(_HEAD, self._rows()) + gradients

    def _rows(self) -> list[list[str]]:
        known = {
            "log p(O)": self.log_evidence,
            "gap": self.gap,
            "of the family": self.family_gap,
            "of the optimisation": self.optimisation_gap,
        }
        rows = [["ELBO", self._elbo(), "nats"]]
        rows += [[name, amount(value), "nats"] for name, value in known.items() if value is not None]
        rows.append(["Pareto k̂", _number(self.pareto_shape), ""])
        rows.append(["effective sample size", f"{self.effective_sample_size:.1f} of {self.num_samples}", "draws"])
        if self.strangers is not None:
            rows.append(["steps in states that it does not expect", f"{100 * self.strangers.share:.2f}", "%"])
        return rows

    def _gradient_rows(self) -> list[list[str]]:
        return [
            [name, f"{each.norm:.3g}", f"{each.noise:.3g}", f"{each.signal_to_noise:.3g}"]
            for name, each in self.gradients.items()
        ]

    def _elbo(self) -> str:
        mean, error = self.elbo.mean, self.elbo.standard_error
        return plus_minus(mean, error) if error > 0 else amount(mean)

    def _about_gap(self) -> list[str]:
        gap = self.gap
        if gap is None:
            return [
                f"The ELBO is {self._elbo()} nats. For a program without tables log p(O) is not known, so that only "
                "the weights tell how far the guide is from the posterior."
            ]
        error = _SURE * self.elbo.standard_error
        if not math.isfinite(gap) or not math.isfinite(self.elbo.mean):
            return [
                f"The ELBO is {amount(self.elbo.mean)} nats and log p(O) {amount(self.log_evidence or 0.0)}: the guide "
                "draws what the model forbids, or everything is forbidden."
            ]
        if gap < error + _NONE and error > _NONE * 10:
            return [
                f"The ELBO is {amount(gap)} ± {amount(error)} nats below log p(O): too few draws to tell the guide "
                "from the posterior. Raise `num_samples`."
            ]
        if gap < _NONE + error:
            below = f"its ELBO is {amount(max(gap, 0.0))} nats below log p(O)"
            return [f"The guide is the posterior, as far as can be seen: {below}."]
        if self.family_gap is None or self.optimisation_gap is None:
            return [
                f"The ELBO is {amount(gap)} nats below log p(O). The best guide of the family is not known, so that "
                "this is the gap of family and optimisation together: if longer fits with smaller learning rates do "
                "not close it, the family is too small."
            ]
        found = []
        if self.family_gap >= _NONE:
            found.append(
                f"The guide's family is too small: its best member is {amount(self.family_gap)} nats below log p(O), "
                "and no fit comes nearer. For a family that is restricted on purpose, as by clamped dynamics, this is "
                "the price."
            )
        if self.optimisation_gap >= _NONE:
            found.append(
                f"The fit has not ended: the best member of the family is {amount(self.optimisation_gap)} nats above "
                'the guide. fit(model, guide, method="exact") finds it.'
            )
        else:
            found.append("The fit has ended: the guide is the best member of its family.")
        return found

    def _about_weights(self) -> str:
        k, limit, covered = self.pareto_shape, largest_reliable_shape(self.num_samples), self.covered
        if covered is not None and covered < _COVERED:
            return (
                f"The mean weight of the draws is {100 * covered:.2g} % of p(O): the guide never, or hardly ever, "
                "draws the rest of the posterior, and no weights can make up for it."
            )
        worth = f"{self.num_samples} weighted draws are worth {self.effective_sample_size:.0f} of the posterior"
        if k == -math.inf:
            return f"All log-weights are equal, as those of the exact posterior are: {worth}."
        if math.isnan(k):
            return f"The largest log-weights take too few values for a Pareto shape: {worth}."
        if k > limit:
            return (
                f"Weighted draws of the guide are unreliable, Pareto k̂ = {k:.2f} > {limit:.2f}: the guide misses a "
                f"part of the posterior, on which few draws have most of the weight; {worth}."
            )
        if self.effective_sample_size < _SMALL:
            return f"Weighted draws have a finite error, Pareto k̂ = {k:.2f} ≤ {limit:.2f}, but are few: {worth}."
        return f"Weighted draws of the guide are reliable, Pareto k̂ = {k:.2f} ≤ {limit:.2f}: {worth}."

    def _about_gradients(self) -> list[str]:
        if broken := [name for name, each in self.gradients.items() if not math.isfinite(each.norm + each.noise)]:
            return [f"The gradient of {broken[0]} is not finite: the guide draws what the model forbids."]
        noisy = {name: each for name, each in self.gradients.items() if each.noise > 0}
        exact = [name for name, each in self.gradients.items() if name not in noisy and each.norm > _FLAT]
        if exact and self.optimisation_gap is None:
            return [
                f"The fit has not ended: the gradient of {exact[0]}, which has no noise, has the norm "
                f"{self.gradients[exact[0]].norm:.3g}. Continue with fit(model, guide)."
            ]
        if not noisy:
            return []
        best = max(noisy, key=lambda name: noisy[name].signal_to_noise)
        if not noisy[best].is_clear:
            return [
                f"The gradient of each sampled loss is lost in its noise, in {noisy[best].num_gradients} draws, as it "
                "is at an optimum. If the fit has not ended, take an exact loss, more particles or a smaller step."
            ]
        return [
            f"Of the sampled losses, {best} has the clearest gradient: its squared mean is "
            f"{noisy[best].signal_to_noise:.2g} times its variance."
        ]

    def _about_strangers(self) -> list[str]:
        if self.strangers is None or self.strangers.share < _FEW:
            return []
        names = listed(list(self.strangers.visits), 4)
        return [
            f"In the true world {100 * self.strangers.share:.0f} % of the steps are in states that the guide does not "
            f"expect, {names}: there its policy is untrained."
        ]


_HEAD = [["", "", "unit"]]
_GRADIENT_HEAD = [
    ["gradient", "norm of the mean", "noise", "signal to noise"],
    ["", "", "", "(norm/noise)²"],
]


def _number(value: float) -> str:
    return "constant weights" if value == -math.inf else "not fitted" if math.isnan(value) else f"{value:.2f}"
