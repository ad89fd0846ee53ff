"""Where episodes begin, and their time steps, as a policy that counts steps is given them."""

import numpy as np
import pytest

from pgm_control import InvalidArgument
from pgm_control.environments.continuous.times import starts_of_episodes, times_of_episodes


@pytest.mark.parametrize(
    ("count", "given", "expected"),
    [
        (2, None, [False, False]),
        (2, [True, False], [True, False]),
        (2, np.array([0.0, 1.0]), [False, True]),
        (1, True, [True]),
        (1, [0], [False]),
    ],
)
def test_where_episodes_begin(count, given, expected):
    assert starts_of_episodes(count, given).tolist() == expected


@pytest.mark.parametrize("given", [True, [True], [True, False, True], [[True, False]], "yes", [None, True]])
def test_what_is_no_truth_value_for_each_is_refused(given):
    with pytest.raises(InvalidArgument, match=r"`episode_start` must be 2 truth values, or None, but is"):
        starts_of_episodes(2, given)


def test_an_episode_that_begins_is_at_time_zero():
    assert times_of_episodes(3, (np.array([1, 2, 3]),), [False, True, False], 5).tolist() == [1, 0, 3]
    assert times_of_episodes(2, None, None, 5).tolist() == [0, 0]
