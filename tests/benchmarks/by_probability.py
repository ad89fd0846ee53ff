"""Time of many MDPs in one call: FrozenLake, each setting with perturbed transition probabilities of its own.

Each contestant computes the objectives and their gradients by the probabilities. "torch" is the recursion as a loop of
batched operations, differentiated by autograd, without the library.

python -m tests.benchmarks.by_probability [--settings N] [--rounds N] [--size 4x4]
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pgm_control import TabularModel, soft_values

from .harness import SIZES, lake, race, require_close, versions

Answer = tuple[Tensor, Tensor]


def dynamics(model: TabularModel, count: int) -> Tensor:
    """A Dirichlet perturbation of the true probabilities for each setting; impossible outcomes stay impossible."""
    p = torch.where(model.mdp.probability > 0, model.mdp.probability, 0.0)
    weights = torch.from_numpy(np.random.default_rng(0).gamma(20 * p.numpy() + 1e-9, size=(count, *p.shape)))
    weights = torch.where(p > 0, weights, 0.0)
    return weights / weights.sum(-1, keepdim=True)


def ours(model: TabularModel, beta: float, given: Tensor) -> Callable[[], Answer]:
    def call() -> Answer:
        p = given.clone().requires_grad_()
        objective = soft_values(model, beta, probability=p).objective
        objective.sum().backward()
        assert p.grad is not None
        return objective.detach(), p.grad

    return call


def plain_torch(model: TabularModel, beta: float, given: Tensor) -> Callable[[], Answer]:
    """The same recursion as a loop of batched torch operations, differentiated by autograd."""
    mdp, tau = model.mdp, model.temperature
    log_prior = model.action_prior.log()

    def call() -> Answer:
        p = given.clone().requires_grad_()
        log_p = torch.where(p > 0, p, 1.0).log().masked_fill(p == 0, -torch.inf)
        v = p.new_zeros(len(p), mdp.num_states)
        for _ in range(mdp.horizon):
            x = mdp.reward + v[:, mdp.successor]
            q = (p * x).sum(-1) if beta == 0 else tau / beta * torch.logsumexp(log_p + beta / tau * x, -1)
            v = tau * torch.logsumexp(log_prior + q / tau, -1)
        start = mdp.initial.log() + beta / tau * v
        value = v @ mdp.initial / tau if beta == 0 else torch.logsumexp(start, -1) / beta
        value.sum().backward()
        assert p.grad is not None
        return value.detach(), p.grad

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=SIZES, help="default: both")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(versions(("torch", "numba")))
    for size in [options.size] if options.size else list(SIZES):
        model = lake(size, 0.1)
        given = dynamics(model, options.settings)
        for beta, name in ((1.0, "free"), (0.0, "clamped")):
            call = ours(model, beta, given)
            calls = {
                "torch, batched": plain_torch(model, beta, given),
                "soft_values, compiled": call,
            }
            print(f"FrozenLake {size}, T = {SIZES[size]}, {options.settings} settings, {name}")
            objective, slope = calls["torch, batched"]()
            for contestant, each in calls.items():
                found, by_p = each()
                require_close(f"objective of {contestant}", found, objective)
                p = given - given.mean(0)  # a direction that keeps the sums: slopes are up to a constant for each row
                require_close(f"slope of {contestant}", (by_p * p).sum((1, 2, 3)), (slope * p).sum((1, 2, 3)), 1e-5)
            race(calls, options.rounds, seconds=0.1, again=True)


if __name__ == "__main__":
    main()
