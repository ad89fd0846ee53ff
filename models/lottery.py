"""The lottery: buy a ticket with a rare jackpot, or work for a sure wage."""

from pgm_control.errors import InvalidArgument
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.arguments import finite, number, shown


def lottery(
    jackpot_probability: float = 0.01, jackpot: float = 12.0, price: float = 1.0, wage: float = 3.0
) -> TabularMDP:
    r"""Buy a ticket with a rare jackpot, or work for a sure wage.

    The ticket loses money on average. The free posterior buys it nevertheless, because it believes that it will win.

    Joint density
        $$\tilde p(a, k) = \rho(a)\, p(k \mid a)\, \exp(r_k / \tau)$$

    States
        `choosing` (the start), `rich`, `out of pocket`, `paid`.

    Actions
        `buy a ticket`, `work`. Outside the start neither has any effect.

    Outcomes and rewards
        Rewards are amounts of money, in the unit of `jackpot`; with the defaults they range from −1 to 12.

        | action | outcome | probability | reward |
        |---|---|---|---|
        | buy a ticket | rich | `jackpot_probability` | `jackpot` (net of the price) |
        | buy a ticket | out of pocket | the rest | −`price` |
        | work | paid | 1 | `wage` |

    Horizon
        T = 1: one day. Nothing ends the episode earlier.

    Known exactly
        With the defaults, at τ = 1 with a uniform prior: the ticket has the mean reward p·jackpot − (1 − p)·price =
        −.87, so the clamped posterior has P(buy a ticket) = 1/(1 + exp(3.87)) = .020432. To the free posterior it is
        worth log(p exp(jackpot) + (1 − p) exp(−price)) = 7.395054, so the free posterior has P(buy a ticket) = .987812,
        with P(rich | ticket) = .999776.

    Args:
        jackpot_probability: the probability of winning, in (0, 1).
        jackpot: the reward of winning, net of the price.
        price: the price of the ticket, at least 0.
        wage: the reward of working.

    Raises:
        InvalidArgument: if an argument is out of range.
    """
    if not 0 < number(jackpot_probability) < 1:
        raise InvalidArgument(
            f"`jackpot_probability` must be more than 0 and less than 1, but is {shown(jackpot_probability)}. "
            "A certain outcome is not a lottery: give it as the wage."
        )
    jackpot, price, wage = (
        finite(name, value, "amount of money", remedy="Use a large number.")
        for name, value in (("jackpot", jackpot), ("price", price), ("wage", wage))
    )
    if price < 0:
        raise InvalidArgument(f"`price` must be at least 0, since losing pays −price, but is {price}. Drop its sign.")
    jackpot_probability = float(jackpot_probability)
    stay = [[1.0, 0.0]] * 2
    return TabularMDP(
        initial=[1.0, 0.0, 0.0, 0.0],
        probability=[[[jackpot_probability, 1.0 - jackpot_probability], [1.0, 0.0]], stay, stay, stay],
        successor=[[[1, 2], [3, 3]], *[[[s, s]] * 2 for s in (1, 2, 3)]],
        reward=[[[jackpot, -price], [wage, 0.0]], *[[[0.0, 0.0]] * 2 for _ in range(3)]],
        horizon=1,
        state_names=("choosing", "rich", "out of pocket", "paid"),
        action_names=("buy a ticket", "work"),
    )
