"""Sampled trajectories in the data format of ArviZ."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InvalidArgument, MissingExtra
from ..inference.exact.grid.posterior import GridPosterior
from ..inference.exact.posterior import Posterior
from ..inference.sampling.log_weights import draw_weighted, log_target, returns
from ..inference.variational.fitting.fit_result import Fit
from ..problems.mdp import TabularMDP
from ..runtime.arguments import whole
from ..runtime.randomness import generator_of
from ..trajectories.blocks import HasBlocks, MarkovModel, require_model
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from ..trajectories.samples import Trajectories
from ..trajectories.tabulate import tabulate
from .labelled import names_of, to_xarray
from .parts.gaussian_draws import continuous_groups
from .parts.labelled_grid import grid_groups, require_own
from .parts.labelled_linear_quadratic import STATE
from .parts.variables import NATS, REWARD

if TYPE_CHECKING:
    from xarray import DataTree


def to_arviz(
    result: object,
    model: MarkovModel | GaussianModel | None = None,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: int | torch.Generator | None = None,
) -> "DataTree":
    r"""Return draws from a posterior or a guide as an ArviZ data tree.

    | group | contents |
    |---|---|
    | `posterior` | `state`, `action`, `outcome` of each draw by time (indices), and its `total_reward` |
    | `sample_stats` | `log_weight`, log p~ − log q in nats, all equal if the posterior is exact; `lp`, log p~ |
    | `prior` | the same variables drawn from the model: the action prior in the true dynamics |
    | `constant_data` | the tables of the problem, as `to_xarray(mdp)` |
    | `fit` | for a `Fit`: its ELBO by step |

    Of a linear-quadratic model `state` and `action` are vectors, there is no `outcome`, and no `prior` where the action
    prior is Lebesgue measure, which is improper. With a discount there are no weights.

    Of a `GridPosterior`, `posterior` holds draws as it imagines them, `posterior_predictive` those of its policy in the
    true world, and `constant_data` is `to_xarray(posterior)`.

    Draws are independent; they are divided into chains only because ArviZ expects chains. At temperature 0 there are no
    weights. After the discount (below 1) has ended a trajectory, its state is S and its action and outcome are 0.

    Args:
        result: a posterior, a guide with `blocks()`, or a fit of one.
        model: the model, if the guide does not hold it.
        num_samples: the number of draws in each chain.
        num_chains: the number of chains.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: if `result` cannot be sampled or its model is missing, or a number is below 1.
        MissingExtra: without arviz-base, with the command that installs it.
    """
    try:
        import arviz_base  # an extra, and slow to import
        from xarray import DataTree
    except ImportError as problem:
        raise MissingExtra(
            "Draws for ArviZ need arviz-base, which is missing: pip install arviz-base xarray"
        ) from problem
    num_samples, num_chains = whole("num_samples", num_samples), whole("num_chains", num_chains)
    guide = result.guide if isinstance(result, Fit) else result
    own = getattr(guide, "model", None) if model is None else model
    if isinstance(guide, GridPosterior):
        require_own(guide, model)
        problem, groups = guide.model.problem, grid_groups(guide, (num_chains, num_samples), seed)
        return _of_vectors(groups, problem, guide.model.temperature, to_xarray(guide), {})
    if is_gaussian(own):
        return _continuous(own, guide, (num_chains, num_samples), seed)
    if model is not None:
        require_model(model)
    if not isinstance(guide, HasBlocks):
        raise InvalidArgument(
            "`result` must be a posterior, a guide with blocks() or a fit of one, but is a "
            f"{type(result).__name__}. Draws from other guides are those of pyro.infer.Predictive, with "
            "arviz_base.from_dict."
        )
    tabular: Any = model
    model = _model_of(guide, tabular)
    shape, mdp = (num_chains, num_samples), model.mdp
    generator = generator_of(seed, mdp.initial.device)
    with torch.no_grad():
        if model.temperature > 0:
            drawn, log_weight = draw_weighted(model, guide, num_chains * num_samples, generator)  # pyright: ignore[reportArgumentType]  callable, as all guides
            stats = {"log_weight": log_weight, "lp": log_target(model, drawn)}
        else:
            drawn, stats = tabulate(model, guide).sample(num_chains * num_samples, generator), {}
        before = model.blocks().sample(num_chains * num_samples, generator)
    groups: dict[str, dict[str, Any]] = {"posterior": _variables(mdp, drawn, shape)}
    if stats:
        groups["sample_stats"] = {name: each.reshape(shape).cpu().numpy() for name, each in stats.items()}
    groups["prior"] = _variables(mdp, before, shape)
    tree = arviz_base.from_dict(
        groups,
        dims={"state": ["time_and_last"], "action": ["time"], "outcome": ["time"]},
        coords={"time": range(mdp.horizon), "time_and_last": range(mdp.horizon + 1)},
        check_conventions=False,  # more chains than draws are allowed here
        attrs={"/": {"made_by": "pgm_control", "temperature": model.temperature, "horizon": mdp.horizon}},
    )
    for group in groups:
        for name, each in tree[group].data_vars.items():
            each.attrs["units"] = {"total_reward": REWARD, "log_weight": NATS, "lp": NATS}.get(str(name), "index")
    for group in ("posterior", "prior"):
        for axis, names in names_of(mdp).items():
            if names is not None and axis in tree[group].data_vars:
                tree[group][axis].attrs["names"] = list(names)
    tree["constant_data"] = DataTree(to_xarray(mdp))
    if isinstance(result, Fit):
        tree["fit"] = DataTree(to_xarray(result, mdp)[["elbo_history"]])
    return tree


def _continuous(
    model: GaussianModel, guide: object, shape: tuple[int, int], seed: int | torch.Generator | None
) -> "DataTree":
    """The draws from a guide of a linear-quadratic model."""
    groups, problem = continuous_groups(model, guide, shape, seed), model.problem
    names = {"component": problem.state_names, "action_component": problem.action_names}
    named = {dim: list(each) for dim, each in names.items() if each is not None}
    return _of_vectors(groups, problem, model.temperature, to_xarray(problem), named)


def _of_vectors(
    groups: Mapping[str, Mapping[str, Any]], problem: Any, temperature: float, constant: Any, named: Mapping[str, Any]
) -> "DataTree":
    """The tree of draws of vectors."""
    import arviz_base
    from xarray import DataTree

    tree = arviz_base.from_dict(
        dict(groups),
        dims={"state": ["time_and_last", "component"], "action": ["time", "action_component"]},
        coords={"time": range(problem.horizon), "time_and_last": range(problem.horizon + 1), **named},
        check_conventions=False,
        attrs={"/": {"made_by": "pgm_control", "temperature": temperature, "horizon": problem.horizon}},
    )
    units = {"total_reward": REWARD, "log_weight": NATS, "lp": NATS, "state": STATE, "action": "units of the action"}
    for group in groups:
        for name, each in tree[group].data_vars.items():
            each.attrs["units"] = units[str(name)]
    tree["constant_data"] = DataTree(constant)
    return tree


def _variables(mdp: TabularMDP, drawn: Trajectories, shape: tuple[int, int]) -> dict[str, Any]:
    states, actions, outcomes = (each.reshape(*shape, -1).cpu().numpy() for each in drawn)
    total = returns(mdp, drawn).reshape(shape).cpu().numpy()
    return {"state": states, "action": actions, "outcome": outcomes, "total_reward": total}


def _model_of(guide: object, model: MarkovModel | None) -> MarkovModel:
    if isinstance(guide, Posterior):
        return guide.model
    found = getattr(guide, "model", None) if model is None else model
    if found is None:
        raise InvalidArgument(
            f"`model` must be given for a {type(guide).__name__}, which does not hold its own. Pass the model that it "
            "was built for."
        )
    require_model(found)
    return found
