"""The multi-goal figure: the lattice has the rewards of the live environment, and its policy has several modes."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from page_code import blocks

PAGE = Path(__file__).parent.parent.parent / "docs" / "published" / "multi_goal.md"


@pytest.fixture(scope="module")
def page():
    """The names that the page defines, without its picture."""
    if not PAGE.exists():
        pytest.skip("the site is not shipped with the package")
    names: dict[str, object] = {}
    for block in blocks(PAGE.read_text(encoding="utf8")):
        if block.language == "{code-cell}" and "figure" not in block.body and "matplotlib" not in block.body:
            exec(compile(block.body, PAGE.name, "exec"), names)
    return names


def test_rewards_and_moves_are_those_of_the_environment(page):
    env, mdp = gymnasium.make("pgm_control/MultiGoal-v0", start_noise=0.0), page["multi_goal"]
    rng = np.random.default_rng(0)
    for seed in range(5):
        here, _ = env.reset(seed=seed)
        state, ended = int(mdp.initial.argmax()), False
        while not ended:
            a = int(rng.integers(81))
            here, paid, ended, late, _ = env.step(page["action"][a])
            assert float(mdp.reward[state, a, 0]) == pytest.approx(paid, abs=1e-9)
            state = int(mdp.successor[state, a, 0])
            if ended:
                assert state == page["ended"]
            else:
                np.testing.assert_allclose(page["place"][state], here, atol=1e-6)
            ended = ended or late


def test_the_four_ways_are_alike_and_between_two_goals_there_are_two_modes(page):
    soft, place, action = page["soft"], page["place"], page["action"]
    shares = page["towards"]((0.0, 0.0))
    assert shares == pytest.approx([shares[0]] * 4, abs=1e-10)
    assert 0.2 < shares[0] < 0.25
    s = int(np.flatnonzero((place == 2.5).all(1))[0])
    chance = soft.policy[0, s].numpy().reshape(9, 9)
    top = np.argsort(-chance.ravel())[:2]
    first, second = action[top]
    np.testing.assert_allclose(first, second[::-1])
    middle = chance[tuple(np.rint(((first + second) / 2 + 1) * 4).astype(int))]
    assert middle < 0.1 * chance.max()


def test_every_goal_is_reached_alike(page):
    soft, place = page["soft"], page["place"]
    occupied = soft.marginals().state[:, : page["ended"]].numpy().sum(0)
    for turned in (place[:, ::-1], place * [-1, 1]):
        index = np.rint((turned + 7) * 4).astype(int)
        np.testing.assert_allclose(occupied, occupied[index[:, 0] * 57 + index[:, 1]], atol=1e-9)
