"""Time of the torch back end on a GPU: FrozenLake alone and in batches, with and without a CUDA graph.

python -m tests.benchmarks.gpu [--device cuda] [--settings N]     (--device cpu tries the script out)
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from pgm_control import TabularModel, soft_values

from .batch import Settings, settings
from .harness import SIZES, backend, lake, race, require_close, versions


def gradient(
    model: TabularModel, optimism: float | Tensor, reward: Tensor, temperature: Tensor | None
) -> Callable[[], Tensor]:
    """The call that computes the objective and its gradient by the reward, and returns both sums as one tensor."""

    def call() -> Tensor:
        leaf = reward.detach().requires_grad_()
        found = soft_values(model, optimism, reward=leaf, temperature=temperature).objective
        (slope,) = torch.autograd.grad(found.sum(), leaf)
        return torch.stack((found.detach().sum(), slope.sum()))

    return call


def waiting(call: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    def wrapped() -> Tensor:
        found = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return found

    return wrapped


def captured(call: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor] | None:
    """The call replayed from a CUDA graph; None, after printing why, if it cannot be captured."""
    if device.type != "cuda":
        return None
    try:
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = call()
    except RuntimeError as problem:
        print(f"  (not captured as a CUDA graph: {str(problem).splitlines()[0]})")
        return None

    def replay() -> Tensor:
        graph.replay()
        return found

    return waiting(replay, device)


def compare(name: str, call: Callable[[], Tensor], device: torch.device, expected: Tensor | None = None) -> None:
    print(name)
    contestants = {"torch": waiting(call, device)}
    graph = captured(call, device)
    if graph is not None:
        contestants["torch, CUDA graph"] = graph
    for which, each in contestants.items():
        found = each().cpu()
        expected = found if expected is None else expected
        require_close(f"{name}, {which}", found, expected, 1e-6 * (1 + float(expected.abs().max())))
    race(contestants, rounds=5)


def moved(given: Settings, device: torch.device) -> Settings:
    return Settings(*(each.to(device) for each in given))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--settings", type=int, default=10_000)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device")
        return
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"{versions(('torch',))}, {where}")
    with backend("torch"):
        for size, steps in SIZES.items():
            here = lake(size, 0.1)
            model = TabularModel(here.mdp.to(device=device), here.temperature)
            for optimism in (1.0, 0.0):
                expected = gradient(here, optimism, here.mdp.reward, None)()
                name = f"FrozenLake {size}, T = {steps}, {'free' if optimism else 'clamped'}"
                compare(name, gradient(model, optimism, model.mdp.reward, None), device, expected)
        here = lake("8x8", 0.1)
        model = TabularModel(here.mdp.to(device=device), here.temperature)
        given = moved(settings(here, options.settings), device)
        call = gradient(model, given.optimism, given.reward, given.temperature)
        compare(f"FrozenLake 8x8, T = 100, {options.settings} settings", call, device)


if __name__ == "__main__":
    main()
