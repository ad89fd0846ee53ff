"""Policies of continuous problems in live environments."""

from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from ...errors import InvalidArgument
from ...problems.continuous.arrays import root
from ...runtime.randomness import seeded
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.policy import own_seed
from .times import times_of_episodes


@final
class GaussianPlayer:
    r"""The policy $N(-K_t s - \kappa_t, \Sigma_t)$ with the `predict` of Stable-Baselines3; it counts the steps itself.

    Attributes:
        horizon: T, the number of steps for which it has a policy.
        num_states, num_actions: the sizes of observations and actions.
    """

    def __init__(self, blocks: GaussianBlocks, seed: int) -> None:
        """Take the policy of the blocks, of one problem.

        Raises:
            InvalidArgument: if the blocks are a batch.
        """
        if blocks.offset.dim() > 2:
            raise InvalidArgument(
                f"`policy` must be that of one problem, but is a batch {tuple(blocks.offset.shape[:-2])}. Choose one "
                "of them: problem[index]."
            )
        self.horizon = blocks.horizon
        self.num_actions, self.num_states = blocks.gain.shape[-2:]
        with torch.no_grad():
            self._gain, self._offset = blocks.gain.detach().numpy(), blocks.offset.detach().numpy()
            self._spread = root(blocks.policy_covariance.detach()).numpy()
        self._random = np.random.default_rng(own_seed(seed))

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float[np.ndarray, "batch action"], tuple[np.ndarray, ...]]:
        """The actions for a batch of observations, and the time steps to pass to the next call.

        Args:
            observation: the states, (batch, n); what follows the state, such as the time, is not read.
            state: the time steps of the last call, or None.
            episode_start: where an episode begins, by environment.
            deterministic: take the mean.

        Raises:
            InvalidArgument: if an episode outlasts the policy.
        """
        seen = _states(observation, self.num_states)
        time = times_of_episodes(len(seen), state, episode_start, self.horizon)
        count = len(seen)
        action = -np.einsum("bms,bs->bm", self._gain[time], seen) - self._offset[time]
        if not deterministic:
            noise = self._random.standard_normal((count, self.num_actions))
            action = action + np.einsum("bmk,bk->bm", self._spread[time], noise)
        return action, (time + 1,)


@runtime_checkable
class HasStepPolicy(Protocol):
    """A posterior whose policy is a distribution of actions for a batch of states at a step."""

    horizon: int

    def initial(self) -> Any:
        """The believed start, a distribution of Pyro."""
        ...

    def policy(self, t: int, state: Any) -> Any:
        """π_t(a | s), a distribution of Pyro."""
        ...


@runtime_checkable
class HasPlayedModel(Protocol):
    """A guide of a model over vectors, such as `ClampedNeuralGuide`, whose policy is a distribution at each step."""

    model: Any

    def policy(self, t: int, state: Any) -> Any:
        """π_t(a | s), a distribution of Pyro."""
        ...


@final
class GuidePolicy:
    """The policy of a guide, as that of a posterior.

    Attributes:
        horizon: T.
    """

    def __init__(self, guide: HasPlayedModel) -> None:
        """Take the guide."""
        self._guide, self.horizon = guide, int(guide.model.horizon)

    def initial(self) -> Any:
        """The start of the model, whose states have the size and the dtype that the policy takes."""
        return self._guide.model.start()

    def policy(self, t: int, state: Any) -> Any:
        """π_t(a | s)."""
        return self._guide.policy(t, state)


@final
class StepPlayer:
    """A policy that is a distribution at each step, with the `predict` of Stable-Baselines3; it counts the steps.

    Attributes:
        horizon: T, the number of steps for which it has a policy.
        num_states, num_actions: the sizes of observations and actions.
    """

    def __init__(self, policy: HasStepPolicy, seed: int) -> None:
        """Take the policy, and draw one action to know its size."""
        self._policy, self.horizon = policy, int(policy.horizon)
        self._random = np.random.default_rng(own_seed(seed))
        with seeded(0), torch.no_grad():
            state = policy.initial().expand((1,)).sample()
            action = policy.policy(0, state).sample()
        self._state_shape, self._like = tuple(state.shape[1:]), state
        self.num_states, self.num_actions = state[0].numel(), action[0].numel()

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float[np.ndarray, "batch action"], tuple[np.ndarray, ...]]:
        """The actions for a batch of observations, and the time steps to pass to the next call.

        Raises:
            InvalidArgument: if an episode outlasts the policy, or the best action is asked for.
        """
        if deterministic:
            raise InvalidArgument("`deterministic` must be False for this policy, whose best action is not known.")
        seen = _states(observation, self.num_states)
        time = times_of_episodes(len(seen), state, episode_start, self.horizon)
        action = np.empty((len(seen), self.num_actions))
        with seeded(int(self._random.integers(2**31))), torch.no_grad():
            for t in np.unique(time):
                rows = np.flatnonzero(time == t)
                states = torch.as_tensor(seen[rows]).to(self._like.dtype).reshape(len(rows), *self._state_shape)
                action[rows] = self._policy.policy(int(t), states).sample().reshape(len(rows), -1).double().numpy()
        return action, (time + 1,)


def _states(observation: Any, size: int) -> Float[np.ndarray, "batch state"]:
    """The states in a batch of observations; what follows them, such as the time, is left out."""
    seen = np.asarray(observation, dtype=np.float64)
    return seen.reshape(-1, seen.shape[-1])[:, :size]
