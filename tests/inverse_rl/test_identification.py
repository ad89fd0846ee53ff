"""Identifiability of rewards: what no demonstrations determine, and what the given ones do not."""

import numpy as np
import pytest
import torch
from demonstrated import corridor, problem, seen
from problems import thinned
from watched_demonstrators import DEMONSTRATORS, drawn, watched

from pgm_control import TabularMDP, TabularModel
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    Demonstrations,
    DialDemonstrator,
    FreeDemonstrator,
    RewardModel,
    identification,
    inverse,
    reward_posterior,
)
from pgm_control.inverse_rl.objective import RewardFunction


def flat(found):
    """Return the number of free directions by group, after a check that the likelihood is flat along them."""
    known = torch.cat(
        [found.unreachable, found.redistribution, found.constant, found.shaping, found.action_independent]
    )
    assert float((known @ found.information).abs().max() if len(known) else 0.0) < 1e-9
    basis = found.free_directions
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)).double(), atol=1e-7, rtol=0)
    return {name: len(getattr(found, name)) for name in KINDS if len(getattr(found, name))}


KINDS = ("unreachable", "redistribution", "constant", "shaping", "action_independent", "unobserved")


@pytest.mark.parametrize(
    ("demonstrator", "discount"),
    thinned([*DEMONSTRATORS.values(), ClampedDemonstrator("matching")], [1.0, 0.9]),
    ids=repr,
)
def test_directions_that_are_never_identified_are_flat_for_these_demonstrations(demonstrator, discount):
    """The constant is one for all; demonstrators with the true dynamics depend on rewards of outcomes by their mean."""
    model = problem(1, horizon=6, discount=discount)
    demonstrations = Demonstrations.from_trajectories(model.mdp, *seen(model, 60))
    minds_mean = isinstance(demonstrator, ClampedDemonstrator | BoltzmannDemonstrator)
    wanted = {
        "state": {"constant": 1},
        "state_action": {"constant": 1},
        "outcome": {
            "unreachable": 2,
            **({"redistribution": 10} if minds_mean else {}),
            "constant": 1,
        },  # outcome 0 of (0, 0) has probability 1
    }
    for of, expected in wanted.items():
        found = identification(inverse(model, demonstrations, of, demonstrator, prior=1.0))
        assert flat(found) == expected
        assert found.scale_trades
        assert "constant" in str(found)


def test_the_information_is_the_curvature_of_the_likelihood():
    model, demonstrations = watched()
    found = inverse(model, demonstrations, "state_action", DialDemonstrator(0.4), prior=1.0)
    function = RewardFunction(found.reward, model.mdp)

    def likelihood(psi, beta):
        reward, last = function(psi)
        return float(DialDemonstrator(beta).log_likelihood(model, demonstrations, reward, last, 0.7))

    information, psi = identification(found).information, function.start
    step, eye = 1e-3, torch.eye(6).double()
    for i in range(6):
        for j in range(6):
            signs = [(a, b) for a in (1, -1) for b in (1, -1)]
            second = sum(a * b * likelihood(psi + step * (a * eye[i] + b * eye[j]), 0.4) for a, b in signs)
            assert float(information[i, j]) == pytest.approx(-second / (4 * step**2), abs=1e-3)


def test_an_end_without_reward_identifies_the_constant():
    """A longer stay is then worth the constant; only a reward for the end itself compensates it."""
    mdp = corridor()
    model = TabularModel(mdp, 0.5)
    demonstrations = Demonstrations.from_trajectories(mdp, [[0, 1, 2, 3]] * 3, [[1, 1, 1]] * 3)
    of_cells = identification(inverse(model, demonstrations, np.eye(4)[:, :3], prior=1.0))
    assert flat(of_cells) == {}
    of_all = identification(inverse(model, demonstrations, "state", prior=1.0))
    assert flat(of_all) == {"constant": 1}
    torch.testing.assert_close(of_all.constant.abs(), torch.full((1, 4), 0.5).double())


def layers():
    """Return a problem that leads from 0 to 1 or 2, then to 3 or 4, then to the end 5, each choice being random."""
    probability = np.zeros((6, 2, 6))
    probability[0, :, 1:3] = probability[1, :, 3:5] = probability[2, :, 3:5] = [[0.7, 0.3], [0.2, 0.8]]
    probability[3:, :, 5] = 1.0
    return TabularMDP.from_dense(np.eye(6)[0], probability, np.zeros((6, 2)), 4)


@pytest.mark.parametrize("demonstrator", DEMONSTRATORS.values(), ids=repr)
def test_shaping_by_potentials_that_vanish_at_the_end_is_not_identified(demonstrator):
    """For rewards of states and actions, φ of the five states before the end is free.

    If the demonstrator depends on the outcome, γφ(s') − φ(s) is a reward of state and action only if φ is equal for all
    possible successors: one φ for each layer, 0, {1, 2}, {3, 4}. A reward of 0 at the end excludes the constant."""
    mdp = layers()
    model = TabularModel(mdp, 0.7)
    demonstrations = drawn(model, demonstrator, 30)
    minds_mean = isinstance(demonstrator, ClampedDemonstrator | BoltzmannDemonstrator)
    found = identification(inverse(model, demonstrations, "state_action", demonstrator, prior=1.0))
    assert flat(found) == {"constant": 1, "shaping": 5 if minds_mean else 3}
    features = torch.eye(12).reshape(6, 2, 12)[..., :10]
    of_ways = identification(inverse(model, demonstrations, features, demonstrator, prior=1.0))
    assert flat(of_ways) == {"shaping": 5 if minds_mean else 3}
    potential = torch.tensor([0.3, -1.0, 0.4, 0.9, -0.2, 0.0]).double()
    if not minds_mean:
        potential = potential[[0, 1, 1, 3, 3, 5]]
    shape = ((mdp.probability * potential[mdp.successor]).sum(-1) - potential[:, None])[:5].reshape(-1)
    torch.testing.assert_close(shape @ of_ways.shaping.T @ of_ways.shaping, shape)


@pytest.mark.parametrize(
    "demonstrator", [ClampedDemonstrator(infinite_horizon=True), FreeDemonstrator(infinite_horizon=True)], ids=repr
)
def test_without_a_last_state_shaping_by_every_potential_is_not_identified(demonstrator):
    """Three states give the constant and two more directions. If outcomes matter, only the constant remains."""
    model = problem(1, horizon=6, discount=0.9)
    demonstrations = Demonstrations.from_trajectories(model.mdp, *seen(model, 60))
    found = identification(inverse(model, demonstrations, "state_action", demonstrator, prior=1.0))
    assert flat(found) == {"constant": 1, **({"shaping": 2} if isinstance(demonstrator, ClampedDemonstrator) else {})}
    posterior = reward_posterior(
        model, demonstrations, "state_action", demonstrator, prior=1.0, method="laplace", num_samples=8, seed=0
    )
    assert flat(posterior.identification) == flat(found)


def test_action_independent_rewards_are_not_identified():
    """In three doors in a row, each passed by either action, the rewards of states are paid under every policy."""
    probability = np.zeros((4, 2, 4))
    probability[[0, 1, 2], :, [1, 2, 3]] = probability[3, :, 3] = 1.0
    mdp = TabularMDP.from_dense(np.eye(4)[0], probability, np.zeros((4, 2)), 4)
    model = TabularModel(mdp, 0.7)
    demonstrations = drawn(model, ClampedDemonstrator(), 5)
    found = identification(inverse(model, demonstrations, "state", prior=1.0))
    assert sum(flat(found).values()) == 4
    assert "0 of 4 directions" in str(found)


def test_rewards_of_unvisited_states_are_reported_as_unobserved():
    """At a horizon of 1, one short recording reveals nothing about the actions in states that it did not visit."""
    mdp = TabularMDP.from_dense(np.full(3, 1 / 3), np.full((3, 2, 3), 1 / 3), np.zeros((3, 2)), 1)
    model = TabularModel(mdp, 0.7)
    found = identification(
        inverse(model, Demonstrations.from_trajectories(mdp, [[0, 1]], [[1]]), "state_action", prior=1.0)
    )
    kinds = flat(found)
    assert kinds.pop("unobserved") == 2
    assert sum(kinds.values()) == 3  # a constant for each state
    assert "These demonstrations do not identify further directions" in str(found)


def test_temperature_trades_against_the_scale_only_if_the_scale_is_free():
    """A part of the reward that is not learned fixes its unit and identifies the temperature."""
    model, demonstrations = watched()

    class Offset(RewardModel):
        """A reward with one known number and one to be learned."""

        def __init__(self):
            super().__init__()
            self.bonus = torch.nn.Parameter(torch.tensor(0.3).double())

        def forward(self):
            fixed = torch.tensor([1.0, 0.0, 0.0]).double()
            return (fixed + self.bonus * torch.tensor([0.0, 0.0, 1.0]))[:, None, None].expand(3, 2, 3)

    assert not identification(inverse(model, demonstrations, Offset(), prior=1.0)).scale_trades
    assert identification(inverse(model, demonstrations, "state", prior=1.0)).scale_trades


def test_no_ratio_is_said_to_be_identified_where_nothing_is():
    """One action that is always taken: its weight grows without bound, and so does its ratio to the temperature."""
    mdp = TabularMDP([1.0], [[[1.0], [1.0]]], [[[0], [0]]], [[[0.0], [1.0]]], horizon=3)
    seen = Demonstrations.from_trajectories(mdp, [[0, 0, 0]], [[1, 1, 1]])
    said = str(inverse(TabularModel(mdp), seen, mdp.reward[..., None]))
    assert "0 of 1 directions of the reward are identified" in said
    assert "only their ratio" not in said
