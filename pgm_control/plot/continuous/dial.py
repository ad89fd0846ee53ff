"""Plot of the gain and the spread of the actions over the optimism, up to where the objective is unbounded."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...inference.exact.gaussian.breakdown import breakdown
from ...inference.exact.infer import infer
from ...runtime.arguments import index, shown
from ...trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from ..canvas import CLAMPED, FREE, ink, panels, plotted, style_of
from ..labels import finish, headline, name_axes, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # noqa: F401

Numbers = Sequence[float | int] | Float[Tensor, " number"] | Float[np.ndarray, " number"]

_POINTS = 60
_HIGHEST = 1.5  # the largest β that is drawn by default
_LOWEST = -2.0  # and the lowest where there is no breakdown


def gain_by_optimism(
    model: GaussianModel,
    optimisms: Numbers | None = None,
    *,
    t: int = 0,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Draw the gain of a policy and the standard deviation of its actions over β, and the breakdown.

    One slider leads from H∞ control, at the breakdown β* < 0, over the regulator at β = 0 to the exact posterior at 1.

    Args:
        model: a linear-quadratic model of one problem.
        optimisms: the values of β; those beyond the breakdown are left out. Default: from the breakdown, or −2, to 1.5.
        t: the step of the policy.
        axes: two Axes; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The two Axes: the norm of the gain, and the standard deviation of the first component of the action. A vertical
        line "breakdown" is at β*.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes = style_of(style)
    if not is_gaussian(model) or model.temperature == 0:
        raise InvalidArgument(
            f"`model` must be a LinearQuadraticModel with a positive temperature, but is {shown(model)}."
        )
    problem = one_problem(model, "a plot over the optimism")
    t = index("t", t, problem.horizon, "a step")
    edge = breakdown(model)
    low, high = edge.neurotic.optimism, edge.euphoric.optimism
    if optimisms is None:
        ends = max(low * (1 - 1e-6), -1e6) if math.isfinite(low) else _LOWEST, min(_HIGHEST, high * (1 - 1e-6))
        asked = np.linspace(*ends, _POINTS)
    else:
        asked = plotted("optimisms", optimisms)
        if asked.ndim != 1 or not np.isfinite(asked).all() or not (np.diff(asked) > 0).all():
            raise InvalidArgument("`optimisms` must be finite numbers in rising order. Sort them.")
    betas = [float(each) for each in asked if low < each < high]
    if len(betas) < 2:
        raise InvalidArgument(
            f"`optimisms` must have two values at least between the breakdowns {low:.4g} and {high:.4g}."
        )
    found = [infer(model, beta) for beta in betas]
    rows = (
        ("norm of the gain", "Gain", [float(each.gain[t].norm()) for each in found], FREE),
        (
            "standard deviation of the action",
            "Spread of the actions",
            [math.sqrt(float(each.policy_covariance[t, 0, 0])) for each in found],
            CLAMPED,
        ),
    )
    made = panels(axes, 2, sizes)
    for panel, (label, title, row, look) in zip(made, rows, strict=True):
        panel.plot(betas, row, color=look.color, linewidth=sizes.line, label=label)
        for beta in (0.0, 1.0):
            if betas[0] <= beta <= betas[-1]:
                panel.axvline(beta, color="0.85", linewidth=sizes.edge, zorder=0)
        for limit in (low, high):
            if math.isfinite(limit) and betas[0] - 1 <= limit <= betas[-1] + 1:
                panel.axvline(limit, color=ink(panel), linestyle=":", linewidth=1.5 * sizes.edge, label="breakdown")
        name_axes(panel, "optimism β", label, sizes)
        numbered(panel.xaxis)
        numbered(panel.yaxis)
        panel.spines[["top", "right"]].set_visible(False)
        headline(panel, f"{title} at t = {t}", sizes, panel.lines[-1:] if math.isfinite(low) else ())
        finish(panel)
    return made
