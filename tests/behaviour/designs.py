"""Designs of choice experiments for the tests and benchmarks of behaviour: lotteries and menus."""

import torch

from pgm_control import TabularMDP, TabularModel


def lottery(chance, win, safe):
    """One decision: a gamble that pays `win` with some chance and otherwise nothing, or a safe amount."""
    stay = [[1.0, 0.0]] * 2
    mdp = TabularMDP(
        [1.0, 0.0],
        [[[chance, 1.0 - chance], [1.0, 0.0]], stay],
        [[[1, 1]] * 2] * 2,
        [[[win, 0.0], [safe, 0.0]], [[0.0, 0.0]] * 2],
        horizon=1,
        state_names=["choosing", "over"],
        action_names=["gamble", "safe"],
    )
    return TabularModel(mdp)


def lotteries(number, seed=0):
    """Lotteries whose safe amounts lie around the mean of the gamble, some near and some far."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for i in range(number):
        chance, size, place = torch.rand(3, generator=rng).tolist()
        chance, win = 0.15 + 0.7 * chance, 4.0 + 8.0 * size
        found[f"lottery {i + 1}"] = lottery(chance, win, win * min(max(chance + 0.7 * (place - 0.5), 0.05), 0.95))
    return found


def menu(good, bad, safe, chance, options=5):
    """Two decisions: leave with a safe amount, or go on to a menu with one good, risky option and several bad ones."""
    probability, reward = torch.zeros(2, 3, options, 2, dtype=torch.float64)
    successor, prior = torch.full((3, options, 2), 2), torch.zeros(3, options, dtype=torch.float64)
    probability[..., 0] = 1.0
    successor[0, 1], reward[0, 0, 0] = 1, safe
    probability[1, 0] = torch.tensor([chance, 1.0 - chance])
    reward[1, 0, 0], reward[1, 1:, 0] = good / chance, bad
    prior[0, :2], prior[1], prior[2, 0] = 0.5, 1.0 / options, 1.0
    names = ["entrance", "menu", "over"]
    return TabularModel(TabularMDP([1.0, 0.0, 0.0], probability, successor, reward, 2, state_names=names), 1.0, prior)


def menus(number, seed=0):
    """Menus whose safe amounts lie below and above the value of the good option."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for i in range(number):
        a, b, c, d = torch.rand(4, generator=rng).tolist()
        good = 2.0 + 3.0 * a
        found[f"menu {i + 1}"] = menu(good, good - 0.3 - 2.2 * b, good + 0.6 - 2.0 * c, 0.3 + 0.6 * d)
    return found
