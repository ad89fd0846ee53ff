"""Conversion of episodes to and from the layout of imitation and seals, and recording in live environments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int

from ..environments.cell_policy import CellPlayer
from ..environments.checked import Checked
from ..errors import InvalidArgument
from ..problems.gymnasium_envs import made
from ..problems.mdp import TabularMDP, require_mdp
from ..problems.recorded.transitions import is_terminated, part_of_episode, whole_numbers
from ..runtime.arguments import flag, shown, whole, whole_or_none
from ..runtime.progress import Progress, require_progress, silent
from ..text.one_line import one_line
from ..trajectories.policy import policy_in, two_seeds
from ..trajectories.samples import Trajectories
from .demonstrations import Demonstrations

_ENDED = "ended"  # the state that TabularMDP.from_gymnasium and `discretise` add


@final
@dataclass(frozen=True, eq=False)
class Episode:
    """One episode, or part of one, in discrete states, with the attributes of imitation's `TrajectoryWithRew`.

    Attributes:
        obs: the n + 1 states.
        acts: the n actions.
        rews: the n rewards, in reward units.
        terminated: whether the environment ended the episode.
        truncated: whether a time limit cut the episode; its continuation is unknown.
    """

    obs: Int[np.ndarray, " time_and_last"]
    acts: Int[np.ndarray, " time"]
    rews: Float[np.ndarray, " time"]
    terminated: bool
    truncated: bool

    __repr__ = one_line

    @property
    def terminal(self) -> bool:
        """Whether the episode is over for either reason, as in imitation's rollouts."""
        return self.terminated or self.truncated

    @property
    def infos(self) -> list[dict[str, Any]]:
        """One mapping a step; the last says whether a time limit cut the episode, as in Stable-Baselines3."""
        found: list[dict[str, Any]] = [{} for _ in self.acts]
        if found:
            found[-1]["TimeLimit.truncated"] = self.truncated and not self.terminated
        return found

    def to_imitation(self) -> dict[str, Any]:
        """The arguments of imitation's class: `TrajectoryWithRew(**each.to_imitation())`."""
        names = ("obs", "acts", "rews", "infos", "terminal")
        return {name: getattr(self, name) for name in names}


def from_episodes(mdp: TabularMDP, episodes: Any) -> Demonstrations:
    """Return the demonstrations counted from episodes in the layout of imitation and seals.

    `TabularMDP.from_gymnasium` and `discretise` add a last state "ended". If `mdp` has it, an episode that the
    environment ended leads to this state, because nothing follows the state of its last observation. An episode that
    a time limit cut does not: `terminated` distinguishes the two, or `terminal` together with
    `infos[-1]["TimeLimit.truncated"]`.

    Args:
        mdp: the problem; its horizon is at least the length of each episode.
        episodes: `Episode`s, imitation's `Trajectory` or `TrajectoryWithRew`, or mappings with the same names:
            obs, the n + 1 states; acts, the n actions; terminal, whether the episode is over.

    Raises:
        InvalidArgument: if a part of an episode is missing, has another shape, or is impossible; the message names the
            episode.
    """
    require_mdp("mdp", mdp)
    if isinstance(episodes, Mapping | str | bytes) or not isinstance(episodes, Sequence) or not episodes:
        raise InvalidArgument(
            f"`episodes` must be a list of trajectories, at least one, but is {shown(episodes)}. Put one trajectory "
            "in a list."
        )
    adds_end = mdp.state_names is not None and mdp.state_names[-1] == _ENDED
    states, actions = [], []
    for i, each in enumerate(episodes):
        name = f"episodes[{i}]"
        obs, acts = (whole_numbers(f"{name}.{part}", part_of_episode(name, each, part)) for part in ("obs", "acts"))
        if len(obs) != len(acts) + 1:
            raise InvalidArgument(
                f"`episodes[{i}]` must have one observation more than actions, but has {len(obs)} and {len(acts)}."
            )
        if adds_end and is_terminated(name, each):
            obs = np.append(obs[:-1], mdp.num_states - 1)
        states.append(obs)
        actions.append(acts)
    return Demonstrations.from_trajectories(mdp, states, actions)


def to_episodes(mdp: TabularMDP, trajectories: Trajectories) -> list[Episode]:
    """Return samples of a `Posterior` as episodes, with the rewards of the problem.

    An episode is terminated if it enters the state that the problem calls "ended", or if it ends by the discount. In
    the second case the last state is unknown, and the state before it is repeated. Otherwise the horizon has cut it.

    Raises:
        InvalidArgument: if `trajectories` are anything else than samples of a `Posterior` or of `Blocks`.
    """
    require_mdp("mdp", mdp)
    if not isinstance(trajectories, Trajectories):
        raise InvalidArgument(
            f"`trajectories` must be Trajectories, as posterior.sample(100) returns them, but is {shown(trajectories)}."
        )
    paid, adds_end = mdp.reward.numpy(force=True), mdp.state_names is not None and mdp.state_names[-1] == _ENDED
    over = mdp.num_states - 1 if adds_end else mdp.num_states
    found = []
    for s, a, k in zip(*(each.numpy(force=True) for each in trajectories), strict=True):
        ends = np.flatnonzero(s >= over)
        n = int(ends[0]) if len(ends) else len(a)
        obs = s[: n + 1].copy()
        if n and obs[n] == mdp.num_states:
            obs[n] = obs[n - 1]
        found.append(Episode(obs, a[:n], paid[s[:n], a[:n], k[:n]].astype(float), bool(len(ends)), not len(ends)))
    return found


def record(
    env: str | gymnasium.Env,
    policy: Any,
    num_episodes: int = 100,
    seed: int | torch.Generator | None = None,
    deterministic: bool = False,
    max_episode_steps: int | None = None,
    progress: Progress = silent,
) -> list[Episode]:
    """Return episodes played in a live environment, with every step that `rollout` only summarises.

    Args:
        env: an id, or an environment, with discrete states and actions. With a `CellPlayer` it is the environment that
            was discretised; the episodes then hold the cells and the numbers of the actions.
        policy: a guide, a posterior, a `TabularPolicy` or its table; or the `CellPlayer` of a `Discretised`.
        num_episodes: the number of episodes.
        seed: an integer, a generator, or None for torch's global generator. An integer seeds the environment and, with
            a separate stream, the policy.
        deterministic: take the most probable action instead of sampling.
        max_episode_steps: the number of steps after which an episode is cut; default: the environment's own limit, or
            the horizon of a policy that depends on time.
        progress: called after every episode with its return and its length.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        EnvironmentFailure: if the environment raises an error, or its answers are not those of Gymnasium's interface.
    """
    num_episodes = whole("num_episodes", num_episodes)
    max_episode_steps = whole_or_none("max_episode_steps", max_episode_steps)
    deterministic = flag("deterministic", deterministic)
    require_progress(progress)
    env_seed, policy_seed = two_seeds(seed)
    player = policy if isinstance(policy, CellPlayer) else None
    actor = player.policy if player is not None else policy_in("policy", policy, policy_seed)
    live = Checked(made(env) if isinstance(env, str) else env)
    spaces = (live.observation_space, live.action_space)
    if player is None and not all(isinstance(each, Discrete) and each.start == 0 for each in spaces):
        raise InvalidArgument(
            f"`env` must have discrete states and actions, numbered from 0, but has {spaces[0]} and {spaces[1]}. "
            "Use `exchange.discretise`, and `discretised.player(policy)` as the policy."
        )
    limit = actor.horizon if max_episode_steps is None else max_episode_steps
    found = []
    try:
        for episode in range(num_episodes):
            seen, _ = live.reset(seed=env_seed if episode == 0 else None)
            obs, acts, rews = [_state(player, seen)], [], []
            time, terminated, truncated = None, False, False
            while not (terminated or truncated):
                action, time = actor.predict(obs[-1], time, deterministic=deterministic)
                seen, reward, terminated, truncated, _ = live.step(
                    int(action) if player is None else player.actions[action]
                )
                over = player is not None and terminated
                obs.append(player.cells.count if over and player is not None else _state(player, seen))
                acts.append(int(action))
                rews.append(reward)
                truncated = truncated or (limit is not None and len(acts) >= limit and not terminated)
            found.append(Episode(np.array(obs), np.array(acts), np.array(rews), terminated, truncated))
            progress(len(found), {"return": math.fsum(rews), "length": float(len(acts))})
    finally:
        if isinstance(env, str):
            live.close()
    return found


def _state(player: CellPlayer | None, seen: Any) -> int:
    if player is None:
        return int(seen)
    return int(player.cells.index(player.chart.points(np.asarray(seen)[None]))[0])
