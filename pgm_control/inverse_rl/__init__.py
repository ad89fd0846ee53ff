"""Maximum-entropy inverse reinforcement learning, with a choice of what the demonstrator believes about the dynamics.

from pgm_control.inverse_rl import Demonstrations, inverse
"""

from .inverse import inverse as inverse
from .result import Inverse as Inverse
from .search.status import InverseStatus as InverseStatus
from .result import InverseStep as InverseStep
from .search.optima import RunnerUp as RunnerUp
from .demonstrations import Demonstrations as Demonstrations
from .data import from_episodes as from_episodes
from .data import to_episodes as to_episodes
from .data import record as record
from .data import Episode as Episode
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
from .identification import identification as identification
from .identification import Identification as Identification
from .identification import LearnedReward as LearnedReward
from .bayesian.reward_posterior import reward_posterior as reward_posterior
from .bayesian.reward_posterior import RewardPosterior as RewardPosterior
from .bayesian.peaks import Peak as Peak
from .bayesian.reward_program import RewardProgram as RewardProgram
from .bayesian.compare_demonstrators import compare_demonstrators as compare_demonstrators
from .bayesian.compare_demonstrators import DemonstratorComparison as DemonstratorComparison
from .simulated import inverse_in_simulator as inverse_in_simulator
from .simulated import SimulatedInverse as SimulatedInverse
from .simulated import Recording as Recording
from .simulated import Round as Round
from .continuous.dynamics import identify_dynamics as identify_dynamics
from .continuous.dynamics import IdentifiedDynamics as IdentifiedDynamics
from .continuous.identification import GaussianIdentification as GaussianIdentification
from .continuous.result import BelievedDynamics as BelievedDynamics
from .continuous.result import GaussianInverse as GaussianInverse
from .continuous.rewards import DiagonalReward as DiagonalReward
from .continuous.rewards import FullReward as FullReward
from .continuous.rewards import FunctionReward as FunctionReward
from .continuous.rewards import QuadraticCost as QuadraticCost
from .continuous.rewards import QuadraticReward as QuadraticReward
from .continuous.rewards import SemidefiniteReward as SemidefiniteReward
from .demonstrations import Moves as Moves
from .demonstrations import Ends as Ends
from .rewards import LinearForm as LinearForm
from .objective import RewardFunction as RewardFunction

__all__ = [
    "inverse",
    "Inverse",
    "InverseStatus",
    "InverseStep",
    "RunnerUp",
    "Demonstrations",
    "from_episodes",
    "to_episodes",
    "record",
    "Episode",
    "RewardModel",
    "LinearReward",
    "TabularReward",
    "NetworkReward",
    "Demonstrator",
    "Behaviour",
    "ClampedDemonstrator",
    "FreeDemonstrator",
    "DialDemonstrator",
    "BoltzmannDemonstrator",
    "identification",
    "Identification",
    "LearnedReward",
    "reward_posterior",
    "RewardPosterior",
    "Peak",
    "RewardProgram",
    "compare_demonstrators",
    "DemonstratorComparison",
    "inverse_in_simulator",
    "SimulatedInverse",
    "Recording",
    "Round",
    "identify_dynamics",
    "IdentifiedDynamics",
    "GaussianIdentification",
    "BelievedDynamics",
    "GaussianInverse",
    "DiagonalReward",
    "FullReward",
    "FunctionReward",
    "QuadraticCost",
    "QuadraticReward",
    "SemidefiniteReward",
    "Moves",
    "Ends",
    "LinearForm",
    "RewardFunction",
]
