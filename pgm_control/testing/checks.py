"""Checks of the laws, the requirements that every model and guide must satisfy, to run on your own class.

    from pgm_control.testing import check_guide, check_model
    check_guide(model, MyGuide(model))

Both return a report, or raise `LawBroken` with every broken law, its reason and the remedy.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import pyro
import torch

from ..chance.optimism import Optimism
from ..errors import LawBroken
from ..inference.exact.infer import infer
from ..runtime.programs import require_callable
from ..runtime.randomness import integer_of, seeded
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.program import is_program
from . import laws, program_laws

_LITTLE = 0.1  # the size of the perturbation of a guide of vectors, whose draws have no bounds


@final
@dataclass(frozen=True)
class ModelReport:
    """The report of `check_model`: the sites in order, and log p(O) in nats, None for a program without tables."""

    sites: tuple[str, ...]
    log_evidence: float | Any


@final
@dataclass(frozen=True)
class GuideReport:
    """The report of `check_guide`.

    Attributes:
        free: the blocks of chance that the guide can change, out of "initial", "dynamics" and "survival".
        elbo: the ELBO at the given parameters, in nats; estimated by sampling if it cannot be computed exactly.
        log_evidence: log p(O), in nats; None for a program without tables, where it is not known.
    """

    free: tuple[str, ...]
    elbo: float
    log_evidence: float | Any


def check_model(model: MarkovModel | Callable[[], Any], seed: int | torch.Generator | None = None) -> ModelReport:
    """Check that a model satisfies the laws, the requirements that the library relies on.

    The Pyro sites must come in the right order, their factors must be those of the blocks, equal seeds must give equal
    samples, and the evidence must be exact.

    If the problem is small enough, the evidence of the Pyro program by enumeration must equal that of `infer`.

    Of a Pyro program without tables, each site must have a role (see `log_weights`) and a log-probability below +inf,
    each pattern of `roles` a site, and equal seeds must give equal samples.

    Args:
        model: the model, tabular or any Pyro program with `roles`.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        LawBroken: listing every broken law.
    """
    if is_program(model):
        number = _integer_of(seed)
        _raise(program_laws.model_laws(model, number), getattr(model, "__name__", type(model).__name__))
        return ModelReport(program_laws.latent_sites(model, number), None)
    model = require_model(model, in_nats=True, timed=True)
    number = _integer_of(seed)
    sites = laws.play(model, number)
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    broken = laws.order(sites, model) + laws.factors(sites, model) + laws.repeatable(model, number)
    _raise(broken or laws.evidence(model, evidence), type(model).__name__)
    return ModelReport(tuple(laws.latent(sites)), evidence)


def check_guide(
    model: MarkovModel | Callable[[], Any], guide: Callable[[], Any], seed: int | torch.Generator | None = None
) -> GuideReport:
    """Check that a guide satisfies the laws, the requirements that the library relies on.

    The Pyro sites must be those of the model, in the right order, gradients must be finite, equal seeds must give equal
    samples, and the ELBO must be at most log p(O). The guide may have auxiliary sites if it has a reverse model, which
    samples exactly them; the ELBO is then the auxiliary bound.

    Each law is checked at the guide's parameters and, if it is a module, at randomly perturbed ones; the parameters are
    restored afterwards. Any Pyro guide can be checked. If it has `blocks()`, they must be normalised and agree with
    what the program samples. For a guide function, whose parameters are in Pyro's store, a block counts as free only
    if it already differs from the model. If a guide of a program has `free_blocks`, the blocks that it may change, no
    other block may differ from the model in what it draws.

    Args:
        model: the model of the guide.
        guide: the guide, already constructed.
        seed: for the traces and the perturbations: an integer, a generator, or None for torch's global generator.

    Returns:
        The free blocks, the ELBO and log p(O).

    Raises:
        LawBroken: listing every broken law.
    """
    require_callable("guide", guide, remedy="Pass a Pyro guide, such as FreeGuide(model).")
    if is_program(model):
        return _check_guide_of_program(model, guide, _integer_of(seed))
    model = require_model(model, in_nats=True, timed=True)
    broken: list[str] = []
    free: set[str] = set()
    bounds: list[float] = []
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    number = _integer_of(seed)
    with seeded(number), _kept(guide):
        for moved in (False, True):
            if moved:
                _move(guide)
            broken += laws.factors_of(model, guide)
            if broken:
                break
            drawn = laws.play(guide, number)
            broken += laws.sites(drawn, laws.play(model, number)) + laws.order(drawn, model)
            broken += laws.reverse(model, guide, number)
            if broken:
                break
            freed, found = laws.freedom(model, guide, number)
            free |= freed
            bound, excessive = laws.bound(model, guide, evidence)
            bounds.append(bound)
            broken += [] if moved else laws.within_support(model, guide)
            broken += laws.repeatable(guide, number) + found + excessive + laws.gradients(model, guide)
    _raise(list(dict.fromkeys(broken)), getattr(guide, "__name__", type(guide).__name__))
    return GuideReport(tuple(name for name in laws.BLOCKS if name in free), bounds[0], evidence)


def _check_guide_of_program(model: Callable[[], Any], guide: Callable[[], Any], number: int) -> GuideReport:
    """The report of a guide of a program, at its parameters and, of a module, at perturbed ones."""
    found = program_laws.guide_laws(model, guide, number)
    free, broken = set(found.free), list(found.broken)
    if not broken and isinstance(guide, torch.nn.Module) and any(True for _ in guide.parameters()):
        with seeded(number), _kept(guide):
            _move(guide, _LITTLE)
            moved = program_laws.guide_laws(model, guide, number)
        free, broken = free | moved.free, moved.broken
    _raise(broken or program_laws.kept_blocks(guide, free), getattr(guide, "__name__", type(guide).__name__))
    return GuideReport(tuple(name for name in laws.BLOCKS if name in free), found.elbo, None)


def _integer_of(seed: int | torch.Generator | None) -> int:
    """An integer seed that Pyro accepts."""
    return integer_of(seed) % 2**31


@contextmanager
def _kept(guide: object) -> Iterator[None]:
    """A context with Pyro's validation on; at its end the guide's parameters and Pyro's settings are restored."""
    state = copy.deepcopy(guide.state_dict()) if isinstance(guide, torch.nn.Module) else None
    with pyro.validation_enabled(True):
        try:
            yield
        finally:
            if state is not None and isinstance(guide, torch.nn.Module):
                guide.load_state_dict(state)


def _move(guide: object, size: float = 1.0) -> None:
    if isinstance(guide, torch.nn.Module):
        with torch.no_grad():
            for parameter in guide.parameters():
                parameter.add_(size * torch.randn_like(parameter))


def _raise(broken: list[str], name: str) -> None:
    if broken:
        lines = [f"{name} breaks {len(broken)} law(s):", *(f"  {i}. {law}" for i, law in enumerate(broken, 1))]
        raise LawBroken("\n".join(lines))
