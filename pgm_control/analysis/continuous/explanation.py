"""Explanations of a guide of a linear-quadratic model, in sentences with exact numbers."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from ...inference.exact.gaussian.breakdown import Breakdown, breakdown
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...inference.exact.infer import infer
from ...text.wording import amount
from ...trajectories.gaussian.model import GaussianModel
from ..scores.evaluation import Evaluation
from ..scores.explained import Explained
from .beliefs import BelievedNoise, BelievedStart, believed_noise, believed_start, noise_phrase, start_phrase
from .closed_form import evidence_name

NOISE = 1e-9  # share of a number that counts as rounding
_SMALL = 9  # the most entries of a gain that are written out


class PolicyChange(NamedTuple):
    """The policy of a guide beside the clamped one, at the step where they differ most.

    Attributes:
        time: t.
        gain, clamped_gain: K of $N(-K s - κ, Σ)$.
        deviation, clamped_deviation: the standard deviation of each component of the action.
    """

    time: int
    gain: tuple[tuple[float, ...], ...]
    clamped_gain: tuple[tuple[float, ...], ...]
    deviation: tuple[float, ...]
    clamped_deviation: tuple[float, ...]


@final
@dataclass(frozen=True, repr=False)
class ContinuousExplanation(Explained):
    """The result of `explain` for a linear-quadratic model. Printing it prints the sentences.

    Attributes:
        sentences: the explanation.
        headline: the finding in one sentence.
        differs: whether the two guides differ.
        noises: the noise that the guide believes in, at the steps that it tilts most; empty if it keeps the dynamics.
        start: the start that it believes in, or None if it keeps that of the model.
        policy: the policies at the step where they differ most.
        free, clamped: the evaluation of each guide at its exact optimum. `free` is the guide that is explained.
        breakdown: the values of β between which the objective is bounded; None if it was not requested.
        optimism: β of the guide that is explained.
    """

    sentences: tuple[str, ...]
    headline: str
    differs: bool
    noises: tuple[BelievedNoise, ...]
    start: BelievedStart | None
    policy: PolicyChange
    free: Evaluation
    clamped: Evaluation
    breakdown: Breakdown | None
    optimism: float


def explain_continuous(
    model: GaussianModel,
    beta: float,
    posterior: GaussianPosterior,
    free: Evaluation,
    clamped: Evaluation,
    with_limits: bool,
) -> ContinuousExplanation:
    """The explanation of the exact optimum of one β.

    Args:
        model: a linear-quadratic model of one problem and positive temperature.
        beta: β of the start and the dynamics.
        posterior: infer(model, beta).
        free, clamped: the evaluation of this posterior and of the clamped one.
        with_limits: whether to search for the breakdown.
    """
    blocks, planner = posterior.blocks(), infer(model, 0.0)
    noises, start = believed_noise(model, blocks), believed_start(model, blocks)
    change, edges = _policy_change(posterior, planner), breakdown(model) if with_limits else None
    differs = bool(noises) or start is not None
    problem = model.problem
    if differs:
        parts = [noise_phrase(each, problem) for each in noises[:2]] + ([start_phrase(start, problem)] if start else [])
        sentences = (
            *_belief(beta, parts),
            _policies(beta, change),
            returns_sentence(beta, free, clamped),
            price_sentence(model, beta, free, clamped),
            _evidence(model, beta, posterior, planner, free, clamped),
            *_limits(edges),
        )
    else:
        sentences = (*_no_difference(model, beta, free), *_limits(edges))
    return ContinuousExplanation(
        sentences,
        headline_sentence(beta, free, clamped, differs),
        differs,
        noises,
        start,
        change,
        free,
        clamped,
        edges,
        beta,
    )


def guide_name(beta: float) -> str:
    """The subject of a sentence about the optimum of one β."""
    return "The free guide" if beta == 1 else f"The guide of β = {beta:g}"


def headline_sentence(beta: float, free: Evaluation, clamped: Evaluation, differs: bool) -> str:
    """The finding in one sentence, without its full stop."""
    if not differs:
        both = "free and clamped" if beta == 1 else f"β = {beta:g} and clamped"
        return f"No difference: {both} believe the same and truly earn {amount(free.true_return)}"
    but = "but" if free.imagined_return > free.true_return else "and"
    return (
        f"{guide_name(beta)} imagines {amount(free.imagined_return)} {but} truly earns {amount(free.true_return)}; the "
        f"clamped guide earns {amount(clamped.true_return)}"
    )


def _belief(beta: float, parts: list[str]) -> list[str]:
    first, *others = parts
    luck = "luck" if beta > 0 else "bad luck"
    return [f"{guide_name(beta)} believes in {luck}: {first}.", *(f"It also believes that {each}." for each in others)]


def _policy_change(posterior: GaussianPosterior, planner: GaussianPosterior) -> PolicyChange:
    """The policies at the step at which they are farthest apart, by their KL at the mean state of the clamped guide."""
    own, other = posterior.policy_covariance, planner.policy_covariance
    both = planner.true_marginals()
    mean, spread = both.state_mean[:-1], both.state_covariance[:-1]
    slope, shift = posterior.gain - planner.gain, posterior.offset - planner.offset
    moved = (slope @ mean[..., None])[..., 0] + shift
    square = moved[..., None] * moved[..., None, :] + slope @ spread @ slope.mT
    ratio = torch.linalg.solve(other, own + square)
    kl = ratio.diagonal(dim1=-2, dim2=-1).sum(-1) - torch.logdet(own) + torch.logdet(other)
    t = int(kl.argmax())

    def deviation(covariance: Tensor) -> tuple[float, ...]:
        return tuple(covariance[t].diagonal().sqrt().tolist())

    def gain(K: Tensor) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(row) for row in K[t].tolist())

    return PolicyChange(t, gain(posterior.gain), gain(planner.gain), deviation(own), deviation(other))


def _policies(beta: float, change: PolicyChange) -> str:
    sizes = len(change.gain) * len(change.gain[0])
    if sizes <= _SMALL:
        gains = f"has the gain {_matrix(change.gain)} (clamped {_matrix(change.clamped_gain)})"
    else:
        norms = (math.sqrt(sum(x * x for row in K for x in row)) for K in (change.gain, change.clamped_gain))
        gains = "has a gain of norm {} (clamped {})".format(*map(amount, norms))
    widths = f"{_vector(change.deviation)} (clamped {_vector(change.clamped_deviation)})"
    return f"At t = {change.time}, where the policies differ most, its policy {gains} and the deviation {widths}."


def _matrix(rows: tuple[tuple[float, ...], ...]) -> str:
    return _vector(rows[0]) if len(rows) == 1 else f"[{', '.join(f'[{_entries(row)}]' for row in rows)}]"


def _vector(row: tuple[float, ...]) -> str:
    return amount(row[0]) if len(row) == 1 else f"[{_entries(row)}]"


def _entries(row: tuple[float, ...]) -> str:
    return ", ".join(amount(each) for each in row)


def returns_sentence(beta: float, free: Evaluation, clamped: Evaluation) -> str:
    """What both guides imagine and earn."""
    delusion = free.delusion
    if abs(delusion) <= NOISE * max(1.0, abs(free.true_return)):
        earned = "and truly earns the same"
    elif delusion > 0:
        earned = f"but truly earns {amount(free.true_return)}, a delusion of {amount(delusion)}"
    else:
        earned = f"and truly earns {amount(free.true_return)}, which is {amount(-delusion)} more"
    return (
        f"{guide_name(beta)} imagines a return of {amount(free.imagined_return)} reward units {earned}; the clamped "
        f"guide imagines {amount(clamped.imagined_return)} and truly earns the same."
    )


def price_sentence(model: Any, beta: float, free: Evaluation, clamped: Evaluation) -> str:
    """What the beliefs of the guide cost in the true world."""
    price, belief = clamped.true_return - free.true_return, "Optimism" if beta > 0 else "Pessimism"
    if abs(price) <= NOISE * max(1.0, abs(clamped.true_return)):
        return f"{belief} costs nothing here: both truly earn the same."
    if price > 0:
        return f"{belief} costs {amount(price)} reward units an episode in the true world."
    return (
        f"{belief} costs nothing here: its policy truly earns {amount(-price)} more. At temperature "
        f"{model.temperature:g} the clamped policy is the best trade of return for entropy, not the best return."
    )


def _evidence(
    model: GaussianModel,
    beta: float,
    posterior: GaussianPosterior,
    planner: GaussianPosterior,
    free: Evaluation,
    clamped: Evaluation,
) -> str:
    if beta != 1:
        return (
            f"The best objective J_β is {amount(posterior.objective)} nats at β = {beta:g}, and "
            f"{amount(planner.objective)} at β = 0; the ELBO of this guide is {amount(free.elbo)} nats."
        )
    return (
        f"The free guide reaches the {evidence_name(model)} of {amount(free.elbo)} nats, and no clamped guide an ELBO "
        f"above {amount(clamped.elbo)}: a gap of {amount(free.elbo - clamped.elbo)} nats."
    )


def _limits(edges: Breakdown | None) -> list[str]:
    """The values of β at which there is an optimum, and what is unbounded beyond them."""
    if edges is None:
        return []
    low, high = edges.neurotic, edges.euphoric
    if low.block is None and high.block is None:
        return ["There is an optimum for every β."]
    parts = []
    if low.block is not None:
        parts.append(f"below β* = {amount(low.optimism)} an adversary of {_where(low)} is unbounded")
    if high.block is not None:
        parts.append(f"above β* = {amount(high.optimism)} luck with {_where(high)} has no limit")
    return [f"There is not an optimum for every β: {', and '.join(parts)}."]


def _where(edge: Any) -> str:
    if edge.block == "start":
        return "the start"
    return f"the noise at t = {edge.time}" if edge.block == "dynamics" else f"the action at t = {edge.time}"


def _no_difference(model: GaussianModel, beta: float, found: Evaluation) -> tuple[str, ...]:
    both = "free and clamped inference" if beta == 1 else f"β = {beta:g} and clamped inference"
    problem = model.problem
    if beta == 0:
        reason = "with β = 0 a guide believes in the true dynamics"
    elif not bool(problem.W.any()) and not bool(problem.initial_covariance.any()):
        reason = "nothing is random, so there is no luck to believe in"
    else:
        reason = "no noise is worth more than another, so nothing is won by believing in luck"
    return (
        f"There is no difference between {both}: {reason}.",
        f"Both imagine a return of {amount(found.imagined_return)} reward units and truly earn it.",
        f"Both reach an ELBO of {amount(found.elbo)} nats: a gap of 0.",
    )
