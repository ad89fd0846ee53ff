"""Planning with a receding horizon: guides that are fitted anew at each step, by simulating plans.

How the parts fit. In `worlds/`, a `World` is a model as a simulator whose state can be set, one file for each kind of
model, and a `Proposal` draws plans and knows their density.
`rolling.py` simulates each plan under M noises of its own, and `weights.py` averages them: *where the average stands is
the dial*, and the mean of M draws is the optimism 1/M. A `Planner` (`planner.py`) holds what all have in common: warm
starts, `act`, `predict` and episodes side by side; `MPPI` and `CEM` search over plans, `SMCPlanner` over policies.
`open_loop_breakdown.py` refuses an optimism at which plans of a linear-quadratic model have an unbounded objective.
`RecedingHorizon` makes a planner of any guide, for the model that is left of an episode (`remaining.py`). A `Simulator`
is a world of your own: a function of states, with noise that is drawn anew.
"""

from .mppi import MPPI as MPPI
from .cem import CEM as CEM
from .smc_planner import SMCPlanner as SMCPlanner
from .receding_horizon import RecedingHorizon as RecedingHorizon
from .weights import ESS as ESS
from .plan import Plan as Plan
from .plan import PlanStatus as PlanStatus
from .planner import Planner as Planner
from .worlds.simulator import Simulator as Simulator
from .worlds.pendulum import pendulum_simulator as pendulum_simulator

__all__ = [
    "MPPI",
    "CEM",
    "SMCPlanner",
    "RecedingHorizon",
    "ESS",
    "Plan",
    "PlanStatus",
    "Planner",
    "Simulator",
    "pendulum_simulator",
]
