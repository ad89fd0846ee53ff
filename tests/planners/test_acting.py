"""Acting: episodes side by side, warm starts, the form of Stable-Baselines3, bounds, and the planner's generator."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from linear_quadratics import scalar

from pgm_control import (
    ContinuousModel,
    InvalidArgument,
    InvalidProblem,
    LinearQuadraticModel,
    TabularModel,
    infer,
    models,
    rollout,
    to_gymnasium,
)
from pgm_control.planners import CEM, ESS, MPPI, PlanStatus, SMCPlanner

MODEL = LinearQuadraticModel(scalar(), 1.0, 4.0)
FEW = {"num_plans": 32, "num_noise_samples": 4}


def planners(model=MODEL, **given):
    """One of each kind."""
    yield MPPI(model, **FEW, **given)
    yield CEM(model, **FEW, **given)
    yield SMCPlanner(model, **FEW, optimism=1.0, **given)


@pytest.mark.parametrize("kind", range(3))
def test_one_episode_or_several(kind):
    one, several = list(planners(seed=0))[kind], list(planners(seed=0))[kind]
    assert one.act([1.0]).shape == (1,)
    found = several.act([[1.0], [2.0], [3.0]])
    assert found.shape == (3, 1)
    assert several.latest is not None
    assert several.latest.actions.shape == (3, 6, 1)
    assert several.latest.plans.shape == (3, 32, 6, 1)
    assert torch.allclose(several.latest.log_weights.exp().sum(-1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("kind", range(3))
def test_the_seed_decides_and_the_global_generator_neither_matters_nor_moves(kind):
    torch.manual_seed(1)
    first = list(planners(seed=0))[kind].act([1.0])
    state = torch.random.get_rng_state()
    planner = list(planners(seed=0))[kind]
    again = planner.act([1.0])
    assert torch.equal(first, again)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(planner.plan([1.0]).action, planner.plan([1.0]).action)  # noise is drawn anew


def test_an_episode_ends_with_the_model():
    planner = MPPI(MODEL, **FEW, seed=0)
    lengths = []
    for _ in range(6):
        planner.act([1.0])
        assert planner.latest is not None
        lengths.append(planner.latest.actions.shape[1])
    assert lengths == [6, 5, 4, 3, 2, 1]
    with pytest.raises(InvalidArgument, match="reset"):
        planner.act([1.0])
    planner.reset()
    planner.act([1.0])
    assert planner.latest is not None
    assert planner.latest.time == 0
    with pytest.raises(InvalidArgument, match="rows"):
        planner.act([[1.0], [2.0]])


def test_a_plan_begins_with_that_of_the_step_before():
    planner = MPPI(MODEL, **FEW, horizon=3, seed=0)
    centre = torch.full((1, 2, 1), 7.0, dtype=torch.float64)
    found = planner.plan([1.0], 1, centre)
    drawn = found.plans.mean(1)[0, :, 0]  # noises come in opposite pairs, so that the mean is that of the proposal
    assert drawn.tolist() == pytest.approx([7.0, 7.0, 0.0], abs=1e-12)


def test_predict_has_the_form_of_stable_baselines():
    planner = MPPI(MODEL, **FEW, horizon=4, seed=0)
    action, state = planner.predict(np.array([[1.0], [2.0]]), None, np.array([True, True]), deterministic=True)
    assert isinstance(action, np.ndarray)
    assert action.shape == (2, 1)
    assert state[0].tolist() == [1, 1]
    action, state = planner.predict(np.array([[1.0], [2.0]]), state, np.array([False, True]))
    assert state[0].tolist() == [2, 1]
    single, _ = planner.predict(np.array([1.0]))
    assert single.shape == (1,)
    reference = MPPI(MODEL, **FEW, horizon=4, seed=5)
    other = MPPI(MODEL, **FEW, horizon=4, seed=5)
    memory = None
    for t in range(6):  # the memory that is passed around is that of `act`
        played = reference.act([[1.0 - 0.1 * t]])
        found, memory = other.predict(np.array([[1.0 - 0.1 * t]]), memory, deterministic=True)
        assert found == pytest.approx(played.numpy(), abs=1e-12)
    with pytest.raises(InvalidArgument, match="horizon"):
        other.predict(np.array([[1.0]]), memory)


def test_a_planner_plays_in_an_environment():
    model = LinearQuadraticModel(scalar(), 0.1, 4.0)
    found = rollout(to_gymnasium(model), MPPI(model, num_plans=64, num_noise_samples=8, seed=0), 8, seed=0)
    assert found.lengths.tolist() == [6] * 8
    exact = float(infer(model, 0.0).value)
    assert found.mean > exact - 3.0


def test_actions_stay_within_the_bounds_of_the_prior():
    model = models.continuous_zoo()["windy_pendulum"].model()
    for planner in planners(model, seed=0):
        found = planner.plan([[0.5, 3.0], [-0.5, -3.0]])
        assert bool((found.plans.abs() <= 6).all())
        assert float(found.plans.abs().amax()) > 4
    leaning = MPPI(model, num_plans=512, num_noise_samples=16, seed=0).plan([[0.26, 0.0], [-0.26, 0.0]])
    assert float(leaning.action[0, 0]) < -2 < 2 < float(leaning.action[1, 0])


def test_the_box_has_the_density_that_is_drawn_from():
    planner = MPPI(models.continuous_zoo()["windy_pendulum"].model(), num_plans=4000, num_noise_samples=1, seed=0)
    proposal = planner.world.proposal(0, torch.zeros(1, 2, dtype=torch.float64), 1, None, 1.0)
    proposal = proposal.continued(torch.full((1, 1, 1), 4.0, dtype=torch.float64))
    nodes = torch.linspace(-6, 6, 4001, dtype=torch.float64)[1:-1]
    density = proposal.log_density(nodes[None, :, None, None])[0, :, 0].exp()
    assert float(density.sum() * 12 / 4000) == pytest.approx(1.0, abs=1e-3)
    torch.manual_seed(0)
    drawn = proposal.draw(40_000)[0, :, 0, 0]
    exact = float((density * nodes).sum() * 12 / 4000)
    assert float(drawn.mean()) == pytest.approx(exact, abs=0.03)


def test_a_terminal_value_is_counted_once():
    """A window with the exact value of the dial is the problem itself: the first action of a policy's Q."""
    value = infer(MODEL, 0.0)
    planner = MPPI(MODEL, num_plans=4000, num_noise_samples=32, horizon=1, terminal_value=value, num_sweeps=2, seed=0)
    found = planner.plan([[1.0]] * 16)
    effective = infer(MODEL, 0.0)
    assert float(found.action.mean()) == pytest.approx(-float(effective.gain[0]), abs=0.02)
    assert float(found.value.mean()) == pytest.approx(float(value.v(0, torch.tensor([1.0]))), abs=0.05)
    last = planner.plan([1.0], 5)  # the window that ends with the model has no value after it
    assert float(last.value[0]) == pytest.approx(float(value.v(5, torch.tensor([1.0]))), abs=0.05)


def test_tables_have_the_known_answers():
    model = TabularModel(models.restaurant())
    free = MPPI(model, optimism=1.0, num_plans=20_000, num_noise_samples=1, seed=0).plan(0)
    assert float(free.centre[0, 0, 0]) == pytest.approx(0.620749, abs=0.015)
    assert float(free.value[0]) == pytest.approx(6.514996, abs=0.05)
    clamped = MPPI(model, num_plans=2000, num_noise_samples=200, seed=0).plan(0)
    assert float(clamped.centre[0, 0, 1]) == pytest.approx(0.890903, abs=0.03)
    assert free.action.tolist() == [0]
    assert clamped.action.tolist() == [1]
    by_value = SMCPlanner(model, num_plans=2000, num_noise_samples=200, terminal_value=infer(model, 0.0), seed=0)
    assert float(by_value.plan(0).centre[0, 0, 1]) == pytest.approx(0.890903, abs=0.03)
    assert CEM(model, num_noise_samples=64, seed=0).act(0).item() == 1


def test_a_table_is_played_with_an_exact_terminal_value():
    model = TabularModel(models.frozen_lake(), 0.02)
    value = infer(model, 0.0)
    planner = MPPI(model, horizon=1, num_plans=256, num_noise_samples=64, terminal_value=value, seed=0)
    found = planner.plan([0, 4, 8, 14])
    assert (found.centre[:, 0] - value.policy[0, [0, 4, 8, 14]]).abs().max() < 0.15
    assert rollout(to_gymnasium(model.mdp), planner, 4, seed=0, deterministic=True, max_episode_steps=30).returns.shape


def test_a_plan_without_weight_is_an_error():
    mdp = models.restaurant()
    forbidden = TabularModel(mdp.replace(reward=torch.full_like(mdp.reward, -torch.inf)))
    with pytest.raises(InvalidArgument, match="state"):
        MPPI(forbidden, seed=0, **FEW).act(0)


def test_rewards_of_nan_are_named():
    zero = torch.zeros(1, dtype=torch.float64)
    model = ContinuousModel(
        dist.Delta(zero).to_event(1), lambda t, s, a: dist.Normal(s + a, 1.0).to_event(1),
        lambda t, s, a, ahead: torch.where(s > 100, torch.nan, 0.0).sum(-1), 3, 1.0,
        dist.Normal(zero, 1.0).to_event(1),
    )  # fmt: skip
    with pytest.raises(InvalidProblem, match="nan"):
        MPPI(model, seed=0, **FEW).act([200.0])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"optimism": 0.5}, "terminal_value"),
        ({"temperature": ESS(0.3), "optimism": 1.0}, "temperature"),
        ({"optimism": 1.0, "threshold": 2.0}, "threshold"),
    ],
)
def test_smc_refuses_what_it_cannot_do(given, named):
    with pytest.raises(InvalidArgument, match=named):
        SMCPlanner(MODEL, **given)


def test_other_models_are_refused_by_name():
    with pytest.raises(InvalidArgument, match="temperature"):
        MPPI(LinearQuadraticModel(scalar(), 0.0))
    with pytest.raises(InvalidArgument, match="discount"):
        MPPI(LinearQuadraticModel(scalar(discount=0.9)))
    with pytest.raises(InvalidArgument, match="model"):
        MPPI(LinearQuadraticModel)
    with pytest.raises(InvalidArgument, match="ESS"):
        CEM(MODEL, temperature=ESS(0.1))
    assert PlanStatus.degenerate.ended_early is False
