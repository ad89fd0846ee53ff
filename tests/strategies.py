"""Random problems that are small enough to enumerate, with frequent special cases.

The special cases all occur within a few draws: outcomes with the same successor and different rewards, impossible and
certain outcomes, one state, one action, one step, masked actions, forbidden outcomes and final rewards.
"""

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from oracles import Problem

from pgm_control import TabularMDP, TabularModel

laws = settings(suppress_health_check=[HealthCheck.too_slow])  # conftest.py sets the number of cases

temperatures = st.sampled_from([0.1, 0.5, 1.0, 3.0])
optimisms = st.one_of(
    st.sampled_from([-50.0, -1.0, -0.5, 0.0, 0.3, 1.0, 50.0]), st.floats(-50.0, 50.0).map(lambda b: round(b, 3))
)
rewards = st.integers(-30, 30).map(lambda tenths: tenths / 10)


@st.composite
def distributions(draw, size, sure=False):
    """Probabilities with small numerators and frequent zeros. `sure` puts all probability on one outcome."""
    if sure:
        return np.eye(size)[draw(st.integers(0, size - 1))]
    weights = np.asarray(draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)), dtype=float)
    return weights / weights.sum() if weights.any() else np.full(size, 1.0 / size)


@st.composite
def problems(draw, deterministic=False, forbidden=True, discounted=True, state_rewards=False):
    """A `Problem`. Rewards lie in [−3, 3]; with `forbidden`, some are −inf."""
    states, actions, outcomes, horizon = (draw(st.integers(1, 3)) for _ in range(4))
    rows = draw(st.lists(distributions(outcomes, deterministic), min_size=states * actions, max_size=states * actions))
    shape = (states, actions, outcomes)
    size = int(np.prod(shape))
    pay = st.one_of(rewards, st.just(-np.inf)) if forbidden and draw(st.booleans()) else rewards
    if state_rewards:
        by_state = draw(st.lists(rewards, min_size=states, max_size=states))
        reward = np.broadcast_to(np.asarray(by_state)[:, None, None], shape).copy()
    else:
        reward = np.asarray(draw(st.lists(pay, min_size=size, max_size=size)), dtype=float).reshape(shape)
    successor = np.asarray(draw(st.lists(st.integers(0, states - 1), min_size=size, max_size=size))).reshape(shape)
    masked = not state_rewards and draw(st.booleans())
    prior = [draw(distributions(actions)) for _ in range(states)] if masked else np.full(shape[:2], 1.0 / actions)
    ends = not state_rewards and draw(st.booleans())
    return Problem(
        initial=draw(distributions(states, deterministic)),
        probability=np.asarray(rows).reshape(shape),
        successor=successor,
        reward=reward,
        horizon=horizon,
        temperature=draw(temperatures),
        prior=np.asarray(prior),
        final_reward=np.asarray([draw(rewards) for _ in range(states)]) if ends else np.zeros(states),
        discount=draw(st.sampled_from([0.5, 0.9, 1.0])) if discounted else 1.0,
    )


def mdp_of(problem):
    """The same problem as a `TabularMDP`."""
    return TabularMDP(
        problem.initial,
        problem.probability,
        problem.successor,
        problem.reward,
        problem.horizon,
        problem.discount,
        problem.final_reward if problem.final_reward.any() else None,
    )


def model_of(problem):
    """The same problem as a `TabularModel`."""
    return TabularModel(mdp_of(problem), problem.temperature, torch.as_tensor(problem.prior))


def problem_of(mdp, temperature=1.0):
    """A `TabularMDP` as plain arrays, with a uniform action prior."""
    return Problem(
        mdp.initial.numpy(),
        mdp.probability.numpy(),
        mdp.successor.numpy(),
        mdp.reward.numpy(),
        mdp.horizon,
        temperature,
        np.full((mdp.num_states, mdp.num_actions), 1.0 / mdp.num_actions),
        np.zeros(mdp.num_states) if mdp.final_reward is None else mdp.final_reward.numpy(),
        mdp.discount,
    )
