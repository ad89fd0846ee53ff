"""Learners in live environments, for 200 steps, and a reward learned in one. They do not use the compiled loops."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import pgm_control.models  # registers the environments
from pgm_control import to_gymnasium
from pgm_control.inverse_rl import Recording, inverse_in_simulator
from pgm_control.learners import SAC, Learner, MaxEntPolicyGradient, OriginalSAC, SoftQLearning

from .entries import attributes

STEPS = 200
PATH, PENDULUM = "pgm_control/RiskyPath-v0", "Pendulum-v1"
SMALL: dict[str, Any] = {"hidden": (16, 16), "batch_size": 32, "capacity": 150, "learning_starts": 50, "seed": 0}


def cases() -> dict[str, Callable[[], Any]]:
    """Short runs by name of the learner."""
    return {
        "soft_q_discrete": lambda: learned(SoftQLearning(PATH, temperature=20.0, **SMALL)),
        "soft_q_box": lambda: learned(SoftQLearning(PENDULUM, temperature=5.0, **SMALL)),
        "soft_q_optimistic": lambda: learned(SoftQLearning(PATH, temperature=20.0, optimism=0.5, num_envs=2, **SMALL)),
        "sac": lambda: learned(SAC(PENDULUM, **SMALL)),
        "sac_discrete": lambda: learned(SAC(PATH, **SMALL)),
        "sac_flow": lambda: learned(SAC(PENDULUM, policy="flow", temperature=1.0, **SMALL)),
        "original_sac": lambda: learned(OriginalSAC(PENDULUM, **SMALL)),
        "policy_gradient": lambda: learned(MaxEntPolicyGradient(PATH, temperature=20.0, hidden=(16,), seed=0)),
        "resumed": _resumed,
        "inverse_in_simulator": _inverse_in_simulator,
    }


def learned(learner: Learner) -> dict[str, Any]:
    """Learn, and return the log, the networks and the return of the policy."""
    found = learner.learn(STEPS, log_every=50, evaluate_every=100, num_evaluation_episodes=2)
    networks = {name: part.state_dict() for name, part in learner.parts().items() if isinstance(part, torch.nn.Module)}
    observation = gymnasium.make(learner.env_id or PATH).reset(seed=0)[0]
    return {
        **attributes(found, "status total_steps"),
        "log": [{name: value for name, value in row.items() if name != "seconds"} for row in found.log],
        "evaluations": [attributes(each, "step mean standard_error length") for each in found.evaluations],
        "networks": networks,
        "evaluation": attributes(learner.evaluate(3, seed=1), "returns lengths terminated"),
        "predicts": learner.predict(observation, deterministic=True)[0],
    }


def _resumed() -> dict[str, Any]:
    """Learn half of the steps, and the rest from the checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "learner.pt"
        SAC(PENDULUM, **SMALL).learn(STEPS // 2, checkpoint=path)
        return learned(SAC.load(path))


def _inverse_in_simulator() -> dict[str, Any]:
    mdp = pgm_control.models.risky_path()
    env, recordings = to_gymnasium(mdp), []
    for i, actions in enumerate(([0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0])):
        seen, terminated = [env.reset(seed=i)[0]], False
        while len(seen) <= len(actions) and not terminated:
            observation, _, terminated, _, _ = env.step(actions[len(seen) - 1])
            seen.append(observation)
        recordings.append(Recording(seen, actions[: len(seen) - 1], terminated))
    found = {}
    for demonstrator in ("clamped", "free"):
        torch.manual_seed(0)
        reward = torch.nn.Linear(2 * mdp.num_states + mdp.num_actions, 1)
        learner = SoftQLearning(lambda: to_gymnasium(mdp), **SMALL)
        result = inverse_in_simulator(
            lambda: to_gymnasium(mdp),
            recordings,
            reward,
            demonstrator,
            learner=learner,
            num_rounds=3,
            steps_per_round=40,
            num_episodes=4,
            seed=0,
        )
        rounds = np.array(result.rounds)
        found[demonstrator] = {"reward": reward.state_dict(), "rounds": rounds, "status": result.status}
    return found
