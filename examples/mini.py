"""The whole idea in one file that uses only torch: trajectories, exp(reward), two guides, the ELBO, exact messages.

Home is across the river. Walking round takes two steps that cost 1 each. Swimming takes one step: with probability .3
you arrive, otherwise the current returns you to the bank and the cold costs 4. Printed:

guide      exact nats  fitted nats  P(swim)  believes swim succeeds  imagined  true return
free          -1.5183      -1.5184    0.691                   0.991    -0.648       -4.131
clamped       -2.6205      -2.6205    0.070                   0.300    -2.165       -2.165
"""

import argparse
from dataclasses import dataclass

import torch

BANK, BRIDGE, HOME = 0, 1, 2
WALK, SWIM = 0, 1


@dataclass
class Problem:
    """p(s_0), p(k|s,a), s'(s,a,k), r(s,a,k): we call each p(k|s,a) a die; outcome k pays r and leads to s'."""

    initial: torch.Tensor  # (S,)
    probability: torch.Tensor  # (S, A, K)
    successor: torch.Tensor  # (S, A, K)
    reward: torch.Tensor  # (S, A, K), in reward units
    horizon: int
    temperature: float = 1.0  # reward units per nat: every step is "optimal" with likelihood exp(r / temperature)


def river(horizon: int) -> Problem:
    """The problem described above."""
    sure, chance = [1.0, 0.0], [0.3, 0.7]
    return Problem(
        initial=torch.tensor([1.0, 0.0, 0.0]),
        probability=torch.tensor([[sure, chance], [sure, sure], [sure, sure]]),
        successor=torch.tensor([[[BRIDGE] * 2, [HOME, BANK]], [[HOME] * 2] * 2, [[HOME] * 2] * 2]),
        reward=torch.tensor([[[-1.0, 0.0], [0.0, -4.0]], [[-1.0, 0.0]] * 2, [[0.0, 0.0]] * 2]),
        horizon=horizon,
    )


def messages(problem: Problem, free: bool):
    """The exact optimum, backwards in time. Free and clamped differ in one line: how the dice are summed out."""
    tau, log_prior = problem.temperature, -torch.log(torch.tensor(float(problem.reward.shape[1])))
    v, policy, dynamics = torch.zeros(len(problem.initial)), [], []
    for _ in range(problem.horizon):
        x = problem.reward + v[problem.successor]  # (S, A, K)
        if free:  # the dice may change: log E exp, and outcome k is believed in proportion to p exp(x / tau)
            tilted = problem.probability.log() + x / tau
            q, believed = tau * tilted.logsumexp(-1), tilted.softmax(-1)
        else:  # the dice are the true ones: the mean
            q, believed = (problem.probability * x).sum(-1), problem.probability
        v = tau * (log_prior + q / tau).logsumexp(-1)
        policy.insert(0, (q / tau).softmax(-1))
        dynamics.insert(0, believed)
    start = problem.initial.log() + v / tau
    objective = start.logsumexp(0) if free else (problem.initial * v).sum() / tau
    initial = start.softmax(0) if free else problem.initial
    return objective, initial, torch.stack(policy), torch.stack(dynamics)


def elbo(problem: Problem, initial, policy, dynamics):
    """E_q[Σ r/τ − log π/ρ − log q(k)/p(k)] − KL(q(s_0) ‖ p(s_0)): the objective of any guide, in nats."""
    p, actions = problem.probability, problem.reward.shape[1]
    w = torch.zeros(len(problem.initial))
    for pi, q in zip(policy.flip(0), dynamics.flip(0), strict=True):  # backwards in time
        outcomes = problem.reward / problem.temperature + w[problem.successor] - log_ratio(q, p)
        w = (pi * ((q * outcomes).sum(-1) - (pi * actions).log())).sum(-1)
    return (initial * (w - log_ratio(initial, problem.initial))).sum()


def log_ratio(q, p):
    """log q/p, and 0 where p is 0, since q is 0 there too."""
    return (torch.where(p > 0, q, 1.0) / torch.where(p > 0, p, 1.0)).log()


def expected_return(problem: Problem, initial, policy, dynamics):
    """E[Σ r] of this policy under these dice."""
    w = torch.zeros(len(problem.initial))
    for pi, q in zip(policy.flip(0), dynamics.flip(0), strict=True):
        w = (pi * (q * (problem.reward + w[problem.successor])).sum(-1)).sum(-1)
    return (initial * w).sum()


def fit(problem: Problem, free: bool, steps: int):
    """Maximise the ELBO. A clamped guide has a policy; a free one also has dice and a start of its own."""
    time, (states, actions, outcomes) = problem.horizon, problem.reward.shape
    choices = torch.zeros(time, states, actions, requires_grad=True)
    tilt = torch.zeros(time, states, actions, outcomes, requires_grad=free)
    start = torch.zeros(states, requires_grad=free)
    optimiser = torch.optim.Adam([x for x in (choices, tilt, start) if x.requires_grad], lr=0.1)

    def guide():
        dynamics = (problem.probability.log() + tilt).softmax(-1)
        return (problem.initial.log() + start).softmax(0), choices.softmax(-1), dynamics

    for _ in range(steps):
        optimiser.zero_grad()
        loss = -elbo(problem, *guide())
        loss.backward()
        optimiser.step()
    return [block.detach() for block in guide()]


@dataclass
class Args:
    """The options of the command line."""

    horizon: int = 3  # number of actions
    num_steps: int = 500  # gradient steps for each guide
    smoke: bool = False  # a few steps only, to see that it runs


def main() -> None:
    parser = argparse.ArgumentParser(description="Control as inference in one file.")
    parser.add_argument("--horizon", type=int, default=Args.horizon)
    parser.add_argument("--num-steps", type=int, default=Args.num_steps)
    parser.add_argument("--smoke", action="store_true")
    args = Args(**vars(parser.parse_args()))
    problem = river(args.horizon)
    print("guide      exact nats  fitted nats  P(swim)  believes swim succeeds  imagined  true return")
    for name, free in (("free", True), ("clamped", False)):
        objective, *_ = messages(problem, free)
        initial, policy, dynamics = fit(problem, free, 20 if args.smoke else args.num_steps)
        reached = elbo(problem, initial, policy, dynamics)
        imagined = expected_return(problem, initial, policy, dynamics)
        true = expected_return(problem, problem.initial, policy, problem.probability.expand_as(dynamics))
        print(
            f"{name:<9} {objective:>11.4f}  {reached:>11.4f}  {policy[0, BANK, SWIM]:>7.3f}"
            f"  {dynamics[0, BANK, SWIM, 0]:>22.3f}  {imagined:>8.3f}  {true:>11.3f}"
        )


if __name__ == "__main__":
    main()
