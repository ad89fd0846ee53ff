"""Every public function has a row in the table of calls; bad inputs end in errors that name the argument."""

import inspect
import random
import zlib

import pytest

from bad_inputs.calls import PACKAGES
from bad_inputs.check import CALLS, cases, fault

RESULTS = (  # results and types, which a user does not make
    "Remembered EnvironmentCheck Process ClampedProcess MarkovProcess MarkovGuide MemoryGuide Blocks Occupancy "
    "Trajectories Trajectory SoftValues Posterior FreedSurvival SurvivalStatus HistoryOptimum Ladder Rung "
    "Debiased ValueIteration ValueStatus PolicyValue StationaryDistribution DistributionStatus AverageReward "
    "BlockValues "
    "GainStatus GrowthRate Fit FitStep FitStatus MarkovLoss MarkovELBO ToGoELBO silent Status SMC Evaluation "
    "SampledScorecard SampledScore ContinuousGuide LearnedDynamics DynamicsStatus HasMembers HasPolicy "
    "Estimate EstimatedScore Scorecard Score Ledger Frontier FrontierPoint CriticalOptimism ReturnDistribution "
    "Moments ReturnConditioned Explanation Comparison Bench BenchStatus BenchRow Sweep SweepStatus Drawing Rollout "
    "ArrayLike Progress MarkovModel HasBlocks Predictor Totals Folded zoo guide_zoo models:restaurant "
    "models:restaurant_twin models:lottery_twin guides:MixtureProcess guides:Information guides:SimulatedWorld "
    "learners:Learner learners:LearningStep learners:Learning learners:LearningStatus learners:EvaluationPoint "
    "planners:Planner planners:Plan planners:PlanStatus "
    "learners:Transitions inverse_rl:Inverse inverse_rl:InverseStatus inverse_rl:InverseStep "
    "inverse_rl:Demonstrations inverse_rl:Episode inverse_rl:RewardModel inverse_rl:Demonstrator "
    "inverse_rl:Behaviour inverse_rl:FreeDemonstrator inverse_rl:BoltzmannDemonstrator "
    "inverse_rl:Identification inverse_rl:RewardPosterior inverse_rl:RewardProgram "
    "inverse_rl:DemonstratorComparison inverse_rl:inverse_in_simulator inverse_rl:SimulatedInverse "
    "inverse_rl:Recording inverse_rl:Round inverse_rl:Moves inverse_rl:Ends inverse_rl:LinearForm "
    "inverse_rl:RewardFunction plot:Layout plot:recovered_reward_maps exchange:DenseArrays "
    "exchange:QuantEconArrays exchange:MDPToolboxArrays exchange:PymdpArrays exchange:SealsArrays "
    "exchange:Discretised exchange:Cells exchange:CellPlayer testing:GuideReport "
    "testing:ModelReport BudgetReport Spending ChosenTemperature inverse_rl:RunnerUp inverse_rl:LearnedReward "
    "inverse_rl:Peak ExponentialOptimality LogisticOptimality Optimality LearnedPrior PriorStatus "
    "Skills SkillStatus Empowerment EmpowermentStatus "
    "behaviour:PeopleFit behaviour:PeopleStatus behaviour:PeopleIdentification behaviour:PeopleProgram "
    "behaviour:PeopleComparison behaviour:Recovery behaviour:ModelConfusion "
    "StepBlocks Visits PosteriorStep LatentMarkovGuide LatentBlocks HasReverse AuxiliaryELBO HasLatentBlocks "
    "inverse_rl:IdentifiedDynamics inverse_rl:GaussianIdentification inverse_rl:BelievedDynamics "
    "inverse_rl:GaussianInverse inverse_rl:QuadraticCost inverse_rl:QuadraticReward "
    "guides:LatentProcess Diagnosis GradientNoise Strangers "
    "GridPosterior MeshError Paths Account Densities continuous_zoo "
    "GaussianGuide ILQG ILQGStatus VectorModel "
    "GaussianModel ContinuousEnv ContinuousLedger ContinuousExplanation GridExplanation ContinuousComparison "
    "FrontierGap GaussianReturns SampledReturns "
    "HasGaussianBlocks HasTerms TrajectoryTerms GaussianPosterior GaussianBlocks GaussianMarginals GaussianValues "
    "ContinuousTrajectories Breakdown BreakdownEdge OutputFeedback ObservedTrajectories StationaryPolicy "
    "HasPlane HasLine ContinuousProblem"
).split()


def test_every_public_function_has_a_row():
    known, missing = {each.partition(".")[0] for each in (*CALLS, *RESULTS)}, []
    seen = set()
    for package, module in PACKAGES.items():
        for name in getattr(module, "__all__", [each for each in vars(module) if each[0] != "_"]):
            public = getattr(module, name)
            if not callable(public) or inspect.ismodule(public) or id(public) in seen:
                continue
            seen.add(id(public))
            error = isinstance(public, type) and issubclass(public, BaseException)
            if not error and (f"{package}:{name}" if package else name) not in known:
                missing.append(f"{package}:{name}")
    assert not missing


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if not call.slow])
def test_valid_calls_are_valid(name):
    CALLS[name].function(**CALLS[name].arguments())


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if not call.slow])
def test_bad_inputs_end_in_errors_that_name_the_argument(name):
    """A few values for each argument, always the same ones; `python -m tests.bad_inputs` tries all of them."""
    every = list(cases([name]))
    chosen = random.Random(zlib.crc32(name.encode())).sample(every, min(len(every), 8))
    assert [f"{case}: {wrong}" for case in chosen if (wrong := fault(case)) is not None] == []
