"""Tests of `tabulate`: marginals, samples and modes of all guides against the enumeration of all trajectories."""

import math

import numpy as np
import oracles
import pytest
import torch
from contracts.table import GUIDES
from problems import random_mdp
from strategies import problem_of

from pgm_control import (
    Blocks,
    ClampedGuide,
    DialGuide,
    FreeGuide,
    ImportanceGuide,
    InvalidArgument,
    InvalidGuide,
    MixtureGuide,
    Optimism,
    PartiallyObservedModel,
    TabularModel,
    TabularPolicy,
    WindowGuide,
    history_optimum,
    infer,
    tabulate,
)
from pgm_control.models import tiger

MDP = random_mdp(seed=1, horizon=2, discount=0.8)
MODEL = TabularModel(MDP, 0.7)
EVERYTHING = Optimism(1.0, 1.0, 1.0)


def shaken(guide):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += 0.7 * torch.randn_like(parameter)
    return guide


TABULATED = {
    **{name: lambda row=row: shaken(row.build(MODEL)) for name, row in GUIDES.items()},
    "freed survival": lambda: shaken(DialGuide(MODEL, EVERYTHING)),
    "posterior": lambda: infer(MODEL, EVERYTHING),
    "clamped posterior": lambda: infer(MODEL, 0.0),
    "model": lambda: MODEL,
    "policy": lambda: TabularPolicy(np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])),
    "array": lambda: np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]]),
    "tensor by time": lambda: torch.tensor([[[0.2, 0.8]] * 3, [[0.7, 0.3]] * 3], dtype=torch.float64),
}


def probabilities(problem, blocks):
    """The probability of every possible trajectory, by plain products of the tables."""
    initial, policy, dynamics, survival = (
        each.detach().numpy() for each in (blocks.initial, blocks.policy, blocks.dynamics, blocks.survival)
    )
    found = {}
    for path in oracles.paths(problem):
        p = initial[path.states[0]]
        for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
            if s != problem.ended:
                survives = survival[t, problem.successor[s, a, k]]
                p *= policy[t, s, a] * dynamics[t, s, a, k]
                p *= survives if path.states[t + 1] != problem.ended else 1.0 - survives
        found[path[:3]] = p
    return found


@pytest.mark.parametrize("build", TABULATED.values(), ids=TABULATED.keys())
def test_marginals_mode_and_samples_agree_with_the_enumeration(build):
    problem = problem_of(MDP, 0.7)
    blocks = tabulate(MODEL, build())
    every = probabilities(problem, blocks)
    assert sum(every.values()) == pytest.approx(1.0, abs=1e-12)
    state = np.zeros((problem.horizon + 1, problem.ended + 1))
    outcome = np.zeros((problem.horizon, problem.ended + 1, *problem.probability.shape[1:]))
    for (states, actions, outcomes), p in every.items():
        for t, s in enumerate(states):
            state[t, s] += p
        for t, (s, a, k) in enumerate(zip(states, actions, outcomes, strict=False)):
            outcome[t, s, a, k] += p
    found = blocks.marginals()
    np.testing.assert_allclose(found.state.detach(), state[:, :-1], atol=1e-12)
    np.testing.assert_allclose(found.outcome.detach(), outcome[:, :-1], atol=1e-12)
    np.testing.assert_allclose(found.state_action.detach(), outcome[:, :-1].sum(-1), atol=1e-12)
    mode = blocks.mode()
    assert math.exp(mode.log_probability) == pytest.approx(max(every.values()), rel=1e-12)
    assert every[tuple(tuple(each.tolist()) for each in mode[:3])] == pytest.approx(max(every.values()), rel=1e-12)
    drawn = blocks.sample(20, seed=0)
    for path in zip(*(each.tolist() for each in drawn), strict=True):
        assert every[tuple(map(tuple, path))] > 0
    assert all(torch.equal(a, b) for a, b in zip(drawn, blocks.sample(20, seed=0), strict=True))


@pytest.mark.statistical
def test_samples_have_the_frequencies_of_freed_survival():
    """20 000 draws: the frequency of every trajectory is within five standard errors."""
    blocks, n = tabulate(MODEL, infer(MODEL, EVERYTHING)), 20_000
    every = probabilities(problem_of(MDP, 0.7), blocks)
    counts = dict.fromkeys(every, 0)
    for path in zip(*(each.tolist() for each in blocks.sample(n, seed=1)), strict=True):
        counts[tuple(map(tuple, path))] += 1
    for path, p in every.items():
        assert abs(counts[path] / n - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-12


def test_the_blocks_have_the_problem_of_the_model():
    """A guide for another problem of the same sizes is evaluated in the model's problem."""
    other = TabularModel(MDP.replace(discount=1.0), 0.7)
    blocks = tabulate(MODEL, ClampedGuide(other))
    assert blocks.mdp is MDP
    assert float(blocks.marginals().state[-1].detach().sum()) == pytest.approx(0.64)
    assert tabulate(other, blocks).mdp is other.mdp
    assert tabulate(MODEL, FreeGuide(MODEL)).log_policy.requires_grad, "differentiable"


def test_a_posterior_and_its_blocks_give_the_same_results():
    posterior = infer(MODEL, EVERYTHING)
    blocks = tabulate(MODEL, posterior)
    for name in ("initial", "policy", "dynamics"):
        assert torch.equal(getattr(posterior, name), getattr(blocks, name))
    assert all(torch.equal(a, b) for a, b in zip(posterior.marginals(), blocks.marginals(), strict=True))
    assert posterior.mode().log_probability == blocks.mode().log_probability
    assert torch.equal(posterior.sample(9, seed=3).states, blocks.sample(9, seed=3).states)


def test_the_advantage_is_the_log_ratio_of_policy_and_prior():
    prior = torch.tensor([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    model = TabularModel(MDP, 0.7, prior)
    posterior = infer(model, 0.3)
    expected = prior.log() + posterior.advantage / 0.7
    torch.testing.assert_close(posterior.distribution.log_policy, expected)
    lost = infer(TabularModel(MDP.replace(reward=torch.full_like(MDP.reward, -torch.inf))), 1.0)
    assert (lost.advantage == 0).all()


def test_guides_of_partially_observed_models_are_tabulated():
    model = PartiallyObservedModel(tiger(horizon=2), 5.0)
    guide, best = WindowGuide(model), history_optimum(model)
    assert tabulate(guide.model, guide).mdp is guide.model.mdp
    assert tabulate(best.model, best).marginals().state[-1].sum() == pytest.approx(1.0)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (lambda: MixtureGuide(MODEL, [ClampedGuide(MODEL)]), r"MixtureGuide has a memory.*estimate\(model, guide\)"),
        (lambda: ImportanceGuide(MODEL, MODEL, 3), r"ImportanceGuide draws many.*Use its bound\(\), sample\(\)"),
        (lambda: lambda: None, "`action_0` is missing.*check_guide says more"),
        (lambda: FreeGuide, r"is the class FreeGuide. Pass FreeGuide\(model\)"),
        (
            lambda: FreeGuide(TabularModel(random_mdp(0, states=2))),
            r"`log_initial` of the guide must have shape \(3,\)",
        ),
    ],
    ids=["memory", "improved", "function", "class", "another model"],
)
def test_guides_that_tables_cannot_represent_are_refused_with_a_remedy(guide, message):
    with pytest.raises(InvalidGuide, match=message):
        tabulate(MODEL, guide())


@pytest.mark.wrong_types
def test_errors_name_the_argument():
    with pytest.raises(InvalidArgument, match="`model` must be a tabular model"):
        tabulate(MDP, FreeGuide(MODEL))
    with pytest.raises(InvalidArgument, match="`num_samples` must be a whole number, at least 1, but is 0"):
        MODEL.blocks().sample(0)
    with pytest.raises(InvalidArgument, match="`seed`"):
        MODEL.blocks().sample(1, seed=0.5)


def test_replace_keeps_the_other_blocks_and_repr_names_the_survival():
    blocks = MODEL.blocks()
    changed = blocks.replace(log_policy=infer(MODEL, 0.0).distribution.log_policy)
    assert isinstance(changed, Blocks)
    assert changed.log_dynamics is blocks.log_dynamics
    assert repr(blocks) == f"Blocks(over the trajectories of {MDP!r}, survival clamped)"
    assert "survival its own" in repr(infer(MODEL, EVERYTHING).distribution)
