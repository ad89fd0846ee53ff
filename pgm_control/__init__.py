"""Control as probabilistic inference: a problem, a guide, and an inference method that fits one to the other.

    from pgm_control import ClampedGuide, TabularModel, evaluate, explain, fit, infer
    from pgm_control.models import restaurant

    model = TabularModel(restaurant(), temperature=1.0)
    free = infer(model, optimism=1.0)  # the exact posterior: it may change the dynamics too
    clamped = infer(model, optimism=0.0)  # the max-ent policy: it may change the actions only
    guide = fit(model, ClampedGuide(model), method="exact").guide  # the same as a Pyro guide
    print(evaluate(model, guide), explain(model), sep="\\n")

A problem
    TabularMDP            a finite MDP: from arrays, dense matrices or a Gymnasium table
    PartiallyObservedMDP  a finite POMDP
    TabularModel          an MDP with a temperature and an action prior, as a Pyro program
    zoo                   named problems

A guide: what the posterior may change
    FreeGuide             the start, the policy and the dynamics; its optimum is the exact posterior
    ClampedGuide          the policy only; its optimum is the max-ent policy
    DialGuide             any optimism β: between the two, beyond them, or adversarial (β < 0)
    guide_zoo             all guides by name

An inference
    infer                 exact, with a horizon: values, policy, believed dynamics, log p(O)
    soft_values           the same values, differentiable in rewards and settings
    value_iteration       exact, without a horizon, with a certified error
    fit                   fits a guide by stochastic variational inference, or by exact steps
    smc                   sequential Monte Carlo, with any guide as the proposal

What a guide believes, what it earns, and why the two differ
    evaluate              true and imagined return, entropy and ELBO of one guide
    scorecard             several guides side by side, against log p(O)
    ledger                the gap log p(O) − ELBO by block, step, state and action
    diagnose              whether a guide is bad or badly fitted
    frontier              the true return for each optimism β
    explain               the difference between free and clamped, in words
    compare               all of these for the free and the clamped guide, exact and fitted
    bench                 every guide on every problem
    sweep                 any function for many settings, on this machine or a cluster, as one table
    report                a comparison on one page of HTML
    rollout               a policy in a live Gymnasium environment

Packages of their own
    models                problems of the zoo, and models of simulators
    guides                guides, and the base class to write others
    learners              soft actor-critic and others, which learn in a simulator
    planners              MPPI and others, which simulate plans at each step
    inverse_rl            inverse reinforcement learning: the reward that explains demonstrations
    behaviour             people's choices: optimism, temperature, reward weights and lapses, with a hierarchy
    plot                  pictures on matplotlib's Axes
    exchange              files of results; to and from xarray, ArviZ, QuantEcon, pymdptoolbox, pymdp and seals
    testing               the laws of models and guides, as tests for your own

A key such as [levine2018] in a docstring cites a source. The docstring of the module lists its sources at the end, as
in `help("pgm_control.inference.exact.infer")`. Names are imported on first use, so that the command line can answer
without waiting for torch. Importing the package registers its environments with Gymnasium.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .environments.registration import register_environments
from .runtime.versions import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    # A problem
    from .problems.mdp import TabularMDP as TabularMDP
    from .problems.from_blocks import mdp_from_blocks as mdp_from_blocks
    from .problems.factored import FactoredMDP as FactoredMDP
    from .problems.ensemble import Ensemble as Ensemble
    from .problems.partially_observed import PartiallyObservedMDP as PartiallyObservedMDP
    from .problems.memory_states import Remembered as Remembered
    from .problems.memory_states import remember as remember
    from .environments.tabular_env import TabularEnv as TabularEnv
    from .environments.continuous.continuous_env import ContinuousEnv as ContinuousEnv
    from .environments.tabular_env import to_gymnasium as to_gymnasium
    from .environments.check import EnvironmentCheck as EnvironmentCheck
    from .environments.check import check_against_env as check_against_env
    from .models import TabularModel as TabularModel
    from .chance.optimality import ExponentialOptimality as ExponentialOptimality
    from .chance.optimality import LogisticOptimality as LogisticOptimality
    from .chance.optimality import TableOptimality as TableOptimality
    from .chance.optimality import Optimality as Optimality
    from .problems.continuous.linear_quadratic import LinearQuadratic as LinearQuadratic
    from .models import LinearQuadraticModel as LinearQuadraticModel
    from .trajectories.gaussian.model import GaussianPrior as GaussianPrior
    from .models import ContinuousModel as ContinuousModel
    from .networks.learned_dynamics import learn_dynamics as learn_dynamics
    from .networks.learned_dynamics import LearnedDynamics as LearnedDynamics
    from .networks.learned_dynamics import DynamicsStatus as DynamicsStatus
    from .models import SimulatorModel as SimulatorModel
    from .models import PartiallyObservedModel as PartiallyObservedModel
    from .models import zoo as zoo
    from .problems.continuous.planar import Planar as Planar
    from .problems.continuous.line import Line as Line
    from .models import PlanarModel as PlanarModel
    from .models import LineModel as LineModel
    from .models import continuous_zoo as continuous_zoo

    # A guide
    from .guides import FreeGuide as FreeGuide
    from .guides import ClampedGuide as ClampedGuide
    from .guides import DialGuide as DialGuide
    from .guides import ViewGuide as ViewGuide
    from .guides import OpenLoopGuide as OpenLoopGuide
    from .guides import StationaryGuide as StationaryGuide
    from .guides import DeterministicGuide as DeterministicGuide
    from .guides import NeuralGuide as NeuralGuide
    from .guides import MeanFieldGuide as MeanFieldGuide
    from .guides import LowRankGuide as LowRankGuide
    from .guides import MixtureGuide as MixtureGuide
    from .guides import MixtureELBO as MixtureELBO
    from .guides import WindowGuide as WindowGuide
    from .guides import FreeWindowGuide as FreeWindowGuide
    from .guides import ImportanceGuide as ImportanceGuide
    from .guides import SMCGuide as SMCGuide
    from .guides import OptionGuide as OptionGuide
    from .guides import FreeOptionGuide as FreeOptionGuide
    from .guides import LatentPolicyGuide as LatentPolicyGuide
    from .guides import SimulatedGuide as SimulatedGuide
    from .guides import ClampedGaussianGuide as ClampedGaussianGuide
    from .guides import FreeGaussianGuide as FreeGaussianGuide
    from .guides import GaussianDialGuide as GaussianDialGuide
    from .guides import OpenLoopGaussianGuide as OpenLoopGaussianGuide
    from .guides import ClampedNeuralGuide as ClampedNeuralGuide
    from .guides import FreeNeuralGuide as FreeNeuralGuide
    from .guides import FlowGuide as FlowGuide
    from .guides import guide_zoo as guide_zoo
    from .guides import guide_entry as guide_entry
    from .guides import GuideEntry as GuideEntry

    # A guide of your own
    from .guides import MarkovGuide as MarkovGuide
    from .guides import MemoryGuide as MemoryGuide
    from .guides import ContinuousGuide as ContinuousGuide
    from .guides import LatentMarkovGuide as LatentMarkovGuide
    from .guides import GaussianGuide as GaussianGuide
    from .inference.variational.latent_blocks import LatentBlocks as LatentBlocks
    from .programs.auxiliary import HasReverse as HasReverse
    from .trajectories.process import Process as Process
    from .trajectories.clamped_process import ClampedProcess as ClampedProcess
    from .trajectories.process import MarkovProcess as MarkovProcess

    # What a guide holds, as Gaussians
    from .trajectories.gaussian.blocks import GaussianBlocks as GaussianBlocks
    from .trajectories.gaussian.blocks import GaussianMarginals as GaussianMarginals
    from .trajectories.gaussian.blocks import ContinuousTrajectories as ContinuousTrajectories

    # What a guide holds, as tables
    from .trajectories.tabulate import tabulate as tabulate
    from .trajectories.blocks import Blocks as Blocks
    from .trajectories.by_step import StepBlocks as StepBlocks
    from .trajectories.by_step import Visits as Visits
    from .trajectories.samples import Occupancy as Occupancy
    from .trajectories.samples import Trajectories as Trajectories
    from .trajectories.samples import Trajectory as Trajectory

    # An inference: exact
    from .inference.exact.infer import infer as infer
    from .inference.exact.soft_values import soft_values as soft_values
    from .inference.exact.soft_values import SoftValues as SoftValues
    from .chance.optimism import Optimism as Optimism
    from .chance.risk import Risk as Risk
    from .chance.budget import KLBudget as KLBudget
    from .chance.budget import BudgetReport as BudgetReport
    from .chance.budget import Spending as Spending
    from .inference.exact.posterior import Posterior as Posterior
    from .inference.exact.tables import PosteriorStep as PosteriorStep
    from .inference.exact.gaussian.posterior import GaussianPosterior as GaussianPosterior
    from .inference.exact.gaussian.values import GaussianValues as GaussianValues
    from .inference.exact.gaussian.output_feedback import output_feedback as output_feedback
    from .inference.exact.gaussian.output_feedback import OutputFeedback as OutputFeedback
    from .inference.exact.gaussian.output_feedback import ObservedTrajectories as ObservedTrajectories
    from .inference.exact.gaussian.breakdown import breakdown as breakdown
    from .inference.exact.gaussian.breakdown import Breakdown as Breakdown
    from .inference.exact.gaussian.breakdown import BreakdownEdge as BreakdownEdge
    from .inference.exact.grid.infer_planar import infer_planar as infer_planar
    from .inference.exact.grid.infer_line import infer_line as infer_line
    from .inference.exact.grid.infer_planar import HasPlane as HasPlane
    from .inference.exact.grid.infer_line import HasLine as HasLine
    from .inference.exact.grid.posterior import GridPosterior as GridPosterior
    from .inference.exact.grid.posterior import MeshError as MeshError
    from .inference.exact.grid.posterior import Paths as Paths
    from .inference.exact.grid.solution import Densities as Densities
    from .inference.exact.grid.account import Account as Account
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
    from .inference.infinite_horizon.linear_quadratic import stationary_policy as stationary_policy
    from .inference.infinite_horizon.linear_quadratic import StationaryPolicy as StationaryPolicy
    from .inference.infinite_horizon.value_iteration import value_iteration as value_iteration
    from .inference.infinite_horizon.value_iteration import ValueIteration as ValueIteration
    from .inference.infinite_horizon.fixed_point import ValueStatus as ValueStatus
    from .inference.infinite_horizon.policy_evaluation import policy_evaluation as policy_evaluation
    from .inference.infinite_horizon.policy_evaluation import PolicyValue as PolicyValue
    from .inference.infinite_horizon.policy_evaluation import stationary_distribution as stationary_distribution
    from .inference.infinite_horizon.policy_evaluation import StationaryDistribution as StationaryDistribution
    from .inference.infinite_horizon.policy_evaluation import DistributionStatus as DistributionStatus
    from .inference.infinite_horizon.blocks.value_iteration import value_iteration_blocks as value_iteration_blocks
    from .inference.infinite_horizon.blocks.value_iteration import policy_evaluation_blocks as policy_evaluation_blocks
    from .inference.infinite_horizon.blocks.values import BlockValues as BlockValues
    from .inference.infinite_horizon.average_reward import average_reward as average_reward
    from .inference.infinite_horizon.average_reward import AverageReward as AverageReward
    from .inference.infinite_horizon.average_reward import GainStatus as GainStatus
    from .inference.infinite_horizon.growth_rate import growth_rate as growth_rate
    from .inference.infinite_horizon.growth_rate import GrowthRate as GrowthRate
    from .inference.infinite_horizon.stationary_elbo import stationary_elbo as stationary_elbo
    from .inference.infinite_horizon.stationary_elbo import elbo_rate as elbo_rate

    # An inference: by SVI
    from .inference.variational.fitting.fit import fit as fit
    from .inference.variational.fitting.fit_result import Fit as Fit
    from .inference.variational.fitting.fit_result import FitStep as FitStep
    from .inference.variational.fitting.fit_result import FitStatus as FitStatus
    from .inference.variational.svi_losses import MarkovLoss as MarkovLoss
    from .inference.variational.svi_losses import MarkovELBO as MarkovELBO
    from .inference.variational.svi_losses import MarkovObjective as MarkovObjective
    from .inference.variational.svi_losses import MarkovRenyi as MarkovRenyi
    from .inference.variational.svi_losses import AuxiliaryELBO as AuxiliaryELBO
    from .inference.variational.gaussian_elbo import GaussianELBO as GaussianELBO
    from .inference.variational.auxiliary_elbo import auxiliary_elbo as auxiliary_elbo
    from .inference.variational.auxiliary_elbo import best_reverse as best_reverse
    from .programs.auxiliary import with_reverse as with_reverse
    from .inference.variational.to_go_elbo import ToGoELBO as ToGoELBO
    from .inference.variational.one_pass_elbo import OnePassELBO as OnePassELBO
    from .inference.variational.optimism_scaling import with_optimism as with_optimism
    from .runtime.progress import PrintEvery as PrintEvery
    from .runtime.progress import ProgressBar as ProgressBar
    from .runtime.progress import silent as silent
    from .runtime.status import Status as Status

    # An inference: along one path
    from .inference.local.ilqg import ilqg as ilqg
    from .inference.local.ilqg import ILQG as ILQG
    from .inference.local.ilqg import ILQGStatus as ILQGStatus
    from .inference.local.vector_model import VectorModel as VectorModel

    # An inference: by sampling
    from .inference.sampling.log_weights import log_weights as log_weights
    from .inference.sampling.iwae import iwae_bound as iwae_bound
    from .inference.sampling.smc import smc as smc
    from .inference.sampling.smc import conditional_smc as conditional_smc
    from .inference.sampling.smc import SMC as SMC

    # Evaluation
    from .analysis.evaluate import evaluate as evaluate
    from .analysis.scores.evaluation import Evaluation as Evaluation
    from .analysis.evaluate import objective as objective
    from .inference.sampling.estimate import estimate as estimate
    from .inference.sampling.estimate import estimate_elbo as estimate_elbo
    from .inference.sampling.estimate import Estimate as Estimate
    from .inference.sampling.estimate import EstimatedScore as EstimatedScore
    from .analysis.scorecard import scorecard as scorecard
    from .analysis.scorecard import Scorecard as Scorecard
    from .analysis.scorecard import Score as Score
    from .analysis.sampled_scorecard import SampledScore as SampledScore
    from .analysis.sampled_scorecard import SampledScorecard as SampledScorecard
    from .analysis.ledgers.ledger import ledger as ledger
    from .analysis.ledgers.ledger import Ledger as Ledger
    from .analysis.ledgers.continuous_ledger import ContinuousLedger as ContinuousLedger
    from .analysis.diagnosis.diagnose import diagnose as diagnose
    from .analysis.diagnosis.diagnosis import Diagnosis as Diagnosis
    from .analysis.frontier import frontier as frontier
    from .analysis.frontier import Frontier as Frontier
    from .analysis.frontier import FrontierPoint as FrontierPoint
    from .analysis.frontier import FrontierGap as FrontierGap
    from .analysis.critical_optimism import critical_optimism as critical_optimism
    from .analysis.critical_optimism import CriticalOptimism as CriticalOptimism
    from .analysis.temperature import temperature_for as temperature_for
    from .analysis.temperature import ChosenTemperature as ChosenTemperature
    from .analysis.learned_prior import learn_prior as learn_prior
    from .analysis.learned_prior import LearnedPrior as LearnedPrior
    from .analysis.learned_prior import PriorStatus as PriorStatus
    from .analysis.ensembles import believed_weights as believed_weights
    from .analysis.ensembles import member_blocks as member_blocks
    from .analysis.ensembles import member_returns as member_returns
    from .analysis.return_distribution import return_distribution as return_distribution
    from .analysis.scores.atoms import ReturnDistribution as ReturnDistribution
    from .analysis.continuous.returns import GaussianReturns as GaussianReturns
    from .analysis.continuous.sampled_returns import SampledReturns as SampledReturns
    from .analysis.return_distribution import return_moments as return_moments
    from .analysis.return_distribution import Moments as Moments
    from .intrinsic.skills import skills as skills
    from .intrinsic.skills import Skills as Skills
    from .intrinsic.skills import SkillStatus as SkillStatus
    from .intrinsic.skill_env import SkillEnv as SkillEnv
    from .intrinsic.discriminator import SkillDiscriminator as SkillDiscriminator
    from .intrinsic.empowerment import empowerment as empowerment
    from .intrinsic.empowerment import Empowerment as Empowerment
    from .intrinsic.empowerment import EmpowermentStatus as EmpowermentStatus
    from .queries.return_conditioned import condition_on_return as condition_on_return
    from .queries.return_conditioned import ReturnConditioned as ReturnConditioned
    from .analysis.explain import explain as explain
    from .analysis.explain import Explanation as Explanation
    from .analysis.continuous.explanation import ContinuousExplanation as ContinuousExplanation
    from .analysis.continuous.grid_explanation import GridExplanation as GridExplanation
    from .analysis.compare import compare as compare
    from .analysis.compare import Comparison as Comparison
    from .analysis.continuous_comparison import ContinuousComparison as ContinuousComparison
    from .benchmark.bench import bench as bench
    from .benchmark.page import Bench as Bench
    from .benchmark.page import BenchStatus as BenchStatus
    from .benchmark.rows import BenchRow as BenchRow
    from .sweeps.sweep import sweep as sweep
    from .sweeps.result import Sweep as Sweep
    from .sweeps.result import SweepStatus as SweepStatus
    from .plot.continuous.picture import picture as picture
    from .reports.report import report as report
    from .reports.explorer import explore as explore
    from .reports.graph import render as render
    from .reports.graph import Drawing as Drawing
    from .trajectories.policy import TabularPolicy as TabularPolicy
    from .environments.rollout import rollout as rollout
    from .environments.rollout import Rollout as Rollout

    # Exceptions
    from .errors import PGMControlError as PGMControlError
    from .errors import InvalidProblem as InvalidProblem
    from .errors import InvalidGuide as InvalidGuide
    from .errors import InvalidArgument as InvalidArgument
    from .errors import InvalidCheckpoint as InvalidCheckpoint
    from .errors import UnsupportedEnvironment as UnsupportedEnvironment
    from .errors import EnvironmentFailure as EnvironmentFailure
    from .errors import UsedByAnotherThread as UsedByAnotherThread
    from .errors import LearningDiverged as LearningDiverged
    from .errors import OptimismBreakdown as OptimismBreakdown
    from .errors import WorkersLost as WorkersLost
    from .errors import LawBroken as LawBroken
    from .errors import MissingExtra as MissingExtra

    # Types in signatures
    from .runtime.array_like import ArrayLike as ArrayLike
    from .runtime.progress import Progress as Progress
    from .chance.factors import Factors as Factors
    from .trajectories.blocks import MarkovModel as MarkovModel
    from .trajectories.blocks import HasBlocks as HasBlocks
    from .trajectories.gaussian.model import GaussianModel as GaussianModel
    from .trajectories.gaussian.blocks import HasGaussianBlocks as HasGaussianBlocks
    from .trajectories.gaussian.terms import HasTerms as HasTerms
    from .trajectories.gaussian.terms import TrajectoryTerms as TrajectoryTerms
    from .inference.variational.latent_blocks import HasLatentBlocks as HasLatentBlocks
    from .problems.continuous.problem import ContinuousProblem as ContinuousProblem
    from .problems.continuous.problem import HasMembers as HasMembers
    from .models.continuous import HasPolicy as HasPolicy
    from .environments.rollout import Predictor as Predictor
    from .analysis.ledgers.ledger_result import Totals as Totals
    from .analysis.diagnosis.gradients import GradientNoise as GradientNoise
    from .analysis.diagnosis.strangers import Strangers as Strangers
    from .queries.unrolled import Folded as Folded

    # Packages of their own
    from . import models as models
    from . import guides as guides
    from . import learners as learners
    from . import planners as planners
    from . import inverse_rl as inverse_rl
    from . import behaviour as behaviour
    from . import plot as plot
    from . import exchange as exchange
    from . import testing as testing


def _homes() -> dict[str, str | None]:
    """The module of each public name, None for a package: parsed from the imports above, which are not run."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module and f".{node.module}" for node in imports for alias in node.names}


_HOMES = _homes()
__all__ = [name for name, home in _HOMES.items() if home]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(import_module(home, __name__), name) if home else import_module(f".{name}", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_HOMES, *(name for name in globals() if name.startswith("__"))])


register_environments()
del register_environments
