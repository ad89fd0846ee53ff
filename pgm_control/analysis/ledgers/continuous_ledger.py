"""The ledger of a continuous model: the result, as numbers, tables and files."""

import html
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...problems.continuous.line import Line
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...problems.continuous.planar import Planar
from ...runtime.files import path_of, write_whole
from ...text.csv_table import csv_table
from ...text.html import heading
from ...text.tables import grid, html_grid
from ...text.wording import amount
from ..continuous.beliefs import BelievedNoise, noise_phrase
from .headlines import SHORT, gap_headline, share_of
from .ledger_result import Totals

_ROUNDING = 1e-9  # of the numbers from which the gap is made
_STEPS = 5  # how many are printed


@final
@dataclass(frozen=True, eq=False, repr=False)
class ContinuousLedger:
    r"""The gap of a guide of a continuous model by block and step, from `ledger`. Print it.

    It is a closed form for a linear-quadratic model. For a problem in the plane or on the line the expectations are
    sums over the nodes of a mesh, whose error is stated.

    Attributes:
        problem: the problem.
        optimism: β of the objective; for 1 it is the ELBO.
        log_evidence: log p(O), the largest ELBO of any guide; for another optimism $J_\beta^*$.
        elbo: the guide's ELBO; for another optimism its $J_\beta$. It is −inf if the gap is infinite.
        initial: the entry of the start, in nats.
        policy_by_step: the entries of the policy, in nats.
        dynamics_by_step: the entries of the dynamics, in nats.
        delusion_by_step: imagined minus true reward of each step and of the last state, in reward units.
        noises: what the guide believes of the noise where it tilts it most; empty for a mesh.
        posterior_noises: the same of the optimum.
        evidence_name: "log p(O)", "log partition function" with Lebesgue measure, or with a discount "largest ELBO with
            clamped survival".
        error: by how much the gap changes from a mesh of 1.5 times the spacing, in nats; None for a closed form.
    """

    problem: LinearQuadratic | Planar | Line
    optimism: Optimism
    log_evidence: float
    elbo: float
    initial: float
    policy_by_step: Float[Tensor, " time"]
    dynamics_by_step: Float[Tensor, " time"]
    delusion_by_step: Float[Tensor, " time_and_last"]
    noises: tuple[BelievedNoise, ...]
    posterior_noises: tuple[BelievedNoise, ...]
    evidence_name: str
    error: float | None = None

    @property
    def totals(self) -> Totals:
        """The contribution of each block; survival is clamped in both guides."""
        return Totals(self.initial, float(self.policy_by_step.sum()), float(self.dynamics_by_step.sum()), 0.0)

    @property
    def gap(self) -> float:
        """The gap, as the sum of the totals, which is more precise than the difference."""
        return sum(self.totals)

    @property
    def headline(self) -> str:
        """The finding in one sentence."""
        return gap_headline(self._totals(), self.gap, self._best(), self._rounding())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers and lists, for JSON; infinities are "inf" and "-inf", which `float` reads."""
        return {
            "headline": self.headline,
            "log_evidence": _plain(self.log_evidence),
            "elbo": _plain(self.elbo),
            "gap": _plain(self.gap),
            "totals": {name: _plain(nats) for name, nats in self.totals._asdict().items()},
            **{
                name: [_plain(each) for each in getattr(self, name).tolist()]
                for name in ("policy_by_step", "dynamics_by_step", "delusion_by_step")
            },
            "noises": [each._asdict() for each in self.noises],
            "posterior_noises": [each._asdict() for each in self.posterior_noises],
            "error": self.error,
        }

    def save(self, path: str | Path) -> None:
        """Write the ledger to a file, completely or not at all.

        Args:
            path: .json for everything in `to_dict`, or .csv for a table with the columns step, block, nats.

        Raises:
            InvalidArgument: if the suffix is another one.
        """
        suffix = path_of(path).suffix.lower()
        if suffix == ".json":
            content = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        elif suffix == ".csv":
            content = csv_table(("step", "block", "nats"), self._entries())
        else:
            raise InvalidArgument(
                f"`path` must end in .json or .csv, but is {str(path)!r}. Take .json for everything, or .csv for a "
                "tidy table of the gap."
            )
        write_whole(path, content.encode())

    def __str__(self) -> str:
        """The headline, the table and the notes as text, for a terminal."""
        title, *rows = self._rows()
        return "\n\n".join([self.headline, grid([title], rows), self._account(), *self._notes()])

    def _repr_html_(self) -> str:
        """The same as HTML, for a notebook."""
        title, *rows = self._rows()
        notes = (html.escape(each).replace("\n", "<br>") for each in (self._account(), *self._notes()))
        return heading(self.headline) + html_grid([title], rows) + "".join(f"<p>{each}</p>" for each in notes)

    def __repr__(self) -> str:
        """The gap and its parts, in nats, in one line."""
        parts = ", ".join(f"{name} {nats:.6g}" for name, nats in self._totals().items())
        return f"ContinuousLedger(gap {self.gap:.6g} nats: {parts})"

    def _totals(self) -> dict[str, float]:
        return {name: nats for name, nats in self.totals._asdict().items() if name != "survival"}

    def _best(self) -> str:
        discount = self.problem.discount if isinstance(self.problem, LinearQuadratic) else 1.0
        free = self.optimism.dynamics == self.optimism.initial == 1.0 and discount == 1.0
        return "posterior" if free else "optimum"

    def _rounding(self) -> float:
        return _ROUNDING * max(1.0, abs(self.log_evidence))

    def _rows(self) -> list[tuple[str, ...]]:
        def row(name: str, nats: float) -> tuple[str, ...]:
            shown = "0" if abs(nats) <= self._rounding() else amount(nats)
            return name, shown, share_of(nats, self.gap, self._totals(), self._rounding())

        rows = [row(SHORT[name], nats) for name, nats in self._totals().items()]
        return [("block", "nats", "share"), *rows, row("gap", self.gap)]

    def _account(self) -> str:
        if self.optimism.dynamics == self.optimism.initial == 1.0:
            return f"{self.evidence_name} = {amount(self.log_evidence)} nats, ELBO = {amount(self.elbo)} nats"
        return (
            f"optimal objective = {amount(self.log_evidence)} nats, objective of the guide = {amount(self.elbo)} nats, "
            f"{self.optimism}"
        )

    def _notes(self) -> list[str]:
        notes, steps = [], self.policy_by_step + self.dynamics_by_step
        largest = steps.abs().argsort(descending=True, stable=True)[:_STEPS].tolist()
        listed = "; ".join(f"step {t}: {amount(float(steps[t]))}" for t in largest if abs(steps[t]) > self._rounding())
        if len(steps) > 1 and listed:
            notes.append(f"Largest steps, in nats: {listed}.")
        delusion = float(self.delusion_by_step.sum())
        if abs(delusion) > self._rounding():
            notes.append(f"Delusion (imagined − true return): {amount(delusion)} reward units.")
        if self.error is not None:
            notes.append(f"On a mesh: the gap changes by {amount(self.error)} nats from a coarser one.")
        found = self.noises or self.posterior_noises
        if found and isinstance(self.problem, LinearQuadratic):
            who = "The guide" if self.noises else f"The guide has the true dynamics. The exact {self._best()}"
            lines = [f"  {noise_phrase(each, self.problem)}; {amount(each.tilt)} nats" for each in found]
            notes.append("\n".join([f"{who} believes that", *lines]))
        return notes

    def _entries(self) -> Iterator[tuple[int, str, float]]:
        if self.initial != 0:
            yield 0, "initial", self.initial
        for block in ("policy", "dynamics"):
            for t, nats in enumerate(getattr(self, f"{block}_by_step").tolist()):
                if nats != 0:
                    yield t, block, nats


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
