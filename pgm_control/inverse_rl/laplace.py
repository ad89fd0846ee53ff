"""The Laplace approximation of a posterior: a Gaussian at the mode, with the curvature of the log-density there.

Sources:
    [kass1995] R. E. Kass and A. E. Raftery, Bayes factors. Journal of the American Statistical Association
        90(430):773–795, 1995. doi:10.1080/01621459.1995.10476572
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..inference.variational.optimisers import LBFGS

_STEPS = 500

LogDensity = Callable[[Float[Tensor, "*draw coordinate"]], Float[Tensor, "*draw"]]


@final
@dataclass(frozen=True, eq=False)
class Laplace:
    r"""The Gaussian $\mathcal N(\hat u, H^{-1})$, where $H$ is the Hessian of −log p at the mode $\hat u$.

    $$\log p(\text{demonstrations}) \approx \log p(\text{demonstrations}, \hat u) + \tfrac n2 \log 2\pi
    - \tfrac12 \log \det H$$

    Attributes:
        log_density: log p(demonstrations, u), in nats.
        peak: $\hat u$.
        root: lower triangular, $L L^\top = H$.
        log_evidence: the approximate log p(demonstrations) by the formula, in nats.
        gradient: the largest derivative at the mode, in nats.

    References:
        [kass1995]
    """

    log_density: LogDensity
    peak: Float[Tensor, " coordinate"]
    root: Float[Tensor, "coordinate coordinate"]
    log_evidence: float
    gradient: float

    def at(self, z: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw coordinate"]:
        """Return the coordinates of standard normal variables."""
        return self.peak + torch.linalg.solve_triangular(self.root.T, z[..., None], upper=True)[..., 0]

    def draw(self, number: int) -> tuple[Float[Tensor, "draw coordinate"], Float[Tensor, " draw"]]:
        """Return draws, and log p − log q of each up to a constant, in nats."""
        z = torch.randn(number, len(self.peak)).to(self.peak)
        draws = self.at(z)
        with torch.no_grad():
            return draws, self.log_density(draws) + 0.5 * z.square().sum(-1)


def laplace(
    log_density: LogDensity,
    start: Float[Tensor, " coordinate"],
    hessian: Callable[[Float[Tensor, " coordinate"]], Float[Tensor, "coordinate coordinate"]] | None = None,
) -> Laplace:
    """Return the Laplace approximation at the mode that L-BFGS finds from a given point.

    Args:
        log_density: log p, in nats.
        start: where the search begins.
        hessian: the Hessian of the log-density, if there is a faster way to it than `second_derivatives`.

    Raises:
        InvalidArgument: if the log-density is not concave where the search ends.
    """
    u = start.clone().requires_grad_()
    optimiser = LBFGS(
        [u], max_iter=_STEPS, history_size=50, tolerance_grad=1e-7, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = -log_density(u)
        found.backward()
        return found

    optimiser.step(loss)
    peak = u.detach()
    height = float(log_density(peak))
    gradient = float(torch.autograd.grad(log_density(u), u)[0].abs().max())
    curvature = second_derivatives(log_density, peak) if hessian is None else hessian(peak)
    root, failed = torch.linalg.cholesky_ex(-curvature)
    if not math.isfinite(height) or int(failed):
        raise InvalidArgument(
            '`method` must not be "laplace" here: where the search from the present parameters ended, the posterior '
            f"has no peak that a Gaussian fits (log-density {height:g} nats, largest derivative {gradient:g}). Use "
            'method="tempering".'
        )
    log_evidence = height + 0.5 * len(peak) * math.log(2 * math.pi) - float(root.diagonal().log().sum())
    return Laplace(log_density, peak, root, log_evidence, gradient)


def standard(log_density: LogDensity, start: Float[Tensor, " coordinate"]) -> Laplace:
    """Return a Gaussian of standard deviation 1 around a given point, for use if no Laplace approximation exists."""
    return Laplace(log_density, start, torch.eye(len(start)).to(start), math.nan, math.nan)


def second_derivatives(
    of: LogDensity, at: Float[Tensor, " coordinate"], at_once: int = 1000
) -> Float[Tensor, "coordinate coordinate"]:
    """Return the Hessian of a function that takes a batch of vectors, with `at_once` rows in memory at a time."""
    rows = []
    for ways in torch.eye(len(at)).to(at).split(at_once):
        points = at.detach().expand(len(ways), -1).clone().requires_grad_()
        (slopes,) = torch.autograd.grad(of(points).sum(), points, create_graph=True)
        # A function that is linear in all coordinates has no second derivative in the graph.
        along = (slopes * ways).sum()
        rows.append(
            torch.autograd.grad(along, points, materialize_grads=True)[0] if along.requires_grad else 0.0 * ways
        )
    found = torch.cat([*rows, at.new_zeros(0, len(at))])
    return (found + found.T) / 2
