"""Whose dice? A bridge in gusts of wind: two dice a step, the own foot and the weather, and only one of them is yours.

An agent that plans as if it controlled its *foot* is a little too bold. One that plans as if it controlled the *wind*
walks where one gust is enough to fall. `Optimism` frees the factors of a die apart, the ledger says where the gap to
the evidence comes from, `debias` says "take the dice as they are" to a plain posterior, and an ensemble frees not luck
but ignorance: which of two climates it is. Printed:

nothing freed          imagines   -8.91   earns   -8.91
its foot freed         imagines   -7.22   earns   -9.07
the wind freed         imagines   -6.79   earns  -16.17
both freed             imagines   -6.16   earns  -16.30

Of the guide that frees the wind, against the exact posterior:
Almost all of the gap is dice: 0.6440 of 0.6469 nats.

De-biased, the free posterior has the clamped policy, to 2e-15.
knows its ignorance    believes in calm with 0.300 (in truth .300), earns -12.02
hopes for calm         believes in calm with 0.999 (in truth .300), earns -14.73
"""

from dataclasses import dataclass

import tyro

from pgm_control import Ensemble, Optimism, Posterior, TabularModel, debias, evaluate, infer, ledger
from pgm_control.models import windy_bridge, windy_bridge_in_parts


@dataclass
class Args:
    """How long the walk may take."""

    horizon: int = 12
    """number of steps"""
    smoke: bool = False
    """a short walk, to see that it runs"""


def row(name: str, model: TabularModel, exact: Posterior) -> str:
    """What a posterior imagines, and what its policy truly earns."""
    found = evaluate(model, exact)
    return f"{name:<22} imagines {found.imagined_return:7.2f}   earns {found.true_return:7.2f}"


def main(args: Args) -> None:
    """Free one die after the other, read the ledger, take the bias out, doubt the climate."""
    horizon = 6 if args.smoke else args.horizon
    model = TabularModel(windy_bridge(horizon))
    for name, own, wind in (
        ("nothing freed", 0.0, 0.0),
        ("its foot freed", 1.0, 0.0),
        ("the wind freed", 0.0, 1.0),
        ("both freed", 1.0, 1.0),
    ):
        print(row(name, model, infer(model, Optimism({"own": own, "wind": wind}, initial=0.0))))

    lucky = infer(model, Optimism({"own": 0.0, "wind": 1.0}, initial=0.0))
    print(f"\nOf the guide that frees the wind, against the exact posterior:\n{ledger(model, lucky).headline}")

    cured = debias(model)
    plain = infer(cured.model, optimism=1.0)  # exact, everything free, on modified dice and rewards
    sober = infer(model, optimism=0.0)
    apart = (cured.folded(plain).blocks().log_policy.exp() - sober.policy).abs().max()
    print(f"\nDe-biased, the free posterior has the clamped policy, to {float(apart):.0e}.")

    calm, gusty = (windy_bridge_in_parts(horizon, gust).joint() for gust in (0.02, 0.25))
    climate = Ensemble([calm, gusty], weights=[0.3, 0.7], names=["calm", "gusty"])
    both = TabularModel(climate.joint())
    for name, member in (("knows its ignorance", 0.0), ("hopes for calm", 1.0)):
        found = infer(both, Optimism({"own": 0.0, "wind": 0.0}, initial={"member": member, "state": 0.0}))
        belief = climate.believed_weights(found)
        earned = belief @ climate.returns(found) @ climate.weights
        print(f"{name:<22} believes in calm with {belief[0]:.3f} (in truth .300), earns {earned:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
