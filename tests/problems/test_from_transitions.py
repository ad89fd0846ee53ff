"""Problems estimated from transitions: counts, the Dirichlet posterior, and data that do not determine the problem."""

import math
from collections import Counter, defaultdict

import gymnasium
import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import Ensemble, InvalidArgument, InvalidProblem, TabularMDP, TabularModel, evaluate, infer
from pgm_control.exchange import feasible_prior
from pgm_control.inverse_rl import Episode, record, to_episodes

HALL = (  # states 0, 1 and 2 in a row; action 0 goes on, 1 stays
    np.array([0, 0, 0, 1, 1, 0, 1, 1]),
    np.array([0, 0, 0, 0, 0, 1, 1, 1]),
    np.array([1, 1, 0, 2, 1, 0, 1, 1]),
    np.array([1.0, 2.0, 5.0, 7.0, 0.5, -1.0, 0.1, 0.1]),
    np.array([0, 0, 0, 1, 0, 0, 0, 0]),
)
SIZES = {"horizon": 4, "initial": [1.0, 0.0, 0.0]}


def rows(mdp):
    """{(s, a): {(successor, reward): probability}}, of possible outcomes."""
    found = defaultdict(Counter)
    for s, a, k in np.ndindex(*mdp.probability.shape):
        if mdp.probability[s, a, k] > 0:
            found[s, a][int(mdp.successor[s, a, k]), float(mdp.reward[s, a, k])] += float(mdp.probability[s, a, k])
    return {pair: dict(each) for pair, each in found.items()}


def transitions(mdp):
    """p(s'|s, a) as a dense array."""
    found = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_states))
    for s, a, k in np.ndindex(*mdp.probability.shape):
        found[s, a, int(mdp.successor[s, a, k])] += float(mdp.probability[s, a, k])
    return found


def random_data(seed, size=60, states=4, actions=2):
    """Transitions between all but the last two of the states; some end, in a state that depends on where they began."""
    rng = np.random.default_rng(seed)
    s, a, n = rng.integers(states, size=size), rng.integers(actions, size=size), rng.integers(states, size=size)
    return s, a, n, rng.normal(size=size).round(1), rng.random(size) < 0.2


def test_the_problem_of_a_few_transitions_by_hand():
    mdp = TabularMDP.from_transitions(HALL, **SIZES)
    assert (mdp.num_states, mdp.num_actions, mdp.num_outcomes, mdp.horizon, mdp.discount) == (3, 2, 2, 4, 1.0)
    assert rows(mdp) == {
        (0, 0): {(0, 5.0): pytest.approx(1 / 3), (1, 1.5): pytest.approx(2 / 3)},
        (0, 1): {(0, -1.0): 1.0},
        (1, 0): {(1, 0.5): 0.5, (2, 7.0): 0.5},
        (1, 1): {(1, 0.1): 1.0},
        (2, 0): {(2, 0.0): 1.0},
        (2, 1): {(2, 0.0): 1.0},
    }
    same = TabularMDP.from_transitions([torch.as_tensor(each) for each in HALL], **SIZES)
    assert rows(same) == rows(mdp)
    lists = TabularMDP.from_transitions(tuple(each.tolist() for each in HALL), **SIZES)
    assert rows(lists) == rows(mdp)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pseudocount", ["none", "number", "table"])
def test_probabilities_and_rewards_are_those_of_counts_by_loops(seed, pseudocount):
    """Episodes that ended in different states end in one state, by outcomes of their own."""
    data = random_data(seed)
    end, states, actions = 4, 5, 2
    rng = np.random.default_rng(seed)
    alpha = {"none": 0.0, "number": 0.7, "table": rng.random((1, actions, states)) * (rng.random(states) < 0.6)}[
        pseudocount
    ]
    prior = np.broadcast_to(alpha, (states, actions, states))
    paid = rng.normal(size=(states, 1, states))
    given = {} if pseudocount == "none" else {"pseudocount": alpha, "unseen_reward": paid}
    mdp = TabularMDP.from_transitions(data, horizon=3, initial=np.full(5, 0.2), **given)
    seen, counts, by_next = defaultdict(list), Counter(), Counter()
    for s, a, n, r, over in zip(*data, strict=True):
        seen[s, a, n, over].append(r)
        counts[s, a] += 1
        by_next[s, a, end if over else n] += 1
    expected = defaultdict(Counter)
    for (s, a, n, over), rewards in seen.items():
        to = end if over else n
        mass = len(rewards) * (1 + prior[s, a, to] / by_next[s, a, to]) / (counts[s, a] + prior[s, a].sum())
        expected[s, a][to, np.float64(sum(rewards)) / len(rewards)] += mass
    for s, a, n in np.ndindex(end, actions, states):
        if prior[s, a, n] > 0 and not by_next[s, a, n]:
            expected[s, a][n, paid[s, 0, n]] += prior[s, a, n] / (counts[s, a] + prior[s, a].sum())
    for a in range(actions):
        expected[end, a][end, 0.0] = 1.0
    found = rows(mdp)
    assert found.keys() == expected.keys()
    for pair, row in expected.items():
        assert sorted(found[pair].values()) == pytest.approx(sorted(row.values()), abs=1e-14)
        one, other = (sum(p * r * (n + 1) for (n, r), p in each.items()) for each in (found[pair], row))
        assert one == pytest.approx(other, abs=1e-13)


def test_the_reward_of_equal_rewards_is_exact():
    data = (np.zeros(3, int), np.zeros(3, int), np.zeros(3, int), np.full(3, 0.1))
    assert TabularMDP.from_transitions(data, horizon=1, initial=[1.0]).reward.item() == 0.1


def test_episodes_of_a_live_environment_give_its_problem():
    """Holes and the goal end an episode; the state "ended" of `from_gymnasium` is the last state here too."""
    lake = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), 30)
    episodes = record("FrozenLake-v1", np.full((16, 4), 0.25), 1500, seed=3)
    found = TabularMDP.from_transitions(episodes, horizon=30)
    assert found.num_states == lake.num_states
    reached = [s for s in range(16) if s not in (5, 7, 11, 12, 15)]
    for s in reached:
        for a in range(4):
            one, other = transitions(found)[s, a], transitions(lake)[s, a]
            np.testing.assert_array_equal(one > 0, other > 0)
            visits = sum(int(((e.obs[:-1] == s) & (e.acts == a)).sum()) for e in episodes)
            assert np.abs(one - other).max() < 5 * math.sqrt(0.25 / visits)
    assert rows(found)[14, 2].keys() == {(10, 0.0), (14, 0.0), (16, 1.0)}
    assert found.initial.tolist() == lake.initial.tolist()
    model = TabularModel(found, 0.01)
    assert 0 <= evaluate(model, infer(model, 0.0), world=lake).regret < 0.3
    assert TabularMDP.from_transitions(episodes).horizon == max(len(each.acts) for each in episodes)
    layout = [each.to_imitation() for each in episodes]
    assert rows(TabularMDP.from_transitions(layout)) == rows(found)


def test_an_end_that_the_data_count_as_a_state_is_the_end():
    lake = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False), 20)
    policy = TabularModel(lake)
    episodes = to_episodes(lake, policy.blocks().sample(400, seed=0))
    assert {int(each.obs[-1]) for each in episodes if each.terminated} == {16}
    for sizes in ({}, {"num_states": 17}):
        found = TabularMDP.from_transitions(episodes, **sizes)
        assert found.num_states == 17
        assert rows(found)[4, 2] == {(16, 0.0): 1.0}
    assert TabularMDP.from_transitions(episodes, num_states=20, unvisited="forbid").num_states == 20


def test_outcomes_that_end_in_different_states_stay_apart():
    """Free inference tilts each by its own reward; their mean would be another problem."""
    over = (np.zeros(4, int), np.zeros(4, int), np.array([1, 1, 1, 2]), np.array([0.0, 0.0, 0.0, 4.0]), np.ones(4, int))
    mdp = TabularMDP.from_transitions(over, horizon=1, initial=[1.0, 0.0, 0.0, 0.0])
    assert rows(mdp)[0, 0] == {(3, 0.0): 0.75, (3, 4.0): 0.25}
    assert infer(TabularModel(mdp), 1.0).log_evidence == pytest.approx(math.log(0.75 + 0.25 * math.exp(4)))
    smoothed = TabularMDP.from_transitions(
        over, [0, 0, 0, 4.0], unseen_reward=0.0, horizon=1, initial=[1.0, 0.0, 0.0, 0.0]
    )
    assert rows(smoothed)[0, 0] == {(3, 0.0): 0.75, (3, 4.0): 0.25}


def test_pairs_that_were_never_visited_are_named():
    with pytest.raises(InvalidProblem, match=r"3 pairs .* never visited: \(0, 2\), \(1, 1\), \(1, 2\)\. Record more"):
        TabularMDP.from_transitions(([0, 0, 1], [0, 1, 0], [1, 0, 0], [1.0, 2.0, 3.0]), horizon=3, initial=[1, 0],
                                    num_actions=3)  # fmt: skip
    last = Episode(np.array([0, 1]), np.array([0]), np.array([1.0]), terminated=False, truncated=True)
    with pytest.raises(InvalidProblem, match=r"1 pairs .*: \(1, 0\)"):
        TabularMDP.from_transitions([last])
    found = TabularMDP.from_transitions([last], unvisited="forbid")
    assert rows(found) == {(0, 0): {(1, 1.0): 1.0}, (1, 0): {(1, -math.inf): 1.0}}
    assert infer(TabularModel(found.replace(horizon=1)), 0.0).value == 1.0
    assert infer(TabularModel(found.replace(horizon=2)), 0.0).value == -math.inf


def test_forbidden_actions_are_never_taken():
    data = ([0, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 1], [1.0, 0.0, 2.0, 3.0])
    found = TabularMDP.from_transitions(data, horizon=3, initial=[1, 0], unvisited="forbid")
    for optimism in (0.0, 1.0):
        assert infer(TabularModel(found), optimism).policy[:, 1].tolist() == [[1.0, 0.0]] * 3
    assert feasible_prior(found).tolist() == [[0.5, 0.5], [1.0, 0.0]]


def test_a_pseudocount_needs_rewards_for_what_was_never_seen():
    with pytest.raises(InvalidProblem, match=r"`unseen_reward` must be given.* 6 transitions .*0 → 2 under action 0"):
        TabularMDP.from_transitions(HALL, 1.0, **SIZES)
    smoothed = TabularMDP.from_transitions(HALL, 1.0, unseen_reward=-3.0, **SIZES)
    assert rows(smoothed)[0, 1] == {(0, -1.0): 0.5, (1, -3.0): 0.25, (2, -3.0): 0.25}
    assert rows(smoothed)[2, 1] == {(2, 0.0): 1.0}
    only_seen = TabularMDP.from_transitions(HALL, transitions(TabularMDP.from_transitions(HALL, **SIZES)) > 0, **SIZES)
    assert rows(only_seen)[0, 0] == {(0, 5.0): pytest.approx(0.4), (1, 1.5): pytest.approx(0.6)}


BAD = [
    ({"data": "x"}, "`data` must be .*vectors of one length, or a list of episodes"),
    ({"data": []}, "`data` must be"),
    ({"data": HALL[:3]}, "but is a tuple of 3"),
    ({"data": (*HALL[:3], HALL[3][:2])}, "`data` must hold vectors of one length, but their shapes are"),
    ({"data": ([0.5], [0], [0], [0.0])}, r"`data\[0\]` must be a row of whole numbers"),
    ({"data": ([0], [0], [0], [math.nan])}, "reward of each transition in `data` must be a finite number, .* 0 is nan"),
    ({"data": ([0, 0], [0, -1], [0, 0], [0.0, 0.0])}, "action of each transition .* a number from 0, but .* 1 is -1"),
    ({"data": ([0], [0], [0], [0.0], [2])}, r"`data\[4\]` must hold True or False"),
    ({"data": [{"obs": [0, 1], "acts": [0], "terminated": True}]}, r"`data\[0\]` must have rews"),
    ({"data": [{"obs": [0], "acts": [0], "rews": [0.0]}]}, r"`data\[0\]` must have .* one observation more"),
    ({"data": [{"obs": [0], "acts": [], "rews": [], "terminated": False}]}, "at least one transition"),
    ({"horizon": None}, "`horizon` must be given"),
    ({"horizon": 0}, "`horizon` must be a whole number of actions"),
    ({"initial": None}, "`initial` must be given, because single transitions"),
    ({"initial": [1.0]}, r"`initial` must have shape \(3,\)"),
    ({"initial": [0.5, 0.0, 0.0]}, "`initial` must sum to 1"),
    ({"num_states": 1}, "`num_states` must be more than every state in `data`, but is 1"),
    ({"num_states": 2}, "`num_states` must be more than every next_state in `data`, but is 2"),
    ({"num_states": 10**12}, "`num_states` must fit into memory"),
    ({"num_actions": 1}, "`num_actions` must be more than every action in `data`"),
    pytest.param({"unvisited": "invent"}, "`unvisited` must be one of refuse, forbid", marks=pytest.mark.wrong_types),
    ({"pseudocount": -1.0}, "`pseudocount` must be 0 or more and finite"),
    ({"pseudocount": np.ones((3, 2))}, r"`pseudocount` must be a number, or broadcast against .*\(3, 2, 3\)"),
    ({"unseen_reward": math.nan}, "`unseen_reward` must be less than"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=range(len(BAD)))
def test_invalid_data_and_sizes_are_refused(given, message):
    with pytest.raises((InvalidArgument, InvalidProblem), match=message):
        TabularMDP.from_transitions(**{"data": HALL, **SIZES, **given})


def test_an_end_that_is_also_a_state_is_refused():
    over = (np.array([0, 1, 0]), np.zeros(3, int), np.array([2, 0, 1]), np.zeros(3), np.array([1, 0, 1]))
    with pytest.raises(InvalidArgument, match=r"`num_states` must count a last state .* Pass num_states=4"):
        TabularMDP.from_transitions(over, horizon=1, initial=[1.0, 0.0, 0.0], num_states=3)
    found = TabularMDP.from_transitions(over, horizon=1, initial=[1.0, 0.0, 0.0, 0.0])
    assert rows(found)[0, 0] == {(3, 0.0): 1.0}
    assert rows(found)[2, 0] == {(2, 0.0): 1.0}, "state 2 was never entered"


@pytest.mark.slow
def test_draws_have_the_moments_of_the_dirichlet_posterior():
    """z-tests at 5 standard errors of the mean and the variance of each probability; the seed is fixed."""
    given = dict(SIZES, pseudocount=[0.3, 0.5, 2.0], unseen_reward=0.0)
    many = 3000
    ensemble = Ensemble.from_transitions(HALL, many, seed=7, **given)
    drawn = np.stack([transitions(each) for each in ensemble.members])[:, :2]
    counts = np.zeros((2, 2, 3))
    for s, a, n in zip(*HALL[:3], strict=True):
        counts[s, a, n] += 1
    alpha = counts + np.array([0.3, 0.5, 2.0])
    a, b = alpha, alpha.sum(-1, keepdims=True) - alpha
    mean, variance = a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
    excess = 6 * ((a - b) ** 2 * (a + b + 1) - a * b * (a + b + 2)) / (a * b * (a + b + 2) * (a + b + 3))
    of_mean = (drawn.mean(0) - mean) / np.sqrt(variance / many)
    of_variance = (((drawn - mean) ** 2).mean(0) - variance) / (variance * np.sqrt((excess + 2) / many))
    assert np.abs(of_mean).max() < 5
    assert np.abs(of_variance).max() < 5
    np.testing.assert_allclose(transitions(TabularMDP.from_transitions(HALL, **given))[:2], mean, atol=1e-14)


def test_the_members_share_everything_but_the_dynamics():
    mdp = random_mdp(0, horizon=6)
    episodes = to_episodes(mdp, TabularModel(mdp).blocks().sample(50, seed=1))
    one, again, other = (Ensemble.from_transitions(episodes, 4, seed=seed) for seed in (0, 0, 1))
    estimate = TabularMDP.from_transitions(episodes)
    for each, same, another in zip(one.members, again.members, other.members, strict=True):
        for name in ("initial", "successor", "reward", "horizon", "discount"):
            assert torch.equal(*(torch.as_tensor(getattr(mdp, name)) for mdp in (each, estimate)))
        assert torch.equal(each.probability, same.probability)
        assert not torch.equal(each.probability, another.probability)
        assert torch.equal(each.probability > 0, estimate.probability > 0)
    assert one.weights.tolist() == [0.25] * 4


def test_draws_of_tiny_counts_do_not_underflow():
    ensemble = Ensemble.from_transitions(HALL, 50, 1e-4, seed=0, unseen_reward=0.0, num_states=9, horizon=2,
                                         initial=[1.0] + 8 * [0.0])  # fmt: skip
    for each in ensemble.members:
        assert bool(each.probability.isfinite().all())


def test_invalid_arguments_of_draws_are_refused():
    with pytest.raises(InvalidArgument, match="`num_samples` must be a whole number, at least 1"):
        Ensemble.from_transitions(HALL, 0, **SIZES)
    with pytest.raises(InvalidArgument, match="`seed` must be"):
        Ensemble.from_transitions(HALL, 2, seed=-1, **SIZES)
    with pytest.raises(InvalidArgument, match="`num_samples` must fit into memory"):
        Ensemble.from_transitions(HALL, 10**12, **SIZES)
    with pytest.raises(InvalidProblem, match="never visited"):
        Ensemble.from_transitions([each[:3] for each in HALL[:4]], 2, num_actions=2, horizon=1, initial=[1.0, 0.0])
