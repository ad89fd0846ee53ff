"""Value iteration over blocks in one process: that of one machine bit for bit, however the states are cut."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from block_problems import Garnet, Grid, evaluated, maskings, solved
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import bellman as by_definition
from strategies import laws

from pgm_control import (
    BlockValues,
    InvalidArgument,
    InvalidCheckpoint,
    InvalidProblem,
    TabularModel,
    ValueStatus,
    mdp_from_blocks,
    policy_evaluation,
    policy_evaluation_blocks,
    value_iteration,
    value_iteration_blocks,
)
from pgm_control.inference.infinite_horizon.blocks.cut import Cut, block_tables

PAIRS = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.5, -0.7))  # (τ, β)


def one_machine(problem, temperature, optimism, discount=0.95, tolerance=1e-8, prior=None, dtype=torch.float64, **more):
    states, actions, outcomes = problem.shape
    mdp = mdp_from_blocks([problem(0, states)], states, actions, outcomes, horizon=1, discount=discount, dtype=dtype)
    model = TabularModel(mdp, temperature, action_prior=prior)
    return value_iteration(model, optimism, tolerance, method="value_iteration", **more)


def same(found, one):
    """Whether all numbers are the same, bit for bit."""
    states = range(found.num_states)
    assert torch.equal(found.value(states), one.v)
    assert torch.equal(found.action_value(states), one.q)
    assert torch.equal(found.policy(states), one.policy)
    assert (found.error_bound, found.num_sweeps, found.status) == (one.error_bound, one.num_sweeps, one.status)
    assert torch.equal(found.span_history, one.span_history)


@pytest.mark.parametrize(("temperature", "optimism"), PAIRS)
@pytest.mark.parametrize("problem", [Garnet(3000), Garnet(3000, forbidden=0.02), Grid(40)], ids=str)
def test_blocks_are_one_machine_bit_for_bit(problem, temperature, optimism):
    one = one_machine(problem, temperature, optimism)
    for blocks in (1, 2, 3, 5):
        found = solved(problem, temperature, optimism, 0.95, 1e-8, num_blocks=blocks)
        same(found, one)
        assert sum(found.num_sent) == 8 * sum(found.num_ghosts)


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "optimism"), PAIRS)
@pytest.mark.parametrize("problem", [Garnet(50_000), Garnet(50_000, forbidden=0.02), Grid(220)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_large_blocks_are_one_machine_bit_for_bit(problem, temperature, optimism, masked):
    """Some sweeps of each; `python -m tests.benchmarks.state_blocks equal` makes all."""
    prior = maskings(problem.num_actions) if masked else None
    rows = None if prior is None else prior(0, problem.num_states)
    one = one_machine(problem, temperature, optimism, 0.99, 1e-6, rows, max_sweeps=20)
    for blocks in (2, 5):
        found = solved(problem, temperature, optimism, 0.99, 1e-6,
            num_blocks=blocks, action_prior=prior, max_sweeps=20,
        )  # fmt: skip
        same(found, one)


@laws
@given(
    states=st.integers(2, 24),
    blocks=st.integers(1, 6),
    pair=st.sampled_from([*PAIRS, (0.0, 0.0), (2.0, 0.3)]),
    forbidden=st.sampled_from([0.0, 0.1, 0.4]),
    masked=st.booleans(),
    padded=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 2**20),
)
def test_any_cut_of_any_problem(states, blocks, pair, forbidden, masked, padded, seed):
    problem = Garnet(max(states, 31), 3, 2, seed, forbidden, padded)  # fewer than half of the states: never dense
    prior = maskings(3, seed) if masked else None
    rows = None if prior is None else prior(0, problem.num_states)
    temperature, optimism = pair
    one = one_machine(problem, temperature, optimism, 0.9, 1e-9, rows)
    cut = min(blocks, problem.num_states)
    same(solved(problem, *pair, 0.9, 1e-9, num_blocks=cut, action_prior=prior), one)


def test_the_fixed_point_by_definition():
    problem = Garnet(40, 3, 4, forbidden=0.1)
    p, successor, reward = problem(0, 40)
    found = solved(problem, 0.3, -0.5, 0.9, 1e-10, num_blocks=3)
    v = found.value(range(40)).numpy()
    _, again = by_definition(p, successor, reward, np.full((40, 3), 1 / 3), 0.3, -0.5, 0.9, v)
    assert np.allclose(again.astype(float), v, atol=1e-9, rtol=0)
    assert found.error_bound <= 1e-10


def test_float32_tables_and_a_prior_that_counts():
    problem = Garnet(500, 4, 3, forbidden=0.05)
    one = one_machine(problem, 0.5, 0.0, dtype=torch.float32)
    same(solved(problem, 0.5, 0.0, 0.95, 1e-8, num_blocks=3, dtype=torch.float32), one)
    one = one_machine(problem, 0.5, 1.0, prior="count")
    same(solved(problem, 0.5, 1.0, 0.95, 1e-8, num_blocks=3, action_prior="count"), one)
    row = [0.7, 0.0, 0.2, 0.1]
    one = one_machine(problem, 0.5, 1.0, prior=np.tile(row, (500, 1)))
    same(solved(problem, 0.5, 1.0, 0.95, 1e-8, num_blocks=3, action_prior=row), one)


def test_dead_ends_go_from_block_to_block():
    def corridor(start, stop):  # one action goes on; the last state is forbidden
        states = np.arange(start, stop)[:, None, None]
        successor = np.minimum(states + np.array([[1], [0]]), 99)
        reward = np.where((states == 98) & (np.array([[0], [1]]) == 0), -np.inf, 0.0)
        return np.ones(successor.shape), successor, reward

    def on(start, stop):
        return np.tile([1.0, 0.0], (stop - start, 1))

    found = value_iteration_blocks(corridor, 100, 2, 1, 1.0, 0.0, 0.9, num_blocks=7, action_prior=on)
    assert found.value(range(100)).tolist() == [-np.inf] * 99 + [0.0]
    both = value_iteration_blocks(corridor, 100, 2, 1, 0.0, 0.0, 0.9, num_blocks=7)
    assert both.value([0, 98]).tolist() == [0.0, 0.0]
    assert both.action_value([98]).tolist() == [[-np.inf, 0.0]]


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_a_policy_has_the_value_of_one_machine(temperature):
    problem = Garnet(2000, forbidden=0.0)
    policy = maskings(4)
    mdp = mdp_from_blocks([problem(0, 2000)], 2000, 4, 5, horizon=1, discount=0.95)
    one = policy_evaluation(TabularModel(mdp, temperature), policy(0, 2000), 1e-10)
    found = evaluated(problem, policy, temperature, 0.95, 1e-10, num_blocks=3)
    assert (found.value(range(2000)) - one.v).abs().max() < 3e-10
    assert (found.action_value(range(2000)) - one.q).abs().max() < 3e-10
    assert torch.equal(found.policy([7, 5]), torch.as_tensor(policy(0, 2000))[[7, 5]])


def test_a_policy_that_can_be_lost_is_lost():
    garnet = Garnet(300, 2, 2, forbidden=0.1)
    policy = maskings(2)

    def problem(start, stop):  # nothing is forbidden in the first half, which is never left
        p, successor, reward = garnet(start, stop)
        safe = (np.arange(start, stop) < 150)[:, None, None]
        return p, np.where(safe, successor % 150, successor), np.where(safe, 1.0, reward)

    mdp = mdp_from_blocks([problem(0, 300)], 300, 2, 2, horizon=1, discount=0.9)
    one = policy_evaluation(TabularModel(mdp, 0.0), policy(0, 300), 1e-9)
    found = policy_evaluation_blocks(problem, 300, 2, 2, policy, 0.0, 0.9, 1e-9, num_blocks=4)
    assert torch.equal(found.value(range(300)) == -torch.inf, one.v == -torch.inf)
    assert torch.equal(found.action_value(range(300)) == -torch.inf, one.q == -torch.inf)
    assert bool((one.v == -torch.inf).any())
    assert bool((one.v > -torch.inf).any())


def slow(progress_steps):
    """A progress function that stops the run by Ctrl-C at a step."""
    return lambda step, metrics: signal.raise_signal(signal.SIGINT) if step == progress_steps else None


def test_ctrl_c_ends_and_the_folder_goes_on_bit_for_bit(tmp_path):
    problem, common = Garnet(600), (0.5, 1.0, 0.99, 1e-9)
    whole = solved(problem, *common, num_blocks=3)
    cut = solved(problem, *common, num_blocks=3, folder=tmp_path, save_every=7, progress=slow(45))
    assert cut.status is ValueStatus.interrupted
    assert cut.num_sweeps == 47  # all agree in the sweep after, and one more certifies
    found = solved(problem, *common, num_blocks=3, folder=tmp_path, save_every=7)
    assert torch.equal(found.value(range(600)), whole.value(range(600)))
    assert (found.num_sweeps, found.error_bound) == (whole.num_sweeps, whole.error_bound)
    assert torch.equal(found.span_history, whole.span_history)


def test_blocks_saved_at_different_sweeps_go_on_from_the_last_that_all_have(tmp_path):
    problem, common = Garnet(600), (0.5, 1.0, 0.99, 1e-9)
    whole = solved(problem, *common, num_blocks=3)
    for sweeps in (20, 27):
        solved(problem, *common, num_blocks=3, folder=tmp_path, save_every=1000, max_sweeps=sweeps)
    newest = sorted(tmp_path.glob("block_0_200_*.pt"), key=os.path.getmtime)[-1]
    newest.unlink()  # the first block died before it saved
    found = solved(problem, *common, num_blocks=3, folder=tmp_path)
    assert torch.equal(found.value(range(600)), whole.value(range(600)))
    assert found.num_sweeps == whole.num_sweeps
    for path in tmp_path.glob("block_200_400_*.pt"):
        path.unlink()  # a block without any file: its values are zeros, the others go on from theirs
    again = solved(problem, *common, num_blocks=3, folder=tmp_path)
    assert (again.value(range(600)) - whole.value(range(600))).abs().max() <= 2e-9
    assert again.status is ValueStatus.converged


def test_a_folder_of_another_problem_is_refused(tmp_path):
    common = (0.5, 1.0, 0.9, 1e-6)
    solved(Garnet(60), *common, num_blocks=2, folder=tmp_path)
    with pytest.raises(InvalidCheckpoint, match="belongs to another run: its problem was"):
        solved(Garnet(60, seed=1), *common, num_blocks=2, folder=tmp_path)
    with pytest.raises(InvalidCheckpoint, match="its temperature was"):
        solved(Garnet(60), 0.4, 1.0, 0.9, num_blocks=2, folder=tmp_path)
    path = next(tmp_path.glob("*.pt"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InvalidCheckpoint, match="not a whole checkpoint"):
        solved(Garnet(60), *common, num_blocks=2, folder=tmp_path)


def test_results_are_saved_and_loaded(tmp_path):
    problem = Garnet(100)
    found = solved(problem, 0.5, 1.0, 0.9, num_blocks=3)
    found.save(tmp_path)
    loaded = BlockValues.load(tmp_path)
    for read in ("value", "action_value", "policy"):
        assert torch.equal(getattr(loaded, read)([99, 0, 33, 0]), getattr(found, read)([99, 0, 33, 0]))
    assert repr(loaded) == repr(found)
    assert torch.equal(loaded.span_history, found.span_history)
    loaded.save(tmp_path / "copy")
    assert torch.equal(BlockValues.load(tmp_path / "copy").value(range(100)), found.value(range(100)))
    facts = json.loads((tmp_path / "blocks.json").read_text())
    for broken in ({**facts, "bounds": [0, 5]}, {**facts, "status": "good"}, {"bounds": [0]}, []):
        (tmp_path / "blocks.json").write_text(json.dumps(broken))
        with pytest.raises(InvalidCheckpoint):
            BlockValues.load(tmp_path)
    (tmp_path / "blocks.json").write_text(json.dumps(facts))
    (tmp_path / "policy_0.npy").write_bytes((tmp_path / "value_0.npy").read_bytes())
    with pytest.raises(InvalidCheckpoint, match="must hold"):
        BlockValues.load(tmp_path)


def test_reading_states():
    problem = Garnet(50)
    with solved(problem, 0.5, 1.0, 0.9, num_blocks=4) as found:
        every = found.value(range(50))
        assert torch.equal(found.value([49, 3, 3, 20]), every[[49, 3, 3, 20]])
        assert found.value(np.zeros(0, dtype=int)).shape == (0,)
        assert found.policy(np.zeros(0, dtype=int)).shape == (
            0,
            4,
        )
        for states in ([50], [-1], [[0]], 3):
            with pytest.raises(InvalidArgument, match="`states` must be a vector of states, 0 to 49"):
                found.value(states)
        with pytest.raises(InvalidArgument, match="`states` must hold integers"):
            found.value([0.5])
    with pytest.raises(InvalidArgument, match="closed"):
        found.value([0])


def test_bad_tables_name_their_block():
    problem = Garnet(100)

    def broken(start, stop):
        p, successor, reward = problem(start, stop)
        if start <= 70 < stop:
            p = p.copy()
            p[70 - start, 1] *= 1.1
        return p, successor, reward

    with pytest.raises(InvalidProblem, match=r"`probability\[20, 1\]` must sum to 1.*Index 0 .* is state 50 of"):
        value_iteration_blocks(broken, 100, 4, 5, 0.5, 1.0, 0.9, num_blocks=2)
    for wrong, said in (
        (lambda a, b: problem(a, b)[:2], "must return"),
        (lambda a, b: problem(0, 100), "has 100 states. Return 50"),
        (lambda a, b: None, "must return"),
    ):
        with pytest.raises(InvalidProblem, match=said):
            value_iteration_blocks(wrong, 100, 4, 5, 0.5, 1.0, 0.9, num_blocks=2)
    with pytest.raises(ZeroDivisionError):
        value_iteration_blocks(lambda a, b: 1 / 0, 100, 4, 5, 0.5, 1.0, 0.9, num_blocks=2)
    with pytest.raises(InvalidArgument, match="Index 0 of this block is state 50"):
        solved(problem, 0.5, 1.0, 0.9, num_blocks=2,
            action_prior=lambda a, b: np.full((b - a, 4), 0.25 if a == 0 else 0.3),
        )  # fmt: skip
    with pytest.raises(InvalidArgument, match="`num_blocks` must be at most the 100 states"):
        solved(problem, 0.5, 1.0, 0.9, num_blocks=101)


def test_initial_values_are_a_start_and_not_the_answer():
    problem = Garnet(100)
    one = solved(problem, 0.5, 1.0, 0.9, 1e-9, num_blocks=2)
    from_far = solved(problem, 0.5, 1.0, 0.9, 1e-9, num_blocks=2, initial_value=lambda a, b: np.full(b - a, 1e4))
    assert (one.value(range(100)) - from_far.value(range(100))).abs().max() <= 2e-9
    near = solved(problem, 0.5, 1.0, 0.9, 1e-9, num_blocks=2, initial_value=lambda a, b: one.value(range(a, b)))
    assert near.num_sweeps < one.num_sweeps / 3


def test_values_that_leave_float64_are_said():
    def huge(start, stop):
        states = np.arange(start, stop)[:, None, None]
        successor = np.broadcast_to(states, (stop - start, 1, 1))
        return np.ones(successor.shape), successor, np.full(successor.shape, 1e308)

    found = value_iteration_blocks(huge, 4, 1, 1, 0.0, 0.0, 0.9, num_blocks=2)
    assert found.status is ValueStatus.not_finite
    assert found.error_bound == np.inf


def test_ghosts_are_the_states_of_others_that_are_read():
    problem = Garnet(90)
    cut = Cut.even(90, 4)
    for rank in range(4):
        start, stop = cut.bounds[rank : rank + 2]
        tables = block_tables(problem, cut, rank, 4, 5, torch.float64)
        _, successor, _ = problem(start, stop)
        expected = sorted({int(each) for each in successor.flatten()} - set(range(start, stop)))
        assert tables.ghosts.tolist() == expected
        numbers = torch.cat((torch.arange(start, stop), tables.ghosts))
        assert torch.equal(numbers[tables.successor.long()], torch.as_tensor(successor).long())
