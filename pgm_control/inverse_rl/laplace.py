"""A Gaussian in place of a posterior over rewards: its peak and its curvature there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from .bayesian.coordinates import Coordinates
from .bayesian.reward_program import RewardProgram

_STEPS = 500


@final
@dataclass(frozen=True, eq=False)
class Laplace:
    r"""The Gaussian $\mathcal N(\hat u, H^{-1})$, $H$ the second derivatives of −log p at the peak $\hat u$.

    $$\log p(\text{demonstrations}) \approx \log p(\text{demonstrations}, \hat u) + \tfrac n2 \log 2\pi
    - \tfrac12 \log \det H$$

    Attributes:
        coordinates: what u means.
        peak: $\hat u$.
        root: lower triangular, $L L^\top = H$.
        log_evidence: by the formula, in nats.
        gradient: the largest derivative at the peak, in nats.

    References:
        [kass1995]
    """

    coordinates: Coordinates
    peak: Float[Tensor, " coordinate"]
    root: Float[Tensor, "coordinate coordinate"]
    log_evidence: float
    gradient: float

    def at(self, z: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw coordinate"]:
        """The coordinates of what would be standard normal."""
        return self.peak + torch.linalg.solve_triangular(self.root.T, z[..., None], upper=True)[..., 0]

    def draw(self, number: int) -> tuple[Float[Tensor, "draw coordinate"], Float[Tensor, " draw"]]:
        """Draws, and log p − log q of each up to a constant, in nats."""
        z = torch.randn(number, len(self.peak)).to(self.peak)
        draws = self.at(z)
        with torch.no_grad():
            return draws, self.coordinates.log_density(draws) + 0.5 * z.square().sum(-1)


def laplace(program: RewardProgram) -> Laplace:
    """Climb from where the reward is now to a peak, and measure its curvature.

    Raises:
        InvalidArgument: if the posterior is not curved downwards where the climb ends.
    """
    coordinates = Coordinates(program)
    u = coordinates.row(program.start).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [u], max_iter=_STEPS, history_size=50, tolerance_grad=1e-7, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = -coordinates.log_density(u)
        found.backward()
        return found

    optimiser.step(loss)
    peak = u.detach()
    height = float(coordinates.log_density(peak))
    gradient = float(torch.autograd.grad(coordinates.log_density(u), u)[0].abs().max())
    root, failed = torch.linalg.cholesky_ex(-second_derivatives(coordinates.log_density, peak))
    if not math.isfinite(height) or int(failed):
        raise InvalidArgument(
            '`method` must be "tempering" here: where the climb from the present parameters ended, the posterior has '
            f"no peak that a Gaussian fits (log-density {height:g} nats, largest derivative {gradient:g})."
        )
    log_evidence = height + 0.5 * len(peak) * math.log(2 * math.pi) - float(root.diagonal().log().sum())
    return Laplace(coordinates, peak, root, log_evidence, gradient)


def standard(program: RewardProgram) -> Laplace:
    """A Gaussian of deviation 1 around where the reward is now, for want of a better one."""
    coordinates = Coordinates(program)
    start = coordinates.row(program.start)
    return Laplace(coordinates, start, torch.eye(len(start)).to(start), math.nan, math.nan)


def second_derivatives(
    of: Callable[[Tensor], Tensor], at: Float[Tensor, " coordinate"]
) -> Float[Tensor, "coordinate coordinate"]:
    """The Hessian of a function of one row."""
    found: Any = torch.autograd.functional.hessian(of, at)
    return (found + found.T) / 2
