"""Agents that are told what to earn: condition on a high return, and luck is taken for skill, as in free inference.

A sequence model that is trained on games and prompted with a return answers "what was done in the games that returned
that much?". Where nothing is left to chance that is how to get it. Elsewhere the games that returned much were lucky as
well, and the condition selects the luck together with the actions. Here the question is answered exactly, for games of
an agent that tries everything alike, so that nothing is left to be blamed on learning. Printed:

The lottery
 asked for  imagined      true   P(got)   best P
        -1     1.065     1.065   1.0000   1.0000
         3     3.089     2.962   0.9902   1.0000
        12    12.000    -0.870   0.0100   0.0100

Its twin without dice
 asked for  imagined      true   P(got)   best P
        -1     1.000     1.000   1.0000   1.0000
         3     3.000     3.000   1.0000   1.0000

The risky path
 asked for  imagined      true   P(got)   best P
         0     1.833   -48.667   0.8333   1.0000
         1     2.200   -58.400   0.8000   1.0000
         2     2.500   -73.250   0.7500   1.0000
         3     3.000  -148.500   0.5000   0.5000

Its twin without dice
 asked for  imagined      true   P(got)   best P
         0     2.125     2.125   1.0000   1.0000
         1     2.429     2.429   1.0000   1.0000
         2     2.667     2.667   1.0000   1.0000
         3     3.000     3.000   1.0000   1.0000

Of the games that the action prior plays, a share of 0.005 returns at least 12.
An agent that acts as in those games, because it wants such a return, gets it with probability
0.01; the best there is gets it with 0.01.
It imagines a return of 12 and truly earns -0.87: the condition selected the luck together with the actions.
"""

from dataclasses import dataclass

import tyro

from pgm_control import TabularModel, condition_on_return, return_distribution
from pgm_control.models import lottery, lottery_twin, risky_path, risky_path_twin


@dataclass
class Args:
    """Nothing but the length."""

    smoke: bool = False
    """short problems, to see that it runs"""


def main(args: Args) -> None:
    """Ask for each possible return of four problems."""
    for name, mdp in (
        ("The lottery", lottery()),
        ("Its twin without dice", lottery_twin()),
        ("The risky path", risky_path(2 if args.smoke else 4)),
        ("Its twin without dice", risky_path_twin(2 if args.smoke else 4)),
    ):
        model = TabularModel(mdp)
        print(f"{name}\n{'asked for':>10}{'imagined':>10}{'true':>10}{'P(got)':>9}{'best P':>9}")
        possible = return_distribution(model, model).values.tolist()
        for target in possible[-4:]:
            found = condition_on_return(model, target)
            print(
                f"{target:>10g}{found.imagined_return:>10.3f}{found.true_return:>10.3f}"
                f"{found.success:>9.4f}{found.best_success:>9.4f}"
            )
        print()
    print(condition_on_return(lottery(), 12.0))


if __name__ == "__main__":
    main(tyro.cli(Args))
