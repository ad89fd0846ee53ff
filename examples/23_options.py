"""Options: policies that do not know the time, and remember by a latent variable whether they go or return.

An agent lives in one of four rooms. The café, top right, pays 4 per step in the morning, and home (S) pays 2 per step
in the evening. One policy for all times cannot have both: in a doorway it does not know whether it goes or returns. An
option z is such a memory, a policy that lasts until it terminates. It is an auxiliary variable of the guide: the model
has none. The exact auxiliary bound takes off what a reverse model, which factorises along time, cannot tell of z from
the trajectory, by one sweep over pairs (s, z); Pyro's Trace_ELBO of model times reverse model estimates the same
number. The marginal ELBO, of trajectories without z, lies above it. Nothing slips here, so that log p(O) is reached by
a policy that knows the time. Printed:

one policy for all times          3.3566 nats
two options: auxiliary bound     11.5069
    the same by Trace_ELBO       11.5135 ± 0.0088
    marginal ELBO                11.568 ± 0.013
log p(O)                         15.8351
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
STEPS, MORNING, EVENING = 22, slice(5, 11), slice(17, 22)
HOME, CAFE = "(0, 0)", "(0, 4)"


@dataclass
class Args:
    """Options of the example."""

    seed: int = 1
    """of the initial options"""
    repeats: int = 50
    """number of estimates by Trace_ELBO, from which the error of their mean is computed"""
    draws: int = 4_000
    """number of trajectories of each"""
    picture: Path = Path("23_options.png")
    """output file of the picture"""
    smoke: bool = False
    """a short fit and few draws, to see that it runs"""


def day() -> TabularModel:
    """The café pays in the morning, home in the evening; the agent starts at home."""
    mdp = grid_world(MAP, horizon=STEPS)
    home, cafe = ((mdp.state_names or ()).index(name) for name in (HOME, CAFE))
    reward = mdp.reward.repeat(STEPS, 1, 1, 1)
    reward[MORNING] += 4.0 * (mdp.successor == cafe)
    reward[EVENING] += 2.0 * (mdp.successor == home)
    return TabularModel(mdp.replace(reward=reward), temperature=1.0)


def main(args: Args) -> None:
    """Fit a guide with one option and one with two, print the bounds, and draw the options."""
    model, steps, draws = day(), 20 if args.smoke else 300, 100 if args.smoke else args.draws
    one, two = (fit(model, OptionGuide(model, count, seed=args.seed), num_steps=steps).guide for count in (1, 2))
    torch.manual_seed(args.seed)
    loss, pair = Trace_ELBO(draws, vectorize_particles=True, max_plate_nesting=0), with_reverse(model, two)
    with torch.no_grad():
        sampled = Estimate.of(torch.tensor([-loss.loss(*pair) for _ in range(args.repeats)]))
    print(f"one policy for all times        {auxiliary_elbo(model, one).item():8.4f} nats")
    print(f"two options: auxiliary bound    {auxiliary_elbo(model, two).item():8.4f}")
    print(f"    the same by Trace_ELBO       {sampled}")
    print(f"    marginal ELBO                {estimate_elbo(model, two, 20 * draws, seed=args.seed)}")
    print(f"log p(O)                        {infer(model, 1.0).objective:8.4f}")

    blocks = two.latent_blocks()
    with torch.no_grad():
        policies, visits = blocks.log_policy.exp(), blocks.marginals().sum(0)
    figure = Figure(figsize=(10.8, 9.4), layout="constrained")
    upper, lower = figure.subplots(2, 2)
    for z in range(2):
        plot.policy_map(model, policies[:, :, z], shade="none", title=f"option {z + 1}", ax=upper[z], style="slide")
        title, most = f"steps under option {z + 1}", float(visits.max())
        plot.state_map(model.mdp, visits[:, z], "steps", title=title, limits=(0.0, most), ax=lower[z], style="slide")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
