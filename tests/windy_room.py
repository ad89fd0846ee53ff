"""A room in which the wind sometimes moves the agent, for tests of skills and empowerment."""

import numpy as np

from pgm_control import TabularMDP

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0), (0, 0))


def transitions(size=5, wind=0.5):
    """p(s'|s, a), (state, action, next_state): with this probability one of the four moves replaces the action."""
    found = np.zeros((size * size, 5, size * size))

    def moved(state, move):
        row, column = state // size + MOVES[move][0], state % size + MOVES[move][1]
        return row * size + column if 0 <= row < size and 0 <= column < size else state

    for state in range(size * size):
        for action in range(5):
            found[state, action, moved(state, action)] += 1 - wind
            for gust in range(4):
                found[state, action, moved(state, gust)] += wind / 4
    return found


def windy_room(size=5, wind=0.5, horizon=4):
    """The room as a problem: from its centre, without rewards."""
    start = np.zeros(size * size)
    start[size * size // 2] = 1.0
    return TabularMDP.from_dense(start, transitions(size, wind), np.zeros((size * size, 5)), horizon)
