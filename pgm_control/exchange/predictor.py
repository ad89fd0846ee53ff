"""An agent with Stable-Baselines3's `predict` as a table of action probabilities, which can be scored exactly."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int

from ..environments.rollout import Predictor
from ..environments.tabular_env import TabularEnv
from ..errors import InvalidArgument, UnsupportedEnvironment
from ..problems.gymnasium_envs import made, name_of
from ..problems.mdp import TabularMDP
from ..runtime.arguments import flag, shown, whole
from ..runtime.array_like import ArrayLike, real_array
from ..runtime.memory import require_room
from ..runtime.programs import require_callable
from ..runtime.randomness import require_seed, seeded
from ..trajectories.policy import TabularPolicy


def policy_from_predict(
    agent: Predictor,
    env: str | gymnasium.Env,
    observations: ArrayLike | None = None,
    *,
    deterministic: bool = False,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> TabularPolicy:
    r"""The action probabilities of an agent in each state, so that `evaluate`, `scorecard` and `ledger` accept it.

        agent = stable_baselines3.PPO("MlpPolicy", to_gymnasium(mdp)).learn(10_000)
        evaluate(TabularModel(mdp), policy_from_predict(agent, to_gymnasium(mdp))).true_return

    With `deterministic` the probability of the action that `predict` returns is 1. Otherwise the probabilities are
    those of `agent.policy.get_distribution(…)`, which the actor-critic agents of Stable-Baselines3 have (PPO, A2C), and
    are exact. Any other agent is sampled: `predict` is called `num_samples` times, and the table holds the frequencies
    n/N of the actions. The standard error of an entry is then $\sqrt{\pi (1 - \pi)/N}$, at most .016 for N = 1000, and
    rare actions may be missing.

    Args:
        agent: an object with `predict(observation, state, episode_start, deterministic)` for batches of observations,
            without a memory.
        env: the environment of the agent, or its id, with Discrete actions. If it is that of `to_gymnasium`, the table
            has the states of its problem, and with `observe_time` also the time. Otherwise observation i is state i, as
            in `TabularMDP.from_gymnasium(env)`; the state that this adds for the end of episodes has uniform actions.
        observations: the observation of each state, with the axis of states first. Default: those of `env`, which must
            be Discrete.
        deterministic: whether the agent takes its most probable action.
        num_samples: N, at least 1; used for sampling only.
        seed: of the samples, for agents that draw from torch's global generator, as those of Stable-Baselines3 do: an
            integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: if an argument is invalid, the agent has a memory, or it returns something else than actions.
    """
    takes = ("the observations", "the state", "where episodes start", "deterministic")
    require_callable("agent.predict", getattr(agent, "predict", None), *takes, remedy="Pass an agent.")
    deterministic, num_samples = flag("deterministic", deterministic), whole("num_samples", num_samples)
    require_seed(seed)
    if not isinstance(env, str | gymnasium.Env):
        raise InvalidArgument(f"`env` must be a Gymnasium environment or the id of one, but is {shown(env)}.")
    world = made(env) if isinstance(env, str) else env
    try:
        return _policy(agent, world, observations, deterministic, num_samples, seed)
    finally:
        if world is not env:
            world.close()


def _policy(
    agent: Predictor,
    env: gymnasium.Env,
    observations: ArrayLike | None,
    deterministic: bool,
    num_samples: int,
    seed: int | torch.Generator | None,
) -> TabularPolicy:
    space = env.action_space
    if not isinstance(space, Discrete):
        raise InvalidArgument(f"`env` must have Discrete actions, but has {space}. Use rollout(env, agent).")
    seen = _observations(env) if observations is None else real_array("observations", observations, InvalidArgument)
    if seen.ndim == 0 or not len(seen):
        raise InvalidArgument(f"`observations` must hold an observation for each state, but has shape {seen.shape}.")
    actions, bare = int(space.n), env.unwrapped
    require_room("env", "the action probabilities of all observations", len(seen) * actions, 8, "Use rollout.")
    start = int(space.start)
    table = np.eye(actions)[_chosen(agent, seen, True, actions, start)]  # always, as it ends the training mode
    if not deterministic and (exact := _distribution(agent, seen, actions)) is not None:
        table = exact
    elif not deterministic:
        counts, every = np.zeros_like(table), np.arange(len(seen))
        with seeded(seed):
            for _ in range(num_samples):
                counts[every, _chosen(agent, seen, False, actions, start)] += 1
        table = counts / num_samples
    if observations is not None:
        return TabularPolicy(table)
    if isinstance(bare, TabularEnv):
        mdp = bare.mdp
        return TabularPolicy(table.reshape(-1, mdp.num_states, actions)[: mdp.horizon] if bare.observe_time else table)
    return TabularPolicy(np.concatenate((table, np.full((_added(env, len(seen)), actions), 1 / actions))))


def _observations(env: gymnasium.Env) -> Int[np.ndarray, " observation"]:
    """All observations of a Discrete space."""
    space = env.observation_space
    if not isinstance(space, Discrete):
        raise InvalidArgument(
            f"`env` must have Discrete observations, but {name_of(env)} has {space}. Pass `observations`, that of each "
            "state, or use rollout(env, agent)."
        )
    return int(space.start) + np.arange(int(space.n))


def _added(env: gymnasium.Env, states: int) -> int:
    """The number of states that the table of the environment has and its observations do not: 1 for the end, or 0."""
    try:
        return max(TabularMDP.from_gymnasium(env, horizon=1).num_states - states, 0)
    except UnsupportedEnvironment:
        return 0


def _distribution(agent: Any, seen: np.ndarray, actions: int) -> Float[np.ndarray, "observation action"] | None:
    """The action probabilities that the policy of the agent gives, or None if it gives none."""
    policy: Any = getattr(agent, "policy", None)
    to_tensor, distribution = (getattr(policy, name, None) for name in ("obs_to_tensor", "get_distribution"))
    if to_tensor is None or distribution is None:
        return None
    with torch.no_grad():
        found = distribution(to_tensor(seen)[0])
    probability = getattr(getattr(found, "distribution", None), "probs", None)
    if probability is None or tuple(probability.shape) != (len(seen), actions):
        return None
    table = probability.double().cpu().numpy()
    return table / table.sum(-1, keepdims=True)  # of float32


def _chosen(
    agent: Predictor, seen: np.ndarray, deterministic: bool, actions: int, start: int
) -> Int[np.ndarray, " observation"]:
    """The action of the agent for each observation, numbered from 0."""
    found = agent.predict(seen, None, np.ones(len(seen), dtype=bool), deterministic)
    if not isinstance(found, tuple) or len(found) != 2:
        raise InvalidArgument(f"`agent.predict` must return the actions and a state, but returns {shown(found)}.")
    if found[1] is not None:
        raise InvalidArgument(
            "`agent` must have no memory, as a table has none, but its predict returns a state. For a TabularPolicy "
            "pass the policy itself to evaluate; for a recurrent agent take rollout(env, agent)."
        )
    chosen = np.asarray(found[0])
    is_whole = np.issubdtype(chosen.dtype, np.integer)
    if chosen.shape != (len(seen),) or not is_whole or ((chosen < start) | (chosen >= start + actions)).any():
        raise InvalidArgument(
            f"`agent.predict` must return one action, {start} to {start + actions - 1}, for each of {len(seen)} "
            f"observations, but returns {shown(found[0])}."
        )
    return chosen - start
