"""The checkpoint of tempering: tensors and JSON, written atomically, loadable without running code."""

import dataclasses
import hashlib
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from ...inference.variational.fitting.checkpoint import identity
from ...runtime.checkpoint import read, require_same, write
from ...runtime.checkpoint_checks import anything, fields, generator_state, mapping, number, require, tensor
from ...runtime.progress import Progress
from .coordinates import Coordinates
from .reward_program import RewardProgram
from .tempering import Population, State, drawn_from_prior, tempered

_KIND = "tempering"
_REMEDY = "Start again without `resume`."
_PROBES = (-1.0, 0.3, 2.0)  # unconstrained coordinates at which priors and rewards are compared


def resumable(
    coordinates: Coordinates, number: int, progress: Progress, checkpoint: str | Path | None, resume: str | Path | None
) -> tuple[Population, float]:
    """Return the result of `tempered`, begun or resumed, and the seconds that were spent before a resume.

    Raises:
        InvalidCheckpoint: as `load`.
    """
    device, before, start = coordinates.start.device, 0.0, time.perf_counter()

    def write_down(population: Population) -> None:
        if checkpoint is not None:
            save(checkpoint, coordinates, population, before + time.perf_counter() - start)

    with nullcontext() if resume is None else torch.random.fork_rng([device] if device.type == "cuda" else []):
        if resume is None:
            population = drawn_from_prior(coordinates, number)
        else:
            population, random, before = load(resume, coordinates, number)
            set_random_state(device, random)
            write_down(population)
        return tempered(coordinates, population, progress, write_down), before


def save(path: str | Path, coordinates: Coordinates, population: Population, seconds: float) -> None:
    """Write the population and the state of the generator that its next step draws from."""
    u, family, state, power, log_evidence, reach, steps = population
    tensors = {"u": u, "family": family, **state._asdict(), "random": random_state(u.device)}
    numbers = {"power": power, "log_evidence": log_evidence, "reach": reach, "steps": steps, "seconds": seconds}
    about = _description(coordinates.program, len(u))
    write(path, _KIND, {name: each.cpu() for name, each in tensors.items()}, {**numbers, "description": about})


def load(path: str | Path, coordinates: Coordinates, count: int) -> tuple[Population, Tensor, float]:
    """Return the population in a file, the state of the generator, and the seconds that were spent.

    Raises:
        InvalidCheckpoint: if the file is missing, incomplete, or belongs to another posterior.
    """
    tensors, facts = read(path, _KIND, mapping(anything), _FACTS, _REMEDY)
    same = f"Give the same model, demonstrations, reward, demonstrator, priors and `num_samples`. {_REMEDY}"
    require_same(path, facts["description"], _description(coordinates.program, count), same)
    like = coordinates.start
    rows, entries = tensor((count, len(like)), like.dtype), tensor((count,), like.dtype)
    checks = {
        "u": rows, "family": tensor((count,), torch.int64, 0, count - 1),
        "log_likelihood": entries, "by_likelihood": rows, "log_prior": entries, "by_prior": rows,
        "random": generator_state(like.device),
    }  # fmt: skip
    require(path, "this posterior", tensors, fields(checks), _REMEDY)
    state = State(*(tensors[name].to(like.device) for name in State._fields))
    u, family = (tensors[name].to(like.device) for name in ("u", "family"))
    numbers = {name: facts[name] for name in ("power", "log_evidence", "reach", "steps")}
    return Population(u, family, state, **numbers), tensors["random"], facts["seconds"]


def random_state(device: torch.device) -> Tensor:
    """Return the state of torch's global generator of this device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Set the state of torch's global generator of this device."""
    torch.cuda.set_rng_state(state, device) if device.type == "cuda" else torch.set_rng_state(state)


_FACTS = fields(
    {
        "power": number(0.0, 1.0),
        "log_evidence": number(),
        "reach": number(0.0),
        "steps": number(0, whole=True),
        "seconds": number(0.0),
        "description": mapping(anything),
    }
)


def _description(program: RewardProgram, count: int) -> dict[str, Any]:
    """What a resumed run must share. Functions are compared by their values at a few points."""
    demonstrations, demonstrator = program.demonstrations, program.demonstrator
    counts = (*demonstrations.moves, demonstrations.starts, *demonstrations.ends)
    kind = type(demonstrator)
    about = {
        "model": identity(program.model),
        "demonstrations": f"{demonstrations.number:g} demonstrations [{_digest(counts)}]",
        "reward": f"{program.function!r} [{_digest([x for each in _probed(program) for x in each])}]",
        "demonstrator": repr(demonstrator) if dataclasses.is_dataclass(kind) else f"{kind.__module__}.{kind.__name__}",
        "num_samples": count,
    }
    for name, prior in program.priors.items():
        points = torch.tensor(_PROBES).to(program.function.start).reshape(-1, *[1] * len(prior.event_shape))
        values = prior.log_prob(biject_to(prior.support)(points).expand(-1, *prior.event_shape)).tolist()
        about[f"prior of {name}"] = f"{type(prior).__name__} of log-densities {values}"
    return about


def _probed(program: RewardProgram) -> list[tuple[Tensor, Tensor]]:
    start = program.function.start
    ways = torch.arange(1, len(start) + 1).to(start)
    return [program.function(start), program.function(ways.cos())]


def _digest(tables: Any) -> str:
    found = hashlib.sha256()
    for each in tables:
        found.update(each.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]
