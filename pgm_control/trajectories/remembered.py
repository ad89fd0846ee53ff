"""Results that depend on the tables of a problem or a model alone: computed once, kept until a table changes."""

from collections.abc import Callable, Hashable
from operator import is_
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor

from ..chance.optimality import ExponentialOptimality, LogisticOptimality, TableOptimality
from .blocks import Blocks, MarkovModel, has_own_tables
from .steps import observed_of, optimality_of

T = TypeVar("T")
_MOST = 8  # results that are kept for each owner


class _Kept(NamedTuple):
    """A result, and what it was made of. Holding the parts makes sure that another part is another object."""

    parts: tuple[Any, ...]
    versions: list[int]  # torch counts the changes in place of a tensor
    made: Any


_kept: WeakKeyDictionary[Any, dict[Hashable, _Kept]] = WeakKeyDictionary()


def kept(owner: Any, key: Hashable, parts: tuple[Any, ...], make: Callable[[], T]) -> T:
    """The result of `make()` for this key, until a part is replaced, a tensor among them changed, or the owner deleted.

    `parts` are all that the result depends on. Neither they nor the result may refer to the owner, which they would
    keep alive, and the result must not be changed. Nothing is kept for tensors of `inference_mode`, whose changes torch
    does not count.
    """
    try:
        versions = [getattr(each, "_version", -1) for each in parts]
    except RuntimeError:  # a tensor of inference mode
        return make()
    results = _kept.get(owner)
    if results is None:
        results = _kept[owner] = {}
    found = results.get(key)
    if found is None or versions != found.versions or not all(map(is_, parts, found.parts)):
        results.pop(key, None)
        while len(results) >= _MOST:
            del results[next(iter(results))]
        results[key] = found = _Kept(parts, versions, make())
    return found.made


def remembered(model: MarkovModel, make: Callable[..., T], *args: Hashable) -> T:
    """The result of `make(model, *args)`, kept while the problem, the action prior and the temperature stay the same.

    Nothing is kept for models of other classes than `TabularModel`, whose blocks may depend on more, nor for other
    likelihoods of optimality than the library's, nor for tables with gradients.
    """
    mdp, optimality = model.mdp, optimality_of(model)
    tables = mdp.initial, mdp.probability, mdp.successor, mdp.reward, model.action_prior, mdp.final_reward
    tau, parts = model.temperature, (mdp, *tables, optimality, observed_of(model))
    if isinstance(tau, Tensor):
        tau, parts = None, (*parts, tau)
    if isinstance(optimality, TableOptimality):
        parts = (*parts, optimality.table, optimality.final)
    is_known = isinstance(optimality, ExponentialOptimality | LogisticOptimality | TableOptimality)
    if not (is_known and has_own_tables(model)) or any(each is not None and each.requires_grad for each in tables):
        return make(model, *args)
    return kept(model, (make, tau, *args), parts, lambda: make(model, *args))


def prior_of(model: MarkovModel) -> Blocks:
    """The blocks of the model; made again if somebody changed these in place."""
    blocks, versions = remembered(model, _blocks)
    return blocks if versions == _versions(blocks) else model.blocks()


def _blocks(model: MarkovModel) -> tuple[Blocks, list[int] | None]:
    blocks = model.blocks()
    return blocks, _versions(blocks)


def _versions(blocks: Blocks) -> list[int] | None:
    tables = blocks.log_initial, blocks.log_policy, blocks.log_dynamics
    return None if blocks.log_initial.is_inference() else [each._version for each in tables]
