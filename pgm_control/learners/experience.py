"""Experience: the transitions of a learner in its environment, stored for repeated use."""

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ..environments.action_prior import ActionPrior
from ..networks.precision import products_in, usable
from ..runtime.checkpoint_checks import Problem
from .action_masks import require_allowed
from .learner import Learner
from .replay import Replay, Transitions

Metrics = Mapping[str, Tensor | float]


@final
class Experience:
    """The transitions of an off-policy learner. The first actions come from the prior, the others from the policy.

    With a probability ε an action of the policy is replaced by one from the prior, as in ε-greedy Q-learning.

    Attributes:
        replay: the replay buffer with the transitions.
        reward: a function that gives the rewards of a batch in place of the environment's; None for the environment's
            own.
    """

    def __init__(self, learner: Learner, prior: ActionPrior, exploration: float = 0.0) -> None:
        """Start with an empty replay buffer.

        Args:
            learner: the learner whose environments are stepped. Its `config` holds `capacity`, the number of
                transitions that are kept; `batch_size`, the number in a batch; `learning_starts`, the number of steps
                with actions from the prior, before the first update; `num_updates`, the number of updates after a step
                in each copy; and `products`, the precision of matrix products in updates.
            prior: the distribution of the first actions, and of exploring ones.
            exploration: ε, the probability of an exploring action.
        """
        settings = learner.config
        self._learner, self._prior, self._exploration = learner, prior, exploration
        self._batch_size, self._starts = settings["batch_size"], settings["learning_starts"]
        self._updates = settings["num_updates"]
        self._products = products_in(usable(settings["products"], learner.device))
        actions = learner.actions
        self.replay = Replay(
            settings["capacity"], learner.observations.features, actions.size, actions.is_discrete, learner.device
        )
        self._features = learner.observations(learner.worlds.observations).to(learner.device)
        self.reward: Callable[[Transitions], Tensor] | None = None
        self._is_over = np.zeros(learner.worlds.number, bool)

    def advance(self, update: Callable[[Transitions], Metrics]) -> Metrics:
        """Make a step in each copy, then the updates, if learning has started. Return the last update's metrics."""
        metrics: Metrics = {}
        if self.gather():
            with self._products():
                for _ in range(self._updates):
                    metrics = update(self.batch())
        return metrics

    @torch.no_grad()
    def gather(self) -> bool:
        """Make a step in each copy; return whether learning has started."""
        learner = self._learner
        action = self._next_action()
        found = learner.act_in_world(action)
        reached = learner.observations(found.reached).to(learner.device)
        reward = torch.from_numpy(found.reward).to(torch.float32).to(learner.device)
        ended = torch.from_numpy(found.terminated).to(learner.device)
        before, self._features, is_over = self._features, reached, found.terminated | found.truncated
        self._is_over = is_over & learner.worlds.resets_later  # otherwise a new episode has begun
        if learner.normaliser is not None:
            learner.normaliser.update(before[torch.from_numpy(found.counts).to(learner.device)])
        if found.counts.all():
            self.replay.add(before, action, reward, reached, ended)
        elif found.counts.any():
            kept = torch.from_numpy(found.counts).to(learner.device)
            self.replay.add(before[kept], action[kept], reward[kept], reached[kept], ended[kept])
        if is_over.any() or not found.counts.all():
            self._features = learner.observations(found.observations).to(learner.device)
        return learner.total_steps >= self._starts and len(self.replay) > 0

    def _next_action(self) -> Tensor:
        """The action in each copy."""
        require_allowed(self._features, self._learner.masks, self._is_over)
        if self._learner.total_steps < self._starts:
            return self._prior.sample(self._features)
        action = self._learner.act(self._features, False)
        if self._exploration == 0:
            return action
        explores = torch.rand(len(action), device=action.device) < self._exploration
        shape = (-1, *[1] * (action.ndim - 1))
        return torch.where(explores.reshape(shape), self._prior.sample(self._features), action)

    def batch(self) -> Transitions:
        """A random batch of transitions, with the observations that networks get."""
        batch = self.replay.sample(self._batch_size)
        if self.reward is not None:
            batch = batch._replace(reward=self.reward(batch).detach())
        if self._learner.normaliser is None:
            return batch
        seen, reached = (self._learner.normalised(each) for each in (batch.observation, batch.next_observation))
        return batch._replace(observation=seen, next_observation=reached)

    def state(self) -> dict[str, Any]:
        """The state of the replay buffer, for a checkpoint."""
        return self.replay.state()

    def check(self, state: Any) -> Problem | None:
        """The problem with a state, or None."""
        return self.replay.check(state)

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Restore a state that `state` returned, after the environments have been restored."""
        self.replay.restore(state)
        learner = self._learner
        self._features = learner.observations(learner.worlds.observations).to(learner.device)
