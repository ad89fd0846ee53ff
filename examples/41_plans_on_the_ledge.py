"""Plans on the ledge: what a planner counts on is decided by where it averages over the wind.

The gusty ledge of example 29: a walk of 16 steps beside a pit, in gusts of wind. MPPI draws plans, simulates each under
gusts, and weighs it by exp(return/τ); it plays the weighted mean, and plans anew at the next step. With one draw of the
gusts for each plan, the usual setting, a plan has weight because its gusts were kind: the planner is free, and walks
along the edge. With the mean of 16 draws before the exponential a plan has weight because it is good on average: the
planner is clamped, up to a bias of order 1/16, and keeps away from the edge. Nothing else differs. Each of 64 episodes
has plans of its own, and wind that no planner knows. In the first decision one or two of 512 plans carry all of the
weight, as is usual with MPPI in many dimensions; planning anew at each step mends much of it. Printed:

MPPI                    return   steps in the pit   effective plans
one draw          -10.37 ± 1.98              0.155               1.4
mean of 16 draws   -3.45 ± 0.28              0.009               1.2
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import PlanarModel
from pgm_control.models import gusty_ledge
from pgm_control.models.gusty_ledge import in_the_pit
from pgm_control.planners import MPPI, Plan

COLORS = {"one draw": "#D55E00", "mean of 16 draws": "#0072B2"}


@dataclass
class Args:
    """Options of the example."""

    episodes: int = 64
    """episodes of each planner"""
    plans: int = 512
    """plans of a decision, in each of two sweeps"""
    picture: Path = Path("41_plans_on_the_ledge.png")
    """output file of the picture"""
    smoke: bool = False
    """few episodes and plans, to see that it runs"""


def walks(model: PlanarModel, planner: MPPI, episodes: int) -> tuple[torch.Tensor, Plan]:
    """The states of episodes side by side, in wind that the planner does not know, and the first plans."""
    generator = torch.Generator().manual_seed(1)
    state = torch.as_tensor(model.problem.initial_mean).expand(episodes, 2)
    gust = torch.linalg.cholesky(torch.as_tensor(model.problem.noise_covariance))
    states, plans = [state], planner.plan(state)
    for _ in range(model.problem.horizon):
        noise = torch.randn(episodes, 2, generator=generator, dtype=torch.float64)
        state = state + planner.act(state) + noise @ gust.T
        states.append(state)
    return torch.stack(states, 1), plans


def draw_ground(axes, model: PlanarModel) -> None:
    """The pit, and the start and the goal."""
    x, y = torch.meshgrid(torch.linspace(-2, 10, 240), torch.linspace(-2.5, 4, 130), indexing="xy")
    inside = in_the_pit(torch.stack((x, y), -1).double())
    axes.contourf(x, y, inside, levels=[0.5, 2.0], colors=["0.75"])
    axes.plot([0, 8], [0, 0], "k*", markersize=9)
    axes.text(4, -1.2, "pit", ha="center", fontsize=9)
    axes.set(xlim=(-2, 10), ylim=(-2.5, 4), aspect="equal")


def main(args: Args) -> None:
    """Plan with both, and draw the plans at the start and the walks."""
    episodes, plans = (4, 32) if args.smoke else (args.episodes, args.plans)
    model = PlanarModel(gusty_ledge(), temperature=0.5, action_prior=0.64)
    figure = Figure(figsize=(9.8, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    print("MPPI                    return   steps in the pit   effective plans")
    for (name, color), (left, right) in zip(COLORS.items(), panels, strict=True):
        draws = 1 if name == "one draw" else 16
        planner = MPPI(model, optimism=0.0, num_plans=plans, num_noise_samples=draws, num_sweeps=2, spread=0.4, seed=0)
        states, first = walks(model, planner, episodes)
        earned, inside = model.problem.returns(states), in_the_pit(states[:, 1:]).sum(-1).mean()
        error = float(earned.std()) / episodes**0.5
        size = float(first.effective_sample_size.mean())
        print(f"{name:16} {earned.mean():7.2f} ± {error:.2f}{inside:19.3f}{size:18.1f}")
        for axes in (left, right):
            draw_ground(axes, model)
        paths = first.actions.cumsum(1)  # without wind
        paths = torch.cat((torch.zeros_like(paths[:, :1]), paths), 1)
        for plan, walk in zip(paths[:10], states[:10], strict=True):
            left.plot(*plan.T, color=color, linewidth=0.9)
            right.plot(*walk.T, color=color, linewidth=0.9)
        left.plot(*paths.mean(0).T, color="black", linewidth=2)
        left.set_title(f"{name}: first plans, without wind, and their mean", fontsize=10)
        right.set_title(f"{name}: walks, return {earned.mean():.1f} ± {error:.1f}".replace("-", "−"), fontsize=10)
    figure.savefig(args.picture, dpi=72)


if __name__ == "__main__":
    main(tyro.cli(Args))
