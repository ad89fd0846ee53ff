"""A posterior whose whole tables do not fit into memory is that with whole tables, a step at a time."""

import pytest
import torch
from timed_models import FEATURES, timed_model

from pgm_control import InvalidArgument, KLBudget, Optimism, Risk, TabularModel, evaluate, infer
from pgm_control.inference.exact.tables import TablesByStep
from pgm_control.models import windy_bridge
from pgm_control.models.grid_world import grid_world
from pgm_control.runtime import memory


@pytest.fixture
def room(monkeypatch):
    """A function that sets the free memory, in numbers of float64."""

    def of(numbers):
        monkeypatch.setattr(memory, "_SMALL", 0)
        monkeypatch.setattr(memory, "free_memory", lambda: 8.0 * numbers)

    return of


def again(whole, room):
    """The same posterior in a memory that holds V and the visits, but no table of all steps."""
    room(2 * whole.v.numel())
    found = infer(whole.model, whole.optimism)
    assert isinstance(found.tables, TablesByStep)
    return found


def require_equal(by_step, whole):
    """Values, tables of each step, visits, samples and numbers."""
    same = {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(by_step.v, whole.v, **same)
    assert by_step.value == pytest.approx(whole.value, abs=1e-11)
    assert by_step.objective == pytest.approx(whole.objective, abs=1e-11)
    torch.testing.assert_close(by_step.initial, whole.initial, **same)
    for t in range(whole.model.mdp.horizon):
        (q, blocks), (exact, expected) = by_step.at(t), whole.at(t)
        torch.testing.assert_close(q, exact, **same)
        torch.testing.assert_close(exact, whole.q[t], rtol=0, atol=0)
        torch.testing.assert_close(blocks.policy, whole.policy[t], **same)
        torch.testing.assert_close(blocks.dynamics, whole.dynamics[t], **same)
        torch.testing.assert_close(blocks.survival, expected.survival, **same)
        torch.testing.assert_close(expected.survival, whole.blocks().survival[t], **same)
    visits = by_step.visits()
    torch.testing.assert_close(visits.state, whole.visits().state, **same)
    for ours, theirs in zip(by_step.sample(2, seed=0), whole.sample(2, seed=0), strict=True):
        assert torch.equal(ours, theirs)


def steps(low, high):
    return torch.linspace(low, high, 12, dtype=torch.float64)[:, None]


OPTIMISMS = [
    0.0,
    1.0,
    0.4,
    -0.5,
    Optimism(0.0, 1.0),
    Optimism(1.0, 1.0, survival=1.0),
    Optimism(0.4, 1.0, survival=-0.5),
    Optimism({"own": 0.0, "wind": 1.0}, 0.5),
    Optimism(steps(-1, 1)[..., None], 0.5, survival=steps(0, 1)),
]


@pytest.mark.parametrize("optimism", OPTIMISMS, ids=str)
@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_it_equals_whole_tables_for_every_optimism(optimism, discount, room):
    model = TabularModel(windy_bridge().replace(discount=discount), 0.7)
    whole = infer(model, optimism)
    exact = whole.marginals().state, evaluate(model, whole).imagined_return
    by_step = again(whole, room)
    require_equal(by_step, whole)
    torch.testing.assert_close(by_step.visits().state, exact[0], rtol=0, atol=1e-12)
    assert by_step.visits().imagined_return == pytest.approx(exact[1], abs=1e-11)
    if whole.is_free:
        assert by_step.log_evidence == pytest.approx(whole.log_evidence, abs=1e-11)


@pytest.mark.parametrize("optimism", [0.0, Risk(0.6)], ids=str)
def test_it_equals_whole_tables_at_temperature_0(optimism, room):
    whole = infer(TabularModel(windy_bridge(), 0.0), optimism)
    require_equal(again(whole, room), whole)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("optimism", [0.0, 1.0, -0.3])
def test_it_equals_whole_tables_where_something_depends_on_time(feature, optimism, room):
    whole = infer(timed_model(feature), optimism)
    require_equal(again(whole, room), whole)


@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_it_equals_whole_tables_on_a_large_grid(optimism, room):
    rows = ["S" + "." * 38 + "G", *["." * 19 + "##" + "." * 19] * 19, *["." * 40] * 19, "H" + "." * 39]
    model = TabularModel(grid_world(rows, horizon=60, slip=0.2, step_reward=-0.1), 0.3)
    whole = infer(model, optimism)
    require_equal(again(whole, room), whole)


def test_whole_tables_are_refused_with_their_size_and_made_once_they_fit(room):
    whole = infer(TabularModel(windy_bridge(), 0.7), 1.0)
    by_step = again(whole, room)
    size = f"{12 * 17 * (3 * (2 + 6) + 1) * 8 / 1024:.3g} KiB"
    for read in (
        lambda: by_step.q,
        lambda: by_step.policy,
        lambda: by_step.dynamics,
        lambda: by_step.advantage,
        by_step.blocks,
        by_step.marginals,
        by_step.mode,
        by_step,
    ):
        with pytest.raises(InvalidArgument, match=rf"believed dynamics of 12 steps need {size}.*\.at\(t\)"):
            read()
    room(1e6)
    torch.testing.assert_close(by_step.q, whole.q)
    torch.testing.assert_close(by_step.dynamics, whole.dynamics)


def test_values_that_do_not_fit_evidence_and_budgets_are_refused(room):
    model = TabularModel(windy_bridge(), 0.7)
    room(13 * 17 - 1)
    with pytest.raises(InvalidArgument, match="the values of 12 steps need"):
        infer(model, 1.0)
    room(442)
    for given in ({"evidence": {"action_0": 0}}, {"optimism": KLBudget(dynamics=0.1)}):
        with pytest.raises(InvalidArgument, match="the values, the policy and the believed dynamics of 12 steps"):
            infer(model, **{"optimism": 1.0, **given})


@pytest.mark.wrong_types
@pytest.mark.parametrize("bad", [-1, 12, 0.5, None])
def test_a_step_that_does_not_exist_is_refused(bad):
    with pytest.raises(InvalidArgument, match="`t` must be a step, a whole number from 0 to 11"):
        infer(TabularModel(windy_bridge(), 0.7), 1.0).at(bad)


def test_it_moves_and_shows_itself(room):
    whole = infer(TabularModel(windy_bridge(), 0.7), 0.4)
    by_step = again(whole, room)
    narrow = by_step.to(dtype=torch.float32)
    assert narrow.v.dtype == narrow.at(3).q.dtype == narrow.at(3).blocks.dynamics.dtype == torch.float32
    torch.testing.assert_close(narrow.at(3).blocks.policy.double(), whole.policy[3], rtol=0, atol=1e-5)
    assert by_step.to() is by_step
    assert repr(by_step) == repr(whole)
