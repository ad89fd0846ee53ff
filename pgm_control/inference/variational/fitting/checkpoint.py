"""Checkpoints of fits: tensors and JSON, loadable without running code, written atomically."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, UInt8
from pyro.optim import PyroOptim
from torch import Tensor

from ....errors import InvalidCheckpoint
from ....runtime.checkpoint import read, require_same, write
from ....runtime.checkpoint_checks import anything, fields, generator_state, mapping, number, require, tensor
from ....runtime.optimiser_states import check_of, restored, states_of
from ....trajectories.blocks import MarkovModel
from ....trajectories.remembered import remembered
from ....trajectories.steps import is_plain, is_timed, last_worth, temperatures_of, worth_at
from ..parameters import check_of_state, load_state, parameters_of, state_of

_KIND = "fit"
_REMEDY = "Start a new fit without `resume`."
_ELSEWHERE = "parameters elsewhere"


@final
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that the next step of a fit depends on.

    Attributes:
        parameters: the guide's state.
        optimiser: one optimiser state per parameter; empty for a method without an optimiser.
        elbo_history: the ELBO that each step so far reported, in nats.
        seconds: time spent.
        random: the state of torch's generator.
        description: what was fitted, so that another fit cannot be resumed from it.
    """

    parameters: dict[str, Tensor]
    optimiser: dict[str, Any]
    elbo_history: Float[Tensor, " step"]
    seconds: float
    random: UInt8[Tensor, " byte"]
    description: dict[str, Any]

    @classmethod
    def take(
        cls,
        guide: Callable[[], Any],
        optim: PyroOptim | None,
        elbo_history: Float[Tensor, " step"],
        seconds: float,
        description: dict[str, Any],
    ) -> "Checkpoint":
        """Copy the current state, but for the history; `optim` is None for a method that has no state of its own."""
        parameters = parameters_of(guide)
        states = {} if optim is None else states_of(optim, parameters)
        known = set(parameters.values())
        if optim is not None and not known.issuperset(optim.optim_objs):
            description = {**description, _ELSEWHERE: True}
        return cls(
            _copied(state_of(guide)),
            _copied(states),
            elbo_history,
            seconds,
            torch.get_rng_state(),
            description,
        )

    def require(
        self, description: dict[str, Any], guide: Callable[[], Any], optim: PyroOptim | None, where: object
    ) -> None:
        """Check that the checkpoint belongs to this fit, and its tensors to this guide and optimiser.

        Raises:
            InvalidCheckpoint: if the checkpoint does not fit; the message names what differs.
        """
        same = f"Build the same model, guide, loss and optimiser, with the same method. {_REMEDY}"
        if _ELSEWHERE in self.description:
            raise InvalidCheckpoint(
                f"{where} does not hold all that was fitted: there were parameters in Pyro's store, or of modules in "
                "the loss, besides those of the guide. Make them attributes of the guide, a torch.nn.Module."
            )
        require_same(where, self.description, description, same)
        require(where, "this guide", self.parameters, check_of_state(guide), _REMEDY)
        optimisers = fields({}) if optim is None else check_of(optim, parameters_of(guide), self.optimiser)
        require(where, "this optimiser", self.optimiser, optimisers, _REMEDY)

    def restore(self, guide: Callable[[], Any], optim: PyroOptim | None) -> None:
        """Restore the parameters and the optimiser, but not the generator.

        Raises:
            InvalidCheckpoint: if the guide has other parameters.
        """
        try:
            load_state(guide, self.parameters)
        except RuntimeError as problem:
            raise InvalidCheckpoint(f"The checkpoint does not fit this guide: {problem}") from problem
        if optim is not None:
            restored(optim, parameters_of(guide), _copied(self.optimiser))

    def save(self, path: str | Path) -> None:
        """Write to disk atomically: a crash leaves either the old file or the new one."""
        tensors = {
            "parameters": self.parameters,
            "optimiser": self.optimiser,
            "elbo_history": self.elbo_history,
            "random": self.random,
        }
        write(path, _KIND, tensors, {"seconds": self.seconds, "description": self.description})

    @classmethod
    def load(cls, path: str | Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises:
            InvalidCheckpoint: if there is none, it is not whole, or it holds what no fit writes.
        """
        tensors, facts = read(path, _KIND, _TENSORS, _FACTS, _REMEDY)
        return cls(
            tensors["parameters"],
            tensors["optimiser"],
            tensors["elbo_history"],
            facts["seconds"],
            tensors["random"],
            facts["description"],
        )


_TENSORS = fields(
    {
        "parameters": mapping(anything),
        "optimiser": mapping(anything),
        "elbo_history": tensor((None,), torch.float64),
        "random": generator_state(),
    }
)
_FACTS = fields({"seconds": number(0.0), "description": mapping(anything)})


def identity(model: object) -> str:
    """The identity of a model, which a resumed fit must share: its sizes, and a digest of all its numbers."""
    if not isinstance(model, MarkovModel):
        return getattr(model, "__name__", type(model).__name__)
    return remembered(model, _identity)


def _identity(model: MarkovModel) -> str:
    mdp, digest = model.mdp, hashlib.sha256()
    last = mdp.initial.new_zeros(0) if mdp.final_reward is None else mdp.final_reward
    for table in (mdp.initial, mdp.probability, mdp.successor, mdp.reward, last, model.action_prior):
        digest.update(table.detach().cpu().contiguous().numpy().tobytes())
    for t in range(mdp.horizon if is_timed(model) else 1):
        digest.update(worth_at(model, t).detach().cpu().contiguous().numpy().tobytes())
    digest.update(last_worth(model).detach().cpu().contiguous().numpy().tobytes())
    digest.update(repr((model.temperature if is_plain(model) else temperatures_of(model), mdp.discount)).encode())
    return f"{model!r} [{digest.hexdigest()[:12]}]"


def _copied(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_copied(value) for value in state)
    return state
