"""Posteriors of problems in the plane and on the line as labelled arrays, and draws from them for ArviZ."""

from typing import Any

import torch

from ...errors import InvalidArgument
from ...inference.exact.grid.moments import state_moments
from ...inference.exact.grid.posterior import GridPosterior
from .labelled_linear_quadratic import STATE
from .variables import NATS, REWARD, Built, variable

_AXES = "node_x", "node_y"


def of_grid_posterior(posterior: GridPosterior) -> Built:
    """Values and densities at the nodes, moments of the states, and returns and divergences by step.

    The nodes have the coordinates of the mesh, which are those of the state if both covariances are diagonal.
    """
    mesh, account, start = posterior.mesh, posterior.account, posterior.model.problem.initial_mean
    axes = _AXES[: len(mesh.counts)] if len(mesh.counts) > 1 else ("node",)
    nodes = " ".join(axes)
    log_density = f"in the coordinates of the mesh, t = {0 if posterior.believed.has_start else 1} … T"
    variables = {
        "v": variable(f"time_and_last {nodes}", posterior.v, REWARD, "soft state value V_t(s)"),
        "policy_kl": variable("time", account.policy_kl, NATS, "KL of the policy from the action prior"),
        "dynamics_kl": variable("time", account.dynamics_kl, NATS, "KL of the believed from the true dynamics"),
    }
    for name, found, rewards in (
        ("believed", posterior.believed, account.imagined_rewards),
        ("true", posterior.true, account.true_rewards),
    ):
        moments, prefix = state_moments(mesh, found, start), "" if name == "believed" else "true_"
        table, about = found.states, f"{name} log-density of the state"
        variables |= {
            f"{prefix}log_density": variable(f"time_reached {nodes}", table, "log density", f"{about} {log_density}"),
            f"{prefix}reward": variable("time_and_last", rewards, REWARD, f"{name} reward of step t, and at the end"),
            f"{prefix}state_mean": variable("time_and_last state", moments.state_mean, STATE, f"{name} mean of s_t"),
            f"{prefix}state_covariance": variable(
                "time_and_last state other_state", moments.state_covariance, STATE, f"{name} covariance of s_t"
            ),
        }
    attributes: dict[str, Any] = {"horizon": posterior.horizon, "temperature": posterior.model.temperature}
    attributes |= {"optimism": str(posterior.optimism), "objective": posterior.objective}
    attributes |= {"mesh_error": posterior.error.objective}
    labels: Any = {axis: tuple(mesh.nodes(k).tolist()) for k, axis in enumerate(axes)}
    return variables, attributes, labels


def grid_groups(
    posterior: GridPosterior, shape: tuple[int, int], seed: int | torch.Generator | None
) -> dict[str, dict[str, Any]]:
    """Independent draws in chains: `posterior` as imagined, and `posterior_predictive` as played in the true world."""
    count = shape[0] * shape[1]
    return {
        "posterior": _variables(posterior, posterior.sample(count, seed), shape),
        "posterior_predictive": _variables(posterior, posterior.play(count, seed), shape),
    }


def _variables(posterior: GridPosterior, drawn: Any, shape: tuple[int, int]) -> dict[str, Any]:
    on_a_line = drawn.states.ndim == 2
    states, actions = (each[..., None] if on_a_line else each for each in drawn)
    total = posterior.model.problem.returns(drawn.states)
    return {
        "state": states.reshape(*shape, *states.shape[1:]).numpy(),
        "action": actions.reshape(*shape, *actions.shape[1:]).numpy(),
        "total_reward": total.reshape(shape).numpy(),
    }


def require_own(posterior: GridPosterior, model: object) -> None:
    """Require the posterior's own model, or none.

    Raises:
        InvalidArgument: for another one.
    """
    if model is not None and model is not posterior.model:
        raise InvalidArgument("`model` must be that of the posterior, or None. Leave it out.")
