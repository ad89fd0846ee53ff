"""A tabular policy in the live environment that was discretised."""

from typing import Any, final

import numpy as np
from jaxtyping import Num

from ..trajectories.policy import TabularPolicy
from .bins import Chart
from .cells import Cells


@final
class CellPlayer:
    """Plays by the cell that an observation lies in. It has Stable-Baselines3's `predict`, so `rollout` takes it."""

    def __init__(
        self, policy: TabularPolicy, cells: Cells, chart: Chart, actions: Num[np.ndarray, "action ..."]
    ) -> None:
        """Put the pieces together; `Discretised.player` does it.

        Args:
            policy: over the cells and the state in which the episode has ended, which is never met.
            cells, chart: from observations to states.
            actions: what each action is to the environment.
        """
        self.policy, self.cells, self.chart, self.actions = policy, cells, chart, actions

    def __repr__(self) -> str:
        """Its policy and its cells."""
        return f"CellPlayer({self.policy!r}, {self.cells!r})"

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | bool | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """Actions of the environment for a batch of observations, or for one; as `TabularPolicy.predict`."""
        seen = np.asarray(observation)
        alone = seen.ndim == 1
        cell = self.cells.index(self.chart.points(seen[None] if alone else seen))
        chosen, time = self.policy.predict(cell, state, episode_start, deterministic)
        action = self.actions[chosen]
        return (action[0] if alone else action), time
