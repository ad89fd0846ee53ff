r"""iLQG: a linear-quadratic problem is made along one path, the mean of the guide, solved, and made again.

Sources:
    [todorov2005] E. Todorov and W. Li, A generalized iterative LQG method for locally-optimal feedback control of
        constrained nonlinear stochastic systems. American Control Conference, pages 300–306, 2005.
        doi:10.1109/ACC.2005.1469949
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument
from ...runtime.arguments import fraction, number, shown, whole
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.status import Status
from ...text.wording import amount
from ...trajectories.gaussian.blocks import GaussianBlocks
from .around import Around
from .expectations import Points
from .refusal import refuse_unbounded
from .step import improved_around, prior_around
from .vector_model import vector_model_of

_SMALL = 1e-6  # relative change of gains that have converged
_TINY = 2.0**-8  # a share of the new rewards below which the search has come to the edge of what has a solution


class ILQGStatus(Status):
    """How iLQG ended."""

    converged = "The mean path and the gains around it stopped changing."
    no_progress = (
        "No step, however small, improves the mean path. Its rewards may have no second derivative there; a natural "
        "gradient averages over the noise."
    )
    out_of_steps = "`num_steps` was reached before the mean path and the gains around it stopped changing. Raise it."
    interrupted = "Interrupted by Ctrl-C."


@final
@dataclass(frozen=True, eq=False, repr=False)
class ILQG:
    """The result of iLQG.

    Attributes:
        guide: the affine-Gaussian blocks; those of chance with β = 0 are the local approximation of the model's.
        objective: the objective of the mean path, in nats: its rewards, less half of the squared lengths of its actions
            and, over β, of its noises, in units of their deviations. It is not J_β of the guide, in which everything
            has a spread: assign the blocks to a Gaussian guide and estimate that.
        history: the same before each step. With a negative β each is the least one over the noises, for the policy.
        status: how it ended.
        num_steps: the number of steps.
        seconds: the time they took.
    """

    guide: GaussianBlocks
    objective: float
    history: Float[Tensor, " step"]
    status: ILQGStatus
    num_steps: int
    seconds: float

    def __repr__(self) -> str:
        """The objective of the path and the message of the status."""
        reached = f"objective of the mean path {amount(self.objective)} nats"
        return f"ILQG({reached} after {self.num_steps} steps, {self.seconds:.1f} s. {self.status.message})"


def ilqg(
    model: Any,
    optimism: OptimismLike = 0.0,
    *,
    step_size: float = 1.0,
    num_steps: int = 100,
    tolerance: float = 1e-6,
    progress: Progress = silent,
) -> ILQG:
    r"""An affine-Gaussian policy by linear-quadratic problems along one path [todorov2005], for any optimism.

    The dynamics are linearised and the rewards expanded to second order at the mean path of the last guide. The
    resulting problem is solved exactly at β, the mean path moves, and so on. A step is accepted only if the objective
    of the mean path does not fall, otherwise it is halved: it mixes the new rewards with those for which the last guide
    is optimal, so that a small step has a solution however the rewards are curved. With a negative β the noises
    minimise the objective of the path, and a step must raise the least one of the policy.

    What lies beside the path is not seen: a pit that the mean path misses by several widths of its edge has neither
    gradient nor curvature there. On the gusty ledge with the wind clamped the path passes half a unit above ground that
    is safe, where the exact one passes a whole unit above it: the guide has an ELBO of −90.1 nats and earns −40.
    `fit(model, guide, method="natural_gradient")` averages over the noise instead, and has −22.4 nats.

    Args:
        model: a model over vectors, such as `ContinuousModel` or `PlanarModel`; rewards with two derivatives.
        optimism: β of the dynamics and the start.
        step_size: the largest share of the new rewards in a step, in (0, 1].
        num_steps: the largest number of steps.
        tolerance: in nats: the search ends at a step that changes the objective of the path by less, and gains and
            covariances by less than 1e-6.
        progress: called after every step.

    Returns:
        An `ILQG`. Its `guide` can be assigned to a `ClampedGaussianGuide` or `FreeGaussianGuide`.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        OptimismBreakdown: if the linear-quadratic problem along the last path has no solution at this optimism.
        InvalidProblem: if a distribution of the model has no known moments, or one that may change has bounds.

    References:
        [todorov2005]
    """
    vectors = vector_model_of(model)
    if vectors is None:
        raise InvalidArgument(
            f"`model` must be over vectors, such as ContinuousModel or PlanarModel, but is {shown(model)}. infer "
            "solves a LinearQuadraticModel exactly."
        )
    step_size, num_steps = fraction("step_size", step_size), whole("num_steps", num_steps)
    if not number(tolerance) >= 0:
        raise InvalidArgument(f"`tolerance` must be a number of nats, 0 or more, but is {shown(tolerance)}.")
    asked = Optimism.of(optimism)
    numbers = asked.at(vectors.temperature).numbers("iLQG")
    beta, points = (numbers[0], numbers[1]), Points(None)
    now: Around = prior_around(vectors, points, (beta[1] != 0, beta[0] != 0))
    objective = now.objective(points, *beta)
    history = list[float]()
    loop = Loop(ILQGStatus.out_of_steps, limit=num_steps, progress=progress)
    with loop:
        for _ in loop:
            found = improved_around(now, beta, step_size, points)
            rests = abs(found.objective - found.before) < number(tolerance) and _is_same(now.blocks, found.found.blocks)
            now, objective, ending = found.found, found.objective, None
            history.append(found.before)
            if found.size == 0:
                ending = ILQGStatus.no_progress
            elif rests:
                ending = ILQGStatus.converged
            at_rest = ending is not None or len(history) == num_steps or found.size < _TINY
            refuse_unbounded(found, asked, beta, at_rest)
            loop.report({"objective of the path": objective}, None, ending)
    trace = torch.tensor(history, dtype=torch.float64)
    status: ILQGStatus = loop.status
    return ILQG(now.blocks, objective, trace, status, len(history), loop.seconds)


def _is_same(one: GaussianBlocks, other: GaussianBlocks) -> bool:
    """Whether two guides have the same gains and covariances but for small differences."""
    pairs = ((one.gain, other.gain), (one.policy_covariance, other.policy_covariance), (one.noise, other.noise))
    return all(bool((a - b).abs().amax() <= _SMALL * (1.0 + b.abs().amax())) for a, b in pairs)
