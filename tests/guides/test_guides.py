"""Tests of the other guides against oracles: enumerated trajectories, grids of policies, hard value iteration."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import best_return, paths
from problems import gamble, random_mdp
from pyro.optim import PyroOptim
from strategies import laws, model_of, problem_of, problems

from pgm_control import (
    ClampedGuide,
    InvalidArgument,
    InvalidGuide,
    InvalidProblem,
    MarkovGuide,
    TabularMDP,
    TabularModel,
    evaluate,
    fit,
    guide_zoo,
    infer,
)
from pgm_control.guides import (
    DeterministicGuide,
    MeanFieldGuide,
    NeuralGuide,
    OpenLoopGuide,
    StationaryGuide,
    ViewGuide,
    guide_entry,
)
from pgm_control.guides.view import _checked
from pgm_control.inference.variational.elbo import elbo
from pgm_control.models import restaurant
from pgm_control.trajectories.blocks import Assignable

pytestmark = pytest.mark.slow

FREE_ONES = ("free", "mean_field", "low_rank")
CLAMPED_ONES = ("clamped", "open_loop", "stationary", "deterministic", "neural")
NAMES = FREE_ONES + CLAMPED_ONES
SLOW = PyroOptim(torch.optim.Adam, {"lr": 0.01})  # for networks


def value(model, guide):
    with torch.no_grad():
        return elbo(model, guide.blocks()).item()


def shaken(guide, seed=0):
    noise = torch.Generator().manual_seed(seed)
    for parameter in guide.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))
    return guide


def best(model, build, starts=1, steps=400):
    """The best ELBO of several fits."""
    guides = [build(model) if seed == 0 else shaken(build(model), seed) for seed in range(starts)]
    return max(value(model, fit(model, guide, num_steps=steps).guide) for guide in guides)


# Properties of all guides


@laws
@given(problems(), st.sampled_from(NAMES), st.booleans())
def test_the_elbo_is_finite_if_the_optimum_is(problem, name, moved):
    model = model_of(problem)
    try:
        guide = guide_entry(name).build(model)
    except InvalidProblem:
        assert name in ("open_loop", "stationary", "mean_field")
        assert np.isinf(problem.reward).any() or (problem.prior == 0).any()
        return
    assert isinstance(guide, MarkovGuide)
    if moved:
        shaken(guide)
    found, blocks = elbo(model, guide.blocks()), guide.blocks()
    for table in (blocks.log_initial, blocks.log_policy, blocks.log_dynamics):
        torch.testing.assert_close(table.exp().sum(-1), torch.ones(table.shape[:-1], dtype=table.dtype))
        assert not table.isnan().any()
    ceiling = infer(model, 1.0 if name in FREE_ONES else 0.0).objective
    if ceiling == -torch.inf:
        assert found.item() == -torch.inf
        return
    assert found.isfinite()
    assert found.item() <= ceiling + 1e-9 * max(1.0, abs(ceiling))
    if found.requires_grad:
        found.backward()
        assert all(parameter.grad.isfinite().all() for parameter in guide.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_arguments_of_the_zoo_fit_the_guide(name):
    model, entry = TabularModel(random_mdp(seed=0, states=4, horizon=4), 0.5), guide_entry(name)
    guide = entry.build(model)
    start = value(model, guide)
    assert value(model, fit(model, guide, **{**entry.fit, "num_steps": 30}).guide) > start + 0.1


def test_every_entry_of_the_zoo_has_a_name_and_a_summary():
    assert set(NAMES) < set(guide_zoo())
    for name, entry in guide_zoo().items():
        assert (entry.name, entry.summary[-1]) == (name, ".")


def test_an_unknown_name_is_refused_with_the_nearest_names():
    with pytest.raises(InvalidArgument, match="Did you mean 'mean_field'"):
        guide_entry("Mean-Field")


# Shared policies


@laws
@given(problems())
def test_a_full_view_is_the_clamped_guide_and_an_empty_view_the_open_loop_guide(problem):
    model = model_of(problem)
    states = model.mdp.num_states
    clamped, view = shaken(ClampedGuide(model)), ViewGuide(model, torch.arange(states))
    view.policy_logits.data.copy_(clamped.policy_logits)
    torch.testing.assert_close(view.blocks().log_policy.exp(), clamped.blocks().log_policy.exp())
    try:
        plan = shaken(OpenLoopGuide(model))
    except InvalidProblem:
        with pytest.raises(InvalidProblem):
            ViewGuide(model, [0] * states)
        return
    blind = ViewGuide(model, [0] * states)
    blind.policy_logits.data.copy_(plan.policy_logits[:, None])
    assert torch.equal(blind.blocks().log_policy, plan.blocks().log_policy)


@laws
@given(problems(forbidden=False), st.data())
def test_visited_states_with_the_same_view_have_the_same_policy(problem, data):
    model = model_of(problem)
    view = data.draw(st.lists(st.integers(0, 2), min_size=model.mdp.num_states, max_size=model.mdp.num_states))
    try:
        guides = shaken(ViewGuide(model, view)), shaken(StationaryGuide(model))
    except InvalidProblem:
        return
    for guide, seen in zip(guides, (lambda t, s: (t, view[s]), lambda t, s: s), strict=True):
        blocks = guide.blocks()
        rows = {}
        for t, s in itertools.product(range(model.mdp.horizon), range(model.mdp.num_states)):
            if blocks.marginals().state[t, s] > 0:
                row = rows.setdefault(seen(t, s), blocks.log_policy[t, s])
                assert torch.equal(row, blocks.log_policy[t, s])


def hard_to_plan():
    """A problem in which observing the state and the time increases the ELBO."""
    return TabularModel(random_mdp(seed=0, states=4, actions=3, horizon=5), 0.5)


def test_a_finer_view_has_a_higher_elbo():
    model = hard_to_plan()
    nothing, exact = best(model, OpenLoopGuide), infer(model, 0.0).objective
    half = best(model, lambda model: ViewGuide(model, [0, 0, 1, 1]))
    everything = best(model, lambda model: ViewGuide(model, [0, 1, 2, 3]))
    assert nothing < half - 0.01
    assert half < everything - 0.01
    assert exact - 1e-3 <= everything <= exact + 1e-9
    assert best(model, StationaryGuide) < exact - 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_the_open_loop_guide_reaches_the_best_of_a_grid(seed):
    """With two actions at two steps: the ELBO of every pair of probabilities, summed over trajectories."""
    mdp = random_mdp(seed, states=3, actions=2, horizon=2)
    model, problem = TabularModel(mdp, 0.3), problem_of(mdp, 0.3)
    p = np.linspace(0, 1, 1001)[1:-1]
    first, second = (np.stack([1 - p, p]) for _ in range(2))
    on_grid = 0.0
    for path in paths(problem):
        chance = path.probability / problem.prior[0, 0] ** 2
        a, b = first[path.actions[0]][:, None], second[path.actions[1]][None]
        gain = path.total / 0.3 + 2 * math.log(0.5) - np.log(a) - np.log(b)
        on_grid = on_grid + chance * a * b * gain
    found = best(model, OpenLoopGuide, starts=2, steps=250)
    assert np.max(on_grid) - 1e-4 <= found <= np.max(on_grid) + 1e-4


def test_at_one_step_the_stationary_guide_reaches_the_clamped_optimum():
    model = TabularModel(restaurant())
    assert best(model, StationaryGuide) == pytest.approx(infer(model, 0.0).objective, abs=1e-6)


def cliff(reward=-np.inf, final=None):
    """A problem where state 0 leads to 1 or 2; action 0 is forbidden in state 1, action 1 in state 2."""
    return TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=[[[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]],
        successor=[[[1, 2], [1, 1]], [[1, 1], [1, 1]], [[2, 2], [2, 2]]],
        reward=[[[1.0, 1.0], [0.0, 0.0]], [[reward, 0.0], [0.0, 0.0]], [[0.0, 0.0], [reward, 0.0]]],
        horizon=2,
        state_names=("start", "left", "right"),
        final_reward=final,
    )


def test_an_impossible_plan_is_refused_with_the_reason():
    model = TabularModel(cliff())
    pattern = r"at time 1 none is possible in all of the states 'left', 'right'.*large negative reward"
    for build in (OpenLoopGuide, lambda model: ViewGuide(model, [0, 1, 1])):
        with pytest.raises(InvalidProblem, match=pattern):
            build(model)
    assert math.isfinite(value(model, ViewGuide(model, [0, 0, 1])))
    assert math.isfinite(value(model, StationaryGuide(model)))
    with pytest.raises(
        InvalidProblem, match="none is possible"
    ):  # free dynamics do not help: the reward of the action is certain
        MeanFieldGuide(model)


def test_a_state_that_is_never_visited_removes_no_action():
    mask = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    mdp = TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=np.ones((3, 2, 1)),
        successor=[[[0], [2]], [[0], [0]], [[0], [0]]],
        reward=np.zeros((3, 2, 1)),
        horizon=2,
    )
    plan = OpenLoopGuide(TabularModel(mdp, 1.0, mask)).blocks().log_policy.exp()
    torch.testing.assert_close(plan[:, 0], torch.full((2, 2), 0.5, dtype=torch.float64))
    torch.testing.assert_close(plan[:, 1], mask[1].expand(2, 2))


def test_a_stationary_guide_removes_what_is_forbidden_at_any_visited_time():
    """Action 1 is forbidden at the last step only, by the final reward of the state that it leads to."""
    mdp = TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=np.ones((3, 2, 1)),
        successor=[[[0], [1]], [[2], [2]], [[2], [2]]],
        reward=np.zeros((3, 2, 1)),
        horizon=2,
        final_reward=[0.0, -np.inf, 1.0],
    )
    model = TabularModel(mdp)
    assert (ClampedGuide(model).blocks().log_policy[0, 0] > -torch.inf).all()
    guide = StationaryGuide(model)
    assert guide.blocks().log_policy[:, 0].exp().tolist() == [[1.0, 0.0]] * 2
    assert math.isfinite(value(model, guide))


def test_different_priors_are_combined_by_their_geometric_mean():
    prior = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    mdp = random_mdp(seed=1, states=2, horizon=2)
    plan = OpenLoopGuide(TabularModel(mdp, 1.0, prior)).blocks().log_policy.exp()
    assert plan[0, 0].tolist() == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("view", [[0, 1], [0, 1, -1], [0.0, 1.0, 1.0], ["a", "b", "c"], [True, False, True], 3])
def test_an_invalid_view_is_refused(view):
    with pytest.raises(InvalidArgument, match=r"`view` must be (3 whole numbers.*torch.arange|an array of numbers)"):
        _checked(view, random_mdp(0))


# The deterministic guide


@laws
@given(problems())
def test_the_optimal_actions_are_those_of_hard_value_iteration(problem):
    model = model_of(problem)
    guide = DeterministicGuide(model)
    with np.errstate(divide="ignore"):
        with_prior = problem.reward + problem.temperature * np.log(problem.prior)[..., None]
    expected = best_return(dataclasses.replace(problem, reward=with_prior)) / problem.temperature
    guide.assign(guide.optimum())
    assert value(model, guide) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@laws
@given(problems())
def test_policy_iteration_is_exact_after_as_many_steps_as_the_horizon(problem):
    model = model_of(problem)
    guide = DeterministicGuide(model)
    expected = elbo(model, guide.optimum()).item()
    if expected > -torch.inf:
        fit(model, guide, method="natural_gradient", num_steps=problem.horizon + 1, tolerance=0.0)
        assert value(model, guide) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_with_a_uniform_prior_it_is_classical_control():
    mdp = gamble(horizon=4, jackpot=6.0)
    for temperature in (0.3, 2.0):
        model = TabularModel(mdp, temperature)
        found = fit(model, DeterministicGuide(model), method="exact")
        best_policy = infer(TabularModel(mdp, 0.0), 0.0)
        assert found.elbo == pytest.approx(best_policy.value / temperature - 4 * math.log(2), abs=1e-12)
        assert evaluate(model, found.guide).delusion == 0


def test_actions_are_the_first_of_equals_and_are_kept_in_a_copy():
    model = TabularModel(random_mdp(seed=0, horizon=2))
    guide = DeterministicGuide(model)
    assert isinstance(guide, Assignable)
    assert not guide.actions.any()
    assert not list(guide.parameters())
    policy = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.6, 0.4]], dtype=torch.float64).log().expand(2, 3, 2)
    guide.assign(model.blocks().replace(log_policy=policy))
    assert guide.actions.tolist() == [[1, 0, 0]] * 2
    twin = DeterministicGuide(model)
    twin.load_state_dict(guide.state_dict())
    assert torch.equal(twin.blocks().log_policy, guide.blocks().log_policy)


def test_an_impossible_action_is_refused():
    model = TabularModel(cliff())
    guide = DeterministicGuide(model)
    assert guide.actions[1].tolist() == [0, 1, 0]
    policy = model.blocks().log_policy.clone()
    guide.assign(model.blocks().replace(log_policy=policy))
    assert guide.actions[1].tolist() == [0, 1, 0]
    policy[1, 1] = torch.tensor([1.0, 0.0]).log()
    with pytest.raises(InvalidGuide, match=r"at time 1 in state 1 only allows.*infer\(model, 0.0\)"):
        guide.assign(model.blocks().replace(log_policy=policy))
    with pytest.raises(InvalidGuide, match="must have shape"):
        guide.assign(TabularModel(cliff().replace(horizon=3)).blocks())


# The neural guide


NETWORKED = {"restaurant": lambda: TabularModel(restaurant()), "random": hard_to_plan}


@pytest.mark.parametrize("build", NETWORKED.values(), ids=NETWORKED.keys())
def test_a_network_reaches_the_clamped_optimum_to_within_01_nats(build):
    model = build()
    found = value(model, fit(model, NeuralGuide(model, hidden=(32,)), optim=SLOW, num_steps=600).guide)
    exact = infer(model, 0.0).objective
    assert exact - 1e-2 <= found <= exact + 1e-9


def test_a_network_starts_at_the_prior_and_depends_on_the_seed():
    model = hard_to_plan()
    guides = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        guides.append(NeuralGuide(model))
        torch.testing.assert_close(guides[-1].blocks().log_policy, model.blocks().log_policy)
    first, same, other = (guide.network[0].weight for guide in guides)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_states_with_equal_features_have_the_same_policy():
    model = hard_to_plan()
    features = torch.tensor([[1.0], [0.0], [1.0], [-1.0]])
    policy = shaken(NeuralGuide(model, features)).blocks().log_policy
    assert torch.equal(policy[:, 0], policy[:, 2])
    assert not torch.allclose(policy[:, 0], policy[:, 1])
    assert not torch.allclose(policy[0], policy[1])


def test_any_module_is_accepted_and_moved_to_the_dtype_of_the_model():
    model = TabularModel(random_mdp(seed=0, states=4, horizon=5).to(dtype=torch.float32), 0.5)
    network = torch.nn.Linear(5, 2, dtype=torch.float64)
    guide = NeuralGuide(model, network=network)
    assert guide.network is network
    assert guide.blocks().log_policy.dtype == torch.float32
    assert {name for name, _ in guide.named_parameters()} == {"network.weight", "network.bias"}
    assert value(model, fit(model, guide, optim=SLOW, num_steps=20).guide) > value(model, NeuralGuide(model))


def test_networks_of_the_wrong_shape_are_refused():
    model = TabularModel(random_mdp(seed=0))
    with pytest.raises(InvalidArgument, match=r"`network` must take 4 numbers.*first layer"):
        NeuralGuide(model, network=torch.nn.Linear(3, 2))
    with pytest.raises(InvalidArgument, match=r"one logit per action.*last layer"):
        NeuralGuide(model, network=torch.nn.Linear(4, 3))
    with pytest.raises(InvalidArgument, match=r"`features` must have shape \(3, D\)"):
        NeuralGuide(model, torch.zeros(2, 2))
    with pytest.raises(InvalidArgument, match="nan or infinite"):
        NeuralGuide(model, torch.full((3, 1), torch.nan))
    with pytest.raises(InvalidArgument, match=r"`hidden\[0\]` must be a whole number"):
        NeuralGuide(model, hidden=(0,))
