"""Gymnasium's FrozenLake: cross a frozen lake that has holes in it."""

import gymnasium

from pgm_control.errors import InvalidArgument
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.arguments import shown


def frozen_lake(size: str = "4x4", horizon: int | None = None) -> TabularMDP:
    r"""Cross a frozen lake without falling into a hole: Gymnasium's `FrozenLake-v1`, built from its table.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} \rho(a_t)\, p(k_t \mid s_t, a_t)\, \exp(r(s_t, a_t, k_t) / \tau)$$

    States
        The cells of a square grid, called `(row, column)`, and `ended`: 17 states on the 4x4 lake, 65 on the 8x8. The
        start is the upper left corner, the goal the lower right.

    Actions
        `left`, `down`, `right`, `up`.

    Outcomes and rewards
        Three outcomes of probability ⅓: the intended direction, and the two at right angles to it. A step against a
        wall leaves the agent where it is. Rewards are 0 or 1.

        | outcome | reward | leads to |
        |---|---|---|
        | a step on ice | 0 | the next cell |
        | a step into a hole | 0 | `ended` |
        | a step into the goal | 1 | `ended` |

    Horizon
        T = `horizon` actions; by default Gymnasium's time limit, 100 on the 4x4 lake and 200 on the 8x8. Entering a
        hole or the goal ends the episode.

    Known exactly
        The largest probability of reaching the goal, by hard value iteration (τ = 0): .7441902878 on the 4x4 lake with
        T = 100 (14/17 if there were no limit) and .9132201502 on the 8x8 with T = 200.

    Args:
        size: `4x4` or `8x8`, Gymnasium's two maps.
        horizon: T; the goal is 6 steps away on the 4x4 lake and 14 on the 8x8.

    Raises:
        InvalidArgument: if there is no map of that size.
    """
    return TabularMDP.from_gymnasium(gymnasium.make(lake_id(size)), horizon)


def lake_id(size: str) -> str:
    """The Gymnasium id of the lake of that size.

    Raises:
        InvalidArgument: if there is no map of that size.
    """
    known = {"4x4": "FrozenLake-v1", "8x8": "FrozenLake8x8-v1"}
    if not isinstance(size, str) or size not in known:
        raise InvalidArgument(
            f"`size` must be 4x4 or 8x8, but is {shown(size)}. For your own map use "
            "TabularMDP.from_gymnasium(gymnasium.make('FrozenLake-v1', desc=…))."
        )
    return known[size]
