"""The error of a solution on a mesh: what the edge cuts off, and the difference from a coarser mesh."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ....chance.optimism import Optimism
from ....errors import InvalidArgument, OptimismBreakdown
from .account import Account
from .mesh import Mesh
from .posterior import GridPosterior, MeshError, Steps
from .solution import Densities, Values


@runtime_checkable
class SolvedOnMesh(Protocol):
    """Both sweeps on one mesh."""

    @property
    def values(self) -> Values:
        """The tables of the backward sweep."""
        ...

    @property
    def believed(self) -> Densities:
        """The log-densities under the believed dynamics."""
        ...

    @property
    def true(self) -> Densities:
        """The log-densities under the true dynamics."""
        ...

    @property
    def account(self) -> Account:
        """Returns and divergences by step."""
        ...


def compared(
    model: Any, optimism: Optimism, mesh: Mesh, fine: SolvedOnMesh, rough: SolvedOnMesh, steps: Steps
) -> GridPosterior:
    """The posterior on the finer of two meshes, with its difference from the coarser one as the stated error."""
    tau = model.temperature
    imagined, true = (
        _change(getattr(fine.account, name), getattr(rough.account, name))
        for name in ("imagined_rewards", "true_rewards")
    )
    change = abs(fine.values.value - rough.values.value) / tau
    return GridPosterior(
        model=model,
        optimism=optimism,
        mesh=mesh,
        objective=fine.values.value / tau,
        account=fine.account,
        error=MeshError(change, imagined, true, fine.account.edge_mass),
        values=fine.values,
        believed=fine.believed,
        true=fine.true,
        steps=steps,
    )


def _change(fine: Tensor, rough: Tensor) -> float:
    """The change of a sum; 0 where both are −inf."""
    return abs(float(torch.where(fine == rough, 0.0, fine - rough).sum()))


def require_inside(mass: float, most: float, beta: float, mesh: str) -> None:
    """Refuse a solution that puts too much probability at the edge of its mesh.

    Raises:
        OptimismBreakdown: if β is negative.
        InvalidArgument: otherwise.
    """
    if mass > most:
        why = (
            "an adversary whose optimum lies at the edge has probably broken down: choose an optimism nearer to 0"
            if beta < 0
            else "the numbers depend on where it is cut off: pass a wider `box` to infer_planar or infer_line"
        )
        said = f"`optimism` {beta:g} puts the probability {mass:.2g} at the edge of {mesh}; {why}."
        raise OptimismBreakdown(said, beta) if beta < 0 else InvalidArgument(said)
