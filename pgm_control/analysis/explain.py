"""Explanations of why free and clamped inference differ on a problem, in sentences with exact numbers."""

from dataclasses import dataclass
from typing import final, overload

import torch

from ..chance.log_space import expect, relative
from ..chance.optimism import Optimism, OptimismLike
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..runtime.arguments import flag
from ..trajectories.beliefs import Event, tilted_events
from ..trajectories.betas import at_temperatures
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from ..trajectories.gaussian.terms import require_nats
from . import sentences as say
from .continuous.explanation import ContinuousExplanation, explain_continuous
from .continuous.grid_explanation import GridExplanation, explain_on_a_mesh
from .continuous.meshes import HasMesh, has_mesh
from .critical_optimism import CriticalOptimism, critical_optimism
from .evaluate import evaluate
from .scores.evaluation import Evaluation
from .scores.explained import Explained
from .sentences import Choice


@final
@dataclass(frozen=True, repr=False)
class Explanation(Explained):
    """The result of `explain`: sentences and the numbers in them. Printing it prints the sentences.

    Attributes:
        sentences: the explanation.
        headline: the finding in one sentence.
        differs: whether the two guides differ.
        events: the random events that the guide tilts most, one per state, in descending order; empty if none.
        at_start: the first choice of each guide, in the most probable start state.
        choice: the most informative choice: `at_start`, or, if they nearly agree there, the one that differs most.
        flip: the β between 0 and `optimism` at which the preferred action of `choice` changes; None if both prefer the
            same action, or if it was not requested.
        free, clamped: the evaluation of each guide at its exact optimum. `free` is the guide that is explained
            (default: the free guide).
        optimism: β of the guide that is explained.
    """

    sentences: tuple[str, ...]
    headline: str
    differs: bool
    events: tuple[Event, ...]
    at_start: Choice
    choice: Choice
    flip: CriticalOptimism | None
    free: Evaluation
    clamped: Evaluation
    optimism: float = 1.0


@overload
def explain(model: GaussianModel, optimism: OptimismLike = 1.0, *, flip: bool = True) -> ContinuousExplanation: ...
@overload
def explain(model: HasMesh, optimism: OptimismLike = 1.0, *, flip: bool = True) -> GridExplanation: ...
@overload
def explain(model: MarkovModel, optimism: OptimismLike = 1.0, *, flip: bool = True) -> Explanation: ...
def explain(
    model: MarkovModel | GaussianModel | HasMesh, optimism: OptimismLike = 1.0, *, flip: bool = True
) -> Explanation | ContinuousExplanation | GridExplanation:
    r"""Explain the dynamics that a guide believes in, the actions that follow, and their cost in the true world.

    The guide is the exact optimum of $J_\beta$ for one β (default: the free guide); it is compared with the clamped
    guide. All numbers are exact: those of `infer(model, optimism)`, `infer(model, 0.0)`, `evaluate` and
    `critical_optimism`. With a discount, survival is clamped in both.

    Of a linear-quadratic model the sentences say what noise and what start it believes in, how its policy differs, and
    between which β there is an optimum. Of a problem in the plane or on a line they say at which step it changes the
    dynamics most and where it expects the state to be, with the numbers of a mesh, whose error is stated.

    Args:
        model: a model of positive temperature: tabular, linear-quadratic, in the plane or on a line.
        optimism: β of the start and the dynamics, a number, a `Risk`, or an `Optimism` with one number. A guide with a
            negative β believes in bad luck.
        flip: whether to search for the β at which the preferred action changes, which costs about thirty times as
            much as `infer`; of a linear-quadratic model whether to search for its breakdown; of the plane and the
            line it has no effect.

    Raises:
        InvalidArgument: if the temperature is 0, where free inference is not defined, or if `optimism` is not one
            number.
        OptimismBreakdown: if a continuous model has no optimum at this β.
    """
    flip = flag("flip", flip)
    remedy = "For others use scorecard(model, {…: infer(model, optimism)})."
    if is_gaussian(model):
        return _continuous(model, Optimism.of(optimism), flip, remedy)
    if has_mesh(model):
        beta = Optimism.of(optimism).at(model.temperature).number(remedy)
        posterior, planner = infer(model, beta), infer(model, 0.0)
        return explain_on_a_mesh(beta, posterior, planner, evaluate(model, posterior), evaluate(model, planner))
    model = require_model(model, in_nats=True, timed=True)
    beta = at_temperatures(Optimism.of(optimism), model.temperature).number(remedy)
    mdp, posterior, planner = model.mdp, infer(model, beta), infer(model, 0.0)
    free, clamped = evaluate(model, posterior), evaluate(model, planner)
    events = tilted_events(model, posterior)
    log_start = posterior.distribution.log_initial
    start_tilt = float(expect(log_start, relative(log_start, mdp.initial.log())))
    # Differences below the square root of the precision are rounding.
    noise = torch.finfo(mdp.probability.dtype).eps ** 0.5
    tilts = [event.tilt for event in events]
    differs = max(free.elbo - clamped.elbo, start_tilt, *tilts) > noise * max(1.0, abs(free.elbo))
    at_start = _choice(posterior, planner, 0, int(mdp.initial.argmax()))
    farthest = _most_different(posterior, planner)
    alike = at_start.apart < say.NEARLY_ALIKE <= farthest.apart
    telling = farthest if alike and differs else at_start
    flipped = _flip(model, telling, beta) if flip and differs else None
    if differs:
        believed = [say.event_sentence(mdp, event, beta, first=i == 0) for i, event in enumerate(events[:2])]
        if start_tilt > 0.01 * (start_tilt + sum(tilts)):
            believed.append(say.start_sentence(mdp, posterior, beta, first=not events))
        sentences = (
            *believed,
            say.choice_sentence(mdp, at_start, farthest),
            *([] if flipped is None else [say.flip_sentence(mdp, flipped, beta)]),
            say.returns_sentence(free, clamped, beta, noise),
            say.price_sentence(model, free, clamped, beta, noise),
            say.evidence_sentence(posterior, planner, free, clamped),
        )
    else:
        sentences = say.no_difference(model, at_start, free, beta)
    return Explanation(
        sentences=sentences,
        headline=say.headline(beta, free, clamped, differs),
        differs=differs,
        events=events if differs else (),
        at_start=at_start,
        choice=telling,
        flip=flipped,
        free=free,
        clamped=clamped,
        optimism=beta,
    )


@torch.no_grad()
def _continuous(model: GaussianModel, optimism: Optimism, flip: bool, remedy: str) -> ContinuousExplanation:
    """The explanation of a linear-quadratic model."""
    require_nats(model)
    one_problem(model, "an explanation")
    beta = optimism.at(model.temperature).number(remedy)
    posterior = infer(model, beta)
    free, clamped = evaluate(model, posterior), evaluate(model, infer(model, 0.0))
    return explain_continuous(model, beta, posterior, free, clamped, flip)


def _choice(free: Posterior, clamped: Posterior, t: int, state: int) -> Choice:
    return Choice(t, state, tuple(free.policy[t, state].tolist()), tuple(clamped.policy[t, state].tolist()))


def _most_different(free: Posterior, clamped: Posterior) -> Choice:
    """The choice where the policies differ most, weighted by the visits that the two guides imagine."""
    apart = (free.policy - clamped.policy).abs().amax(-1)
    visited = (free.marginals().state + clamped.marginals().state)[:-1] / 2
    return _choice(free, clamped, *divmod(int((visited * apart).argmax()), apart.shape[1]))


def _flip(model: MarkovModel, choice: Choice, optimism: float) -> CriticalOptimism | None:
    """The β at which the preferred action changes; None if both prefer the same action, or nearly agree."""
    if choice.apart < say.NEARLY_ALIKE or choice.free.index(max(choice.free)) == choice.clamped.index(
        max(choice.clamped)
    ):
        return None
    try:
        return critical_optimism(model, choice.state, choice.time, between=(0.0, optimism))
    except InvalidArgument:  # the actions are equal up to rounding at one of the two β
        return None
