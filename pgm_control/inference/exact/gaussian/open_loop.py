"""The best plan that does not see the state, in a linear-quadratic model."""

import torch

from ....errors import InvalidArgument
from ....trajectories.gaussian.blocks import GaussianBlocks
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.objective import true_blocks
from ....trajectories.gaussian.riccati import prepared
from .solve import infer_gaussian


def open_loop_optimum(model: GaussianModel) -> GaussianBlocks:
    r"""The best independent Gaussian actions under the start and the dynamics of the model.

    The means are the actions of the regulator along its mean path, because noise that is not seen does not move them.
    The covariances are $\tau H_{aa}^{-1}$ where the state is not corrected later:

    $$P_t = H_{ss} + \gamma A'P_{t+1}A, \qquad H_{aa} \leftarrow H_{aa} + \gamma B'P_{t+1}B$$

    with H the cost of a step, the action prior included. A prior whose mean depends on the state counts in $H_{ss}$.

    Raises:
        InvalidArgument: if no plan is best.
    """
    regulator = infer_gaussian(model, 0.0)
    given, path = prepared(model), regulator.marginals()
    n, front = given.drift.shape[-1], given.drift.dim() - 2
    P, spreads = given.final_hessian, []
    for t in reversed(range(given.drift.shape[-2])):
        F, H = given.transition.select(front, t), given.hessian.select(front, t)
        H = H + given.discount * F.mT @ P @ F
        factor, failed = torch.linalg.cholesky_ex(H[..., n:, n:])
        if bool(failed.any()):
            raise InvalidArgument(
                f"`model` must have a cost that is convex in plans, but at step {t} no action is best for a plan that "
                "does not see the state. Raise the cost of the action, or narrow the action prior."
            )
        spreads.append(given.temperature * torch.cholesky_inverse(factor))
        P = H[..., :n, :n]
    blocks = regulator.blocks().replace(
        gain=torch.zeros_like(regulator.gain),
        offset=-path.action_mean,
        policy_covariance=torch.stack(spreads[::-1], front),
    )
    return true_blocks(model, blocks).detach()
