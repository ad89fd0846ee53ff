"""Demonstrators, and demonstrations drawn from them."""

import torch
from demonstrated import problem

from pgm_control import TabularMDP, TabularModel
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    Demonstrations,
    DialDemonstrator,
    FreeDemonstrator,
)

DEMONSTRATORS = {
    "clamped": ClampedDemonstrator(),
    "free": FreeDemonstrator(),
    "fearful": DialDemonstrator(-0.7),
    "boltzmann": BoltzmannDemonstrator(),
}


def drawn(model, demonstrator, n, seed=0):
    """Return demonstrations drawn from a demonstrator in the dynamics of its behaviour."""
    mdp, generator = model.mdp, torch.Generator().manual_seed(seed)
    behaviour = demonstrator.behaviour(model, mdp.reward, torch.zeros_like(mdp.initial), model.temperature)
    policy, dynamics = behaviour.log_policy.exp(), behaviour.log_dynamics.exp()
    states, actions = [torch.multinomial(mdp.initial, n, True, generator=generator)], []
    for t in range(mdp.horizon):
        s = states[-1]
        a = torch.multinomial(policy[t, s], 1, generator=generator)[:, 0]
        k = torch.multinomial(dynamics[t, s, a], 1, generator=generator)[:, 0]
        actions.append(a)
        states.append(mdp.successor[s, a, k].long())
    return Demonstrations.from_trajectories(mdp, torch.stack(states, 1).numpy(), torch.stack(actions, 1).numpy())


def with_reward(mdp, weight):
    """Return the problem with a reward of states."""
    reward = torch.as_tensor(weight).to(mdp.reward)[:, None, None].expand_as(mdp.reward).contiguous()
    return TabularMDP(mdp.initial, mdp.probability, mdp.successor, reward, mdp.horizon)


FEATURE = torch.tensor([[1.0], [-0.5], [0.2]], dtype=torch.float64)


MILD = DialDemonstrator(0.25)


def watched(n=150):
    """Return a model, and demonstrations of a mildly optimistic demonstrator."""
    model = problem(1, horizon=4)
    mdp = with_reward(model.mdp, 1.5 * FEATURE[:, 0])
    return model, drawn(TabularModel(mdp, 0.7, model.action_prior), MILD, n)
