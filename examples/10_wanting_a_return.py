"""Wanting a return: an agent that conditions on a high return expects it and does not earn it.

A sequence model that is trained on episodes and prompted with a return answers "which actions were taken in the
episodes that returned that much?". In a deterministic world these actions reach the return. Otherwise the episodes with
a high return were lucky as well, and conditioning selects the luck together with the actions, as free inference does.
Here the question is answered exactly, for episodes of a uniform policy, so that no error of learning is involved: on
the windy bridge, where a fall costs 30, and on its twin without wind. Printed:

windy bridge   imagined      true P(reach)   best P
at least  -12   -10.018   -25.700   0.3560   0.9718
at least  -11    -8.447   -22.405   0.4502   0.9590
at least  -10    -8.026   -21.583   0.4711   0.9469
at least   -9    -7.539   -20.579   0.4955   0.9246
at least   -8    -6.988   -19.411   0.5218   0.8852
at least   -7    -6.378   -18.170   0.5454   0.8191
at least   -6    -5.715   -17.165   0.5534   0.7098
at least   -5    -5.000   -18.056   0.4865   0.4865
optimal policy             -7.840

its twin       imagined      true P(reach)   best P
at least  -12    -9.441    -9.441   1.0000   1.0000
at least  -11    -8.249    -8.249   1.0000   1.0000
at least  -10    -7.939    -7.939   1.0000   1.0000
at least   -9    -7.415    -7.415   1.0000   1.0000
at least   -8    -6.988    -6.988   1.0000   1.0000
at least   -7    -6.304    -6.304   1.0000   1.0000
at least   -6    -5.769    -5.769   1.0000   1.0000
at least   -5    -5.000    -5.000   1.0000   1.0000

Under the action prior, a share of 0.005 of the episodes returns at least 12.
An agent that acts as in those episodes reaches this return with probability 0.01; the best policy reaches it with
probability 0.01.
It imagines a return of 12 and truly earns -0.87: conditioning selected the lucky outcomes together with the actions.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, condition_on_return, evaluate, infer, plot
from pgm_control.models import lottery, windy_bridge, windy_bridge_twin


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 12
    """number of steps on the bridge"""
    picture: Path = Path("10_wanting_a_return.png")
    """output file of the picture"""
    smoke: bool = False
    """a short bridge, to see that it runs"""


def ask(name: str, model: TabularModel, wanted: list[int]) -> tuple[list[float], list[float]]:
    """Print and return the imagined and the true returns of agents that condition on each of the targets."""
    print(f"{name:<13}{'imagined':>10}{'true':>10}{'P(reach)':>9}{'best P':>9}")
    found = [condition_on_return(model, float(each)) for each in wanted]
    for target, each in zip(wanted, found, strict=True):
        returns = f"{each.imagined_return:>10.3f}{each.true_return:>10.3f}"
        print(f"at least {target:>4}{returns}{each.success:>9.4f}{each.best_success:>9.4f}")
    return [each.imagined_return for each in found], [each.true_return for each in found]


def main(args: Args) -> None:
    """Condition on each return of a crossing, with and without wind; then on the jackpot of the lottery."""
    horizon = 6 if args.smoke else args.horizon
    wanted = list(range(-horizon, -4))
    windy, calm = TabularModel(windy_bridge(horizon)), TabularModel(windy_bridge_twin(horizon))
    imagined, earned = ask("windy bridge", windy, wanted)
    hard = infer(TabularModel(windy.mdp, temperature=0.0), optimism=0.0)  # value iteration
    best = evaluate(windy, hard.policy).true_return
    print(f"optimal policy{best:>19.3f}\n")
    _, in_calm = ask("its twin", calm, wanted)
    print(f"\n{condition_on_return(lottery(), 12.0)}")

    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        wanted,
        {"imagined in wind": imagined, "earned in wind": earned, "earned without wind": in_calm},
        across="target: a return of at least (reward units)",
        up="return of an episode (reward units)",
        title="The target return is imagined, not earned",
        levels={"optimal policy in wind": best},
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
