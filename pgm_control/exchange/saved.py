"""Problems, models and posteriors in files: tensors and JSON with a checksum, loadable without running code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..chance.optimality import ExponentialOptimality, LogisticOptimality, TableOptimality
from ..errors import InvalidArgument, InvalidCheckpoint, PGMControlError
from ..inference.exact.gaussian.posterior import GaussianPosterior
from ..inference.exact.posterior import Posterior
from ..inference.exact.tables import WholeTables
from ..models.linear_quadratic import LinearQuadraticModel
from ..models.tabular import TabularModel
from ..problems import checks
from ..problems.continuous.linear_quadratic import LinearQuadratic
from ..problems.mdp import TabularMDP
from ..runtime.arguments import shown
from ..runtime.checkpoint import read, write
from ..runtime.checkpoint_checks import (
    Check,
    anything,
    either,
    every,
    fields,
    mapping,
    nothing,
    number,
    one_of,
    require,
    row,
    tensor,
    text,
)
from ..runtime.files import path_of
from ..trajectories.betas import Betas
from ..trajectories.blocks import Blocks
from ..trajectories.tabulate import tabulate
from .parts.linear_quadratic import (
    FACTS_OF_GAUSSIAN_MODEL,
    FACTS_OF_LINEAR_QUADRATIC,
    OF_GAUSSIAN_MODEL,
    OF_GAUSSIAN_POSTERIOR,
    OF_LINEAR_QUADRATIC,
    gaussian_model,
    gaussian_posterior,
    linear_quadratic,
    parts_of_gaussian_model,
    parts_of_gaussian_posterior,
    parts_of_linear_quadratic,
)
from .parts.optimism import OF_OPTIMISM, optimism_of, parts_of_optimism

Parts = dict[str, Any]
_KIND = "saved"
_REMEDY = "Pass the `path` of a file that `exchange.save` wrote."
_TABLES = "initial", "probability", "successor", "reward", "final_reward"
_BLOCKS = "log_initial", "log_policy", "log_dynamics", "log_survival"


def save(
    value: TabularMDP | TabularModel | Posterior | LinearQuadratic | LinearQuadraticModel | GaussianPosterior,
    path: str | Path,
) -> None:
    """Write a problem, a model or a posterior to a file, from which `load` restores it bit for bit.

    The file holds tensors and JSON with a checksum. It is written completely or not at all.

        save(infer(model, 1.0), "posterior.pt")
        load("posterior.pt").policy

    Args:
        value: what is saved. A posterior of your own class of models, with evidence or with a budget is refused: save
            its problem or model, and infer again.
        path: the file; an older one is replaced.

    Raises:
        InvalidArgument: if `value` is anything else, or there can be no file with this path.
    """
    path = path_of(path)
    for kind, form in _FORMS.items():
        if isinstance(value, form.kind):
            tensors, facts = form.parts(value)
            write(path, _KIND, tensors, {"type": kind, "content": facts})
            return
    raise InvalidArgument(
        f"`value` must be a {', a '.join(_FORMS)}, but is {shown(value)}. A file holds numbers, not functions of your "
        "own: keep the code of a problem that is made of functions, and infer again."
    )


def load(path: str | Path) -> Any:
    """Read what `save` wrote: a problem, a model or a posterior, tabular or linear-quadratic, with tensors on the CPU.

    Loading runs no code of the file, and every entry is checked: the tables as by their own constructors.

    Raises:
        InvalidCheckpoint: if there is no such file; it is incomplete, was changed after it was written, or was written
            by another program or version; or an entry is invalid. The message names the entry and the remedy.
        InvalidArgument: if `path` cannot be the path of a file.
    """
    path = path_of(path)
    kinds = fields({"type": one_of(*_FORMS), "content": anything})
    tensors, facts = read(path, _KIND, anything, kinds, _REMEDY)
    form = _FORMS[facts["type"]]
    whole = {"tensors": tensors, "facts": facts["content"]}
    require(path, f"a {facts['type']}", whole, fields({"tensors": form.tensors, "facts": form.facts}), _REMEDY)
    try:
        return form.build(path, tensors, facts["content"])
    except InvalidCheckpoint:
        raise
    except PGMControlError as problem:
        raise InvalidCheckpoint(f"{path} holds no valid {facts['type']}: {problem} {_REMEDY}") from None


def _parts_of_mdp(mdp: TabularMDP) -> tuple[Parts, Parts]:
    facts = {name: getattr(mdp, name) for name in ("horizon", "discount", "state_names", "action_names", "layout")}
    for name in ("factors", "initial_factors"):
        of = getattr(mdp, name)
        facts[name] = None if of is None else dict(zip(of.names, of.sizes, strict=True))
    return {name: getattr(mdp, name) for name in _TABLES}, facts


def _mdp(path: Path, tensors: Parts, facts: Parts) -> TabularMDP:
    return TabularMDP(**tensors, **facts)  # it keeps rows that sum to one bit for bit


def _parts_of_model(model: TabularModel) -> tuple[Parts, Parts]:
    tensors, facts = _parts_of_mdp(model.mdp)
    kinds = {kind: name for name, kind in _OPTIMALITIES.items()}
    if type(model.optimality) not in kinds:
        raise InvalidArgument(
            f"`value` must have a likelihood of optimality that a file can hold, {', '.join(_OPTIMALITIES)}, but has "
            f"{model.optimality}. Save `value.mdp`."
        )
    table = model.optimality if isinstance(model.optimality, TableOptimality) else None
    by_time = isinstance(model.temperature, Tensor)
    return {
        "mdp": tensors,
        "action_prior": model.action_prior,
        "temperature": model.temperature if by_time else None,
        "observed": model.observed,
        "log_likelihood": None if table is None else table.table,
        "final": None if table is None else table.final,
    }, {
        "mdp": facts,
        "temperature": None if by_time else model.temperature,
        "optimality": kinds[type(model.optimality)],
    }


def _model(path: Path, tensors: Parts, facts: Parts) -> TabularModel:
    mdp, prior = _mdp(path, tensors["mdp"], facts["mdp"]), tensors["action_prior"]
    needed: dict[str, Check] = {}
    if facts["temperature"] is not None:
        needed["temperature"] = nothing  # it is a number
    if facts["optimality"] != "table":
        needed |= {"log_likelihood": nothing, "final": nothing}
    require(path, "its likelihood of optimality", tensors, fields(needed, others=True), _REMEDY)
    given = [tensors["log_likelihood"], tensors["final"]] if facts["optimality"] == "table" else []
    optimality, observed = _OPTIMALITIES[facts["optimality"]](*given), tensors["observed"]
    if observed is not None and optimality.final_log_likelihood(mdp.final_reward, 1.0) is None:
        observed = observed[:-1]  # there is no likelihood of the last state
    temperature = tensors["temperature"] if facts["temperature"] is None else facts["temperature"]
    model = TabularModel(mdp, temperature, observed=observed, optimality=optimality)
    rows = (mdp.num_states, mdp.num_actions)
    shapes = [(mdp.horizon, *rows) if prior.ndim == 3 else rows] if isinstance(prior, Tensor) else [rows]
    check = fields({"action_prior": tensor(shapes[0], mdp.probability.dtype, 0, 1)})
    require(path, "its problem", {"action_prior": prior}, check, _REMEDY)
    mass = prior.sum(-1, keepdim=True).round().clamp(min=1)  # more than 1 where the prior counts actions
    checks.normalised("action_prior", prior / mass, ())
    model.action_prior = prior
    return model


def _parts_of_posterior(posterior: Posterior) -> tuple[Parts, Parts]:
    posterior = posterior.detach()
    model = posterior.model
    if not isinstance(model, TabularModel):
        raise InvalidArgument(
            f"`value` must be the posterior of a TabularModel, but its model is a {type(model).__name__}, "
            "which a file cannot hold. Save `value.model.mdp`, and infer again."
        )
    if posterior.evidence is not None or posterior.budget is not None:
        what = "evidence" if posterior.budget is None else "a budget"
        raise InvalidArgument(
            f"`value` must be a posterior without {what}, which no file can hold. Save `value.model`, and infer again."
        )
    tensors, facts = _parts_of_model(model)
    blocks = {name: getattr(posterior.distribution, name) for name in _BLOCKS}
    optimism: Any = posterior.optimism  # no budget, as required above
    tables = {
        "model": tensors,
        "optimism": parts_of_optimism(optimism),
        "q": posterior.q,
        "v": posterior.v,
        **blocks,
    }
    return tables, {"model": facts, "value": posterior.value}


def _posterior(path: Path, tensors: Parts, facts: Parts) -> Posterior:
    model = _model(path, tensors["model"], facts["model"])
    mdp, dtype, steps = model.mdp, model.mdp.probability.dtype, model.mdp.horizon
    shapes = {
        "q": (steps, mdp.num_states, mdp.num_actions),
        "v": (steps + 1, mdp.num_states),
        "log_initial": (mdp.num_states,),
        "log_policy": (steps, mdp.num_states, mdp.num_actions),
        "log_dynamics": (steps, *mdp.successor.shape),
        "log_survival": (steps, mdp.num_states),
    }
    needed: dict[str, Check] = {name: tensor(shape, dtype, infinite=True) for name, shape in shapes.items()}
    optimism = optimism_of(tensors["optimism"])
    if not Betas.of(mdp, optimism, model.temperature).frees_survival:
        needed["log_survival"] = nothing
    require(path, "its model", tensors, fields(needed, others=True), _REMEDY)
    blocks = Blocks(mdp, **{name: tensors[name] for name in _BLOCKS})
    tabulate(model, blocks)
    return Posterior(model, optimism, tensors["v"], facts["value"], WholeTables(tensors["q"], lambda: blocks))


class _Form(NamedTuple):
    """What a file holds of one type, and how it is restored."""

    kind: type
    parts: Callable[[Any], tuple[Parts, Parts]]
    build: Callable[[Path, Parts, Parts], Any]
    tensors: Check
    facts: Check


_NAMES = either(nothing, every(text))
_CELL = row([number(0, whole=True)] * 2)
_FACTORS = either(nothing, mapping(number(1, whole=True)))
_OUTCOMES = (None, None, None)
_BY_TIME = (None, *_OUTCOMES)
_LOGITS = either(tensor(_OUTCOMES, None, infinite=True), tensor(_BY_TIME, None, infinite=True))
_ROW = tensor((None,), None, infinite=True)
_OPTIMALITIES: dict[str, Callable[..., Any]] = {
    "exponential": ExponentialOptimality,
    "logistic": LogisticOptimality,
    "table": TableOptimality,
}
_OF_MDP = fields(
    {
        "initial": tensor((None,), None, 0),
        "probability": either(tensor(_OUTCOMES, None, 0), tensor(_BY_TIME, None, 0)),
        "successor": either(tensor(_OUTCOMES, torch.int32, 0), tensor(_OUTCOMES, torch.int64, 0)),
        "reward": _LOGITS,
        "final_reward": either(nothing, _ROW),
    }
)
_FACTS_OF_MDP = fields(
    {
        "horizon": number(1, whole=True),
        "discount": number(0, 1),
        "state_names": _NAMES,
        "action_names": _NAMES,
        "layout": either(nothing, every(either(nothing, _CELL))),
        "factors": _FACTORS,
        "initial_factors": _FACTORS,
    }
)
_OF_MODEL = fields(
    {
        "mdp": _OF_MDP,
        "action_prior": anything,
        "temperature": either(nothing, tensor((None,), torch.float64, 0)),
        "observed": either(nothing, tensor((None,), torch.bool)),
        "log_likelihood": either(nothing, _LOGITS),
        "final": either(nothing, _ROW),
    }
)
_FACTS_OF_MODEL = fields(
    {"mdp": _FACTS_OF_MDP, "temperature": either(nothing, number(0)), "optimality": one_of(*_OPTIMALITIES)}
)
_OF_POSTERIOR = fields(
    {
        "model": _OF_MODEL,
        "optimism": OF_OPTIMISM,
        **dict.fromkeys(("q", "v", *_BLOCKS), anything),  # checked against the sizes of the model
    }
)
_FORMS = {
    "TabularMDP": _Form(TabularMDP, _parts_of_mdp, _mdp, _OF_MDP, _FACTS_OF_MDP),
    "TabularModel": _Form(TabularModel, _parts_of_model, _model, _OF_MODEL, _FACTS_OF_MODEL),
    "Posterior": _Form(
        Posterior, _parts_of_posterior, _posterior, _OF_POSTERIOR,
        fields({"model": _FACTS_OF_MODEL, "value": number(infinite=True)}),
    ),
    "LinearQuadratic": _Form(
        LinearQuadratic, parts_of_linear_quadratic, linear_quadratic, OF_LINEAR_QUADRATIC, FACTS_OF_LINEAR_QUADRATIC
    ),
    "LinearQuadraticModel": _Form(
        LinearQuadraticModel, parts_of_gaussian_model, gaussian_model, OF_GAUSSIAN_MODEL, FACTS_OF_GAUSSIAN_MODEL
    ),
    "GaussianPosterior": _Form(
        GaussianPosterior, parts_of_gaussian_posterior, gaussian_posterior, OF_GAUSSIAN_POSTERIOR,
        fields({"model": FACTS_OF_GAUSSIAN_MODEL}),
    ),
}  # fmt: skip
