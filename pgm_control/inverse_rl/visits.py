"""Where a demonstrator is predicted to go."""

import torch
from jaxtyping import Float
from torch import Tensor

from .demonstrations import Demonstrations
from .demonstrators import Behaviour


@torch.no_grad()
def predicted_visits(behaviour: Behaviour, demonstrations: Demonstrations) -> Float[Tensor, "state action"]:
    """How often the model does each action in each state, from the same starts, for as long as the recordings go on."""
    mdp, ends = demonstrations.mdp, demonstrations.ends
    policy, dynamics = behaviour.log_policy.exp(), behaviour.log_dynamics.exp()
    weight, after = demonstrations.weights(ends), ends.action >= 0
    mass, visits = demonstrations.starts.clone(), torch.zeros_like(policy[0])
    target = mdp.successor.flatten().long()
    for t in range(mdp.horizon):
        now = (ends.time == t) & ~after
        mass.index_add_(0, ends.state[now], -weight[now])
        here = mass[:, None] * policy[t]
        visits += here
        now = (ends.time == t) & after
        here = here.index_put((ends.state[now], ends.action[now]), -weight[now], accumulate=True)
        moved = (here[..., None] * dynamics[t]).flatten()
        mass = mdp.discount * torch.zeros_like(mass).index_add_(0, target, moved)
    return visits
