"""An adversary with a budget for the whole trajectory, against minimax on grids that shares nothing with the solver."""

import math

import numpy as np
import pytest

from pgm_control import KLBudget, Optimism, TabularMDP, TabularModel, infer

SHARES = np.linspace(0.0, 1.0, 301)


def kl(q, p):
    """KL between two coins, in nats."""
    one, other = (np.where(a > 0, a * np.log(np.maximum(a, 1e-300) / b), 0.0) for a, b in ((q, p), (1 - q, 1 - p)))
    return one + other


def lowest(p, nats):
    """The smallest probability of heads within a KL of a coin, by bisection."""
    low, high = np.zeros_like(nats), np.full_like(nats, p)
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = kl(middle, p) <= nats
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return high


def nats(budget, probability):
    """The KL that a budget allows an event that is reached with a probability, each in its array."""
    return np.where(probability > 0, budget / np.maximum(probability, 1e-300), 1e9)


def maximum(guaranteed, low=0.0, high=1.0, rounds=6):
    """The largest value of a function of a probability, and where, on grids that zoom in."""
    grid = np.linspace(low, high, 41)
    values = np.asarray([guaranteed(x) for x in grid])
    best = int(values.argmax())
    if rounds == 1:
        return float(values[best]), float(grid[best])
    return maximum(guaranteed, grid[max(best - 2, 0)], grid[min(best + 2, 40)], rounds - 1)


def coins(*rows, horizon=1, final_reward=None):
    """One state; each action has a coin: (probability of heads, reward of heads, reward of tails)."""
    probability = [[[p, 1 - p] for p, _, _ in rows]]
    reward = [[[heads, tails] for _, heads, tails in rows]]
    return TabularMDP([1.0], probability, np.zeros((1, len(rows), 2), int), reward, horizon, 1.0, final_reward)


def safe_or_risky(budget, p, heads, tails, safe):
    """max over x, min over the coin, of the value of taking the risk with probability x."""

    def guaranteed(x):
        q = lowest(p, nats(np.asarray(budget), np.asarray(x)))
        return (1 - x) * safe + x * (heads * q + tails * (1 - q)) - kl(x, 0.5)

    return maximum(guaranteed)


@pytest.mark.parametrize("budget", [0.02, 0.1, 0.15, 0.5])
def test_an_action_without_chance(budget):
    """Where a nat is cheap the agent takes no risk and the adversary spends little: two β spend the same."""
    model = TabularModel(coins((1.0, 3.0, 3.0), (0.5, 10.0, 0.0)), 1.0)
    found = infer(model, KLBudget(dynamics=budget, adversarial=True))
    value, risk = safe_or_risky(budget, 0.5, 10.0, 0.0, 3.0)
    assert found.objective == pytest.approx(value, abs=1e-6)
    assert float(found.policy[0, 0, 1]) == pytest.approx(risk, abs=1e-3)


def test_two_prices_spend_the_same_and_the_better_one_is_found():
    model = TabularModel(coins((1.0, 3.0, 3.0), (0.5, 10.0, 0.0)), 1.0)

    def spent(price):
        found = infer(model, Optimism(initial=0.0, dynamics=-1 / price))
        q = found.dynamics[0, 0, 1, 0].item()
        return float(found.policy[0, 0, 1]) * float(kl(q, 0.5)), found.objective - 0.1 * price

    rises, falls = (bisected(lambda price: spent(price)[0] - 0.1, *ends) for ends in ((0.1, 4.0), (4.0, 100.0)))
    assert spent(rises)[0] == pytest.approx(spent(falls)[0], abs=1e-9)
    found = infer(model, KLBudget(dynamics=0.1, adversarial=True))
    assert found.budget.dynamics.optimism == pytest.approx(-1 / falls)
    assert found.objective == pytest.approx(spent(falls)[1], abs=1e-9)
    assert found.objective > spent(rises)[1] + 0.01


def test_a_maximum_much_narrower_than_the_range_of_prices_is_found():
    """A safe action, a coin for cents, and one for fortunes, which sets the range: 33 even prices miss the cents."""
    mdp = coins((1.0, 0.92, 0.92), (0.5, 1.0, 0.9), (0.5, 150.0, -100.0))
    found = infer(TabularModel(mdp, 0.001), KLBudget(dynamics=0.1, adversarial=True))
    cents = 0.9 + 0.1 * float(lowest(0.5, np.asarray(0.1)))
    assert float(found.policy[0, 0, 1]) > 0.99
    assert found.value == pytest.approx(cents - 0.001 * math.log(3), abs=1e-4)
    assert found.budget.dynamics.spent == pytest.approx(0.1)


def bisected(f, low, high):
    """A root of f between two numbers."""
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (f(middle) > 0) == (f(low) > 0) else (low, middle)
    return low


@pytest.mark.parametrize("budget", [0.01, 0.3, 2.0])
def test_two_coins_share_a_budget(budget):
    found = infer(
        TabularModel(coins((0.5, 4.0, -1.0), (0.8, 3.0, -4.0)), 1.0), KLBudget(dynamics=budget, adversarial=True)
    )

    def guaranteed(x):
        one, other = lowest(0.5, nats(SHARES * budget, 1 - x)), lowest(0.8, nats((1 - SHARES) * budget, x))
        return ((1 - x) * (5 * one - 1) + x * (7 * other - 4)).min() - kl(x, 0.5)

    assert found.objective == pytest.approx(maximum(guaranteed)[0], abs=1e-4)


@pytest.mark.parametrize("budget", [0.01, 0.3, 2.0])
def test_two_steps_share_a_budget(budget):
    """A coin without a choice leads to a choice between 2 and a coin, or to −1; the second is reached less often if the
    first is bent."""
    mdp = TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=[[[0.7, 0.3]] * 2, [[1.0, 0.0], [0.6, 0.4]], [[1.0, 0.0]] * 2],
        successor=[[[1, 2]] * 2, [[1, 1]] * 2, [[2, 2]] * 2],
        reward=[[[0.0, 0.0]] * 2, [[2.0, 2.0], [6.0, -1.0]], [[-1.0, -1.0]] * 2],
        horizon=2,
    )
    found = infer(TabularModel(mdp, 1.0), KLBudget(dynamics=budget, adversarial=True))
    first = np.linspace(1e-6, 0.7, 1001)
    affordable = first[kl(first, 0.7) <= budget]

    def guaranteed(x):
        second = lowest(0.6, nats(budget - kl(affordable, 0.7), affordable * x))
        good = x * (7 * second - 1) + (1 - x) * 2 - kl(x, 0.5)
        return (affordable * good - (1 - affordable)).min()

    assert found.objective == pytest.approx(maximum(guaranteed)[0], abs=1e-4)


def test_an_adversary_that_can_force_the_worst_outcomes_leaves_some_of_its_budget():
    found = infer(TabularModel(coins((0.5, 4.0, -1.0)), 1.0), KLBudget(dynamics=1.0, adversarial=True))
    account = found.budget.dynamics
    assert (account.binds, account.optimism) == (False, -math.inf)
    assert account.spent == pytest.approx(math.log(2))
    assert found.value == -1.0


def test_of_several_worst_outcomes_the_nearest_are_taken():
    """Both outcomes of the first step are as bad, but after one of them no more nats are needed."""
    mdp = TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=[[[0.5, 0.5]], [[1.0, 0.0]], [[0.5, 0.5]]],
        successor=[[[1, 2]], [[1, 1]], [[2, 2]]],
        reward=[[[0.0, 0.0]], [[-1.0, -1.0]], [[-1.0, 1.0]]],
        horizon=2,
    )
    for sign, adversarial in ((1.0, True), (-1.0, False)):
        model = TabularModel(mdp.replace(reward=sign * mdp.reward), 1.0)
        found = infer(model, KLBudget(dynamics=5.0, adversarial=adversarial))
        assert found.dynamics[0, 0, 0].tolist() == pytest.approx([2 / 3, 1 / 3])
        assert found.budget.dynamics.spent == pytest.approx(-math.log(0.75))
