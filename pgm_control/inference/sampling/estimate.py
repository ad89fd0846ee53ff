"""Unbiased estimates with standard errors, for guides without a tabular form, where exact scores are unavailable."""

import functools
import html
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float, Int
from pyro.distributions import Categorical
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ...runtime.arguments import whole
from ...runtime.randomness import generator_of
from ...text.one_line import one_line
from ...text.wording import plus_minus
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.process import MarkovProcess, Process, policy_entropy, process_of, simulate
from ...trajectories.samples import Trajectories
from .log_weights import draw_weighted, returns, traced


@final
@dataclass(frozen=True)
class Estimate:
    """The mean of independent draws, with its standard error.

    Attributes:
        mean: an unbiased estimate of the quantity.
        standard_error: the standard error of the mean, in the same unit; 0 if the mean is −inf, which a single draw
            proves.
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
        values = values.detach().double()
        if not values.isfinite().all():
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
            episode ends, in nats.
    """

    elbo: Estimate
    imagined_return: Estimate
    true_return: Estimate
    delusion: Estimate
    policy_entropy: Estimate

    __repr__ = one_line

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON or a data frame."""
        return asdict(self)

    def __str__(self) -> str:
        """A table for a terminal."""
        rows = [(title, str(getattr(self, key)), unit) for key, (title, unit) in _ROWS.items()]
        name, number, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(f"{title:<{name}}  {value:>{number}}  {unit}" for title, value, unit in rows)

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        body = "".join(
            f"<tr><th style='text-align:left'>{title}</th><td style='text-align:right'>"
            f"{html.escape(str(getattr(self, key)))}</td><td>{unit}</td></tr>"
            for key, (title, unit) in _ROWS.items()
        )
        return f"<table><tbody>{body}</tbody></table>"


def estimate_elbo(
    model: MarkovModel,
    guide: Callable[[], Any] | Process,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> Estimate:
    r"""An estimate of the ELBO of any guide, $E_q[\log \tilde p - \log q]$, in nats: the mean of its log-weights.

    Args:
        model: the tabular model.
        guide: any guide for it; see `log_weights`.
        num_samples: the number of trajectories, at least 2.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument, InvalidGuide: as `log_weights`.
    """
    require_model(model, in_nats=True, timed=True)
    generator = generator_of(seed, model.mdp.initial.device)
    return Estimate.of(draw_weighted(model, guide, require_draws("num_samples", num_samples), generator).log_weight)


def estimate(
    model: MarkovModel,
    guide: Callable[[], Any] | Process,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> EstimatedScore:
    r"""The score of a guide, tabular or not, estimated by sampling; for guides with `blocks()`, `evaluate` is exact.

    The true return is that of the guide's actions, drawn from $q(a_t \mid s_0, a_0, k_0, \dots, s_t)$ given the
    history, while the start, the outcomes and survival are drawn from the model. For a guide with blocks this
    conditional is its policy.

    Args:
        model: the tabular model.
        guide: any guide for it; see `log_weights`.
        num_samples: the number of trajectories, at least 2, both from the guide and under the true dynamics.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument, InvalidGuide: as `log_weights`.
    """
    require_model(model, in_nats=True, timed=True)
    generator = generator_of(seed, model.mdp.initial.device)
    imagined, log_weight = draw_weighted(model, guide, require_draws("num_samples", num_samples), generator)
    true = _in_the_true_world(model, guide, num_samples, generator)
    believed, earned = Estimate.of(returns(model.mdp, imagined)), Estimate.of(returns(model.mdp, true.trajectories))
    return EstimatedScore(
        elbo=Estimate.of(log_weight),
        imagined_return=believed,
        true_return=earned,
        delusion=_difference(believed, earned),
        policy_entropy=Estimate.of(true.policy_entropy),
    )


def require_draws(name: str, draws: int) -> int:
    """The number of draws, checked to be at least two, since the standard error of one is unknown."""
    return whole(name, draws, 2, remedy="The standard error is computed from the spread of the draws. Use 1000, say.")


def _difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of independent estimates; 0 if they are equal, even at −inf."""
    mean = 0.0 if one.mean == other.mean else one.mean - other.mean
    return Estimate(mean, math.hypot(one.standard_error, other.standard_error), one.num_samples)


class _True(NamedTuple):
    trajectories: Trajectories
    policy_entropy: Float[Tensor, " batch"]


@torch.no_grad()
def _in_the_true_world(
    model: MarkovModel, guide: Callable[[], Any] | Process, n: int, generator: torch.Generator | None
) -> _True:
    """Trajectories in which the guide draws the actions and the model everything else."""
    process, mdp = process_of(model, guide), model.mdp
    if process is None:
        assert not isinstance(guide, Process)
        found = traced(model, functools.wraps(guide)(lambda: _TrueWorld(model)(guide)()), n, generator)
        return _True(found.trajectories, -found.log_policy)
    trajectories = simulate(process, mdp, n, generator, MarkovProcess(model.blocks()))
    return _True(trajectories, policy_entropy(process, mdp, trajectories))


class _TrueWorld(Messenger):
    """A handler that replaces the states and outcomes of a guide by draws from the model, given the guide's actions.

    It never branches on a value, so that runs can be made side by side.
    """

    def __init__(self, model: MarkovModel) -> None:
        super().__init__()
        self.mdp, self.truth = model.mdp, model.blocks()
        self.survival, self.end = self.truth.survival, torch.tensor(model.mdp.num_states)
        self.state = self.action = self.arrived = self.end

    def _pyro_sample(self, msg: Any) -> None:
        kind, _, t = str(msg["name"]).partition("_")
        if kind == "state":
            self.state = self._next_state(int(t)) if t != "0" else _draw(self.truth.log_initial)
            msg["value"], msg["done"] = self.state, True
        elif kind == "outcome":
            ended = self.state == self.end
            here = torch.where(ended, 0, self.state)
            outcome = torch.where(ended, 0, _draw(self.truth.log_dynamics[int(t)][here, self.action]))
            self.arrived = torch.where(ended, self.end, self.mdp.successor[here, self.action, outcome])
            msg["value"], msg["done"] = outcome, True

    def _pyro_post_sample(self, msg: Any) -> None:
        if str(msg["name"]).startswith("action_"):
            self.action = msg["value"]

    def _next_state(self, t: int) -> Tensor:
        """The successor of the last outcome, or the end."""
        if self.mdp.discount == 1:
            return self.arrived
        ended = self.arrived == self.end
        survival = self.survival[t - 1][torch.where(ended, 0, self.arrived)]
        return torch.where(ended | (torch.rand_like(survival) >= survival), self.end, self.arrived)


def _draw(log_probability: Float[Tensor, " value"]) -> Int[Tensor, ""]:
    return Categorical(logits=log_probability).sample()
