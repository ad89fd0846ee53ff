"""Tests of explanations: the sentences follow a grammar, and their numbers are those of exact inference."""

import math
import re

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from strategies import laws, model_of, problem_of, problems

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, evaluate, explain, infer, zoo
from pgm_control.chance.log_space import expect, relative
from pgm_control.models import deterministic_twin, lottery, restaurant, slippery_cliff
from pgm_control.text.wording import action_phrase, amount, chance, state_phrase
from pgm_control.trajectories.beliefs import believed_event, tilted_events

pytestmark = pytest.mark.slow  # run against the source tree only


def test_the_sentences_of_the_restaurant():
    said = explain(TabularModel(restaurant()))
    assert said.sentences == (
        'The free guide believes in luck: "Italian" in state "hungry" leads to state "spectacular dinner" (reward 8) '
        'with probability 0.711 (truly 0.2), and to state "bad dinner" (reward -10) only with probability less than '
        "1 in a million (truly 0.2).",
        'At the start, in state "hungry", it therefore chooses "Italian" with probability 0.621 and "French" with '
        '0.379; the clamped guide, which takes luck as it comes, chooses "Italian" with probability 0.109 and "French" '
        "with 0.891.",
        'Between β = 0 (clamped) and 1 (free) the preferred action flips from "French" to "Italian" at β = 0.346.',
        "The free guide imagines a return of 7.104 reward units but truly earns 3.996, a delusion of 3.107; the "
        "clamped guide imagines 5.071 and truly earns the same.",
        "Optimism costs 1.074 reward units an episode in the true world.",
        "The free guide reaches log p(O) = 6.515 nats, and no clamped guide an ELBO above 4.722: a gap of 1.793 nats.",
    )
    assert str(said).splitlines() == list(said.sentences)
    assert said.headline == "The free guide imagines 7.104 but truly earns 3.996; the clamped guide earns 5.071"


@pytest.mark.parametrize(
    "mdp", [restaurant(), lottery(), random_mdp(3), random_mdp(3, discount=0.9), gamble(4)], ids=lambda mdp: repr(mdp)
)
def test_the_numbers_are_those_of_exact_inference(mdp):
    model = TabularModel(mdp, 0.8)
    said, free, clamped = explain(model), infer(model, 1.0), infer(model, 0.0)
    assert said.differs
    assert (said.free, said.clamped) == (evaluate(model, free), evaluate(model, clamped))
    assert said.gap == pytest.approx(free.objective - clamped.objective, abs=1e-12)
    assert said.price_of_optimism == said.clamped.true_return - said.free.true_return
    for choice in (said.at_start, said.choice):
        assert choice.free == tuple(free.policy[choice.time, choice.state].tolist())
        assert choice.clamped == tuple(clamped.policy[choice.time, choice.state].tolist())
    assert said.at_start.time == 0
    assert said.at_start.state == int(mdp.initial.argmax())
    text = str(said)
    for number in (said.free.true_return, said.clamped.true_return, said.free.elbo, said.gap, said.free.delusion):
        assert amount(number) in text
    assert chance(said.events[0].raised.believed) in said.sentences[0]
    assert chance(said.events[0].raised.true) in said.sentences[0]


@pytest.mark.parametrize("horizon", [1, 6])
def test_events_are_pooled_over_time_and_ranked_by_tilt(horizon):
    model = TabularModel(random_mdp(5, states=4, horizon=horizon))
    free, mdp = infer(model, 1.0), model.mdp
    visits = free.marginals().state_action
    log_q = free.blocks().log_dynamics
    tilt = (visits * expect(log_q, relative(log_q, model.blocks().log_dynamics))).sum(0)
    events = tilted_events(model, free, max_rows=100)
    assert (events[0].state, events[0].action) == divmod(int(tilt.argmax()), mdp.num_actions)
    assert [event.tilt for event in events] == sorted((event.tilt for event in events), reverse=True)
    assert len({event.state for event in events}) == len(events)
    for event in events:
        assert event.tilt == pytest.approx(float(tilt[event.state, event.action]), rel=1e-9)
        assert event.visits == pytest.approx(float(visits[:, event.state, event.action].sum()), rel=1e-9)
        joint = free.marginals().outcome[:, event.state, event.action].sum(0)
        for outcome in event.outcomes:
            same = (mdp.successor[event.state, event.action] == outcome.successor) & (
                mdp.reward[event.state, event.action] == outcome.reward
            )
            assert outcome.believed == pytest.approx(float(joint[same].sum() / joint.sum()), rel=1e-9)
            assert outcome.true == pytest.approx(
                float(mdp.probability[event.state, event.action, same].sum()), rel=1e-12
            )
        assert sum(outcome.believed for outcome in event.outcomes) == pytest.approx(1.0)


def test_a_clamped_guide_believes_the_true_probabilities():
    model = TabularModel(random_mdp(5))
    clamped = infer(model, 0.0)
    assert tilted_events(model, clamped) == ()
    assert all(
        outcome.believed == pytest.approx(outcome.true) for outcome in believed_event(model, clamped, 1, 0).outcomes
    )


def test_outcomes_with_the_same_successor_and_reward_are_pooled():
    mdp = TabularMDP(
        initial=[1.0, 0.0],
        probability=[[[0.25] * 4], [[1.0, 0.0, 0.0, 0.0]]],
        successor=[[[0, 1, 1, 1]], [[1] * 4]],
        reward=[[[0.0, 1.0, 1.0, 2.0]], [[0.0] * 4]],
        horizon=1,
    )
    event = believed_event(TabularModel(mdp), infer(TabularModel(mdp), 1.0), 0, 0)
    true = {(outcome.successor, outcome.reward): outcome.true for outcome in event.outcomes}
    assert true == {(0, 0.0): 0.25, (1, 1.0): 0.5, (1, 2.0): 0.25}
    weight = {outcome.reward: outcome.true * math.exp(outcome.reward) for outcome in event.outcomes}
    for outcome in event.outcomes:
        assert outcome.believed == pytest.approx(weight[outcome.reward] / sum(weight.values()))


def test_slippery_cliff():
    said = explain(TabularModel(slippery_cliff()))
    assert said.free.true_return == pytest.approx(-486.2090, abs=5e-5)
    assert said.clamped.true_return == pytest.approx(-49.8002, abs=5e-5)
    assert "truly earns -486.21," in str(said)
    assert "-49.80" in str(said)
    assert "Optimism costs 436.41 reward units an episode in the true world." in said.sentences
    falls = "to state (3, 0) (reward -100) only with probability less than 1 in a million (truly 0.333)"
    assert falls in said.sentences[1]
    assert "averaged over an episode" in said.sentences[0]


@pytest.mark.parametrize("mdp", [deterministic_twin(lottery()), deterministic_twin(random_mdp(2, horizon=5))])
def test_without_random_dynamics_there_is_no_difference(mdp):
    said = explain(TabularModel(mdp))
    assert not said.differs
    assert said.events == ()
    assert said.sentences[0] == (
        "There is no difference between free and clamped inference: the dynamics are deterministic, so there is no "
        "luck to believe in."
    )
    assert said.flip is None
    assert said.headline.startswith("No difference")
    assert said.gap == pytest.approx(0.0, abs=1e-10)
    assert said.price_of_optimism == pytest.approx(0.0, abs=1e-10)


def test_random_dynamics_that_do_not_affect_the_reward_make_no_difference():
    mdp = TabularMDP([1.0, 0.0], [[[0.5, 0.5]], [[0.5, 0.5]]], [[[0, 1]], [[0, 1]]], [[[1, 1]], [[1, 1]]], 5)
    said = explain(TabularModel(mdp))
    assert not said.differs
    assert "nothing is won by believing in luck" in said.sentences[0]


def test_single_precision_noise_is_no_difference():
    mdp = deterministic_twin(random_mdp(2, horizon=30)).to(dtype=torch.float32)
    assert not explain(TabularModel(mdp, 0.05)).differs


def test_only_the_start_is_tilted():
    mdp = TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4"), horizon=12)
    model = TabularModel(mdp)
    said, start = explain(model), infer(model, 1.0).initial
    assert said.differs
    assert said.events == ()
    most_raised = int((start - mdp.initial).argmax())
    assert said.sentences[0] == (
        f"The free guide believes in a lucky start: {state_phrase(mdp, most_raised)} comes with probability "
        f"{chance(float(start[most_raised]))} (truly {chance(float(mdp.initial[most_raised]))})."
    )
    assert "the two choose alike, and so they do everywhere" in said.sentences[1]
    assert "Optimism costs nothing here: both truly earn the same." in said.sentences


def test_optimism_that_increases_the_true_return_has_no_price():
    said = explain(TabularModel(TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), horizon=20)))
    assert said.price_of_optimism < 0
    assert f"the free policy truly earns {amount(-said.price_of_optimism)} more" in str(said)
    assert "choose alike to within" in str(said)


def test_if_the_first_choices_agree_the_largest_difference_is_named():
    model = TabularModel(random_mdp(3))
    said = explain(model)
    assert said.at_start.apart < 0.01 <= said.choice.apart
    assert "they differ most in state 1 at t = 0" in str(said)


def forbidding(escape):
    """A problem where action 0 may lead to a forbidden outcome, and action 1 is safe if `escape`."""
    return TabularMDP(
        [1.0, 0.0],
        [[[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0]] * 2],
        [[[0, 1], [0, 1]], [[1, 1]] * 2],
        [[[3.0, -torch.inf], [1.0, 1.0 if escape else -torch.inf]], [[0.0, 0.0]] * 2],
        2,
    )


def test_forbidden_outcomes():
    said = explain(TabularModel(forbidding(escape=True)))
    assert "truly earns minus infinity" in str(said)
    assert "The price of optimism is infinite" in str(said)
    assert "(forbidden)" not in said.sentences[0], "of two outcomes only the first is named"
    said = explain(TabularModel(forbidding(escape=False)))
    assert "No policy is safe here" in str(said)
    assert "nan" not in str(said)


def test_temperature_zero_is_refused():
    with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
        explain(TabularModel(restaurant(), 0.0))


def test_with_a_discount_the_sentences_do_not_mention_the_evidence():
    said = explain(TabularModel(random_mdp(3, discount=0.9)))
    assert "log p(O)" not in str(said)
    assert "The free guide reaches an ELBO of" in str(said)


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.0, "less than 1 in a million"),
        (1e-300, "less than 1 in a million"),
        (2.5e-6, "0.0000025"),
        (0.00333333, "0.0033"),
        (0.2, "0.2"),
        (1 / 3, "0.333"),
        (0.9996, "0.9996"),
        (0.99961234, "0.99961"),
        (1 - 1e-9, "more than 999,999 in a million"),
        (1.0, "more than 999,999 in a million"),
    ],
)
def test_probabilities_never_round_to_certainty(probability, text):
    assert chance(probability) == text


def test_probabilities_have_two_correct_digits_near_0_and_1():
    random = torch.rand(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for rare in (random / 2).pow(3).clamp(min=1e-6).tolist():
        for p in (rare, 1 - rare):
            read = float(chance(p))
            assert abs(min(read, 1 - read) - rare) <= 0.051 * rare


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (5.0, "5"), (-486.20902, "-486.21"), (0.0370059, "0.03701"), (3e7, "3e+07"),
     (-0.00005, "-0.00005"), (float("-inf"), "minus infinity"), (float("inf"), "infinity"), (999999.996, "1000000.00")],
)  # fmt: skip
def test_amounts(value, text):
    assert amount(value) == text


def test_any_name_gives_a_noun_phrase():
    names = ("state 5", "(3, 0)", "7", "at home", "é", "", "state of grace")
    mdp = random_mdp(0, states=7).replace(state_names=names, action_names=("pick up", "action 1"))
    assert [state_phrase(mdp, s) for s in range(7)] == [
        "state 5", "state (3, 0)", "state 7", 'state "at home"', 'state "é"', 'state ""', 'state "state of grace"',
    ]  # fmt: skip
    assert [action_phrase(mdp, a) for a in range(2)] == ['"pick up"', "action 1"]


def test_sentences_start_with_a_capital_and_end_with_a_full_stop():
    for mdp in (restaurant(), lottery(), random_mdp(3), deterministic_twin(lottery())):
        for sentence in explain(TabularModel(mdp)).sentences:
            assert re.fullmatch(r"[A-Z].*[^.]\.", sentence)
            assert "  " not in sentence


class Solved:
    """The exact optimum for one β with its beliefs, returns and objective, in numpy."""

    def __init__(self, problem, beta):
        p, tau, v = problem, problem.temperature, problem.final_reward
        self.problem, self.policy, self.dynamics = p, [], []
        for _ in range(p.horizon):
            x = p.reward + p.discount * v[p.successor]
            self.dynamics.insert(0, tilted(p.probability, x, beta / tau))
            q = mixed(p.probability, x, beta / tau)
            self.policy.insert(0, tilted(p.prior, q, 1 / tau))
            v = mixed(p.prior, q, 1 / tau)
        self.start, self.objective = tilted(p.initial, v, beta / tau), float(mixed(p.initial, v, beta / tau)) / tau
        self.imagined, self.visits, self.states = self.walk(self.start, self.dynamics)
        self.true = self.walk(p.initial, [p.probability] * p.horizon)[0]
        kl = [relative_entropy(dynamics, p.probability) for dynamics in self.dynamics]
        self.tilt = np.sum([t.sum(-1) * each for t, each in zip(self.visits, kl, strict=True)], axis=0)
        entropy = [relative_entropy(policy, p.prior) for policy in self.policy]
        self.start_tilt = relative_entropy(self.start, p.initial)
        paid = sum(float((s * each).sum()) for s, each in zip(self.states, entropy, strict=False))
        self.elbo = self.imagined_undiscounted / tau - paid - float(self.tilt.sum()) - self.start_tilt

    def walk(self, start, dynamics):
        """The return, and the visits by (time, state, action, outcome) and by (time, state), while alive."""
        p, here, visits, states = self.problem, start, [], [start]
        for policy, outcomes in zip(self.policy, dynamics, strict=True):
            visits.append(here[:, None, None] * policy[..., None] * outcomes)
            here = np.zeros_like(start)
            np.add.at(here, p.successor, p.discount * visits[-1])
            states.append(here)
        earned = sum(float((each * p.reward).sum()) for each in visits) + float(here @ p.final_reward)
        if not hasattr(self, "imagined_undiscounted"):
            self.imagined_undiscounted = earned
        return earned, visits, states


def mixed(weight, x, slope):
    """The certainty equivalent (1/slope) log Σ w exp(slope x); the mean at slope 0."""
    if slope == 0:
        return (weight * x).sum(-1)
    y = np.where(weight > 0, slope * x, -np.inf)
    top = y.max(-1, keepdims=True)
    return (top[..., 0] + np.log((weight * np.exp(y - top)).sum(-1))) / slope


def tilted(weight, x, slope):
    y = np.where(weight > 0, slope * x, -np.inf)
    w = weight * np.exp(y - y.max(-1, keepdims=True))
    return w / w.sum(-1, keepdims=True)


def relative_entropy(q, p):
    """The Kullback-Leibler divergence along the last axis, in nats."""
    return np.where(q > 0, q * (np.log(np.where(q > 0, q, 1.0)) - np.log(np.where(p > 0, p, 1.0))), 0.0).sum(-1)


N = r"(less than 1 in a million|more than 999,999 in a million|-?\d[\d.]*(?:e[+-]\d+)?)"  # a number as it is printed
PLACE = r"(?:At the start, in|Starting in) (?P<state>state .+?)"
ACTS = (
    rf"chooses (?P<more>.+?) with probability {N} and (?P<less>.+?) with {N}; the clamped guide, which takes luck as "
    rf"it comes, chooses (?P=more) with probability {N} and (?P=less) with {N}"
)
TARGET = rf"(?:leads to (?P<target>state .+?)(?: \(reward {N}\))?|pays {N})"
DENIED = rf"(?:, and (?:to (?P<denied>state .+?)(?: \(reward {N}\))?|{N}) only with probability {N} \(truly {N}\))?"
GUIDE = rf"The (?:free guide|guide of β = {N})"
GRAMMAR = {
    "event": rf"(?:{GUIDE} believes in (?:bad )?luck(?: \(averaged over an episode\))?:|It also believes that) "
    rf"(?P<action>.+?) in (?P<state>state .+?) {TARGET} with probability {N} \(truly {N}\){DENIED}\.",
    "start": rf"(?:{GUIDE} believes in a|It believes in a)n? (?:un)?lucky start(?: as well)?: (?P<state>state .+?) "
    rf"comes with probability {N} \(truly {N}\)\.",
    "choice": rf"{PLACE}, it therefore {ACTS}\.",
    "alike": rf"{PLACE}, the two choose alike, and so they do everywhere\.",
    "nearly": rf"{PLACE}, the two choose alike to within {N}; where they differ most, they do so by {N}\.",
    "elsewhere": rf"{PLACE}, the two choose alike to within {N}; they differ most in (?P<where>state .+?) at t = {N}\. "
    rf"There it {ACTS}\.",
    "flip": rf"Between β = 0 \(clamped\) and {N}(?: \(free\))? the preferred action flips from (?P<before>.+?) to "
    rf"(?P<after>.+?) at β = {N}\.",
    "returns": rf"{GUIDE} imagines a return of {N} reward units (?:and truly earns the same|but truly earns {N}, a "
    rf"delusion of {N}|and truly earns {N}, which is {N} more); the clamped guide imagines {N} and truly earns the "
    r"same\.",
    "price": rf"(?P<belief>Optimism|Pessimism) costs (?:{N} reward units an episode in the true world\.|nothing here: "
    rf"both truly earn the same\.|nothing here: (?:the free|its) policy truly earns {N} more\. At temperature {N} the "
    r"clamped policy is the best trade of return for entropy, not the best return\.)",
    "evidence": rf"The free guide reaches (?:log p\(O\) =|an ELBO of) {N} nats, and no clamped guide an ELBO above "
    rf"{N}: a gap of {N} nats\.(?: Both leave survival alone; a guide that freed it too would reach more\.)?",
    "objective": rf"The best objective J_β is {N} nats at β = {N}, and {N} at β = 0; the ELBO of this guide is {N} "
    r"nats\.",
    "no difference": rf"There is no difference between (?:free|β = {N}) and clamped inference: (?P<reason>.+?)\.",
    "both choose": rf"{PLACE}, both choose (?P<named>.+?) with probability {N}(?: each)?\.",
    "both imagine": rf"Both imagine a return of {N} reward units and truly earn it\.",
    "both reach": rf"Both reach (?:log p\(O\) =|an ELBO of) {N} nats: a gap of 0\.",
}


def parsed(sentence):
    """The kind of a sentence, its names, and all of its numbers as they are printed."""
    fits = [(kind, match) for kind, rule in GRAMMAR.items() if (match := re.fullmatch(rule, sentence))]
    assert len(fits) == 1, f"{sentence!r} is {[kind for kind, _ in fits]}"
    kind, match = fits[0]
    names = match.groupdict()
    unnamed = [i for i in range(1, match.re.groups + 1) if i not in match.re.groupindex.values()]
    return kind, names, [match[i] for i in unnamed]


def said_as(text, exact, noise=1e-9):
    """True if the text is a correct rounding of the number, in words or digits."""
    if text == "less than 1 in a million":
        return exact < 1e-6 + noise
    if text == "more than 999,999 in a million":
        return exact > 1 - 1e-6 - noise
    digits = len(text.partition(".")[2])
    short = len(text.lstrip("-0.").replace(".", "")) < 4 and digits < 3  # printed in full
    slack = 5.1e-4 * abs(exact) if "e" in text else 0 if short else 0.5 * 10**-digits
    return abs(float(text) - exact) <= slack * (1 + 1e-9) + noise * max(1.0, abs(exact))


def check_sentences(model, problem, beta, flips=1e-9, flip=True):
    """Check every name and number of every sentence against the solutions in numpy."""
    mdp, said = model.mdp, explain(model, beta, flip=flip)
    guide, clamped = Solved(problem, beta), Solved(problem, 0.0)
    states = {state_phrase(mdp, s): s for s in range(mdp.num_states)}
    actions = {action_phrase(mdp, a): a for a in range(mdp.num_actions)}
    kinds = [parsed(sentence) for sentence in said.sentences]

    def agree(numbers, *exact):
        assert len(numbers) == len(exact)
        for text, number in zip(numbers, exact, strict=True):
            assert said_as(text, number), (text, number, said.sentences)

    def acts(names, numbers, t, s):
        more, less = actions[names["more"]], actions[names["less"]]
        free, plain = guide.policy[t][s], clamped.policy[t][s]
        assert free[more] - plain[more] >= (free - plain).max() - 1e-9
        assert free[less] - plain[less] <= (free - plain).min() + 1e-9
        agree(numbers, free[more], free[less], plain[more], plain[less])

    def outcomes(s, a, target, reward):
        """The outcomes with this successor and reward, if they are named."""
        rewards = mdp.reward[s, a].tolist()
        return [
            k
            for k in range(mdp.num_outcomes)
            if (target is None or int(mdp.successor[s, a, k]) == states[target])
            and (reward is None or said_as(reward, rewards[k]))
            and problem.probability[s, a, k] > 0
        ]

    events = []
    start = int(np.argmax(problem.initial))
    place = "At the start, in" if np.count_nonzero(problem.initial) == 1 else "Starting in"
    telling = (0, start)
    for sentence, (kind, names, numbers) in zip(said.sentences, kinds, strict=True):
        if sentence.startswith("The guide of β"):
            agree(numbers[:1], beta)
        if sentence.startswith(("The free guide", "The guide of β")) and kind != "evidence":
            assert sentence.startswith("The free guide") == (beta == 1)
            numbers = numbers[1:]
        elif kind == "event" or kind == "start":
            numbers = numbers[1:]
        if names.get("state") in states and kind in ("choice", "alike", "nearly", "elsewhere", "both choose"):
            assert states[names["state"]] == start
            assert sentence.startswith(place)
        if sentence.startswith(("The free guide believes", "The guide of β")) and kind in ("event", "start"):
            assert (" bad luck" in sentence or " unlucky" in sentence) == (beta < 0)
        if kind == "event":
            s, a = states[names["state"]], actions[names["action"]]
            events.append((s, a))
            by_outcome = np.sum(guide.visits, axis=0)[s, a]
            reward, pay, believed, true, other, other_pay, less, truly = numbers
            raised = outcomes(s, a, names["target"], reward or pay)
            agree(
                [believed, true], by_outcome[raised].sum() / by_outcome.sum(), problem.probability[s, a, raised].sum()
            )
            assert said_as(believed, 1.0) or said_as(true, 0.0) or float(true) <= float(believed) or "in a" in true
            if less is not None:
                denied = outcomes(s, a, names["denied"], other or other_pay)
                agree(
                    [less, truly], by_outcome[denied].sum() / by_outcome.sum(), problem.probability[s, a, denied].sum()
                )
        elif kind == "start":
            s = states[names["state"]]
            assert guide.start[s] - problem.initial[s] >= (guide.start - problem.initial).max() - 1e-9
            agree(numbers, guide.start[s], problem.initial[s])
        elif kind == "choice":
            acts(names, numbers, 0, start)
        elif kind in ("nearly", "elsewhere", "alike"):
            apart = [np.abs(f - c).max(-1) for f, c in zip(guide.policy, clamped.policy, strict=True)]
            seen = [(g + c)[:, None].T / 2 for g, c in zip(guide.states, clamped.states, strict=True)]
            weighed = [float((w[0] * each).max()) for w, each in zip(seen, apart, strict=False)]
            if kind == "alike":
                assert max(weighed) <= 1e-5
            else:
                assert apart[0][start] <= max(0.0100001, float(numbers[0]) if "in a" not in numbers[0] else 1e-6)
                assert "in a" in numbers[0] or abs(float(numbers[0]) - max(apart[0][start], 1e-6)) <= 1e-3
            if kind == "nearly":
                assert any(
                    said_as(numbers[1], float(each.max())) or said_as(numbers[1], e) for each in apart for e in each
                )
            if kind == "elsewhere":
                t, s = int(numbers[1]), states[names["where"]]
                telling = (t, s)
                assert seen[t][0][s] * apart[t][s] >= max(weighed) - 1e-9
                acts(names, numbers[2:], t, s)
        elif kind == "flip":
            (t, s), (before, after) = telling, (actions[names["before"]], actions[names["after"]])
            agree(numbers[:1], beta)
            unit = max(abs(float(numbers[1])) * 10**-2, 1e-12)
            for side, (liked, other) in ((-1, (before, after)), (1, (after, before))):
                policy = Solved(problem, float(numbers[1]) + side * math.copysign(unit, beta)).policy[t][s]
                assert policy[liked] > policy[other] - flips
        elif kind == "returns":
            imagined, lost, delusion, gained, more, other = numbers
            agree([imagined, other], guide.imagined, clamped.true)
            assert clamped.imagined == pytest.approx(clamped.true, abs=1e-9)
            if lost:
                agree([lost, delusion], guide.true, guide.imagined - guide.true)
            elif gained:
                agree([gained, more], guide.true, guide.true - guide.imagined)
            else:
                assert guide.true == pytest.approx(guide.imagined, rel=1e-7, abs=1e-7)
        elif kind == "price":
            cost, gain, temperature = numbers
            assert names["belief"] == ("Optimism" if beta > 0 else "Pessimism")
            if cost:
                agree([cost], clamped.true - guide.true)
            elif gain:
                agree([gain, temperature], guide.true - clamped.true, problem.temperature)
            else:
                assert guide.true == pytest.approx(clamped.true, rel=1e-7, abs=1e-7)
        elif kind == "evidence":
            agree(numbers[1:] if numbers[0] is None else numbers, guide.elbo, clamped.elbo, guide.elbo - clamped.elbo)
            assert guide.elbo == pytest.approx(guide.objective, abs=1e-8)
            assert ("log p(O)" in sentence) == (problem.discount == 1)
        elif kind == "objective":
            agree(numbers, guide.objective, beta, clamped.objective, guide.elbo)
        elif kind == "no difference":
            assert (numbers[0] is None) == (beta == 1)
        elif kind == "both choose":
            named = re.findall("|".join(map(re.escape, sorted(actions, key=len, reverse=True))), names["named"])
            for name in named:
                assert guide.policy[0][start][actions[name]] >= guide.policy[0][start].max() - 2e-6
            agree(numbers, guide.policy[0][start].max())
        elif kind == "both imagine":
            agree(numbers, guide.imagined)
            agree(numbers, guide.true)
        elif kind == "both reach":
            agree(numbers, guide.elbo)
            agree(numbers, clamped.elbo)
            assert ("log p(O)" in sentence) == (problem.discount == 1 and beta == 1)
    if events:
        assert guide.tilt[events[0]] >= guide.tilt.max() - 1e-9
    spread = guide.tilt.max() + guide.start_tilt
    assert said.differs == (spread > 1e-7) or 1e-9 < spread < 1e-5 or guide.elbo - clamped.elbo > 1e-8
    expected = {"returns", "price", "evidence" if beta == 1 else "objective"}
    alone = {"no difference", "both choose", "both imagine", "both reach"}
    assert {kind for kind, _, _ in kinds} >= (expected if said.differs else alone)
    free, plain = (each.policy[telling[0]][telling[1]] for each in (guide, clamped))
    if flip and np.abs(free - plain).max() >= 0.0101 and said.differs:
        ahead = np.sort(free)[-1] - free[plain.argmax()], np.sort(plain)[-1] - plain[free.argmax()]
        if min(ahead) > 1e-6:
            assert "flip" in {kind for kind, _, _ in kinds}
        elif max(ahead) == 0:
            assert "flip" not in {kind for kind, _, _ in kinds}
    return said


@pytest.mark.parametrize("name", list(zoo()))
def test_every_number_in_the_sentences_on_the_zoo_is_exact(name):
    model = TabularModel(zoo()[name].build())
    said = check_sentences(model, problem_of(model.mdp), 1.0)
    assert said.differs != name.endswith("_twin")
    assert ("the dynamics are deterministic" in said.sentences[0]) == name.endswith("_twin")


@pytest.mark.parametrize("beta", [1.0, 0.3, -0.5, 0.0, 4.0])
@pytest.mark.parametrize(
    "name", ["restaurant", "lottery", "risky_path", "windy_bridge", "slippery_cliff", "frozen_lake"]
)
def test_every_number_is_exact_for_every_optimism(name, beta):
    mdp = zoo()[name].build(**({} if name in ("restaurant", "lottery") else {"horizon": 10}))
    check_sentences(TabularModel(mdp, 0.5), problem_of(mdp, 0.5), beta)


@laws
@given(problems(forbidden=False), st.sampled_from([1.0, 1.0, 0.25, -0.5, -3.0, 2.0]), st.integers(0, 2))
def test_every_number_in_the_sentences_on_random_problems_is_exact(problem, beta, third):
    check_sentences(model_of(problem), problem, beta, flips=1e-2, flip=third == 0)


def test_the_flip_of_the_restaurant():
    said = explain(TabularModel(restaurant()))
    assert said.flip is not None
    assert said.flip.optimism == pytest.approx(0.345580, abs=5e-7)
    assert (said.flip.before, said.flip.after) == (1, 0)
    assert explain(TabularModel(restaurant()), flip=False).flip is None
    assert explain(TabularModel(restaurant()), 0.3).flip is None, "the critical optimism is larger"


def test_equally_good_actions_are_all_named():
    said = explain(TabularModel(deterministic_twin(restaurant())))
    assert '"Italian" or "French" with probability 0.5 each' in said.sentences[1]
    alike = TabularMDP([1.0], [[[1.0]] * 7], [[[0]] * 7], [[[0.0]] * 7], 1)
    assert "any of 7 actions with probability 0.143 each" in str(explain(TabularModel(alike)))


@pytest.mark.parametrize("optimism", [math.inf, -math.inf, math.nan])
def test_an_optimism_that_is_not_finite_is_refused(optimism):
    with pytest.raises(InvalidArgument, match=r"`optimism` .* must be a finite .*For free pass 1.0, for clamped 0.0"):
        explain(TabularModel(restaurant()), optimism)


def test_the_optimism_is_one_number_of_any_type():
    model = TabularModel(restaurant())
    wanted = str(explain(model, 0.25))
    for same in (np.float32(0.25), np.array(0.25), torch.tensor(0.25), Optimism(0.25, 0.25)):
        assert str(explain(model, same)) == wanted
    for other in (Optimism(0.25, 1.0), Optimism(0.25, 0.25, 1.0), Optimism(torch.tensor([[0.0, 1.0]]))):
        with pytest.raises(InvalidArgument, match=r"one finite number here, .* but is Optimism.* scorecard\(model"):
            explain(model, other)


def test_adversarial_dynamics_with_forbidden_outcomes():
    text = str(explain(TabularModel(forbidding(escape=True)), -1.0))
    assert "nan" not in text
    assert "believes in bad luck" in text
