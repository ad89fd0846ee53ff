"""Blocks that end in odd ways, lie over each other, have no room, or are made by functions that differ in precision."""

import json
import sys
import threading

import numpy as np
import pytest
import torch
from block_problems import Garnet, solved

from pgm_control import (
    BlockValues,
    InvalidArgument,
    InvalidCheckpoint,
    InvalidProblem,
    TabularModel,
    value_iteration,
    value_iteration_blocks,
)
from pgm_control.inference.infinite_horizon.blocks.cut import Cut, block_tables
from pgm_control.problems.mdp import TabularMDP

COMMON = (0.5, 1.0, 0.9)


class Ended(BaseException):
    """The end of a library that is no Exception."""


def raising(error, first):
    """A function of tables, of a prior or of values that raises in the blocks from state `first` on."""

    whole = Garnet(30)

    def tables(start, stop):
        if start >= first:
            raise error
        return whole(start, stop)

    return tables


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Ended("x"), GeneratorExit(), ValueError("x")])
@pytest.mark.parametrize("first", [0, 15])
def test_a_block_that_ends_in_an_odd_way_ends_all(error, first):
    found = []

    def run():  # in a thread, which a failure of this test leaves behind instead of waiting for ever
        try:
            value_iteration_blocks(raising(error, first), 30, 4, 5, *COMMON, num_blocks=3)
        except BaseException as raised:
            found.append(raised)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert found == [error]


def test_a_prior_or_a_start_that_ends_in_an_odd_way_ends_all():
    def leave(start, stop):
        return sys.exit(1) if start else np.full((stop - start, 4), 0.25)

    with pytest.raises(SystemExit):
        solved(Garnet(30), *COMMON, num_blocks=2, action_prior=leave)
    with pytest.raises(SystemExit):
        solved(Garnet(30), *COMMON, num_blocks=2, initial_value=lambda a, b: sys.exit(1) if a else np.zeros(b - a))


def test_a_result_may_be_saved_over_itself(tmp_path):
    found = solved(Garnet(100), *COMMON, num_blocks=3)
    found.save(tmp_path)
    loaded, other = BlockValues.load(tmp_path), BlockValues.load(tmp_path)
    loaded.save(tmp_path)
    changed = solved(Garnet(100), 0.5, -1.0, 0.9, num_blocks=3)
    for each in (loaded, BlockValues.load(tmp_path)):
        assert torch.equal(each.value(range(100)), found.value(range(100)))
        assert torch.equal(each.policy(range(100)), found.policy(range(100)))
    changed.save(tmp_path)
    assert torch.equal(other.value(range(100)), found.value(range(100))), "who has loaded it keeps it"
    assert torch.equal(BlockValues.load(tmp_path).value(range(100)), changed.value(range(100)))
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_named_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "inside"
    asked = []

    def counted(start, stop):
        asked.append(start)
        return Garnet(30)(start, stop)

    with pytest.raises(InvalidArgument, match=r"`folder` must be a folder that can be written, but .* Not a directory"):
        value_iteration_blocks(counted, 30, 4, 5, *COMMON, folder=inside)
    assert asked == []
    with (
        solved(Garnet(30), *COMMON) as found,
        pytest.raises(InvalidArgument, match="`folder` must be a folder that can be written"),
    ):
        found.save(inside)


@pytest.mark.parametrize(
    "change",
    [{"num_sweeps": np.inf}, {"error_bound": -1.0}, {"error_bound": np.nan}, {"bounds": [0, np.inf]}],
    ids=str,
)
def test_facts_that_nobody_writes_are_refused(tmp_path, change):
    solved(Garnet(30), *COMMON).save(tmp_path)
    path = tmp_path / "blocks.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InvalidCheckpoint, match="cannot be read as a saved result"):
        BlockValues.load(tmp_path)


def test_a_prior_has_the_precision_of_the_tables():
    p, successor, reward = Garnet(90)(0, 90)
    rows = np.random.default_rng(0).dirichlet(np.ones(4), size=90)
    of32 = [torch.tensor(each, dtype=torch.float32) for each in (np.full(90, 1 / 90), p, reward)]
    mdp = TabularMDP(of32[0], of32[1], successor, of32[2], horizon=1, discount=0.9)
    for given, whole in ((lambda a, b: rows[a:b], rows), (rows[0], np.tile(rows[0], (90, 1)))):
        one = value_iteration(TabularModel(mdp, 0.5, action_prior=whole), 1.0, method="value_iteration")
        found = value_iteration_blocks(
            Garnet(90), 90, 4, 5, *COMMON, action_prior=given, num_blocks=4, dtype=torch.float32
        )
        assert torch.equal(found.value(range(90)), one.v)
        assert torch.equal(found.policy(range(90)), one.policy)
        assert (found.error_bound, found.num_sweeps) == (one.error_bound, one.num_sweeps)


def test_nothing_is_sent_for_impossible_outcomes():
    def padded(start, stop):  # two outcomes, of which the second is impossible and leads anywhere
        states = np.arange(start, stop)[:, None, None]
        successor = np.concatenate(((states + 1) % 60, (states * 37 + 11) % 60), -1)
        return (
            np.broadcast_to([1.0, 0.0], successor.shape),
            successor,
            np.broadcast_to(states == 5, successor.shape) * 1.0,
        )

    cut = Cut.even(60, 3)
    assert [block_tables(padded, cut, rank, 1, 2, torch.float64).ghosts.tolist() for rank in range(3)] == [
        [20], [40], [0],
    ]  # fmt: skip
    one = value_iteration_blocks(padded, 60, 1, 2, *COMMON)
    found = value_iteration_blocks(padded, 60, 1, 2, *COMMON, num_blocks=3)
    assert torch.equal(found.value(range(60)), one.value(range(60)))
    assert found.num_ghosts == (1, 1, 1)


def test_rows_of_several_lengths_are_refused_in_words():
    with pytest.raises(InvalidProblem, match="`probability` must be a rectangular array of numbers"):
        value_iteration_blocks(lambda a, b: ([[1], [1, 2]], [[0]], [[0]]), 2, 1, 2, *COMMON)


def test_tables_of_all_blocks_must_fit_into_memory(monkeypatch):
    monkeypatch.setattr("pgm_control.runtime.memory.free_memory", lambda: 100e6)  # enough for each block alone
    with pytest.raises(InvalidArgument, match=r"`num_states` must fit into memory.*`client`"):
        value_iteration_blocks(Garnet(30), 500_000, 4, 5, *COMMON, num_blocks=4)
