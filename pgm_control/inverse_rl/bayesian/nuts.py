"""Draws from a posterior over rewards by the No-U-Turn sampler."""

from typing import Any

import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from ...errors import InvalidArgument
from ...runtime.progress import Progress
from ..laplace import laplace, standard
from .coordinates import Coordinates


def draws_by_nuts(
    coordinates: Coordinates, num_samples: int, num_warmup: int, num_chains: int, progress: Progress
) -> tuple[dict[str, Tensor], int]:
    """Return the draws of each site by chain, and the total number of divergences.

    The sampler works in coordinates whitened by the Laplace approximation, if one exists.
    """
    steps = 0
    try:
        gaussian = laplace(coordinates.log_density, coordinates.start)
    except InvalidArgument:
        gaussian = standard(coordinates.log_density, coordinates.start)

    def energy(parameters: dict[str, Tensor]) -> Tensor:
        return -coordinates.log_density(gaussian.at(parameters["z"]))

    def watch(kernel: Any, *_: Any) -> None:
        nonlocal steps
        steps += 1
        progress(steps, {"acceptance": kernel._mean_accept_prob})

    found, divergences = [], 0
    for _ in range(num_chains):
        start = coordinates.drawn_from_prior(1)[0]
        chain = MCMC(
            NUTS(potential_fn=energy),
            num_samples,
            num_warmup,
            initial_params={"z": gaussian.root.T @ (start - gaussian.peak)},
            hook_fn=watch,
            disable_progbar=True,
        )
        chain.run()
        found.append(chain.get_samples()["z"])
        divergences += sum(map(len, chain.diagnostics()["divergences"].values()))
    return coordinates.values(gaussian.at(torch.stack(found))), divergences
