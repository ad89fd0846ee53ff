"""Models: trajectory distributions with a factor exp(reward / temperature) at every step."""

# isort: off
from .tabular import TabularModel as TabularModel
from .partially_observed import PartiallyObservedModel as PartiallyObservedModel
from .linear_quadratic import LinearQuadraticModel as LinearQuadraticModel
from .restaurant import restaurant as restaurant
from .lottery import lottery as lottery
from .risky_path import risky_path as risky_path
from .windy_bridge import windy_bridge as windy_bridge
from .windy_bridge import windy_bridge_in_parts as windy_bridge_in_parts
from .tiger import tiger as tiger
from .slippery_cliff import slippery_cliff as slippery_cliff
from .frozen_lake import frozen_lake as frozen_lake
from .twins import deterministic_twin as deterministic_twin
from .twins import restaurant_twin as restaurant_twin
from .twins import lottery_twin as lottery_twin
from .twins import risky_path_twin as risky_path_twin
from .twins import windy_bridge_twin as windy_bridge_twin
from .twins import slippery_cliff_twin as slippery_cliff_twin
from .twins import frozen_lake_twin as frozen_lake_twin
from .zoo import ZooEntry as ZooEntry
from .zoo import zoo as zoo
from .zoo import zoo_entry as zoo_entry
from .continuous import ContinuousModel as ContinuousModel
from .simulator import SimulatorModel as SimulatorModel
from .planar import PlanarModel as PlanarModel
from .line import LineModel as LineModel
from .double_integrator import double_integrator as double_integrator
from .gusty_ledge import gusty_ledge as gusty_ledge
from .hurry import hurry as hurry
from .windy_pendulum import windy_pendulum as windy_pendulum
from .continuous_zoo import ContinuousEntry as ContinuousEntry
from .continuous_zoo import continuous_zoo as continuous_zoo
from .environments import environment_id as environment_id
from .multi_goal import MultiGoalEnv as MultiGoalEnv

__all__ = [
    "TabularModel",
    "PartiallyObservedModel",
    "LinearQuadraticModel",
    "restaurant",
    "lottery",
    "risky_path",
    "windy_bridge",
    "windy_bridge_in_parts",
    "tiger",
    "slippery_cliff",
    "frozen_lake",
    "deterministic_twin",
    "restaurant_twin",
    "lottery_twin",
    "risky_path_twin",
    "windy_bridge_twin",
    "slippery_cliff_twin",
    "frozen_lake_twin",
    "ZooEntry",
    "zoo",
    "zoo_entry",
    "ContinuousModel",
    "SimulatorModel",
    "PlanarModel",
    "LineModel",
    "double_integrator",
    "gusty_ledge",
    "hurry",
    "windy_pendulum",
    "ContinuousEntry",
    "continuous_zoo",
    "environment_id",
    "MultiGoalEnv",
]
