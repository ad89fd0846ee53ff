"""Policy gradient in a corridor: its estimate is that of the objective, and runs collapse without entropy."""

import math

import numpy as np
import pytest
import torch
from gallery_examples import example

CELLS, START, HORIZON = 14, 2, 20


@pytest.fixture(scope="module")
def shown():
    return example("37_collapse")


def objective(logits, near, temperature):
    """The expected reward minus the price of the policy, differentiable, backwards."""
    log_policy = logits.log_softmax(-1)
    value = [torch.zeros((), dtype=torch.float64)] * CELLS
    for _ in range(HORIZON):
        after = list(value)
        for s in range(1, CELLS - 1):
            left = near if s == 1 else value[s - 1]
            right = 1.0 if s == CELLS - 2 else value[s + 1]
            price = temperature * (log_policy[s] + math.log(2))
            after[s] = log_policy[s].exp() @ (torch.stack([torch.as_tensor(left), torch.as_tensor(right)]) - price)
        value = after
    return value[START]


@pytest.mark.parametrize("temperature", [0.0, 0.05])
def test_the_gradient_is_that_of_the_objective_within_five_standard_errors(shown, temperature):
    """Up to 1 - 1/batch, by which a baseline that contains the episode itself shrinks it: the batch is large."""
    table = torch.randn(CELLS, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = torch.func.grad(lambda logits: objective(logits, 0.2, temperature))(table)
    args = shown.Args(runs=200, batch=400)
    noise = torch.Generator().manual_seed(0)
    found = shown.gradient(table.expand(200, -1, -1), args, 0.2, temperature, noise)
    error = found.std(0) / math.sqrt(200)
    assert ((found.mean(0) - exact).abs() <= 5 * error + 0.01 * exact.abs() + 1e-12).all()
    assert exact.abs().max() > 20 * error.max()


@pytest.mark.slow
def test_runs_without_entropy_collapse_more_often(shown):
    ends = {}
    for temperature in (0.0, 0.05):
        args, noise = shown.Args(runs=30, steps=400), torch.Generator().manual_seed(3)
        logits = torch.zeros(30, CELLS, 2, dtype=torch.float64)
        for _ in range(args.steps):
            logits += 2.0 * shown.gradient(logits, args, 0.2, temperature, noise)
        ends[temperature] = np.mean(shown.far(logits.softmax(-1), 0.2).numpy() < 0.3)
    assert ends[0.0] > 0.3
    assert ends[0.05] < 0.2
