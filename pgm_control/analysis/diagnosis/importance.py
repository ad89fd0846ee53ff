"""How well the draws of a guide can be weighted to those of the posterior: Pareto k̂.

Sources:
    [vehtari2024] A. Vehtari et al., Pareto smoothed importance sampling. Journal of Machine Learning Research
        25(72):1–58, 2024. arXiv:1507.02646
    [yao2018] Y. Yao et al., Yes, but did it work?: evaluating variational inference. International Conference on
        Machine Learning, Proceedings of Machine Learning Research 80, 2018. arXiv:1802.02538
"""

import math

import torch
from jaxtyping import Float
from pyro.ops.stats import fit_generalized_pareto
from torch import Tensor

_ROUNDINGS = 64  # of the largest log-weight, in its precision, by which equal ones may differ
_FEWEST = 5  # different weights in a tail that can be fitted


def pareto_shape(log_weight: Float[Tensor, " draw"]) -> float:
    r"""The shape k̂ of a generalised Pareto distribution fitted to the largest weights [vehtari2024].

    The weights have a finite mean where k < 1 and a finite variance where k < 1/2. It is fitted to the
    $\min(S/5, 3\sqrt S)$ largest of S weights, and is −inf for constant weights and nan where these take fewer
    than five values, as in a problem with few trajectories.

    Args:
        log_weight: log w of independent draws, in nats.

    References:
        [vehtari2024], [yao2018]
    """
    drawn = log_weight.detach().double().sort().values
    if not bool(drawn[-1] > -math.inf):
        return math.nan
    rounding = _ROUNDINGS * torch.finfo(log_weight.dtype).eps * max(1.0, float(drawn[-1].abs()))
    if drawn[-1] - drawn[0] < rounding:
        return -math.inf
    count = math.ceil(min(len(drawn) / 5, 3.0 * math.sqrt(len(drawn))))
    weight = (drawn - drawn[-1]).exp()
    tail = weight[weight > weight[-count - 1]] - weight[-count - 1]
    return float(fit_generalized_pareto(tail)[0]) if len(tail.unique()) >= _FEWEST else math.nan


def largest_reliable_shape(num_samples: int) -> float:
    r"""The k̂ up to which estimates from this many weighted draws are reliable, $\min(1 - 1/\log_{10} S, 0.7)$.

    References:
        [vehtari2024]
    """
    return min(1.0 - 1.0 / math.log10(num_samples), 0.7)
