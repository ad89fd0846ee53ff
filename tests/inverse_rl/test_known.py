"""Inverse reinforcement learning on a test problem of imitation, compared with imitation's numbers.

The numbers are those of imitation 1.0.1, which needs a different version of Gymnasium;
tests/benchmarks/imitation_numbers.py computed them in a separate environment, to nine digits. Its prior over actions is
1 instead of 1/A, which adds τ log A to the value of each step. Its visits include the state after the last action.
"""

import math

import numpy as np
import pytest

from pgm_control import Optimism, TabularMDP, TabularModel, evaluate, infer
from pgm_control.inverse_rl import ClampedDemonstrator, Demonstrations, FreeDemonstrator, inverse

HORIZON = 20
REWARD = np.array([1.0, 2.0, 2.0, -20.0, 3.0])
V_0 = {
    1.0: [53.298299958, 54.836443206, 54.836443206, 33.649463318, 54.744661669],
    0.9: [22.94335351, 24.039468699, 24.039468699, 2.818985156, 24.430548951],
}
VISITS = {
    1.0: [6.998829016, 3.397594264, 3.397594264, 0.405233107, 6.800749349],
    0.9: [3.113986585, 1.389007138, 1.389007138, 0.072881082, 2.940928166],
}
POLICY_0 = {  # in states 0 and 1
    1.0: [[0.5, 0.0, 0.5], [0.248430939, 0.0, 0.751569061]],
    0.9: [[0.499999999, 3e-9, 0.499999999], [0.273194103, 2e-9, 0.726805894]],
}
FREE_V_0 = [55.549292522, 57.523974711, 57.523974711, 35.954757634, 56.954757634]  # by the recursion below


def reasonable(discount=1.0):
    """Return imitation's `ReasonablePOMDP`: states 1 and 2 are equivalent, and state 3 is bad."""
    transition = np.zeros((5, 3, 5))
    transition[0, 0, [1, 2]] = 0.9, 0.1
    transition[0, 2, [1, 2]] = 0.1, 0.9
    transition[1:3, 0, 3], transition[1:3, 0, 4] = 0.05, 0.95
    transition[:3, 1, 3] = transition[1:3, 2, 4] = 1.0
    transition[3, :, 4] = transition[4, :, 0] = 1.0
    reward = np.repeat(REWARD[:, None], 3, 1)
    return TabularMDP.from_dense([0.5, 0, 0, 0, 0.5], transition, reward, HORIZON, discount)


def counting(discount):
    """Return what an action prior of 1 instead of 1/A adds to V_0, in nats."""
    return math.log(3) * sum(discount**t for t in range(HORIZON))


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_values_visits_and_policy_agree_with_imitation(discount):
    found = infer(TabularModel(reasonable(discount), 1.0), 0.0)
    np.testing.assert_allclose(found.v[0] + counting(discount), V_0[discount], atol=2e-9)
    np.testing.assert_allclose(found.policy[0, :2], POLICY_0[discount], atol=1e-9)
    visits = found.marginals().state.sum(0)[:5]  # with a discount, only survivors count
    np.testing.assert_allclose(visits, VISITS[discount], atol=1e-8)
    assert float(visits.sum()) == pytest.approx(sum(discount**t for t in range(HORIZON + 1)))


def test_the_free_values_differ_from_the_clamped_ones():
    """A demonstrator that controls the dynamics never reaches state 3; checked by a recursion in numpy with ρ = 1."""
    mdp = reasonable()
    expected, transition = np.zeros(5), np.zeros((5, 3, 5))
    np.add.at(transition, (*np.indices(mdp.successor.shape)[:2], mdp.successor.numpy()), mdp.probability.numpy())
    for _ in range(HORIZON):
        expected = REWARD + np.log((transition @ np.exp(expected)).sum(-1))
    found = infer(TabularModel(mdp, 1.0), Optimism(1.0, initial=0.0))
    np.testing.assert_allclose(found.v[0] + counting(1.0), expected, atol=1e-9)
    np.testing.assert_allclose(expected, FREE_V_0, atol=1e-8)
    assert abs(expected - V_0[1.0]).min() > 2.2


@pytest.mark.parametrize("demonstrator", [ClampedDemonstrator("matching"), ClampedDemonstrator()], ids=repr)
def test_the_learned_reward_gives_the_return_of_the_true_one(demonstrator):
    """The visits are exact; imitation's own test requires a return of 30.4 in five episodes."""
    mdp = reasonable()
    model = TabularModel(mdp, 1.0)
    truth = infer(model, 0.0)
    found = inverse(model, Demonstrations.from_occupancies(mdp, truth.marginals().state_action), "state", demonstrator)
    assert found.occupancy_error < 1e-6
    mine = infer(found.model, 0.0)
    np.testing.assert_allclose(mine.marginals().state.sum(0), VISITS[1.0], atol=1e-3)
    earned = evaluate(model, mine).true_return
    assert earned >= 30.4
    assert earned == pytest.approx(evaluate(model, truth).true_return, abs=1e-4)


def test_assuming_a_free_demonstrator_changes_the_learned_reward():
    """A clamped demonstrator reaches state 3 by chance; if these outcomes were chosen, state 3 is less bad."""
    mdp = reasonable()
    model = TabularModel(mdp, 1.0)
    seen = Demonstrations.from_occupancies(mdp, infer(model, 0.0).marginals().outcome)
    clamped, free = (
        inverse(model, seen, "state", demonstrator)
        for demonstrator in (ClampedDemonstrator("matching"), FreeDemonstrator())
    )
    assert free.occupancy_error < 1e-6
    penalty = [float(each.table[3, 0, 0] - each.table[4, 0, 0]) for each in (clamped, free)]
    assert penalty == pytest.approx([-23.0, -4.066], abs=1e-2)
