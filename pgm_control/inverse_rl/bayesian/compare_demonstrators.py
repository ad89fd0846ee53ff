"""Comparison of models of the demonstrator: the probability of each, with the rewards integrated out.

Sources:
    [kass1995] R. E. Kass and A. E. Raftery, Bayes factors. Journal of the American Statistical Association
        90(430):773–795, 1995. doi:10.1080/01621459.1995.10476572
"""

import abc
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...runtime.arguments import named
from ...runtime.progress import Progress, silent
from ...text.tables import grid, html_grid
from ...trajectories.blocks import MarkovModel
from ..demonstrations import Demonstrations
from ..demonstrators import NAMED, DialDemonstrator
from ..inverse import chosen_demonstrator
from .reward_posterior import RewardPosterior, reward_posterior

_HEAD = (("demonstrator", "log-evidence", "difference to best", "probability"), ("", "nats", "nats", ""))


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(abc.ABC):
    """Models of the demonstrator with their evidence. Printing it prints a table, the most probable first."""

    names: tuple[str, ...]
    log_evidence: Float[Tensor, " demonstrator"]

    @property
    def probability(self) -> Float[Tensor, " demonstrator"]:
        """The posterior probability of each demonstrator, under a uniform prior."""
        return self.log_evidence.softmax(0)

    @property
    def best(self) -> str:
        """The name of the most probable demonstrator."""
        return self.names[int(self.log_evidence.argmax())]

    @abc.abstractmethod
    def _written(self, i: int) -> tuple[str, str]:
        """The log-evidence of a demonstrator, and its difference to the best, as text."""

    def _rows(self) -> list[tuple[str, ...]]:
        order = self.log_evidence.argsort(descending=True).tolist()
        return [(self.names[i], *self._written(i), f"{self.probability[i]:.4f}") for i in order]

    def __str__(self) -> str:
        """A table for a terminal."""
        return grid(_HEAD, self._rows())

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        return html_grid(_HEAD, self._rows())

    def __repr__(self) -> str:
        """The comparison as a table for a terminal."""
        return str(self)


@final
@dataclass(frozen=True, eq=False, repr=False)
class DemonstratorComparison(Comparison):
    """The result of `compare_demonstrators`. Printing it prints a table, the most probable demonstrator first.

    Attributes:
        names: the names of the demonstrators.
        log_evidence: log p(actions and outcomes | demonstrator, first states), in nats, with the rewards integrated
            out.
        posteriors: the posterior over rewards under each demonstrator.
    """

    posteriors: tuple[RewardPosterior, ...]

    def _written(self, i: int) -> tuple[str, str]:
        return f"{self.log_evidence[i]:.3f}", f"{self.log_evidence[i] - self.log_evidence.max():.3f}"


def compare_demonstrators(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Any = "state",
    demonstrators: Any = NAMED,
    *,
    prior: float,
    optimism: Any = None,
    temperature: Any = None,
    method: str = "tempering",
    num_samples: int = 200,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> DemonstratorComparison:
    r"""Return the evidence and the posterior probability of each demonstrator.

    $$p(\text{demonstrator} \mid \text{demonstrations}) \propto
    \int p(\text{demonstrations} \mid \psi, \text{demonstrator})\, p(\psi)\, d\psi$$

    For every demonstrator, the likelihood is that of actions and outcomes, given the first states. If a demonstrator
    does not change the dynamics, its outcomes have their true probabilities.

    Args:
        model: the problem with its temperature and action prior; its rewards are ignored.
        demonstrations: the demonstrations, with outcomes.
        reward: as for `inverse`; the same for all demonstrators.
        demonstrators: demonstrators by name; default: "clamped", "free" and "boltzmann".
        prior: σ of every parameter, in reward units. The evidence depends on it, so choose it deliberately.
        optimism: a distribution of Pyro for the β of every `DialDemonstrator`, if it is unknown.
        temperature: a distribution of Pyro for τ, if it is unknown.
        method: "tempering", or "laplace", which is fast but ignores all but one peak.
        num_samples: the number of draws of each posterior.
        seed: an integer, the same for each; a generator; or None for torch's global generator.
        progress: as in `reward_posterior`, for one demonstrator after the other.

    Raises:
        InvalidArgument: as in `reward_posterior`.

    References:
        [kass1995]
    """
    actors = {
        name: chosen_demonstrator(each, f"demonstrators[{name!r}]")
        for name, each in named("demonstrators", demonstrators, what="demonstrator").items()
    }
    posteriors = tuple(
        reward_posterior(
            model,
            demonstrations,
            reward,
            demonstrator,
            prior=prior,
            optimism=optimism if isinstance(demonstrator, DialDemonstrator) else None,
            temperature=temperature,
            method=method,
            num_samples=num_samples,
            seed=seed,
            progress=progress,
        )
        for demonstrator in actors.values()
    )
    log_evidence = torch.tensor([each.log_evidence for each in posteriors], dtype=torch.float64)
    return DemonstratorComparison(tuple(actors), log_evidence, posteriors)
