"""Heatmaps of values, messages, policies and occupancies over states and time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..inference.exact.posterior import Posterior
from ..problems.mdp import TabularMDP
from ..runtime.arguments import index, instance, listed
from ..text.wording import action_label, state_label
from ..trajectories.steps import temperatures_of
from .canvas import Style, one_panel, panels, style_of
from .labels import colour_bar, finish, full, headline, name_axes, name_ticks, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_COLUMNS = 2


def value_heatmap(posterior: Posterior, *, ax: "Axes | None" = None, style: str = "paper") -> "Axes":
    r"""Draw the soft values $V_t(s)$, in reward units, over states and t = 0 … T.

    Args:
        posterior: an exact posterior.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes; their image holds the numbers, one row per state. Numbers that are not finite stay white.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes, mdp = style_of(style), _exact(posterior).model.mdp
    axes = one_panel(ax, sizes, _inches(mdp, sizes))
    _draw(axes, mdp, posterior.v, "soft value", "reward units", sizes)
    return axes


def q_heatmap(
    posterior: Posterior, *, actions: Sequence[int] | None = None, axes: Any = None, style: str = "paper"
) -> np.ndarray:
    r"""Draw the soft action values $Q_t(s, a)$, in reward units, one panel per action, on one scale.

    Args:
        posterior: an exact posterior.
        actions: indices of the actions; default: all.
        axes: one for each action; default: a new figure.
        style: as in `value_heatmap`.

    Returns:
        The Axes, an array; their images hold the numbers, one row per state.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    return _by_action(posterior, _exact(posterior).q, "soft value of", "reward units", actions, axes, style)


def policy_heatmap(
    posterior: Posterior, *, actions: Sequence[int] | None = None, axes: Any = None, style: str = "paper"
) -> np.ndarray:
    r"""Draw the policy $\pi_t(a \mid s)$, one panel per action, on a scale from 0 to 1.

    Args:
        posterior, actions, axes, style: as in `q_heatmap`.

    Returns:
        The Axes, an array; their images hold the probabilities, one row per state.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    return _by_action(posterior, _exact(posterior).policy, "", "probability", actions, axes, style, (0.0, 1.0))


def occupancy_heatmap(posterior: Posterior, *, ax: "Axes | None" = None, style: str = "paper") -> "Axes":
    r"""Draw the believed probability of each state, $q(s_t)$, t = 0 … T; the shade is its square root.

    Args:
        posterior, ax, style: as in `value_heatmap`.

    Returns:
        The Axes; their image holds the probabilities, one row per state.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes, mdp = style_of(style), _exact(posterior).model.mdp
    axes, visits = one_panel(ax, sizes, _inches(mdp, sizes)), posterior.marginals().state
    from matplotlib.colors import PowerNorm

    _draw(axes, mdp, visits, "believed state occupancy", "probability", sizes, norm=PowerNorm(0.5, 0.0, 1.0))
    return axes


def message_heatmap(posterior: Posterior, *, axes: Any = None, style: str = "paper") -> np.ndarray:
    r"""Draw the log forward and backward messages and their sum, $\log p(s_t \mid O) + \log p(O)$, in nats.

    Args:
        posterior: an exact posterior with every block free.
        axes: three; default: a new figure.
        style: as in `value_heatmap`.

    Returns:
        The three Axes, an array; their images hold the numbers, one row per state. Entries of −inf stay white.

    Raises:
        InvalidArgument: unless every block is free, or if another argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes, mdp = style_of(style), _exact(posterior).model.mdp
    taus = posterior.v.new_tensor(temperatures_of(posterior.model))
    forward, backward = posterior.forward, posterior.v / taus[:, None]
    made = panels(axes, 3, sizes, columns=3, inches=_inches(mdp, sizes))
    messages = (("forward message", forward), ("backward message", backward), ("sum of both", forward + backward))
    for panel, (title, table) in zip(made, messages, strict=True):
        _draw(panel, mdp, table, title, "nats", sizes)
    return made


def _exact(posterior: object) -> Posterior:
    return instance("posterior", posterior, Posterior, "Pass infer(model, optimism).")


def _by_action(
    posterior: Posterior,
    table: Float[Tensor, "time state action"],
    what: str,
    unit: str,
    actions: Sequence[int] | None,
    axes: Any,
    style: str,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    sizes, mdp = style_of(style), posterior.model.mdp
    chosen = list(range(mdp.num_actions))
    if actions is not None:
        given = listed("actions", actions, "indices, or None for all")
        chosen = [index("actions", a, len(chosen), "indices of actions") for a in given]
    made = panels(axes, len(chosen), sizes, columns=_COLUMNS, inches=_inches(mdp, sizes))
    from matplotlib.colors import Normalize

    finite = table[..., chosen][table[..., chosen].isfinite()]
    low, high = limits or ((float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0))
    for i, (panel, action) in enumerate(zip(made, chosen, strict=True)):
        title = f"{what} {action_label(mdp, action)}".strip()
        bar = i % _COLUMNS == _COLUMNS - 1 or panel is made[-1]
        _draw(panel, mdp, table[..., action], title, unit, sizes, norm=Normalize(low, high), bar=bar)
    return made


def _draw(
    axes: "Axes",
    mdp: TabularMDP,
    table: Float[Tensor, "time state"],
    title: str,
    unit: str,
    style: Style,
    norm: "Normalize | None" = None,
    bar: bool = True,
) -> None:
    numbers = np.ma.masked_invalid(table.detach().double().cpu().numpy().T)
    image = axes.imshow(numbers, aspect="auto", interpolation="nearest", cmap=full(), norm=norm)
    numbered(axes.xaxis, most=6, whole=True)
    name_ticks(axes, [state_label(mdp, s) for s in range(mdp.num_states)], style)
    name_axes(axes, "time t (steps)", "state", style)
    headline(axes, title, style)
    if bar:
        colour_bar(axes, image, unit, style)
    finish(axes)


def _inches(mdp: TabularMDP, style: Style) -> tuple[float, float]:
    """Return the size of a panel, which is taller for many states."""
    width, height = style.inches
    return width, min(1.6 * height, max(height, 0.02 * style.text * mdp.num_states))
