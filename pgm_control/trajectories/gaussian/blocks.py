"""An affine-Gaussian distribution over trajectories: its factors, moments, samples and log-probabilities."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.arrays import root
from ...runtime.arguments import whole
from ...runtime.memory import require_room
from ...runtime.randomness import generator_of
from ...text.one_line import one_line


class ContinuousTrajectories(NamedTuple):
    """A batch of trajectories of vectors."""

    states: Float[Tensor, "draw time_and_last state"]
    actions: Float[Tensor, "draw time action"]

    __repr__ = one_line


class GaussianMarginals(NamedTuple):
    """Means and covariances of $z_t = (s_t, a_t)$ for t = 0 … T−1, and of the last state.

    With a discount they are those of trajectories that have survived so far.
    """

    mean: Float[Tensor, "*batch time state_action"]
    covariance: Float[Tensor, "*batch time state_action state_action"]
    last_mean: Float[Tensor, "*batch state"]
    last_covariance: Float[Tensor, "*batch state state"]

    __repr__ = one_line

    @property
    def state_mean(self) -> Float[Tensor, "*batch time_and_last state"]:
        """The mean of each state, t = 0 … T."""
        n = self.last_mean.shape[-1]
        return torch.cat((self.mean[..., :n], self.last_mean[..., None, :]), -2)

    @property
    def state_covariance(self) -> Float[Tensor, "*batch time_and_last state state"]:
        """The covariance of each state, t = 0 … T."""
        n = self.last_mean.shape[-1]
        return torch.cat((self.covariance[..., :n, :n], self.last_covariance[..., None, :, :]), -3)

    @property
    def action_mean(self) -> Float[Tensor, "*batch time action"]:
        """The mean of each action."""
        return self.mean[..., self.last_mean.shape[-1] :]

    @property
    def action_covariance(self) -> Float[Tensor, "*batch time action action"]:
        """The covariance of each action."""
        n = self.last_mean.shape[-1]
        return self.covariance[..., n:, n:]


@final
@dataclass(frozen=True, eq=False, repr=False)
class GaussianBlocks:
    r"""The factors of an affine-Gaussian distribution over trajectories.

    $$q = N(s_0; m, S_0) \prod_t N(a_t; -K_t s_t - \kappa_t, \Sigma_t)\, N(s_{t+1}; F_t z_t + d_t, W_t)$$

    All have the batch axes in front, and an axis of time except those of the start.

    Attributes:
        initial_mean, initial_covariance: m and S_0.
        gain, offset, policy_covariance: K, κ and Σ.
        transition, drift, noise: F = [A B], d and W.
    """

    initial_mean: Float[Tensor, "*batch state"]
    initial_covariance: Float[Tensor, "*batch state state"]
    gain: Float[Tensor, "*batch time action state"]
    offset: Float[Tensor, "*batch time action"]
    policy_covariance: Float[Tensor, "*batch time action action"]
    transition: Float[Tensor, "*batch time state state_action"]
    drift: Float[Tensor, "*batch time state"]
    noise: Float[Tensor, "*batch time state state"]

    __repr__ = one_line

    def replace(self, **changes: object) -> "GaussianBlocks":
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]

    def detach(self) -> "GaussianBlocks":
        """The blocks without gradients."""
        return GaussianBlocks(**{each.name: getattr(self, each.name).detach() for each in dataclasses.fields(self)})

    @property
    def horizon(self) -> int:
        """T, the number of actions."""
        return self.offset.shape[-2]

    def marginals(self) -> GaussianMarginals:
        r"""The moments of states and actions by one forward sweep, differentiable in the factors.

        $$\mu_{t+1} = F\mu_z + d, \qquad \Sigma_{t+1} = F\Sigma_zF' + W$$
        """
        mean, spread = self.initial_mean, self.initial_covariance
        means, spreads, time = [], [], mean.dim() - 1
        for t in range(self.horizon):
            K, kappa, own, F, d, W = (
                each.select(time, t)
                for each in (self.gain, self.offset, self.policy_covariance, self.transition, self.drift, self.noise)
            )
            cross = -spread @ K.mT
            upper = torch.cat((spread, cross), -1)
            lower = torch.cat((cross.mT, own - K @ cross), -1)
            covariance = torch.cat((upper, lower), -2)
            z = torch.cat((mean, -(K @ mean[..., None])[..., 0] - kappa), -1)
            means.append(z)
            spreads.append(covariance)
            mean = (F @ z[..., None])[..., 0] + d
            spread = F @ covariance @ F.mT + W
            spread = 0.5 * (spread + spread.mT)
        return GaussianMarginals(torch.stack(means, time), torch.stack(spreads, time), mean, spread)

    def mode(self) -> ContinuousTrajectories:
        """The mean path, which is also the most probable one; one draw, in a batch of size 1.

        Where every β is 0 and nothing is random it is the path of the linear-quadratic regulator.
        """
        found = self.marginals()
        return ContinuousTrajectories(found.state_mean[None], found.action_mean[None])

    @torch.no_grad()
    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> ContinuousTrajectories:
        """Draw independent trajectories of one problem.

        Args:
            num_samples: how many, at least 1.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it. Also for a batch of problems.
        """
        count = whole("num_samples", num_samples)
        if self.initial_mean.dim() > 1:
            raise InvalidArgument(
                "`model` must be one problem to draw trajectories from, but is a batch "
                f"{tuple(self.initial_mean.shape[:-1])}. Choose one of them: problem[index]."
            )
        n, m = self.drift.shape[-1], self.offset.shape[-1]
        steps = self.horizon * (n + m) + n
        require_room("num_samples", f"{count:,} trajectories of {steps:,} numbers", count * steps, 8, "Draw fewer.")
        generator = generator_of(seed)

        def noise(covariance: Tensor) -> Tensor:
            drawn = torch.randn(count, covariance.shape[-1], dtype=covariance.dtype, generator=generator)
            return drawn @ root(covariance).mT

        state = self.initial_mean + noise(self.initial_covariance)
        states, actions = [state], []
        for t in range(self.horizon):
            actions.append(-state @ self.gain[t].mT - self.offset[t] + noise(self.policy_covariance[t]))
            both = torch.cat((state, actions[t]), -1)
            state = both @ self.transition[t].mT + self.drift[t] + noise(self.noise[t])
            states.append(state)
        return ContinuousTrajectories(torch.stack(states, 1), torch.stack(actions, 1))


@runtime_checkable
class HasGaussianBlocks(Protocol):
    """Anything with affine-Gaussian factors: a posterior or a guide."""

    def blocks(self) -> GaussianBlocks:
        """The factors."""
        ...
