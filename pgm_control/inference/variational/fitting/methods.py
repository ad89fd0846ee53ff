"""The methods of `fit`: SVI, natural gradient, expectation maximisation, exact optimum and moment projection."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.infer.elbo import ELBO
from pyro.optim import PyroOptim
from torch import Tensor

from ....errors import InvalidArgument, InvalidGuide
from ....programs.auxiliary import HasReverse
from ....programs.changed import ChangesSites
from ....programs.point_sites import point_sites
from ....runtime.optimiser_states import described_optimiser, require_optimiser, step_schedulers
from ....trajectories.blocks import Assignable, Blocks, HasBlocks, MarkovModel
from ....trajectories.gaussian.assignable import GaussianAssignable
from ....trajectories.gaussian.model import is_gaussian
from ....trajectories.samples import Occupancy
from ...exact.infer import infer
from ..elbo import FREE, objective_of
from ..em import em_parameters, em_step, parameters_for
from ..gaussian_elbo import GaussianELBO
from ..latent_blocks import HasLatentBlocks
from ..natural_gradient import improved
from ..one_pass_elbo import OnePassELBO
from ..optimisers import Adam
from ..projection import excluded, forward_kl, move_towards
from ..svi_losses import AuxiliaryELBO, ExactLoss, MarkovELBO, MarkovObjective, programs_for
from .gaussian_methods import exact_gaussian, gaussian_natural_gradient, is_gaussian_pair
from .losses import Loss, checked_loss, described_loss, objective_name, objective_value, require_suitable
from .method import Method, rests

_INFINITE = (
    '`guide` must have mass wherever the exact posterior has for method="forward", but has not, so that the forward KL '
    "is infinite. Use a guide that excludes nothing, a large negative reward for −inf, or another method."
)
WINDOW = 100  # SVI steps whose mean ELBO is compared with that of the steps before


def svi(
    model: Callable[[], Any], guide: Callable[[], Any], loss: Loss, optim: PyroOptim | None, num_steps: int
) -> Method:
    """Fitting by steps of `pyro.infer.SVI`; the ELBO is a Monte Carlo estimate if the loss is computed from samples.

    Raises:
        InvalidArgument: if the guide has no parameters, if the loss does not suit the pair, or if the optimiser wants
            names that the parameters do not have or cannot run for `num_steps` steps.
    """
    require_suitable(loss, model, guide)
    if isinstance(guide, torch.nn.Module) and not any(each.requires_grad for each in guide.parameters()):
        raise InvalidArgument(
            f'`guide` must have parameters that a gradient can move for method="svi", but {_name(guide)} has none. Use '
            'method="natural_gradient" or "exact", if its blocks can be assigned.'
        )
    if optim is None:
        betas = (0.9, 0.9) if isinstance(loss, ExactLoss) else (0.9, 0.99)
        optim = PyroOptim(Adam, {"lr": 0.1, "betas": betas, "fused": True})
    require_optimiser(optim, num_steps)
    if isinstance(guide, torch.nn.Module) and (callable(optim.pt_optim_args) or callable(optim.pt_clip_args)):
        raise InvalidArgument(
            "`optim` must have a dictionary of settings for a guide that is a module, but has a function of a "
            "parameter's name: the parameters of a module are not in Pyro's store, and so have no names there."
        )
    name = objective_name(loss)
    if not isinstance(model, MarkovModel) and not isinstance(loss, ExactLoss) and point_sites(model, guide):
        name = f"{name} with point values"
    if isinstance(guide, HasReverse) and name == "ELBO" and not isinstance(loss, ExactLoss):
        name = AuxiliaryELBO.objective_name
    target, program = programs_for(loss, model, guide)
    step = SVI(
        target,
        config_enumerate(program) if isinstance(loss, TraceEnum_ELBO) else program,
        optim,
        loss=checked_loss(loss),
    ).step

    def update() -> float:
        value = objective_value(loss, step())
        if math.isfinite(value):
            step_schedulers(optim, -value)
        return value

    description = {"method": "svi", "loss": described_loss(loss), "optimiser": described_optimiser(optim)}
    return Method(update, _is_flat, description, optim, name)


def natural_gradient(model: object, guide: object, step_size: float, blocks: Blocks | None = None) -> Method:
    """A step of mirror descent on the exact objective of the guide (see `improved`).

    `blocks` are those of the guide now, if they are known.

    Raises:
        InvalidArgument: if the model is not tabular or the guide cannot be assigned to.
    """
    if is_gaussian_pair(model, guide):
        return gaussian_natural_gradient(model, guide, step_size)  # pyright: ignore[reportArgumentType]
    tabular, table = _tables(model, guide, "natural_gradient")
    blocks_now = _starting_at(blocks, table)

    def update() -> float:
        with torch.no_grad():
            better, before = improved(tabular, blocks_now(), step_size, table.optimism)
        if math.isfinite(before):  # otherwise the guide is broken, and so is the step
            table.assign(better)
        return before

    return Method(update, rests, {"method": "natural_gradient"}, objective_name=_objective_of(table))


def expectation_maximisation(model: object, guide: object, step_size: float) -> Method:
    """A natural-gradient step as if the guide were a table, to which its parameters are then fitted (see `em_step`).

    Raises:
        InvalidArgument: if the model is not tabular, or the guide has no blocks or no parameters.
    """
    tabular, with_blocks = _tabular(model, "em"), _with_blocks(guide, "em")
    em_parameters(guide)
    return Method(lambda: em_step(tabular, with_blocks, step_size), rests, {"method": "em"})


def exact(model: object, guide: object, blocks: Blocks | None = None) -> Method:
    """A single step that sets the guide to its exact optimum. `blocks` are those of the guide now, if they are known.

    Raises:
        InvalidArgument: as `natural_gradient`.
    """
    if is_gaussian_pair(model, guide):
        return exact_gaussian(model, guide)  # pyright: ignore[reportArgumentType]
    tabular, table = _tables(model, guide, "exact")
    blocks_now = _starting_at(blocks, table)

    def update() -> float:
        with torch.no_grad():
            before = float(objective_of(tabular, blocks_now(), table.optimism))
        table.assign(table.optimum())
        return before

    description = {"method": "exact"}
    return Method(update, lambda history, tolerance: True, description, objective_name=_objective_of(table))


def forward(model: object, guide: object) -> Method:
    r"""The moment projection of the exact posterior, $\arg\min_q KL(p(\cdot \mid O) \| q)$ (see `forward_kl`).

    It is a single step if the guide takes blocks. Otherwise each step lowers the KL by L-BFGS.

    Raises:
        InvalidArgument: if the model is not tabular or has no posterior; if the guide has no blocks or no parameters,
            or excludes what the posterior does.
    """
    tabular, with_blocks = _tabular(model, "forward"), _with_blocks(guide, "forward")
    target = _posterior(tabular)
    visits = target.marginals()
    table = guide if isinstance(guide, Assignable) else None
    parameters = parameters_for("forward", guide) if table is None else []
    if table is None:
        _require_support(target, visits, with_blocks)

    def update() -> float:
        with torch.no_grad():
            old = with_blocks.blocks()
            before = -float(forward_kl(target, visits, old))
        if table is None:
            move_towards(target, visits, with_blocks, parameters)
        else:
            _take(table, target, visits, old)
        return before

    has_converged = rests if table is None else lambda history, tolerance: True
    return Method(update, has_converged, {"method": "forward"}, objective_name="negative forward KL")


def default_loss(model: object, guide: object) -> ELBO:
    """The exact objective if the factors of model and guide are tables or Gaussian, else the ELBO by sampling."""
    if is_gaussian(model) and isinstance(guide, GaussianAssignable):
        return GaussianELBO() if guide.optimism.is_elbo else GaussianELBO(guide.optimism)
    if isinstance(model, HasBlocks) and isinstance(guide, HasLatentBlocks):
        return AuxiliaryELBO()
    if not isinstance(model, HasBlocks) or not isinstance(guide, HasBlocks):
        if not isinstance(guide, ChangesSites) or guide.model is not model:
            return Trace_ELBO()
        optimism = getattr(guide, "optimism", None) if isinstance(guide, GaussianAssignable) else None
        return OnePassELBO() if optimism is None or optimism.is_elbo else OnePassELBO(optimism=optimism)
    if isinstance(guide, Assignable) and not guide.optimism.is_elbo:
        return MarkovObjective(guide.optimism)
    return MarkovELBO()


def _posterior(model: MarkovModel) -> Blocks:
    """The blocks of the exact posterior, in which all is free, survival too."""
    found = infer(model, FREE)
    if found.value == -math.inf:
        raise InvalidArgument(
            '`model` must have a posterior for method="forward", but every trajectory is forbidden: log p(O) = −inf. '
            "Use a large negative reward for −inf."
        )
    return found.blocks()


def _take(table: Assignable, target: Blocks, visits: Occupancy, old: Blocks) -> None:
    """Assign the target; the old blocks are restored if the guide had to leave out a part of it."""
    try:
        table.assign(target)
    except InvalidGuide as problem:
        raise InvalidArgument(f"{_INFINITE} The error is: {problem}") from problem
    try:
        _require_support(target, visits, table)
    except InvalidArgument:
        table.assign(old)
        raise


def _require_support(target: Blocks, visits: Occupancy, guide: HasBlocks) -> None:
    with torch.no_grad():
        outside = excluded(target, visits, guide.blocks())
    if outside is not None:
        raise InvalidArgument(f"{_INFINITE} Its `{outside[0]}` is −inf at {outside[1]}.")


def _with_blocks(guide: object, method: str) -> HasBlocks:
    if not isinstance(guide, HasBlocks):
        raise InvalidArgument(
            f'`guide` must have blocks() for method="{method}", such as a MarkovGuide, but {_name(guide)} has none. '
            'Use method="svi".'
        )
    return guide


def _starting_at(first: Blocks | None, table: Assignable) -> Callable[[], Blocks]:
    """A function that returns the blocks of the guide: at the first call `first`, if they are known."""
    known = [] if first is None else [first]
    return lambda: known.pop() if known else table.blocks()


def _objective_of(guide: Assignable) -> str:
    """The name of the objective that the guide maximises."""
    return (MarkovELBO if guide.optimism.is_elbo else MarkovObjective).objective_name


def _tables(model: object, guide: object, method: str) -> tuple[MarkovModel, Assignable]:
    """The model and the guide, checked for a method that sets blocks."""
    tabular = _tabular(model, method)
    if not isinstance(guide, Assignable):
        missing = [f"`{name}`" for name in ("blocks", "assign", "optimism", "optimum") if not hasattr(guide, name)]
        raise InvalidArgument(
            f'`guide` must be able to take blocks for method="{method}", but {_name(guide)} has no '
            f'{" and no ".join(missing)}. Use method="svi", or give the guide `assign`, `optimism` and `optimum`, as '
            "in FreeGuide."
        )
    return tabular, guide


def _tabular(model: object, method: str) -> MarkovModel:
    if not isinstance(model, MarkovModel):
        raise InvalidArgument(
            f'`model` must be tabular for method="{method}", such as `TabularModel(mdp)`, but {_name(model)} is not. '
            'Use method="svi".'
        )
    return model


def _name(program: object) -> str:
    return getattr(program, "__name__", type(program).__name__)


def _is_flat(history: Sequence[float], tolerance: float) -> bool:
    """True if the means of the last two windows differ by less than the tolerance, with an allowance for noise."""
    if tolerance == 0 or len(history) < 2 * WINDOW:
        return False
    recent = torch.tensor(history[-2 * WINDOW :], dtype=torch.float64)
    change = recent[WINDOW:].mean() - recent[:WINDOW].mean()
    return bool(change.abs() + 2 * (2 * noise(recent) / WINDOW).sqrt() < tolerance)


def noise(history: Float[Tensor, " step"]) -> Float[Tensor, ""]:
    """The variance of one estimate among the steps of a fit.

    Successive differences see noise but hardly any trend; their mean square is twice the variance of one estimate.
    """
    return history.diff().square().mean() / 2
