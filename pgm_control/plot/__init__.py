"""Pictures of problems, guides and what came of them, by matplotlib (extra `plot`).

Every function draws into the Axes it is given, `ax=` or `axes=`, or else into those of a new figure, and returns them:

    from pgm_control import plot
    plot.policy_maps(model, style="slide")[0].figure.savefig("lake.png")

Nothing global is touched: no pyplot, no style. Where you give Axes, let their figure have layout="constrained", so
that the words around them find room. `style="slide"` has larger type and thicker lines. Names of states and actions are
those of the MDP; colours are Okabe's and Ito's, and hatches, markers and kinds of line say the same without colour.

| picture | functions |
|---|---|
| grid worlds | `policy_maps`, `policy_map`, `state_map`; `layout_of`, `Layout` |
| what is believed | `dice` |
| over time | `value_heat`, `q_heat`, `policy_heat`, `occupancy_heat`, `message_heat` |
| the gap | `ledger_over_time`, `ledger_map`, `ledger_bars` |
| returns | `imagined_and_true`, `return_distributions` |
| sweeps | `dial_sweep`, `temperature_sweep`; `curves` over any number |
| learned rewards | `recovered_reward`, `recovered_reward_maps` |
| progress | `elbo_curves`, `learning_curves` |
"""

from .maps import policy_maps as policy_maps
from .maps import policy_map as policy_map
from .maps import state_map as state_map
from .grid import layout_of as layout_of
from .grid import has_layout as has_layout
from .grid import Layout as Layout
from .dynamics import dice as dice
from .heatmaps import value_heat as value_heat
from .heatmaps import q_heat as q_heat
from .heatmaps import policy_heat as policy_heat
from .heatmaps import occupancy_heat as occupancy_heat
from .heatmaps import message_heat as message_heat
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
from .progress import elbo_curves as elbo_curves
from .progress import learning_curves as learning_curves

__all__ = [
    "Layout",
    "curves",
    "dial_sweep",
    "dice",
    "elbo_curves",
    "has_layout",
    "imagined_and_true",
    "layout_of",
    "learning_curves",
    "ledger_bars",
    "ledger_map",
    "ledger_over_time",
    "message_heat",
    "occupancy_heat",
    "policy_heat",
    "policy_map",
    "policy_maps",
    "q_heat",
    "recovered_reward",
    "recovered_reward_maps",
    "return_distributions",
    "state_map",
    "temperature_sweep",
    "value_heat",
]
