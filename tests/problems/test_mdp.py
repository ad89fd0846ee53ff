"""`TabularMDP`: its refusals and their messages, what it stores, and its dense constructor against plain numpy."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgm_control import InvalidArgument, InvalidProblem, TabularMDP, TabularModel, TabularPolicy
from pgm_control.problems import checks

STATES, ACTIONS = ("home", "away"), ("stay", "go")


def arguments(**changes):
    """Two states, two actions, two outcomes; the second outcome of staying is padding."""
    valid = {
        "initial": np.array([0.75, 0.25]),
        "probability": np.array([[[1.0, 0.0], [0.4, 0.6]], [[1.0, 0.0], [0.1, 0.9]]]),
        "successor": np.array([[[0, 0], [0, 1]], [[1, 0], [1, 0]]]),
        "reward": np.array([[[1.0, 0.0], [-1.0, 2.0]], [[0.5, 0.0], [0.0, 3.0]]]),
        "horizon": 3,
        "state_names": STATES,
        "action_names": ACTIONS,
    }
    return valid | changes


def changed(name, index, value):
    """The valid argument with one entry replaced."""
    array = np.array(arguments(final_reward=np.zeros(2))[name], dtype=float if name != "successor" else int)
    array[index] = value
    return {name: array}


REFUSED = {
    "nan probability": (
        changed("probability", (1, 1, 0), np.nan),
        ["`probability[1, 1, 0]` (state 'away', action 'go')", "is nan", "Replace it"],
    ),
    "negative probability": (
        changed("probability", (0, 1, 1), -0.5),
        ["`probability[0, 1, 1]` (state 'home', action 'go')", "-0.5", "pass their exponentials"],
    ),
    "row of probabilities": (
        changed("probability", (0, 1, 1), 0.5),
        ["`probability[0, 1]` (state 'home', action 'go')", "sums to 0.9", "Divide by the sum"],
    ),
    "infinite probability": (changed("probability", (0, 1, 1), np.inf), ["`probability[0, 1]`", "sums to inf"]),
    "no outcome axis": ({"probability": np.ones((2, 2))}, ["`probability`", "3 axes", "(2, 2)", "Reshape"]),
    "empty probability": ({"probability": np.ones((2, 2, 0))}, ["`probability`", "empty", "(2, 2, 0)", "an entry"]),
    "ragged probability": (
        {"probability": [[[1.0], [0.5, 0.5]], [[1.0], [1.0]]]},
        ["`probability`", "rectangular", "Pad short rows"],
    ),
    "complex probability": (
        {"probability": torch.ones(2, 2, 2, dtype=torch.complex128)},
        ["`probability`", "real", "complex128", "real part"],
    ),
    "nan start": (changed("initial", 1, np.nan), ["`initial[1]` (state 'away')", "is nan", "Replace it"]),
    "negative start": (changed("initial", 1, -0.25), ["`initial[1]` (state 'away')", "-0.25", "exponentials"]),
    "start sum": (changed("initial", 0, 0.5), ["`initial`", "sums to 0.75", "Divide by the sum"]),
    "start shape": ({"initial": np.ones(3) / 3}, ["`initial`", "(2,)", "(3,)", "order of its axes"]),
    "successor too high": (
        changed("successor", (1, 1, 1), 7),
        ["`successor[1, 1, 1]` (state 'away', action 'go')", "0 to 1", "is 7", "say 0"],
    ),
    "successor of padding": (changed("successor", (0, 0, 1), -1), ["`successor[0, 0, 1]`", "is -1", "say 0"]),
    "successor floats": ({"successor": np.zeros((2, 2, 2))}, ["`successor`", "integers", "float64", "Cast it"]),
    "successor shape": ({"successor": np.zeros((2, 2, 1), int)}, ["`successor`", "(2, 2, 2)", "(2, 2, 1)"]),
    "successor ragged": ({"successor": [[[0], [0, 1]], [[0], [0]]]}, ["`successor`", "rectangular", "Pad"]),
    "nan reward": (
        changed("reward", (0, 0, 0), np.nan),
        ["`reward[0, 0, 0]` (state 'home', action 'stay')", "is nan", "-inf to forbid"],
    ),
    "nan reward of padding": (changed("reward", (0, 0, 1), np.nan), ["`reward[0, 0, 1]`", "is nan", "0 for no reward"]),
    "infinite reward": (
        changed("reward", (1, 0, 0), np.inf),
        ["`reward[1, 0, 0]` (state 'away', action 'stay')", "+inf", "large finite reward"],
    ),
    "reward shape": ({"reward": np.zeros((2, 2, 3))}, ["`reward`", "(2, 2, 2)", "(2, 2, 3)", "like `probability`"]),
    "averaged reward": ({"reward": np.zeros((2, 2))}, ["`reward`", "3 axes", "(2, 2)"]),
    "nan final reward": (changed("final_reward", 1, np.nan), ["`final_reward[1]` (state 'away')", "is nan", "0 for"]),
    "infinite final reward": (changed("final_reward", 0, np.inf), ["`final_reward[0]`", "finite reward"]),
    "final reward shape": ({"final_reward": np.zeros(3)}, ["`final_reward`", "(2,)", "(3,)", "one reward a state"]),
    "no horizon": ({"horizon": 0}, ["`horizon`", "at least 1", "is 0", "long horizon"]),
    "discount 0": ({"discount": 0.0}, ["`discount`", "more than 0", "is 0.0", "horizon=1"]),
    "discount above 1": ({"discount": 1.5}, ["`discount`", "at most 1", "is 1.5"]),
    "discount nan": ({"discount": float("nan")}, ["`discount`", "is nan"]),
    "state names": ({"state_names": ("home",)}, ["`state_names`", "2 names", "('home',)", "list of strings"]),
    "action names": ({"action_names": ("a", "b", "c")}, ["`action_names`", "2 names", "('a', 'b', 'c')"]),
    "repeated names": ({"state_names": ("x", "x")}, ["`state_names`", "distinct", "'x' occurs 2 times", "by a number"]),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_name_the_argument_the_entry_its_value_and_the_remedy(changes, words):
    with pytest.raises(InvalidProblem) as caught:
        TabularMDP(**arguments(**changes))
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


def test_without_names_the_index_alone_is_given():
    nameless = {"state_names": None, "action_names": None}
    with pytest.raises(InvalidProblem, match=r"^`probability\[1, 1, 0\]` must be a probability, but is nan"):
        TabularMDP(**arguments(**changed("probability", (1, 1, 0), np.nan), **nameless))


@pytest.mark.parametrize("value", [True, 2.5, "3", None, -1])
def test_horizon_is_a_whole_number(value):
    with pytest.raises(InvalidProblem, match="`horizon` must be a whole number"):
        checks.horizon("horizon", value)


@pytest.mark.parametrize("value", [True, "1", None])
def test_discount_is_a_number(value):
    with pytest.raises(InvalidProblem, match="`discount` must be the probability of surviving"):
        checks.discount("discount", value)


def test_a_missing_array_is_reported():
    with pytest.raises(InvalidProblem, match=r"`reward` must be given, but is None\. Pass an array with 3 axes"):
        checks.table("reward", None, 3, checks.kind(0.0))


def test_a_string_is_refused_as_a_list_of_names():
    with pytest.raises(InvalidProblem, match="`action_names` must hold 2 names"):
        checks.names("action_names", "ab", 2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([(0, 0)], ["`layout`", "2 places, one for each state, but holds 1", "Write None"]),
        (7, ["2 places", "holds 0"]),
        ([None, None], ["must place a state", "Pass None instead"]),
        ([(0, 0), (0, -1)], ["`layout[1]` (state 'away')", "two whole numbers from 0", "is (0, -1)", "Count both"]),
        ([(0, 0.5), None], ["`layout[0]` (state 'home')", "is (0, 0.5)"]),
        ([(True, 0), None], ["`layout[0]`", "(True, 0)"]),
        ([(0, 0, 0), None], ["`layout[0]`", "(0, 0, 0)"]),
        (["(0, 0)", None], ["`layout[0]`", "'(0, 0)'"]),
        ([5, None], ["`layout[0]`", "is 5"]),
        (
            [(1, 2), (1, 2)],
            [
                "`layout[0]` (state 'home')",
                "must differ from the cells of other states",
                "(1, 2)",
                "of state 1",
                "side by side",
            ],
        ),
        (
            [(0, 0), (0, 2000)],
            ["at most 1000 cells for each state", "1 rows and 2001 columns for 2 states", "without gaps"],
        ),
    ],
)
def test_a_layout_is_a_cell_for_each_state_or_none(value, words):
    with pytest.raises(InvalidProblem) as caught:
        checks.layout("layout", value, STATES, 2)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", [list, tuple, np.array], ids=["list", "tuple", "numpy"])
def test_a_layout_is_kept_as_pairs_of_integers(kind):
    found = checks.layout("layout", kind([[3, 1], [0, 2]]), None, 2)
    assert found == ((3, 1), (0, 2))
    assert {type(each) for cell in found or () for each in cell or ()} == {int}
    assert checks.layout("layout", None, None, 2) is None
    assert TabularMDP(**arguments(layout=[None, (0, 1)])).layout == (None, (0, 1))


def test_every_copy_keeps_the_layout():
    mdp = TabularMDP(**arguments(layout=[(0, 1), None]))
    copies = (mdp.replace(horizon=7), mdp.to(dtype=torch.float32), copy.deepcopy(mdp), pickle.loads(pickle.dumps(mdp)))
    for each in (*copies, TabularMDP.from_dense(**DENSE, layout=mdp.layout)):
        assert each.layout == ((0, 1), None)
    assert TabularMDP(**arguments()).layout is mdp.replace(layout=None).layout is None


def test_an_mdp_is_frozen():
    mdp = TabularMDP(**arguments())
    with pytest.raises(dataclasses.FrozenInstanceError):
        mdp.horizon = 5  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_an_mdp_copies_its_arguments(convert):
    given = {
        name: convert(value) for name, value in arguments(final_reward=np.zeros(2)).items() if hasattr(value, "shape")
    }
    mdp = TabularMDP(**arguments(**given))
    before = {name: getattr(mdp, name).clone() for name in given}
    for value in given.values():
        value[:] = 1
    for name in given:
        assert torch.equal(getattr(mdp, name), before[name])


def test_anything_but_a_floating_tensor_becomes_float64():
    for probability in (
        np.array([[[1.0], [1.0]]], dtype=np.float32),
        [[[1], [1]]],
        torch.ones(1, 2, 1, dtype=torch.int64),
    ):
        mdp = TabularMDP([1.0], probability, [[[0], [0]]], [[[0], [0]]], horizon=1)
        assert mdp.probability.dtype == mdp.reward.dtype == mdp.initial.dtype == torch.float64
        assert mdp.successor.dtype == torch.int64


def test_a_floating_tensor_decides_the_dtype_of_all():
    single = torch.as_tensor(arguments()["probability"], dtype=torch.float32)
    mdp = TabularMDP(**arguments(probability=single, final_reward=np.zeros(2)))
    for table in (mdp.initial, mdp.probability, mdp.reward, mdp.final_reward):
        assert table is not None
        assert table.dtype == torch.float32


def test_float32_thirds_are_probabilities():
    thirds = torch.full((1, 1, 3), 1 / 3, dtype=torch.float32)
    mdp = TabularMDP([1.0], thirds, torch.zeros(1, 1, 3, dtype=torch.int64), torch.zeros(1, 1, 3), horizon=1)
    assert mdp.probability.sum() == pytest.approx(1.0, abs=1e-7)


def test_rows_are_rescaled_only_once():
    near = np.array([[[0.5, 0.5 + 5e-9]]])
    mdp = TabularMDP([1.0], near, [[[0, 0]]], [[[0, 0]]], horizon=1)
    assert float(mdp.probability.sum()) == pytest.approx(1.0, abs=1e-15)
    assert torch.equal(mdp.replace(horizon=2).probability, mdp.probability)


def test_copies_do_not_drift():
    """Dividing by a sum that is 1 up to rounding would change some digits in every copy."""
    rows = np.random.default_rng(0).dirichlet(np.ones(40), (40, 2))
    mdp = TabularMDP.from_dense(rows[0, 0], rows, np.zeros((40, 2)), horizon=2)
    copy = mdp.replace(horizon=3)
    assert torch.equal(copy.probability, mdp.probability)
    assert torch.equal(copy.initial, mdp.initial)


def test_minus_infinity_forbids_and_padding_has_no_reward():
    rewards = np.array([[[-np.inf, 9.0], [-1.0, 2.0]], [[0.5, -np.inf], [0.0, 3.0]]])
    mdp = TabularMDP(**arguments(reward=rewards))
    assert mdp.reward[0, 0, 0] == -torch.inf
    assert mdp.reward[0, 0, 1] == 0
    assert mdp.reward[1, 0, 1] == 0


@settings(max_examples=40)
@given(states=st.integers(1, 5), actions=st.integers(1, 3), by_successor=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_dense_and_outcome_form_agree(states, actions, by_successor, seed):
    """Scattering the outcomes back gives the dense arrays; no outcome is impossible in a row of full width."""
    random = np.random.default_rng(seed)
    weight = random.random((states, actions, states)) * (random.random((states, actions, states)) < 0.6)
    weight[..., 0] += weight.sum(-1) == 0
    transition = weight / weight.sum(-1, keepdims=True)
    reward = random.normal(size=(states, actions, states) if by_successor else (states, actions))
    mdp = TabularMDP.from_dense(np.ones(states) / states, transition, reward, horizon=2)
    dense = reward if by_successor else np.repeat(reward[..., None], states, -1)
    p, successor, r = (x.numpy() for x in (mdp.probability, mdp.successor, mdp.reward))
    back = np.zeros_like(transition)
    for s in range(states):
        for a in range(actions):
            assert (p[s, a] > 0).sum() == (transition[s, a] > 0).sum()
            for k in range(p.shape[2]):
                back[s, a, successor[s, a, k]] += p[s, a, k]
                if p[s, a, k] > 0:
                    assert r[s, a, k] == dense[s, a, successor[s, a, k]]
    np.testing.assert_allclose(back, transition, rtol=0, atol=1e-15)
    assert p.shape[2] == (transition > 0).sum(-1).max()


DENSE = {"initial": [1.0, 0.0], "transition": np.full((2, 1, 2), 0.5), "reward": np.zeros((2, 1)), "horizon": 1}
DENSE_REFUSED = {
    "transition sum": ({"transition": np.full((2, 1, 2), 0.4)}, ["`transition[0, 0]`", "sums to 0.8", "Divide"]),
    "transition not square": (
        {"transition": np.ones((2, 1, 1))},
        ["`transition`", "(2, 1, 2)", "next_state", "(2, 1, 1)"],
    ),
    "transition axes": ({"transition": np.ones((2, 2))}, ["`transition`", "3 axes (state, action, next_state)"]),
    "reward axes": (
        {"reward": np.zeros(2)},
        ["`reward`", "2 axes (state, action) or 3 axes (state, action, next_state)"],
    ),
    "reward shape": ({"reward": np.zeros((1, 2))}, ["`reward`", "(2, 1) (state, action)", "(1, 2)"]),
    "reward of an impossible successor": (
        {"transition": np.eye(2)[:, None], "reward": np.array([[[0.0, np.nan]], [[0.0, 0.0]]])},
        ["`reward[0, 0, 1]`", "is nan"],
    ),
}


@pytest.mark.parametrize(("changes", "words"), DENSE_REFUSED.values(), ids=DENSE_REFUSED.keys())
def test_dense_refusals_name_the_dense_arguments(changes, words):
    with pytest.raises(InvalidProblem) as caught:
        TabularMDP.from_dense(**(DENSE | changes))
    for word in words:
        assert word in str(caught.value)


def test_replace_changes_and_checks():
    mdp = TabularMDP(**arguments())
    longer = mdp.replace(horizon=7, discount=0.5)
    assert (longer.horizon, longer.discount, mdp.horizon) == (7, 0.5, 3)
    assert longer.state_names == STATES
    for name in ("initial", "probability", "successor", "reward"):
        assert torch.equal(getattr(longer, name), getattr(mdp, name))
    with pytest.raises(InvalidProblem, match="`discount`"):
        mdp.replace(discount=2.0)


def test_another_horizon_or_discount_shares_the_tables():
    mdp = TabularMDP(**arguments())
    changed = mdp.replace(horizon=np.int64(9), discount=np.float32(0.5))
    assert (changed.horizon, changed.discount) == (9, 0.5)
    assert (type(changed.horizon), type(changed.discount)) == (int, float)
    for name in ("initial", "probability", "successor", "reward"):
        assert getattr(changed, name) is getattr(mdp, name)
    assert mdp.horizon != 9, "the original is unchanged"
    with pytest.raises(InvalidProblem, match="`discount` must be the probability of surviving a step"):
        mdp.replace(horizon=9, discount=0.0)


def test_an_mdp_moves_to_another_dtype_and_back():
    mdp = TabularMDP(**arguments(final_reward=np.array([1.0, -np.inf])))
    single = mdp.to(dtype=torch.float32)
    assert single.probability.dtype == single.reward.dtype == torch.float32
    assert single.successor.dtype == torch.int64
    again = single.to(dtype=torch.float64)
    torch.testing.assert_close(again.probability, mdp.probability, rtol=1e-6, atol=0)
    torch.testing.assert_close(again.probability.sum(-1), torch.ones(2, 2).double(), rtol=0, atol=1e-15)
    assert again.final_reward is not None
    assert again.final_reward[1] == -torch.inf
    with pytest.raises(InvalidArgument, match=r"`dtype` must be torch\.float64 or torch\.float32, but is torch\.int64"):
        mdp.to(dtype=torch.int64)


def test_sizes_and_names():
    mdp = TabularMDP(**arguments())
    assert (mdp.num_states, mdp.num_actions, mdp.num_outcomes) == (2, 2, 2)
    assert (mdp.state_name(1), mdp.action_name(0)) == ("away", "stay")
    nameless = mdp.replace(state_names=None, action_names=None)
    assert (nameless.state_name(1), nameless.action_name(0)) == ("1", "0")


def test_repr_gives_sizes():
    shown = repr(TabularMDP(**arguments(discount=0.9)))
    assert shown == "TabularMDP(2 states, 2 actions, at most 2 outcomes, horizon 3, discount 0.9, float64)"


def test_deterministic_means_one_possible_outcome_everywhere():
    sure = TabularMDP([1.0, 0.0], np.ones((2, 1, 1)), [[[1]], [[0]]], np.zeros((2, 1, 1)), horizon=2)
    assert sure.is_deterministic
    assert not sure.replace(initial=[0.5, 0.5]).is_deterministic
    assert not sure.replace(discount=0.9).is_deterministic
    assert not TabularMDP(**arguments(initial=[1.0, 0.0])).is_deterministic


def test_copies_and_pickles():
    mdp = TabularMDP(**arguments())
    for twin in (copy.deepcopy(mdp), pickle.loads(pickle.dumps(mdp))):
        assert torch.equal(twin.reward, mdp.reward)
        assert twin.state_names == mdp.state_names


def test_read_only_arrays_are_copied_without_a_warning():
    row = np.broadcast_to(np.array([0.5, 0.5]), (2, 2, 2))
    mdp = TabularMDP(row[0, 0], row, np.broadcast_to(np.array([0, 1]), (2, 2, 2)), row, horizon=1)
    assert mdp.probability.shape == (2, 2, 2)


NARROW = [np.float32, np.float16, torch.float32, torch.float16, torch.bfloat16]


def narrowed(table, dtype):
    """The table in a narrower dtype, of numpy or torch."""
    return torch.tensor(table, dtype=dtype) if isinstance(dtype, torch.dtype) else np.asarray(table, dtype=dtype)


@pytest.mark.parametrize("dtype", NARROW)
def test_rows_that_sum_to_one_in_a_narrow_dtype_are_normalised(dtype):
    p, start = narrowed(np.full((7, 2, 7), 1 / 7), dtype), narrowed(np.full(7, 1 / 7), dtype)
    mdp = TabularMDP.from_dense(start, p, np.zeros((7, 2)), 3)
    model = TabularModel(mdp, action_prior=narrowed(np.full((7, 2), 0.5), dtype))
    policy = TabularPolicy(narrowed(np.full((7, 3), 1 / 3), dtype))
    wide = torch.float32 if dtype is torch.float32 else torch.float64
    eps = torch.finfo(wide).eps
    for table in (mdp.probability, mdp.initial, model.action_prior, policy.probability):
        assert table.dtype is wide
        assert torch.allclose(table.sum(-1), torch.ones((), dtype=wide), rtol=0, atol=8 * eps)


def test_no_mdp_has_narrower_tables_than_float32():
    with pytest.raises(InvalidArgument, match=r"`dtype` must be torch\.float64"):
        TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[0.0]]], horizon=1).to(dtype=torch.float16)


@pytest.mark.parametrize("dtype", NARROW)
def test_rows_that_do_not_sum_to_one_are_refused_in_every_dtype(dtype):
    with pytest.raises(InvalidProblem, match=r"`transition\[0, 0\]` .*must sum to 1"):
        TabularMDP.from_dense([1.0, 0.0], narrowed([[[0.5, 0.45]], [[0.5, 0.5]]], dtype), np.zeros((2, 1)), 3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ma.masked_array([[[0.5, 0.5]]], [[[False, True]]]), "masked entries"),
        (np.array([[[0.5, 0.5j]]]), "real numbers.*real part"),
        (torch.tensor([[[0.5, 0.5]]], dtype=torch.complex64), "real numbers.*real part"),
        (torch.tensor([[[0.5, 0.5]]]).to_sparse(), "dense tensor.*to_dense"),
        ([[["0.5", "0.5"]]], "array of numbers"),
        ([[[10**400, 0]]], "array of numbers"),
        ({"a": 1}, "array of numbers"),
    ],
)
@pytest.mark.wrong_types
def test_tables_that_would_lose_a_part_are_refused(table, message):
    with pytest.raises(InvalidProblem, match=rf"^`probability` must .*{message}"):
        TabularMDP([1.0], table, [[[0, 0]]], [[[0.0, 0.0]]], 1)


def test_tensors_with_gradients_are_taken_where_gradients_are_off():
    with torch.no_grad():
        reward = torch.zeros(1, 1, 1, dtype=torch.float64, requires_grad=True)
        assert not TabularMDP([1.0], [[[1.0]]], [[[0]]], reward, 1).reward.requires_grad
    with pytest.raises(InvalidProblem, match="`temperature` must not require a gradient"):
        TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[0.0]]], 1), torch.tensor(1.0, requires_grad=True))


def test_names_that_no_file_can_hold_are_refused():
    with pytest.raises(InvalidProblem, match=r"`state_names\[0\]` must be a string of valid Unicode"):
        TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[0.0]]], 1, state_names=["\ud800"])


def test_numbers_of_float32_in_float64_are_judged_by_their_rounding():
    initial = torch.tensor([0.5, 0.3, 0.2]).double()
    mdp = TabularMDP(initial, np.ones((3, 1, 1)), np.zeros((3, 1, 1), int), np.zeros((3, 1, 1)), 1)
    assert float(mdp.initial.sum()) == pytest.approx(1.0, abs=1e-15)
    with pytest.raises(InvalidProblem, match="must sum to 1"):
        TabularMDP([0.5, 0.3, 0.2 + 1e-7], np.ones((3, 1, 1)), np.zeros((3, 1, 1), int), np.zeros((3, 1, 1)), 1)
