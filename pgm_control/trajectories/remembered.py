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
    versions: list[int]

    @classmethod
    def of(cls, model: MarkovModel) -> "_State":
        tables = _tables_of(model)
        return cls(model.mdp, model.action_prior, model.temperature, [each._version for each in tables])

    def is_still(self, now: "_State") -> bool:
        same = self.mdp is now.mdp and self.action_prior is now.action_prior
        return same and self.temperature == now.temperature and self.versions == now.versions


_kept: WeakKeyDictionary[Any, tuple[_State, dict[Hashable, Any]]] = WeakKeyDictionary()


def remembered(model: MarkovModel, make: Callable[..., T], *args: Hashable) -> T:
    """The result of `make(model, *args)`, which is kept until the model changes or is deleted.

    It must not refer to the model, which it would keep alive, and must not be changed. Nothing is kept for models of
    other classes than `TabularModel`, whose blocks may depend on more than their problem, for tables with gradients,
    and for tensors of `inference_mode`, whose changes torch does not count.
    """
    if not has_own_tables(model) or any(each.requires_grad or each.is_inference() for each in _tables_of(model)):
        return make(model, *args)
    now, key = _State.of(model), (make, *args)
    state, results = _kept.get(model, (None, {}))
    if state is None or not state.is_still(now):
        results = {}
        _kept[model] = now, results
    if key not in results:
        while len(results) >= _MOST:
            del results[next(iter(results))]
        results[key] = make(model, *args)
    return results[key]


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


def _tables_of(model: MarkovModel) -> list[Tensor]:
    mdp = model.mdp
    tables = [mdp.initial, mdp.probability, mdp.successor, mdp.reward, model.action_prior]
    return tables if mdp.final_reward is None else [*tables, mdp.final_reward]
