"""Array layouts of other libraries: exact round trips, equal answers, and errors for what a layout cannot hold."""

import inspect
import math
import re
import sys

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from scipy import sparse
from strategies import distributions, laws, mdp_of, problems, rewards

from pgm_control import (
    InvalidArgument,
    InvalidProblem,
    PartiallyObservedMDP,
    TabularMDP,
    TabularModel,
    infer,
    value_iteration,
)
from pgm_control.exchange import (
    feasible_prior,
    from_mdptoolbox,
    from_pymdp,
    from_quantecon,
    from_seals,
    to_dense,
    to_mdptoolbox,
    to_pymdp,
    to_quantecon,
    to_seals,
)
from pgm_control.exchange.dense import reward_table
from pgm_control.models import frozen_lake, risky_path, tiger


@st.composite
def dense(draw, infeasible=False):
    """Return (initial, p(s'|s, a), r(s, a)); with `infeasible`, some rewards are −inf, but never all of a state."""
    states, actions = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    p = np.array([[draw(distributions(states)) for _ in range(actions)] for _ in range(states)])
    r = np.array([[draw(rewards) for _ in range(actions)] for _ in range(states)])
    if infeasible:
        out = np.array([[draw(st.booleans()) for _ in range(actions)] for _ in range(states)])
        out[:, draw(st.integers(0, actions - 1))] = False
        r[out] = -np.inf
    return draw(distributions(states)), p, r


def by_successor(p, r):
    """Return r(s, a, s'), 0 for impossible transitions."""
    return np.where(p > 0, np.broadcast_to(r[..., None], p.shape), 0.0)


def at_odds(mdp, key):
    """Return, by loops, whether two possible outcomes with the same key differ in reward."""
    paid = {}
    for s, a, k in np.ndindex(*mdp.probability.shape):
        if mdp.probability[s, a, k] > 0:
            paid.setdefault(key(s, a, int(mdp.successor[s, a, k])), set()).add(float(mdp.reward[s, a, k]))
    return any(len(each) > 1 for each in paid.values())


def clamped_values(mdp, temperature=0.7):
    """Return the values of the clamped posterior."""
    return infer(TabularModel(mdp, temperature), 0.0).v.numpy()


def outcomes(mdp):
    """Return, by loops, p by (s, a, s', r): two problems that agree here give equal answers."""
    found = {}
    tables = zip(*(each.flatten(2).tolist() for each in (mdp.probability, mdp.successor, mdp.reward)), strict=True)
    for s, rows in enumerate(tables):
        for a, event in enumerate(zip(*rows, strict=True)):
            for p, n, r in zip(*event, strict=True):
                if p > 0:
                    found[s, a, n, r] = found.get((s, a, n, r), 0.0) + p
    return found


def same_problem(one, other):
    assert (one.horizon, one.discount) == (other.horizon, other.discount)
    assert one.initial.tolist() == pytest.approx(other.initial.tolist(), abs=1e-14)
    assert outcomes(one) == pytest.approx(outcomes(other), abs=1e-14)


KEYS = {
    "transition": lambda s, a, n: (s, a, n),
    "pair": lambda s, a, n: (s, a),
    "state": lambda s, a, n: s,
}


@laws
@given(problems())
def test_dense_arrays_give_the_same_problem_or_are_refused(problem):
    mdp = mdp_of(problem)
    if at_odds(mdp, KEYS["transition"]):
        with pytest.raises(InvalidArgument, match=r"merge=True for the expected reward.*free inference"):
            to_dense(mdp)
        merged = TabularMDP.from_dense(*to_dense(mdp, merge=True))
        np.testing.assert_allclose(clamped_values(merged), clamped_values(mdp), rtol=1e-9, atol=1e-9)
    else:
        arrays = to_dense(mdp)
        back = TabularMDP.from_dense(*arrays)
        same_problem(back, mdp)
        assert arrays.final_reward is None or arrays.final_reward.tolist() == mdp.final_reward.tolist()
        for first, second in zip(arrays, to_dense(back), strict=True):
            if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
                np.testing.assert_allclose(second, first, rtol=0, atol=1e-15)
            else:
                assert first == second


def test_dense_arrays_keep_names_and_layout():
    mdp = risky_path().replace(layout=[(0, 0), (0, 1), (1, 1), None])
    back = TabularMDP.from_dense(*to_dense(mdp))
    assert (back.state_names, back.action_names, back.layout) == (mdp.state_names, mdp.action_names, mdp.layout)


def test_merging_changes_the_answers_of_free_inference():
    """Two outcomes with one successor and the rewards 3 and 0 are not equivalent to one outcome with their mean."""
    mdp = gamble(probability=0.2, jackpot=3.0)
    model, merged = (TabularModel(each) for each in (mdp, TabularMDP.from_dense(*to_dense(mdp, merge=True))))
    free = [infer(each, 1.0).log_evidence for each in (model, merged)]
    worth = [math.log(0.2 * math.exp(3) + 0.8), 0.6]
    assert free == pytest.approx([math.log((math.exp(1) + math.exp(each)) / 2) for each in worth], abs=1e-12)


@laws
@given(dense(infeasible=True), st.sampled_from([0.5, 0.95, 1.0]), st.integers(1, 4))
def test_quantecon_round_trips_are_exact(arrays, discount, horizon):
    initial, p, r = arrays
    mdp = from_quantecon(r, p, discount, horizon=horizon, initial=initial)
    assert (mdp.horizon, mdp.discount) == (horizon, discount)
    back = to_quantecon(mdp)
    np.testing.assert_array_equal(back.reward, r)
    np.testing.assert_array_equal(back.transition, p)
    assert back[2:] == (discount, None, None)

    pairs = to_quantecon(mdp, "pairs")
    s, a = np.nonzero(r > -np.inf)
    np.testing.assert_array_equal([pairs.state_indices, pairs.action_indices], [s, a])
    np.testing.assert_array_equal(pairs.reward, r[s, a])
    np.testing.assert_array_equal(pairs.transition, p[s, a])
    shuffled = np.random.default_rng(0).permutation(len(s))
    order = (pairs.reward[shuffled], pairs.transition[shuffled], discount, s[shuffled], a[shuffled])
    for reward, transition, *rest in (pairs, order):
        for q in (transition, sparse.coo_matrix(transition), sparse.csc_array(transition)):
            again = from_quantecon(reward, q, *rest, horizon=horizon, initial=initial)
            for x, y in zip(to_quantecon(again, "pairs"), pairs, strict=True):
                np.testing.assert_array_equal(x, y)
            possible = [{at: p for at, p in outcomes(each).items() if at[3] > -math.inf} for each in (again, mdp)]
            assert possible[0] == pytest.approx(possible[1], abs=1e-14)


def test_quantecon_own_example():
    """Puterman's example in QuantEcon's documentation has v = −60/7, −20 and one infeasible pair."""
    r = [[5, 10], [-1, -math.inf]]
    mdp = from_quantecon(r, [[(0.5, 0.5), (0, 1)], [(0, 1), (0.5, 0.5)]], 0.95, horizon=1)
    nothing = from_quantecon(r, [[(0.5, 0.5), (0, 1)], [(0, 1), (0, 0)]], 0.95, horizon=1)
    listed = from_quantecon([5, 10, -1], [(0.5, 0.5), (0, 1), (0, 1)], 0.95, [0, 0, 1], [0, 1, 0], horizon=1)
    for each in (mdp, nothing, listed):
        v = value_iteration(TabularModel(each, 0.0), 0.0, tolerance=1e-10).v
        assert v.tolist() == pytest.approx([-60 / 7, -20], abs=1e-9)
        assert feasible_prior(each).tolist() == [[0.5, 0.5], [1.0, 0.0]]
        one, two = (TabularModel(each, 1.0, prior) for prior in (None, feasible_prior(each)))
        lost = infer(two, 0.0).v[0, 1] - infer(one, 0.0).v[0, 1]
        assert float(lost) == pytest.approx(math.log(2), abs=1e-12)


def test_feasible_prior_excludes_only_actions_with_all_outcomes_forbidden():
    table = torch.zeros(1, 3, 2, dtype=torch.float64)
    table[0, 0, 0], table[0, 1] = -torch.inf, -torch.inf
    mdp = TabularMDP([1.0], [[[0.5, 0.5]] * 3], [[[0, 0]] * 3], table, 1)
    assert feasible_prior(mdp).tolist() == [[0.5, 0.0, 0.5]]
    nowhere = mdp.replace(reward=torch.full_like(table, -torch.inf))
    assert feasible_prior(nowhere).tolist() == [[1 / 3] * 3]


@laws
@given(dense(), st.sampled_from(["transition", "pair", "state"]), st.sampled_from([0.5, 1.0]))
def test_mdptoolbox_and_seals_round_trips_are_exact(arrays, form, discount):
    initial, p, r = arrays
    table = {"transition": by_successor(p, r) - p, "pair": r, "state": r[:, 0]}[form]
    mine = table if form == "transition" else np.broadcast_to(table.reshape(len(r), -1), r.shape)
    mdp = TabularMDP.from_dense(initial, p, mine, 3, discount)

    first = (lambda x: x.transpose(1, 0, 2)) if form == "transition" else lambda x: x
    toolbox = p.transpose(1, 0, 2), first(table)
    lists = [sparse.csr_array(each) for each in toolbox[0]], [sparse.coo_matrix(each) for each in toolbox[1]]
    variants = [toolbox, (list(toolbox[0]), toolbox[1]), (lists[0], toolbox[1])]
    for given_p, given_r in variants + ([lists] if form == "transition" else []):
        read = from_mdptoolbox(given_p, given_r, discount, horizon=3, initial=initial)
        same_problem(read, mdp)
        assume(form != "state" or r.shape != (1, 1))
        written = to_mdptoolbox(read, form)
        np.testing.assert_array_equal(written.transitions, toolbox[0])
        np.testing.assert_array_equal(written.reward, toolbox[1])
        assert written.discount == discount

    read = from_seals(p, table, 3, initial, discount=discount)
    same_problem(read, mdp)
    written = to_seals(read.replace(discount=1.0), form)
    for one, other in zip(written, (p, table, 3, initial), strict=True):
        np.testing.assert_array_equal(one, other)


@laws
@given(problems(discounted=False), st.sampled_from(list(KEYS)))
def test_every_layout_holds_the_problem_or_refuses_it(problem, form):
    mdp = mdp_of(problem)
    refusals = "no place for it" if mdp.final_reward is not None else "cannot hold"
    writers = {
        "toolbox": lambda m: from_mdptoolbox(*to_mdptoolbox(m, form), horizon=m.horizon, initial=m.initial),
        "seals": lambda m: from_seals(*to_seals(m, form)),
    }
    if form == "pair":
        writers["quantecon"] = lambda m: from_quantecon(*to_quantecon(m), horizon=m.horizon, initial=m.initial)
    stuck = bool(((mdp.probability > 0) & (mdp.reward > -torch.inf)).any(-1).logical_not().all(-1).any())
    for name, there_and_back in writers.items():
        if mdp.final_reward is not None or at_odds(mdp, KEYS[form]):
            with pytest.raises(InvalidArgument, match=refusals):
                there_and_back(mdp)
        elif name == "quantecon" and stuck:
            with pytest.raises(InvalidProblem, match="must have a feasible action"):
                there_and_back(mdp)
        else:
            same_problem(there_and_back(mdp), mdp)
    if mdp.final_reward is None and form == "pair":
        merged = from_mdptoolbox(*to_mdptoolbox(mdp, "pair", merge=True), horizon=mdp.horizon, initial=mdp.initial)
        np.testing.assert_allclose(clamped_values(merged), clamped_values(mdp), rtol=1e-9, atol=1e-9)


def test_seals_own_example():
    mdp = risky_path(horizon=5)
    arrays = to_seals(mdp, "state")
    np.testing.assert_array_equal(arrays.reward_matrix, [0.0, 0.0, 1.0, -100.0])
    np.testing.assert_array_equal(arrays.transition_matrix[0, 1], [0.0, 0.0, 0.5, 0.5])
    assert from_seals(arrays.transition_matrix, arrays.reward_matrix, 5).initial.tolist() == [1.0, 0.0, 0.0, 0.0]
    same_problem(from_seals(**arrays._asdict()), mdp)


def test_errors_name_what_other_layouts_cannot_hold():
    mdp = random_mdp(0, discount=0.9)
    with pytest.raises(InvalidArgument, match=r"`mdp.discount` must be 1.*seals.*give the discount to the learner"):
        to_seals(mdp, merge=True)
    with pytest.raises(InvalidArgument, match="value after the last step"):
        to_quantecon(mdp.replace(final_reward=[1.0, 0.0, 0.0]))
    with pytest.raises(InvalidArgument, match=r"pays -?[\d.]+ or .* by chance for action 1 in state 0, which Quant"):
        to_quantecon(mdp)
    with pytest.raises(InvalidArgument, match=r"by state alone cannot hold.*rewards=\"pair\""):
        to_seals(TabularMDP.from_dense([1.0], [[[1.0], [1.0]]], [[1.0, 2.0]], 1), "state")
    with pytest.raises(InvalidArgument, match="`rewards` must be one of transition, pair, state"):
        inspect.unwrap(reward_table)(mdp, "outcome", "", False)  # without the type checks that the tests enable
    with pytest.raises(InvalidArgument, match="`form` must be one of product, pairs, sparse"):
        inspect.unwrap(to_quantecon)(mdp, "rows")
    states = 20_000
    large = TabularMDP(
        torch.full((states,), 1 / states), torch.ones(states, 1, 1), torch.zeros(states, 1, 1, dtype=torch.int64),
        torch.zeros(states, 1, 1), 1,
    )  # fmt: skip
    with pytest.raises(InvalidArgument, match=r"need 3 GiB. Use to_quantecon\(mdp, form='sparse'\)"):
        to_dense(large)


def test_errors_name_invalid_arrays():
    p, r = np.full((2, 2, 2), 0.5), np.zeros((2, 2))
    for wrong, words in (
        (lambda: from_quantecon(r, p[0], 0.9, horizon=1), "needs state_indices"),
        (lambda: from_quantecon(r[0], p[0], 0.9, [0, 1], None, horizon=1), "must both be given"),
        (lambda: from_quantecon(np.full((2, 2), -np.inf), p, 0.9, horizon=1), "feasible action"),
        (lambda: from_quantecon([1.0, 1.0], p[0], 0.9, [0, 0], [0, 0], horizon=1), "distinct pairs"),
        (lambda: from_quantecon([1.0, 1.0], p[0], 0.9, [0, 0], [0, 1], horizon=1), "feasible action"),
        (lambda: from_quantecon([1.0, 1.0], p[0], 0.9, [0, 2], [0, 1], horizon=1), "below 2"),
        (lambda: from_quantecon([1.0], p[0], 0.9, [0, 1], [0, 1], horizon=1), "one entry per pair"),
        (lambda: from_quantecon([1.0, 1.0], [[0, 1.0], [0, 0]], 0.9, [0, 1], [0, 0], horizon=1), "nothing but zeros"),
        (lambda: from_mdptoolbox(np.full((2, 2, 3), 1 / 3), r, horizon=1), r"one \(S, S\) matrix for each action"),
        (lambda: from_mdptoolbox(p, np.zeros(3), horizon=1), "two axes they are state and action"),
        (lambda: from_mdptoolbox(p, [[1.0], [1.0, 2.0]], horizon=1), "rectangular array of numbers.*Pad short rows"),
        (lambda: from_seals(p, np.zeros(3), 1), r"\(S\,\), \(S, A\) or \(S, A, S\)"),
        (lambda: from_seals(p, r, None), "`horizon` must be given"),
    ):
        with pytest.raises(InvalidProblem, match=words):
            wrong()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_arrays_normalised_in_a_narrow_dtype_are_read(dtype):
    p, start, r = np.full((7, 2, 7), 1 / 7, dtype), np.full(7, 1 / 7, dtype), np.zeros((7, 2), dtype)
    pairs = p.reshape(14, 7), 0.9, np.repeat(np.arange(7), 2), np.tile([0, 1], 7)
    read = [
        from_mdptoolbox(p.transpose(1, 0, 2), r, 0.9, horizon=3, initial=start),
        from_quantecon(r, p, 0.9, horizon=3, initial=start),
        from_quantecon(r.ravel(), *pairs, horizon=3, initial=start),
        from_seals(p, r, 3, start, discount=0.9),
        from_pymdp([np.eye(7, dtype=dtype)], [p.transpose(2, 0, 1)], D=[start], horizon=3).mdp.replace(discount=0.9),
    ]
    if dtype is np.float32:  # scipy's sparse matrices cannot be narrower
        matrices = [sparse.csr_array(each) for each in p.transpose(1, 0, 2)]
        read.append(from_mdptoolbox(matrices, r, 0.9, horizon=3, initial=start))
    exact = TabularMDP.from_dense(np.full(7, 1 / 7), np.full((7, 2, 7), 1 / 7), np.zeros((7, 2)), 3, 0.9)
    for mdp in read:
        same_problem(mdp, exact)


@pytest.mark.wrong_types
def test_errors_name_the_arrays_that_were_passed():
    p, r, bad = np.full((2, 2, 2), 0.5), np.zeros((2, 2)), np.array([[0.0, np.nan], [0.0, 0.0]])
    eye, stay = np.eye(2), np.stack([np.eye(2)] * 2, -1)
    indices = [0, 0, 1, 1], [0, 1, 0, 1]
    for wrong, name in (
        (lambda: from_pymdp([np.array([[0.9, 0.3], [0.9, 0.3]])], [stay], horizon=2), "A[0][0]"),
        (lambda: from_pymdp([eye], [0.9 * stay], horizon=2), "B[0][0, 0]"),
        (lambda: from_pymdp([eye], [stay], [[0.0, np.nan]], horizon=2), "C[0][1]"),
        (lambda: from_pymdp([eye], [stay], None, [[1.0, 1.0]], horizon=2), "D[0]"),
        (lambda: from_pymdp([eye], [stay], 3, horizon=2), "C"),
        (lambda: from_mdptoolbox(0.9 * p, r, horizon=2), "transitions[0][0]"),
        (
            lambda: from_mdptoolbox([sparse.csr_matrix(eye), sparse.csr_matrix(-eye)], r, horizon=2),
            "transitions[1][0, 0]",
        ),
        (lambda: from_mdptoolbox(3, r, horizon=2), "transitions"),
        (lambda: from_mdptoolbox(p, bad, horizon=2), "reward[0, 1]"),
        (lambda: from_mdptoolbox(p, [sparse.csr_matrix(bad), sparse.csr_array(r)], horizon=2), "reward[0][0, 1]"),
        (lambda: from_quantecon(bad, p, 0.9, horizon=2), "reward[0, 1]"),
        (lambda: from_quantecon(r, 0.9 * p, 0.9, horizon=2), "transition[0, 0]"),
        (lambda: from_quantecon(r.ravel(), 0.9 * p.reshape(4, 2), 0.9, *indices, horizon=2), "transition[0]"),
        (lambda: from_quantecon(r.ravel(), p.reshape(4, 2), 0.9, [0.5] * 4, indices[1], horizon=2), "state_indices"),
        (lambda: from_seals(0.9 * p, r, 2), "transition_matrix[0, 0]"),
        (lambda: from_seals(p, bad, 2), "reward_matrix[0, 1]"),
        (lambda: from_seals(p, r, 2, [0.5, 0.6]), "initial_state_dist"),
        (lambda: from_seals(p, r, 2, [1.0]), "initial_state_dist"),
    ):
        with pytest.raises(InvalidProblem, match="^" + re.escape(f"`{name}`")):
            wrong()


def jump(states):
    """A sparse matrix: from each state to the next, and from the last one to any."""
    row = np.append(np.arange(states - 1), np.full(states, states - 1))
    column = np.append(np.arange(1, states), np.arange(states))
    return sparse.coo_array((np.append(np.ones(states - 1), np.full(states, 1 / states)), (row, column)))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory in the units of Linux")
def test_one_dense_row_of_a_sparse_matrix_takes_little_memory():
    """The tables are as wide as the widest row, 20 bytes for each of 18 million places, most of which hold nothing."""
    import resource

    states = 3000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mdp = from_mdptoolbox([jump(states), jump(states)], np.zeros((states, 2)), 0.9, horizon=3)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert mdp.probability.shape == (states, 2, states)
    assert int((mdp.probability > 0).sum()) == 2 * (2 * states - 1)
    assert used < 200, f"{used:.0f} MiB"


def test_the_sparse_form_is_a_matrix_of_scipy():
    mdp = frozen_lake(horizon=5)
    arrays = to_quantecon(mdp, "sparse", merge=True)
    again = from_quantecon(*arrays, horizon=5, initial=mdp.initial)
    assert sparse.issparse(arrays.transition)
    np.testing.assert_array_equal(to_quantecon(again, "pairs").transition, arrays.transition.toarray())


def test_entries_given_twice_are_added():
    halves = sparse.coo_matrix(([0.5, 0.5, 1.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    read = from_mdptoolbox([halves], [halves], horizon=1)
    np.testing.assert_array_equal(read.reward[:, 0, 0], [1.0, 1.0])
    np.testing.assert_array_equal(read.successor[:, 0, 0], [1, 0])


@st.composite
def generative_models(draw):
    """Return A, B, C, D of pymdp with up to two factors and two modalities."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    controls = [draw(st.integers(1, 2)) for _ in sizes]
    seen = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))

    def table(outcomes, *rest):
        rows = [draw(distributions(outcomes)) for _ in range(int(np.prod(rest)))]
        return np.stack(rows, -1).reshape(outcomes, *rest)

    return (
        [table(o, *sizes) for o in seen],
        [table(n, n, m) for n, m in zip(sizes, controls, strict=True)],
        [np.array([draw(rewards) for _ in range(o)]) for o in seen],
        [draw(distributions(n)) for n in sizes],
    )


def utility(A, B, C, D, horizon, of):
    """Return values by backward induction over tuples of factors, by loops; `of` averages over outcomes."""
    sizes, controls = [len(d) for d in D], [b.shape[-1] for b in B]

    def arrived(s):
        """Return (probability, preference) of every possible observation."""
        return [
            (
                np.prod([a[(o_m, *s)] for a, o_m in zip(A, o, strict=True)]),
                sum(c[o_m] for c, o_m in zip(C, o, strict=True)),
            )
            for o in np.ndindex(*[len(a) for a in A])
        ]

    value = dict.fromkeys(np.ndindex(*sizes), 0.0)
    for _ in range(horizon):
        after = {}
        for s in value:
            worth = []
            for u in np.ndindex(*controls):
                outcomes = [
                    (np.prod([b[n_f, s_f, u_f] for b, n_f, s_f, u_f in zip(B, n, s, u, strict=True)]) * p, c + value[n])
                    for n in value
                    for p, c in arrived(n)
                ]
                worth.append(of(outcomes))
            after[s] = math.log(np.mean(np.exp(worth)))
        value = after
    return value


def free_value(outcomes):
    return math.log(sum(p * math.exp(x) for p, x in outcomes))


def clamped_value(outcomes):
    return sum(p * x for p, x in outcomes)


@laws
@given(generative_models(), st.sampled_from([0.5, 2.0]))
def test_pymdp_models_have_the_values_of_a_direct_computation(arrays, temperature):
    A, B, C, D = arrays
    horizon, first = 2, [len(d) for d in D]
    start = {s: np.prod([d[i] for d, i in zip(D, s, strict=True)]) for s in np.ndindex(*first)}
    split, merged = (
        from_pymdp(A, B, C, D, horizon=horizon, temperature=temperature, merge=merge) for merge in (False, True)
    )
    free = utility(A, B, C, D, horizon, free_value)
    evidence = math.log(sum(p * math.exp(free[s]) for s, p in start.items()))
    assert infer(TabularModel(split.mdp, temperature), 1.0).log_evidence == pytest.approx(evidence, abs=1e-9)
    clamped = utility(A, B, C, D, horizon, clamped_value)
    assert infer(TabularModel(merged.mdp, temperature), 0.0).objective == pytest.approx(
        sum(p * clamped[s] for s, p in start.items()), abs=1e-9
    )
    # the distribution of the first observation
    seen = [
        sum(p * np.prod([a[(i, *s)] for a, i in zip(A, o, strict=True)]) for s, p in start.items())
        for o in np.ndindex(*[len(a) for a in A])
    ]
    for each in (split, merged):
        assert each.initial_observation is not None
        predicted = (each.mdp.initial[:, None] * each.initial_observation).sum(0)
        assert predicted.tolist() == pytest.approx(seen, abs=1e-12)
        assert each.num_observations == len(seen)


@laws
@given(generative_models())
def test_pymdp_round_trips(arrays):
    """After states are split by preference, the observation determines the reward: the second round trip is exact.

    Only a state that is never reached may be split differently, since it pays nothing; no answer depends on it.
    """
    split = from_pymdp(*arrays, horizon=2, temperature=2.0)
    written = to_pymdp(split, 2.0)
    again = from_pymdp(*written, horizon=2, temperature=2.0)
    for beta in (0.0, 1.0):
        one, other = (infer(TabularModel(each.mdp, 2.0), beta).value for each in (split, again))
        assert one == pytest.approx(other, abs=1e-9)
    if {to for _, _, to, _ in outcomes(split.mdp)} == set(range(split.mdp.num_states)):
        for one, other in zip(to_pymdp(again, 2.0), written, strict=True):
            np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-15)
        same_problem(again.mdp, split.mdp)


@laws
@given(dense())
def test_an_observed_problem_round_trips_through_pymdp(arrays):
    """A is the identity, and the preferences of observations are those of states."""
    initial, p, _ = arrays
    paid = np.arange(len(p)) / 4 - 1
    mdp = TabularMDP.from_dense(initial, p, np.broadcast_to(paid, p.shape), 3)
    A, B, C, D = to_pymdp(mdp, temperature=0.5)
    np.testing.assert_array_equal(A[0], np.eye(len(p)))
    np.testing.assert_array_equal(B[0], p.transpose(2, 0, 1))
    np.testing.assert_array_equal(D[0], mdp.initial)
    arrivals = p.any((0, 1))
    np.testing.assert_array_equal(C[0][arrivals], paid[arrivals] / 0.5)
    same_problem(from_pymdp(A, B, C, D, horizon=3, temperature=0.5).mdp, mdp)


def test_problems_that_pymdp_cannot_hold_are_refused():
    for problem, words in (
        (tiger(), "must depend on the state alone"),
        (risky_path(), "several rewards with the same observation"),
        (risky_path().replace(discount=0.5), "no place for it"),
        (TabularMDP.from_dense([1.0], [[[1.0]]], [[-math.inf]], 1), "large negative reward"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            to_pymdp(problem)
    with pytest.raises(InvalidArgument, match="`temperature` must be a positive"):
        to_pymdp(tiger().mdp, 0.0)
    hidden = TabularMDP.from_dense([0.5, 0.5], np.eye(2)[:, None], [[[1.0, 0.0]], [[0.0, 2.0]]], 1)
    with pytest.raises(InvalidArgument, match="let it be observed"):
        to_pymdp(PartiallyObservedMDP(hidden, np.ones((2, 1))))


def test_errors_name_invalid_arrays_of_pymdp():
    A, B, C, D = [np.eye(2)], [np.full((2, 2, 1), 0.5)], [np.zeros(2)], [np.array([1.0, 0.0])]
    for arrays, words in (
        (([np.eye(3)], B, C, D), r"`A\[0\]` must have shape \(observation, 2\)"),
        ((A, [np.ones((2, 2))], C, D), r"`B\[0\]` must have 3 axes"),
        ((A, [np.full((1, 2, 1), 1.0)], C, D), "next state, state, action"),
        ((A, B, [np.zeros((2, 3))], D), "changes with time"),
        ((A, B, [np.zeros(3)], D), "one preference for each observation"),
        ((A, B, C, [np.ones(3) / 3]), "vectors of lengths"),
    ):
        with pytest.raises(InvalidProblem, match=words):
            from_pymdp(*arrays, horizon=1)
    with pytest.raises(InvalidArgument, match="`temperature`"):
        from_pymdp(A, B, horizon=1, temperature=-1.0)
    with pytest.raises(InvalidProblem, match="2 names"):
        from_pymdp(A, B, horizon=1, state_names=["one"])
    plain = from_pymdp(A, B, horizon=1, state_names=["l", "r"])
    assert plain.mdp.initial.tolist() == [0.5, 0.5]
    assert plain.mdp.state_names == ("l", "r")
    split = from_pymdp([np.full((2, 2), 0.5)], B, [np.array([0.0, 1.0])], horizon=1, state_names=["l", "r"])
    assert split.mdp.state_names[:2] == ("l, preference 0", "l, preference 1")
