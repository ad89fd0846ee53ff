"""What fitting needs of a guide with affine-Gaussian blocks."""

from typing import Protocol, runtime_checkable

from ...chance.optimism import Optimism
from .blocks import GaussianBlocks


@runtime_checkable
class GaussianAssignable(Protocol):
    """A guide whose affine-Gaussian blocks can be set; `ClampedGaussianGuide` is one."""

    @property
    def optimism(self) -> Optimism:
        """β of each block; the guide is fitted to $J_β$, which is the ELBO if every β is 0 or 1."""
        ...

    @property
    def free_blocks(self) -> tuple[str, ...]:
        """The blocks of chance that it may change, out of "initial" and "dynamics"."""
        ...

    @property
    def sees_state(self) -> bool:
        """Whether its actions may depend on the state."""
        ...

    def factors(self) -> GaussianBlocks:
        """The factors; of blocks that it may not change any."""
        ...

    def blocks(self) -> GaussianBlocks:
        """The factors, freshly computed; differentiable where they have parameters."""
        ...

    def optimum(self) -> GaussianBlocks:
        """The exact optimum among the blocks that the guide can represent."""
        ...

    def assign(self, blocks: GaussianBlocks) -> None:
        """Set the parameters so that `blocks()` returns these; blocks that the guide may not change are ignored."""
        ...
