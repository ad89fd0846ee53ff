"""The particle loop of sequential Monte Carlo for any Pyro program: one stage for each site of optimality.

With a lookahead a stage ends before each action, where the state is known of which it tells the value.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...errors import InvalidArgument, InvalidGuide
from ...programs.replay import Pair, require_numbers
from ...programs.run import run_with
from ...programs.side_by_side import Named, side_by_side
from ...runtime.arguments import shown
from .lookahead import log_twist_of, lookahead_of, stages_of
from .of_programs import seed_of
from .particles import require_possible, share
from .resampling import effective_sample_size, log_mean, multinomial, standard_error, systematic


class ProgramRun(NamedTuple):
    """The fields of `SMC`, with weights that are not normalised, and the values of all sites by name."""

    log_evidence: Float[Tensor, ""]
    log_weights: Float[Tensor, " particle"]
    values: Named
    effective_sample_size: Float[Tensor, " stage"]
    resampled: Bool[Tensor, " stage_but_last"]
    standard_error: Float[Tensor, ""]


@torch.no_grad()
def run_program_smc(
    pair: Pair,
    particles: int,
    threshold: float,
    generator: torch.Generator | None,
    reference: object = None,
    lookahead: object = None,
) -> ProgramRun:
    """The run of `smc` for a program; with a reference, the values of one trajectory by name, of `conditional_smc`."""
    threshold = share("threshold", threshold)
    if pair.is_determined:
        raise InvalidGuide(
            "`guide` must draw its sites one after the other to propose them step by step, but computes all from "
            "auxiliary variables, as Pyro's AutoGuides do. Use log_weights(model, guide)."
        )
    pinned = None if reference is None else _checked(pair, reference)
    values: Named = {}
    log_weight, log_evidence = pair.like.new_zeros(particles), pair.like.new_zeros(())
    sizes, resampled = list[Tensor](), list[bool]()
    ahead = lookahead_of(lookahead, pair.guide, pair.sites)
    stages = _stages(pair) if ahead is None else stages_of(pair.sites)
    first, twist = torch.arange(particles, device=log_weight.device), torch.zeros_like(log_weight)
    for i, stage in enumerate(stages):
        if i > 0:
            again = bool(0 < sizes[-1] < threshold * particles)
            resampled.append(again)
            if again:
                log_evidence = log_evidence + log_mean(log_weight)
                resample = systematic if pinned is None else multinomial
                ancestor = resample(log_weight[None], generator)[0]
                values = {name: each[ancestor] for name, each in values.items()}
                log_weight, first, twist = torch.zeros_like(log_weight), first[ancestor], twist[ancestor]
        drawn, increment = _advanced(pair, stage, particles, values, generator, pinned)
        values, log_weight = {**values, **drawn}, log_weight + increment - twist
        if ahead is not None:
            is_last = stage is stages[-1]
            twist = (
                torch.zeros_like(twist) if is_last else log_twist_of(ahead, i + 1, values[f"state_{i + 1}"]).to(twist)
            )
            log_weight = log_weight + twist
        sizes.append(effective_sample_size(log_weight[None])[0])
    return ProgramRun(
        log_evidence + log_mean(log_weight),
        log_weight,
        values,
        torch.stack(sizes),
        torch.tensor(resampled, dtype=torch.bool, device=log_weight.device),
        standard_error(log_weight[None], first[None])[0],
    )


def _stages(pair: Pair) -> list[list[str]]:
    """The model's sites, in pieces that end with a site of optimality."""
    stages, piece = list[list[str]](), list[str]()
    for name in pair.sites:
        piece.append(name)
        if pair.has_role(name, "optimality"):
            stages.append(piece)
            piece = []
    return [*stages, piece] if piece else stages


def _advanced(
    pair: Pair,
    stage: list[str],
    particles: int,
    values: Named,
    generator: torch.Generator | None,
    pinned: Named | None,
) -> tuple[Named, Float[Tensor, " particle"]]:
    """The new values of a stage, and by how much it changes the log-weights."""
    latent = [name for name in stage if name in pair.latent]
    later = set(pair.latent) - set(latent)

    def run(known: Mapping[str, Tensor]) -> tuple[Named, Named]:
        drawn = run_with(pair.guide, known, until=latent) if latent else {}
        if early := [name for name in drawn if name in later and name not in known]:
            raise InvalidGuide(
                f"`guide` must draw {', '.join(f'`{name}`' for name in latent)} before `{early[0]}`, as the model "
                "does, to propose step by step. Change the order of its sites."
            )
        new = {name: torch.as_tensor(site.value) for name, site in drawn.items() if name not in values}
        is_last = stage[-1] == pair.sites[-1]
        scored = run_with(pair.model, {**known, **new}, until=None if is_last else stage)
        if is_last or not set(stage) <= set(scored) or not set(latent) <= set(drawn):
            pair.require_sites(scored)
        log_q = sum((drawn[name].log_probability for name in latent), pair.like.new_zeros(()))
        log_p = sum((scored[name].log_probability for name in stage), pair.like.new_zeros(()))
        return new, {"p": log_p, "q": log_q}

    drawn, logs = side_by_side(run, pair.guide, particles, seed_of(generator), pair.like, values or None)
    require_numbers(logs)
    if pinned is not None:
        if missing := [name for name in drawn if name not in pinned]:
            raise InvalidArgument(
                f"`reference` must have the auxiliary variables of the guide too, but has no `{missing[0]}`. Take one "
                "from a run of smc with the same guide."
            )
        for name, each in drawn.items():
            if pinned[name].shape != each.shape[1:]:
                raise InvalidArgument(
                    f"`reference` must have the shape {tuple(each.shape[1:])} at `{name}`, but has "
                    f"{tuple(pinned[name].shape)}. Take one from a run of smc with the same model and guide."
                )
        drawn = {name: torch.cat((pinned[name][None].to(each), each[1:])) for name, each in drawn.items()}
        _, logs = side_by_side(run, pair.guide, particles, None, pair.like, {**values, **drawn})
        for kind, owner in (("p", "the model"), ("q", "the guide")):
            require_possible(logs[kind][0], owner)
    forbidden = torch.isneginf(logs["p"])
    return drawn, torch.where(forbidden, logs["p"], logs["p"] - logs["q"])


def _checked(pair: Pair, reference: Any) -> Named:
    """The values of one trajectory, by name, without the axis of the batch."""
    if not isinstance(reference, Mapping):
        raise InvalidArgument(
            "`reference` must be the values of a program's sites by name, as .sample(1) of a run of smc returns them, "
            f"but is {shown(reference)}."
        )
    for name in pair.latent:
        if name not in reference:
            raise InvalidArgument(
                f"`reference` must have a value for each site of the model, but has none of `{name}`."
            )
        value = reference[name]
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != 1:
            raise InvalidArgument(f"`reference` must be one trajectory, a batch of 1, but `{name}` is {shown(value)}.")
    return {name: value[0] for name, value in reference.items()}
