"""The tiger problem: two doors, one of which hides a tiger that can be heard.

Sources:
    [kaelbling1998] L. P. Kaelbling, M. L. Littman and A. R. Cassandra, Planning and acting in partially observable
        stochastic domains. Artificial Intelligence 101(1–2):99–134, 1998. doi:10.1016/S0004-3702(98)00023-X
"""

from pgm_control.errors import InvalidArgument
from pgm_control.problems.mdp import TabularMDP
from pgm_control.problems.partially_observed import PartiallyObservedMDP
from pgm_control.runtime.arguments import number, shown


def tiger(horizon: int = 4, accuracy: float = 0.85) -> PartiallyObservedMDP:
    r"""A tiger is behind one of two doors and a treasure behind the other: listen, at a cost, or open a door.

    This is the smallest problem in which information is worth its price [kaelbling1998]. After a door is opened the
    tiger is placed behind one of the two doors at random.

    Joint density
        $$\tilde p = p(s_0) \prod_{t=0}^{T-1} \rho(a_t)\, p(s_{t+1} \mid s_t, a_t)\, p(o_{t+1} \mid a_t, s_{t+1})\,
            \exp(r(s_t, a_t) / \tau)$$

    States
        `tiger left`, `tiger right`; the start is either, ½ each.

    Actions
        `listen`, `open left`, `open right`.

    Observations
        `heard left`, `heard right`. After listening the agent hears the tiger behind the correct door with probability
        `accuracy`. Opening a door is uninformative: both observations have probability ½. There is no observation
        before the first action.

    Outcomes and rewards
        | action | reward | what happens |
        |---|---|---|
        | listen | −1 | the tiger stays |
        | open the door of the tiger | −100 | the tiger moves, ½ each |
        | open the other door | 10 | the tiger moves, ½ each |

    Horizon
        T = `horizon` actions; nothing ends the episode earlier.

    Known exactly
        At τ = 0, by hand: two listens that agree are enough evidence to open a door, one is not. The best return is −1
        at T = 1, −2 at T = 2 and 2.72 at T = 3, which is −2 + .7225 · 10 − .0225 · 100 − .255. An agent that observes
        the tiger earns 10 T. By symmetry both states are worth the same, so its outcomes differ in nothing that
        matters, and free and clamped agree for it. They differ for the agent that does not observe the tiger.

    Args:
        horizon: T.
        accuracy: the probability of hearing the tiger where it is, from ½, which is uninformative, to 1.

    Raises:
        InvalidArgument: if `accuracy` is not such a number.

    References:
        [kaelbling1998]
    """
    if not 0.5 <= number(accuracy) <= 1:
        raise InvalidArgument(
            f"`accuracy` must be a probability from 0.5 to 1, but is {shown(accuracy)}. Below, an agent hears the door "
            "that is safe: swap the names instead."
        )
    accuracy = number(accuracy)
    stays, moves = [1.0, 0.0], [0.5, 0.5]
    heard, nothing = [[accuracy, 1 - accuracy], [1 - accuracy, accuracy]], [[0.5, 0.5]] * 2
    mdp = TabularMDP(
        initial=[0.5, 0.5],
        probability=[[stays, moves, moves]] * 2,
        successor=[[[s, s], [0, 1], [0, 1]] for s in (0, 1)],
        reward=[[[-1.0] * 2, [-100.0] * 2, [10.0] * 2], [[-1.0] * 2, [10.0] * 2, [-100.0] * 2]],
        horizon=horizon,
        state_names=("tiger left", "tiger right"),
        action_names=("listen", "open left", "open right"),
    )
    return PartiallyObservedMDP(mdp, [heard, nothing, nothing], observation_names=("heard left", "heard right"))
