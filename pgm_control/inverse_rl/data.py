"""Demonstrations from elsewhere and back: trajectories as imitation and seals have them, and live environments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int

from ..environments.cell_policy import CellPlayer
from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP
from ..runtime.arguments import whole
from ..text.one_line import one_line
from ..trajectories.policy import TabularPolicy, two_seeds
from ..trajectories.samples import Trajectories
from .demonstrations import Demonstrations

_ENDED = "ended"  # the state that TabularMDP.from_gymnasium and `discretise` add


@final
@dataclass(frozen=True, eq=False)
class Episode:
    """One episode, or part of one, in discrete states; its attributes are those of imitation's `TrajectoryWithRew`.

    Attributes:
        obs: the n + 1 states.
        acts: the n actions.
        rews: the n rewards, in reward units.
        terminated: whether the environment ended it.
        truncated: whether a time limit cut it; what would have come after is unknown.
    """

    obs: Int[np.ndarray, " time_and_last"]
    acts: Int[np.ndarray, " time"]
    rews: Float[np.ndarray, " time"]
    terminated: bool
    truncated: bool

    __repr__ = one_line

    @property
    def terminal(self) -> bool:
        """As imitation's rollouts have it: over, for whichever reason."""
        return self.terminated or self.truncated

    @property
    def infos(self) -> list[dict[str, Any]]:
        """One a step; the last says whether it was the time limit, as Stable-Baselines3 does."""
        found: list[dict[str, Any]] = [{} for _ in self.acts]
        if found:
            found[-1]["TimeLimit.truncated"] = self.truncated and not self.terminated
        return found

    def to_imitation(self) -> dict[str, Any]:
        """The arguments of imitation's own class: `TrajectoryWithRew(**each.to_imitation())`."""
        names = ("obs", "acts", "rews", "infos", "terminal")
        return {name: getattr(self, name) for name in names}


def from_episodes(mdp: TabularMDP, episodes: Any) -> Demonstrations:
    """Count episodes in the layout of imitation and seals.

    Where `mdp` has a state "ended", added last as by `TabularMDP.from_gymnasium` and `discretise`, an episode that the
    environment ended is led there: the state that its last observation shows has no future. One that a time limit cut
    is not: `terminated` says so, or `terminal` together with `infos[-1]["TimeLimit.truncated"]`.

    Args:
        mdp: the problem; its horizon is at least the length of each episode.
        episodes: `Episode`s, imitation's `Trajectory` or `TrajectoryWithRew`, or mappings with the same names:
            obs, the n + 1 states; acts, the n actions; terminal, whether it is over.

    Raises:
        InvalidArgument: naming the episode, if something is missing, of another shape, or impossible.
    """
    if isinstance(episodes, Mapping) or not isinstance(episodes, Sequence):
        raise InvalidArgument(
            f"`episodes` must be a list of trajectories, but are a {type(episodes).__name__}. Put one alone in a list."
        )
    adds_end = mdp.state_names is not None and mdp.state_names[-1] == _ENDED
    states, actions = [], []
    for i, each in enumerate(episodes):
        obs, acts = (_discrete(i, name, _part(i, each, name)) for name in ("obs", "acts"))
        if len(obs) != len(acts) + 1:
            raise InvalidArgument(
                f"`episodes[{i}]` must have one observation more than actions, but has {len(obs)} and {len(acts)}."
            )
        if adds_end and _is_terminated(i, each):
            obs = np.append(obs[:-1], mdp.num_states - 1)
        states.append(obs)
        actions.append(acts)
    return Demonstrations.from_trajectories(mdp, states, actions)


def to_episodes(mdp: TabularMDP, trajectories: Trajectories) -> list[Episode]:
    """Samples of a `Posterior` as episodes, with the rewards of the problem.

    An episode is terminated when it enters a state that the problem calls "ended", or ends by its discount (its last
    state is not known then, and that before it stands in); else the horizon has cut it.
    """
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
) -> list[Episode]:
    """Play episodes in a live environment and keep all that `rollout` sums up.

    Args:
        env: an id, or an environment, with discrete states and actions. A `CellPlayer` brings its own, of any
            environment that was discretised: what is kept are the cells and the numbers of the actions.
        policy: a guide, a posterior, a `TabularPolicy` or its table; or the `CellPlayer` of a `Discretised`.
        num_episodes: how many.
        seed: an integer, a generator, or None for torch's global generator. An integer seeds the environment and, in a
            stream of its own, the policy.
        deterministic: take the most probable action instead of sampling.
        max_episode_steps: cut every episode after so many steps; by default the environment's own limit, or the
            horizon of a policy that depends on time.

    Raises:
        InvalidArgument: naming the argument.
    """
    whole("num_episodes", num_episodes)
    env_seed, policy_seed = two_seeds(seed)
    player = policy if isinstance(policy, CellPlayer) else None
    actor = player.policy if player is not None else TabularPolicy.of(policy, policy_seed)
    live: gymnasium.Env = gymnasium.make(env) if isinstance(env, str) else env
    spaces = (live.observation_space, live.action_space)
    if player is None and not all(isinstance(each, Discrete) and each.start == 0 for each in spaces):
        raise InvalidArgument(
            f"`env` must have discrete states and actions, from 0, but has {spaces[0]} and {spaces[1]}. Use "
            "`exchange.discretise`, and its player as the policy."
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
                rews.append(float(reward))
                truncated = truncated or (limit is not None and len(acts) >= limit and not terminated)
            found.append(Episode(np.array(obs), np.array(acts), np.array(rews), bool(terminated), bool(truncated)))
    finally:
        if isinstance(env, str):
            live.close()
    return found


def _state(player: CellPlayer | None, seen: Any) -> int:
    if player is None:
        return int(seen)
    return int(player.cells.index(player.chart.points(np.asarray(seen)[None]))[0])


def _part(i: int, each: Any, name: str) -> Any:
    """Of an object or a mapping."""
    found = each.get(name) if isinstance(each, Mapping) else getattr(each, name, None)
    if found is None:
        raise InvalidArgument(f"`episodes[{i}]` must have {name}, but is a {type(each).__name__} without.")
    return found


def _is_terminated(i: int, each: Any) -> bool:
    has = each.get if isinstance(each, Mapping) else lambda name: getattr(each, name, None)
    if has("terminated") is not None:
        return bool(has("terminated"))
    infos = has("infos")
    cut = infos is not None and len(infos) > 0 and bool((infos[-1] or {}).get("TimeLimit.truncated", False))
    return bool(_part(i, each, "terminal")) and not cut


def _discrete(i: int, name: str, given: Any) -> np.ndarray:
    """Whole numbers; those that were kept as floats, or one in a row, are taken for what they are."""
    array = np.asarray(given)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if (
        array.ndim != 1
        or array.dtype.kind not in "iuf"
        or not ((np.abs(array) < 2**62) & (array == np.floor(array))).all()
    ):
        raise InvalidArgument(
            f"`episodes[{i}].{name}` must be a row of whole numbers, but has the shape {array.shape} and is of "
            f"{array.dtype}. Number the states, by `discretise` say."
        )
    return array.astype(np.int64)
