"""Reading a driver's mind: what she wants of her lane, and what she expects of the wind, from 300 drives.

State: metres from the middle of the lane and metres per second across it; action: the acceleration that she steers;
gusts push at random. Her cost is ½ (y² + .2 v² + .5 a²), her optimism β = .5: she expects the gusts to be kind, and
steers less than she would if she knew them. Read as a realist (β = 0) she seems to care half as much about the lane,
and not to mind speed across it; read as one who commands the wind (free), a quarter. If β is learned with the costs,
all four numbers are right within two standard errors, and the log-likelihood is 38 nats higher. An assistant that knows
the wind and serves the costs of the realist strays farther from the middle than one that serves those she has. Printed:

read as                    lane y²        speed v²       effort a²      optimism β  log-likelihood
a realist            0.527 ± 0.019  -0.029 ± 0.027   0.480 ± 0.009               0       -13252.69
commands the wind    0.267 ± 0.013  -0.057 ± 0.016   0.376 ± 0.007               1       -22263.80
she is, β learned    0.975 ± 0.079   0.163 ± 0.055   0.506 ± 0.009   0.478 ± 0.060       -13215.03
truth                            1             0.2             0.5             0.5
4 of 4 directions of the parameters are identified by the demonstrations, near these parameters.
The temperature trades against the scale of the reward: only their ratio is identified.
the drives show the road, too: a push of 0.490 m/s, gusts of variance 1.176
half-way an assistant strays 0.688 m (her costs), 0.863 m (costs of the realist), 0.696 m (costs with β learned)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

from pgm_control import LinearQuadratic, LinearQuadraticModel, Optimism, infer
from pgm_control.inverse_rl import DialDemonstrator, GaussianInverse, identify_dynamics, inverse

STEP, GUST, STEPS, OPTIMISM = 0.5, 1.2, 30, 0.5  # seconds, variance of a gust, steps, her β
TRUTH = [1.0, 0.2, 0.5]
PUSH = np.array([STEP**2 / 2, STEP])  # what an acceleration of 1, held for a step, does


def road() -> LinearQuadratic:
    """Thirty steps of half a second, in side wind; a gust is an acceleration that lasts for a step."""
    A = [[1.0, STEP], [0.0, 1.0]]
    Q, R, W = np.diag(TRUTH[:2]), [[TRUTH[2]]], GUST * np.outer(PUSH, PUSH)
    start = 0.25 * np.eye(2)
    return LinearQuadratic.from_cost(
        A, PUSH[:, None], Q, R, W, horizon=STEPS, initial_mean=[0.0, 0.0], initial_covariance=start
    )


def row(name: str, values: list[str], likelihood: str) -> str:
    """A line of the table."""
    return f"{name:<18}" + "".join(f"{each:>16}" for each in values) + f"{likelihood:>16}"


def read(name: str, found: GaussianInverse) -> None:
    """Print what was read."""
    pairs = zip(found.parameters.tolist(), found.deviations.tolist(), strict=True)
    values = [f"{value:.3f} ± {deviation:.3f}" for value, deviation in pairs]
    print(row(name, values + [f"{found.optimism:g}"] * (4 - len(values)), f"{found.log_likelihood:.2f}"))


def straying(model: LinearQuadraticModel) -> np.ndarray:
    """The standard deviation of an assistant with the costs of a model from the middle of the lane, in metres."""
    spread = infer(model, 0.0).true_marginals().state_covariance
    return spread[:, 0, 0].sqrt().numpy()


@dataclass
class Args:
    """Options of the example."""

    drives: int = 300
    """number of drives that are seen"""
    seed: int = 0
    """seed of the drives"""
    picture: Path = Path("31_reading_a_drivers_mind.png")
    """output file of the picture"""
    smoke: bool = False
    """a few drives, to see that it runs"""


def main(args: Args) -> None:
    """Drive, read costs and optimism under several assumptions, and let an assistant serve what was read."""
    model, n = LinearQuadraticModel(road()), 20 if args.smoke else args.drives
    her = infer(model, Optimism(OPTIMISM, initial=0.0)).true_blocks()  # her policy in the true wind
    drives = her.sample(n, seed=args.seed)
    print(row("read as", ["lane y²", "speed v²", "effort a²", "optimism β"], "log-likelihood"))
    realist = inverse(model, drives, "diagonal", "clamped", num_starts=1)
    read("a realist", realist)
    read("commands the wind", inverse(model, drives, "diagonal", "free"))
    mind = inverse(model, drives, "diagonal", DialDemonstrator(0.0), learn=["optimism"], num_starts=1)
    read("she is, β learned", mind)
    print(row("truth", [f"{each:g}" for each in (*TRUTH, OPTIMISM)], ""))
    print(mind.identification)
    world = identify_dynamics(model.problem, drives, drift=False)
    gust = float(world.W[1, 1]) / STEP**2
    print(f"the drives show the road, too: a push of {world.B[1, 0]:.3f} m/s, gusts of variance {gust:.3f}")
    served = {"her costs": model, "costs of the realist": realist.model, "costs with β learned": mind.model}
    lanes = {name: straying(each) for name, each in served.items()}
    half = ", ".join(f"{each[STEPS // 2]:.3f} m ({name})" for name, each in lanes.items())
    print(f"half-way an assistant strays {half}")

    betas = np.linspace(-0.1, 1.0, 4 if args.smoke else 12)
    readings = [inverse(model, drives, "diagonal", DialDemonstrator(float(beta)), num_starts=1) for beta in betas]
    figure = Figure(figsize=(10.8, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, colour) in enumerate({"lane": "tab:blue", "speed": "tab:orange", "effort": "tab:green"}.items()):
        value, deviation = (np.array([each[i] for each in many]) for many in _both(readings))
        left.plot(betas, value, color=colour, label=f"cost of {name}")
        left.fill_between(betas, value - 2 * deviation, value + 2 * deviation, color=colour, alpha=0.2)
        left.plot([OPTIMISM], [TRUTH[i]], "o", color=colour)
    best = mind.log_likelihood
    left.plot(
        betas,
        [(each.log_likelihood - best) / 40 for each in readings],
        "k--",
        label="log-likelihood below the best, in 40 nats",
    )
    beta, deviation = mind.optimism, mind.optimism_deviation
    left.axvline(beta, color="grey", linewidth=1)
    left.axvspan(beta - 2 * deviation, beta + 2 * deviation, color="0.92", zorder=0)
    left.set_xlabel("optimism β that she is read with")
    left.set_title("What she seems to want depends on\nwhat she is thought to expect (dots: truth)")
    left.legend(loc="upper left")
    for (name, each), style in zip(lanes.items(), ("k-", "r-", "b--"), strict=True):
        right.plot(STEP * np.arange(STEPS + 1), each, style, label=name)
    right.plot(STEP * np.arange(STEPS + 1), her.marginals().state_covariance[:, 0, 0].sqrt(), "k:", label="herself")
    right.set_xlabel("seconds")
    right.set_ylabel("metres from the middle (standard deviation)")
    right.set_title("An assistant that knows the wind")
    right.legend(loc="upper left")
    figure.savefig(args.picture)


def _both(readings: list[GaussianInverse]) -> tuple[list[list[float]], list[list[float]]]:
    """The parameters and the deviations of each reading."""
    return [each.parameters.tolist() for each in readings], [each.deviations.tolist() for each in readings]


if __name__ == "__main__":
    main(tyro.cli(Args))
