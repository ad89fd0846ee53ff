"""What the demonstrations of a linear-quadratic agent do not identify, and how precise the rest is."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..search.descent import Vector
from ..search.optima import TIE
from ..search.words import largest, of_flat_directions
from .objective import GaussianObjective

_ROUNDING = 1e-9  # of a derivative, relative to the largest
_PART = 1e-6  # of a direction without length, in units


@final
@dataclass(frozen=True, eq=False, repr=False)
class GaussianIdentification:
    r"""Directions of the parameters along which the behaviour does not change, and the deviations of the others.

    The result is local, by first derivatives: a reward far away may explain the demonstrations as well. Printing it
    prints sentences. All rows of directions are orthonormal.

    Attributes:
        names: the names of the parameters; β and the entries of A and B are among them if they are learned.
        indistinguishable: directions along which neither the policy nor, if the states count, the believed dynamics
            change at any state and step: no demonstrations identify them.
        unobserved: further directions in which the likelihood of these demonstrations is flat: a change of the reward
            by one temperature changes it by less than 1e-9 nats.
        information: the Fisher information in nats, given the states that were visited: of the actions, and of the next
            states if they count.
        deviations: the standard deviation of each parameter by the likelihood alone, from this information; infinite
            where a parameter is not identified. They presume that the model of the demonstrator is right.
        scale_trades: whether a larger reward with a larger temperature explains the demonstrations equally well.
        optimism_deviation: the standard deviation of β if all else is fitted, whether it was learned or not; infinite
            if the likelihood does not depend on β, as where nothing is random; nan if the demonstrator has no β.
    """

    names: tuple[str, ...]
    indistinguishable: Float[Tensor, "indistinguishable parameter"]
    unobserved: Float[Tensor, "unobserved parameter"]
    information: Float[Tensor, "parameter parameter"]
    deviations: Float[Tensor, " parameter"]
    scale_trades: bool
    optimism_deviation: float

    @property
    def free_directions(self) -> Float[Tensor, "direction parameter"]:
        """Both groups together: an orthonormal basis."""
        return torch.cat((self.indistinguishable, self.unobserved))

    def __str__(self) -> str:
        """Sentences that say what is not identified."""
        count, num_identified = len(self.names), len(self.names) - len(self.free_directions)
        lines = [
            f"{num_identified} of {count} directions of the parameters are identified by the "
            "demonstrations, near these parameters."
        ]
        if len(self.indistinguishable):
            lines.append(
                f"No demonstrations identify these directions: {len(self.indistinguishable)} "
                f"{'change' if len(self.indistinguishable) > 1 else 'changes'} no action at any state "
                f"({largest(self.indistinguishable, self.names)})."
            )
        trades = self.scale_trades and num_identified > 0
        lines += of_flat_directions(self.unobserved, self.names, trades, self.optimism_deviation)
        return "\n".join(lines)

    def __repr__(self) -> str:
        """The result in sentences, as `str` gives it."""
        return str(self)


def gaussian_identification(
    objective: GaussianObjective, x: Vector, has_optimism: bool, keeps_risk: bool
) -> GaussianIdentification:
    """Return the identification at these parameters.

    Args:
        objective: the likelihood.
        x: the parameters.
        has_optimism: whether the demonstrator has a β.
        keeps_risk: whether its attitude to risk, θ = β/τ, is what is given: it then forbids to trade temperature for
            reward, unless it is 0.
    """
    unit = objective.unit()
    for_all = _null(objective.behaviour_rows(x) * unit, 0.0)
    rows = objective.information_rows(x)
    flat = _null(rows * unit, (2 * TIE) ** 0.5)
    groups = [np.zeros((len(x), 0))]
    for kind in (for_all, flat):
        basis = np.concatenate(groups, 1)
        kind = _span(kind * unit[:, None])
        groups.append(_span(kind - basis @ (basis.T @ kind)))
    indistinguishable, unobserved = groups[1:]
    optimism = float("nan")
    if has_optimism:
        place = objective.names.index("β") if "β" in objective.names else len(x)
        with_beta = rows if place < len(x) else objective.information_rows(x, with_optimism=True)
        optimism = float(_deviations(with_beta, np.append(unit, 1.0)[: with_beta.shape[1]])[place])
    beta = objective.parts(x)[1]
    return GaussianIdentification(
        objective.names,
        torch.from_numpy(indistinguishable.T.copy()),
        torch.from_numpy(unobserved.T.copy()),
        torch.from_numpy(rows.T @ rows),
        torch.from_numpy(_deviations(rows, unit)),
        scale_trades=_is_scaled(objective, x) and not (keeps_risk and beta != 0),
        optimism_deviation=optimism,
    )


def _deviations(rows: np.ndarray, unit: Vector) -> Vector:
    """The standard deviation of each parameter; infinite where it has a part in a flat direction."""
    _, sizes, vectors = np.linalg.svd(np.linalg.qr(rows * unit, mode="r"))
    sizes = np.append(sizes, np.zeros(len(vectors) - len(sizes)))
    kept = sizes > max(_ROUNDING * sizes.max(initial=0.0), (2 * TIE) ** 0.5)
    variance = (np.square(vectors[kept]) / np.square(sizes[kept])[:, None]).sum(0)
    is_flat = np.square(vectors[~kept]).sum(0) > _PART
    return np.where(is_flat, np.inf, unit * np.sqrt(variance))


def _is_scaled(objective: GaussianObjective, x: Vector) -> bool:
    """Whether some step of ψ multiplies the cost."""
    psi = objective.parts(x)[0]
    cost, by = objective.cost(psi)
    assert by is not None
    target = np.concatenate([each.numpy(force=True).ravel() for each in cost])
    ways = np.concatenate([each.reshape(len(psi), -1) for each in by], 1).T
    left = target - ways @ np.linalg.lstsq(ways, target, rcond=None)[0]
    return bool(np.abs(left).max() <= _ROUNDING * np.abs(target).max())


def _null(rows: np.ndarray, least: float) -> np.ndarray:
    """The directions in which the rows vanish, as columns."""
    _, sizes, vectors = np.linalg.svd(np.linalg.qr(rows, mode="r"))
    sizes = np.append(sizes, np.zeros(len(vectors) - len(sizes)))
    return vectors[sizes <= max(_ROUNDING * sizes.max(initial=0.0), least)].T


def _span(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the span of the columns."""
    if not columns.shape[1]:
        return columns
    lengths = np.linalg.norm(columns, axis=0)
    left, sizes, _ = np.linalg.svd(columns / np.where(lengths > 0, lengths, 1.0), full_matrices=False)
    return left[:, (sizes > _PART) & (lengths.max() > _PART)]
