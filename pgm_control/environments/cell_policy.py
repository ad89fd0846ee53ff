"""A tabular policy that acts in the environment that was discretised."""

from typing import Any, final

import numpy as np
from jaxtyping import Num

from ..trajectories.policy import TabularPolicy
from .bins import Chart
from .cells import Cells


@final
class CellPlayer:
    """A policy that acts by the cell of each observation. It has the `predict` method that `rollout` needs."""

    def __init__(
        self, policy: TabularPolicy, cells: Cells, chart: Chart, actions: Num[np.ndarray, "action ..."]
    ) -> None:
        """Combine the parts. `Discretised.player` calls this.

        Args:
            policy: a policy over the cells and the state `ended`, in which no action is ever taken.
            cells, chart: the maps from observations to points and from points to states.
            actions: each action in the form the environment takes.
        """
        self.policy, self.cells, self.chart, self.actions = policy, cells, chart, actions

    def __repr__(self) -> str:
        """The class, the policy and the cells."""
        return f"CellPlayer({self.policy!r}, {self.cells!r})"

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | bool | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """Actions of the environment for one observation or a batch; see `TabularPolicy.predict`."""
        seen = np.asarray(observation)
        alone = seen.ndim == 1
        cell = self.cells.index(self.chart.points(seen[None] if alone else seen))
        chosen, time = self.policy.predict(cell, state, episode_start, deterministic)
        action = self.actions[chosen]
        return (action[0] if alone else action), time
