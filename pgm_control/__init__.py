"""Control as probabilistic inference: a problem, a guide, and the inference that brings the two together.

    models/        a problem, as a Pyro program: start, action prior, dynamics, exp(reward / temperature)
    guides/        what the posterior is allowed to change: the actions, the dynamics, or both
    pgm_control/   the inference, true of every model and every guide

A free guide may change the dynamics; its optimum is the exact posterior, which believes that it controls the dice. A
clamped guide leaves them as they are; its optimum is the max-ent policy.

Names are loaded when first used, so that the command line can answer before torch is there. Importing the package
registers its environments with Gymnasium.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .environments.registration import register_environments

if TYPE_CHECKING:
    # A problem
    from .problems.mdp import TabularMDP as TabularMDP
    from .problems.stream import mdp_from_blocks as mdp_from_blocks
    from .problems.factored import FactoredMDP as FactoredMDP
    from .problems.ensemble import Ensemble as Ensemble
    from .problems.partially_observed import PartiallyObservedMDP as PartiallyObservedMDP
    from .problems.memory_states import Remembered as Remembered
    from .problems.memory_states import remember as remember
    from .environments.tabular_env import TabularEnv as TabularEnv
    from .environments.tabular_env import to_gymnasium as to_gymnasium
    from .environments.check import EnvironmentCheck as EnvironmentCheck
    from .environments.check import check_against_env as check_against_env
    from .models import TabularModel as TabularModel
    from .models import PartiallyObservedModel as PartiallyObservedModel
    from .models import zoo as zoo

    # A guide
    from .trajectories.blocks import Blocks as Blocks
    from .guides import MarkovGuide as MarkovGuide
    from .guides import FreeGuide as FreeGuide
    from .guides import ClampedGuide as ClampedGuide
    from .guides import DialGuide as DialGuide
    from .guides import guide_zoo as guide_zoo

    # An inference: exact
    from .inference.exact.infer import infer as infer
    from .inference.exact.soft_values import soft_values as soft_values
    from .inference.exact.soft_values import SoftValues as SoftValues
    from .chance.optimism import Optimism as Optimism
    from .inference.exact.posterior import Posterior as Posterior
    from .inference.infinite_horizon.freed_survival import freed_survival as freed_survival
    from .inference.infinite_horizon.freed_survival import FreedSurvival as FreedSurvival
    from .inference.infinite_horizon.freed_survival import SurvivalStatus as SurvivalStatus
    from .inference.variational.renyi import renyi_bound as renyi_bound
    from .queries.histories import history_optimum as history_optimum
    from .queries.histories import HistoryOptimum as HistoryOptimum
    from .queries.ladder import ladder as ladder
    from .queries.ladder import Ladder as Ladder
    from .queries.ladder import Rung as Rung
    from .queries.debias import debias as debias
    from .queries.debias import Debiased as Debiased

    # An inference: exact, without a horizon
    from .inference.infinite_horizon.value_iteration import value_iteration as value_iteration
    from .inference.infinite_horizon.value_iteration import ValueIteration as ValueIteration
    from .inference.infinite_horizon.fixed_point import ValueStatus as ValueStatus
    from .inference.infinite_horizon.policy_evaluation import policy_evaluation as policy_evaluation
    from .inference.infinite_horizon.policy_evaluation import PolicyValue as PolicyValue
    from .inference.infinite_horizon.policy_evaluation import stationary_distribution as stationary_distribution
    from .inference.infinite_horizon.policy_evaluation import StationaryDistribution as StationaryDistribution
    from .inference.infinite_horizon.policy_evaluation import DistributionStatus as DistributionStatus
    from .inference.infinite_horizon.average_reward import average_reward as average_reward
    from .inference.infinite_horizon.average_reward import AverageReward as AverageReward
    from .inference.infinite_horizon.average_reward import GainStatus as GainStatus
    from .inference.infinite_horizon.growth_rate import growth_rate as growth_rate
    from .inference.infinite_horizon.growth_rate import GrowthRate as GrowthRate

    # An inference: by SVI
    from .inference.variational.fit import fit as fit
    from .inference.variational.fit import Fit as Fit
    from .inference.variational.fit import FitStep as FitStep
    from .inference.variational.fit import FitStatus as FitStatus
    from .inference.variational.svi_losses import MarkovLoss as MarkovLoss
    from .inference.variational.svi_losses import MarkovELBO as MarkovELBO
    from .inference.variational.svi_losses import MarkovObjective as MarkovObjective
    from .inference.variational.svi_losses import MarkovRenyi as MarkovRenyi
    from .inference.variational.to_go_elbo import ToGoELBO as ToGoELBO
    from .inference.variational.priced import priced as priced
    from .runtime.progress import PrintEvery as PrintEvery
    from .runtime.progress import ProgressBar as ProgressBar
    from .runtime.progress import silent as silent
    from .runtime.status import Status as Status

    # An inference: by sampling
    from .inference.sampling.log_weights import log_weights as log_weights
    from .inference.sampling.iwae import iwae_bound as iwae_bound
    from .inference.sampling.smc import smc as smc
    from .inference.sampling.smc import conditional_smc as conditional_smc
    from .inference.sampling.smc import SMC as SMC
    from .trajectories.process import Process as Process

    # What came of it
    from .analysis.evaluate import evaluate as evaluate
    from .analysis.evaluate import Evaluation as Evaluation
    from .analysis.evaluate import objective as objective
    from .inference.sampling.estimate import estimate as estimate
    from .inference.sampling.estimate import estimate_elbo as estimate_elbo
    from .inference.sampling.estimate import Estimate as Estimate
    from .inference.sampling.estimate import EstimatedScore as EstimatedScore
    from .analysis.scorecard import scorecard as scorecard
    from .analysis.scorecard import Scorecard as Scorecard
    from .analysis.scorecard import Score as Score
    from .analysis.ledger import ledger as ledger
    from .analysis.ledger import Ledger as Ledger
    from .analysis.frontier import frontier as frontier
    from .analysis.frontier import Frontier as Frontier
    from .analysis.frontier import FrontierPoint as FrontierPoint
    from .analysis.critical_optimism import critical_optimism as critical_optimism
    from .analysis.critical_optimism import CriticalOptimism as CriticalOptimism
    from .analysis.ensembles import believed_weights as believed_weights
    from .analysis.ensembles import member_blocks as member_blocks
    from .analysis.ensembles import member_returns as member_returns
    from .analysis.return_distribution import return_distribution as return_distribution
    from .analysis.return_distribution import ReturnDistribution as ReturnDistribution
    from .analysis.return_distribution import return_moments as return_moments
    from .analysis.return_distribution import Moments as Moments
    from .queries.return_conditioned import condition_on_return as condition_on_return
    from .queries.return_conditioned import ReturnConditioned as ReturnConditioned
    from .analysis.explain import explain as explain
    from .analysis.explain import Explanation as Explanation
    from .analysis.compare import compare as compare
    from .analysis.compare import Comparison as Comparison
    from .benchmark.bench import bench as bench
    from .benchmark.page import Bench as Bench
    from .benchmark.page import BenchStatus as BenchStatus
    from .benchmark.rows import BenchRow as BenchRow
    from .plot.comparison import picture as picture
    from .reports.report import report as report
    from .reports.explorer import explore as explore
    from .reports.graph import render as render
    from .reports.graph import Drawing as Drawing
    from .trajectories.policy import TabularPolicy as TabularPolicy
    from .environments.rollout import rollout as rollout
    from .environments.rollout import Rollout as Rollout

    # What went wrong
    from .errors import PGMControlError as PGMControlError
    from .errors import InvalidProblem as InvalidProblem
    from .errors import InvalidGuide as InvalidGuide
    from .errors import InvalidArgument as InvalidArgument
    from .errors import InvalidCheckpoint as InvalidCheckpoint
    from .errors import UnsupportedEnvironment as UnsupportedEnvironment
    from .errors import EnvironmentFailure as EnvironmentFailure
    from .errors import LearningDiverged as LearningDiverged
    from .errors import LawBroken as LawBroken
    from .errors import MissingExtra as MissingExtra


def _homes() -> dict[str, str]:
    """Where each public name lives: the imports above, read and not run."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f".{node.module}" for node in imports for alias in node.names}


_HOMES = _homes()
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_environments()
del register_environments
