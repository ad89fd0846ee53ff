"""The ledge: a pit beside the way in the plane, in gusts of wind; what is exact, and what Gaussian guides make of it.

A step is added to the point, and so is a gust: s' = s + a + w. Exact inference is then a convolution, for any reward
and any β. The free posterior walks close to the pit, where it believes that no gust will push it over the edge; in the
true wind its policy spends a quarter of a step of each episode in the pit. With the wind clamped the agent keeps a
third of a unit more distance, and β = .3 lies between. Linear-Gaussian guides fitted by natural gradients average the
rewards over the noise, and so they see the pit: their ELBOs are 2.3 nats (clamped) and 3.2 nats (free) below the exact
ones. iLQG expands along one path, which misses the pit: it walks half a unit beside the edge, and its policy falls.
Returns and steps of the Gaussian guides are estimates from paths. Printed:

                    ELBO   imagined return  true return  steps in the pit
free                -13.71             -2.04       -17.79              0.27
β = .3              -15.52             -2.82        -7.55              0.09
clamped             -20.08             -3.91        -3.91              0.01
free, Gaussian      -16.87             -2.40        -8.87              0.09
clamped, Gaussian   -22.33             -4.00        -4.07              0.01
clamped, iLQG       -86.08            -37.38       -37.64              0.71
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import (
    ClampedGaussianGuide,
    FreeGaussianGuide,
    Planar,
    PlanarModel,
    continuous_zoo,
    estimate,
    fit,
    ilqg,
    infer_planar,
    plot,
)
from pgm_control.models.gusty_ledge import in_the_pit

BETAS = {"free": 1.0, "β = .3": 0.3, "clamped": 0.0}


@dataclass
class Args:
    """Options of the example."""

    num_steps: int = 15
    """number of steps of natural gradients"""
    num_samples: int = 2000
    """number of paths of each estimate"""
    picture: Path = Path("29_the_ledge.png")
    """output file of the picture"""
    smoke: bool = False
    """a short horizon, a coarse mesh and few steps, to see that it runs"""


def fitted(model: PlanarModel, args: Args) -> dict[str, Any]:
    """Gaussian guides: free and clamped by natural gradients, and clamped by iLQG."""
    found: dict[str, Any] = {}
    for name, guide in (("free", FreeGaussianGuide(model)), ("clamped", ClampedGaussianGuide(model))):
        fit(model, guide, method="natural_gradient", num_steps=args.num_steps, seed=0)
        found[f"{name}, Gaussian"] = guide
    along_a_path = ClampedGaussianGuide(model)
    along_a_path.assign(ilqg(model, 0.0).guide)
    return found | {"clamped, iLQG": along_a_path}


def played(problem: Planar, guide: Any, num_samples: int) -> torch.Tensor:
    """States of the policy of a Gaussian guide in the true world."""
    generator, blocks = torch.Generator().manual_seed(0), guide.blocks()
    states = [torch.zeros(num_samples, 2, dtype=torch.float64)]
    wind, hand = torch.linalg.cholesky(problem.noise_covariance), torch.linalg.cholesky(blocks.policy_covariance)
    for t in range(problem.horizon):
        normal = torch.randn(2, num_samples, 2, generator=generator, dtype=torch.float64)
        action = normal[0] @ hand[t].mT - states[-1] @ blocks.gain[t].mT - blocks.offset[t]
        states.append(states[-1] + action + normal[1] @ wind.mT)
    return torch.stack(states, 1).detach()


def main(args: Args) -> None:
    """Solve the ledge exactly, fit Gaussian guides, and draw the paths."""
    if args.smoke:
        args.num_steps, args.num_samples = 1, 100
    model: Any = continuous_zoo()["gusty_ledge"].model(horizon=3 if args.smoke else None)
    spacing = 0.3 if args.smoke else None
    exact = {name: infer_planar(model, beta, spacing=spacing) for name, beta in BETAS.items()}
    paths = {name: found.play(args.num_samples, 0).states for name, found in exact.items()}

    def row(name: str, elbo: float, imagined: float, true: float) -> None:
        pit = float(in_the_pit(paths[name][:, 1:]).sum(1).mean())
        print(f"{name:<18}{elbo:>8.2f}{imagined:>18.2f}{true:>13.2f}{pit:>18.2f}")

    print("                    ELBO   imagined return  true return  steps in the pit")
    for name, found in exact.items():
        row(name, found.elbo, found.imagined_return, found.true_return)
    for name, guide in fitted(model, args).items():
        paths[name] = played(model.problem, guide, args.num_samples)
        found = estimate(model, guide, args.num_samples // 4, seed=0)
        row(name, found.elbo.mean, found.imagined_return.mean, float(model.problem.returns(paths[name]).mean()))

    figure = Figure(figsize=(8.8, 8.2), layout="constrained")
    above, below = figure.subplots(2, 1)
    imagined = exact["free"].sample(args.num_samples, 0)
    shown = {"free, imagined": imagined, "free guide, true wind": paths["free"], "clamped": paths["clamped"]}
    gaussian = {"clamped, by natural gradients": paths["clamped, Gaussian"], "iLQG": paths["clamped, iLQG"]}
    plot.plane_paths(model.problem, shown, num_paths=0, title="Exact: no gust to the pit is imagined", ax=above)
    plot.plane_paths(model.problem, gaussian, num_paths=0, title="Gaussian guides in the true wind", ax=below)
    for axes in (above, below):
        axes.set_xlim(-2.0, 10.0)
        axes.set_ylim(-1.6, 2.9)
    figure.savefig(args.picture, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Args))
