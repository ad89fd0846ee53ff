"""One setting with clamped or free blocks: the loops of its own agree with those of many settings and with torch."""

import gc
import weakref

import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import Optimism, TabularMDP, TabularModel, infer, soft_values
from pgm_control.inference.exact.backward.many_settings import ManySettings
from pgm_control.inference.exact.backward.one_setting import one_setting
from pgm_control.kernels.backend import kernels_for

pytest.importorskip("numba", reason="needs the extra `fast`")

FLOAT = torch.float64
both = pytest.mark.parametrize("optimism", [0.0, 1.0])


@pytest.fixture(autouse=True)
def compiled_loops(monkeypatch):
    monkeypatch.delenv("PGM_CONTROL_BACKEND", raising=False)


def odd_model(seed: int) -> TabularModel:
    """A problem of random sizes, with one or more of: padding, common successors, wide or tiny or infinite rewards."""
    rng = np.random.default_rng(seed)
    states, actions, outcomes, horizon = (int(rng.integers(*ends)) for ends in ((1, 7), (1, 5), (1, 5), (2, 9)))
    p = rng.dirichlet(np.ones(outcomes), (states, actions))
    if rng.random() < 0.5:
        p[..., 1:] *= rng.random(p[..., 1:].shape) < rng.choice([0.2, 0.7])
        p = np.where(p.sum(-1, keepdims=True) > 0, p, 1.0)
        p /= p.sum(-1, keepdims=True)
    if outcomes > 1 and rng.random() < 0.1:
        p[0, 0] = np.eye(int(outcomes))[0]
        p[0, 0, 1] = 1e-60
    successor = rng.integers(states, size=p.shape)
    if rng.random() < 0.2:
        successor[...] = np.arange(outcomes) % states
    scale = 10 ** rng.uniform(-6, 4)
    reward, last = rng.normal(size=p.shape) * scale, rng.normal(size=states) * scale
    if rng.random() < 0.2:
        reward[rng.random(p.shape) < 0.2] = -np.inf
    if rng.random() < 0.2:
        last[0] = -np.inf
    if rng.random() < 0.2:
        reward, last = np.zeros(p.shape), np.zeros(states)
    start = rng.dirichlet(np.ones(states)) if rng.random() < 0.5 else np.eye(int(states))[0]
    prior = rng.dirichlet(np.ones(actions), states)
    if actions > 1 and rng.random() < 0.3:
        prior[:, 0], prior[:, 1] = 0.0, prior[:, 1] + prior[:, 0]
    mdp = TabularMDP(start, p, successor, reward, horizon, rng.choice([1.0, 0.9, 0.3]).item(), last)
    return TabularModel(mdp, 10 ** rng.uniform(-2, 2), None if rng.random() < 0.5 else prior)


def the_long_way(model: TabularModel, dynamics: float, initial: float, *tables: torch.Tensor) -> list[torch.Tensor]:
    kernels = kernels_for(model.mdp.probability, model.mdp.horizon)
    inputs = (*tables, None, model.temperature, dynamics, initial, None, None)
    return list(ManySettings.apply(kernels, model, 0.0, torch.Size(), *inputs))


def require_near(one: torch.Tensor, other: torch.Tensor, tolerance: float, scale: torch.Tensor | None = None) -> None:
    finite = other.isfinite()
    torch.testing.assert_close(one[~finite], other[~finite], equal_nan=True)
    if finite.any():
        scale = other[finite].abs().max() if scale is None else scale
        assert (one - other)[finite].abs().max() <= tolerance * scale


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 400), marks=pytest.mark.slow)])
@pytest.mark.parametrize("initial", [0.0, 1.0])
@both
def test_values_and_derivatives_equal_those_of_many_settings(optimism, initial, seeds):
    for seed in seeds:
        model = odd_model(seed)
        tables, results = (model.mdp.reward, model.mdp.final_reward), []
        for longer in (False, True):
            reward, last = (each.clone().requires_grad_() for each in tables)
            if longer:
                q, v, objective = the_long_way(model, optimism, initial, reward, last)
            else:
                found = soft_values(model, Optimism(optimism, initial), reward=reward, final_reward=last)
                q, v, objective = found.q, found.v, found.objective
            slopes = torch.autograd.grad(objective, (reward, last)) if objective.isfinite() else ()
            results.append([each.detach() for each in (q, v, objective, *slopes)])
        scale = results[1][1].nan_to_num(neginf=0.0).abs().max() / model.temperature  # in nats
        for one, other in zip(results[0][:2], results[1][:2], strict=True):
            require_near(one, other, 1e-12 if optimism else 5e-15)
        require_near(results[0][2], results[1][2], 1e-12 if optimism else 5e-15, scale + 0.1 * initial)
        for one, other in zip(results[0][3:], results[1][3:], strict=True):
            require_near(one, other, 1e-13 + (1e-15 * scale.item() if optimism or initial else 0.0))


@both
def test_posteriors_equal_those_of_torch(optimism, monkeypatch):
    for seed in range(60):
        model = odd_model(seed)
        compiled = infer(model, optimism)
        with monkeypatch.context() as patch:
            patch.setenv("PGM_CONTROL_BACKEND", "torch")
            expected = infer(model, optimism)
        nats = max(1.0, expected.v.nan_to_num(neginf=0.0).abs().max().item() / model.temperature)
        for name in ("initial", "policy", "dynamics"):
            one, other = getattr(compiled, name), getattr(expected, name)
            torch.testing.assert_close(one, other, rtol=0, atol=1e-13 * nats)
        require_near(compiled.q, expected.q, 1e-12)


@both
def test_derivatives_of_all_results_agree_with_finite_differences(optimism):
    mdp = random_mdp(seed=1, states=2, actions=2, outcomes=2, horizon=2, discount=0.9)
    model, last = TabularModel(mdp, 0.7), torch.tensor([0.3, -0.2], dtype=FLOAT, requires_grad=True)

    def results(reward, last):
        found = soft_values(model, optimism, reward=reward, final_reward=last)
        return found.q, found.v, found.value, found.objective

    reward = mdp.reward.clone().requires_grad_()
    assert torch.autograd.gradcheck(results, (reward, last), atol=1e-7)
    assert torch.autograd.gradgradcheck(results, (reward, last), atol=1e-6)


def test_derivatives_reach_what_the_rewards_are_made_of():
    model = TabularModel(random_mdp(seed=2, horizon=5), 0.5)
    weight = torch.tensor(2.0, dtype=FLOAT, requires_grad=True)
    found = soft_values(model, 1.0, reward=weight * model.mdp.reward)
    (slope,) = torch.autograd.grad(3.0 * found.value + found.objective, weight)
    step = 1e-6
    high, low = (soft_values(model, 1.0, reward=(2.0 + each) * model.mdp.reward) for each in (step, -step))
    numeric = (3.0 * (high.value - low.value) + high.objective - low.objective) / (2 * step)
    assert slope.item() == pytest.approx(numeric.item(), rel=1e-8)


@both
def test_tables_that_are_replaced_or_changed_in_place_are_read_again(optimism):
    mdp = random_mdp(seed=3, states=4, horizon=6).replace(final_reward=torch.zeros(4, dtype=FLOAT))
    model = TabularModel(mdp, 0.5, torch.full((4, 2), 0.5, dtype=FLOAT))
    infer(model, optimism)

    def require_current():
        fresh = TabularModel(mdp.replace(reward=mdp.reward.clone()), model.temperature, model.action_prior.clone())
        assert torch.equal(infer(model, optimism).q, infer(fresh, optimism).q)
        assert torch.equal(soft_values(model, optimism).v, infer(fresh, optimism).v)
        one, many = soft_values(model, optimism).v, soft_values(model, torch.tensor([optimism], dtype=FLOAT)).v
        torch.testing.assert_close(one, many[0], rtol=1e-12, atol=1e-12)

    model.action_prior = torch.tensor([[0.9, 0.1]], dtype=FLOAT).repeat(4, 1)
    require_current()
    model.action_prior[0] = torch.tensor([0.2, 0.8], dtype=FLOAT)
    require_current()
    model.temperature = 0.8
    require_current()
    mdp.reward.mul_(1.5)
    require_current()
    mdp.final_reward.add_(torch.arange(4.0))
    require_current()
    mdp.probability[0, 1] = torch.tensor([0.25, 0.5, 0.25], dtype=FLOAT)
    require_current()
    mdp.successor[0, 1] = torch.tensor([3, 2, 1])
    require_current()
    object.__setattr__(mdp, "reward", mdp.reward * 2)
    require_current()


def test_a_table_changed_between_the_two_sweeps_is_refused():
    model = TabularModel(random_mdp(seed=3, horizon=6), 0.5)
    leaf = model.mdp.reward.clone().requires_grad_()
    reward = leaf * 1.0
    found = soft_values(model, 1.0, reward=reward)
    with torch.no_grad():
        reward.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.objective.backward()


def test_tensors_of_inference_mode_are_read_every_time():
    with torch.inference_mode():
        model = TabularModel(random_mdp(seed=3, horizon=6), 0.5)
        before = infer(model, 1.0).value
        model.mdp.reward.mul_(2.0)
        assert infer(model, 1.0).value != before


def test_kept_tables_do_not_keep_the_problem():
    model = TabularModel(random_mdp(seed=3, horizon=6), 0.5)
    infer(model, 1.0)
    left = weakref.ref(model.mdp)
    del model
    gc.collect()
    assert left() is None


@pytest.mark.parametrize(
    ("optimism", "temperature", "discount"),
    [
        (0.5, 1.0, 1.0),
        (-1.0, 1.0, 1.0),
        (1.0, 0.0, 1.0),
        (Optimism(1.0, 1.0, 1.0), 1.0, 0.9),
        (torch.ones(2), 1.0, 1.0),
    ],
)
def test_other_settings_go_the_general_way(optimism, temperature, discount):
    model = TabularModel(random_mdp(seed=3, horizon=6, discount=discount))
    kernels = kernels_for(model.mdp.probability, 6)
    assert kernels is not None
    assert one_setting(kernels, model, optimism, temperature) is None
    assert one_setting(kernels, model, 1.0, 1.0) is not None


@both
def test_float32_stays_float32_and_rounds_the_answer_of_float64(optimism):
    mdp = random_mdp(seed=1, horizon=10)
    narrow, exact = TabularModel(mdp.to(dtype=torch.float32), 0.7), soft_values(TabularModel(mdp, 0.7), optimism)
    reward = narrow.mdp.reward.clone().requires_grad_()
    found = soft_values(narrow, optimism, reward=reward)
    found.objective.backward()
    assert {each.dtype for each in (*vars(found).values(), reward.grad)} == {torch.float32}
    torch.testing.assert_close(found.v.double(), exact.v, rtol=1e-6, atol=1e-6)


@both
def test_no_derivative_passes_through_a_reward_that_depends_on_the_other(optimism):
    model = TabularModel(random_mdp(seed=4, discount=0.9), 0.5)
    worth = torch.randn(model.mdp.num_states, dtype=FLOAT, requires_grad=True)

    def results(worth):
        found = soft_values(model, optimism, reward=worth[model.mdp.successor], final_reward=worth)
        return found.q, found.v, found.objective

    assert torch.autograd.gradcheck(results, worth, atol=1e-7)
    assert torch.autograd.gradgradcheck(results, worth, atol=1e-6)
