"""Expectation maximisation: natural-gradient steps for guides that are not tables.

Sources:
    [abdolmaleki2018] A. Abdolmaleki et al., Maximum a posteriori policy optimisation. International Conference on
        Learning Representations, 2018. arXiv:1806.06920
    [neal1998] R. M. Neal and G. E. Hinton, A view of the EM algorithm that justifies incremental, sparse, and other
        variants. Learning in Graphical Models, pages 355–368, 1998. doi:10.1007/978-94-011-5014-9_12
"""

import math

import torch

from ...errors import InvalidArgument
from ...trajectories.blocks import Assignable, HasBlocks, MarkovModel
from .natural_gradient import improved
from .projection import move_towards


def em_step(model: MarkovModel, guide: HasBlocks, step_size: float = 1.0, maximisation_steps: int = 20) -> float:
    r"""Improve the blocks of a guide as if they were tables, then fit its parameters to the improved blocks.

    Expectation: a natural-gradient step of size η (see `improved`) gives the targets $\pi^*_t$, $q^*_t$ and $q^*(s_0)$.
    Maximisation: the parameters θ are moved to lower

    $$KL(q^*(s_0) \| q_\theta(s_0))
        + \sum_t E_{old} \bigl[KL(\pi^*_t \| \pi_{\theta,t}) + KL(q^*_t \| q_{\theta,t})\bigr]$$

    by a few steps of L-BFGS, which is restarted every time, so that the next step depends only on the guide. States are
    weighted by how often the old guide visits them. Blocks that do not depend on a parameter are left out, and
    so are targets that the guide excludes: an action that one state masks, for a guide that ignores the state.

    A guide that can represent its targets (`ClampedGuide`) makes natural-gradient steps and reaches its optimum. One
    that cannot (`StationaryGuide`) ends at a compromise between its targets, slightly below its best ELBO. The loss
    falls with η², because the compromise is that of the ELBO only for small steps.

    Args:
        model: the true dynamics and the rewards.
        guide: a module whose blocks depend on its parameters, which are changed in place.
        step_size: η in (0, 1].
        maximisation_steps: the most iterations of L-BFGS.

    Returns:
        The ELBO before the step, in nats. If it is not finite, the parameters are unchanged.

    Raises:
        InvalidArgument: if the guide has no parameters, or is fitted to another objective than the ELBO.

    References:
        [abdolmaleki2018], [neal1998]
    """
    parameters = em_parameters(guide)
    with torch.no_grad():
        old = guide.blocks()
        target, before = improved(model, old, step_size)
        if not math.isfinite(before):
            return before
        visits = old.marginals()
    move_towards(target, visits, guide, parameters, maximisation_steps)
    return before


def em_parameters(guide: object) -> list[torch.nn.Parameter]:
    """The parameters of the guide that require gradients.

    Raises:
        InvalidArgument: if there are none, or the guide is fitted to another objective than the ELBO.
    """
    name, found = type(guide).__name__, parameters_for("em", guide)
    if isinstance(guide, Assignable) and not guide.optimism.is_elbo:
        raise InvalidArgument(
            f'`guide` must be fitted to the ELBO for method="em", every β 0 or 1, but {name} has {guide.optimism}. Use '
            'method="natural_gradient" or "svi".'
        )
    return found


def parameters_for(method: str, guide: object) -> list[torch.nn.Parameter]:
    """The parameters of the guide that require gradients.

    Raises:
        InvalidArgument: if there are none; the message names the method.
    """
    found = [each for each in guide.parameters() if each.requires_grad] if isinstance(guide, torch.nn.Module) else []
    if not found:
        raise InvalidArgument(
            f'`guide` must have torch parameters for method="{method}", but {type(guide).__name__} has none. A guide '
            'whose blocks can be assigned is fitted with method="natural_gradient" or "exact".'
        )
    return found
