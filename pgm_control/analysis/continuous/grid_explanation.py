"""Explanations of a guide of a problem in the plane or on the line, in sentences with the numbers of its mesh."""

from dataclasses import dataclass
from typing import NamedTuple, final

from torch import Tensor

from ...inference.exact.grid.moments import StateMoments, state_moments
from ...inference.exact.grid.posterior import GridPosterior
from ...text.wording import above_rounding, amount
from ..scores.evaluation import Evaluation
from ..scores.explained import Explained
from .explanation import NOISE, guide_name, headline_sentence, price_sentence, returns_sentence


class BelievedState(NamedTuple):
    """The state at one step, as the guide believes it and as its policy truly reaches it.

    Attributes:
        time: t.
        mean, deviation: of each component of the state, believed.
        true_mean, true_deviation: under the true start and dynamics.
    """

    time: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    true_mean: tuple[float, ...]
    true_deviation: tuple[float, ...]


@final
@dataclass(frozen=True, repr=False)
class GridExplanation(Explained):
    """The result of `explain` for a problem in the plane or on the line. Printing it prints the sentences.

    Attributes:
        sentences: the explanation.
        headline: the finding in one sentence.
        differs: whether the two guides differ.
        dynamics_kl: the expected KL of the believed from the true dynamics by step, in nats.
        initial_kl: the KL of the believed from the true start, in nats.
        state: the state at the step at which belief and truth differ most, in deviations; None if they do not differ.
        free, clamped: the evaluation of each guide at its exact optimum. `free` is the guide that is explained.
        error: by how much the guide's objective changes from a coarser mesh, in nats.
        optimism: β of the guide that is explained.
    """

    sentences: tuple[str, ...]
    headline: str
    differs: bool
    dynamics_kl: tuple[float, ...]
    initial_kl: float
    state: BelievedState | None
    free: Evaluation
    clamped: Evaluation
    error: float
    optimism: float


def explain_on_a_mesh(
    beta: float, posterior: GridPosterior, planner: GridPosterior, free: Evaluation, clamped: Evaluation
) -> GridExplanation:
    """The explanation of the exact optimum of one β.

    Args:
        beta: β of the start and the dynamics.
        posterior, planner: the optimum of this β and that of β = 0, of one model.
        free, clamped: their evaluations.
    """
    account = posterior.account
    moved = account.initial_kl + float(account.dynamics_kl.sum())
    differs = beta != 0 and moved > NOISE * max(1.0, abs(posterior.objective))
    state = _most_different(posterior) if differs else None
    if state is not None:
        sentences = (
            _belief(beta, account.dynamics_kl, account.initial_kl),
            _state(state),
            returns_sentence(beta, free, clamped),
            price_sentence(posterior.model, beta, free, clamped),
            _evidence(beta, posterior, planner, free, clamped),
            _error(posterior),
        )
    else:
        both = "free and clamped inference" if beta == 1 else f"β = {beta:g} and clamped inference"
        sentences = (
            f"There is no difference between {both}: the guide believes in the true dynamics.",
            f"Both imagine a return of {amount(free.imagined_return)} reward units and truly earn it.",
            f"Both reach an ELBO of {amount(free.elbo)} nats: a gap of 0.",
            _error(posterior),
        )
    return GridExplanation(
        sentences=sentences,
        headline=headline_sentence(beta, free, clamped, differs),
        differs=differs,
        dynamics_kl=tuple(account.dynamics_kl.tolist()),
        initial_kl=account.initial_kl,
        state=state,
        free=free,
        clamped=clamped,
        error=posterior.error.objective,
        optimism=beta,
    )


def _belief(beta: float, dynamics_kl: Tensor, initial_kl: float) -> str:
    luck, t = "luck" if beta > 0 else "bad luck", int(dynamics_kl.argmax())
    start = f", and the start by {amount(initial_kl)}" if initial_kl > NOISE else ""
    return (
        f"{guide_name(beta)} believes in {luck}: it changes the dynamics by {amount(float(dynamics_kl.sum()))} nats an "
        f"episode, most at t = {t} ({amount(float(dynamics_kl[t]))} nats){start}."
    )


def _most_different(posterior: GridPosterior) -> BelievedState:
    """The state at the time at which its two means and deviations are farthest apart, in true deviations."""
    start = posterior.model.problem.initial_mean
    believed, true = (state_moments(posterior.mesh, each, start) for each in (posterior.believed, posterior.true))
    spread, true_spread = _deviations(believed), _deviations(true)
    apart = (believed.state_mean - true.state_mean).abs() + (spread - true_spread).abs()
    t = int((apart / true_spread.clamp(min=1e-300)).sum(1).where(true_spread.amin(1) > 0, 0.0).argmax())

    def at(table: Tensor) -> tuple[float, ...]:
        return tuple(table[t].tolist())

    return BelievedState(t, at(believed.state_mean), at(spread), at(true.state_mean), at(true_spread))


def _deviations(found: StateMoments) -> Tensor:
    return found.state_covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()


def _state(each: BelievedState) -> str:
    rows = each.mean, each.deviation, each.true_mean, each.true_deviation
    largest = max(abs(number) for row in rows for number in row)
    mean, deviation, true_mean, true_deviation = (_vector(row, largest) for row in rows)
    return (
        f"At t = {each.time} it expects the state at {mean} with deviation {deviation}; its policy truly reaches "
        f"{true_mean} with {true_deviation}."
    )


def _vector(row: tuple[float, ...], largest: float) -> str:
    words = [amount(above_rounding(number, largest)) for number in row]
    return words[0] if len(words) == 1 else f"({', '.join(words)})"


def _evidence(
    beta: float, posterior: GridPosterior, planner: GridPosterior, free: Evaluation, clamped: Evaluation
) -> str:
    if beta != 1:
        return (
            f"The best objective J_β is {amount(posterior.objective)} nats at β = {beta:g}, and "
            f"{amount(planner.objective)} at β = 0; the ELBO of this guide is {amount(free.elbo)} nats."
        )
    return (
        f"The free guide reaches the log p(O) of {amount(free.elbo)} nats, and no clamped guide an ELBO above "
        f"{amount(clamped.elbo)}: a gap of {amount(free.elbo - clamped.elbo)} nats."
    )


def _error(posterior: GridPosterior) -> str:
    nodes = " × ".join(map(str, posterior.mesh.counts))
    return (
        f"These are the numbers of a mesh of {nodes} nodes, whose objective changes by "
        f"{amount(posterior.error.objective)} nats from a coarser one."
    )
