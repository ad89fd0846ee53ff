"""Linear-quadratic problems, their models and posteriors in files."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InvalidArgument
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...models.linear_quadratic import LinearQuadraticModel
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import shown
from ...runtime.checkpoint_checks import Check, either, every, fields, nothing, number, require, tensor, text
from ...trajectories.gaussian.model import GaussianPrior
from .optimism import OF_OPTIMISM, optimism_of, parts_of_optimism

Parts = dict[str, Any]
_REMEDY = "Pass the `path` of a file that `exchange.save` wrote."
_TIMED = {"A": 2, "B": 2, "d": 1, "W": 2, "C": 2, "c": 1, "k": 0}  # the number of axes of a step
_OTHERS = "final_P", "final_p", "final_v", "initial_mean", "initial_covariance"
_PRIOR = "gain", "offset", "covariance"


def parts_of_linear_quadratic(problem: LinearQuadratic) -> tuple[Parts, Parts]:
    """What a file holds of a problem; what is constant in time or over the batch is written once."""
    tensors = {name: _once(getattr(problem, name)) for name in (*_TIMED, *_OTHERS)}
    return tensors, {name: getattr(problem, name) for name in ("horizon", "discount", "state_names", "action_names")}


def linear_quadratic(path: Path, tensors: Parts, facts: Parts) -> LinearQuadratic:
    """The problem of these parts, checked by its constructor."""
    given = {name: tensors[name] for name in (*_TIMED, "initial_mean", "initial_covariance")}
    end = tensors["final_P"], tensors["final_p"], tensors["final_v"]
    return LinearQuadratic(**given, final_cost=end, **facts)


def parts_of_gaussian_model(model: LinearQuadraticModel) -> tuple[Parts, Parts]:
    """What a file holds of a model."""
    tensors, facts = parts_of_linear_quadratic(model.problem)
    prior = model.action_prior
    return {
        "problem": tensors,
        "action_prior": None if prior is None else {name: getattr(prior, name).detach().clone() for name in _PRIOR},
    }, {"problem": facts, "temperature": model.temperature}


def gaussian_model(path: Path, tensors: Parts, facts: Parts) -> LinearQuadraticModel:
    """The model of these parts, checked by its constructor."""
    problem = linear_quadratic(path, tensors["problem"], facts["problem"])
    prior = tensors["action_prior"]
    return LinearQuadraticModel(problem, facts["temperature"], None if prior is None else GaussianPrior(**prior))


def parts_of_gaussian_posterior(posterior: GaussianPosterior) -> tuple[Parts, Parts]:
    """What a file holds of a posterior.

    Raises:
        InvalidArgument: if its model is of your own class, or it has a graph.
    """
    model = posterior.model
    if not isinstance(model, LinearQuadraticModel):
        raise InvalidArgument(
            f"`value` must be the posterior of a LinearQuadraticModel, but its model is {shown(model)}, which a file "
            "cannot hold. Save `value.model.problem`, and infer again."
        )
    tensors, facts = parts_of_gaussian_model(model)
    value = torch.as_tensor(posterior.value, dtype=torch.float64).detach().clone()
    own = {name: getattr(posterior, name).detach().contiguous() for name in _shapes(model.problem)}
    own = {name: each.clone() for name, each in own.items()}
    return {"model": tensors, "optimism": parts_of_optimism(posterior.optimism), "value": value, **own}, {
        "model": facts
    }


def gaussian_posterior(path: Path, tensors: Parts, facts: Parts) -> GaussianPosterior:
    """The posterior of these parts, whose shapes are checked against its problem."""
    model = gaussian_model(path, tensors["model"], facts["model"])
    shapes = _shapes(model.problem)
    needed: dict[str, Check] = {name: tensor(shape, torch.float64) for name, shape in shapes.items()}
    needed["value"] = tensor(model.problem.batch_shape, torch.float64)
    require(path, "its model", tensors, fields(needed, others=True), _REMEDY)
    value = tensors["value"] if tensors["value"].dim() else tensors["value"].item()
    own = {name: tensors[name] for name in shapes}
    return GaussianPosterior(model=model, optimism=optimism_of(tensors["optimism"]), value=value, **own)


def _shapes(problem: LinearQuadratic) -> dict[str, tuple[int, ...]]:
    n, m, T, batch = problem.num_states, problem.num_actions, problem.horizon, problem.batch_shape
    return {
        "value_hessian": (*batch, T + 1, n, n), "value_gradient": (*batch, T + 1, n), "value_constant": (*batch, T + 1),
        "initial_mean": (*batch, n), "initial_covariance": (*batch, n, n), "gain": (*batch, T, m, n),
        "offset": (*batch, T, m), "policy_covariance": (*batch, T, m, m), "transition": (*batch, T, n, n + m),
        "drift": (*batch, T, n), "noise": (*batch, T, n, n),
    }  # fmt: skip


def _once(value: Tensor) -> Tensor:
    """The tensor without repetitions: an axis along which it is the same by construction has size 1."""
    value = value.detach()
    for axis, stride in enumerate(value.stride()):
        if stride == 0:
            value = value.narrow(axis, 0, 1)
    return value.contiguous().clone()


def _numbers(axes: int) -> Check:
    """The check for numbers with these axes, one of time in front, and any batch axes before that."""
    return either(*(tensor((None,) * (axes + more), torch.float64) for more in range(5)))


OF_LINEAR_QUADRATIC = fields(
    {name: _numbers(axes + 1) for name, axes in _TIMED.items()}
    | dict(zip(_OTHERS, map(_numbers, (2, 1, 0, 1, 2)), strict=True))
)
FACTS_OF_LINEAR_QUADRATIC = fields(
    {"horizon": number(1, whole=True), "discount": number(0, 1)}
    | dict.fromkeys(("state_names", "action_names"), either(nothing, every(text)))
)
OF_GAUSSIAN_MODEL = fields(
    {
        "problem": OF_LINEAR_QUADRATIC,
        "action_prior": either(nothing, fields(dict(zip(_PRIOR, map(_numbers, (2, 1, 2)), strict=True)))),
    }
)
FACTS_OF_GAUSSIAN_MODEL = fields({"problem": FACTS_OF_LINEAR_QUADRATIC, "temperature": number(0)})
OF_GAUSSIAN_POSTERIOR = fields(
    {
        "model": OF_GAUSSIAN_MODEL,
        "optimism": OF_OPTIMISM,
        "value": _numbers(0),
        **{name: _numbers(1) for name in ("initial_mean", "value_constant")},
        **{name: _numbers(2) for name in ("initial_covariance", "value_gradient", "offset", "drift")},
        **{name: _numbers(3) for name in ("value_hessian", "gain", "policy_covariance", "transition", "noise")},
    }
)
