"""Freed survival without a horizon: whether the values have a limit, and which."""

import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import laws, mdp_of, problems

from pgm_control import (
    InvalidArgument,
    Optimism,
    SurvivalStatus,
    TabularMDP,
    TabularModel,
    freed_survival,
    growth_rate,
    infer,
)


def one_state(reward, discount=0.9):
    return TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[reward]]], horizon=400, discount=discount))


def test_with_negative_rewards_early_termination_is_inferred():
    found = freed_survival(one_state(-1.0))
    assert found.status is SurvivalStatus.bounded
    assert found.v.item() == pytest.approx(-2.90, abs=1e-3)
    assert found.v.item() == pytest.approx(infer(one_state(-1.0), Optimism(1.0, 1.0, 1.0)).value)
    assert infer(one_state(-1.0), Optimism(1.0, 1.0, 0.0)).value == pytest.approx(-10.0)
    assert "values converge" in repr(found)


def test_values_have_no_limit_if_rewards_outweigh_the_risk_of_termination():
    found = freed_survival(one_state(0.2))
    assert found.status is SurvivalStatus.unbounded
    assert "grow without bound" in repr(found)
    assert found.v.item() == np.inf
    assert found.growth.item() == pytest.approx(0.2 + np.log(0.9))
    values = [
        infer(TabularModel(one_state(0.2).mdp.replace(horizon=n)), Optimism(1.0, 1.0, 1.0)).value for n in (500, 600)
    ]
    assert (values[1] - values[0]) / 100 == pytest.approx(found.growth.item(), rel=1e-6)


def test_only_states_that_reach_the_rewarding_state_have_no_limit():
    mdp = TabularMDP([1, 0, 0], [[[1.0]]] * 3, [[[1]], [[1]], [[2]]], [[[-5.0]], [[0.2]], [[-1.0]]], 10, discount=0.9)
    found = freed_survival(TabularModel(mdp))
    assert found.v[:2].tolist() == [np.inf, np.inf]
    assert found.v[2].item() == pytest.approx(np.log(0.1 / (np.e - 0.9)))


@laws
@given(problems(discounted=False))
def test_the_values_solve_their_linear_equations(problem):
    mdp = mdp_of(problem).replace(discount=0.5, reward=torch.as_tensor(problem.reward) - 3.0)
    model = TabularModel(mdp, problem.temperature, torch.as_tensor(problem.prior))
    found = freed_survival(model)
    assert found.status is SurvivalStatus.bounded
    matrix = np.zeros((mdp.num_states, mdp.num_states))
    for s in range(mdp.num_states):
        for a, rho in problem.choices(s):
            for _, p, n, r in problem.outcomes(s, a):
                matrix[s, n] += rho * p * np.exp((r - 3.0) / problem.temperature)
    z = np.linalg.solve(np.eye(len(matrix)) - 0.5 * matrix, 0.5 * matrix.sum(1))
    np.testing.assert_allclose(np.exp(found.v.numpy() / problem.temperature), z, rtol=1e-8, atol=1e-300)


def test_certain_survival_is_refused():
    with pytest.raises(InvalidArgument, match=r"discount below 1.*growth_rate"):
        freed_survival(one_state(-1.0, discount=1.0))


def test_ctrl_c_during_the_growth_rate_raises_keyboard_interrupt(monkeypatch):
    def pressed(*arguments, **settings):
        return growth_rate(*arguments, **settings | {"tolerance": 1e-300})

    monkeypatch.setattr("pgm_control.inference.infinite_horizon.freed_survival.growth_rate", pressed)
    with pytest.raises(KeyboardInterrupt):
        freed_survival(one_state(-1.0), progress=lambda step, metrics: signal.raise_signal(signal.SIGINT))


def test_progress_a_limit_and_ctrl_c_of_the_sweeps():
    shown = []

    def press(step, metrics):
        if "change" in metrics:
            shown.append(metrics["change"])
            if len(shown) == 3:
                signal.raise_signal(signal.SIGINT)

    assert freed_survival(one_state(-1.0), progress=press).status is SurvivalStatus.interrupted
    assert len(shown) == 3
    assert shown[0] > shown[1] > shown[2]
    assert freed_survival(one_state(-1.0), max_sweeps=2).status is SurvivalStatus.out_of_steps
