"""Episodes of a policy in an environment."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, final, runtime_checkable

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from ..errors import InvalidArgument
from ..inference.local.vector_model import is_vector_model
from ..problems.gymnasium_envs import made, time_limit
from ..runtime.arguments import flag, shown, whole, whole_or_none
from ..runtime.memory import require_room
from ..runtime.programs import require_callable
from ..runtime.progress import Progress, require_progress, silent
from ..text.one_line import one_line
from ..trajectories.blocks import Blocks, HasBlocks
from ..trajectories.gaussian.assignable import GaussianAssignable
from ..trajectories.gaussian.blocks import GaussianBlocks, HasGaussianBlocks
from ..trajectories.policy import TabularPolicy, policy_in, two_seeds
from .checked import Checked, CheckedVector, require_environment
from .continuous.player import GaussianPlayer, GuidePolicy, HasPlayedModel, HasStepPolicy, StepPlayer
from .copies import autoreset_mode, vector_time_limit

_SIGNATURE = (
    "Give it the form of Stable-Baselines3: predict(observation, state, episode_start, deterministic) returns (action, "
    "state)."
)
_COPIES = 16  # the default number of parallel environments


@runtime_checkable
class Predictor(Protocol):
    """The protocol of policies with the `predict` method of Stable-Baselines3."""

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...] | None]:
        """The actions for a batch of observations, and the state to pass to the next call."""
        ...


Actor = (
    HasBlocks
    | HasGaussianBlocks
    | Callable[..., Any]
    | Blocks
    | GaussianBlocks
    | Predictor
    | Num[Tensor, "..."]
    | Num[np.ndarray, "..."]
)  # what `rollout` takes as a policy; a TabularPolicy is a Predictor, a guide or posterior over vectors a program


@final
@dataclass(frozen=True, eq=False)
class Rollout:
    """The returns and lengths of episodes.

    Attributes:
        returns: the undiscounted sum of rewards of each episode, in reward units.
        lengths: the number of steps of each episode.
        terminated: for each episode, True if the environment terminated it, False if a time limit truncated it.
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
        """The standard error of the mean return, in reward units; infinite for a single episode."""
        return float(self.returns.std(ddof=1)) / math.sqrt(len(self.returns)) if len(self.returns) > 1 else math.inf

    def __str__(self) -> str:
        """The mean return with its standard error, which one episode does not have, and how the episodes ended."""
        cut = len(self.returns) - int(self.terminated.sum())
        if len(self.returns) == 1:
            end = ", cut by a time limit" * cut
            return f"return {self.mean:.6g} (one episode, of {self.lengths[0]} steps{end}; no standard error)"
        return (
            f"return {self.mean:.6g} ± {self.standard_error:.2g} (mean and standard error of {len(self.returns)} "
            f"episodes; {self.lengths.mean():.1f} steps on average, {cut} cut by a time limit)"
        )


def rollout(
    env: str | gymnasium.Env | VectorEnv,
    policy: Actor,
    num_episodes: int = 100,
    *,
    num_envs: int | None = None,
    seed: int | torch.Generator | None = None,
    deterministic: bool = False,
    max_episode_steps: int | None = None,
    progress: Progress = silent,
) -> Rollout:
    """Run a policy in an environment, in several parallel copies.

    The number of episodes of every copy is fixed in advance: taking the first ones to finish would favour short
    episodes.

    Args:
        env: an id, an environment, or a vector of environments with any autoreset mode. Copies are made from the spec
            (its arguments, wrappers and time limit), so they do not contain later changes to the object. An environment
            without a spec is run itself, as the only copy. Environments passed in are never closed.
        policy: a guide, a posterior, `Blocks`, a `TabularPolicy` or its table; `GaussianBlocks`, or the posterior or a
            guide of a linear-quadratic model; a posterior, or a guide of a model over vectors such as
            `ClampedNeuralGuide`, whose `policy(t, state)` is a distribution; or an object with the `predict` of
            Stable-Baselines3.
        num_episodes: the number of episodes of all copies together.
        num_envs: the number of copies; default: 16, or the number of episodes if that is smaller.
        seed: an integer, a generator, or None for torch's global generator. The same integer gives the same episodes:
            it seeds the environments and, in a separate stream, a policy given by probabilities. Other policies have
            their own randomness: a learner of this library draws from torch's global generator here, and from the seed
            in its method `evaluate`.
        deterministic: take the most probable action instead of sampling.
        max_episode_steps: the number of steps after which every episode is truncated. Default: the environment's own
            limit, or else the horizon of a policy that depends on time. Without any of these an episode that never ends
            is never truncated.
        progress: called with the number of finished episodes and their mean return.

    Returns:
        A `Rollout`. Episodes are in the order of the copies, then of time.

    Raises:
        InvalidArgument: if an argument does not fit, or an episode outlasts a policy that depends on time.
        EnvironmentFailure: if the environment raises an error, or its answers are not those of Gymnasium's interface.
    """
    num_episodes, num_envs = whole("num_episodes", num_episodes), whole_or_none("num_envs", num_envs)
    require_room("num_episodes", "the returns of all episodes", num_episodes, 24, "Run fewer at a time.")
    max_episode_steps = whole_or_none("max_episode_steps", max_episode_steps)
    deterministic = flag("deterministic", deterministic)
    require_progress(progress)
    env_seed, policy_seed = two_seeds(seed)
    actor = _actor(policy, policy_seed)
    with _side_by_side(env, num_envs, num_episodes) as copies:
        if isinstance(actor, TabularPolicy):
            _require_fit(actor, copies)
        elif isinstance(actor, GaussianPlayer | StepPlayer):
            _require_vectors(actor, copies)
        limit = _step_limit(actor, copies, max_episode_steps)
        return _play(CheckedVector(copies), actor, num_episodes, env_seed, deterministic, limit, progress)


def _play(
    env: CheckedVector,
    policy: Predictor,
    episodes: int,
    seed: int,
    deterministic: bool,
    limit: int | None,
    progress: Progress,
) -> Rollout:
    """Run the episodes. Every copy has a quota; after it the copy continues, and its steps are not counted."""
    mode, copies = env.mode, env.num_envs
    quota = (episodes + np.arange(copies)) // copies
    place = np.cumsum(quota) - quota  # where the next episode of each copy is written
    end = place + quota
    returns, lengths, terminated = np.zeros(episodes), np.zeros(episodes, np.int64), np.zeros(episodes, bool)
    total, length = np.zeros(copies), np.zeros(copies, np.int64)
    begins, resets = (
        np.ones(copies, bool),
        np.zeros(copies, bool),
    )  # does the next step begin an episode; only reset
    observation, _ = env.reset(seed=seed)
    state, finished = None, 0
    while finished < episodes:
        counts = ~resets & (place < end)
        # Time does not advance in uncounted steps, so that a policy is never queried beyond its horizon.
        action, state = _chosen(policy, observation, state, begins | ~counts, deterministic)
        observation, reward, ended, cut, _ = env.step(action)
        total[counts] += reward[counts]
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
    """A policy given by probabilities with its own random stream, or any other object with `predict`."""
    if isinstance(policy, Predictor) and not isinstance(policy, TabularPolicy | HasBlocks | type):
        takes = ("the observations", "the state", "where episodes start", "deterministic")
        require_callable("policy.predict", policy.predict, *takes, remedy=_SIGNATURE)
        return policy
    if isinstance(policy, GaussianAssignable) and not isinstance(policy, type):
        return GaussianPlayer(policy.factors(), seed)  # of a model whose own dynamics may not be affine
    blocks = policy.blocks() if _has_blocks(policy) else policy
    if isinstance(blocks, GaussianBlocks):
        return GaussianPlayer(blocks, seed)
    if isinstance(policy, HasStepPolicy) and not isinstance(policy, TabularPolicy | Blocks | HasBlocks | type):
        return StepPlayer(policy, seed)
    if _is_guide_of_vectors(policy):
        return StepPlayer(GuidePolicy(policy), seed)
    guide = None if isinstance(policy, type) else getattr(policy, "guide", None)
    if isinstance(guide, GaussianBlocks) or (guide is not None and _has_blocks(guide)) or _is_guide_of_vectors(guide):
        raise InvalidArgument(
            f"`policy` must be a policy, but is a result, {type(policy).__name__}. Pass its attribute `.guide`."
        )
    return policy_in("policy", policy, seed)


def _is_guide_of_vectors(policy: object) -> TypeGuard[HasPlayedModel]:
    """Whether an object has a policy by step, and a model with a start and a horizon."""
    if isinstance(policy, type | TabularPolicy | Blocks) or not isinstance(policy, HasPlayedModel):
        return False
    return is_vector_model(policy.model) or getattr(policy.model, "num_members", None) is not None


def _has_blocks(policy: object) -> TypeGuard[HasBlocks]:
    return isinstance(policy, HasBlocks) and not isinstance(policy, type)


def _chosen(policy: Predictor, *arguments: Any) -> tuple[Any, Any]:
    """The actions and the next state of a policy."""
    found = policy.predict(*arguments)
    if not isinstance(found, tuple) or len(found) != 2:
        raise InvalidArgument(
            f"`policy.predict` must return a pair, the actions and the next state, but returns {shown(found)}. "
            f"{_SIGNATURE}"
        )
    return found


@contextmanager
def _side_by_side(env: str | gymnasium.Env | VectorEnv, num_envs: int | None, episodes: int) -> Iterator[VectorEnv]:
    """A vector of copies, which is closed afterwards, or the environment passed in, which stays open."""
    if isinstance(env, VectorEnv):
        if num_envs not in (None, env.num_envs):
            raise InvalidArgument(
                f"`num_envs` must be {env.num_envs}, as in the vector `env`, or None, but is {num_envs}. To choose it, "
                "pass the id of the environment."
            )
        yield env
        return
    if not isinstance(env, str):
        require_environment(env)
    spec = env if isinstance(env, str) else env.spec
    if isinstance(spec, EnvSpec) and any(wrapper.kwargs is None for wrapper in spec.additional_wrappers):
        spec = None  # a wrapper that cannot be made again
    if spec is not None:
        limit = None if isinstance(env, str) else time_limit(env)
        count = min(_COPIES if num_envs is None else num_envs, episodes)
        copies = [lambda: Checked(made(spec, max_episode_steps=limit))] * count
        vector = SyncVectorEnv(copies, autoreset_mode=AutoresetMode.DISABLED)
        try:
            yield vector
        finally:
            vector.close()
    elif isinstance(env, gymnasium.Env) and num_envs in (None, 1):
        alone = Checked(env)
        yield SyncVectorEnv([lambda: alone], autoreset_mode=AutoresetMode.DISABLED)
    else:
        raise InvalidArgument(
            f"`num_envs` must be 1 for an environment without a spec to make copies from, but is {num_envs}. "
            "Register it and pass its id, or pass a gymnasium.vector.SyncVectorEnv of copies."
        )


def _step_limit(policy: object, env: VectorEnv, asked: int | None) -> int | None:
    """The number of steps after which `rollout` itself truncates an episode, or None."""
    own = vector_time_limit(env)
    horizon = (
        policy.horizon if isinstance(policy, TabularPolicy | GaussianPlayer | StepPlayer) and own is None else None
    )
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


def _require_vectors(policy: GaussianPlayer | StepPlayer, env: VectorEnv) -> None:
    """Refuse a policy over other vectors. An observation may end with the time."""
    states, actions = policy.num_states, policy.num_actions
    for name, space, sizes, what in (
        ("observation", env.single_observation_space, (states, states + 1), f"states of {states} numbers"),
        ("action", env.single_action_space, (actions,), f"actions of {actions} numbers"),
    ):
        if not isinstance(space, Box) or space.shape not in [(size,) for size in sizes]:
            raise InvalidArgument(
                f"`policy` has {what}, but the environment's {name} space is {space}. Use to_gymnasium(model) of the "
                "model that it was made for."
            )
