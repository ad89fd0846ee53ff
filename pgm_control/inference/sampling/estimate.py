"""Unbiased estimates with standard errors, for guides without a tabular form, where exact scores are unavailable."""

import html
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...runtime.arguments import whole
from ...runtime.randomness import generator_of
from ...text.one_line import one_line
from ...text.wording import plus_minus
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.process import Process
from ...trajectories.program import is_program
from .log_weights import draw_weighted, log_weights, returns
from .of_programs import program_draws
from .true_world import in_the_true_world

_ROUNDINGS = 32  # of a number, in its precision, by which equal draws may differ


@final
@dataclass(frozen=True)
class Estimate:
    """The mean of independent draws, with its standard error.

    Attributes:
        mean: an unbiased estimate of the quantity.
        standard_error: the standard error of the mean, in the same unit; 0 if the draws are equal up to rounding, or
            the mean is −inf, which a single draw proves.
        num_samples: the number of draws.
    """

    mean: float
    standard_error: float
    num_samples: int

    @classmethod
    def of(cls, values: Float[Tensor, " batch"]) -> "Estimate":
        """The estimate from at least two draws.

        Raises:
            InvalidArgument: if there is only one, whose standard error is unknown.
        """
        n = require_draws("num_samples", len(values))
        rounding = _ROUNDINGS * torch.finfo(values.dtype).eps
        values = values.detach().double()
        if bool(values.isnan().any()):
            return cls(math.nan, math.nan, n)
        if not values.isfinite().all() or bool(values.std() <= rounding * values.abs().max()):
            return cls(float(values.mean()), 0.0, n)
        return cls(float(values.mean()), float(values.std()) / n**0.5, n)

    def __str__(self) -> str:
        """The mean ± its standard error with two significant digits, such as "-1.234 ± 0.012"."""
        return plus_minus(self.mean, self.standard_error)

    def __repr__(self) -> str:
        """The same, with the number of draws."""
        return f"Estimate({self}, {self.num_samples} draws)"


_ROWS = {
    "elbo": ("ELBO", "nats"),
    "imagined_return": ("imagined return", "reward"),
    "true_return": ("true return", "reward"),
    "delusion": ("delusion", "reward"),
    "policy_entropy": ("policy entropy", "nats"),
}


@final
@dataclass(frozen=True)
class EstimatedScore:
    """Estimates of the numbers that `evaluate` computes exactly.

    Attributes:
        elbo: the ELBO, in nats.
        imagined_return: the expected return under the guide's own distribution, in reward units.
        true_return: the expected return of its policy under the true dynamics, in reward units.
        delusion: imagined − true return, in reward units.
        policy_entropy: the entropy of its choices of action, summed over the steps of true trajectories until the
            episode ends, in nats. With a `process()` it is that of the actions given the history; of a guide that is
            run as a program, given its auxiliary variables too. None for AutoGuides that compute their actions.
    """

    elbo: Estimate
    imagined_return: Estimate
    true_return: Estimate
    delusion: Estimate
    policy_entropy: Estimate | Any  # None for some guides of programs

    __repr__ = one_line

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON or a data frame."""
        return asdict(self)

    def __str__(self) -> str:
        """A table for a terminal."""
        rows = [(title, str(getattr(self, key)), unit) for key, (title, unit) in self._rows().items()]
        name, number, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(f"{title:<{name}}  {value:>{number}}  {unit}" for title, value, unit in rows)

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        body = "".join(
            f"<tr><th style='text-align:left'>{title}</th><td style='text-align:right'>"
            f"{html.escape(str(getattr(self, key)))}</td><td>{unit}</td></tr>"
            for key, (title, unit) in self._rows().items()
        )
        return f"<table><tbody>{body}</tbody></table>"

    def _rows(self) -> dict[str, tuple[str, str]]:
        return {key: row for key, row in _ROWS.items() if getattr(self, key) is not None}


def estimate_elbo(
    model: MarkovModel | Callable[[], Any],
    guide: Callable[[], Any] | Process,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> Estimate:
    r"""An estimate of the ELBO of any guide, $E_q[\log \tilde p - \log q]$, in nats: the mean of its log-weights.

    For a guide with auxiliary variables and no `process()` it is the auxiliary bound; see `log_weights`.

    Args:
        model: the tabular model, or any Pyro program with `roles`; see `log_weights`.
        guide: any guide for it; see `log_weights`.
        num_samples: the number of trajectories, at least 2.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument, InvalidGuide: as `log_weights`.
    """
    return Estimate.of(log_weights(model, guide, require_draws("num_samples", num_samples), seed))


def estimate(
    model: MarkovModel | Callable[[], Any],
    guide: Callable[[], Any] | Process,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> EstimatedScore:
    r"""The score of a guide, tabular or not, estimated by sampling; for guides with `blocks()`, `evaluate` is exact.

    The true return is that of the guide's actions, drawn from $q(a_t \mid s_0, a_0, k_0, \dots, s_t)$ given the
    history, while the start, the outcomes and survival are drawn from the model. For a guide with blocks this
    conditional is its policy.

    For a Pyro program, returns are τ times the log-factors of its sites of optimality, τ being its attribute
    `temperature` (1 if it has none), and the model draws every site of chance. The guide is run up to each action with
    what has been drawn so far: a guide that draws an auxiliary variable keeps it, and acts by it.

    Args:
        model: the tabular model, or any Pyro program with `roles`; see `log_weights`.
        guide: any guide for it; see `log_weights`.
        num_samples: the number of trajectories, at least 2, both from the guide and under the true dynamics.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument, InvalidGuide: as `log_weights`.
    """
    num_samples = require_draws("num_samples", num_samples)
    if is_program(model):
        drawn = program_draws(model, guide, num_samples, seed)
        return _score(drawn.log_weight, drawn.imagined_return, drawn.true_return, drawn.policy_entropy)
    model = require_model(model, in_nats=True, timed=True)
    generator = generator_of(seed, model.mdp.initial.device)
    imagined, log_weight = draw_weighted(model, guide, num_samples, generator)
    true = in_the_true_world(model, guide, num_samples, generator)
    return _score(log_weight, returns(model.mdp, imagined), returns(model.mdp, true.trajectories), true.policy_entropy)


def _score(
    log_weight: Float[Tensor, " batch"],
    imagined: Float[Tensor, " batch"],
    true: Float[Tensor, " batch"],
    policy_entropy: Float[Tensor, " batch"] | None,
) -> EstimatedScore:
    believed, earned = Estimate.of(imagined), Estimate.of(true)
    return EstimatedScore(
        elbo=Estimate.of(log_weight),
        imagined_return=believed,
        true_return=earned,
        delusion=difference(believed, earned),
        policy_entropy=None if policy_entropy is None else Estimate.of(policy_entropy),
    )


def require_draws(name: str, draws: int) -> int:
    """The number of draws, checked to be at least two, since the standard error of one is unknown."""
    return whole(name, draws, 2, remedy="The standard error is computed from the spread of the draws. Use 1000, say.")


def difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of independent estimates; 0 if they are equal, even at −inf."""
    mean = 0.0 if one.mean == other.mean else one.mean - other.mean
    return Estimate(mean, math.hypot(one.standard_error, other.standard_error), one.num_samples)
