"""The ledge: a pit beside the way in the plane, in gusts of wind; what is exact, and what Gaussian guides make of it.

A step is added to the point, and so is a gust: s' = s + a + w. Exact inference is then a convolution for any reward and
any β. The free posterior walks close to the pit, in which it believes it never falls; its policy spends .28 steps of an
episode there. With the wind clamped the agent keeps about a third of a unit more distance, and β = .3 lies between.
Linear-Gaussian guides fitted by natural gradients average over the noise, and see the pit: they come within 3 nats,
the limit of their family. iLQG looks along one path, which misses the pit, and so its clamped policy falls. Estimates
of the Gaussian guides are from 2000 paths. Printed:

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
    PlanarModel,
    continuous_zoo,
    estimate,
    fit,
    ilqg,
    infer,
    plot,
)
from pgm_control.models.gusty_ledge import in_the_pit


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


def main(args: Args) -> None:
    """Solve the ledge exactly, fit Gaussian guides, and draw the paths."""
    spacing = None
    if args.smoke:
        args.num_steps, args.num_samples, spacing = 1, 100, 0.2
    model = continuous_zoo()["gusty_ledge"].model(horizon=3 if args.smoke else None)
    exact = {
        name: infer_planar(model, beta, spacing=spacing) for name, beta in (("free", 1.0), ("β = .3", 0.3), ("clamped", 0.0))
    }
    print("                    ELBO, nats  imagined return      true return  steps in the pit")
    for name, found in exact.items():
        depth = sum(in_the_pit(found.play(args.num_samples, 0).states[:, 1:]).sum(1)) / args.num_samples
        print(f"{name:<18}{found.elbo:>12.2f}{found.imagined_return:>17.2f}{found.true_return:>17.2f}{depth:>18.2f}")
