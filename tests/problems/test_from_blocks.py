"""A large MDP that is built piece by piece equals the one built at once, and needs less memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import random_mdp
from strategies import laws, mdp_of, model_of, problems

from pgm_control import (
    FreeGuide,
    InvalidProblem,
    Optimism,
    TabularMDP,
    TabularModel,
    evaluate,
    fit,
    infer,
    mdp_from_blocks,
    value_iteration,
)
from pgm_control.problems import checks


def sizes(mdp):
    return mdp.num_states, mdp.num_actions, mdp.num_outcomes


def same(one, other):
    for name in ("initial", "probability", "reward"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    possible = other.probability > 0
    assert torch.equal(one.successor[possible].long(), other.successor[possible].long())


@laws
@given(problems(), st.integers(1, 3))
def test_blocks_make_the_same_mdp(problem, size):
    mdp = mdp_of(problem)
    tables = (problem.probability, problem.successor, problem.reward)
    blocks = (tuple(t[s : s + size] for t in tables) for s in range(0, mdp.num_states, size))
    made = mdp_from_blocks(blocks, *sizes(mdp), 3, 0.9, problem.initial)
    same(made, mdp)
    assert made.successor.dtype == torch.int32
    assert (made.horizon, made.discount, made.final_reward, made.state_names) == (3, 0.9, None, None)
    assert made.layout is None


def test_the_layout_is_kept():
    block = (np.ones((2, 1, 1)), np.zeros((2, 1, 1), int), np.zeros((2, 1, 1)))
    made = mdp_from_blocks([block], 2, 1, 1, 3, layout=[(0, 0), (1, 0)])
    assert made.layout == made.replace(horizon=4).layout == ((0, 0), (1, 0))
    with pytest.raises(InvalidProblem, match="`layout` must hold 2 places"):
        mdp_from_blocks([block], 2, 1, 1, 3, layout=[None])


@laws
@given(problems(), st.integers(1, 7), st.randoms(use_true_random=False))
def test_rows_in_any_order_make_the_same_mdp(problem, size, random):
    """The outcomes of one (state, action) come in their order; the pairs come in any order."""
    mdp = mdp_of(problem)
    pairs = [(s, a) for s in range(mdp.num_states) for a in range(mdp.num_actions)]
    random.shuffle(pairs)
    tables = (problem.probability, problem.successor, problem.reward)
    rows = [(s, a, *(t[s, a, k] for t in tables)) for s, a in pairs for k in range(mdp.num_outcomes)]
    chunks = [
        tuple(np.array(column) for column in zip(*rows[i : i + size], strict=True)) for i in range(0, len(rows), size)
    ]
    for given_rows in (chunks, rows):
        made = mdp_from_blocks(iter(given_rows), *sizes(mdp), mdp.horizon, initial=problem.initial, of_rows=True)
        same(made, mdp)


def test_short_rows_are_padded():
    made = mdp_from_blocks([(np.ones((2, 1, 1)), [[[1]], [[0]]], np.ones((2, 1, 1)))], 2, 1, 3, 5)
    assert made.probability.tolist() == [[[1.0, 0.0, 0.0]]] * 2
    assert made.initial.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("impossible", [False, True])
def test_rewards_that_are_broadcast_over_outcomes_are_stored_once(impossible, monkeypatch):
    """Unless an outcome is impossible, whose reward is 0; the values are the same in every case."""
    rng, shape = np.random.default_rng(0), (30, 2, 3)
    p, successor, reward = (
        rng.dirichlet(np.ones(3), shape[:2]),
        rng.integers(30, size=shape),
        rng.normal(size=shape[:2]),
    )
    if impossible:
        p[17, 1] = [0.5, 0.5, 0.0]
    start, wide = np.eye(30)[0], np.broadcast_to(reward[..., None], shape)
    plain = TabularMDP(start, p, successor, wide.copy(), 1, 0.9)
    monkeypatch.setattr(checks, "LARGE", 1)
    blocks = [(p[s : s + 5], successor[s : s + 5], wide[s : s + 5]) for s in range(0, 30, 5)]
    mixed = [(*block[:2], block[2].copy() if i == 4 else block[2]) for i, block in enumerate(blocks)]
    tensor = torch.from_numpy(reward)[..., None].expand(shape)
    found = {
        "array": TabularMDP(start, p, successor, wide, 1, 0.9),
        "tensor": TabularMDP(start, p, successor, tensor, 1, 0.9),
        "blocks": mdp_from_blocks(blocks, *shape, 1, 0.9, start),
        "mixed": mdp_from_blocks(mixed, *shape, 1, 0.9, start),
    }
    for name, mdp in found.items():
        assert torch.equal(mdp.reward, plain.reward)
        assert (mdp.reward.stride(-1) == 0) == (name != "mixed" and not impossible)
        assert mdp.reward.data_ptr() != tensor.data_ptr()
        for temperature, beta in ((0.0, 0.0), (0.3, 0.0), (0.3, 1.0)):
            one, other = (value_iteration(TabularModel(each, temperature), beta, 1e-9).v for each in (mdp, plain))
            torch.testing.assert_close(one, other, rtol=0, atol=2e-9)
        torch.testing.assert_close(*(infer(TabularModel(each), 1.0).v for each in (mdp, plain)))


def test_small_successors_work_everywhere():
    """int32 tables give the same results as int64 tables in inference, guides, forward sweeps and Pyro."""
    wide = random_mdp(seed=3, horizon=4, discount=0.9)
    small = wide.replace(successor=wide.successor.to(torch.int32))
    assert small.successor.dtype == torch.int32
    models = [TabularModel(mdp, 0.7) for mdp in (wide, small)]
    for beta in (0.0, 1.0, -0.5):
        one, other = (infer(model, beta) for model in models)
        assert torch.equal(one.q, other.q)
        assert one.objective == other.objective
    results = [repr(evaluate(model, infer(model, 1.0))) for model in models]
    assert results[0] == results[1]
    guide = FreeGuide(models[1])
    guide()
    models[1]()
    assert fit(models[1], guide, method="natural_gradient").elbo == pytest.approx(
        fit(models[0], FreeGuide(models[0]), method="natural_gradient").elbo, abs=1e-9
    )
    free = [infer(model, Optimism(1.0, 1.0, 1.0)).mode() for model in models]
    assert repr(free[0]) == repr(free[1])


@laws
@given(problems())
def test_small_successors_on_awkward_problems(problem):
    model = model_of(problem)
    small = TabularModel(
        model.mdp.replace(successor=model.mdp.successor.to(torch.int32)), problem.temperature, model.action_prior
    )
    assert torch.equal(infer(model, 1.0).v, infer(small, 1.0).v)


def test_errors_name_the_block():
    good = (np.ones((1, 1, 1)), np.zeros((1, 1, 1), dtype=int), np.zeros((1, 1, 1)))
    bad_sum, bad_state, bad_reward = (
        (good[0] * 0.5, *good[1:]), (good[0], good[1] + 7, good[2]), (*good[:2], good[2] + np.nan)
    )  # fmt: skip
    for blocks, message in (
        ([good, bad_sum], r"must sum to 1 .* Index 0 of this block is state 1 of"),
        ([good, bad_state], r"must be a state, 0 to 1, but is 7"),
        ([good, bad_reward], r"is nan"),
        ([good], r"must give 2 states in all"),
        ([good, good, good], r"at most 0 states left"),
        ([good[:2]], r"must give triples"),
    ):
        with pytest.raises(InvalidProblem, match=message):
            mdp_from_blocks(iter(blocks), 2, 1, 1, 1)


def test_errors_of_rows():
    def make(*rows, outcomes=1):
        return mdp_from_blocks(iter(rows), 1, 1, outcomes, 1, of_rows=True)

    for rows, message in (
        ([(0, 0, 0.5, 0, 0.0)], "must sum to 1"),
        ([(0, 0, 0.5, 0, 0.0), (0, 0, 0.5, 0, 0.0)], "`num_outcomes` must be at least"),
        ([(1, 0, 1.0, 0, 0.0)], "`state` in `blocks`"),
        ([(0, 0, 1.0, 5, 0.0)], "`successor` in `blocks`"),
        ([(0, 0, 1.0, 0)], "five each time"),
        ([([0, 0], [0, 0], [1.0], [0, 0], [0.0, 0.0])], "one length"),
    ):
        with pytest.raises(InvalidProblem, match=message):
            make(*rows)
    with pytest.raises(InvalidProblem, match="`num_states` must be"):
        mdp_from_blocks([], 0, 1, 1, 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux gives it")
def test_memory_peaks_at_little_more_than_the_tables():
    """The growth of peak memory in a new process is near 20 bytes for each outcome, for the tables and a solution."""
    code = """
import resource, numpy as np, torch
from pgm_control import TabularModel, mdp_from_blocks
from pgm_control.inference.infinite_horizon.value_iteration import value_iteration
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
torch.set_num_threads(1)
def make(states, size=2000):
    rng = np.random.default_rng(0)
    def blocks():
        for s in range(0, states, size):
            p = rng.random((size, 4, 5))
            yield p / p.sum(-1, keepdims=True), rng.integers(states, size=p.shape, dtype=np.int32), rng.random(p.shape)
    return mdp_from_blocks(blocks(), states, 4, 5, 1, 0.9)
value_iteration(TabularModel(make(8000), 0.0), 0.0)
value_iteration(TabularModel(make(8000), 0.5), 0.0)
before, states = peak(), 300_000
mdp = make(states)
made = peak()
value_iteration(TabularModel(mdp, 0.0), 0.0)
value_iteration(TabularModel(mdp, 0.5), 0.0)
print((made - before) / (states * 400), (peak() - before) / (states * 400))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    made, solved = map(float, ran.stdout.split())
    assert made < 1.1
    assert solved < 1.3
