r"""Expected values, gradients and curvatures of a function of a Gaussian vector, from a fixed set of points.

For $y = \mu + L\epsilon$ and Σ = LL' the gradient of E f in Σ is half of the expected curvature [opper2009], and

$$E\,\partial^2 f = L^{-\top}\, E[\epsilon\, \nabla f(y)' ]$$

by parts. The right side needs first derivatives only, and with L a Cholesky factor its upper triangle is the exact
gradient of the average over the points, so that a small step along it raises that average. Second derivatives of steep
functions have a larger error, and are not that gradient.

Sources:
    [opper2009] M. Opper and C. Archambeau, The variational Gaussian approximation revisited. Neural Computation
        21(3):786–792, 2009. doi:10.1162/neco.2008.08-07-592
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...problems.continuous.arrays import root

_QUADRATIC = 1e-8  # relative difference of numbers from a quadratic form that they have but for rounding
_CLIP = 1e-9  # the least distance of a quasi-random number from 0 and 1


class Quadratic(NamedTuple):
    """The expected value, gradient g and curvature H of a function; at the mean alone those at the mean.

    `is_exact` says whether the function has this quadratic form at all points; the mean alone does not show it.
    """

    value: Float[Tensor, ""]
    gradient: Float[Tensor, " vector"]
    hessian: Float[Tensor, "vector vector"]
    is_exact: bool


@final
@dataclass(frozen=True, eq=False)
class Points:
    """How functions of a Gaussian vector are averaged.

    Attributes:
        normals: points for N(0, I), of which a vector with fewer coordinates takes the first; none for the mean alone,
            with derivatives there: a Taylor expansion.
    """

    normals: Float[Tensor, "point coordinate"] | None

    @classmethod
    def quasi_random(cls, count: int, size: int, seed: int) -> "Points":
        """A scrambled Sobol sequence and its mirror image, with mean 0 and covariance I; equal for equal seeds."""
        engine = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed)
        uniform = engine.draw(max(count // 2, size + 1), dtype=torch.float64).clamp(_CLIP, 1 - _CLIP)
        half = torch.special.ndtri(uniform)
        both = torch.cat((half, -half))
        factor = torch.linalg.cholesky(both.mT @ both / len(both))
        return cls(torch.linalg.solve_triangular(factor, both.mT, upper=False).mT)

    def at(self, mean: Float[Tensor, " vector"], covariance: Float[Tensor, "vector vector"]) -> Tensor:
        """The points of a Gaussian vector."""
        if self.normals is None:
            return mean[None]
        return mean + self.normals[:, : len(mean)] @ _root(covariance)[0].mT

    def quadratic(
        self,
        function: Callable[[Tensor], Tensor],
        mean: Float[Tensor, " vector"],
        covariance: Float[Tensor, "vector vector"],
    ) -> Quadratic:
        """The expected value, gradient and curvature of a function of a batch of vectors."""
        points = self.at(mean, covariance).detach().requires_grad_()
        with torch.enable_grad():
            values = function(points)
            slopes = torch.zeros_like(points)
            if values.requires_grad:
                slopes = gradient(values.sum(), points, create_graph=self.normals is None)
        value = values.detach().mean()
        if self.normals is None:
            hessian = torch.zeros_like(covariance)
            if slopes.requires_grad:
                rows = [gradient(slopes[0, i], points, retain_graph=True)[0] for i in range(len(mean))]
                hessian = torch.stack(rows)
            return Quadratic(value, slopes.detach()[0], 0.5 * (hessian + hessian.mT), False)
        L, is_triangular = _root(covariance)
        cross = self.normals[:, : len(mean)].mT @ slopes @ L / len(points)
        both = cross.triu() + cross.triu(1).mT if is_triangular else 0.5 * (cross + cross.mT)
        inverse = torch.linalg.pinv(L, rtol=1e-10)
        hessian, found = inverse.mT @ both @ inverse, values.detach()
        apart = (points - mean).detach()
        form = apart @ slopes.mean(0) + 0.5 * ((apart @ hessian) * apart).sum(-1)
        left = (found - form).sub(value - form.mean()).abs().amax()
        is_exact = bool(left <= _QUADRATIC * (1.0 + found.abs().amax()))
        return Quadratic(value, slopes.mean(0), hessian, is_exact)


def _root(covariance: Tensor) -> tuple[Tensor, bool]:
    """A root of a covariance, and whether it is a triangle: coordinates without variance keep a row of zeros."""
    varies = covariance.diagonal() > 0
    factor, failed = torch.linalg.cholesky_ex(covariance[varies][:, varies])
    if bool(failed):
        return root(covariance), False
    full = torch.zeros_like(covariance)
    full[varies.nonzero(), varies.nonzero().mT] = factor
    return full, True


def gradient(value: Tensor, at: Tensor, create_graph: bool = False, retain_graph: bool | None = None) -> Tensor:
    """The gradient of a number, 0 where it does not depend on `at`."""
    if not value.requires_grad:
        return torch.zeros_like(at)
    found = torch.autograd.grad(value, at, create_graph=create_graph, retain_graph=retain_graph, allow_unused=True)[0]
    return torch.zeros_like(at) if found is None else found


def jacobian(function: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Float[Tensor, "point out vector"]]:
    """The values of a function of a batch of vectors, and its derivatives."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        values = function(points)
        rows = [gradient(values[:, i].sum(), points, retain_graph=True) for i in range(values.shape[-1])]
    return values.detach(), torch.stack(rows, 1)
