"""The exponent of the advantage: exp(A/τ) with which value? Three readings of one formula, on the slippery cliff.

With the soft Q and the soft V, π = ρ exp((Q − V)/τ) is normalised: V is what normalises it. A is then positive for good
actions, up to −τ log ρ; with the prior "count" it is never positive. With Q and V of hard value iteration A ≤ 0, the
exponents sum to between 1/A and 1, and normalised they are the Boltzmann policy, which expects to be optimal after the
present action. It reaches less of the max-ent objective at every temperature. Of the plain return it earns slightly
more at low temperatures, and much less at high ones, where the errors to come should be reckoned with. "Softmax of Q^π"
evaluates the max-ent policy without entropy and takes the softmax of that: it is not the max-ent policy again.

Printed:

τ = 0.3  Σ ρ exp(A/τ): soft 1.0000 to 1.0000, hard 0.2500 to 1.0000; largest soft A/τ 1.386
  max-ent: soft Q      objective     -55.43   return    -49.49
  Boltzmann: hard Q    objective     -56.30   return    -49.12
  softmax of Q^π       objective     -56.34   return    -49.36
τ = 1    Σ ρ exp(A/τ): soft 1.0000 to 1.0000, hard 0.2500 to 1.0000; largest soft A/τ 1.386
  max-ent: soft Q      objective     -68.90   return    -49.80
  Boltzmann: hard Q    objective     -71.72   return    -49.74
  softmax of Q^π       objective     -71.96   return    -49.81
τ = 3    Σ ρ exp(A/τ): soft 1.0000 to 1.0000, hard 0.2500 to 1.0000; largest soft A/τ 1.386
  max-ent: soft Q      objective    -107.05   return    -49.87
  Boltzmann: hard Q    objective    -115.91   return    -49.89
  softmax of Q^π       objective    -116.24   return    -49.91
τ = 10   Σ ρ exp(A/τ): soft 1.0000 to 1.0000, hard 0.2566 to 1.0000; largest soft A/τ 1.386
  max-ent: soft Q      objective    -232.63   return    -75.82
  Boltzmann: hard Q    objective    -262.98   return   -103.95
  softmax of Q^π       objective    -253.56   return    -95.58
τ = 30   Σ ρ exp(A/τ): soft 1.0000 to 1.0000, hard 0.4041 to 1.0000; largest soft A/τ 1.365
  max-ent: soft Q      objective    -411.56   return   -272.65
  Boltzmann: hard Q    objective    -455.74   return   -370.94
  softmax of Q^π       objective    -415.53   return   -295.26
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, evaluate, infer
from pgm_control.models import slippery_cliff


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 50
    """number of actions"""
    picture: Path = Path("36_advantage.png")
    """output file of the picture"""
    smoke: bool = False
    """one temperature, to see that it runs"""


def plain_q(model: TabularModel, policy: torch.Tensor) -> torch.Tensor:
    """Q of a policy without entropy, (T, S, A)."""
    mdp, rows = model.mdp, []
    v = torch.zeros(mdp.num_states, dtype=torch.float64)
    for t in reversed(range(mdp.horizon)):
        q = (mdp.probability * (mdp.reward + v[mdp.successor])).sum(-1)
        v = (policy[t] * q).sum(-1)
        rows.append(q)
    return torch.stack(rows[::-1])


def main(args: Args) -> None:
    """Compare the policies at several temperatures."""
    mdp = slippery_cliff(horizon=args.horizon)
    hard = infer(TabularModel(mdp, 0.0), 0.0)
    temperatures = (1.0,) if args.smoke else (0.3, 1.0, 3.0, 10.0, 30.0)
    lines: dict[str, list[tuple[float, float]]] = {}
    for temperature in temperatures:
        model = TabularModel(mdp, temperature)
        soft = infer(model, 0.0)
        largest = soft.advantage.max() / temperature
        sum_soft = (model.action_prior * (soft.advantage / temperature).exp()).sum(-1)
        sum_hard = (model.action_prior * ((hard.q - hard.v[:-1, :, None]) / temperature).exp()).sum(-1)
        print(
            f"τ = {temperature:<4g} Σ ρ exp(A/τ): soft {sum_soft.min():.4f} to {sum_soft.max():.4f}, "
            f"hard {sum_hard.min():.4f} to {sum_hard.max():.4f}; largest soft A/τ {largest:.3f}"
        )
        policies = {
            "max-ent: soft Q": soft.policy,
            "Boltzmann: hard Q": (hard.q / temperature).softmax(-1),
            "softmax of Q^π": (plain_q(model, soft.policy) / temperature).softmax(-1),
        }
        for name, policy in policies.items():
            found = evaluate(model, policy)
            lines.setdefault(name, []).append((found.elbo or 0.0, found.true_return))
            print(f"  {name:<20} objective {(found.elbo or 0.0) * temperature:10.2f}   return {found.true_return:9.2f}")

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    best = torch.tensor([each[0] for each in lines["max-ent: soft Q"]])
    for name, values in lines.items():
        objective, earned = torch.tensor(values).T
        left.semilogx(temperatures, (best - objective).numpy(), "o-", label=name)
        right.semilogx(temperatures, earned, "o-", label=name)
    left.set(xlabel="temperature τ", ylabel="objective lost [nats]")
    right.set(xlabel="temperature τ", ylabel="true return")
    right.legend(frameon=False)
    figure.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main(tyro.cli(Args))
