"""The information that passes through a discrete channel, and its capacity.

Sources:
    [arimoto1972] S. Arimoto, An algorithm for computing the capacity of arbitrary discrete memoryless channels. IEEE
        Transactions on Information Theory 18(1):14–20, 1972. doi:10.1109/TIT.1972.1054753
    [blahut1972] R. E. Blahut, Computation of channel capacity and rate-distortion functions. IEEE Transactions on
        Information Theory 18(4):460–473, 1972. doi:10.1109/TIT.1972.1054855
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import relative, weighted

_LONGEST = 1e4  # the longest step


class Capacity(NamedTuple):
    """A lower bound of the capacity of a channel, and what attains it.

    Attributes:
        value: the information of these inputs, in nats.
        gap: the capacity is at most `value + gap`, but for rounding.
        inputs: the distribution of inputs.
        num_steps: the number of steps.
    """

    value: float
    gap: float
    inputs: Float[Tensor, " input"]
    num_steps: int


def information(inputs: Float[Tensor, " input"], channel: Float[Tensor, "input output"]) -> Float[Tensor, ""]:
    r"""The mutual information $\sum_x p(x)\, KL(p(y \mid x) \| p(y))$, in nats."""
    return weighted(inputs, divergences(inputs, channel)).sum()


def divergences(inputs: Float[Tensor, " input"], channel: Float[Tensor, "input output"]) -> Float[Tensor, " input"]:
    r"""$D(x) = KL(p(y \mid x) \| p(y))$ of each input, in nats."""
    mixed = inputs @ channel
    return weighted(channel, relative(channel.log(), mixed.log())).sum(-1)


def capacity(channel: Float[Tensor, "input output"], tolerance: float, max_steps: int) -> Capacity:
    r"""The capacity $\max_p I(p)$ of a channel $p(y \mid x)$ by the iteration of Blahut and Arimoto, with longer steps.

    $$p(x) \leftarrow p(x)\, e^{\eta D(x)} / Z, \qquad I(p) = \sum_x p(x) D(x) \le C \le \max_x D(x)$$

    With η = 1 it is their iteration [arimoto1972], [blahut1972]. The information is concave in p and its gradient is
    D(x) − 1. So it has risen wherever it still rises along the step at the step's end: η is doubled then, and else
    halved and the step taken back. Unlike the information itself, this sign is known to the last digits.

    Args:
        channel: p(y|x), rows that sum to 1.
        tolerance: the gap $\max_x D(x) - I(p)$ at which to stop, in nats.
        max_steps: the maximum number of steps.
    """
    least = torch.finfo(channel.dtype).tiny / torch.finfo(channel.dtype).eps  # no input is lost
    at = torch.full_like(channel[:, 0], 1.0 / len(channel))
    distance, length, steps = divergences(at, channel), 1.0, 0
    while steps < max_steps and _gap(at, distance) > tolerance:
        steps += 1
        ahead = (at.log() + length * (distance - distance.max())).softmax(-1).clamp_min(least)
        beyond = divergences(ahead, channel)
        if float((beyond - beyond.max()) @ (ahead - at)) >= 0:
            at, distance, length = ahead, beyond, min(2 * length, _LONGEST)
        else:
            length /= 2
    return Capacity(max(float(at @ distance), 0.0), _gap(at, distance), at, steps)


def _gap(at: Float[Tensor, " input"], distance: Float[Tensor, " input"]) -> float:
    return max(float(distance.max() - at @ distance), 0.0)
