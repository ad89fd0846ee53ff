"""Control as probabilistic inference: a problem, a guide, and the inference that brings the two together.

    models/        a problem, as a Pyro program: start, action prior, dynamics, exp(reward / temperature)
    guides/        what the posterior is allowed to change: the actions, the dynamics, or both
    pgm_control/   the inference, true of every model and every guide

A free guide may change the dynamics; its optimum is the exact posterior, which believes that it controls the dice. A
clamped guide leaves them as they are; its optimum is the max-ent policy.

Names are loaded when first used, so that the command line can answer before torch is there.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A problem
    from ._mdp import TabularMDP as TabularMDP
    from ._factored import FactoredMDP as FactoredMDP
    from ._ensemble import Ensemble as Ensemble
    from ._partial import PartiallyObservedMDP as PartiallyObservedMDP
    from ._remembered import Remembered as Remembered
    from ._tabular_env import TabularEnv as TabularEnv
    from ._tabular_env import to_gymnasium as to_gymnasium
    from ._check_env import EnvironmentCheck as EnvironmentCheck
    from ._check_env import check_against_env as check_against_env
    from .models import TabularModel as TabularModel
    from .models import zoo as zoo

    # A guide
    from ._blocks import Blocks as Blocks
    from .guides import MarkovGuide as MarkovGuide
    from .guides import FreeGuide as FreeGuide
    from .guides import ClampedGuide as ClampedGuide
    from .guides import DialGuide as DialGuide
    from .guides import guide_zoo as guide_zoo

    # An inference: exact
    from ._infer import infer as infer
    from ._soft_values import soft_values as soft_values
    from ._soft_values import SoftValues as SoftValues
    from ._optimism import Optimism as Optimism
    from ._posterior import Posterior as Posterior
    from ._freed_survival import freed_survival as freed_survival
    from ._freed_survival import FreedSurvival as FreedSurvival
    from ._freed_survival import SurvivalStatus as SurvivalStatus
    from ._renyi import renyi_bound as renyi_bound
    from ._histories import history_optimum as history_optimum
    from ._histories import HistoryOptimum as HistoryOptimum
    from ._ladder import ladder as ladder
    from ._ladder import Ladder as Ladder
    from ._ladder import Rung as Rung
    from ._debias import debias as debias
    from ._debias import Debiased as Debiased

    # An inference: exact, without a horizon
    from ._value_iteration import value_iteration as value_iteration
    from ._value_iteration import ValueIteration as ValueIteration
    from ._value_iteration import ValueStatus as ValueStatus
    from ._stationary import policy_evaluation as policy_evaluation
    from ._stationary import PolicyValue as PolicyValue
    from ._stationary import stationary_distribution as stationary_distribution
    from ._stationary import StationaryDistribution as StationaryDistribution
    from ._stationary import DistributionStatus as DistributionStatus
    from ._average_reward import average_reward as average_reward
    from ._average_reward import AverageReward as AverageReward
    from ._average_reward import GainStatus as GainStatus
    from ._growth_rate import growth_rate as growth_rate
    from ._growth_rate import GrowthRate as GrowthRate

    # An inference: by SVI
    from ._fit import fit as fit
    from ._fit import Fit as Fit
    from ._fit import FitStep as FitStep
    from ._fit import FitStatus as FitStatus
    from ._markov_loss import MarkovLoss as MarkovLoss
    from ._markov_loss import MarkovELBO as MarkovELBO
    from ._markov_loss import MarkovObjective as MarkovObjective
    from ._markov_loss import MarkovRenyi as MarkovRenyi
    from ._to_go_elbo import ToGoELBO as ToGoELBO
    from ._priced import priced as priced
    from ._progress import PrintEvery as PrintEvery
    from ._progress import ProgressBar as ProgressBar
    from ._progress import silent as silent
    from ._status import Status as Status

    # An inference: by sampling
    from ._log_weights import log_weights as log_weights
    from ._iwae import iwae_bound as iwae_bound
    from ._smc import smc as smc
    from ._smc import conditional_smc as conditional_smc
    from ._smc import SMC as SMC
    from ._process import Process as Process

    # What came of it
    from ._evaluate import evaluate as evaluate
    from ._evaluate import Evaluation as Evaluation
    from ._evaluate import objective as objective
    from ._estimate import estimate as estimate
    from ._estimate import estimate_elbo as estimate_elbo
    from ._estimate import Estimate as Estimate
    from ._estimate import EstimatedScore as EstimatedScore
    from ._scorecard import scorecard as scorecard
    from ._scorecard import Scorecard as Scorecard
    from ._scorecard import Score as Score
    from ._ledger import ledger as ledger
    from ._ledger import Ledger as Ledger
    from ._frontier import frontier as frontier
    from ._frontier import Frontier as Frontier
    from ._frontier import FrontierPoint as FrontierPoint
    from ._critical_optimism import critical_optimism as critical_optimism
    from ._critical_optimism import CriticalOptimism as CriticalOptimism
    from ._return_distribution import return_distribution as return_distribution
    from ._return_distribution import ReturnDistribution as ReturnDistribution
    from ._return_distribution import return_moments as return_moments
    from ._return_distribution import Moments as Moments
    from ._return_conditioned import condition_on_return as condition_on_return
    from ._return_conditioned import ReturnConditioned as ReturnConditioned
    from ._explain import explain as explain
    from ._explain import Explanation as Explanation
    from ._compare import compare as compare
    from ._compare import Comparison as Comparison
    from ._bench import bench as bench
    from ._bench import Bench as Bench
    from ._bench import BenchStatus as BenchStatus
    from ._bench_rows import BenchRow as BenchRow
    from ._picture import picture as picture
    from ._report import report as report
    from .explorer import explore as explore
    from ._render import render as render
    from ._render import Drawing as Drawing
    from ._policy import TabularPolicy as TabularPolicy
    from ._rollout import rollout as rollout
    from ._rollout import Rollout as Rollout

    # What went wrong
    from ._errors import PGMControlError as PGMControlError
    from ._errors import InvalidProblem as InvalidProblem
    from ._errors import InvalidGuide as InvalidGuide
    from ._errors import InvalidArgument as InvalidArgument
    from ._errors import InvalidCheckpoint as InvalidCheckpoint
    from ._errors import UnsupportedEnvironment as UnsupportedEnvironment
    from ._errors import EnvironmentFailure as EnvironmentFailure
    from ._errors import LearningDiverged as LearningDiverged
    from ._errors import LawBroken as LawBroken
    from ._errors import MissingExtra as MissingExtra

_HOMES = {
    "_mdp": ("TabularMDP",),
    "_factored": ("FactoredMDP",),
    "_ensemble": ("Ensemble",),
    "_partial": ("PartiallyObservedMDP",),
    "_remembered": ("Remembered",),
    "_tabular_env": ("TabularEnv", "to_gymnasium"),
    "_check_env": ("EnvironmentCheck", "check_against_env"),
    "models": ("TabularModel", "zoo"),
    "_blocks": ("Blocks",),
    "guides": ("MarkovGuide", "FreeGuide", "ClampedGuide", "DialGuide", "guide_zoo"),
    "_infer": ("infer",),
    "_soft_values": ("soft_values", "SoftValues"),
    "_optimism": ("Optimism",),
    "_posterior": ("Posterior",),
    "_freed_survival": ("freed_survival", "FreedSurvival", "SurvivalStatus"),
    "_renyi": ("renyi_bound",),
    "_histories": ("history_optimum", "HistoryOptimum"),
    "_ladder": ("ladder", "Ladder", "Rung"),
    "_debias": ("debias", "Debiased"),
    "_value_iteration": ("value_iteration", "ValueIteration", "ValueStatus"),
    "_stationary": (
        "policy_evaluation", "PolicyValue", "stationary_distribution", "StationaryDistribution", "DistributionStatus",
    ),
    "_average_reward": ("average_reward", "AverageReward", "GainStatus"),
    "_growth_rate": ("growth_rate", "GrowthRate"),
    "_fit": ("fit", "Fit", "FitStep", "FitStatus"),
    "_markov_loss": ("MarkovLoss", "MarkovELBO", "MarkovObjective", "MarkovRenyi"),
    "_to_go_elbo": ("ToGoELBO",),
    "_priced": ("priced",),
    "_progress": ("PrintEvery", "ProgressBar", "silent"),
    "_status": ("Status",),
    "_log_weights": ("log_weights",),
    "_iwae": ("iwae_bound",),
    "_smc": ("smc", "conditional_smc", "SMC"),
    "_process": ("Process",),
    "_evaluate": ("evaluate", "Evaluation", "objective"),
    "_estimate": ("estimate", "estimate_elbo", "Estimate", "EstimatedScore"),
    "_scorecard": ("scorecard", "Scorecard", "Score"),
    "_frontier": ("frontier", "Frontier", "FrontierPoint"),
    "_critical_optimism": ("critical_optimism", "CriticalOptimism"),
    "_return_distribution": ("return_distribution", "ReturnDistribution", "return_moments", "Moments"),
    "_return_conditioned": ("condition_on_return", "ReturnConditioned"),
    "_ledger": ("ledger", "Ledger"),
    "_explain": ("explain", "Explanation"),
    "_compare": ("compare", "Comparison"),
    "_bench": ("bench", "Bench", "BenchStatus"),
    "_bench_rows": ("BenchRow",),
    "_picture": ("picture",),
    "_report": ("report",),
    "explorer": ("explore",),
    "_render": ("render", "Drawing"),
    "_policy": ("TabularPolicy",),
    "_rollout": ("rollout", "Rollout"),
    "_errors": (
        "PGMControlError", "InvalidProblem", "InvalidGuide", "InvalidArgument", "InvalidCheckpoint",
        "UnsupportedEnvironment", "EnvironmentFailure", "LearningDiverged", "LawBroken", "MissingExtra",
    ),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "gymnasium" in sys.modules:  # else it would have to be loaded, for the command line too
    from ._registration import register_environments

    register_environments()
    del register_environments
