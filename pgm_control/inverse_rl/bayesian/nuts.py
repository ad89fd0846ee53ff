"""Draws from a posterior by the No-U-Turn sampler, in whitened coordinates."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pyro.infer import MCMC, NUTS
from torch import Tensor

from ...errors import InvalidArgument
from ...runtime.progress import Progress
from ..laplace import Laplace, laplace, standard


@runtime_checkable
class HasDensity(Protocol):
    """Unconstrained coordinates of a posterior."""

    @property
    def start(self) -> Float[Tensor, " coordinate"]:
        """The start of a search for the mode."""
        ...

    def log_density(self, u: Float[Tensor, "*draw coordinate"], /) -> Float[Tensor, "*draw"]:
        """Return the log-density in these coordinates, in nats, up to a constant."""
        ...

    def values(self, u: Float[Tensor, "*draw coordinate"], /) -> dict[str, Tensor]:
        """Return the values of the sites."""
        ...

    def drawn_from_prior(self, number: int) -> Float[Tensor, "draw coordinate"]:
        """Return the coordinates at which chains start."""
        ...


def draws_by_nuts(
    coordinates: HasDensity,
    num_samples: int,
    num_warmup: int,
    num_chains: int,
    progress: Progress,
    gaussian: Laplace | None = None,
) -> tuple[dict[str, Tensor], int]:
    """Return the draws of each site by chain, and the total number of divergences.

    The sampler works in coordinates whitened by a Gaussian; default: the Laplace approximation, if one exists.
    """
    steps = 0
    if gaussian is None:
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
