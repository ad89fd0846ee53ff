"""The Gaussian guides, by the blocks that they may change.

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
    [watson2019] J. Watson, H. Abdulsamad and J. Peters, Stochastic optimal control as approximate input inference.
        Conference on Robot Learning, Proceedings of Machine Learning Research 100, pages 697–716, 2019.
        arXiv:1910.03003
"""

from typing import final

from pgm_control.chance.optimism import Optimism, OptimismLike
from pgm_control.inference.exact.grid.infer_planar import HasPlane
from pgm_control.inference.local.vector_model import VectorModel
from pgm_control.trajectories.gaussian.model import GaussianModel

from .gaussian import GaussianGuide


@final
class ClampedGaussianGuide(GaussianGuide):
    r"""Learn a linear-Gaussian policy; keep the model's start and dynamics.

    $$q = p(s_0) \prod_t N(a_t; -K_t s_t - \kappa_t, \Sigma_t)\, p(s_{t+1} \mid s_t, a_t)$$

    Of a `LinearQuadraticModel` the best ELBO is `infer(model, 0.0).objective`, that of the regulator with Gaussian
    noise on its actions.

    Parameters: `policy_factor`, in units of the deviation of the action prior.
    """

    def __init__(self, model: GaussianModel | VectorModel | HasPlane) -> None:
        """Start at the action prior of the model."""
        super().__init__(model, 0.0)


@final
class FreeGaussianGuide(GaussianGuide):
    r"""Learn a linear-Gaussian start, policy and dynamics.

    $$q = N(s_0; m, S_0) \prod_t N(a_t; -K_t s_t - \kappa_t, \Sigma_t)\, N(s_{t+1}; F_t (s_t, a_t) + d_t, W_t)$$

    Of a `LinearQuadraticModel` the best one is the exact posterior [watson2019], and its log-weight is constant,
    log p(O); with a discount survival stays clamped. A start or a noise that the model lacks is not learned: the
    covariances keep their range.

    Parameters: `policy_factor`, `start_factor`, `dynamics_factor`, in units of the model's own deviations.

    References:
        [watson2019]
    """

    def __init__(self, model: GaussianModel | VectorModel | HasPlane) -> None:
        """Start at the prior of the model."""
        super().__init__(model, Optimism(dynamics=1.0, initial=1.0, survival=0.0))


@final
class GaussianDialGuide(GaussianGuide):
    r"""Learn a linear-Gaussian policy, and start and dynamics at the price 1/β.

    It maximises $J_\beta$ (see `infer`). A negative β makes a block adversarial: the solution is then a saddle point,
    and the gradient of that block is reversed, so that any optimiser of `fit` that follows gradients finds it
    [jacobson1973]. The parameters of a block are divided by β, so that all β are equally easy to fit.

    Of a `LinearQuadraticModel` the optimum is `infer(model, optimism)`.

    References:
        [jacobson1973]
    """

    def __init__(self, model: GaussianModel | VectorModel | HasPlane, optimism: OptimismLike) -> None:
        """Start at the prior of the model.

        Args:
            model: the model.
            optimism: β of the start and the dynamics, a `Risk`, or an `Optimism` with one of these per block.

        Raises:
            InvalidArgument: if parts of `optimism` do not fit the model.
        """
        super().__init__(model, optimism)


@final
class OpenLoopGaussianGuide(GaussianGuide):
    r"""Learn a Gaussian action for each time, which does not depend on the state; keep the model's start and dynamics.

    $$q = p(s_0) \prod_t N(a_t; \mu_t, \Sigma_t)\, p(s_{t+1} \mid s_t, a_t)$$

    The ELBO of `ClampedGaussianGuide` minus its own is the value of observing the state. Of a `LinearQuadraticModel`
    the best plan is the mean path of the regulator, and only the covariances differ.

    Parameters: `policy_factor`, in units of the deviation of the action prior.
    """

    def __init__(self, model: GaussianModel | VectorModel | HasPlane) -> None:
        """Start at the mean of the action prior along the trajectories of the model."""
        super().__init__(model, 0.0, sees_state=False)
