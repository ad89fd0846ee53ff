"""Small environments for the tests of learners and their files, and the comparison of two learners' states."""

import copy
import math

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from pgm_control.runtime.checkpoint import read
from pgm_control.runtime.checkpoint_checks import anything

SQUARE = spaces.Box(-1.0, 1.0, (1,))


FLAT = spaces.Box(-10.0, 10.0, (1,))


class Counting(gymnasium.Env):
    """An environment that observes its episode, by a random number, and its step; it ends after `limit` steps in a
    given way, or fails."""

    def __init__(self, limit=4, terminates=True, trouble=None, at=math.inf, actions=SQUARE, render_mode=None):
        self.observation_space, self.action_space = spaces.Box(-np.inf, np.inf, (2,)), actions
        self.limit, self.terminates, self.trouble, self.at = limit, terminates, trouble, at
        self.episode, self.time, self.total = 0, 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.trouble == "raises at reset" and self.total >= self.at:
            raise ZeroDivisionError("no floor")
        self.episode, self.time = int(self.np_random.integers(1, 1 << 20)), 0
        observation = self.seen()
        if self.trouble == "nan at reset" and self.total >= self.at:
            observation[1] = np.nan
        return observation, {}

    def step(self, action):
        self.time, self.total = self.time + 1, self.total + 1
        observation, reward = self.seen(), float(self.np_random.normal())
        if self.total >= self.at:
            if self.trouble == "raises":
                raise ZeroDivisionError("no floor")
            reward = {"nan reward": math.nan, "infinite reward": -math.inf, "huge": 1e39}.get(
                self.trouble or "", reward
            )
            if self.trouble == "nan observation":
                observation[0] = np.nan
        over = self.time >= self.limit
        return observation, reward, over and self.terminates, over and not self.terminates, {}

    def seen(self):
        return np.array([self.episode, self.time], np.float32)


class Noisy(gymnasium.Env):
    """An environment whose only randomness is its own generator, with given spaces of actions and observations."""

    def __init__(self, actions=SQUARE, observations=FLAT, render_mode=None):
        self.action_space, self.observation_space = actions, observations
        self.observation_space = copy.deepcopy(observations)
        self.x = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.x = float(self.np_random.uniform(-1, 1))
        return self.seen(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.x += float(self.np_random.normal()) + 0.5 * float(np.sum(action))
        return self.seen(), -abs(self.x), abs(self.x) > 5, False, {}

    def seen(self):
        if isinstance(self.observation_space, spaces.Box) and self.observation_space.shape == (1,):
            return np.clip(np.array([self.x], np.float32), -10, 10)
        return self.observation_space.sample()


def whole(learner, path):
    """All that a learner saves, except the time spent."""
    learner.save(path)
    tensors, facts = read(path, type(learner).__name__, anything, anything, "")
    for row in (facts, *facts["log"], *facts["evaluations"]):
        del row["seconds"]
    return tensors, facts


def equal(one, two):
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return list(one) == list(two) and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two
