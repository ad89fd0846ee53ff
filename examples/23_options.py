"""Options: policies that do not know the time, and remember by a latent variable what they are about to do.

An agent lives in one of four rooms. It earns 8 for being in the café, in the next room, at noon, and 8 for being home
at the end. A policy of the state alone cannot do both: in a doorway it does not know whether it goes or returns. An
option z is such a memory, a policy that lasts until it terminates. It is an auxiliary variable of the guide: the model
has none. The exact auxiliary bound takes off what a reverse model, which factorises along time, cannot tell of z from
the trajectory, by one sweep over pairs (s, z); Pyro's Trace_ELBO of model times reverse model estimates the same
number. The marginal ELBO, of trajectories without z, lies above it, and log p(O) above all. Printed:

"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from pyro.infer import Trace_ELBO

from pgm_control import (
    Estimate,
    OptionGuide,
    TabularModel,
    auxiliary_elbo,
    estimate_elbo,
    fit,
    infer,
    plot,
    with_reverse,
)
from pgm_control.exchange import grid_world

MAP = """
S.#..
.....
#.#.#
.....
..#..
"""
STEPS, NOON, CAFE = 16, 7, "(0, 4)"


@dataclass
class Args:
    """Options of the example."""

    options: int = 2
    """the largest number of options"""
    repeats: int = 8
    """number of estimates by Trace_ELBO, from which the error of their mean is computed"""
    draws: int = 20_000
    """number of trajectories of each"""
    picture: Path = Path("23_options.png")
    """output file of the picture"""
    smoke: bool = False
    """a short fit and few draws, to see that it runs"""


def appointment() -> TabularModel:
    """The café pays at noon, the home at the end."""
    mdp = grid_world(MAP, horizon=STEPS, slip=0.1)
    reward = mdp.reward.repeat(STEPS, 1, 1, 1)
    reward[NOON] += 8.0 * (mdp.successor == (mdp.state_names or ()).index(CAFE))
    return TabularModel(mdp.replace(reward=reward, final_reward=8.0 * mdp.initial))


def main(args: Args) -> None:
    """Fit guides with one option and more, print their bounds, and draw the options."""
    model, draws = appointment(), 100 if args.smoke else args.draws
    loss = Trace_ELBO(num_particles=draws, vectorize_particles=True, max_plate_nesting=0)
    torch.manual_seed(0)
    print(f"{'':<16} auxiliary bound   by Trace_ELBO   marginal ELBO")
    guide = OptionGuide(model, seed=0)
    for count in range(1, args.options + 1):
        guide = fit(model, OptionGuide(model, count, seed=0), num_steps=20 if args.smoke else 400).guide
        pair = with_reverse(model, guide)
        with torch.no_grad():
            bound = auxiliary_elbo(model, guide)
            sampled = Estimate.of(torch.tensor([-loss.loss(*pair) for _ in range(args.repeats)]))
        marginal = estimate_elbo(model, guide, draws * args.repeats, seed=0)
        name = f"{count} option{'s' if count > 1 else ''}"
        print(f"{name:<16} {bound:>15.4f} {sampled!s:>15} {marginal!s:>15}")
    print(f"{'knows the time':<16} {infer(model, 0.0).objective:>15.4f}")
    print(f"{'log p(O)':<16} {infer(model, 1.0).objective:>15.4f}")

    blocks = guide.latent_blocks()
    with torch.no_grad():
        policies, visits = blocks.log_policy.exp(), blocks.marginals().sum(0)
    figure = Figure(figsize=(10.8, 9.4), layout="constrained")
    panels = figure.subplots(2, args.options, squeeze=False)
    for z in range(args.options):
        plot.policy_map(
            model, policies[:, :, z], shade="none", title=f"option {z + 1}", ax=panels[0, z], style="slide"
        )
        plot.state_map(
            model.mdp, visits[:, z], "visits under this option", title=f"where option {z + 1} is followed",
            limits=(0.0, float(visits.max())), ax=panels[1, z], style="slide",
        )  # fmt: skip
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
