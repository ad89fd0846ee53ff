"""Results as labelled arrays: xarray datasets with named dimensions, names as coordinates, and units."""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..analysis.compare import Comparison
from ..analysis.continuous_comparison import ContinuousComparison
from ..analysis.ledgers.continuous_ledger import ContinuousLedger
from ..analysis.ledgers.ledger_result import Ledger
from ..analysis.scorecard import Score, Scorecard
from ..errors import InvalidArgument, MissingExtra
from ..inference.exact.gaussian.posterior import GaussianPosterior
from ..inference.exact.grid.posterior import GridPosterior
from ..inference.exact.posterior import Posterior
from ..inference.variational.fitting.fit_result import Fit
from ..problems.continuous.linear_quadratic import LinearQuadratic
from ..problems.mdp import TabularMDP, last_reward
from ..trajectories.blocks import Blocks, HasBlocks
from ..trajectories.gaussian.blocks import GaussianBlocks
from ..trajectories.policy import TabularPolicy
from .parts.labelled_grid import of_grid_posterior
from .parts.labelled_linear_quadratic import (
    of_continuous_ledger,
    of_gaussian_blocks,
    of_gaussian_posterior,
    of_linear_quadratic,
)
from .parts.variables import NATS, PROBABILITY, REWARD, Built, variable

if TYPE_CHECKING:
    from xarray import Dataset

_SCORE_UNITS = {"elbo": NATS, "gap": NATS, "policy_kl": NATS, "dynamics_kl": NATS}


def to_xarray(result: object, mdp: TabularMDP | None = None) -> "Dataset":
    """Return a result as an xarray dataset.

    Dimensions are called `time`, `state`, `action`, `outcome`, `next_state`, `time_and_last` (0 … T), `step` (of a fit)
    and `guide`; the names of states and actions are their coordinates. Every variable has `units`, "reward units",
    "nats" or "probability", and a `long_name`. Single numbers are attributes of the dataset.

        values = to_xarray(infer(model, 1.0))
        values.policy.sel(state="hungry", time=0)

    | result | variables |
    |---|---|
    | a `TabularMDP` | initial, probability, successor, reward, final_reward; row and column, if it has a layout |
    | a `LinearQuadratic` | its matrices |
    | a `GridPosterior` | values and densities at the nodes of its mesh, moments, rewards and divergences by step |
    | a `GaussianPosterior` | its factors and values; means and covariances of states and actions, believed and true |
    | a guide with affine-Gaussian `blocks()`, or these | factors; means and covariances of states and actions |
    | a `ContinuousLedger` | its entries by step |
    | a `Posterior` | v, q, initial, policy, dynamics, state_marginals |
    | a guide with `blocks()` | initial, policy, dynamics, state_marginals |
    | a `Fit` | elbo_history by step, and the variables of its guide |
    | a `TabularPolicy` | policy |
    | a `Ledger` | its tables |
    | a `Scorecard` | its columns, by guide |
    | a `ContinuousComparison` | the columns of its scorecard, by guide |
    | a `Comparison` | the columns of its scorecard, and fit_elbo_history of its fits by step |

    Args:
        result: one of these.
        mdp: the problem of a policy, a fit or a guide that does not hold it.

    Raises:
        InvalidArgument: if the result is of another type, or a problem is needed and missing.
        MissingExtra: without xarray, with the command that installs it.
    """
    try:
        import xarray  # an extra, and slow to import
    except ImportError as problem:
        raise MissingExtra("Labelled arrays need xarray, which is missing: pip install xarray") from problem
    for kind, build in _BUILDERS.items():
        if isinstance(result, kind):
            variables, attributes, names = build(result, mdp)
            break
    else:
        raise InvalidArgument(
            "`result` must be a problem, a posterior, a guide with blocks(), a fit, a policy, a ledger, a scorecard "
            f"or a comparison, but is a {type(result).__name__}."
        )
    sizes: dict[str, int] = {}
    for dims, values, _ in variables.values():
        sizes |= dict(zip(dims, np.shape(values), strict=True))
    coordinates = {dim: (dim, _labels(dim, names.get(dim), size)) for dim, size in sizes.items()}
    return xarray.Dataset(variables, coordinates, {"made_by": "pgm_control", **attributes})


def names_of(mdp: TabularMDP | None) -> dict[str, tuple[str, ...] | None]:
    """Return the names of states and actions of a problem, by dimension."""
    if mdp is None:
        return {}
    return {"state": mdp.state_names, "next_state": mdp.state_names, "action": mdp.action_names}


def _labels(dim: str, names: tuple[str, ...] | tuple[float, ...] | None, size: int) -> Any:
    if names is not None and len(names) != size:
        raise InvalidArgument(
            f"`mdp` must have as many entries of {dim} as the result, {size}, but has {len(names)}. Pass the problem "
            "that it was made for."
        )
    return np.arange(size) if names is None else list(names)


def _of_mdp(mdp: TabularMDP, _: TabularMDP | None) -> Built:
    final = last_reward(mdp)
    variables = {
        "initial": variable("state", mdp.initial, PROBABILITY, "initial distribution p(s_0)"),
        "probability": variable(
            f"{_time(mdp.probability)}state action outcome", mdp.probability, PROBABILITY, "true dynamics p(k|s, a)"
        ),
        "successor": variable("state action outcome", mdp.successor, "index of a state", "state that k leads to"),
        "reward": variable(f"{_time(mdp.reward)}state action outcome", mdp.reward, REWARD, "reward r(s, a, k)"),
        "final_reward": variable("state", final, REWARD, "reward of the last state"),
    }
    if mdp.layout is not None:
        places = np.array([(np.nan, np.nan) if cell is None else cell for cell in mdp.layout])
        variables["row"] = variable("state", places[:, 0], "cells", "row of a state; nan if it has no place")
        variables["column"] = variable("state", places[:, 1], "cells", "column of a state; nan if it has no place")
    return variables, {"horizon": mdp.horizon, "discount": mdp.discount}, names_of(mdp)


def _time(table: Tensor) -> str:
    return "time " if table.ndim > 3 else ""


def _of_posterior(posterior: Posterior, _: TabularMDP | None) -> Built:
    model, posterior = posterior.model, posterior.detach()
    tables, attributes, names = _of_blocks(posterior.blocks(), model.mdp)
    variables = {
        "v": variable("time_and_last state", posterior.v, REWARD, "soft state value V_t(s)"),
        "q": variable("time state action", posterior.q, REWARD, "soft action value Q_t(s, a)"),
        **tables,
    }
    if isinstance(model.temperature, Tensor):
        variables["temperature"] = variable("time_and_last", model.temperature, REWARD, "temperature by time")
    else:
        attributes["temperature"] = model.temperature
    attributes |= {"optimism": str(posterior.optimism), "value": posterior.value}
    if posterior.objective is not None:
        attributes["objective"] = posterior.objective
    if posterior.evidence is not None:
        attributes["given"] = ", ".join(posterior.evidence.sites)
    if posterior.budget is not None:
        attributes["budget"] = repr(posterior.budget)
    return variables, attributes, names


def _of_guide(guide: Any, mdp: TabularMDP | None) -> Built:
    if isinstance(blocks := guide.blocks(), GaussianBlocks):
        return of_gaussian_blocks(blocks)
    return _of_blocks(guide.blocks(), _problem_of(guide, mdp))


def _problem_of(guide: Any, mdp: TabularMDP | None) -> TabularMDP:
    found = mdp if mdp is not None else getattr(getattr(guide, "model", None), "mdp", None)
    if not isinstance(found, TabularMDP):
        raise InvalidArgument(
            f"`mdp` must be given for a {type(guide).__name__}, which does not hold its problem. Pass mdp=model.mdp."
        )
    return found


def _of_blocks(blocks: Blocks, mdp: TabularMDP) -> Built:
    with torch.no_grad():
        variables = {
            "initial": variable("state", blocks.log_initial.exp(), PROBABILITY, "initial distribution q(s_0)"),
            "policy": variable("time state action", blocks.log_policy.exp(), PROBABILITY, "policy"),
            "dynamics": variable(
                "time state action outcome", blocks.log_dynamics.exp(), PROBABILITY, "believed dynamics q_t(k|s, a)"
            ),
            "state_marginals": variable(
                "time_and_last state", blocks.marginals().state, PROBABILITY, "state marginals q(s_t)"
            ),
        }
    return variables, {"horizon": mdp.horizon, "discount": mdp.discount}, names_of(mdp)


def _of_fit(fit: Fit[Any], mdp: TabularMDP | None) -> Built:
    tables, attributes, names = {}, {}, {}
    if isinstance(fit.guide, HasBlocks):
        tables, attributes, names = _of_guide(fit.guide, mdp)
    history = variable("step", fit.elbo_history, NATS, "objective before the update of a step")
    attributes |= {"status": fit.status.name, "message": fit.status.message}
    attributes |= {"num_steps": fit.num_steps, "seconds": fit.seconds}
    if fit.elbo is not None:
        attributes["elbo"] = fit.elbo
    return {"elbo_history": history, **tables}, attributes, names


def _of_policy(policy: TabularPolicy, mdp: TabularMDP | None) -> Built:
    dims = "state action" if policy.horizon is None else "time state action"
    return {"policy": variable(dims, policy.probability, PROBABILITY, "policy")}, {}, names_of(mdp)


def _of_ledger(ledger: Ledger, _: TabularMDP | None) -> Built:
    what = "part of the gap: "
    variables = {
        "initial_by_state": variable("state", ledger.initial_by_state, NATS, what + "initial distribution"),
        "policy_by_state": variable("time state", ledger.policy_by_state, NATS, what + "policy"),
        "dynamics_by_pair": variable("time state action", ledger.dynamics_by_pair, NATS, what + "dynamics"),
        "survival_by_state": variable("time next_state", ledger.survival_by_state, NATS, what + "survival"),
        "jensen": variable("time state action", ledger.jensen, NATS, "gain of freeing one transition"),
        "delusion_by_step": variable("time_and_last", ledger.delusion_by_step, REWARD, "imagined − true reward"),
    }
    attributes = {
        "optimism": str(ledger.optimism),
        "log_evidence": ledger.log_evidence,
        "elbo": ledger.elbo,
        "gap": ledger.gap,
        "headline": ledger.headline,
    }
    return variables, attributes, names_of(ledger.mdp)


def _of_scorecard(card: Scorecard, _: TabularMDP | None) -> Built:
    variables = {
        field.name: variable(
            "guide",
            np.array([getattr(row, field.name) for row in card.scores.values()]),
            _SCORE_UNITS.get(field.name, REWARD),
            field.name.replace("_", " "),
        )
        for field in fields(Score)
    }
    return variables, {"log_evidence": card.log_evidence}, {"guide": tuple(card.scores)}


def _of_comparison(comparison: Comparison, _: TabularMDP | None) -> Built:
    variables, attributes, names = _of_scorecard(comparison.scorecard, None)
    attributes |= {"name": comparison.name, **{key: _plain(each) for key, each in comparison.settings.items()}}
    if comparison.fits:
        longest = max(len(each.elbo_history) for each in comparison.fits.values())
        curves = np.full((len(comparison.fits), longest), np.nan)  # nan after the end of a fit
        for row, each in zip(curves, comparison.fits.values(), strict=True):
            row[: len(each.elbo_history)] = each.elbo_history.cpu().numpy()
        variables["fit_elbo_history"] = variable("fit step", curves, NATS, "objective before the update of a step")
        names = {**names, "fit": tuple(comparison.fits)}
    return variables, attributes, names


def _of_continuous_comparison(comparison: ContinuousComparison, _: TabularMDP | None) -> Built:
    variables, attributes, names = _of_scorecard(comparison.scorecard, None)
    return variables, attributes | {"name": comparison.name, **comparison.settings}, names


def _plain(value: Any) -> Any:
    """Return the value, or its string if attributes cannot hold it."""
    return value if isinstance(value, str | int | float) else str(value)


_BUILDERS: dict[Any, Callable[[Any, TabularMDP | None], Built]] = {
    TabularMDP: _of_mdp,
    Posterior: _of_posterior,
    Fit: _of_fit,
    TabularPolicy: _of_policy,
    Ledger: _of_ledger,
    Scorecard: _of_scorecard,
    Comparison: _of_comparison,
    ContinuousComparison: _of_continuous_comparison,
    LinearQuadratic: lambda problem, _: of_linear_quadratic(problem),
    GaussianPosterior: lambda posterior, _: of_gaussian_posterior(posterior),
    GridPosterior: lambda posterior, _: of_grid_posterior(posterior),
    GaussianBlocks: lambda blocks, _: of_gaussian_blocks(blocks),
    ContinuousLedger: lambda ledger, _: of_continuous_ledger(ledger),
    HasBlocks: _of_guide,  # last: a posterior has blocks too
}
