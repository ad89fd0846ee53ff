"""Tests of the frontier of true returns by optimism, and of the critical optimism."""

import csv
import json

import numpy as np
import pytest
import torch

from pgm_control import (
    InvalidArgument,
    Optimism,
    Risk,
    TabularMDP,
    TabularModel,
    critical_optimism,
    evaluate,
    frontier,
    infer,
)
from pgm_control.models import frozen_lake, restaurant, slippery_cliff, windy_bridge


def test_the_price_of_optimism_on_the_cliff():
    found = frontier(TabularModel(slippery_cliff()), [-1.0, 0.0, 0.1, 0.3, 1.0])
    earned = [point.true_return for point in found.points]
    assert earned == pytest.approx([-49.88, -49.80, -74.40, -300.93, -486.21], abs=5e-3)
    assert found.best.optimism == 0.0
    assert [point.delusion >= -1e-9 for point in found.points] == [False, True, True, True, True]
    assert [point.cvar for point in found.points] == pytest.approx([-50, -50, -185.78, -716.40, -1049.11], abs=5e-3)
    assert [point.deviation for point in found.points] == pytest.approx([1.272, 1.738, 51.73, 201.38, 283.27], abs=5e-3)


def test_a_mild_optimism_helps_on_the_lake_but_not_beyond_the_best():
    """Avoiding holes costs nats in every step: the max-ent policy pays few and soon falls into a hole. An optimistic
    policy expects to reach the goal and pays more. Its ELBO is lower; a lower temperature earns a higher return."""
    mdp = frozen_lake()
    model = TabularModel(mdp, 0.02)
    found = frontier(model, [0.0, 0.05, 0.2], target=1.0)
    assert [point.success for point in found.points] == pytest.approx([0.1576, 0.3599, 0.1066], abs=5e-5)
    assert found.best.optimism == 0.05
    assert found.points[1].imagined_return == pytest.approx(0.8252, abs=5e-5)
    for beta, nats, steps in ((0.0, 4.404, 12.28), (0.05, 18.088, 24.93)):
        exact = infer(model, beta)
        account = evaluate(model, exact.policy)  # in the true world: its ELBO is return / τ minus the nats paid
        assert account.true_return / 0.02 - account.elbo == pytest.approx(nats, abs=5e-4)
        visits = model.blocks().replace(log_policy=exact.policy.log()).marginals()
        assert visits.state[:-1, :-1].sum().item() == pytest.approx(steps, abs=5e-3)  # the last state is "ended"
    assert evaluate(model, infer(model, 0.05).policy).elbo < infer(model, 0.0).objective
    colder = {
        tau: [evaluate(TabularModel(mdp, tau), infer(TabularModel(mdp, tau), b)).true_return for b in (0.0, 0.05)]
        for tau in (0.01, 0.005)
    }
    assert colder[0.01] == pytest.approx([0.5901, 0.5090], abs=5e-5)
    assert colder[0.005] == pytest.approx([0.7212, 0.5151], abs=5e-5)
    hard = TabularModel(model.mdp, 0.0)
    assert evaluate(TabularModel(model.mdp), infer(hard, 0.0)).true_return == pytest.approx(0.7441902878)


def test_parts_of_blocks_may_have_their_own_optimism():
    wind = Optimism({"own": 0.0, "wind": 1.0}, 0.0)
    found = frontier(TabularModel(windy_bridge()), [0.0, wind], cvar_level=None)
    assert found.points[1].true_return == pytest.approx(-16.17, abs=5e-3)
    assert found.points[0].cvar is None


def test_a_frontier_is_printed_and_saved(tmp_path):
    found = frontier(TabularModel(restaurant()), [0.0, Optimism(1.0)], target=6.0)
    lines = str(found).splitlines()
    assert len(lines) == 5
    assert "CVaR 10 %" in lines[0]
    assert "P(return ≥ 6)" in lines[0]
    assert found._repr_html_().count("<tr>") == 3
    found.save(tmp_path / "frontier.json")
    assert (
        json.loads((tmp_path / "frontier.json").read_text())["points"][0]["true_return"] == found.points[0].true_return
    )
    found.save(tmp_path / "frontier.csv")
    with open(tmp_path / "frontier.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["success"]) for row in rows] == [point.success for point in found.points]
    assert rows[1]["optimism"].startswith("Optimism(dynamics=1.0")
    with pytest.raises(InvalidArgument, match=r"`path` must end in .json or .csv"):
        found.save(tmp_path / "frontier.txt")


def test_the_critical_optimism_of_the_restaurant():
    found = critical_optimism(TabularModel(restaurant()), "hungry")
    assert float(found) == pytest.approx(0.345580, abs=5e-7)
    assert (found.before, found.after) == (1, 0)
    back = critical_optimism(TabularModel(restaurant()), 0, between=(1.0, 0.0))
    assert float(back) == pytest.approx(float(found), abs=1e-8)
    assert (back.before, back.after) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"state": "full"}, r"`state` must be the name of a state, .* but is 'full'; the MDP has hungry"),
        ({"state": 9}, r"`state` must be the name or the index of a state, 0 to 3, but is 9"),
        ({"state": 4}, r"`state` must be the name or the index of a state, 0 to 3, but is 4"),
        ({"state": 0, "t": 1}, r"`t` must be a step, 0 to 0, but is 1"),
        ({"state": 0, "tolerance": 0.0}, r"`tolerance` must be a positive number"),
        pytest.param(
            {"state": 0, "between": (Risk(-1.0), Risk(1.0))},
            r"pair of numbers β, .* Pass θτ for a Risk\(θ\), with τ = 1 here",
            marks=pytest.mark.wrong_types,
        ),
        ({"state": 0, "between": (0.0, 0.3)}, r'in state "hungry", but at 0 and at 0.3 it is "French". Widen it'),
    ],
)
def test_invalid_arguments_of_critical_optimism_are_refused(arguments, words):
    with pytest.raises(InvalidArgument, match=words):
        critical_optimism(TabularModel(restaurant()), **arguments)


@pytest.mark.parametrize("seed", range(20))
def test_equal_actions_do_not_flip(seed):
    """The same outcomes in another order differ by rounding only, which does not change the preferred action."""
    rng = np.random.default_rng(seed)
    p, r, order = rng.dirichlet(np.ones(4)), 3.0 * rng.normal(size=4), rng.permutation(4)
    mdp = TabularMDP([1.0], [[p, p[order]]], np.zeros((1, 2, 4), int), [[r, r[order]]], horizon=3)
    for low in (-2.0, -0.7, 0.0, 0.4):
        with pytest.raises(InvalidArgument, match="Widen it"):
            critical_optimism(TabularModel(mdp, 0.5), 0, between=(low, low + 1.3))


def test_the_optimism_may_be_an_array():
    model = TabularModel(restaurant())
    wanted = frontier(model, [0.0, 0.5, 1.0])
    assert frontier(model, np.linspace(0, 1, 3)) == frontier(model, torch.linspace(0, 1, 3)) == wanted
    assert frontier(model, [np.float32(0.0), np.float64(0.5), torch.tensor(1.0)]) == wanted
    assert {type(point.optimism) for point in frontier(model, [np.int64(0), np.float32(1.0)]).points} == {float}
    with pytest.raises(InvalidArgument, match="`optimism` must hold at least one β"):
        frontier(model, np.float64(0.3) * np.ones(0))


def test_an_empty_frontier_is_refused():
    with pytest.raises(InvalidArgument, match="`optimism` must hold at least one β"):
        frontier(TabularModel(restaurant()), [])
    with pytest.raises(InvalidArgument, match="`cvar_level` must be a share"):
        frontier(TabularModel(restaurant()), [0.0], cvar_level=2.0)
