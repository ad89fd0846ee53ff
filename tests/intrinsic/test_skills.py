"""Skills: known numbers, laws, and the objective and the information computed again in numpy."""

import math

import numpy as np
import pytest
import torch
from windy_room import transitions, windy_room

from pgm_control import InvalidArgument, Optimism, Skills, SkillStatus, TabularModel, infer, skills
from pgm_control.models import frozen_lake


def room():
    return TabularModel(windy_room(), temperature=1.0)


def information(rows):
    mixed = rows.mean(0)
    return float((rows * np.log(np.where(rows > 0, rows, 1.0) / np.where(mixed > 0, mixed, 1.0))).sum(1).mean())


def reached(policy, all_steps=False):
    """Where a policy ends in the room, or the mean over the steps; in numpy."""
    state, seen = np.eye(25)[12], []
    for at in policy.numpy():
        state = np.einsum("s,sa,sax->x", state, at, transitions())
        seen.append(state)
    return np.mean(seen, 0) if all_steps else seen[-1]


@pytest.mark.parametrize(("count", "seed", "known"), [(4, 14, 0.4925), (8, 0, 0.6022)])
def test_clamped_skills_carry_at_least_the_known_information(count, seed, known):
    found = skills(room(), count, 0.0, scale=5.0, starts=1, seed=seed)
    assert found.status is SkillStatus.converged
    assert found.true_information >= known
    assert found.imagined_information == pytest.approx(found.true_information, abs=1e-12)
    rows = np.array([reached(each.policy) for each in found.optima])
    assert found.true.numpy() == pytest.approx(rows, abs=1e-14)
    assert found.true_information == pytest.approx(information(rows), abs=1e-12)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_free_skills_are_sure_to_be_told_apart_and_are_not(count):
    found = skills(room(), count, 1.0, scale=5.0, seed=0)
    assert found.imagined_information == pytest.approx(math.log(count), abs=1e-6)
    assert found.true_information < 0.15
    rows = np.array([reached(each.policy) for each in found.optima])
    assert found.true_information == pytest.approx(information(rows), abs=1e-12)


@pytest.mark.parametrize(("scale", "known"), [(0.5, 0.0), (2.0, math.log(4))])
def test_free_skills_need_a_scale_above_the_temperature(scale, known):
    """The classifier is raised to the power c/τ in each step, which sharpens or flattens it."""
    found = skills(room(), 4, 1.0, scale=scale, starts=1, seed=0)
    assert found.imagined_information == pytest.approx(known, abs=1e-6)
    assert found.imagined_information >= 0


@pytest.mark.parametrize("optimism", [0.0, 0.3, 1.0, Optimism(0.5, 0.0)])
@pytest.mark.parametrize("when", ["last", "every"])
def test_no_step_lowers_the_objective_and_its_end_is_a_fixed_point(optimism, when):
    found = skills(room(), 3, optimism, scale=2.0, when=when, starts=1, seed=1)
    assert found.status is SkillStatus.converged
    assert float(found.objectives.diff().min()) > -1e-10
    again = found.imagined.clamp_min(1e-300).log().log_softmax(0)
    moved = (found.imagined * (again - found.log_classifier)).sum(-1).mean()
    assert float(moved) * 2.0 * (4 if when == "every" else 1) == pytest.approx(found.gap, abs=1e-12)
    assert found.gap <= 1e-7
    mean = sum(float(each.objective) for each in found.optima) / 3
    assert found.objective == pytest.approx(mean, abs=1e-12)
    assert found.objective == pytest.approx(float(found.objectives[-1]), abs=1e-12)


def test_the_gap_is_in_nats_at_any_temperature():
    found = skills(TabularModel(windy_room(), temperature=0.5), 3, 0.0, scale=2.0, starts=1, seed=1, max_steps=4)
    again = found.imagined.clamp_min(1e-300).log().log_softmax(0)
    gained = float((found.imagined * (again - found.log_classifier)).sum(-1).mean())
    assert found.gap == pytest.approx(2.0 / 0.5 * gained, rel=1e-9)
    assert found.gap > 1e-6


@pytest.mark.slow
def test_the_plain_iteration_in_numpy_ends_no_higher_from_the_same_classifier():
    """From the classifier that was found, twenty plain steps of soft backups and Bayes' rule gain nothing."""
    found = skills(room(), 4, 0.0, scale=5.0, starts=1, seed=14)
    p, log_d, objective = transitions(), found.log_classifier.numpy(), 0.0
    for step in range(20):
        ends, objective = [], 0.0
        for z in range(4):
            value, policies = 5.0 * log_d[z], []
            for _ in range(4):
                q = p @ value
                policies.append(np.exp(q - q.max(1, keepdims=True)))
                value = q.max(1) + np.log(policies[-1].mean(1))
                policies[-1] /= policies[-1].sum(1, keepdims=True)
            objective += value[12] / 4
            ends.append(reached(torch.from_numpy(np.array(policies[::-1]))))
        if step == 0:
            assert objective == pytest.approx(found.objective, abs=1e-10)
        rows = np.array(ends)
        log_d = np.log(rows / rows.sum(0))
    assert objective == pytest.approx(found.objective, abs=1e-5)


def test_every_step_pays_for_a_state_that_tells_the_skill():
    found = skills(room(), 4, 0.0, scale=5.0, when="every", starts=1, seed=0)
    rows = np.array([reached(each.policy, all_steps=True) for each in found.optima])
    assert found.true.numpy() == pytest.approx(rows, abs=1e-14)
    reward = 5.0 * found.log_classifier[0][room().mdp.successor.long()]
    again = infer(TabularModel(room().mdp.replace(reward=reward), 1.0), 0.0)
    assert again.objective == pytest.approx(found.optima[0].objective, abs=1e-12)


def test_rewards_of_the_model_count():
    model = TabularModel(frozen_lake().replace(horizon=8), temperature=0.05)
    found = skills(model, 2, scale=0.01, starts=1, seed=0)
    assert found.imagined_information < 0.3
    assert found.objective == pytest.approx(infer(model, 0.0).objective - 0.01 / 0.05 * math.log(2), abs=0.1)


@pytest.mark.slow
def test_the_best_start_is_returned_and_seeds_repeat():
    found, again = (skills(room(), 4, 0.0, scale=5.0, starts=3, seed=5) for _ in range(2))
    assert found.imagined_information == pytest.approx(float(found.of_starts.max()), abs=1e-12)
    assert torch.equal(found.log_classifier, again.log_classifier)
    assert found.policy.shape == (4, 4, 25, 5)


def test_too_few_steps_are_said():
    found = skills(room(), 4, 0.0, scale=5.0, starts=1, seed=14, max_steps=5)
    assert found.status is SkillStatus.out_of_steps
    assert (found.num_steps, len(found.objectives)) == (5, 5)
    assert found.gap > 1e-7
    assert isinstance(found, Skills)
    assert "imagined" in repr(found)


def test_refusals_name_the_argument():
    with pytest.raises(InvalidArgument, match="`optimism` must not be negative"):
        skills(room(), 2, -0.5)
    with pytest.raises(InvalidArgument, match="`model` must have no discount"):
        skills(TabularModel(windy_room().replace(discount=0.9)), 2)
    with pytest.raises(InvalidArgument, match="`num_skills`"):
        skills(room(), 1)


@pytest.mark.wrong_types
def test_which_states_pay_is_one_of_two_words():
    with pytest.raises(InvalidArgument, match="`when`"):
        skills(room(), 2, when="sometimes")  # pyright: ignore[reportArgumentType]
