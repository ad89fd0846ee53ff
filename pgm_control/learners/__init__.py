"""Learning from interaction: amortised clamped guides, trained in a simulator."""

from .policy_gradient import MaxEntPolicyGradient as MaxEntPolicyGradient
from .soft_q_learning import SoftQLearning as SoftQLearning
from .soft_actor_critic import SAC as SAC
from .original_sac import OriginalSAC as OriginalSAC
from .learner import Learner as Learner
from .learner import LearningStep as LearningStep
from .learning import Learning as Learning
from .learning import LearningStatus as LearningStatus
from .learning import EvaluationPoint as EvaluationPoint
from .callbacks import EvaluateEvery as EvaluateEvery
from .callbacks import KeepBest as KeepBest
from .callbacks import StopAtReturn as StopAtReturn
from .callbacks import CheckpointEvery as CheckpointEvery
from .action_masks import ActionMasks as ActionMasks
from .normaliser import Normaliser as Normaliser
from .replay import Transitions as Transitions
from ..environments.spaces import Actions as Actions

__all__ = [
    "MaxEntPolicyGradient",
    "SoftQLearning",
    "SAC",
    "OriginalSAC",
    "Learner",
    "LearningStep",
    "Learning",
    "LearningStatus",
    "EvaluationPoint",
    "EvaluateEvery",
    "KeepBest",
    "StopAtReturn",
    "CheckpointEvery",
    "ActionMasks",
    "Normaliser",
    "Transitions",
    "Actions",
]
