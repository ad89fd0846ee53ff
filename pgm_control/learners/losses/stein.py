"""The Stein variational gradient, with which a network learns to sample.

Sources:
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
    [liu2016] Q. Liu and D. Wang, Stein variational gradient descent: a general purpose Bayesian inference algorithm.
        Advances in Neural Information Processing Systems 29, 2016. arXiv:1608.04471
    [wang2016] D. Wang and Q. Liu, Learning to draw samples: with application to amortized MLE for generative
        adversarial learning. 2016. arXiv:1611.01722
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from pyro.infer.svgd import RBFSteinKernel
from torch import Tensor

from ...errors import InvalidArgument
from ...networks.squashed_gaussian import log_jacobian

_kernel = RBFSteinKernel()


def stein_direction(
    particles: Float[Tensor, "*batch particle action"], score: Float[Tensor, "*batch particle action"]
) -> Float[Tensor, "*batch particle action"]:
    r"""The direction in which a small step of all particles decreases their KL divergence to p the fastest.

    $$\varphi(u^i) = \frac{1}{n} \sum_j k(u^j, u^i)\, \nabla \log p(u^j) + \nabla_{u^j} k(u^j, u^i), \qquad
    k(u, u') = \exp\left(-\sum_d (u_d - u'_d)^2 / h_d\right)$$

    The first term pulls particles to where p is large, the second makes them repel each other. The width $h_d$ is the
    median of the squared distances in coordinate d, divided by $\log(n + 1)$. Particles that coincide stay together.

    Args:
        particles: $u$, in any number of independent sets, one for each state.
        score: $\nabla \log p$ at the particles.

    Returns:
        φ, with the shape of the particles.

    Raises:
        InvalidArgument: if there is only one particle, which has no distances.

    References:
        [liu2016], [wang2016]
    """
    number, size = particles.shape[-2:]
    if number < 2:
        raise InvalidArgument(f"`particles` must be at least 2 in each set, but are {number}. Take 16, say.")
    flat = particles.reshape(-1, number, size)
    # [i, j] is the pair (u^i, u^j). Pyro documents the second result as the derivative in u^j, but it is that in u^i,
    # which has the opposite sign: Pyro's particles descend.
    log_kernel, away = torch.func.vmap(_kernel.log_kernel_and_grad)(flat)
    # Particles that coincide have width 0, which gives 0 / 0 or x / 0. The limit is no force, and a kernel of 1 or 0.
    kernel = log_kernel.nan_to_num(nan=0.0).sum(-1).exp()
    push = away.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    pulled = kernel @ score.reshape(-1, number, size)
    pushed = torch.einsum("bij,bijd->bid", kernel, push)
    return ((pulled - pushed) / number).reshape(particles.shape)


class SteinStep(NamedTuple):
    """The result of `stein_loss`."""

    loss: Float[Tensor, ""]
    """Its gradient in the sampler's parameters is −φ backpropagated through the particles. Its value has no meaning."""
    size: Float[Tensor, ""]
    """The root mean square of φ, which is 0 if the particles are at rest."""


def stein_loss(
    u: Float[Tensor, "*batch particle action"],
    log_density: Callable[[Float[Tensor, "*batch particle action"]], Float[Tensor, "*batch particle"]],
) -> SteinStep:
    r"""The loss of one step of a sampler $u = f(\xi, s)$ towards actions $a = \tanh u$ of a given density.

    Particles are points before the squashing. There the density of actions $p_a$ becomes
    $$\log p(u) = \log p_a(\tanh u) + \sum_d \log(1 - \tanh^2 u_d),$$
    and the kernel and both gradients are with respect to $u$. In the box itself Stein's identity fails, because p does
    not vanish at the boundary, where particles would have to be held.

    Args:
        u: the particles of the sampler, differentiable in its parameters.
        log_density: $\log p_a$ of actions in $(-1, 1)^d$, in nats, up to a constant: $Q(s, a) / \tau + \log \rho(a|s)$.

    References:
        [haarnoja2017], [wang2016]
    """
    with torch.enable_grad():
        at = u.detach().requires_grad_()
        total = log_density(at.tanh()) + log_jacobian(at).sum(-1)
        (score,) = torch.autograd.grad(total.sum(), at)
    direction = stein_direction(at.detach(), score)
    return SteinStep(-(direction * u).sum(-1).mean(), direction.square().mean().sqrt())
