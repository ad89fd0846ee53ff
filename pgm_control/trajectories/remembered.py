"""What depends on a tabular model alone, such as its blocks: computed once, and kept for as long as the model lives."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor

from ..problems.mdp import TabularMDP
from .blocks import Blocks, MarkovModel, has_own_tables

T = TypeVar("T")
_MOST = 8  # results that are kept for each model


class _State(NamedTuple):
    """Everything that a model consists of. In-place operations of torch change the version of a tensor."""

    mdp: TabularMDP
    action_prior: Tensor
    temperature: float
    versions: tuple[int, ...]

    def is_still(self, now: "_State") -> bool:
        same = self.mdp is now.mdp and self.action_prior is now.action_prior
        return same and self.temperature == now.temperature and self.versions == now.versions


_kept: WeakKeyDictionary[Any, tuple[_State, dict[Hashable, Any]]] = WeakKeyDictionary()


def remembered(model: MarkovModel, make: Callable[..., T], *args: Hashable) -> T:
    """The result of `make(model, *args)`, which is kept until the model changes or is deleted.

    It must not refer to the model, which it would keep alive, and must not be changed. Nothing is kept for models of
    other classes than `TabularModel`, whose blocks may depend on more than their problem, and under `inference_mode`.
    """
    tables = _tables_of(model)
    if not has_own_tables(model) or any(each.requires_grad or each.is_inference() for each in tables):
        return make(model, *args)
    now = _State(model.mdp, model.action_prior, model.temperature, tuple([each._version for each in tables]))
    state, results = _kept.get(model, (None, {}))
    if state is None or not state.is_still(now):
        results = {}
        _kept[model] = now, results
    key = make, *args
    if key not in results:
        while len(results) >= _MOST:
            del results[next(iter(results))]
        results[key] = make(model, *args)
    return results[key]


def prior_of(model: MarkovModel) -> Blocks:
    """The blocks of the model, not to be changed in place."""
    return remembered(model, _blocks)


def _blocks(model: MarkovModel) -> Blocks:
    return model.blocks()


def _tables_of(model: MarkovModel) -> list[Tensor]:
    mdp = model.mdp
    tables = [mdp.initial, mdp.probability, mdp.successor, mdp.reward, model.action_prior]
    return tables if mdp.final_reward is None else [*tables, mdp.final_reward]
