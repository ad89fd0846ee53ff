"""The tiger: two doors, and a noise behind one of them.

Sources:
    [kaelbling1998] L. P. Kaelbling, M. L. Littman and A. R. Cassandra, Planning and acting in partially observable
        stochastic domains. Artificial Intelligence 101(1–2):99–134, 1998. doi:10.1016/S0004-3702(98)00023-X
"""

from pgm_control.errors import InvalidArgument
from pgm_control.problems.mdp import TabularMDP
from pgm_control.problems.partially_observed import PartiallyObservedMDP


def tiger(horizon: int = 4, accuracy: float = 0.85) -> PartiallyObservedMDP:
    r"""A tiger is behind one of two doors, a treasure behind the other. Listen, at a price, or open a door.

    The smallest problem in which information is worth paying for [kaelbling1998]. After a door is opened the tiger is
    put behind either door anew.

    Joint density
        $$\tilde p = p(s_0) \prod_{t=0}^{T-1} \rho(a_t)\, p(s_{t+1} \mid s_t, a_t)\, p(o_{t+1} \mid a_t, s_{t+1})\,
            \exp(r(s_t, a_t) / \tau)$$

    States
        `tiger left`, `tiger right`; the start is either, ½ each.

    Actions
        `listen`, `open left`, `open right`.

    Observations
        `heard left`, `heard right`. Listening hears the right door with probability `accuracy`; opening a door tells
        nothing, ½ each. Nothing is heard before the first action.

    Outcomes and rewards
        | action | reward | what happens |
        |---|---|---|
        | listen | −1 | the tiger stays |
        | open the door of the tiger | −100 | the tiger moves, ½ each |
        | open the other door | 10 | the tiger moves, ½ each |

    Horizon
        T = `horizon` actions; nothing ends the episode earlier.

    Known exactly
        At τ = 0, by hand: two listens that agree make it certain enough to open, one does not. The best return is −1 at
        T = 1, −2 at T = 2 and 2.72 at T = 3, which is −2 + .7225 · 10 − .0225 · 100 − .255. An agent that sees the
        tiger earns 10 T. By symmetry its state is worth the same on either side, and there is no luck to hope for:
        free and clamped agree for the agent that sees the tiger, and differ for the one that does not.

    Args:
        horizon: T.
        accuracy: probability of hearing the tiger where it is, from ½, which tells nothing, to 1.

    Raises:
        InvalidArgument: if `accuracy` is no such number.

    References:
        [kaelbling1998]
    """
    if not 0.5 <= accuracy <= 1:
        raise InvalidArgument(
            f"`accuracy` must be a probability from 0.5 to 1, but is {accuracy!r}. Below, an agent hears the door that "
            "is safe: swap the names instead."
        )
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
