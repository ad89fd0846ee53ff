"""Model confusion: whether a design of problems tells models of the demonstrator apart.

Sources:
    [wilson2019] Robert C. Wilson and Anne G. E. Collins, Ten simple rules for the computational modeling of behavioral
        data. eLife 8:e49547, 2019. doi:10.7554/eLife.49547
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import listed, one_of, shown, whole
from ..runtime.progress import Progress, require_progress, silent
from ..runtime.randomness import seeded
from ..text.tables import grid, html_grid
from ..trajectories.blocks import MarkovModel
from .compare_people import compare_people_models
from .people_prior import DEMONSTRATORS
from .recovery import simulated


@final
@dataclass(frozen=True, eq=False, repr=False)
class ModelConfusion:
    """How often each model of the demonstrator explains data of each best. Printing it prints the matrix.

    Attributes:
        names: the demonstrators.
        log_evidence: of each data set, simulated by one model, under each model, in nats.
    """

    names: tuple[str, ...]
    log_evidence: Float[Tensor, "simulated set demonstrator"]

    @property
    def counts(self) -> Int[Tensor, "simulated demonstrator"]:
        """The number of data sets that one model simulated and another explains best."""
        best = self.log_evidence.argmax(-1)
        return torch.nn.functional.one_hot(best, len(self.names)).sum(1)

    @property
    def share(self) -> float:
        """The share of data sets that the model which simulated them explains best."""
        return float(self.counts.diagonal().sum() / self.counts.sum())

    def _table(self) -> tuple[tuple[tuple[str, ...]], list[tuple[str, ...]]]:
        head = (("simulated by, explained best by", *self.names),)
        return head, [(name, *map(str, row)) for name, row in zip(self.names, self.counts.tolist(), strict=True)]

    def __str__(self) -> str:
        """The matrix for a terminal."""
        head, rows = self._table()
        return grid(head, rows)

    def _repr_html_(self) -> str:
        """The matrix for a notebook."""
        return html_grid(*self._table())

    def __repr__(self) -> str:
        """The matrix for a terminal."""
        return str(self)


def model_confusion(
    models: Mapping[str, MarkovModel],
    prior: Any,
    population: Mapping[str, tuple[float, float]] | None = None,
    demonstrators: Sequence[str] = DEMONSTRATORS,
    *,
    num_people: int = 10,
    num_repeats: int = 1,
    num_sets: int = 10,
    num_populations: int = 40,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> ModelConfusion:
    """Simulate data sets by each model of the demonstrator, compare all models on each, and return who won.

    Args:
        models, prior, population, num_people, num_repeats, features: as for `recovery`.
        demonstrators: the models, as for `compare_people_models`.
        num_sets: the number of data sets of each model.
        num_populations: as for `compare_people_models`.
        seed: an integer, a generator, or None for torch's global generator.
        progress: called after each data set with the log-evidence of the model that simulated it, minus the best of the
            others.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.

    References:
        [wilson2019]
    """
    names = tuple(listed("demonstrators", demonstrators, "names of demonstrators"))
    for name in names:
        one_of("demonstrators", name, DEMONSTRATORS)
    if len(set(names)) < max(2, len(names)):
        raise InvalidArgument(f"`demonstrators` must name at least two models, each once, but are {shown(names)}.")
    num_sets = whole("num_sets", num_sets)
    require_progress(progress)
    rows = []
    with seeded(seed):
        for i, name in enumerate(names):
            for _ in range(num_sets):
                data, _ = simulated(models, prior, population, name, num_people, num_repeats, features)
                found = compare_people_models(
                    models, data, prior, names, features=features, num_populations=num_populations
                ).log_evidence
                rows.append(found)
                others = torch.cat([found[:i], found[i + 1 :]])
                progress(len(rows), {"ahead": float(found[i] - others.max())})
    return ModelConfusion(names, torch.stack(rows).unflatten(0, (len(names), num_sets)))
