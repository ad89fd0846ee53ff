"""The soft value of a state from samples of its actions.

Sources:
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
"""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from ...runtime.arguments import positive


class SampledValue(NamedTuple):
    """The result of `soft_value_of_samples`."""

    value: Float[Tensor, "*batch"]
    """The soft value, in reward units."""
    effective: Float[Tensor, "*batch"]
    """The effective number of samples, from 1 to n: (Σ w)² / Σ w² of the weights w."""


def soft_value_of_samples(
    q: Float[Tensor, "*batch particle"],
    log_prior: Float[Tensor, "*#batch particle"],
    log_proposal: Float[Tensor, "*#batch particle"],
    temperature: float,
) -> SampledValue:
    r"""The soft value estimated by importance sampling, in log space.

    $$V(s) = \tau \log \mathbb{E}_{a \sim \rho}\, e^{Q(s, a) / \tau}
    \approx \tau \log \frac{1}{n} \sum_j \frac{\rho(a^j)}{q(a^j)} e^{Q(s, a^j) / \tau}, \qquad a^j \sim q$$

    The mean inside the logarithm is unbiased, so the value is too low on average, by about $\tau / 2$ times 1/effective
    − 1/n. It is exact for any number of samples if $q \propto \rho\, e^{Q / \tau}$. The proposal must be positive
    wherever the prior is.

    Args:
        q: $Q(s, a^j)$, in reward units.
        log_prior: $\log \rho(a^j)$, in nats, normalised; −d log 2 for the uniform one on $[-1, 1]^d$.
        log_proposal: $\log q(a^j)$, in nats, normalised, with respect to the same measure.
        temperature: τ > 0, in reward units per nat.

    Raises:
        InvalidArgument: if the temperature is not positive.

    References:
        [haarnoja2017]
    """
    temperature = positive("temperature", temperature, remedy="For the hard limit take a small one.")
    log_weight = q / temperature + log_prior - log_proposal
    total = log_weight.logsumexp(-1)
    effective = (2 * total - (2 * log_weight).logsumexp(-1)).exp()
    return SampledValue(temperature * (total - math.log(q.shape[-1])), effective)
