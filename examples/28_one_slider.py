"""One slider from H∞ control over the regulator to Bayesian smoothing: a linear system, solved exactly for any β.

A mass on a line, pushed with noise; cost ½ (x² + .1 v² + .1 a²) for 20 steps. The same sweep of matrices gives the
exact posterior (β = 1), which believes that the noise helps; the linear-quadratic regulator (β = 0); and risk-sensitive
control (β < 0), against noise that an adversary chooses and pays with 1/|β| of a nat for each nat. Below β* the
adversary is unbounded: there is no answer, and `infer` says so. With a known start and a long horizon, √(−τ/β*) is the
H∞ norm of the best controller. (Below 0 the policy earns more than at 0, because it is narrower, not because it is
better: its objective has less entropy.) Printed:

    β  gain [x, v]  action sd  objective   imagined       true
 1.00   0.97  1.30       1.49     -13.69      -7.52     -19.14
 0.50   1.14  1.53       1.45     -16.41     -10.01     -17.98
 0.00   1.39  1.87       1.40     -21.85     -16.88     -16.88
-0.30   1.60  2.15       1.34     -29.48     -31.32     -16.28
-0.72   2.02  2.76       1.23    -121.46    -739.52     -15.59
Breakdown(below β = -0.7956 (of the start, along (0.773, 0.635)); above never; H∞ norm 1.121; start at the same β)
`optimism` Optimism(dynamics=-0.88, initial=-0.88, survival=0.0) is beyond the breakdown of this model (neurotic: the
adversary is unbounded). Its limit is β* = -0.7956, at the start, along (0.773, 0.635). Choose a β nearer to 0;
breakdown(model) gives both limits.
smallest gain from noise to cost: 0.8242 (T = 20), 0.8323 (T = 100), 0.8323 (T = 500)
stationary, β = 1: gain [0.97, 1.30], reward of a step -0.366, pole 0.883
stationary, β = 0: gain [1.40, 1.87], reward of a step -0.262, pole 0.825
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import (
    LinearQuadratic,
    LinearQuadraticModel,
    OptimismBreakdown,
    breakdown,
    evaluate,
    infer,
    plot,
    stationary_policy,
)


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 20
    """number of steps"""
    step: float = 0.2
    """length of a step"""
    picture: Path = Path("28_one_slider.png")
    """output file of the picture"""
    smoke: bool = False
    """the same; it takes a second"""


def main(args: Args) -> None:
    """Solve the model for several β, and find where it breaks down."""
    problem = LinearQuadratic(
        A=[[1.0, args.step], [0.0, 1.0]],
        B=[[0.0], [args.step]],
        W=torch.diag(torch.tensor([0.01, 0.05])),
        C=torch.diag(torch.tensor([1.0, 0.1, 0.1])),
        horizon=args.horizon,
        initial_mean=[2.0, 0.0],
        initial_covariance=0.1 * torch.eye(2),
    )
    model = LinearQuadraticModel(problem, temperature=1.0, action_prior=[[4.0]])
    edge = breakdown(model)
    lowest = edge.neurotic.optimism
    print("    β  gain [x, v]  action sd  objective   imagined       true")
    for beta in (1.0, 0.5, 0.0, -0.3, 0.9 * lowest):
        found = infer(model, beta)
        score = evaluate(model, found)
        gain = "  ".join(f"{each:.2f}" for each in found.gain[0, 0].tolist())
        spread = float(found.policy_covariance[0, 0, 0]) ** 0.5
        numbers = f"{found.objective:9.2f}  {score.imagined_return:9.2f}  {score.true_return:9.2f}"
        print(f"{beta:5.2f}  {gain:>11}  {spread:9.2f}  {numbers}")
    print(edge)
    try:
        infer(model, round(1.1 * lowest, 2))
    except OptimismBreakdown as refusal:
        print(refusal)
    norms = []
    for horizon in (args.horizon, 5 * args.horizon, 25 * args.horizon):
        longer = LinearQuadraticModel(problem.replace(horizon=horizon), 1.0, [[4.0]])
        norms.append(f"{breakdown(longer, initial=False).h_infinity_norm:.4f} (T = {horizon})")
    print("smallest gain from noise to cost:", ", ".join(norms))
    for beta in (1.0, 0.0):
        still = stationary_policy(model, beta)
        gain = ", ".join(f"{each:.2f}" for each in still.gain[0].tolist())
        slowest = max(abs(each) for each in still.poles)
        print(f"stationary, β = {beta:g}: gain [{gain}], reward of a step {still.true_reward:.3f}, pole {slowest:.3f}")

    figure = Figure(figsize=(11.8, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    plot.gain_by_optimism(model, axes=axes[:2])
    plot.belief_paths(infer(model, 1.0), (0, 1), title="β = 1: position and speed", ax=axes[2])
    axes[2].set_xlabel("position")
    axes[2].set_ylabel("speed")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
