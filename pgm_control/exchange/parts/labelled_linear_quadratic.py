"""Linear-quadratic problems and their posteriors as labelled arrays."""

from typing import Any

import torch

from ...analysis.ledgers.continuous_ledger import ContinuousLedger
from ...errors import InvalidArgument
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...trajectories.gaussian.blocks import GaussianBlocks, GaussianMarginals
from .variables import NATS, REWARD, Built, Variables, variable

STATE = "units of the state"
_ACTION, _MIXED = "units of the action", "as state and action"


def of_linear_quadratic(problem: LinearQuadratic) -> Built:
    """The matrices; the dimension `input` is that of z = (s, a)."""
    _require_one(problem.batch_shape)
    variables = {
        "A": variable("time state from_state", problem.A, "1", "effect of the state, s' = A s + B a + d + w"),
        "B": variable("time state action", problem.B, _MIXED, "effect of the action"),
        "d": variable("time state", problem.d, STATE, "drift"),
        "W": variable("time state other_state", problem.W, STATE, "covariance of the noise"),
        "C": variable("time input other_input", problem.C, REWARD, "quadratic cost of z = (s, a)"),
        "c": variable("time input", problem.c, REWARD, "linear cost of z"),
        "k": variable("time", problem.k, REWARD, "constant cost"),
        "final_P": variable("state other_state", problem.final_P, REWARD, "quadratic cost of the last state"),
        "final_p": variable("state", problem.final_p, REWARD, "linear cost of the last state"),
        "final_v": variable("", problem.final_v, REWARD, "constant cost of the last state"),
        **_start(problem.initial_mean, problem.initial_covariance, "the start"),
    }
    return variables, {"horizon": problem.horizon, "discount": problem.discount}, component_names(problem)


def component_names(problem: LinearQuadratic) -> dict[str, tuple[str, ...] | None]:
    """The names of the components of states, actions and inputs, by dimension."""
    states, actions = problem.state_names, problem.action_names
    both = None if states is None or actions is None or {*states} & {*actions} else states + actions
    dims = {"state": states, "other_state": states, "from_state": states}
    return dims | {"action": actions, "other_action": actions, "input": both, "other_input": both}


def of_gaussian_blocks(blocks: GaussianBlocks) -> Built:
    """The factors of a distribution over trajectories, and its moments."""
    _require_one(tuple(blocks.offset.shape[:-2]))
    with torch.no_grad():
        variables = {
            **_start(blocks.initial_mean, blocks.initial_covariance, "the start"),
            "gain": variable("time action state", blocks.gain, _MIXED, "K of the policy N(−K s − κ, Σ)"),
            "offset": variable("time action", blocks.offset, _ACTION, "κ of the policy"),
            "policy_covariance": variable(
                "time action other_action", blocks.policy_covariance, _ACTION, "Σ of the policy"
            ),
            "transition": variable("time state input", blocks.transition, _MIXED, "F of the dynamics N(F z + d, W)"),
            "drift": variable("time state", blocks.drift, STATE, "d of the dynamics"),
            "noise": variable("time state other_state", blocks.noise, STATE, "W of the dynamics"),
            **_moments(blocks.marginals(), "", "believed"),
        }
    return variables, {"horizon": blocks.horizon}, {}


def of_gaussian_posterior(posterior: GaussianPosterior) -> Built:
    """The factors, the values, and the moments that it believes in and the true ones."""
    variables, _, _ = of_gaussian_blocks(posterior.blocks())
    P, p, v = posterior.value_hessian, posterior.value_gradient, posterior.value_constant
    about = "of the value −(½ s'P s + p's + v)"
    problem = posterior.model.problem
    with torch.no_grad():
        variables |= {
            "value_hessian": variable("time_and_last state other_state", P, REWARD, f"P {about}"),
            "value_gradient": variable("time_and_last state", p, REWARD, f"p {about}"),
            "value_constant": variable("time_and_last", v, REWARD, f"v {about}"),
            **_moments(posterior.true_marginals(), "true_", "true"),
        }
    attributes: dict[str, Any] = {"horizon": problem.horizon, "discount": problem.discount}
    attributes |= {"temperature": posterior.model.temperature, "optimism": str(posterior.optimism)}
    attributes |= {"value": float(posterior.value)}
    if posterior.objective is not None:
        attributes["objective"] = float(posterior.objective)
    return variables, attributes, component_names(problem)


def of_continuous_ledger(ledger: ContinuousLedger) -> Built:
    """The entries by step."""
    what = "part of the gap: "
    variables = {
        "policy_by_step": variable("time", ledger.policy_by_step, NATS, what + "policy"),
        "dynamics_by_step": variable("time", ledger.dynamics_by_step, NATS, what + "dynamics"),
        "delusion_by_step": variable("time_and_last", ledger.delusion_by_step, REWARD, "imagined − true reward"),
    }
    attributes = {"optimism": str(ledger.optimism), "log_evidence": ledger.log_evidence, "elbo": ledger.elbo}
    return variables, attributes | {"gap": ledger.gap, "initial": ledger.initial, "headline": ledger.headline}, {}


def _start(mean: torch.Tensor, covariance: torch.Tensor, what: str) -> Variables:
    return {
        "initial_mean": variable("state", mean, STATE, f"mean of {what}"),
        "initial_covariance": variable("state other_state", covariance, STATE, f"covariance of {what}"),
    }


def _moments(found: GaussianMarginals, prefix: str, what: str) -> Variables:
    of_states, of_actions = "time_and_last state", "time action"
    both = found.state_covariance, found.action_covariance
    return {
        f"{prefix}state_mean": variable(of_states, found.state_mean, STATE, f"{what} mean of s_t"),
        f"{prefix}state_covariance": variable(f"{of_states} other_state", both[0], STATE, f"{what} covariance of s_t"),
        f"{prefix}action_mean": variable(of_actions, found.action_mean, _ACTION, f"{what} mean of a_t"),
        f"{prefix}action_covariance": variable(
            f"{of_actions} other_action", both[1], _ACTION, f"{what} covariance of a_t"
        ),
    }


def _require_one(batch: tuple[int, ...]) -> None:
    if batch:
        raise InvalidArgument(
            f"`result` must be that of one problem, but is a batch {batch}. Choose one of them: problem[index]."
        )
