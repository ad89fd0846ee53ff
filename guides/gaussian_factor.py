r"""One block of a Gaussian guide: a Gaussian at each step whose mean is affine in what came before.

It is written in units of the noise of the model's own block $N(Mx + b, LL')$, and starts there:

$$N\bigl((M + L\Gamma)x + b + L\delta,\; LC(LC)'\bigr)$$

with C a lower triangle whose diagonal is $\exp(\text{log\_scale})$. A noise that the model lacks cannot be learned, so
that a singular covariance keeps its range.
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.errors import InvalidGuide
from pgm_control.trajectories.gaussian.tilted_normal import tilted_normal

from .at_price import scaled, worth

_RANK = 1e-12  # an eigenvalue of a covariance, relative to the largest, that counts as 0
_OFF = 1e-7  # relative difference of a block that a guide cannot represent


@final
class GaussianFactor(torch.nn.Module):
    r"""A block as a module, with one Gaussian for each step.

    Parameters, in units of the noise and divided by β: `slope` Γ, `shift` δ, `log_scale` and `lower`, the diagonal and
    the rest of C.
    """

    matrix: Tensor
    vector: Tensor
    root: Tensor
    inside: Tensor
    _pairs: Tensor

    def __init__(
        self,
        matrix: Float[Tensor, "time out given"],
        vector: Float[Tensor, "time out"],
        covariance: Float[Tensor, "time out out"],
        beta: float = 1.0,
        has_slope: bool = True,
    ) -> None:
        """Start at the model's block; `has_slope` says whether the mean may depend on what came before."""
        super().__init__()
        steps, size = vector.shape
        root, failed = torch.linalg.cholesky_ex(covariance)
        inside = torch.ones(steps, size, dtype=torch.bool)
        least = root.diagonal(dim1=-2, dim2=-1).square().amin(-1)
        is_singular = (failed > 0) | (least <= _RANK * covariance.diagonal(dim1=-2, dim2=-1).amax(-1))
        if bool(is_singular.any()):
            values, vectors = torch.linalg.eigh(covariance)
            inside = values > _RANK * values[:, -1:].clamp(min=torch.finfo(values.dtype).tiny)
            root = vectors * torch.where(inside, values, 0.0).sqrt()[:, None, :]
        self._is_singular, self._beta = bool(is_singular.any()), beta
        for name, value in (("matrix", matrix), ("vector", vector), ("root", root), ("inside", inside)):
            self.register_buffer(name, value.clone(), persistent=False)
        self.register_buffer("_pairs", torch.tril_indices(size, size, -1), persistent=False)
        zeros = vector.new_zeros
        self.slope = torch.nn.Parameter(zeros(matrix.shape)) if has_slope and matrix.numel() else None
        self.shift, self.log_scale = torch.nn.Parameter(zeros(steps, size)), torch.nn.Parameter(zeros(steps, size))
        self.lower = torch.nn.Parameter(zeros(steps, size * (size - 1) // 2)) if size > 1 else None

    def factor(self) -> Float[Tensor, "time out out"]:
        """C; 1 on the diagonal where the model has no noise."""
        diagonal = scaled(self.log_scale, self._beta).exp()
        found = torch.diag_embed(torch.where(self.inside, diagonal, 1.0))
        if self.lower is not None:
            row, column = self._pairs
            both = self.inside[:, row] & self.inside[:, column]
            rest = torch.zeros_like(found)
            rest[:, row, column] = torch.where(both, scaled(self.lower, self._beta), 0.0)
            found = found + rest
        return found

    def mean(self) -> tuple[Float[Tensor, "time out given"], Float[Tensor, "time out"]]:
        """The matrix and the vector of the mean."""
        matrix = self.matrix if self.slope is None else self.matrix + self.root @ scaled(self.slope, self._beta)
        return matrix, self.vector + (self.root @ scaled(self.shift, self._beta)[..., None])[..., 0]

    def covariance(self) -> Float[Tensor, "time out out"]:
        """The covariance."""
        half = self.root @ self.factor()
        return half @ half.mT

    def distribution(
        self, t: int, given: Float[Tensor, "*draws given"] | None, parts: Any, dtype: torch.dtype = torch.float64
    ) -> Any:
        """The Gaussian of step t, with draws of this dtype; `parts` are those of `parts()`."""
        matrix, vector, factor = parts
        mean = vector[t] if given is None else (matrix[t] @ given.to(matrix)[..., None])[..., 0] + vector[t]
        mean, root, factor = mean.to(dtype), self.root[t].to(dtype), factor[t].to(dtype)
        return tilted_normal(mean, root, factor, self.inside[t] if self._is_singular else None)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The matrix and the vector of the mean, and C, computed once for all steps."""
        return (*self.mean(), self.factor())

    @torch.no_grad()
    def assign(self, name: str, matrix: Tensor, vector: Tensor, covariance: Tensor) -> None:
        """Set the block.

        Raises:
            InvalidGuide: if it has another shape, or moves or spreads where the model has no noise.
        """
        if matrix.shape != self.matrix.shape or vector.shape != self.vector.shape:
            raise InvalidGuide(
                f"`blocks` must have a {name} of shape {tuple(self.matrix.shape)} for this guide, but has "
                f"{tuple(matrix.shape)}. Take the blocks of a guide or a posterior of the same model."
            )
        inverse = torch.linalg.pinv(self.root, rtol=1e-12) if self._is_singular else torch.linalg.inv(self.root)
        slope = inverse @ (matrix - self.matrix)
        shift = (inverse @ (vector - self.vector)[..., None])[..., 0]
        inner = inverse @ covariance @ inverse.mT + torch.diag_embed((~self.inside).to(vector))
        factor, failed = torch.linalg.cholesky_ex(0.5 * (inner + inner.mT))
        size = self.root.square().sum((-2, -1)).max() + covariance.abs().max()
        if bool(failed.any()) or self._is_outside(slope, shift, inner, (matrix, vector, covariance), size):
            raise InvalidGuide(
                f"`blocks` must have a {name} that this guide can represent, whose covariance has the range of the "
                "model's noise, but it leaves that range, or depends on what this guide does not see. Take the blocks "
                "of a guide or a posterior of the same model."
            )
        if self.slope is not None:
            self.slope.copy_(worth(slope, self._beta))
        self.shift.copy_(worth(shift, self._beta))
        self.log_scale.copy_(worth(factor.diagonal(dim1=-2, dim2=-1).log(), self._beta))
        if self.lower is not None:
            self.lower.copy_(worth(factor[:, self._pairs[0], self._pairs[1]], self._beta))

    def _is_outside(
        self, slope: Tensor, shift: Tensor, inner: Tensor, due: tuple[Tensor, Tensor, Tensor], size: Tensor
    ) -> bool:
        """Whether the block differs from what the parameters can give."""
        inner = inner - torch.diag_embed((~self.inside).to(inner))
        matrix = self.matrix if self.slope is None else self.matrix + self.root @ slope
        vector = self.vector + (self.root @ shift[..., None])[..., 0]
        covariance = self.root @ inner @ self.root.mT
        pairs = zip((matrix, vector, covariance), due, (1.0, 1.0, float(size)), strict=True)
        return any(
            bool(((found - wanted).abs() > _OFF * (scale + wanted.abs())).any()) for found, wanted, scale in pairs
        )
