"""A Gaussian in place of a posterior over rewards: its peak and its curvature there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import biject_to

from .._errors import InvalidArgument
from .reward_program import RewardProgram

_STEPS = 500
_FREEDOM = 5  # degrees, of the Student t


@final
class Coordinates:
    """The posterior over the whole real space: ψ as it is, β as its prior's support asks for, τ by its logarithm."""

    def __init__(self, program: RewardProgram) -> None:
        """Look at what is drawn."""
        self._program, self._priors = program, program.priors
        self._sizes = [each.event_shape.numel() for each in self._priors.values()]
        self._maps = [biject_to(each.support) for each in self._priors.values()]

    def values(self, u: Float[Tensor, "*draw coordinate"]) -> dict[str, Tensor]:
        """What is drawn, by site."""
        parts = zip(self._priors.items(), self._maps, u.split(self._sizes, -1), strict=True)
        return {name: there(part.reshape((*u.shape[:-1], *prior.event_shape))) for (name, prior), there, part in parts}

    def row(self, values: dict[str, Tensor]) -> Float[Tensor, " coordinate"]:
        """The coordinates of these values."""
        pairs = zip(self._priors, self._maps, strict=True)
        return torch.cat([there.inv(values[name]).reshape(-1) for name, there in pairs])

    def log_density(self, u: Float[Tensor, " coordinate"]) -> Float[Tensor, ""]:
        """log p(demonstrations, u), in nats."""
        values = self.values(u)
        total = self._program.log_likelihood(values)
        for (name, prior), there, part in zip(self._priors.items(), self._maps, u.split(self._sizes), strict=True):
            jacobian = there.log_abs_det_jacobian(part.reshape(prior.event_shape), values[name])
            total = total + prior.log_prob(values[name]) + jacobian.sum()
        return total


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

    def draw(self, number: int, wide: bool = False) -> tuple[Float[Tensor, "draw coordinate"], Float[Tensor, " draw"]]:
        """Draws from it, or from a Student t of its shape that is wider; log p − log q of each, in nats."""
        n = len(self.peak)
        z = torch.randn(number, n).to(self.peak)
        log_q = -0.5 * (z.square().sum(-1) + n * math.log(2 * math.pi))
        if wide:
            z = z / torch.randn(number, _FREEDOM).to(z).square().mean(-1, keepdim=True).sqrt()
            constant = (
                math.lgamma((_FREEDOM + n) / 2) - math.lgamma(_FREEDOM / 2) - 0.5 * n * math.log(_FREEDOM * math.pi)
            )
            log_q = constant - 0.5 * (_FREEDOM + n) * (z.square().sum(-1) / _FREEDOM).log1p()
        draws = self.at(z)
        with torch.no_grad():
            log_p = torch.stack([self.coordinates.log_density(each) for each in draws])
        return draws, log_p - log_q - self.root.diagonal().log().sum()


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
            '`method` must be "nuts" here: where the climb from the present parameters ended, the posterior has no '
            f"peak that a Gaussian fits (log-density {height:g} nats, largest derivative {gradient:g})."
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
