"""Gymnasium's slippery CliffWalking: walk along a cliff on slippery ground."""

import gymnasium

from pgm_control.problems.mdp import TabularMDP


def slippery_cliff(horizon: int = 50) -> TabularMDP:
    r"""Walk along a cliff on slippery ground: Gymnasium's `CliffWalkingSlippery-v1`, built from its table.

    The free posterior walks along the edge, certain that it will not slip; the clamped one keeps away from the edge.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} \rho(a_t)\, p(k_t \mid s_t, a_t)\, \exp(r(s_t, a_t, k_t) / \tau)$$

    States
        The 48 cells of a grid of 4 rows and 12 columns, called `(row, column)`, and `ended`. The start is the lower
        left corner, (3, 0); the goal is the lower right, (3, 11); the cliff is the cells between them.

    Actions
        `up`, `right`, `down`, `left`.

    Outcomes and rewards
        Three outcomes of probability ⅓: the intended direction, and the two at right angles to it. A step against a
        wall leaves the agent where it is. Rewards are −1 or −100.

        | outcome | reward | leads to |
        |---|---|---|
        | a step on the ground | −1 | the next cell |
        | a step into the goal | −1 | `ended` |
        | a step over the cliff | −100 | the start |

        Near the start and the cliff two outcomes may have the same successor and different rewards; they are not
        merged.

    Horizon
        T = `horizon` actions (Gymnasium sets no time limit). Reaching the goal ends the episode; from then on rewards
        are 0.

    Known exactly
        At T = 50, τ = 1 and a uniform prior, by `infer`, checked in the tests: the clamped objective is −68.9039 nats
        and the clamped policy's true return −49.8002; log p(O) = −29.8087 nats, and the free policy's true return is
        −486.2090. Without slipping the best return is −13.

    Args:
        horizon: T; the goal is 13 steps away.
    """
    return TabularMDP.from_gymnasium(gymnasium.make("CliffWalkingSlippery-v1"), horizon)
