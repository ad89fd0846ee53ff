"""Colours that stand for numbers, and the bar that says which."""

from typing import TYPE_CHECKING, Any

from .labels import numbered
from .style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


def pale() -> "Colormap":
    """White to sky blue: darker is more, and black lines and letters remain legible on all of it."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("pale", ["#FFFFFF", "#9BD2F3", "#3E9BD0"])


def full() -> "Colormap":
    """Cividis, made for the colour-blind, whose grey rises steadily; what has no number stays white."""
    from matplotlib import colormaps

    return colormaps["cividis"].with_extremes(bad="white")


def colour_bar(axes: "Axes", mappable: Any, label: str, style: Style) -> None:
    """A bar at the right of the panel, inside its own Axes so that no other panel loses room."""
    bar = axes.inset_axes((1.03, 0.0, 0.045, 1.0))
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(mappable, cax=bar)
    numbered(bar.yaxis)
    bar.tick_params(labelsize=style.small, width=style.edge)
    bar.set_ylabel(label, fontsize=style.text)
