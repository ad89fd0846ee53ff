"""The rows of the table of `pgm-control learn-reward`: learned rewards beside the problem's own."""

from typing import NamedTuple

import torch

from ..inverse_rl import Demonstrations, Inverse
from ..inverse_rl.rewards import place_label
from .options import OF

_MOST = 300  # parameters, for standard deviations
_PART = 1e-2  # of a reward: less of it in a direction that is not identified does not count


class Row(NamedTuple):
    """A reward: the name of its state, action or outcome, its mean visits per demonstration, and its values."""

    name: str
    visits: float
    learned: float
    deviation: float
    """The standard deviation of the learned value; nan if it was not computed."""
    true: float
    """The problem's own expected reward."""


def rows_of(found: Inverse, of: str, prior: float | None) -> list[Row]:
    """Return the learned reward beside the problem's own, shifted to its mean over the visited entries.

    The problem's own reward of a state is the expectation over the outcomes of the actions that were taken there.
    """
    mdp, counts = found.demonstrations.mdp, _outcome_counts(found.demonstrations)
    own = torch.where(mdp.probability > 0, mdp.reward, 0.0)
    axes = tuple(range(1 + OF.index(of), 3))
    visits = counts.sum(axes) if axes else counts
    true = own
    if of != "outcome":
        true = (mdp.probability * own).sum(-1)
    if of == "state":
        pairs = counts.sum(-1)
        true = (pairs * true).sum(-1) / pairs.sum(-1).clamp_min(1e-300)
    values = found.table[(..., *[0] * len(axes))]
    weights = _bounded(found, visits)
    shift = float((weights * torch.where(weights > 0, true - values, 0.0)).sum() / weights.sum())
    deviation = _deviations(found, weights, prior)
    rows = []
    for place in zip(*(each.tolist() for each in (visits > 0).nonzero(as_tuple=True)), strict=True):
        learned, spread = float(values[place]) + shift, float(deviation[place])
        rows.append(Row(place_label(mdp, place), float(visits[place]), learned, spread, float(true[place])))
    return rows


def _bounded(found: Inverse, visits: torch.Tensor) -> torch.Tensor:
    """Return the visits without those of rewards that grow without bound, unless all do: their mean is arbitrary."""
    grows = [name in found.unbounded_names for name in found.reward.names or ()]
    kept = visits.masked_fill(torch.tensor(grows).reshape(visits.shape), 0.0)
    return kept if bool(kept.any()) else visits


def _deviations(found: Inverse, visits: torch.Tensor, prior: float | None) -> torch.Tensor:
    """Return the standard deviation of each reward less the mean over the visits, by the curvature at the result.

    Without a prior it is infinite for a reward that depends on directions that are not identified.
    """
    if not is_small(found):
        return torch.full_like(visits, torch.nan)
    known, share = found.identification.information, (visits / visits.sum()).flatten()
    contrast = torch.eye(len(share)).to(share) - share
    if prior is None:
        sizes, vectors = torch.linalg.eigh(known)
        free = found.identification.free_directions
        sizes = torch.where((free @ vectors).square().sum(0) > 0.5, 0.0, sizes.clamp_min(0.0))
        parts = (contrast @ vectors).square()
        variance = torch.where(parts > _PART**2, parts / sizes, 0.0).sum(-1)
    else:
        covariance = torch.linalg.inv(known + torch.eye(len(share)).to(share) / prior**2)
        variance = (contrast @ covariance * contrast).sum(-1)
    return variance.clamp_min(0.0).sqrt().reshape(visits.shape)


def _outcome_counts(demonstrations: Demonstrations) -> torch.Tensor:
    """Return the mean count of each outcome per demonstration; an unobserved outcome counts by its probability."""
    mdp, (_, s, a, to, _) = demonstrations.mdp, demonstrations.moves
    lands = (mdp.successor[s, a] == to[:, None]) | (to < 0)[:, None]
    share = torch.where(lands, mdp.probability[s, a], 0.0)
    share = share / share.sum(-1, keepdim=True) * demonstrations.weights(demonstrations.moves)[:, None]
    return torch.zeros_like(mdp.probability).index_put_((s, a), share, accumulate=True) / demonstrations.number


def is_small(found: Inverse) -> bool:
    """Whether second derivatives by all parameters are affordable."""
    return found.table.numel() <= _MOST or sum(each.numel() for each in found.reward.parameters()) <= _MOST
