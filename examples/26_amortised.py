"""Amortised inference: one network that reads the task and returns the policy, for tasks that it never saw.

The task is a map: where the goal is and how slippery the floor is. The network is trained with `MarkovELBO`, the exact
ELBO of its policy on a random task, so that no trajectory is sampled. It reads the goal as it is seen from each state,
so that it can tell one task from another. On held-out tasks it is compared with the optimum of each, `infer(model,
0.0)`, and with what it was before training. Printed:

held-out task   optimum  amortised  untrained  (nats)
            0    -2.867     -2.982     -7.845
            1   -12.533    -12.766    -15.942
            2   -11.589    -11.790    -15.509
            3    -4.809     -4.951    -11.549
            4   -13.144    -13.361    -15.921
            5   -14.462    -14.681    -15.620
            6    -7.572     -7.693    -13.428
            7    -3.664     -3.774     -8.142
            8   -11.171    -11.469    -14.484
            9   -14.045    -14.238    -15.913
           10   -14.738    -14.903    -15.904
           11    -6.065     -6.239    -11.464
mean shortfall: 0.182 nats amortised, 3.755 untrained
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import Blocks, MarkovELBO, MarkovGuide, TabularModel, evaluate, infer, plot
from pgm_control.exchange import grid_world

SIZE, HORIZON = 4, 8


@dataclass
class Args:
    """Options of the example."""

    num_steps: int = 800
    """number of random tasks to train on"""
    num_tasks: int = 12
    """number of held-out tasks"""
    picture: Path = Path("26_amortised.png")
    """output file of the picture"""
    smoke: bool = False
    """only a few tasks, to see that it runs"""


def draw_task(random: np.random.Generator) -> tuple[TabularModel, torch.Tensor]:
    """A random goal and slip, as a model and as the numbers that the network reads."""
    goal, slip = int(random.integers(1, SIZE * SIZE)), float(random.uniform(0.0, 0.4))
    cells = ["S", *["."] * (SIZE * SIZE - 1)]
    cells[goal] = "G"
    rows = ["".join(cells[i : i + SIZE]) for i in range(0, len(cells), SIZE)]
    model = TabularModel(grid_world("\n".join(rows), horizon=HORIZON, slip=slip, step_reward=-1.0), 0.5)
    return model, torch.tensor([goal // SIZE, goal % SIZE, slip], dtype=torch.float64)


class Amortised(MarkovGuide):
    """The policy of a network that reads the task, the time and the state."""

    def __init__(self, model: TabularModel, task: torch.Tensor, network: torch.nn.Module) -> None:
        """Store the network and what it reads."""
        super().__init__(model)
        state = torch.arange(model.mdp.num_states, dtype=torch.float64)  # the last one is the end
        away = torch.stack((task[0] - state // SIZE, task[1] - state % SIZE), -1)  # the goal, seen from each state
        place = torch.stack((state // SIZE, state % SIZE), -1)
        here = torch.cat((away, away.sign(), place, task[2].expand(len(state), 1)), -1)
        time = torch.linspace(0.0, 1.0, HORIZON, dtype=torch.float64)[:, None, None].expand(-1, len(state), 1)
        self.inputs = torch.cat((here.expand(HORIZON, -1, -1), time), -1)
        self.network = network

    def blocks(self) -> Blocks:
        """The dynamics of the model, and the policy of the network."""
        return self.model.blocks().replace(log_policy=torch.log_softmax(self.network(self.inputs), -1))


def main(args: Args) -> None:
    """Train the network on random tasks, compare it with the optimum of held-out ones, and draw both."""
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 4)
    ).double()
    held_out = [draw_task(np.random.default_rng(1000 + i)) for i in range(3 if args.smoke else args.num_tasks)]

    def elbos() -> list[float]:
        return [evaluate(each, Amortised(each, numbers, network)).elbo for each, numbers in held_out]

    best = [infer(each, 0.0).objective for each, _ in held_out]
    at_start = elbos()

    # amortised inference in twelve lines
    steps = 3 if args.smoke else args.num_steps
    optimiser, loss = torch.optim.Adam(network.parameters(), 0.01), MarkovELBO()
    shortfall = []
    for _ in range(steps):
        model, task = draw_task(random)
        objective = loss.differentiable_loss(model, Amortised(model, task, network))
        optimiser.zero_grad()
        objective.backward()
        optimiser.step()
        shortfall.append(infer(model, 0.0).objective + objective.item())

    found = elbos()
    print("held-out task   optimum  amortised  untrained  (nats)")
    for i, row in enumerate(zip(best, found, at_start, strict=True)):
        print(f"{i:13d} {row[0]:9.3f}  {row[1]:9.3f}  {row[2]:9.3f}")
    mean = np.mean([np.subtract(best, found), np.subtract(best, at_start)], axis=1)
    print(f"mean shortfall: {mean[0]:.3f} nats amortised, {mean[1]:.3f} untrained")

    window = max(1, steps // 30)
    smooth = np.convolve(shortfall, np.ones(window) / window, "valid")
    figure = Figure(figsize=(10.8, 6.4), layout="constrained")
    plot.curves(
        np.arange(len(smooth)),
        {"random tasks": smooth},
        across="tasks seen",
        up="ELBO below the optimum of the task (nats)",
        title="One network learns to solve tasks that it never saw",
        levels={"held-out tasks, at the end": float(mean[0])},
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
