"""The numbers of an exact solution on a mesh: returns and divergences by step, and what they are worth."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ....text.one_line import one_line
from .plane import Plane
from .solution import Densities, Values, expected


@final
@dataclass(frozen=True, eq=False, repr=False)
class Account:
    """What a solution expects, by step.

    Attributes:
        imagined_rewards, true_rewards: the expected reward of step t under the believed and the true dynamics, t = 0 …
            T − 1, and the final reward as entry T; in reward units.
        policy_kl: the expected KL of the policy from the action prior at step t, in believed states, in nats.
        true_policy_kl: the same in the states that the policy reaches in the true world.
        dynamics_kl: the expected KL of the believed from the true dynamics at step t, in nats.
        initial_kl: the KL of the start, in nats.
        edge_mass: the largest probability, over time, of a believed or truly reached state or place within one
            deviation of a step from the edge of the mesh.
    """

    imagined_rewards: Float[Tensor, " time_and_last"]
    true_rewards: Float[Tensor, " time_and_last"]
    policy_kl: Float[Tensor, " time"]
    true_policy_kl: Float[Tensor, " time"]
    dynamics_kl: Float[Tensor, " time"]
    initial_kl: float
    edge_mass: float

    __repr__ = one_line


def account_of(
    plane: Plane, values: Values, believed: Densities, true: Densities, beta: float, beta_of_start: float
) -> Account:
    """The account of a solution of the plane.

    Args:
        plane, values: the problem and its solution.
        believed, true: the densities under the believed and the true dynamics.
        beta, beta_of_start: the optimism of the dynamics and of the start.
    """
    tau, cell, horizon = plane.temperature, plane.mesh.log_cell, len(values.g)
    rewards = torch.stack([*(plane.rewards(t) for t in range(1, horizon + 1)), values.v[-1]])

    def earned(found: Densities) -> Float[Tensor, " time_and_last"]:
        states = found.states[-horizon:] + cell
        return expected(torch.cat([states, states[-1:]]), rewards)

    def from_prior(found: Densities) -> Float[Tensor, " time"]:
        before = _value_before(found, values, cell)
        return (expected(found.places + cell, values.g) - before) / tau

    places = expected(believed.places + cell, values.g)
    dynamics = beta / tau * (expected(believed.states[-horizon:] + cell, values.worth) - places)
    initial = 0.0
    if believed.has_start and beta_of_start != 0:
        mean = float(_value_before(believed, values, cell)[0])
        initial = beta_of_start / tau * (mean - values.value)
    mask = plane.mesh.edge((plane.hand + plane.wind).sqrt())
    near = [
        float((each[:, mask] + cell).exp().sum(-1).max())
        for found in (believed, true)
        for each in (found.states, found.places)
    ]
    return Account(
        imagined_rewards=earned(believed),
        true_rewards=earned(true),
        policy_kl=from_prior(believed),
        true_policy_kl=from_prior(true),
        dynamics_kl=dynamics if beta != 0 else torch.zeros_like(dynamics),
        initial_kl=initial,
        edge_mass=max(near),
    )


def _value_before(found: Densities, values: Values, cell: float) -> Float[Tensor, " time"]:
    """The expected V_t of the states before each action, t = 0 … T − 1."""
    horizon = len(values.g)
    if found.has_start:
        return expected(found.states[:-1] + cell, values.v[:-1])
    later = expected(found.states[:-1] + cell, values.v[1:horizon]) if horizon > 1 else found.states.new_zeros(0)
    return torch.cat([later.new_tensor([values.value]), later])
