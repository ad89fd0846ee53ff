"""Planning with a receding horizon: guides that are fitted anew at each step, by simulating plans."""

from .mppi import MPPI as MPPI
from .cem import CEM as CEM
from .smc_planner import SMCPlanner as SMCPlanner
from .planner import Planner as Planner
from .plan import Plan as Plan
from .plan import PlanStatus as PlanStatus
from .weights import ESS as ESS

__all__ = ["MPPI", "CEM", "SMCPlanner", "Planner", "Plan", "PlanStatus", "ESS"]
