"""Plots of problems, guides and results, drawn by matplotlib (extra `plot`).

Every function draws into the given Axes, `ax=` or `axes=`, or into a new figure, and returns the Axes:

    from pgm_control import plot
    plot.policy_maps(model, style="slide")[0].figure.savefig("lake.png")

No global state changes: no pyplot, no style. If you pass Axes, create their figure with layout="constrained", so that
the labels have room. `style="slide"` has larger type and thicker lines. Names of states and actions are those of the
MDP. Colours are from the Okabe-Ito palette; hatches, markers and line styles carry the same information without colour.

| picture | functions |
|---|---|
| grid worlds | `policy_maps`, `policy_map`, `episode_maps`, `state_map`; `layout_of`, `Layout` |
| believed dynamics | `outcomes` |
| over time | `value_heatmap`, `q_heatmap`, `policy_heatmap`, `occupancy_heatmap`, `message_heatmap` |
| the gap | `ledger_over_time`, `ledger_map`, `ledger_bars` |
| returns | `imagined_and_true`, `return_distributions` |
| sweeps | `dial_sweep`, `temperature_sweep`; `curves` over any parameter |
| learned rewards | `recovered_reward`, `recovered_reward_maps` |
| people | `recovered_parameters`, `confusion` |
| states that are vectors | `belief_paths`, `gain_by_optimism`, `plane_paths` |
| training | `elbo_curves`, `learning_curves` |
"""

from .maps import policy_maps as policy_maps
from .maps import policy_map as policy_map
from .maps import state_map as state_map
from .episodes import episode_maps as episode_maps
from .grid import layout_of as layout_of
from .grid import has_layout as has_layout
from .grid import Layout as Layout
from .dynamics import outcomes as outcomes
from .heatmaps import value_heatmap as value_heatmap
from .heatmaps import q_heatmap as q_heatmap
from .heatmaps import policy_heatmap as policy_heatmap
from .heatmaps import occupancy_heatmap as occupancy_heatmap
from .heatmaps import message_heatmap as message_heatmap
from .ledger import ledger_over_time as ledger_over_time
from .ledger import ledger_map as ledger_map
from .ledger import ledger_bars as ledger_bars
from .returns import imagined_and_true as imagined_and_true
from .returns import return_distributions as return_distributions
from .sweeps import dial_sweep as dial_sweep
from .sweeps import temperature_sweep as temperature_sweep
from .curves import curves as curves
from .rewards import recovered_reward as recovered_reward
from .rewards import recovered_reward_maps as recovered_reward_maps
from .people import recovered_parameters as recovered_parameters
from .people import confusion as confusion
from .continuous.paths import belief_paths as belief_paths
from .continuous.dial import gain_by_optimism as gain_by_optimism
from .continuous.plane import plane_paths as plane_paths
from .progress import elbo_curves as elbo_curves
from .progress import learning_curves as learning_curves

__all__ = [
    "policy_maps",
    "policy_map",
    "state_map",
    "episode_maps",
    "layout_of",
    "has_layout",
    "Layout",
    "outcomes",
    "value_heatmap",
    "q_heatmap",
    "policy_heatmap",
    "occupancy_heatmap",
    "message_heatmap",
    "ledger_over_time",
    "ledger_map",
    "ledger_bars",
    "imagined_and_true",
    "return_distributions",
    "dial_sweep",
    "temperature_sweep",
    "curves",
    "recovered_reward",
    "recovered_reward_maps",
    "recovered_parameters",
    "confusion",
    "belief_paths",
    "gain_by_optimism",
    "plane_paths",
    "elbo_curves",
    "learning_curves",
]
