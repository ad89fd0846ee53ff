"""Learning the reward from demonstrations: maximum-entropy inverse RL, with a choice of what the demonstrator believes.

from pgm_control.inverse_rl import Demonstrations, inverse
"""

from .inverse import inverse as inverse
from .inverse import Inverse as Inverse
from .inverse import InverseStatus as InverseStatus
from .inverse import InverseStep as InverseStep
from .demonstrations import Demonstrations as Demonstrations
from .rewards import RewardModel as RewardModel
from .rewards import LinearReward as LinearReward
from .rewards import TabularReward as TabularReward
from .rewards import NetworkReward as NetworkReward
from .demonstrators import Demonstrator as Demonstrator
from .demonstrators import Behaviour as Behaviour
from .demonstrators import ClampedDemonstrator as ClampedDemonstrator
from .demonstrators import FreeDemonstrator as FreeDemonstrator
from .demonstrators import DialDemonstrator as DialDemonstrator
from .demonstrators import BoltzmannDemonstrator as BoltzmannDemonstrator
