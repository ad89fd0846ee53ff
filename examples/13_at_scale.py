"""Forty thousand states, no horizon: whom does the wind obey? And a thousand temperatures in one call.

A square field with a cliff along its lower edge, as in CliffWalking: every step costs 1, a fall 100 and a restart, and
one step in five is blown sideways. The tables are made a row of the field at a time. Then value iteration for an agent
who fears the wind (β < 0), one who knows that it cannot steer it (β = 0) and one who believes that it can (β = 1), each
certified to 1e-6; what each believes its life to be worth; and what its policy is truly worth. Who fears the wind never
dares to pass the cliff; who believes to rule it walks along the edge. Printed:

    40,000 states, made in 0.1 s
    β = -1: 1172 sweeps, 14.1 s: believes -1128.09, truly -1002.18  (converged)
    β =  0: 1733 sweeps, 7.7 s: believes -273.39, truly -273.39  (converged)
    β =  1: 1367 sweeps, 6.9 s: believes -207.42, truly -3169.12  (converged)
    a thousand temperatures with derivatives in 1.4 s
    τ =  0.01: soft value 0.0705, and 18.6050 nats from the prior
    τ =  0.10: soft value 0.0028, and 0.0118 nats from the prior
    τ =  1.00: soft value 0.0018, and 0.0001 nats from the prior
    τ = 10.00: soft value 0.0018, and 0.0000 nats from the prior
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import tyro

from pgm_control import TabularMDP, TabularModel, policy_evaluation, soft_values, value_iteration
from pgm_control.models import frozen_lake

MOVES = torch.tensor([[0, -1], [1, 0], [0, 1], [-1, 0]])  # (rows, columns): west, south, east, north


@dataclass
class Args:
    """How large a field, and how patient and decided an agent."""

    size: int = 200
    """length of a side, in steps"""
    wind: float = 0.2
    """probability of being blown sideways"""
    discount: float = 0.999
    """probability of surviving a step"""
    temperature: float = 0.1
    """reward units per nat"""
    smoke: bool = False
    """a small field, to see that it runs"""


def rows(size: int, wind: float) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The dice of each row of the field, from north to south: as meant, or blown to either side."""
    start, goal = (size - 1) * size, size * size - 1
    column = torch.arange(size)
    for row in range(size):
        directions = torch.stack([(torch.arange(4) + turn) % 4 for turn in (0, 1, 3)], -1)  # (action, outcome)
        move = MOVES[directions]
        south = (row + move[..., 0]).clamp(0, size - 1).expand(size, 4, 3)
        east = (column[:, None, None] + move[..., 1]).clamp(0, size - 1)
        successor = south * size + east
        falls = (successor > start) & (successor < goal)
        reward = torch.where(falls, -100.0, -1.0).double()
        successor = torch.where(falls, start, successor)
        arrived = (row * size + column == goal)[:, None, None]
        probability = torch.tensor([1 - wind, wind / 2, wind / 2], dtype=torch.float64).expand(size, 4, 3)
        yield probability, torch.where(arrived, goal, successor), torch.where(arrived, 0.0, reward)


def main(args: Args) -> None:
    """Solve the field for three agents, then a lake for a thousand temperatures."""
    if args.smoke:
        args.size, args.discount = 12, 0.95
    states, begin = args.size**2, time.perf_counter()
    mdp = TabularMDP.from_blocks(rows(args.size, args.wind), states, 4, 3, horizon=1, discount=args.discount)
    print(f"{states:,} states, made in {time.perf_counter() - begin:.1f} s")
    start = states - args.size
    for optimism in (-1.0, 0.0, 1.0):
        found = value_iteration(mdp, args.temperature, optimism, tolerance=1e-6)
        true = policy_evaluation(mdp, found.policy, args.temperature, tolerance=1e-6)
        believed, worth = found.v[start].item(), true.v[start].item()
        cost = f"{found.sweeps} sweeps, {found.seconds:.1f} s"
        print(f"β = {optimism:2.0f}: {cost}: believes {believed:.2f}, truly {worth:.2f}  ({found.status.name})")

    model = TabularModel(frozen_lake("8x8", horizon=20 if args.smoke else 100))
    temperature = torch.logspace(-2, 1, 1000, dtype=torch.float64, requires_grad=True)
    begin = time.perf_counter()
    answers = soft_values(model, 0.0, temperature=temperature)
    (slope,) = torch.autograd.grad((answers.objective * temperature).sum(), temperature)
    print(f"a thousand temperatures with derivatives in {time.perf_counter() - begin:.1f} s")
    for n in (0, 333, 666, 999):
        tau, value = temperature[n].item(), (answers.objective[n] * temperature[n]).item()
        print(f"τ = {tau:5.2f}: soft value {value:.4f}, and {-slope[n].item():.4f} nats from the prior")


if __name__ == "__main__":
    main(tyro.cli(Args))
