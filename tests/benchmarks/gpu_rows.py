"""The rows of `gpu.py`: for each a call on the CPU, the same call on a device, and what both must return."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pgm_control import LinearQuadratic, LinearQuadraticModel, TabularModel, soft_values
from pgm_control.learners import SAC, SoftQLearning
from pgm_control.learners.replay import Transitions
from pgm_control.planners import MPPI, pendulum_simulator
from pgm_control.trajectories.gaussian.riccati import Prepared, backward_sweep, prepared

from .batch import Settings, settings
from .harness import SIZES, lake, on

TABLES, NETWORKS = 1e-8, 1e-3  # largest relative differences: of tables in float64, of networks in float32


class Row(NamedTuple):
    """The contestants of a row.

    Attributes:
        name: what is computed.
        cpu: the calls on the CPU, by name; each returns a tensor of results. The first is what a user gets there.
        device: the call on the device.
        tolerance: the largest difference of results, relative to the largest of them.
        again: whether calls change what they compute, such as a step of learning, so that only the first ones are
            compared.
        note: what a reader must know.
    """

    name: str
    cpu: dict[str, Callable[[], Tensor]]
    device: Callable[[], Tensor]
    tolerance: float
    again: bool = False
    note: str = ""


def gradient(model: TabularModel, given: Settings | float) -> Callable[[], Tensor]:
    """The call that computes objectives and their gradient by the reward, and returns both sums as one tensor."""
    is_batch = isinstance(given, Settings)
    reward = given.reward if is_batch else model.mdp.reward
    optimism, temperature = (given.optimism, given.temperature) if is_batch else (given, None)

    def call() -> Tensor:
        leaf = reward.detach().requires_grad_()
        found = soft_values(model, optimism, reward=leaf, temperature=temperature).objective
        (slope,) = torch.autograd.grad(found.sum(), leaf)
        return torch.stack((found.detach().sum(), slope.sum()))

    return call


def moved(given: Any, device: torch.device) -> Any:
    return given._make(each.to(device) if isinstance(each, Tensor) else each for each in given)


def single(device: torch.device, size: str, optimism: float) -> Row:
    here = lake(size, 0.1)
    there = TabularModel(here.mdp.to(device=device), here.temperature)
    name = f"exact: FrozenLake {size}, T = {SIZES[size]}, {'free' if optimism else 'clamped'}, gradient by the rewards"
    return Row(name, on_cpu(gradient(here, optimism)), on("torch", gradient(there, optimism)), TABLES)


def batch(device: torch.device, size: str, count: int) -> Row:
    here = lake(size, 0.1)
    there, given = TabularModel(here.mdp.to(device=device), here.temperature), settings(here, count)
    call = on("torch", gradient(there, moved(given, device)))
    compiled = {"compiled loops": on("auto", gradient(here, given))}
    return Row(f"exact: {count:,} settings of FrozenLake {size}, T = {SIZES[size]}, gradients", compiled, call, TABLES)


def on_cpu(call: Callable[[], Tensor]) -> dict[str, Callable[[], object]]:
    return {"compiled loops": on("auto", call), "torch": on("torch", call)}


def update(device: torch.device, kind: type[SAC] | type[SoftQLearning], size: int, width: int) -> Row:
    """Updates of all networks from one batch of transitions, with the same parameters at the start."""
    random = torch.Generator().manual_seed(0)
    there_or_here = [kind("CartPole-v1", hidden=(width, width), seed=0, device=str(each)) for each in ("cpu", device)]
    seen, ahead = (torch.randn(size, 4, generator=random) for _ in range(2))
    action = torch.randint(2, (size,), generator=random)
    given = Transitions(seen, action, torch.rand(size, generator=random), ahead, torch.ones(size))
    for name, part in there_or_here[0].parts().items():
        if isinstance(part, torch.nn.Module):
            there_or_here[1].parts()[name].load_state_dict(part.state_dict())

    def call(learner: Any, transitions: Transitions) -> Callable[[], Tensor]:
        return lambda: learner._update(transitions)["critic_loss"].detach()

    here, there = (
        call(learner, moved(given, torch.device(each)))
        for learner, each in zip(there_or_here, ("cpu", device), strict=True)
    )
    name = f"an update of {kind.__name__}: {size:,} transitions, two layers of {width}, float32"
    return Row(name, {"torch": here}, there, NETWORKS, again=True)


def plans(device: torch.device, count: int, steps: int) -> Row:
    """Plans of the pendulum, simulated and weighed with the same noise on both sides."""
    simulator = pendulum_simulator()
    noise = 2.0 * torch.randn(count, steps, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    planner = MPPI(simulator, num_plans=count, num_noise_samples=1, horizon=steps, seed=0)

    def call(plans: Tensor) -> Callable[[], Tensor]:
        def weighed() -> Tensor:
            start = plans.new_zeros(count) + 3.0, plans.new_zeros(count)
            return torch.stack([(torch.softmax(pendulum(plans, *start), 0) * plans[:, 0, 0]).sum()])

        return weighed

    def decided() -> Tensor:
        planner.act([3.0, 0.0])
        return here()

    here = call(noise)
    note = "MPPI itself computes on the CPU only; on the device are the dynamics in torch and the weights"
    contestants = {"torch": here, "a decision of MPPI": decided}
    name = f"{count:,} plans of {steps} steps of the pendulum"
    return Row(name, contestants, call(noise.to(device)), TABLES, note=note)


def pendulum(plans: Tensor, angle: Tensor, speed: Tensor) -> Tensor:
    """The returns of plans by the equations of `pendulum_simulator`."""
    total = torch.zeros_like(angle)
    for torque in plans[:, :, 0].clamp(-2.0, 2.0).unbind(1):
        wrapped = torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
        total = total - (wrapped.square() + 0.1 * speed.square() + 0.001 * torque.square())
        speed = (speed + 0.05 * (15.0 * angle.sin() + 3.0 * torque)).clamp(-8.0, 8.0)
        angle = angle + 0.05 * speed
    return total


def regulators(device: torch.device, count: int, steps: int) -> Row:
    """Regulators with four states and two actions, each with its own dynamics and cost; values and a gradient."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    A = torch.eye(4, dtype=torch.float64) + 0.1 * normal(count, 1, 4, 4)
    C = torch.eye(6, dtype=torch.float64) + 0.01 * normal(count, 1, 1, 1).square() * torch.ones(6, 6).double()
    problem = LinearQuadratic(
        A, normal(4, 2), 0.1 * torch.eye(4, dtype=torch.float64), C, horizon=steps, initial_mean=normal(4)
    )
    model = LinearQuadraticModel(problem, temperature=1.0)
    given, mean = prepared(model), problem.initial_mean
    theta = 0.05 * torch.rand(count, generator=random, dtype=torch.float64)

    def swept(tables: Prepared, optimism: Tensor, start: Tensor) -> Callable[[], Tensor]:
        def call() -> Tensor:
            leaf = tables.hessian.detach().requires_grad_()
            found = backward_sweep(tables._replace(hessian=leaf), optimism)
            start_P, start_p = found.P[:, 0], found.p[:, 0]
            cost = 0.5 * torch.einsum("...i,...ij,...j", start, start_P, start) + (start_p * start).sum(-1)
            (slope,) = torch.autograd.grad((cost + found.v[:, 0]).sum(), leaf)
            return torch.stack((cost.detach().sum(), slope.sum()))

        return call

    def public() -> Tensor:
        with torch.no_grad():
            return -soft_values(model, theta).objective.sum()[None].expand(2)

    there = swept(moved(given, device), theta.to(device), mean.to(device))
    note = "soft_values of linear-quadratic models computes on the CPU only; on the device is its recursion in torch"
    contestants = {"torch": swept(given, theta, mean), "soft_values, without gradient": public}
    return Row(f"{count:,} regulators, 4 states, 2 actions, T = {steps}", contestants, there, TABLES, note=note)


ROWS: dict[str, Callable[[torch.device, bool], Row]] = {
    "lake-4x4": lambda device, smoke: single(device, "4x4", 0.0),
    "lake-8x8": lambda device, smoke: single(device, "4x4" if smoke else "8x8", 0.0),
    "lake-8x8-free": lambda device, smoke: single(device, "4x4" if smoke else "8x8", 1.0),
    "batch": lambda device, smoke: batch(device, "4x4" if smoke else "8x8", 4 if smoke else 10_000),
    "sac": lambda device, smoke: update(device, SAC, 16 if smoke else 256, 8 if smoke else 256),
    "sac-wide": lambda device, smoke: update(device, SAC, 32 if smoke else 4096, 16 if smoke else 1024),
    "soft-q": lambda device, smoke: update(device, SoftQLearning, 16 if smoke else 256, 8 if smoke else 256),
    "plans": lambda device, smoke: plans(device, 20 if smoke else 10_000, 5 if smoke else 25),
    "regulators": lambda device, smoke: regulators(device, 5 if smoke else 100_000, 3 if smoke else 20),
}
