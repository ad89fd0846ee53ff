"""The sentences are grammatical, and every number in them is that of exact inference."""

import math
import re

import gymnasium
import pytest
import torch
from problems import gamble, random_mdp

from pgm_control import InvalidArgument, TabularMDP, TabularModel, evaluate, infer
from pgm_control._dice import believed_die, tilted_dice
from pgm_control._elbo import expect, relative
from pgm_control._explain import explain
from pgm_control._wording import action_phrase, amount, chance, state_phrase
from pgm_control.models import deterministic_twin, lottery, restaurant, slippery_cliff


def test_restaurant_in_words():
    said = explain(TabularModel(restaurant()))
    assert said.sentences == (
        'The free guide believes in luck: "Italian" in state "hungry" leads to state "spectacular dinner" (reward 8) '
        'with probability 0.711 (truly 0.2), and to state "bad dinner" (reward -10) only with probability less than '
        "1 in a million (truly 0.2).",
        'At the start, in state "hungry", it therefore chooses "Italian" with probability 0.621 and "French" with '
        '0.379; the clamped guide, which leaves the dice alone, chooses "Italian" with probability 0.109 and "French" '
        "with 0.891.",
        "The free guide imagines a return of 7.104 but truly earns 3.996, a delusion of 3.107; the clamped guide "
        "imagines 5.071 and truly earns the same.",
        "The price of optimism is 1.074 of true return an episode.",
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
    assert chance(said.dice[0].raised.believed) in said.sentences[0]
    assert chance(said.dice[0].raised.true) in said.sentences[0]


@pytest.mark.parametrize("horizon", [1, 6])
def test_dice_are_pooled_over_time_and_ranked_by_their_share_of_the_tilt(horizon):
    model = TabularModel(random_mdp(5, states=4, horizon=horizon))
    free, mdp = infer(model), model.mdp
    throws = free.state_action_marginals()
    log_q = free.blocks().log_dynamics
    tilt = (throws * expect(log_q, relative(log_q, model.blocks().log_dynamics))).sum(0)
    dice = tilted_dice(model, free, most=100)
    assert (dice[0].state, dice[0].action) == divmod(int(tilt.argmax()), mdp.num_actions)
    assert [die.tilt for die in dice] == sorted((die.tilt for die in dice), reverse=True)
    assert len({die.state for die in dice}) == len(dice)
    for die in dice:
        assert die.tilt == pytest.approx(float(tilt[die.state, die.action]), rel=1e-9)
        assert die.throws == pytest.approx(float(throws[:, die.state, die.action].sum()), rel=1e-9)
        joint = free.outcome_marginals()[:, die.state, die.action].sum(0)
        for face in die.faces:
            same = (mdp.successor[die.state, die.action] == face.successor) & (
                mdp.reward[die.state, die.action] == face.reward
            )
            assert face.believed == pytest.approx(float(joint[same].sum() / joint.sum()), rel=1e-9)
            assert face.true == pytest.approx(float(mdp.probability[die.state, die.action, same].sum()), rel=1e-12)
        assert sum(face.believed for face in die.faces) == pytest.approx(1.0)


def test_a_clamped_guide_believes_the_truth():
    model = TabularModel(random_mdp(5))
    clamped = infer(model, 0.0)
    assert tilted_dice(model, clamped) == ()
    assert all(face.believed == pytest.approx(face.true) for face in believed_die(model, clamped, 1, 0).faces)


def test_outcomes_that_share_successor_and_reward_are_one_face():
    mdp = TabularMDP(
        initial=[1.0, 0.0],
        probability=[[[0.25] * 4], [[1.0, 0.0, 0.0, 0.0]]],
        successor=[[[0, 1, 1, 1]], [[1] * 4]],
        reward=[[[0.0, 1.0, 1.0, 2.0]], [[0.0] * 4]],
        horizon=1,
    )
    die = believed_die(TabularModel(mdp), infer(TabularModel(mdp)), 0, 0)
    true = {(face.successor, face.reward): face.true for face in die.faces}
    assert true == {(0, 0.0): 0.25, (1, 1.0): 0.5, (1, 2.0): 0.25}
    weight = {face.reward: face.true * math.exp(face.reward) for face in die.faces}
    for face in die.faces:
        assert face.believed == pytest.approx(weight[face.reward] / sum(weight.values()))


def test_slippery_cliff():
    said = explain(TabularModel(slippery_cliff()))
    assert said.free.true_return == pytest.approx(-486.2090, abs=5e-5)
    assert said.clamped.true_return == pytest.approx(-49.8002, abs=5e-5)
    assert "truly earns -486.21" in str(said)
    assert "-49.80" in str(said)
    assert "The price of optimism is 436.41 of true return an episode." in said.sentences
    falls = "to state (3, 0) (reward -100) only with probability less than 1 in a million (truly 0.333)"
    assert falls in said.sentences[1]
    assert "averaged over an episode" in said.sentences[0]


@pytest.mark.parametrize("mdp", [deterministic_twin(lottery()), deterministic_twin(random_mdp(2, horizon=5))])
def test_no_dice_no_difference(mdp):
    said = explain(TabularModel(mdp))
    assert not said.differs
    assert said.dice == ()
    assert said.sentences[0].startswith("There is no difference between free and clamped inference: no die has more")
    assert said.headline.startswith("No difference")
    assert said.gap == pytest.approx(0.0, abs=1e-10)
    assert said.price_of_optimism == pytest.approx(0.0, abs=1e-10)


def test_dice_that_do_not_matter_make_no_difference():
    mdp = TabularMDP([1.0, 0.0], [[[0.5, 0.5]], [[0.5, 0.5]]], [[[0, 1]], [[0, 1]]], [[[1, 1]], [[1, 1]]], 5)
    said = explain(TabularModel(mdp))
    assert not said.differs
    assert "nothing is won by believing in luck" in said.sentences[0]


def test_single_precision_noise_is_no_difference():
    mdp = deterministic_twin(random_mdp(2, horizon=30)).to(torch.float32)
    assert not explain(TabularModel(mdp, 0.05)).differs


def test_luck_that_is_only_in_the_start():
    mdp = TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4"), horizon=12)
    model = TabularModel(mdp)
    said, start = explain(model), infer(model).initial
    assert said.differs
    assert said.dice == ()
    luckiest = int((start - mdp.initial).argmax())
    assert said.sentences[0] == (
        f"The free guide believes in a lucky start: {state_phrase(mdp, luckiest)} comes with probability "
        f"{chance(float(start[luckiest]))} (truly {chance(float(mdp.initial[luckiest]))})."
    )
    assert "the two choose alike, and so they do everywhere" in said.sentences[1]
    assert "Optimism costs nothing here: both truly earn the same." in said.sentences


def test_optimism_may_pay_and_then_has_no_price():
    said = explain(TabularModel(TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), horizon=20)))
    assert said.price_of_optimism < 0
    assert f"the free policy truly earns {amount(-said.price_of_optimism)} more" in str(said)
    assert "choose alike to within" in str(said)


def test_where_the_start_is_alike_it_says_where_they_differ():
    model = TabularModel(random_mdp(3))
    said = explain(model)
    assert said.at_start.apart < 0.01 <= said.choice.apart
    assert "they differ most in state 1 at t = 0" in str(said)


def forbidding(escape):
    """Action 0 gambles on a forbidden outcome; action 1 is safe if there is an escape."""
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
    assert "(forbidden)" not in said.sentences[0], "two faces: the first says all"
    said = explain(TabularModel(forbidding(escape=False)))
    assert "No policy is safe here" in str(said)
    assert "nan" not in str(said)


def test_temperature_zero_is_refused():
    with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
        explain(TabularModel(restaurant(), 0.0))


def test_a_discounted_model_has_no_evidence_with_survival_clamped():
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


def test_probabilities_are_right_to_two_digits_from_either_end():
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


def test_any_name_makes_a_noun():
    names = ("state 5", "(3, 0)", "7", "at home", "é", "", "state of grace")
    mdp = random_mdp(0, states=7).replace(state_names=names, action_names=("pick up", "action 1"))
    assert [state_phrase(mdp, s) for s in range(7)] == [
        "state 5", "state (3, 0)", "state 7", 'state "at home"', 'state "é"', 'state ""', 'state "state of grace"',
    ]  # fmt: skip
    assert [action_phrase(mdp, a) for a in range(2)] == ['"pick up"', "action 1"]


def test_sentences_end_as_sentences_do():
    for mdp in (restaurant(), lottery(), random_mdp(3), deterministic_twin(lottery())):
        for sentence in explain(TabularModel(mdp)).sentences:
            assert re.fullmatch(r"[A-Z].*[^.]\.", sentence)
            assert "  " not in sentence
