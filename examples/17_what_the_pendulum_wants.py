"""What the pendulum wants: the weights of a reward from twenty demonstrations, and a policy learned from it.

Pendulum-v1 is discretised into cells by stepping it. A max-ent demonstrator plans in these cells with the reward of
Pendulum, −(angle² + .1 speed² + .001 torque²) a step. We learn a reward that is linear in the same three squares from
twenty of its swings, with standard errors. The policy of the learned reward then swings the real pendulum, beside the
policies of the demonstrator and of no reward. Printed:

20 swings of 60 steps in 625 cells
angle²     learned  -0.9990 ± 0.0705   true  -1.000
speed²     learned  -0.0965 ± 0.0112   true  -0.100
torque²    learned  -0.0190 ± 0.0206   true  -0.001
the policy of the demonstrator    earns  -133.0 ± 10.7 on the real pendulum
the policy of the learned reward  earns  -133.2 ± 10.7 on the real pendulum
the policy of no reward           earns  -350.8 ± 12.0 on the real pendulum
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from torch.autograd.functional import hessian

from pgm_control import TabularModel, infer, plot, rollout
from pgm_control.exchange import Discretised, discretise
from pgm_control.inverse_rl import Demonstrations, Inverse, LinearReward, inverse

NAMES, TRUE = ("angle²", "speed²", "torque²"), (-1.0, -0.1, -0.001)


def squares(found: Discretised) -> torch.Tensor:
    """The squares of angle and speed at the centre of each cell, and of the torque, (S, A, 3); 0 after termination."""
    low, high = (torch.as_tensor(each) for each in found.cells.bounds())
    middle = (low + high) / 2
    torque = torch.as_tensor(found.actions).double()
    features = torch.zeros(found.mdp.num_states, found.mdp.num_actions, 3, dtype=torch.float64)
    features[:-1, :, :2] = middle.square()[:, None]
    features[:-1, :, 2] = torque[:, 0].square()
    return features


def errors(found: Inverse, reward: LinearReward) -> torch.Tensor:
    """Standard errors of the weights, from the curvature of the log-likelihood."""
    model = found.model

    def log_likelihood(weight: torch.Tensor) -> torch.Tensor:
        table = (reward.features @ weight)[..., None].expand_as(model.mdp.reward)
        last = torch.zeros_like(model.mdp.initial)
        return found.demonstrator.log_likelihood(model, found.demonstrations, table, last, model.temperature)

    return (-torch.as_tensor(hessian(log_likelihood, reward.weight.detach()))).inverse().diagonal().sqrt()


@dataclass
class Args:
    """Options of the example."""

    bins: int = 25
    """cells along each coordinate"""
    horizon: int = 60
    """number of actions in a demonstration"""
    swings: int = 20
    """number of demonstrations"""
    num_episodes: int = 50
    """number of episodes on the real pendulum"""
    picture: Path = Path("17_what_the_pendulum_wants.png")
    """output file of the picture"""
    smoke: bool = False
    """small numbers, to see that it runs"""


def main(args: Args) -> None:
    """Sample demonstrations, learn the weights, and run the policies on the real pendulum."""
    if args.smoke:
        args.bins, args.horizon, args.swings, args.num_episodes = 9, 20, 5, 2
    found = discretise("Pendulum-v1", args.bins, actions=5, num_samples=16, horizon=args.horizon, seed=0)
    model = TabularModel(found.mdp, temperature=1.0)
    hers = infer(model, optimism=0.0)
    swings = hers.sample(args.swings, torch.Generator().manual_seed(0))
    seen = Demonstrations.from_trajectories(found.mdp, swings)
    reward = LinearReward(found.mdp, squares(found), names=NAMES)
    learned = inverse(model, seen, reward, "clamped")
    print(f"{args.swings} swings of {args.horizon} steps in {found.cells.count} cells")
    columns = NAMES, reward.weight.tolist(), errors(learned, reward).tolist(), TRUE
    for name, weight, error, true in zip(*columns, strict=True):
        print(f"{name:<10} learned {weight:8.4f} ± {error:.4f}   true {true:7.3f}")
    nothing = infer(TabularModel(found.mdp.replace(reward=0.0 * found.mdp.reward)), optimism=0.0)
    policies = {
        "of the demonstrator": hers,
        "of the learned reward": infer(learned.model, optimism=0.0),
        "of no reward": nothing,
    }
    for name, policy in policies.items():
        player = found.player(policy, seed=0)
        score = rollout("Pendulum-v1", player, args.num_episodes, seed=0, max_episode_steps=args.horizon)
        print(f"the policy {name:<22} earns {score.mean:7.1f} ± {score.standard_error:.1f} on the real pendulum")

    numbers = [2, 5, 10, 20, 50, 100][: 3 if args.smoke else None]
    states, actions, _ = hers.sample(numbers[-1], torch.Generator().manual_seed(1))
    weights = []
    for n in numbers:
        reward = LinearReward(found.mdp, squares(found))
        inverse(model, Demonstrations.from_trajectories(found.mdp, states[:n], actions[:n]), reward, "clamped")
        weights.append(reward.weight.detach())
    angle, speed, _ = torch.stack(weights).T
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        numbers, {"angle²": angle, "speed², ten times": 10 * speed}, across="number of demonstrations",
        up="learned weight (reward units)", title="Learned weights by number of demonstrations", levels={"true": -1.0},
        logarithmic="x", ax=figure.subplots(), style="slide",
    )  # fmt: skip
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
