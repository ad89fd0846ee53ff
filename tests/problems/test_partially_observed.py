"""Partial observation: the problem with a memory, the optimum over all histories, and the guides with a window."""

import dataclasses
import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import random_mdp
from strategies import distributions, laws, mdp_of, problem_of, problems

from pgm_control import (
    ClampedGuide,
    InvalidArgument,
    InvalidProblem,
    Optimism,
    PartiallyObservedMDP,
    PartiallyObservedModel,
    TabularModel,
    evaluate,
    fit,
    history_optimum,
    infer,
    remember,
    scorecard,
)
from pgm_control.guides import FreeWindowGuide, OpenLoopGuide, ViewGuide, WindowGuide
from pgm_control.inference.variational.elbo import elbo
from pgm_control.models import tiger
from pgm_control.testing import check_guide

pytestmark = pytest.mark.slow

fewer = settings(laws, max_examples=40)


class Sensor(NamedTuple):
    """Plain arrays: the observation on arrival, (action, state, observation), and the first observation or None."""

    arrival: np.ndarray
    first: np.ndarray | None


class Seen(NamedTuple):
    """An underlying problem with one prior for all states, and a sensor; `by_state` if it ignores the action."""

    problem: oracles.Problem
    sensor: Sensor
    by_state: bool

    @property
    def pomdp(self):
        """The same problem as a `PartiallyObservedMDP`, made with as few arguments as possible."""
        mdp, (arrival, first) = mdp_of(self.problem), self.sensor
        return PartiallyObservedMDP(mdp, first) if self.by_state else PartiallyObservedMDP(mdp, arrival, first)


@st.composite
def partial_problems(draw, horizon=3):
    """Partially observed problems with every form of `observation`."""
    problem = draw(problems())
    states, actions, _ = problem.probability.shape
    seen = draw(st.integers(1, 3 if states * actions < 5 else 2))
    prior = draw(distributions(actions))
    same = np.broadcast_to(prior, (states, actions)).copy()
    problem = dataclasses.replace(problem, horizon=min(problem.horizon, horizon), prior=same)

    def table():
        return np.asarray([draw(distributions(seen)) for _ in range(states)])

    form = draw(st.sampled_from(["state", "action", "action and first"]))
    if form == "state":
        first = table()
        arrival = np.broadcast_to(first, (actions, states, seen))
    else:
        arrival = np.asarray([table() for _ in range(actions)])
        first = table() if form == "action and first" else None
    return Seen(problem, Sensor(arrival, first), form == "state")


# The oracle: histories one at a time, by plain loops


def best_value(problem, sensor):
    """The max-ent (τ = 0: hard) value over all history policies; beliefs are dictionaries that sum to one."""
    tau = problem.temperature

    def soft(q):
        allowed = [(rho, each) for rho, each in zip(problem.prior[0], q, strict=True) if rho > 0]
        highest = max(each for _, each in allowed)
        if highest == -math.inf or tau == 0:
            return highest
        return highest + tau * math.log(sum(rho * math.exp((each - highest) / tau) for rho, each in allowed))

    def value(t, belief):
        if t == problem.horizon:
            return sum(b * float(problem.final_reward[s]) for s, b in belief.items())
        q = []
        for a in range(problem.prior.shape[1]):
            pay, heard = 0.0, defaultdict(lambda: defaultdict(float))
            for s, b in belief.items():
                for _, p, n, r in problem.outcomes(s, a):
                    pay += b * p * r
                    for o, chance in enumerate(sensor.arrival[a, n]):
                        if chance > 0:
                            heard[o][n] += b * p * chance
            for posterior in heard.values():
                total = sum(posterior.values())
                pay += problem.discount * total * value(t + 1, {n: w / total for n, w in posterior.items()})
            q.append(pay)
        return soft(q)

    first = np.ones((problem.ended, 1)) if sensor.first is None else sensor.first
    result = 0.0
    for o in range(first.shape[1]):
        joint = {s: float(p * first[s, o]) for s, p in enumerate(problem.initial) if p * first[s, o] > 0}
        if joint:
            total = sum(joint.values())
            result += total * value(0, {s: w / total for s, w in joint.items()})
    return result


def close(found, expected, tolerance=1e-9):
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


# The problem with a memory


@laws
@given(partial_problems(), st.sampled_from([1, 2, 3, None]), st.sampled_from([0.0, 1.0, -0.5]))
def test_a_memory_does_not_help_an_agent_that_sees_the_state(seen, window, optimism):
    """`infer` on the problem with a memory has the objective of the underlying problem, for any β, also of survival."""
    beta = Optimism(dynamics=optimism, initial=optimism, survival=optimism)
    behind = infer(TabularModel(seen.pomdp.mdp, seen.problem.temperature, seen.problem.prior), beta)
    remembered = remember(seen.pomdp, window)
    prior = remembered.action_prior(seen.problem.prior[0])
    found = infer(TabularModel(remembered.mdp, seen.problem.temperature, prior), beta)
    close(found.objective, behind.objective)


def joint_paths(problem, sensor):
    """Yield (states, actions, outcomes, observations) and probability of all trajectories that survive to the end."""
    first = np.ones((problem.ended, 1)) if sensor.first is None else sensor.first
    found = {}
    for path in oracles.paths(problem):
        if problem.ended in path.states:
            continue
        options = [((), path.probability)]
        for t, s in enumerate(path.states):
            row = first[s] if t == 0 else sensor.arrival[path.actions[t - 1], s]
            options = [((*observed, o), p * each) for observed, p in options for o, each in enumerate(row) if each > 0]
        for observed, p in options:
            found[path.states, path.actions, path.outcomes, observed if sensor.first is not None else observed[1:]] = p
    return found


@fewer
@given(partial_problems(horizon=2), st.sampled_from([1, 2, 3, None]))
def test_the_problem_with_a_memory_has_the_trajectories_of_the_pomdp(seen, window):
    """Trajectories have the same probabilities and sums of rewards, and the memory agrees with its definition."""
    problem, sensor, pomdp = seen.problem, seen.sensor, seen.pomdp
    remembered = remember(pomdp, window)
    mdp, width = remembered.mdp, 2 * (problem.horizon if window is None else window) - 1
    prior = np.broadcast_to(problem.prior[0], (mdp.num_states, mdp.num_actions))
    ours = dataclasses.replace(problem_of(mdp), prior=prior)
    found = {}
    for path in oracles.paths(ours):
        if ours.ended in path.states:
            continue
        states = tuple(int(remembered.state_of[n]) for n in path.states)
        memories = [remembered.memories[int(remembered.memory_of_state[n])] for n in path.states]
        outcomes, seen_after = zip(*(divmod(joint, pomdp.num_observations) for joint in path.outcomes), strict=True)
        observed = seen_after if sensor.first is None else (memories[0][0], *seen_after)
        past = () if sensor.first is None else observed[:1]
        assert memories[0] == past
        for t, a in enumerate(path.actions):
            past = (*past, a, seen_after[t])
            assert memories[t + 1] == past[-width:]
        found[states, path.actions, outcomes, observed] = path.probability
        plain = next(each for each in oracles.paths(problem) if each[:3] == (states, path.actions, outcomes))
        close(path.total, plain.total)
    expected = joint_paths(problem, sensor)
    assert found.keys() == expected.keys()
    for key, p in expected.items():
        close(found[key], p)


@laws
@given(partial_problems(), st.sampled_from([1, 2, 3, None]))
def test_only_pairs_that_can_be_reached_are_included_and_their_names_differ(seen, window):
    remembered = remember(seen.pomdp, window)
    mdp = remembered.mdp.replace(discount=1.0, reward=torch.zeros_like(remembered.mdp.reward), final_reward=None)
    visits = infer(TabularModel(mdp), 1.0).marginals().state.sum(0)
    assert (visits > 0).all()
    pairs = list(zip(remembered.state_of.tolist(), remembered.memory_of_state.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == len(set(mdp.state_names))
    assert len(set(remembered.memories)) == remembered.num_memories == len(remembered.memory_names)


@fewer
@given(partial_problems(), st.sampled_from([2, 3]), st.sampled_from([1, 2]))
def test_a_shorter_view_equals_the_memory_of_a_shorter_window(seen, window, shorter):
    """The pairs of the short window are those of the long one without the oldest part of the memory."""
    long, short = remember(seen.pomdp, window), remember(seen.pomdp, shorter)
    view = long.view(shorter)
    forgotten = [long.memories[m][-(2 * shorter - 1) :] for m in long.memory_of_state.tolist()]
    labels = dict(zip(view.tolist(), forgotten, strict=True))
    assert [labels[v] for v in view.tolist()] == forgotten
    assert len(set(labels.values())) == len(labels)
    ours = set(zip(long.state_of.tolist(), forgotten, strict=True))
    theirs = {
        (s, short.memories[m]) for s, m in zip(short.state_of.tolist(), short.memory_of_state.tolist(), strict=True)
    }
    assert ours == theirs


def test_state_names_give_the_true_state_and_the_memory():
    remembered = remember(tiger(horizon=2), 2)
    named = list(remembered.mdp.state_names or ())
    assert named[0] == "tiger left | nothing yet"
    assert "tiger left | heard left, listen, heard right" in named
    assert "tiger right | listen, heard right" in named
    assert set(remember(tiger(horizon=2), 1).memory_names) == {"nothing yet", "heard left", "heard right"}
    bare = remember(PartiallyObservedMDP(random_mdp(0, horizon=2), np.full((3, 2), 0.5)), 2)
    assert "1 | o0, a1, o1" in (bare.mdp.state_names or ())
    assert "window 2, 10 memories" in repr(bare)
    assert "2 observations" in repr(bare.pomdp)


def test_equal_names_are_numbered():
    """The name of an observation may equal the words for an action and two observations."""
    mdp = random_mdp(0, states=1, actions=1, horizon=1).replace(action_names=["b"])
    mdp = remember(PartiallyObservedMDP(mdp, [[0.5, 0.5]], observation_names=["a", "a, b, a"]), 2).mdp
    assert len(set(mdp.state_names)) == mdp.num_states
    assert mdp.state_names[0].startswith("0: ")


def test_horizon_discount_names_and_final_rewards_carry_over():
    mdp = random_mdp(3, horizon=2, discount=0.8).replace(final_reward=[1.0, 0.0, -1.0], action_names=["go", "stay"])
    found = remember(PartiallyObservedMDP(mdp.to(dtype=torch.float32), torch.eye(3)), 2).mdp
    assert (found.horizon, found.discount, found.action_names) == (2, 0.8, ("go", "stay"))
    assert found.probability.dtype == found.final_reward.dtype == torch.float32
    assert found.num_outcomes == mdp.num_outcomes * 3


# The optimum over all histories


@laws
@given(partial_problems(), st.booleans())
def test_the_history_optimum_is_the_recursion_over_beliefs(seen, hard):
    problem = dataclasses.replace(seen.problem, temperature=0.0) if hard else seen.problem
    found = history_optimum(PartiallyObservedModel(seen.pomdp, problem.temperature, problem.prior[0]))
    close(found.value, best_value(problem, seen.sensor))
    close(found.policy.sum(-1).numpy(), np.ones(found.v.shape))
    close(evaluate_in_nats(found), found.value if hard else found.objective)


def evaluate_in_nats(found):
    """The ELBO of its blocks by a forward sweep of another module; at τ = 0 the return."""
    if found.model.temperature > 0:
        return float(elbo(found.model, found.blocks()))
    warm = TabularModel(found.remembered.mdp, 1.0)
    return evaluate(warm, found.policy[:, found.remembered.memory_of_state]).true_return


@laws
@given(partial_problems())
def test_beliefs_of_the_history_optimum_follow_bayes(seen):
    """The belief of every history equals the one from enumerating all trajectories, for any action prior."""
    problem = seen.problem
    problem = dataclasses.replace(problem, discount=1.0, prior=np.full(problem.prior.shape, 0.5))
    optimum = history_optimum(PartiallyObservedModel(seen.pomdp))
    remembered, weight = optimum.remembered, defaultdict(lambda: np.zeros(problem.ended))
    for (states, actions, _, observed), p in joint_paths(problem, seen.sensor).items():
        skipped = 0 if seen.sensor.first is None else 1
        past = observed[:skipped]
        for t in range(problem.horizon):
            weight[t, past][states[t]] += p
            past = (*past, actions[t], observed[t + skipped])
    for (t, past), joint in weight.items():
        belief = np.zeros(problem.ended)
        for n in (remembered.memory_of_state == remembered.memories.index(past)).nonzero()[:, 0].tolist():
            belief[int(remembered.state_of[n])] = float(optimum.belief[t, n])
        close(belief, joint / joint.sum())
    assert int((optimum.belief > 0).sum()) == sum(int((joint > 0).sum()) for joint in weight.values())


@laws
@given(partial_problems())
def test_full_observation_gives_max_ent_control(seen):
    problem, mdp = seen.problem, seen.pomdp.mdp
    seeing = PartiallyObservedMDP(mdp, torch.eye(problem.ended))
    found = history_optimum(PartiallyObservedModel(seeing, problem.temperature, problem.prior[0]))
    close(found.objective, infer(TabularModel(mdp, problem.temperature, problem.prior), 0.0).objective)


@laws
@given(partial_problems())
def test_no_observation_gives_the_best_sequence_of_actions(seen):
    """An agent that remembers its actions may draw a whole plan: τ log E_ρ exp(E[R | plan] / τ)."""
    problem = dataclasses.replace(seen.problem, discount=1.0)
    tau, blind = problem.temperature, np.ones((problem.ended, 1))
    unseeing = PartiallyObservedMDP(mdp_of(problem), blind)
    found = history_optimum(PartiallyObservedModel(unseeing, tau, problem.prior[0]))
    returns = defaultdict(float)
    for plan in np.ndindex(*[problem.prior.shape[1]] * problem.horizon):
        value = problem.final_reward
        for a in reversed(plan):
            outcomes = [problem.outcomes(s, a) for s in range(problem.ended)]
            value = [sum(p * (r + value[n]) for _, p, n, r in row) for row in outcomes]
        returns[plan] = sum(p * v for p, v in zip(problem.initial, value, strict=True) if p > 0)
    terms = [(math.prod(problem.prior[0][a] for a in plan), total / tau) for plan, total in returns.items()]
    highest = max(x for weight, x in terms if weight > 0)
    expected = (
        highest
        if highest == -math.inf
        else highest + math.log(sum(w * math.exp(x - highest) for w, x in terms if w > 0))
    )
    close(found.objective, expected)


@laws
@given(partial_problems())
def test_seeing_the_state_has_at_least_the_value_of_the_past(seen):
    problem = seen.problem
    found = history_optimum(PartiallyObservedModel(seen.pomdp, problem.temperature, problem.prior[0]))
    bound = infer(found.model, 0.0).objective
    assert found.objective <= bound + 1e-9 * (1 + abs(bound)) or bound == -math.inf


# The tiger, by hand


@pytest.mark.parametrize(("horizon", "value"), [(1, -1.0), (2, -2.0), (3, 2.72)])
def test_the_tiger_agent_listens_until_two_observations_agree(horizon, value):
    best = history_optimum(PartiallyObservedModel(tiger(horizon), temperature=0.0))
    close(best.value, value, 1e-12)
    close(infer(best.model, 0.0).value, 10.0 * horizon, 1e-12)


def test_the_tiger_at_a_temperature_by_hand():
    """At T = 1 the value is V = τ log of the mean of exp −1/τ and twice exp −45/τ."""
    for tau in (0.5, 5.0, 50.0):
        expected = tau * math.log((math.exp(-1 / tau) + 2 * math.exp(-45 / tau)) / 3)
        close(history_optimum(PartiallyObservedModel(tiger(1), tau)).value, expected, 1e-12)
    believed = history_optimum(PartiallyObservedModel(tiger(3), 5.0))
    names = believed.remembered.mdp.state_names
    close(float(believed.belief[1, names.index("tiger left | listen, heard left")]), 0.85)
    for door in ("left", "right"):  # the tiger has moved, so earlier observations do not matter
        after = f"tiger left | listen, heard left, open {door}, heard left"
        close(float(believed.belief[2, names.index(after)]), 0.5)
    twice = 0.85**2 / (0.85**2 + 0.15**2)
    close(float(believed.belief[2, names.index("tiger left | listen, heard left, listen, heard left")]), twice)
    close(float(believed.belief[2, names.index("tiger left | open left, heard left, listen, heard left")]), 0.85)


def test_the_optimum_has_a_table():
    best = history_optimum(PartiallyObservedModel(tiger(3), temperature=5.0))
    rows = best.to_dict()["histories"]
    close(sum(row["probability"] for row in rows), 3.0)
    close([sum(row["policy"].values()) for row in rows], np.ones(len(rows)))
    printed = str(best).splitlines()
    assert "nothing yet" in printed[2]
    assert printed[-1].startswith(f"value {best.value:.6g} reward at temperature 5; {len(rows) - 20} more")
    assert "<table>" in best._repr_html_()
    assert "more" not in str(history_optimum(PartiallyObservedModel(tiger(2))))


# The guides with a window


def small(seed, seen=2, horizon=3, **sizes):
    """A problem with random dynamics, rewards and sensor."""
    sizes = {"states": 3, "actions": 2, "outcomes": 2, **sizes}
    sensor = np.random.default_rng(seed).dirichlet(np.ones(seen), sizes["states"])
    return PartiallyObservedMDP(random_mdp(seed, horizon=horizon, **sizes), sensor)


def fitted(guide):
    """The exact ELBO of the guide after SVI."""
    found = fit(guide.model, guide, num_steps=1500, tolerance=1e-4).elbo
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("pomdp", "temperature"),
    [(small(1, discount=0.8), 0.5), (small(2, horizon=2, actions=3), 0.2)],
    ids=["discounted", "cold"],
)
def test_longer_windows_do_better_up_to_the_history_optimum(pomdp, temperature):
    model = PartiallyObservedModel(pomdp, temperature)
    best = history_optimum(model)
    found = [fitted(WindowGuide(model, window)) for window in (1, 2, pomdp.mdp.horizon + 1)]
    assert found[-1] == pytest.approx(best.objective, abs=1e-3)
    assert np.diff(found).min() > -1e-4
    assert found[-1] <= best.objective + 1e-9 <= infer(best.model, 0.0).objective + 2e-9


def test_guides_with_several_windows_share_one_model():
    model = PartiallyObservedModel(tiger(3), 20.0)
    best = history_optimum(model)
    guides = {w: ViewGuide(best.model, best.remembered.view(w)) for w in (1, 2, 3)}
    found = {w: fitted(guide) for w, guide in guides.items()}
    assert found[2] == pytest.approx(fitted(WindowGuide(model, 2)), abs=1e-3)
    assert found[3] == pytest.approx(best.objective, abs=1e-3)
    table = scorecard(best.model, {**{str(w): guide for w, guide in guides.items()}, "best": best}).scores
    assert table["1"].elbo < table["2"].elbo - 1e-3 < table["3"].elbo < table["best"].elbo + 1e-9
    assert table["best"].delusion == pytest.approx(0.0, abs=1e-9)


def test_with_full_observation_the_window_guide_is_the_clamped_guide():
    mdp = random_mdp(4, outcomes=2)
    expected = fitted(ClampedGuide(TabularModel(mdp, 0.5)))
    seeing = PartiallyObservedModel(PartiallyObservedMDP(mdp, torch.eye(3)), 0.5)
    assert fitted(WindowGuide(seeing, window=1)) == pytest.approx(expected, abs=1e-3)
    assert expected == pytest.approx(infer(TabularModel(mdp, 0.5), 0.0).objective, abs=1e-3)


def test_without_observation_the_window_guide_is_the_open_loop_guide():
    mdp = random_mdp(5, outcomes=2)
    guide = WindowGuide(PartiallyObservedModel(PartiallyObservedMDP(mdp, np.ones((3, 1))), 0.5), window=1)
    assert fitted(guide) == pytest.approx(fitted(OpenLoopGuide(TabularModel(mdp, 0.5))), abs=1e-3)
    policy = guide.blocks().log_policy
    torch.testing.assert_close(policy, policy[:, :1].expand_as(policy))


def test_an_action_prior_has_one_row_or_one_for_each_memory():
    model = PartiallyObservedModel(small(6), 0.5, np.array([0.9, 0.1]))
    one = WindowGuide(model, 2)
    rows = model.action_prior.expand(one.remembered.num_memories, -1)
    other = TabularModel(one.remembered.mdp, 0.5, one.remembered.action_prior(rows))
    torch.testing.assert_close(one.model.action_prior, other.action_prior)
    torch.testing.assert_close(one.blocks().log_policy.exp(), one.model.blocks().log_policy.exp())


def test_an_action_forbidden_in_one_state_is_avoided_in_all_states_with_the_same_memory():
    """Opening the tiger's door is forbidden: an agent with a window of one cannot open, with the whole past it can."""
    pomdp = tiger(3, accuracy=1.0)
    reward = pomdp.mdp.reward.clone()
    reward[reward == -100] = -math.inf
    model = PartiallyObservedModel(PartiallyObservedMDP(pomdp.mdp.replace(reward=reward), pomdp.observation))
    guide = WindowGuide(model, window=None)
    assert fitted(guide) == pytest.approx(history_optimum(model).objective, abs=1e-3)
    assert math.isfinite(fitted(WindowGuide(model, window=1)))
    first = guide.blocks().log_policy[0, 0].exp()
    torch.testing.assert_close(first, torch.tensor([1.0, 0.0, 0.0], dtype=first.dtype))


@pytest.mark.parametrize("kind", [WindowGuide, FreeWindowGuide])
@pytest.mark.parametrize("pomdp", [small(8, horizon=2, discount=0.8), tiger(2)], ids=["random", "tiger"])
def test_window_guides_obey_the_laws_of_guides(kind, pomdp):
    guide = kind(PartiallyObservedModel(pomdp, 2.0), window=1)
    report = check_guide(guide.model, guide, seed=0)
    assert set(report.free) == ({"initial", "dynamics"} if kind is FreeWindowGuide else set())


def shaken(guide):
    noise = torch.Generator().manual_seed(0)
    for parameter in guide.parameters():
        parameter.data.normal_(generator=noise)
    return guide


def test_a_free_window_guide_chooses_the_place_of_the_tiger():
    """By hand at T = 1: the best product of a state and an action, and the evidence of an agent that sees the state."""
    guide = shaken(FreeWindowGuide(PartiallyObservedModel(tiger(1))))
    assert fitted(guide) == pytest.approx(10 - math.log(6), abs=1e-3)
    seen = evaluate(guide.model, guide)
    assert seen.imagined_return == pytest.approx(10.0, abs=0.01)
    assert seen.true_return == pytest.approx(-45.0, abs=0.01)


def test_a_free_window_guide_lies_between_the_clamped_one_and_the_posterior():
    pomdp = small(9, horizon=2, discount=0.8)
    model = PartiallyObservedModel(pomdp, 0.5)
    clamped, free = WindowGuide(model, 2), FreeWindowGuide(model, 2)
    low, high = fitted(clamped), fitted(free)
    assert low + 1e-3 < high <= infer(free.model, 1.0).objective + 1e-9
    seeing = FreeWindowGuide(PartiallyObservedModel(PartiallyObservedMDP(pomdp.mdp, torch.eye(3)), 0.5), 1)
    assert fitted(seeing) == pytest.approx(infer(TabularModel(pomdp.mdp, 0.5), 1.0).objective, abs=1e-3)


# Refusals


MDP = random_mdp(0, horizon=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MDP, [1.0, 0.0]), r"`observation` must have 2 axes \(state, observation\) or 3 axes \(action, state"),
        (
            (MDP, np.ones((2, 1))),
            r"`observation` must have shape \(3, 1\) \(state, observation\), but has shape \(2, 1\)",
        ),
        ((MDP, np.ones((3, 2, 1))), r"`observation` must have shape \(2, 3, 1\) \(action, state, observation\)"),
        ((MDP, [[0.5, 0.4]] * 3), "`observation.0.` must sum to 1 over its last axis, but sums to 0.9. Divide"),
        ((MDP, np.ones((3, 1)), np.ones((2, 1))), r"`initial_observation` must have shape \(3, 1\)"),
        ((MDP, np.ones((3, 1)), -np.ones((3, 1))), "`initial_observation.0, 0.` must be a probability, but is -1"),
        ((MDP, np.ones((3, 1)), None, ["a", "b"]), "`observation_names` must hold 1 names"),
    ],
)
def test_a_sensor_is_checked(arguments, message):
    with pytest.raises(InvalidProblem, match=message):
        PartiallyObservedMDP(*arguments)


def test_too_many_memories_and_wrong_windows_are_refused():
    pomdp = PartiallyObservedMDP(MDP, np.full((3, 2), 0.5))
    with pytest.raises(
        InvalidArgument, match=r"at most 1000 pairs of state and memory, but 20 .* Take a smaller window"
    ):
        remember(pomdp, max_states=1000)
    with pytest.raises(InvalidArgument, match="smaller window or a shorter horizon, or raise `max_states`"):
        history_optimum(PartiallyObservedModel(pomdp), max_states=1000)
    for window in (0, True):
        with pytest.raises(InvalidArgument, match="`window` must be a whole number, at least 1"):
            remember(pomdp, window)
    with pytest.raises(InvalidProblem, match="`pomdp` must be a PartiallyObservedMDP, but is a TabularMDP"):
        remember(pomdp.mdp)  # pyright: ignore[reportArgumentType]
    remembered = remember(pomdp, 2)
    for window in (0, 3):
        with pytest.raises(InvalidArgument, match=r"1 to 2, but is .*make it by remember"):
            remembered.view(window)
    for prior, meaning in ((np.ones((1, 2)), "one row a memory"), (np.ones(3), "one probability an action")):
        with pytest.raises(InvalidProblem, match=meaning):
            remembered.action_prior(prior)
    assert history_optimum(PartiallyObservedModel(tiger(1), 0.0)).objective is None
    with pytest.raises(InvalidArgument, match="swap the names"):
        tiger(accuracy=0.2)


def test_the_sensor_is_a_factor_of_its_own():
    """An agent that sees the state gains nothing from the sensor, whichever factor is freed."""
    remembered = remember(tiger(horizon=2), 2)
    assert remembered.mdp.factors is not None
    assert remembered.mdp.factors.names == ("dynamics", "observation")
    model = TabularModel(remembered.mdp, 5.0)
    for freed in (0.0, 1.0, -0.5):
        apart = infer(model, Optimism({"dynamics": freed, "observation": 1.0}, freed)).objective
        whole = infer(model, Optimism({"dynamics": freed, "observation": 0.0}, freed)).objective
        assert apart == pytest.approx(whole) == pytest.approx(infer(TabularModel(tiger(2).mdp, 5.0), freed).objective)
