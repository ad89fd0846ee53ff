"""The restaurant: the smallest problem in which the free and the clamped posterior disagree."""

from pgm_control.problems.mdp import TabularMDP

_UTILITY = (-10.0, 6.0, 8.0)
_ITALIAN, _FRENCH = (0.2, 0.6, 0.2), (0.05, 0.9, 0.05)


def restaurant() -> TabularMDP:
    r"""Choose a restaurant for one dinner: the Italian kitchen is erratic, the French one is dependable.

    The free posterior values a restaurant by the logarithm of a mean of exponentials, which weighs lucky evenings most,
    and prefers the Italian. With the outcomes clamped a restaurant is worth its mean utility, and the French is
    preferred.

    Joint density
        $$\tilde p(a, k) = \rho(a)\, p(k \mid a)\, \exp(u_k / \tau)$$

    States
        `hungry` (the start), `bad dinner`, `good dinner`, `spectacular dinner`.

    Actions
        `Italian`, `French`. After dinner neither has any effect.

    Outcomes and rewards
        Rewards are utilities, from −10 to 8.

        | outcome | reward | probability, Italian | probability, French |
        |---|---|---|---|
        | bad dinner | −10 | .2 | .05 |
        | good dinner | 6 | .6 | .9 |
        | spectacular dinner | 8 | .2 | .05 |

    Horizon
        T = 1: one dinner. Nothing ends the episode earlier.

    Known exactly
        At τ = 1 with a uniform prior, by hand (`examples/01_restaurant.py`): clamped P(French) = .890903 and ELBO
        4.722372 nats; free P(Italian) = .620749 and log p(O) = 6.514996 nats, with a believed P(spectacular | Italian)
        = .711 where the true one is .2. The preferred restaurant changes at β = .345580.
    """
    dinners, stay = [1, 2, 3], [[1.0, 0.0, 0.0]] * 2
    return TabularMDP(
        initial=[1.0, 0.0, 0.0, 0.0],
        probability=[[_ITALIAN, _FRENCH], stay, stay, stay],
        successor=[[dinners] * 2, *[[[s] * 3] * 2 for s in dinners]],
        reward=[[_UTILITY] * 2, *[[[0.0] * 3] * 2 for _ in dinners]],
        horizon=1,
        state_names=("hungry", "bad dinner", "good dinner", "spectacular dinner"),
        action_names=("Italian", "French"),
    )
