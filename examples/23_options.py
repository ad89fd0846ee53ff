"""Options: policies that do not know the time, and remember by a latent variable what they are about to do.

An agent starts at home, earns 1 for each step in the café at the other end of four rooms, and 20 for being home at the
end. A policy of the state alone cannot do both: in a doorway it does not know whether it goes or returns. An option z
is such a memory, a policy that lasts until it terminates. It is an auxiliary variable of the guide: the model has none.
The exact auxiliary bound counts how well z can be told from the trajectory by a reverse model that factorises along
time, by one sweep over pairs (s, z); Pyro's Trace_ELBO of model times reverse model estimates the same number. The
marginal ELBO, of trajectories without z, lies above it, and log p(O) above both. Printed:

"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from pyro.infer import Trace_ELBO

from pgm_control import (
    Estimate,
    OptionGuide,
    TabularModel,
    auxiliary_elbo,
    estimate_elbo,
    fit,
    infer,
    with_reverse,
)
from pgm_control.exchange import Cell, grid_world

MAP = """
S..#...
.......
...#...
#.###.#
...#...
.......
...#..C
"""


@dataclass
class Args:
    """Options of the example."""

    steps: int = 30
    """number of steps of the walk"""
    options: int = 3
    """largest number of options"""
    repeats: int = 40
    """number of estimates of 2000 trajectories, from which the error of their mean is computed"""
    picture: Path = Path("23_options.png")
    """output file of the picture"""
    smoke: bool = False
    """a shorter fit, to see that it runs"""


def main(args: Args) -> None:
    """Fit guides with more and more options, print their bounds, and draw the options of one."""
    mdp = grid_world(MAP, horizon=args.steps, slip=0.1, legend={"C": Cell(reward=1.0)})
    home = [20.0 * float(p) for p in mdp.initial]
    model = TabularModel(mdp.replace(final_reward=home), temperature=1.0)
    torch.manual_seed(0)
    print(f"{'':<22} auxiliary bound   by Trace_ELBO       marginal ELBO")
    guides = {}
    for count in range(1, args.options + 1):
        guides[count] = guide = fit(
            model, OptionGuide(model, count, seed=0), num_steps=50 if args.smoke else 1500
        ).guide
        with torch.no_grad():
            bound = auxiliary_elbo(model, guide)
            pair, loss = with_reverse(model, guide), Trace_ELBO(2000, vectorize_particles=True, max_plate_nesting=0)
            sampled = Estimate.of(torch.tensor([-loss.loss(*pair) for _ in range(args.repeats)]))
        marginal = estimate_elbo(model, guide, 2000 * args.repeats, seed=0)
        print(f"{count} option{'s' if count > 1 else ' '} {'':<12} {bound:>15.4f}   {sampled!s:>15}   {marginal!s:>15}")
    print(f"{'a policy of the time':<22} {infer(model, 0.0).objective:>15.4f}")
    print(f"{'log p(O)':<22} {infer(model, 1.0).objective:>15.4f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
