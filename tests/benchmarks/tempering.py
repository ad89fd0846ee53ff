"""Time of tempering for the rewards of all states and β of FrozenLake, from demonstrations.

python -m tests.benchmarks.tempering [--size 8x8] [--samples 500] [--threads N]
"""

import argparse
import time

import pyro
import pyro.distributions as dist
import torch

from pgm_control.inverse_rl import DialDemonstrator, reward_posterior

from .calibration import demonstrations
from .harness import lake


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("4x4", "8x8"), default="8x8")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--demonstrations", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_default_dtype(torch.float64)
    pyro.enable_validation(False)
    model = lake(options.size, 0.1)
    seen = demonstrations(model, DialDemonstrator(0.3), options.demonstrations, 0)
    wall, processor = time.perf_counter(), time.process_time()

    def show(step: int, metrics: dict[str, float]) -> None:
        print(f"  {step:>3}  {time.process_time() - processor:7.1f} s  {metrics}", flush=True)

    found = reward_posterior(
        *(model, seen, "state", DialDemonstrator(0.0)),
        prior=0.5, optimism=dist.Normal(0.0, 1.0), num_samples=options.samples, seed=0, progress=show,
    )  # fmt: skip
    low, high = found.interval()[-1].tolist()
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    print(
        f"FrozenLake {options.size}, {len(found.names)} unknowns, {options.samples} draws: CPU {processor:.0f} s, wall "
        f"{wall:.0f} s; 90 % interval of β {low:.2f} … {high:.2f} (the demonstrator: 0.3, and a reward of outcomes, "
        f"not of states); at least {float(found.effective_draws.min()):.0f} independent draws."
    )


if __name__ == "__main__":
    main()
