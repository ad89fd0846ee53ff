"""The importance-weighted bound: it lies between the ELBO and log p(O) and is tighter for more particles.

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
    model: MarkovModel | Callable[[], Any],
    guide: Callable[[], Any] | Process,
    num_particles: int,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> Estimate:
    r"""An estimate of the importance-weighted bound with K particles, in nats.

    $$L_K = E\Bigl[\log \frac1K \sum_{k=1}^K w_k\Bigr], \qquad \text{ELBO} = L_1 \le L_2 \le \dots \to \log p(O)$$

    The estimate is unbiased for the bound $L_K$, but too low on average for log p(O). Its standard error says nothing
    about the distance of the bound from log p(O).

    Args:
        model: the tabular model, or any Pyro program with `roles`; see `log_weights`.
        guide: any guide for it; see `log_weights`.
        num_particles: K, at least 1.
        num_samples: the number of sets of K trajectories, at least 2.
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
    """The number of particles, checked to be a positive whole number."""
    return whole("num_particles", num_particles)
