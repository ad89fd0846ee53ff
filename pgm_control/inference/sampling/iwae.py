"""The importance-weighted bound: between the ELBO and log p(O), the tighter the more particles.

Sources:
    [burda2016] Y. Burda, R. Grosse and R. Salakhutdinov, Importance weighted autoencoders. International Conference on
        Learning Representations, 2016. arXiv:1509.00519
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from ...runtime.arguments import whole
from ...trajectories.blocks import MarkovModel
from ...trajectories.process import Process
from .estimate import Estimate, require_draws
from .log_weights import log_weights


def iwae_bound(
    model: MarkovModel,
    guide: Callable[[], Any] | Process,
    num_particles: int,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> Estimate:
    r"""The importance-weighted bound of K particles, in nats.

    $$L_K = E\Bigl[\log \frac1K \sum_{k=1}^K w_k\Bigr], \qquad \text{ELBO} = L_1 \le L_2 \le \dots \to \log p(O)$$

    The estimate is unbiased for the bound $L_K$, with its standard error; for log p(O) it is too low on average. The
    error of a bound says nothing about the distance of the bound from log p(O).

    Args:
        model: the tabular model.
        guide: any guide of it; see `log_weights`.
        num_particles: K, at least 1.
        num_samples: how many sets of K trajectories are drawn, at least 2.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument, InvalidGuide: as `log_weights`.

    References:
        [burda2016]
    """
    sets, size = require_draws("num_samples", num_samples), require_particles(num_particles)
    drawn = log_weights(model, guide, sets * size, seed).view(sets, size)
    return Estimate.of(torch.logsumexp(drawn, -1) - math.log(size))


def require_particles(num_particles: int) -> int:
    """Refuse what is not a number of particles."""
    return whole("num_particles", num_particles)
