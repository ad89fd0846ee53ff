"""The ledger: the gap between a guide's ELBO and the log evidence, by block, step, state and action, exactly.

The gap log p(O) − ELBO of a guide is a sum of KL divergences, one for each step and each state: of its start, its
policy and its dynamics. This is the ledger of the clamped guide on the slippery cliff. Its 39 nats are the price of
keeping the true dynamics. The text lists the largest entries, and the random events that the exact posterior believes
it controls; the picture shows when and where. Printed:

The largest part of the gap is the dynamics: 21.86 of 39.10 nats.

block      nats    share
────────  ─────  ───────
start         0    0.0 %
policy    17.23   44.1 %
dynamics  21.86   55.9 %
gap       39.10  100.0 %

log p(O) = -29.81 nats, ELBO = -68.90 nats

Largest entries, summed over the steps:
block     state   action   nats   share
────────  ──────  ──────  ─────  ──────
policy    (3, 0)          5.646  14.4 %
dynamics  (3, 0)  left    2.498   6.4 %
policy    (2, 1)          2.388   6.1 %
dynamics  (2, 1)  up      1.730   4.4 %
policy    (2, 2)          1.564   4.0 %

Largest steps, in nats: step 0: 1.659; step 1: 1.432; step 2: 1.400; step 3: 1.346; step 4: 1.312.

The guide has the true dynamics. Random events that the exact posterior believes it controls:
  left in (2, 11): ended (reward -1), truly 0.333, believed 0.980; 0.3354 nats
  down in (2, 10): (2, 11) (reward -1), truly 0.333, believed 0.9911; 0.3211 nats
  down in (2, 9): (2, 10) (reward -1), truly 0.333, believed 0.9909; 0.2968 nats
  down in (2, 1): (2, 2) (reward -1), truly 0.333, believed 0.988; 0.2943 nats
  up in (3, 0): (2, 0) (reward -1), truly 0.333, believed 0.899; 0.2892 nats
all entries sum to 39.0953 nats, log p(O) - ELBO = 39.0953 nats
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, infer, ledger, plot
from pgm_control.models import slippery_cliff


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 50
    """number of actions"""
    picture: Path = Path("07_the_ledger.png")
    """output file of the picture"""
    smoke: bool = False
    """a short walk, to see that it runs"""


def main(args: Args) -> None:
    """Print the ledger, then draw it over time and on the map."""
    model = TabularModel(slippery_cliff(10 if args.smoke else args.horizon))
    account = ledger(model, infer(model, optimism=0.0))
    print(account)
    entries = account.policy_by_state.sum() + account.dynamics_by_pair.sum() + account.initial_by_state.sum()
    print(f"all entries sum to {float(entries):.4f} nats, log p(O) - ELBO = {account.gap:.4f} nats")

    figure = Figure(figsize=(12, 10), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    plot.ledger_over_time(account, ax=upper, style="slide")
    plot.ledger_map(account, ax=lower, style="slide")
    figure.savefig(args.picture, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Args))
