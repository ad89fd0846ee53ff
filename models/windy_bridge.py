"""A narrow bridge in gusts of wind, with two random events per step: slips of the agent's own foot, and the wind."""

import numpy as np

from pgm_control.errors import InvalidArgument
from pgm_control.problems.factored import FactoredMDP
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.arguments import number, shown

LENGTH, LANES = 5, 3
_SLIP, _GUST, _FALL = 0.1, 0.15, 30.0


def windy_bridge(horizon: int = 12) -> TabularMDP:
    r"""Cross a bridge of five planks and three lanes, while gusts push sideways and the foot sometimes slips.

    The problem shows the difference between freeing one factor of the dynamics and another. An agent whose foot is
    clamped and whose wind is free believes that the gusts stop for it, and walks where one gust is enough to fall. An
    agent that frees only its foot does not.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} \rho(a_t)\, p_{own}(k^1_t)\, p_{wind}(k^2_t)\, \exp(r(s_t, a_t, k_t) / \tau)$$

        The outcome has two factors, `own` (2 outcomes) before `wind` (3 outcomes): `Optimism(dynamics={"own": 0.0,
        "wind": 1.0})` frees the wind alone.

    States
        `(plank, lane)`, planks 0 to 4 and lanes 0 to 2, then `bank` and `water`. The start is (0, 1), in the
        middle. Nothing leads out of the bank or the water.

    Actions
        `ahead`, one plank; `left` and `right`, one lane, to lower and higher numbers.

    Outcomes and rewards
        A step costs 1 until the bank or the water is reached. Falling off an edge, because of the wind or of the
        agent's own step, costs 30 more.

        | factor | outcome | probability | effect |
        |---|---|---|---|
        | own | goes | .9 | the step is made |
        | own | slips | .1 | the agent stays where it is |
        | wind | calm | .7 | nothing |
        | wind | gust left, gust right | .15 each | one lane to that side, after the step |

    Horizon
        T = `horizon` actions; bank and water are absorbing, at no cost.

    Known exactly
        At τ = 1, by `infer`: the true return is −8.91 with both factors clamped, −9.07 with the foot freed, −16.17 with
        the wind freed and −16.30 with both freed. Nearly all of the cost of optimism comes from the wind.

    Args:
        horizon: T; five planks need five steps.
    """
    return windy_bridge_in_parts(horizon).joint()


def windy_bridge_in_parts(horizon: int = 12, gust: float = _GUST) -> FactoredMDP:
    """The same bridge as a `FactoredMDP` of two random events, with gusts to either side of probability `gust` each.

    Raises:
        InvalidArgument: unless `gust` is from 0 to ½.
    """
    if not 0 <= number(gust) <= 0.5:
        raise InvalidArgument(f"`gust` must be a probability from 0 to 0.5, one for each side, but is {shown(gust)}.")
    gust = number(gust)
    bank, water = LENGTH * LANES, LENGTH * LANES + 1
    states = LENGTH * LANES + 2
    successor = np.arange(states)[:, None, None, None] * np.ones((1, 3, 2, 3), dtype=int)
    reward = np.zeros(successor.shape)
    for plank, lane, action, own, wind in np.ndindex(LENGTH, LANES, 3, 2, 3):
        here, moves = plank * LANES + lane, own == 0
        ahead = plank + (moves and action == 0)
        side = lane + (moves and action == 2) - (moves and action == 1) + (0, -1, 1)[wind]
        falls = ahead < LENGTH and not 0 <= side < LANES
        target = water if falls else bank if ahead == LENGTH else ahead * LANES + side
        successor[here, action, own, wind] = target
        reward[here, action, own, wind] = -1.0 - _FALL * falls
    planks = list(np.ndindex(LENGTH, LANES))
    return FactoredMDP(
        initial=np.eye(states)[1],
        factors={"own": [1 - _SLIP, _SLIP], "wind": [1 - 2 * gust, gust, gust]},
        successor=successor,
        reward=reward,
        horizon=horizon,
        state_names=[*(f"({plank}, {lane})" for plank, lane in planks), "bank", "water"],
        action_names=("ahead", "left", "right"),
        layout=[*planks, None, None],
    )
