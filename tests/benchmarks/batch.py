"""Time of many settings of FrozenLake 8x8, T = 100, each with its own temperature, optimism and reward.

Each contestant computes all Q and V, the objectives and their gradients by the rewards.

python -m tests.benchmarks.batch [--settings N] [--rounds N]
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgm_control import TabularModel, soft_values

from . import peers
from .harness import SIZES, jax_in_float64, lake, race, require_close, versions
from .limit.compiled import available
from .limit.finite import BatchLimit


class Settings(NamedTuple):
    temperature: Tensor
    optimism: Tensor
    reward: Tensor


def settings(model: TabularModel, count: int) -> Settings:
    """Random settings: temperatures in .1 to 1, a fifth clamped, the others up to free; rewards scaled, with noise."""
    random = np.random.default_rng(0)
    temperature, optimism = random.uniform(0.1, 1.0, count), random.uniform(0.0, 1.0, count)
    optimism[::5] = 0.0
    noise = random.normal(size=(count, *model.mdp.reward.shape)) * 0.01
    scaled = model.mdp.reward.numpy() * random.uniform(0.5, 2.0, (count, 1, 1, 1))
    return Settings(*map(torch.from_numpy, (temperature, optimism, scaled + noise)))


def together(model: TabularModel, given: Settings) -> Callable[[], tuple[Tensor, Tensor | None]]:
    def call() -> tuple[Tensor, Tensor | None]:
        reward = given.reward.clone().requires_grad_()
        found = soft_values(model, given.optimism, reward=reward, temperature=given.temperature).objective
        found.sum().backward()
        return found.detach(), reward.grad

    return call


def one_by_one(model: TabularModel, given: Settings) -> Callable[[], tuple[Tensor, Tensor]]:
    numbers = list(zip(given.temperature.tolist(), given.optimism.tolist(), given.reward, strict=True))

    def call() -> tuple[Tensor, Tensor]:
        objectives, gradients = [], []
        for temperature, optimism, each in numbers:
            reward = each.clone().requires_grad_()
            found = soft_values(model, optimism, reward=reward, temperature=temperature).objective
            found.backward()
            objectives.append(found.detach())
            gradients.append(reward.grad)
        return torch.stack(objectives), torch.stack(gradients)

    return call


def on_threads(call: Callable[[], Any], threads: int) -> Callable[[], Any]:
    def wrapped() -> Any:
        torch.set_num_threads(threads)
        try:
            return call()
        finally:
            torch.set_num_threads(1)

    return wrapped


def jax_vmap(model: TabularModel, given: Settings) -> Callable[[], Any] | None:
    jax = jax_in_float64()
    if jax is None:
        return None
    one = jax.value_and_grad(peers.jax_objective(jax, model), argnums=0, has_aux=True)
    many = jax.jit(jax.vmap(one))
    reward, temperature, optimism = (
        jax.numpy.asarray(each.numpy()) for each in (given.reward, given.temperature, given.optimism)
    )

    def call() -> tuple[Any, Any]:
        (objective, _), gradient = jax.block_until_ready(many(reward, temperature, optimism))
        return objective, gradient

    return call


def limit(model: TabularModel, given: Settings) -> Callable[[], Any]:
    kernel = BatchLimit(model, given.temperature.numpy(), given.optimism.numpy(), given.reward.numpy())

    def call() -> tuple[np.ndarray, np.ndarray]:
        return kernel.solve(), kernel.gradient

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=int, default=1000, help="a multiple of 8")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(versions(("torch", "jax", "numba")))
    model = lake("8x8", 0.1)
    given = settings(model, options.settings)
    ours = together(model, given)
    found = {
        "C (limit)": limit(model, given) if available() else None,
        "pgm-control, one call": ours,
        "pgm-control, one call, 2 threads": on_threads(ours, 2),
        "pgm-control, a call for each": one_by_one(model, given),
        "JAX, jit of vmap": jax_vmap(model, given),
    }
    present = {name: call for name, call in found.items() if call is not None}
    expected, gradient = present["pgm-control, a call for each"]()
    print(f"FrozenLake 8x8, T = {SIZES['8x8']}, {options.settings} settings")
    for name, call in present.items():
        objective, slope = call()
        require_close(f"objective of {name}", np.asarray(objective), expected)
        slope = np.asarray(slope)
        if name == "C (limit)":
            slope = np.moveaxis(slope, -1, 1)
        require_close(f"gradient of {name}", slope.reshape(gradient.shape), gradient)
        del objective, slope
    race(present, options.rounds, seconds=0.1, again=True)


if __name__ == "__main__":
    main()
