"""Rewards learned from demonstrations, and posteriors over them."""

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch

from pgm_control import TabularModel, infer
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    Demonstrations,
    DialDemonstrator,
    LinearReward,
    NetworkReward,
    TabularReward,
    compare_demonstrators,
    identification,
    inverse,
    reward_posterior,
)
from pgm_control.models import risky_path, windy_bridge

from .entries import attributes


def cases() -> dict[str, Callable[[], Any]]:
    """Learned rewards and posteriors by name: the demonstrator, the kind of reward or the method."""
    path, bridge = TabularModel(risky_path(), 20.0), TabularModel(windy_bridge(horizon=6), 1.0)
    seen, walked = _demonstrations(path), _demonstrations(bridge)
    features = torch.stack((path.mdp.reward, (path.mdp.reward < 0).double()), -1)

    def found(model: TabularModel, *args: Any, **options: Any) -> dict[str, Any]:
        return _learned(inverse(model, seen if model is path else walked, *args, **{"num_steps": 30, **options}))

    def network() -> dict[str, Any]:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
        reward = NetworkReward(path.mdp, features, module)
        return found(path, reward, method="adam", num_steps=20)

    def posterior(*args: Any, **options: Any) -> dict[str, Any]:
        result = reward_posterior(path, seen, *args, prior=1.0, **{"seed": 0, **options})
        return attributes(result, "samples log_evidence effective_draws r_hat num_divergences mean deviation")

    return {
        "clamped": lambda: found(bridge, "state", "clamped", prior=2.0),
        "free": lambda: found(bridge, "state_action", "free", prior=2.0),
        "dial": lambda: found(bridge, "state", DialDemonstrator(0.3), prior=2.0),
        "fearful": lambda: found(path, "outcome", DialDemonstrator(-0.5), prior=2.0),
        "boltzmann": lambda: found(path, features, BoltzmannDemonstrator(), prior=2.0),
        "linear": lambda: found(path, LinearReward(path.mdp, features)),
        "pays_last": lambda: found(bridge, TabularReward(bridge.mdp, "state", pays_last=True), prior=1.0, num_steps=10),
        "adam": lambda: found(bridge, "state", prior=2.0, method="adam"),
        "network": network,
        "tempering": lambda: posterior(features, num_samples=60, seed=1),
        "tempering_optimism": lambda: posterior(
            features, DialDemonstrator(0.0), optimism=dist.Normal(0.0, 0.5), num_samples=60, seed=1
        ),
        "laplace": lambda: posterior(features, method="laplace", num_samples=40, seed=1),
        "nuts": lambda: posterior(features, method="nuts", num_samples=8, num_warmup=8, num_chains=2, seed=1),
        "compared": lambda: attributes(
            compare_demonstrators(path, seen, features, prior=1.0, num_samples=50, seed=0),
            "names log_evidence probability",
        ),
        "identification": lambda: attributes(
            identification(inverse(path, seen, "state", prior=2.0)),
            "unreachable redistribution constant shaping unobserved information",
        ),
    }


def _demonstrations(model: TabularModel) -> Demonstrations:
    """Draw demonstrations of a clamped demonstrator with the problem's own reward."""
    drawn = infer(model, 0.0).sample(40, torch.Generator().manual_seed(0))
    return Demonstrations.from_trajectories(model.mdp, drawn)


def _learned(result: Any) -> dict[str, Any]:
    numbers = attributes(result, "table log_likelihood log_prior gradient occupancy_error objective_history status")
    behaviour = attributes(result.behaviour, "log_policy log_dynamics")
    return {**numbers, "parameters": dict(result.reward.state_dict()), "behaviour": behaviour}
