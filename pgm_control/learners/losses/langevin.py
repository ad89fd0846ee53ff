"""Langevin sampling of actions in a box, with an accept step: the second sampler of soft Q-learning.

Sources:
    [roberts1996] G. O. Roberts and R. L. Tweedie, Exponential convergence of Langevin distributions and their discrete
        approximations. Bernoulli 2(4):341–363, 1996. doi:10.2307/3318418
    [roberts1998] G. O. Roberts and J. S. Rosenthal, Optimal scaling of discrete approximations to Langevin diffusions.
        Journal of the Royal Statistical Society: Series B 60(1):255–268, 1998. doi:10.1111/1467-9868.00123
"""

import math
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...networks.squashed_gaussian import inside, log_jacobian

LogDensity = Callable[[Tensor], Tensor]  # from points (batch, particle, action) to (batch, particle), in nats
_PROBES = 64
_BEST_ACCEPTANCE = 0.574  # of the fastest chain in many dimensions [roberts1998]
_RATE = 0.05  # of the adaptation of log h
_LOG_STEPS = (-12.0, 3.0)  # the bounds of log h


class LangevinDraws(NamedTuple):
    """The result of `langevin`."""

    u: Float[Tensor, "batch particle action"]
    """The last points of the chains."""
    acceptance: Float[Tensor, ""]
    """The mean fraction of accepted steps."""


def langevin(
    u: Float[Tensor, "batch particle action"], log_density: LogDensity, step: float | Tensor, num_steps: int
) -> LangevinDraws:
    r"""Markov chains that leave a density p invariant, by the Metropolis-adjusted Langevin algorithm.

    $$u' = u + h\, \nabla \log p(u) + \sqrt{2 h}\, \xi, \qquad \xi \sim N(0, I), \qquad
    P(\text{accept}) = \min\Bigl(1, \frac{p(u')\, q(u \mid u')}{p(u)\, q(u' \mid u)}\Bigr), \qquad
    q(u' \mid u) = N(u';\, u + h\, \nabla \log p(u),\, 2 h I)$$

    The accept step makes p exactly invariant for any h, so no step moves the distribution of a chain away from p in KL
    divergence. It does not bound the number of steps: a chain may stay near one of several separate maxima.

    A proposal where the density or its gradient is not finite is rejected.

    Args:
        u: the first points, where p is positive. Chains are independent.
        log_density: log p up to a constant for each state, in nats, with a gradient; its value for a chain must depend
            on the point of that chain alone.
        step: h > 0, in squared units of u.
        num_steps: the number of steps of each chain.

    References:
        [roberts1996]
    """
    here, log_p, score = _scored(u, log_density)
    accepted = torch.zeros((), device=u.device)
    for _ in range(num_steps):
        noise = torch.randn_like(here)
        there, log_p_there, score_there = _scored(here + step * score + math.sqrt(2.0) * step**0.5 * noise, log_density)
        back = here - there - step * score_there
        log_ratio = log_p_there - log_p - back.square().sum(-1) / (4 * step) + 0.5 * noise.square().sum(-1)
        takes = torch.rand_like(log_ratio).log() < log_ratio  # False where the ratio is nan
        accepted = accepted + takes.to(u.dtype).mean()
        here = torch.where(takes[..., None], there, here)
        log_p, score = torch.where(takes, log_p_there, log_p), torch.where(takes[..., None], score_there, score)
    return LangevinDraws(here, accepted / num_steps)


@final
class LangevinSampler(torch.nn.Module):
    r"""A sampler of actions $a = \tanh u$ from a density on the box, without a network.

    A chain begins at one of the actions sampled from the prior, chosen with probability proportional to
    $e^{Q / \tau}$, and makes `num_steps` steps of `langevin` in the coordinate u, whose density is that of a times
    $\prod_d (1 - \tanh^2 u_d)$, so that the bounds of the box need no treatment. With enough prior actions the starts
    have the shares of all maxima; these shares are biased by about one over their effective number, and steps reduce
    this bias only where chains cross from one maximum to another.

    The size of steps is adapted in learning, towards 57 % of steps accepted [roberts1998].

    Attributes:
        num_steps: the number of steps of a chain.

    References:
        [roberts1996], [roberts1998]
    """

    log_step: Tensor
    probes: Tensor

    def __init__(self, size: int, num_steps: int) -> None:
        """Choose the fixed actions at which `best` begins.

        Args:
            size: the dimension of an action.
            num_steps: the number of steps of a chain.
        """
        super().__init__()
        self.num_steps = num_steps
        self.register_buffer("log_step", torch.tensor(-3.0))
        self.register_buffer("probes", 2 * torch.rand(_PROBES, size) - 1)

    def forward(
        self, starts: Float[Tensor, "batch particle action"], log_value: LogDensity, log_density: LogDensity
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, ""]]:
        """One action for each state, and the fraction of accepted steps.

        Args:
            starts: actions sampled from the prior.
            log_value: from actions to Q/τ, in nats, which is the log-weight of a start.
            log_density: from actions to Q/τ + log ρ, in nats, with a gradient.
        """
        chosen = torch.multinomial(log_value(starts).softmax(-1), 1)
        at = starts.take_along_dim(chosen[..., None], 1)
        found = langevin(inside(at).atanh(), _in_u(log_density), self.log_step.exp(), self.num_steps)
        return inside(found.u[:, 0].tanh()), found.acceptance

    def best(self, features: Tensor, log_density: LogDensity) -> Float[Tensor, "batch action"]:
        """An action of large density for each state: the best of fixed ones, after noiseless steps upwards from it."""
        actions = self.probes.expand(len(features), -1, -1)
        first = log_density(actions).argmax(-1)
        u = actions[torch.arange(len(features), device=features.device), first][:, None].atanh()
        here, log_p, score = _scored(u, lambda u: log_density(u.tanh()))
        size = self.log_step.exp().expand(log_p.shape)
        for _ in range(self.num_steps):
            there, higher, slope = _scored(here + size[..., None] * score, lambda u: log_density(u.tanh()))
            rises = higher > log_p
            here = torch.where(rises[..., None], there, here)
            log_p, score = torch.where(rises, higher, log_p), torch.where(rises[..., None], slope, score)
            size = torch.where(rises, 1.5 * size, 0.25 * size)
        return inside(here[:, 0].tanh())

    @torch.no_grad()
    def adapt(self, acceptance: Float[Tensor, ""]) -> None:
        """Take larger steps if more were accepted than is best, and smaller ones if fewer."""
        self.log_step.add_(_RATE * (acceptance - _BEST_ACCEPTANCE)).clamp_(*_LOG_STEPS)


def _in_u(log_density: LogDensity) -> LogDensity:
    """The log-density of u, from that of tanh u."""
    return lambda u: log_density(u.tanh()) + log_jacobian(u).sum(-1)


def _scored(u: Tensor, log_density: LogDensity) -> tuple[Tensor, Tensor, Tensor]:
    """Points, their log-densities, and the gradients of these."""
    with torch.enable_grad():
        at = u.detach().requires_grad_()
        log_p = log_density(at)
        (score,) = torch.autograd.grad(log_p.sum(), at)
    return at.detach(), log_p.detach(), score
