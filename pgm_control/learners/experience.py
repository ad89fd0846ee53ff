"""Steps of a learner in its world, kept to be learned from again."""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from ..environments.action_prior import ActionPrior
from ..networks.precision import Precision, products_in
from ..runtime.arguments import whole
from ..runtime.checkpoint_checks import Problem
from .learner import Learner
from .replay import Replay, Transitions

Metrics = Mapping[str, Tensor | float]


@final
class Experience:
    """What an off-policy learner gathers: the first actions come from the prior, the others from the policy.

    Attributes:
        replay: the transitions.
        reward: what transitions are paid instead of what the environment paid, as of now; None for nothing else.
    """

    def __init__(
        self,
        learner: Learner,
        prior: ActionPrior,
        capacity: int,
        batch_size: int,
        learning_starts: int,
        updates: int,
        products: Precision,
    ) -> None:
        """Start with nothing.

        Args:
            learner: whose worlds these are.
            prior: of the first actions.
            capacity: transitions that are kept.
            batch_size: transitions in a batch.
            learning_starts: steps with actions of the prior, before the first update.
            updates: for each round of steps.
            products: how exact those of matrices are in updates.
        """
        for name, value, least in (
            ("capacity", capacity, 1),
            ("batch_size", batch_size, 1),
            ("learning_starts", learning_starts, 0),
        ):
            whole(name, value, least)
        self._learner, self._prior = learner, prior
        self._batch_size, self._starts, self._updates = batch_size, learning_starts, updates
        self._products = products_in(products)
        actions = learner.actions
        self.replay = Replay(capacity, learner.observations.features, actions.size, actions.is_discrete, learner.device)
        self._features = learner.observations(learner.worlds.observations).to(learner.device)
        self.reward: Callable[[Transitions], Tensor] | None = None

    def advance(self, update: Callable[[Transitions], Metrics]) -> Metrics:
        """A step in each copy, then the updates, once it is time; what the last of them gave."""
        metrics: Metrics = {}
        if self.gather():
            with self._products():
                for _ in range(self._updates):
                    metrics = update(self.batch())
        return metrics

    @torch.no_grad()
    def gather(self) -> bool:
        """Make a step in each copy; say whether it is time to learn."""
        learner = self._learner
        early = learner.total_steps < self._starts
        action = self._prior.sample(self._features) if early else learner.act(self._features, False)
        found = learner.act_in_world(action)
        reached = learner.observations(found.reached).to(learner.device)
        reward = torch.from_numpy(found.reward).to(torch.float32).to(learner.device)
        ended = torch.from_numpy(found.terminated).to(learner.device)
        before, self._features = self._features, reached
        if found.counts.all():
            self.replay.add(before, action, reward, reached, ended)
        elif found.counts.any():
            kept = torch.from_numpy(found.counts).to(learner.device)
            self.replay.add(before[kept], action[kept], reward[kept], reached[kept], ended[kept])
        if (found.terminated | found.truncated).any() or not found.counts.all():
            self._features = learner.observations(found.observations).to(learner.device)
        return learner.total_steps >= self._starts and len(self.replay) > 0

    def batch(self) -> Transitions:
        """Some of the transitions."""
        batch = self.replay.sample(self._batch_size)
        return batch if self.reward is None else batch._replace(reward=self.reward(batch).detach())

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self.replay.state()

    def check(self, state: Any) -> Problem | None:
        """What is wrong with a state."""
        return self.replay.check(state)

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Put back what `state` gave, once the worlds are back."""
        self.replay.restore(state)
        learner = self._learner
        self._features = learner.observations(learner.worlds.observations).to(learner.device)
