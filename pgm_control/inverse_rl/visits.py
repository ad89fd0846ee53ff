"""Where a demonstrator is predicted to go."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .demonstrations import Demonstrations
from .demonstrators import Behaviour


@torch.no_grad()
def predicted_visits(behaviour: Behaviour, demonstrations: Demonstrations) -> Float[Tensor, "state action"]:
    """How often the model does each action in each state, from the same starts, for as long as the recordings go on."""
    policy, dynamics = (each.exp().numpy(force=True) for each in (behaviour.log_policy, behaviour.log_dynamics))
    return torch.from_numpy(visits_of(policy, dynamics, demonstrations)).to(demonstrations.mdp.probability)


def visits_of(
    policy: Float[np.ndarray, "time state action"],
    dynamics: Float[np.ndarray, "time_or_1 state action outcome"],
    demonstrations: Demonstrations,
) -> Float[np.ndarray, "state action"]:
    """The same of probabilities."""
    mdp, ends = demonstrations.mdp, demonstrations.ends
    time, state, action = (each.numpy(force=True) for each in ends[:3])
    weight, target = demonstrations.weights(ends).numpy(force=True), mdp.successor.numpy(force=True).ravel()
    after = action >= 0  # the state that the last action led to is missing
    stops, cuts = np.zeros((mdp.horizon + 1, mdp.num_states)), np.zeros(policy.shape)
    np.add.at(stops, (time[~after], state[~after]), weight[~after])
    np.add.at(cuts, (time[after], state[after], action[after]), weight[after])
    mass, visits = demonstrations.starts.numpy(force=True), np.zeros_like(policy[0])
    for t in range(mdp.horizon):
        here = (mass - stops[t])[:, None] * policy[t]
        visits += here
        moved = (here - cuts[t])[..., None] * dynamics[t if len(dynamics) > 1 else 0]
        mass = mdp.discount * np.bincount(target, moved.ravel(), mdp.num_states)
    return visits
