r"""Natural gradients of the objective of a Gaussian guide of a model over vectors; a step must raise the objective.

Each step measures the expected gradient and curvature of the rewards at the guide's own marginals, and solves the
linear-quadratic problem that they make together with the guide (see `inference.local.step`). If the dynamics are affine
its fixed points are stationary points of $J_\beta$ among linear-Gaussian guides [khan2017]; of a clamped guide of other
dynamics the marginals are Gaussians with matched moments, and so is $J_\beta$. With a negative β a step must raise the
least $J_\beta$ of the policy over the adversaries.

Sources:
    [khan2017] M. E. Khan and W. Lin, Conjugate-computation variational inference: converting variational inference in
        non-conjugate models to inferences in conjugate models. International Conference on Artificial Intelligence and
        Statistics, Proceedings of Machine Learning Research 54, pages 878–887, 2017. arXiv:1703.04265
"""

from typing import final

from ...trajectories.gaussian.assignable import GaussianAssignable
from ..local.around import Around, around
from ..local.expectations import Points
from ..local.refusal import refuse_unbounded
from ..local.step import Step, improved_around
from ..local.vector_model import VectorModel

_POINTS, _SEED, _OTHER_SEED = 4096, 0, 1


@final
class GaussianNaturalGradient:
    """The natural gradient of one guide: `step` makes a step, `remeasured` measures the guide at other points.

    Attributes:
        is_exact: whether the model is affine and Gaussian but for its rewards, as far as the last points show.
    """

    def __init__(self, model: VectorModel, guide: GaussianAssignable, step_size: float) -> None:
        """Take the pair and the largest step η in (0, 1]."""
        self._model, self._guide, self._step_size = model, guide, step_size
        beta = guide.optimism.at(model.temperature).numbers("a Gaussian guide")
        free = guide.free_blocks
        self._beta = beta[0] if "dynamics" in free else 0.0, beta[1] if "initial" in free else 0.0
        blocks = guide.factors()
        size = 2 * blocks.drift.shape[-1] + blocks.offset.shape[-1]
        self._points = Points.quasi_random(_POINTS, size, _SEED)
        self._others = Points.quasi_random(_POINTS, size, _OTHER_SEED)
        self.is_exact = self._around(self._points).is_exact
        self._last: Around | None = None
        self._step: Step | None = None

    def step(self) -> float:
        """Make one step, and return $J_β$ before it, in nats. A guide that no step improves stays as it is.

        With a negative β it is the least $J_β$ of the policy over Gaussian adversaries (see
        `inference.local.adversary`), and the guide holds the adversary that attains it.

        Raises:
            OptimismBreakdown: if the objective is unbounded.
        """
        now = self._around(self._points, self._last)
        found = improved_around(now, self._beta, self._step_size, self._points, self._guide.sees_state)
        self.is_exact = found.found.is_exact
        refuse_unbounded(found, self._guide.optimism, self._beta, False, self._guide.sees_state)
        if found.size > 0 or min(self._beta) < 0:  # the adversary moves, even if the policy stays
            self._guide.assign(found.found.blocks)
        self._last, self._step = found.found, found
        return found.before

    def require_bounded(self) -> None:
        """Require that the objective is bounded where the fit has come to rest.

        Raises:
            OptimismBreakdown: if the linear-quadratic problem around the guide has no solution at this optimism.
        """
        if self._step is not None:
            refuse_unbounded(self._step, self._guide.optimism, self._beta, True, self._guide.sees_state)

    def remeasured(self) -> float:
        """$J_β$ of the guide at points that were not used to fit it, in nats."""
        return self._around(self._others, self._last).objective(self._others, *self._beta)

    def _around(self, points: Points, known: Around | None = None) -> Around:
        free = self._beta[1] != 0, self._beta[0] != 0
        return around(self._model, self._guide.factors().detach(), free, points, known)
