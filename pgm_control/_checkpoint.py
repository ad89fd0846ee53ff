"""A fit on disk: tensors and JSON, loadable without running code, written whole or not at all."""

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, UInt8
from pyro.optim import PyroOptim
from pyro.optim.optim import _get_state_dict, _load_state_dict
from torch import Tensor

from ._errors import InvalidCheckpoint
from ._parameters import load_state, parameters_of, state_of
from ._whole_file import write_whole

_FORMAT = 1
_UNREADABLE = (RuntimeError, OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, json.JSONDecodeError)


@final
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that the next step of a fit depends on.

    Attributes:
        parameters: the guide's state.
        optimiser: one optimiser state a parameter; empty for a method without an optimiser.
        elbo: what every step so far reported, in nats.
        seconds: time spent.
        random: the state of torch's generator.
        description: what was fitted, to refuse continuing something else.
    """

    parameters: dict[str, Tensor]
    optimiser: dict[str, Any]
    elbo: Float[Tensor, " step"]
    seconds: float
    random: UInt8[Tensor, " byte"]
    description: dict[str, Any]

    @classmethod
    def take(
        cls,
        guide: Callable[[], Any],
        optim: PyroOptim | None,
        elbo: list[float],
        seconds: float,
        description: dict[str, Any],
    ) -> "Checkpoint":
        """Copy the present state; `optim` is None for a method that has no state of its own."""
        optimisers = {} if optim is None else optim.optim_objs
        states = {
            name: _copied(_get_state_dict(optimisers[parameter]))
            for name, parameter in parameters_of(guide).items()
            if parameter in optimisers
        }
        return cls(
            _copied(state_of(guide)),
            states,
            torch.tensor(elbo, dtype=torch.float64),
            seconds,
            torch.get_rng_state(),
            description,
        )

    def require(self, description: dict[str, Any]) -> None:
        """Refuse to continue another fit.

        Raises:
            InvalidCheckpoint: naming what differs.
        """
        for key, here in description.items():
            if self.description.get(key) != here:
                raise InvalidCheckpoint(
                    f"`resume` belongs to another fit: its {key} was {self.description.get(key)}, but here it is "
                    f"{here}. Build the same model, guide, loss and optimiser, with the same method, or fit afresh "
                    "without `resume`."
                )

    def restore(self, guide: Callable[[], Any], optim: PyroOptim | None) -> None:
        """Put the parameters and the optimiser back, but not the generator.

        Raises:
            InvalidCheckpoint: if the guide has other parameters.
        """
        try:
            load_state(guide, self.parameters)
        except RuntimeError as problem:
            raise InvalidCheckpoint(f"The checkpoint does not fit this guide: {problem}") from problem
        for name, parameter in parameters_of(guide).items():
            if optim is not None and name in self.optimiser:
                # PyroOptim keeps one optimiser a parameter, by names in the global store, where ours have none.
                optim.optim_objs[parameter] = optim._get_optim(parameter)
                optim.grad_clip[parameter] = optim._get_grad_clip(parameter)  # pyright: ignore[reportArgumentType]
                _load_state_dict(optim.optim_objs[parameter], _copied(self.optimiser[name]))

    def save(self, path: str | Path) -> None:
        """Write to disk: a crash leaves the old file or the new one."""
        content = {
            "parameters": self.parameters,
            "optimiser": self.optimiser,
            "elbo": self.elbo,
            "random": self.random,
            "json": json.dumps({"format": _FORMAT, "seconds": self.seconds, "description": self.description}),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises:
            InvalidCheckpoint: if there is none, or it is not whole.
        """
        try:
            content = torch.load(path, weights_only=True)
            facts = json.loads(content["json"])
            if facts["format"] != _FORMAT:
                raise InvalidCheckpoint(
                    f"{path} has checkpoint format {facts['format']}, but this version reads {_FORMAT}. "
                    "Read it with the version that wrote it."
                )
            return cls(
                content["parameters"],
                content["optimiser"],
                content["elbo"],
                facts["seconds"],
                content["random"],
                facts["description"],
            )
        except FileNotFoundError as problem:
            raise InvalidCheckpoint(f"There is no checkpoint at {path}.") from problem
        except _UNREADABLE as problem:
            raise InvalidCheckpoint(f"{path} is not a whole checkpoint of a fit: {problem}") from problem


def _copied(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_copied(value) for value in state)
    return state
