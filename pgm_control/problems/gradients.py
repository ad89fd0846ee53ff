"""Tables that require gradients: their graph is kept by a problem and a model, and refused where it would be lost."""

import copy
from typing import Any, TypeVar

from torch import Tensor

from ..errors import InvalidArgument, InvalidProblem

_TABLES = ("probability", "initial", "reward", "final_reward")
_Holder = TypeVar("_Holder")


def graphs_of(mdp: Any, action_prior: Tensor | None = None) -> dict[str, Tensor]:
    """The tables of a problem, and the action prior of its model, that require gradients, by name."""
    if not (
        mdp.probability.requires_grad
        or mdp.reward.requires_grad
        or mdp.initial.requires_grad
        or (mdp.final_reward is not None and mdp.final_reward.requires_grad)
        or (action_prior is not None and action_prior.requires_grad)
    ):
        return {}  # the usual case, in a fraction of the time
    tables = {name: getattr(mdp, name) for name in _TABLES} | {"action_prior": action_prior}
    return {name: each for name, each in tables.items() if each is not None and each.requires_grad}


def detached(holder: _Holder) -> _Holder:
    """A copy of a problem or a model whose tables have no graph; they share their numbers. Itself if none has one."""
    mdp = getattr(holder, "mdp", holder)
    if not graphs_of(mdp, getattr(holder, "action_prior", None)):
        return holder
    changed = {}
    for name, each in vars(holder).items():
        if name == "mdp" or (isinstance(each, Tensor) and each.requires_grad):
            changed[name] = each.detach()
    found = copy.copy(holder) if any(vars(holder)[name] is not each for name, each in changed.items()) else holder
    for name, each in changed.items():
        object.__setattr__(found, name, each)
    require_numbers("model", getattr(found, "mdp", found), getattr(found, "action_prior", None), InvalidArgument)
    return found


def require_numbers(
    name: str, mdp: Any, action_prior: Tensor | None, error: type[InvalidProblem | InvalidArgument]
) -> None:
    """Require tables without gradients.

    Raises:
        InvalidProblem: or `error`, if one requires them, with the remedy.
    """
    if found := graphs_of(mdp, action_prior):
        raise error(
            f"`{name}` must hold numbers here, but its `{next(iter(found))}` requires gradients, which would be lost. "
            f"Pass `{name}.detach()`, which has the same numbers. soft_values, infer, MarkovELBO and the Pyro program "
            "of a model are differentiable."
        )
