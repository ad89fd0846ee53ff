"""The running statistics of normalising wrappers, which outlast an episode and are part of an environment's state."""

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers.utils import RunningMeanStd
from torch import Tensor

from ..problems.gymnasium_envs import layers
from ..runtime.checkpoint_checks import Check, fields, tensor

_OF_REWARDS = "discounted_reward"  # of NormalizeReward: the discounted return so far, which resets do not end


def statistics_of(env: gymnasium.Env) -> dict[str, Tensor]:
    """The mean, variance and count of each normalising wrapper, by the number and attribute of the wrapper."""
    return {name: torch.from_numpy(np.array(getattr(holder, part))) for name, holder, part in _places(env)}


def restore_statistics(env: gymnasium.Env, statistics: Mapping[str, Tensor]) -> None:
    """Restore what `statistics_of` returned."""
    for name, holder, part in _places(env):
        found = statistics[name].numpy().copy()[()]
        plain = type(getattr(holder, part)) is float  # numpy computes in another dtype with a number of its own
        setattr(holder, part, float(found) if plain else found)


def check_of_statistics(env: gymnasium.Env) -> Check:
    """The check of what `statistics_of` returns for such an environment."""
    return fields({name: tensor(tuple(each.shape), None) for name, each in statistics_of(env).items()})


def _places(env: gymnasium.Env) -> Iterator[tuple[str, Any, str]]:
    """The name of each statistic, the object that holds it, and the attribute."""
    for number, layer in enumerate(layers(env)):
        for name, value in vars(layer).items():
            if isinstance(value, RunningMeanStd):
                yield from ((f"{number}.{name}.{part}", value, part) for part in ("mean", "var", "count"))
            elif name == _OF_REWARDS and isinstance(value, np.ndarray):
                yield f"{number}.{name}", layer, name
