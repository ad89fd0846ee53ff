"""The exact ELBO and objective of a linear-quadratic model and a Gaussian guide as a Pyro loss, without sampling."""

from typing import Any, final

from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidGuide
from ...runtime.arguments import shown
from ...trajectories.gaussian.assignable import GaussianAssignable
from ...trajectories.gaussian.model import GaussianModel, is_gaussian
from ...trajectories.gaussian.objective import objective_of
from .svi_losses import ExactLoss


@final
class GaussianELBO(ExactLoss):
    r"""The exact ELBO of a `LinearQuadraticModel` and a Gaussian guide; with an optimism, $J_\beta$ (see `infer`).

    $$J_\beta = \sum_t \tfrac1\tau E\,r_t - E\,KL(\pi_t \| \rho) - \tfrac1\beta E\,KL(q_t \| p)
        - \tfrac1{\beta_0} KL(q(s_0) \| p(s_0))$$

    The means and covariances of the guide are carried forward by its own blocks, and each term is a closed form. It is
    the number that `Trace_ELBO` estimates for the same pair. For a `GaussianDialGuide` pass its optimism, which `fit`
    does by default; where β is negative the guide reverses the gradient of that block, so that it minimises.

        fit(model, guide, loss=GaussianELBO(), num_steps=500)

    Attributes:
        optimism: β of the dynamics and the start.
    """

    def __init__(self, optimism: OptimismLike = 1.0) -> None:
        """Store β. A block that the guide may not change costs nothing for any β.

        Args:
            optimism: β of the dynamics and the start; 1 for the ELBO.
        """
        super().__init__()
        self.optimism = Optimism.of(optimism)

    @property
    def objective_name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What minus the loss is."""
        return "ELBO" if self.optimism.is_elbo else "objective J_β"

    def require(self, guide: object) -> None:
        """Refuse a guide without affine-Gaussian blocks, with InvalidGuide."""
        if isinstance(guide, type) or not isinstance(guide, GaussianAssignable):
            raise InvalidGuide(
                f"`guide` must be a Gaussian guide, such as ClampedGaussianGuide(model), for GaussianELBO, but is "
                f"{shown(guide)}. For any other take Trace_ELBO."
            )

    def bound(self, model: GaussianModel, guide: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """$J_β$, in nats.

        Raises:
            InvalidGuide: if the model is not linear-quadratic.
        """
        if not is_gaussian(model):
            raise InvalidGuide(
                f"`model` must be a LinearQuadraticModel for GaussianELBO, but is {shown(model)}. Take Trace_ELBO, or "
                'method="natural_gradient".'
            )
        return gaussian_objective(model, guide, self.optimism)


def gaussian_objective(model: GaussianModel, guide: GaussianAssignable, optimism: Optimism) -> Tensor:
    """$J_β$ of a Gaussian guide of a linear-quadratic model, in nats, exactly and differentiable."""
    dynamics, initial, _ = optimism.at(model.temperature).numbers("a linear-quadratic model")
    return objective_of(model, guide.blocks(), dynamics, initial)
