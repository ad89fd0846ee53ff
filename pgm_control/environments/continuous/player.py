"""Affine-Gaussian policies in live environments."""

from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float

from ...errors import InvalidArgument
from ...problems.continuous.arrays import root
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.policy import own_seed


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
        seen = np.asarray(observation, dtype=np.float64).reshape(-1, np.shape(observation)[-1])[:, : self.num_states]
        count = len(seen)
        time = np.zeros(count, np.int64) if state is None else np.asarray(state[0])
        if episode_start is not None:
            time = np.where(np.asarray(episode_start, bool), 0, time)
        if (time >= self.horizon).any():
            raise InvalidArgument(
                f"`state` must be a time step before this policy's horizon, {self.horizon}, but is {time.max()}: the "
                "environment's episode is longer. Solve the problem with a longer horizon, or cut episodes with "
                "rollout(…, max_episode_steps=…)."
            )
        action = -np.einsum("bms,bs->bm", self._gain[time], seen) - self._offset[time]
        if not deterministic:
            noise = self._random.standard_normal((count, self.num_actions))
            action = action + np.einsum("bmk,bk->bm", self._spread[time], noise)
        return action, (time + 1,)
