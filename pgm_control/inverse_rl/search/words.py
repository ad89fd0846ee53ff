"""Sentences on the optima of a likelihood and on its flat directions, for tables and for quadratic rewards."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from ...text.wording import listed
from .optima import RunnerUp, tie

_SHOWN = 3  # runners-up in a print
_AS_FAST = 0.1
_VISIBLE = 1e-3  # the weight of a parameter in a direction from which it is named


def fastest(direction: Float[Tensor, " parameter"] | None, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the parameters that change at least a tenth as fast as the fastest; none without a direction."""
    if direction is None:
        return ()
    sizes = direction.abs()
    order = sizes.argsort(descending=True).tolist()
    return tuple(names[i] for i in order if sizes[i] >= _AS_FAST * sizes.max())


def largest(directions: Float[Tensor, "direction parameter"], names: tuple[str, ...]) -> str:
    """The names of the parameters with the largest weight in these directions, largest first."""
    weight = directions.square().sum(0)
    return listed([names[i] for i in weight.argsort(descending=True).tolist() if weight[i] > _VISIBLE])


def tied(runners_up: Sequence[RunnerUp], log_density: float) -> tuple[RunnerUp, ...]:
    """The runners-up that explain the demonstrations as well as the result, to 10⁻⁹ nats or rounding."""
    least = -tie(log_density)
    return tuple(each for each in runners_up if each.difference >= least)


def of_optima(ties: Sequence[RunnerUp], runners_up: Sequence[RunnerUp], names: tuple[str, ...]) -> list[str]:
    """Sentences on the other optima."""
    lines = []
    if ties:
        count = "Another reward explains" if len(ties) == 1 else f"{len(ties)} other rewards explain"
        lines.append(
            f"{count} the demonstrations equally well, to within 1e-9 nats; the result is the one nearest to the "
            "start of the search."
        )
    for each in runners_up[:_SHOWN]:
        values = zip(names, each.parameters.tolist(), strict=True)
        lines.append(
            f"Runner-up, Δ log-likelihood {each.difference:.4g} nats: "
            f"{listed([f'{name} = {value:.6g}' for name, value in values])}."
        )
    if len(runners_up) > _SHOWN:
        lines.append(f"{len(runners_up) - _SHOWN} more runners-up are in `runners_up`.")
    return lines


def of_flat_directions(
    unobserved: Float[Tensor, "direction parameter"],
    names: tuple[str, ...],
    scale_trades: bool,
    optimism_deviation: float,
) -> list[str]:
    """Sentences on what these demonstrations do not identify, beside what no demonstrations do."""
    lines = []
    if len(unobserved):
        lines.append(
            f"These demonstrations do not identify further directions: {len(unobserved)} "
            f"({largest(unobserved, names)})."
        )
    if scale_trades:
        lines.append("The temperature trades against the scale of the reward: only their ratio is identified.")
    if optimism_deviation == float("inf"):
        lines.append("These demonstrations do not identify the optimism β.")
    return lines
