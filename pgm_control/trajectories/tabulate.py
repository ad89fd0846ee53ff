"""The checked factors of a guide or a policy over the trajectories of a model."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_tables import row_error
from ..errors import InvalidGuide
from ..problems.mdp import TabularMDP
from ..programs.auxiliary import HasReverse
from ..text.wording import action_phrase, state_phrase
from .blocks import Blocks, HasBlocks, MarkovModel, blocks_of, require_model, require_room_for_policy
from .function_tables import FunctionTables
from .policy import TabularPolicy
from .remembered import prior_of

Tabulable = (
    HasBlocks | Blocks | TabularPolicy | Callable[[], Any] | Float[Tensor, "..."] | Float[np.ndarray, "..."]
)  # what `tabulate` accepts


def tabulate(model: MarkovModel, guide: Tabulable) -> Blocks:
    r"""The factors of a guide as tables: $q(s_0)$, $\pi_t(a \mid s)$ and $q_t(k \mid s, a)$, in the model's states.

    They offer the same quantities for every guide and for a `Posterior`:

        blocks = tabulate(model, guide)
        blocks.policy, blocks.dynamics  # probabilities
        blocks.marginals().state  # q(s_t)
        blocks.sample(100, seed=0)
        blocks.mode()  # the most probable trajectory

    Args:
        model: the tabular model.
        guide: anything with `blocks()`, such as a `MarkovGuide`, a `Posterior`, a `HistoryOptimum` of this model or the
            model itself; or a policy, as a `TabularPolicy` or probabilities of shape (state, action) or (time, state,
            action), which is completed with the start and the dynamics of the model; or a Pyro function of the sites
            `state_0`, `action_0`, `outcome_0`, …, run with values of these sites in place of draws. That its
            conditionals depend on time and state only is checked after random histories and after some of its own. All
            runs are made in one batch, by `torch.vmap`; in a loop if the code branches on values, which the logger
            "pgm_control" says.

    Returns:
        The factors, checked, over `model.mdp`; differentiable where the guide has parameters, also where these are
        parameters of Pyro's store.

    Raises:
        InvalidArgument: if the model is not tabular, or the policy is not one.
        InvalidGuide: if tables cannot represent the guide, or its factors do not fit the model; the message names the
            factor and the remedy, or what to use instead.
    """
    require_model(model, timed=True)
    require_room_for_policy(model)
    truth = prior_of(model)
    if isinstance(guide, Blocks):
        return _checked(guide, truth)
    if isinstance(guide, HasBlocks | type):
        return _checked(blocks_of(guide), truth)  # pyright: ignore[reportArgumentType]  it refuses a class
    if callable(guide) and not any(callable(getattr(guide, name, None)) for name in ("process", "bound", "reverse")):
        tables = FunctionTables(guide, model.mdp)
        blocks = _checked(tables.blocks(), truth)
        tables.require_markov(blocks)
        return blocks
    if not isinstance(guide, TabularPolicy | Tensor | np.ndarray):
        _refuse(guide)
    table = TabularPolicy.of(guide).table(model.mdp.horizon).to(truth.log_policy)
    return _checked(truth.replace(log_policy=table.log()), truth)


def _refuse(guide: object) -> NoReturn:
    kind = getattr(guide, "__name__", type(guide).__name__)
    if callable(getattr(guide, "process", None)):
        raise InvalidGuide(
            f"`guide` must be one that tables can represent, but {kind} has a memory: its actions depend on the "
            "history, not only on time and state. Score it by estimate(model, guide) and sample from it by "
            "log_weights or smc."
        )
    if isinstance(guide, HasReverse):
        raise InvalidGuide(
            f"`guide` must be one that tables can represent, but {kind} draws auxiliary variables, on which its "
            "actions depend. Score it by estimate(model, guide) and sample from it by log_weights or smc."
        )
    if callable(getattr(guide, "bound", None)):
        raise InvalidGuide(
            f"`guide` must be one that tables can represent, but {kind} draws many trajectories and keeps one. Use "
            "its bound(), sample(), marginals() and imagined_return()."
        )
    raise InvalidGuide(
        f"`guide` must have blocks(), be a Pyro function, which is called without arguments, or be a policy as "
        f"probabilities, but is a {kind}. For a guide of a simulator take rollout(env, policy)."
    )


def _checked(blocks: Blocks, truth: Blocks) -> Blocks:
    """The factors, in the dtype of the model if theirs is finer."""
    if truth.log_policy.dtype == torch.float32:
        fine = {
            name: table.to(torch.float32)
            for name in ("log_initial", "log_policy", "log_dynamics", "log_survival")
            if (table := getattr(blocks, name)) is not None and table.dtype == torch.float64
        }
        blocks = blocks.replace(**fine) if fine else blocks
    for name in ("log_initial", "log_policy", "log_dynamics"):
        given, expected = getattr(blocks, name), getattr(truth, name)
        if given.shape != expected.shape:
            raise InvalidGuide(
                f"`{name}` of the guide must have shape {tuple(expected.shape)} for this model, but has "
                f"{tuple(given.shape)}. Build the guide from the same model; a table that is the same at all times "
                "needs .expand(T, …)."
            )
        off = row_error(given)
        if not off <= (1e-6 if given.dtype == torch.float64 else 1e-4):
            raise InvalidGuide(
                f"`{name}` of the guide must hold normalised log-probabilities, but a row sums to 1 ± {off:.3g} "
                "after exp. Pass it through torch.log_softmax(…, -1)."
            )
    alive, expected = blocks.log_survival, truth.log_policy.shape[:2]
    if alive is not None and (alive.shape != expected or not bool((alive.detach() <= 0).all())):
        raise InvalidGuide(
            f"`log_survival` of the guide must be log-probabilities, 0 or less, of shape {tuple(expected)} (time, "
            f"state), but has shape {tuple(alive.shape)} and the maximum {float(alive.detach().max()):.3g}. Leave it "
            "None to clamp it."
        )
    return blocks.replace(mdp=_same_outcomes(blocks, truth))


def _same_outcomes(blocks: Blocks, truth: Blocks) -> TabularMDP:
    """The problem of the model, if the outcomes of the guide's own problem lead to the same states."""
    own, mdp = blocks.mdp.successor, truth.mdp.successor
    if blocks.mdp is truth.mdp or own is mdp:
        return truth.mdp
    if own.shape != mdp.shape:
        raise InvalidGuide(
            f"`guide` must belong to the problem of the model, {truth.mdp!r}, but belongs to {blocks.mdp!r}."
        )
    apart = (own.to(mdp.device).long() != mdp.long()) & (truth.mdp.probability > 0).reshape(-1, *mdp.shape).any(0)
    if apart.any():
        s, a, k = apart.nonzero()[0].tolist()
        raise InvalidGuide(
            f"`guide` must belong to the problem of the model, but outcome {k} of {action_phrase(truth.mdp, a)} in "
            f"{state_phrase(truth.mdp, s)} leads to state {int(own[s, a, k])} in the guide's problem, and to "
            f"{int(mdp[s, a, k])} in this one. Pass its policy alone: TabularPolicy.of(guide)."
        )
    return truth.mdp
