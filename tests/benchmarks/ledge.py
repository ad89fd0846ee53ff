"""Neural guides on the gusty ledge: what each family reaches, in nats, and what is earned with learned dynamics.

Exact optima by convolution on a grid: free −13.7133, clamped −20.0792 nats. The best guides that are linear and
Gaussian at each time have −16.629 and −22.584. With 2500 steps and seed 0:

| family | ELBO | share of the gap of linear-Gaussian guides that it closes | imagined | true |
|---|---|---|---|---|
| clamped | −21.05 ± .09 | 61 % | | |
| flow | −20.384 ± .068 | 88 % | −3.930 ± .033 | −3.946 ± .034 |
| free | −14.54 ± .02 | 72 % | | |
| free-flow, 1500 steps | −14.630 ± .021 | 69 % | −2.198 ± .013 | −15.59 ± .22 |

With dynamics learned from 2000 steps of random actions, and fits of 1000 steps: the return in the true world of the
policy planned in the learned model, minus that of the policy planned in the true model, by seed: +.001, +.014, −.004,
−.229 and −.073. The latter earns −4.13 to −4.26; each return is ± .04.

Run `python -m tests.benchmarks.ledge clamped`, `free`, `mixture`,
`free-mixture`, `flow`, `free-flow`, `speed` or `learned`.
"""

import statistics
import sys
import time

import torch
from pyro.infer import Trace_ELBO
from pyro.optim import ClippedAdam

from pgm_control import ClampedNeuralGuide, FlowGuide, FreeNeuralGuide, OnePassELBO, estimate, fit, learn_dynamics

from ..ledge import CLAMPED, CLAMPED_GAUSSIAN, FREE, FREE_GAUSSIAN, HAND, HORIZON, WIND, ledge

GUIDES = {
    "clamped": lambda model, seed: ClampedNeuralGuide(model, seed=seed),
    "free": lambda model, seed: FreeNeuralGuide(model, seed=seed),
    "mixture": lambda model, seed: ClampedNeuralGuide(model, "mixture", seed=seed),
    "free-mixture": lambda model, seed: FreeNeuralGuide(model, "mixture", seed=seed),
    "flow": lambda model, seed: FlowGuide(model, seed=seed),
    "free-flow": lambda model, seed: FlowGuide(model, free=True, seed=seed),
}
LEARNING_RATE, DRAWS = 0.01, 10_000


def trained(name, model, num_steps, particles=128, seed=0):
    """A guide after a fit whose learning rate falls to a hundredth."""
    guide = GUIDES[name](model, seed)
    optim = ClippedAdam({"lr": LEARNING_RATE, "lrd": 0.01 ** (1 / num_steps), "betas": (0.9, 0.99)})
    fit(model, guide, OnePassELBO(particles), optim, num_steps=num_steps, tolerance=0.0, seed=seed)
    return guide


def transitions(seed, episodes=125):
    """Transitions of random actions from the prior: 125 episodes of 16 steps, 2000 in all."""
    draw = torch.Generator().manual_seed(seed)
    state, found = torch.zeros(episodes, 2, dtype=torch.float64), []
    for _ in range(HORIZON):
        hand, wind = (torch.randn(state.shape, generator=draw, dtype=torch.float64) for _ in range(2))
        action = HAND * hand
        ahead = state + action + WIND * wind
        found.append((state, action, ahead))
        state = ahead
    return tuple(torch.cat(column) for column in zip(*found, strict=True))


def family(name, num_steps):
    """Print what a family reaches, and the part of the gap of linear-Gaussian guides that it closes."""
    model, begin = ledge(), time.perf_counter()
    guide = trained(name, model, num_steps)
    seconds = time.perf_counter() - begin
    score = estimate(model, guide, DRAWS, seed=1)
    best, line = (FREE, FREE_GAUSSIAN) if guide.free_blocks else (CLAMPED, CLAMPED_GAUSSIAN)
    closed = (score.elbo.mean - line) / (best - line)
    print(f"{name}: ELBO {score.elbo}, optimum {best}, {closed:.0%} of the gap of linear-Gaussian guides closed")
    print(
        f"imagines {score.imagined_return}, earns {score.true_return}; {num_steps} steps, {seconds:.0f} s", flush=True
    )


def learned(num_steps, seeds=5):
    """Print what policies earn in the true world, planned in the true model, and in one learned from 2000 steps."""
    true = ledge()

    def earned(model, seed):
        return estimate(true, trained("clamped", model, num_steps, seed=seed), DRAWS, seed=1).true_return

    differences = []
    for seed in range(seeds):
        dynamics = learn_dynamics(*transitions(seed), seed=seed)
        known, found = earned(true, seed), earned(ledge(dynamics), seed)
        differences.append(found.mean - known.mean)
        print(f"seed {seed}: known {known}, learned {found}, difference {differences[-1]:+.3f}; {dynamics}", flush=True)
    print(f"mean difference {statistics.mean(differences):+.3f}, largest {max(map(abs, differences)):.3f}")


def speed(repeats=30):
    """Print the time of a step of each loss, the fastest of several."""
    model = ledge()
    for name, make in GUIDES.items():
        guide = make(model, 0)
        losses = {
            "one pass, 32": OnePassELBO(32),
            "one pass, 128": OnePassELBO(128),
            "Trace_ELBO, 32": Trace_ELBO(num_particles=32, vectorize_particles=True, max_plate_nesting=1),
        }
        times = {}
        for label, loss in losses.items():
            each = []
            for _ in range(repeats):
                begin = time.perf_counter()
                loss.loss_and_grads(model, guide)
                each.append(time.perf_counter() - begin)
            times[label] = min(each)
        print(name, ", ".join(f"{label}: {1000 * found:.0f} ms" for label, found in times.items()), flush=True)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "speed":
        speed()
    elif what == "learned":
        learned(*(int(each) for each in rest or ["1000"]))
    else:
        family(what, *(int(each) for each in rest or ["2500"]))
