"""Episodes of a policy in a live environment."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.gymnasium_table import time_limit
from ..runtime.arguments import whole, whole_or_none
from ..runtime.progress import Progress, silent
from ..text.one_line import one_line
from ..trajectories.blocks import HasBlocks
from ..trajectories.policy import TabularPolicy, two_seeds
from .copies import autoreset_mode, vector_time_limit

_COPIES = 16  # environments side by side, unless asked otherwise


@runtime_checkable
class Predictor(Protocol):
    """Anything that acts like a Stable-Baselines3 model or policy."""

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...] | None]:
        """Actions for a batch of observations, and the state to pass to the next call."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Rollout:
    """What the episodes came to.

    Attributes:
        returns: the undiscounted sum of rewards of each episode, in reward units.
        lengths: steps in each episode.
        terminated: True if the environment ended the episode, False if a time limit cut it.
    """

    returns: Float[np.ndarray, " episode"]
    lengths: Int[np.ndarray, " episode"]
    terminated: Bool[np.ndarray, " episode"]

    __repr__ = one_line

    @property
    def mean(self) -> float:
        """The mean return, in reward units."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean return, in reward units; infinite for a single episode, which says nothing about its spread."""
        return float(self.returns.std(ddof=1)) / math.sqrt(len(self.returns)) if len(self.returns) > 1 else math.inf

    def __str__(self) -> str:
        """The mean and its error, and how the episodes ended."""
        cut = len(self.returns) - int(self.terminated.sum())
        return (
            f"return {self.mean:.6g} ± {self.standard_error:.2g} (mean and standard error of {len(self.returns)} "
            f"episodes; {self.lengths.mean():.1f} steps on average, {cut} cut by a time limit)"
        )


def rollout(
    env: str | gymnasium.Env | VectorEnv,
    policy: TabularPolicy | HasBlocks | Predictor | Num[Tensor, "..."] | Num[np.ndarray, "..."],
    num_episodes: int = 100,
    seed: int | torch.Generator | None = None,
    num_envs: int | None = None,
    deterministic: bool = False,
    max_episode_steps: int | None = None,
    progress: Progress = silent,
) -> Rollout:
    """Run a policy in an environment, several copies side by side.

    Every copy plays a number of episodes fixed in advance: the first ones to finish would favour short episodes.

    Args:
        env: an id, an environment, or a vector of environments with any autoreset mode. Copies are made from the spec
            (its arguments, wrappers and time limit), so changes made to the object afterwards are not in them; an
            environment without a spec is itself run, alone. What is passed in is never closed.
        policy: a guide, a posterior, a `TabularPolicy` or its table; or an object with Stable-Baselines3's `predict`.
        num_episodes: how many, all copies together.
        seed: an integer, a generator, or None for torch's global generator. The same integer gives the same episodes:
            it seeds the environments and, in a stream of its own, a policy given by probabilities. Other policies have
            their own randomness.
        num_envs: how many copies; unless given, 16 or as many as there are episodes.
        deterministic: take the most probable action instead of sampling.
        max_episode_steps: cut every episode after so many steps. Unless given, the environment's own limit holds; if it
            has none, a policy that depends on time cuts episodes at its horizon. Without any of these an episode that
            never ends is never cut.
        progress: called with the number of finished episodes and their mean return.

    Returns:
        A `Rollout`. Episodes are in the order of the copies, then of time.

    Raises:
        InvalidArgument: if an argument does not fit, or an episode outlasts a policy that depends on time.
    """
    whole("num_episodes", num_episodes)
    whole_or_none("num_envs", num_envs)
    whole_or_none("max_episode_steps", max_episode_steps)
    env_seed, policy_seed = two_seeds(seed)
    actor = _actor(policy, policy_seed)
    with _side_by_side(env, num_envs, num_episodes) as copies:
        if isinstance(actor, TabularPolicy):
            _require_fit(actor, copies)
        limit = _step_limit(actor, copies, max_episode_steps)
        return _play(copies, actor, num_episodes, env_seed, deterministic, limit, progress)


def _play(
    env: VectorEnv,
    policy: Predictor,
    episodes: int,
    seed: int,
    deterministic: bool,
    limit: int | None,
    progress: Progress,
) -> Rollout:
    """The episodes, each copy's quota one after the other; a copy that has played its own runs on uncounted."""
    mode, copies = autoreset_mode(env), env.num_envs
    quota = (episodes + np.arange(copies)) // copies
    place = np.cumsum(quota) - quota  # where the next episode of each copy is written
    end = place + quota
    returns, lengths, terminated = np.zeros(episodes), np.zeros(episodes, np.int64), np.zeros(episodes, bool)
    total, length = np.zeros(copies), np.zeros(copies, np.int64)
    begins, resets = np.ones(copies, bool), np.zeros(copies, bool)  # with the next step: an episode; only a reset
    observation, _ = env.reset(seed=seed)
    state, finished = None, 0
    while finished < episodes:
        counts = ~resets & (place < end)
        # Where nothing counts, time stands still, so that a policy is never asked beyond its horizon.
        action, state = policy.predict(observation, state, begins | ~counts, deterministic)
        observation, reward, ended, cut, _ = env.step(action)
        total[counts] += np.asarray(reward)[counts]
        length += counts
        done = ended | cut
        too_long = counts & ~done & (length >= (math.inf if limit is None else limit))
        over = counts & (done | too_long)
        if over.any():
            returns[place[over]], lengths[place[over]], terminated[place[over]] = total[over], length[over], ended[over]
            total[over], length[over] = 0.0, 0
            place += over
            finished += int(over.sum())
            progress(finished, {"mean return": float(returns.sum()) / finished})
        begins = done if mode is AutoresetMode.SAME_STEP else resets
        resets = done if mode is AutoresetMode.NEXT_STEP else np.zeros(copies, bool)
        by_hand = too_long | done if mode is AutoresetMode.DISABLED else too_long
        if by_hand.any():
            observation, _ = env.reset(options={"reset_mask": by_hand})
            begins = begins | by_hand
    return Rollout(returns, lengths, terminated)


def _actor(policy: object, seed: int) -> TabularPolicy | Predictor:
    """A policy of probabilities with its own stream, or whatever else can predict."""
    if isinstance(policy, Predictor) and not isinstance(policy, TabularPolicy | HasBlocks):
        return policy
    return TabularPolicy.of(policy, seed)


@contextmanager
def _side_by_side(env: str | gymnasium.Env | VectorEnv, num_envs: int | None, episodes: int) -> Iterator[VectorEnv]:
    """A vector of copies, closed afterwards; or what was passed in, left open."""
    if isinstance(env, VectorEnv):
        if num_envs not in (None, env.num_envs):
            raise InvalidArgument(
                f"`num_envs` must be {env.num_envs}, as in the vector `env`, or None, but is {num_envs}. To choose it, "
                "pass the id of the environment."
            )
        yield env
        return
    spec = env if isinstance(env, str) else env.spec
    if isinstance(spec, EnvSpec) and any(wrapper.kwargs is None for wrapper in spec.additional_wrappers):
        spec = None  # a wrapper that cannot be made again
    if spec is not None:
        limit = None if isinstance(env, str) else time_limit(env)
        count = min(_COPIES if num_envs is None else num_envs, episodes)
        copies = [lambda: gymnasium.make(spec, max_episode_steps=limit)] * count
        vector = SyncVectorEnv(copies, autoreset_mode=AutoresetMode.DISABLED)
        try:
            yield vector
        finally:
            vector.close()
    elif isinstance(env, gymnasium.Env) and num_envs in (None, 1):
        alone = env
        yield SyncVectorEnv([lambda: alone], autoreset_mode=AutoresetMode.DISABLED)
    else:
        raise InvalidArgument(
            f"`num_envs` must be 1 for an environment without a spec to make copies from, but is {num_envs}. "
            "Register it and pass its id, or pass a gymnasium.vector.SyncVectorEnv of copies."
        )


def _step_limit(policy: object, env: VectorEnv, asked: int | None) -> int | None:
    """After how many steps `rollout` itself cuts an episode."""
    own = vector_time_limit(env)
    horizon = policy.horizon if isinstance(policy, TabularPolicy) and own is None else None
    limit = horizon if asked is None else asked
    bare = env.unwrapped
    if autoreset_mode(env) is AutoresetMode.DISABLED or isinstance(bare, SyncVectorEnv | AsyncVectorEnv):
        return limit
    if asked is None:
        return None  # it cannot reset one copy alone
    raise InvalidArgument(
        f"`max_episode_steps` must be None for {type(bare).__name__}, which cannot reset one copy alone, but is "
        f"{asked}. Give the environment its own time limit, or pass its id."
    )


def _require_fit(policy: TabularPolicy, env: VectorEnv) -> None:
    """Refuse a policy over other states or actions. The last state of `from_gymnasium` is never observed."""
    states, actions = policy.num_states, policy.num_actions
    for name, space, sizes, what in (
        ("observation", env.single_observation_space, (states, states - 1), f"{states} states"),
        ("action", env.single_action_space, (actions,), f"{actions} actions"),
    ):
        if not isinstance(space, Discrete) or space.start != 0 or space.n not in sizes:
            raise InvalidArgument(
                f"`policy` has {what}, but the environment's {name} space is {space}. Use the policy of the MDP that "
                "describes this environment, TabularMDP.from_gymnasium(env, …)."
            )
