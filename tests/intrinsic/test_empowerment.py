"""Empowerment against a channel that is enumerated in numpy, and where it is known."""

import itertools
import math

import numpy as np
import pytest
import torch
from windy_room import transitions, windy_room

from pgm_control import (
    Empowerment,
    EmpowermentStatus,
    InvalidArgument,
    TabularMDP,
    TabularModel,
    empowerment,
)
from pgm_control.models import frozen_lake


def enumerated(start, horizon, steps=400):
    """The capacity of the channel from all plans, one by one, by the plain iteration; a lower and an upper bound."""
    p = transitions()
    rows = []
    for plan in itertools.product(range(5), repeat=horizon):
        state = np.eye(25)[start]
        for action in plan:
            state = state @ p[:, action]
        rows.append(state)
    rows = np.array(rows)
    at, distance = np.full(len(rows), 1 / len(rows)), np.zeros(len(rows))
    for _ in range(steps):
        mixed = at @ rows
        distance = (rows * np.log(np.where(rows > 0, rows, 1.0) / np.where(mixed > 0, mixed, 1.0))).sum(1)
        at = at * np.exp(distance)
        at /= at.sum()
    return at @ distance, distance.max()


def test_the_windy_room_has_the_known_value():
    found = empowerment(TabularModel(windy_room()), states=[12])
    assert float(found.value) == pytest.approx(0.7559, abs=5e-5)
    low, high = enumerated(12, 4)
    assert low - 1e-6 <= float(found.value) <= high
    assert found.status is EmpowermentStatus.converged
    assert float(found.gap) <= 1e-6


@pytest.mark.parametrize("start", [0, 2, 12])
def test_shorter_plans_from_other_cells(start):
    found = empowerment(windy_room(), horizon=2, states=[start])
    low, high = enumerated(start, 2)
    assert low - 1e-6 <= float(found.value) <= high


def test_without_wind_it_counts_the_cells_in_reach():
    found = empowerment(windy_room(wind=0.0, size=7), horizon=3)
    for state, value in zip(found.states.tolist(), found.value.tolist(), strict=True):
        row, column = divmod(state, 7)
        near = sum(abs(row - r) + abs(column - c) <= 3 for r in range(7) for c in range(7))
        assert value == pytest.approx(math.log(near), abs=1e-6)


def test_the_plans_that_are_used_have_the_information():
    found = empowerment(windy_room(), horizon=3, states=[0, 12])
    p = transitions()
    for i, start in enumerate((0, 12)):
        rows = np.array(
            [np.linalg.multi_dot([np.eye(25)[start], *(p[:, a] for a in plan)]) for plan in found.plans[i].tolist()]
        )
        at = found.probability[i].numpy()
        mixed = at @ rows
        ratio = np.where(rows > 0, rows, 1.0) / np.where(mixed > 0, mixed, 1.0)
        assert float((at[:, None] * rows * np.log(ratio)).sum()) == pytest.approx(float(found.value[i]), abs=1e-6)
        assert at.sum() == pytest.approx(1.0, abs=1e-12)


def test_an_absorbing_state_has_none_and_more_steps_are_not_less():
    lake = frozen_lake()
    found = empowerment(lake, horizon=2)
    assert float(found.value[lake.num_states - 1]) == 0.0
    still = windy_room(wind=0.0)
    values = [float(empowerment(still, horizon=n, states=[12]).value) for n in (1, 2, 3)]
    assert values == sorted(values)


def test_forbidden_actions_are_in_no_plan():
    room = windy_room(wind=0.0)
    prior = torch.full((25, 5), 1 / 3, dtype=torch.float64)
    prior[:, 2:4] = 0.0
    found = empowerment(TabularModel(room, 1.0, action_prior=prior), horizon=2, states=[0])
    assert float(found.value) == pytest.approx(math.log(6), abs=1e-6)  # right and down only, in up to two steps
    reward = torch.zeros(25, 5, 1, dtype=torch.float64)
    blocked = TabularMDP(room.initial, room.probability[..., :1], room.successor[..., :1], reward, 2)
    reward = reward.clone()
    reward[:, 0] = -math.inf
    without = TabularMDP(room.initial, room.probability[..., :1], room.successor[..., :1], reward, 2)
    fewer, more = (float(empowerment(each, states=[12]).value) for each in (without, blocked))
    assert fewer == pytest.approx(math.log(9), abs=1e-6)
    assert more == pytest.approx(math.log(13), abs=1e-6)


def test_a_discount_adds_an_end_that_tells_nothing():
    found = empowerment(windy_room(wind=0.0).replace(discount=0.8), horizon=1, states=[12])
    assert float(found.value) == pytest.approx(0.8 * math.log(5), abs=1e-6)


def test_dynamics_by_time_are_taken_in_their_order():
    room = windy_room(wind=0.0, horizon=2)
    frozen = windy_room(wind=0.0, horizon=2)
    stay = torch.zeros_like(room.probability)
    tables = torch.stack((room.probability, room.probability))
    twice = TabularMDP(room.initial, tables, room.successor, torch.zeros_like(tables), 2)
    assert float(empowerment(twice, states=[12]).value) == pytest.approx(math.log(13), abs=1e-6)
    p = np.stack((transitions(wind=0.0), np.broadcast_to(np.eye(25)[:, None], (25, 5, 25))))
    successor = np.broadcast_to(np.arange(25), (25, 5, 25)).copy()
    timed = TabularMDP(frozen.initial, p, successor, np.zeros_like(p), 2)
    assert float(empowerment(timed, states=[12]).value) == pytest.approx(math.log(5), abs=1e-6)
    with pytest.raises(InvalidArgument, match="`horizon` must be at most 2"):
        empowerment(timed, horizon=3)
    assert stay.sum() == 0


def test_refusals_name_the_argument():
    room = windy_room()
    with pytest.raises(InvalidArgument, match="`horizon` must be short enough"):
        empowerment(room, max_plans=100)
    with pytest.raises(InvalidArgument, match="`states`"):
        empowerment(room, states=[25])
    with pytest.raises(InvalidArgument, match="`states` must be a list of indices of states"):
        empowerment(room, states=[])
    prior = torch.eye(5, dtype=torch.float64)[torch.arange(25) % 2]
    with pytest.raises(InvalidArgument, match="must have a plan of 4 actions"):
        empowerment(TabularModel(room, 1.0, action_prior=prior), states=[12])


def test_too_few_steps_are_said(capsys):
    found = empowerment(windy_room(), horizon=2, states=[12], max_steps=3)
    assert found.status is EmpowermentStatus.out_of_steps
    assert float(found.gap) > 1e-6
    assert isinstance(found, Empowerment)
    assert "max_steps" in repr(found)
