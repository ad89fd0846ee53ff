"""The sentences of an explanation."""

import math
from dataclasses import dataclass
from typing import final

from ..inference.exact.posterior import Posterior
from ..problems.mdp import TabularMDP
from ..text.wording import action_phrase, amount, chance, reward_phrase, state_phrase
from ..trajectories.action_measure import evidence_name
from ..trajectories.beliefs import Event, Outcome
from ..trajectories.blocks import MarkovModel
from ..trajectories.steps import temperature_at, temperature_words
from .critical_optimism import CriticalOptimism
from .scores.evaluation import Evaluation

NEARLY_ALIKE = 0.01  # largest difference in the probability of an action
_ALIKE = 1e-6
_NAMED = 4  # the most equally good actions that are named


@final
@dataclass(frozen=True)
class Choice:
    """The choices of the two guides in one state at one step.

    Attributes:
        time, state: the step and the state.
        free, clamped: the probabilities of the actions at the exact optimum of the explained and of the clamped guide.
    """

    time: int
    state: int
    free: tuple[float, ...]
    clamped: tuple[float, ...]

    @property
    def change(self) -> tuple[float, ...]:
        """Free minus clamped probability, by action."""
        return tuple(f - c for f, c in zip(self.free, self.clamped, strict=True))

    @property
    def apart(self) -> float:
        """The largest difference in the probability of an action."""
        return max(map(abs, self.change))


def guide_phrase(optimism: float) -> str:
    """The name of the guide that is compared with the clamped one."""
    return "The free guide" if optimism == 1 else f"The guide of β = {optimism:g}"


def headline(optimism: float, free: Evaluation, clamped: Evaluation, differs: bool) -> str:
    """The main result in one sentence, without the full stop."""
    if not differs:
        both = "free and clamped" if optimism == 1 else f"β = {optimism:g} and clamped"
        return f"No difference: {both} believe the same and truly earn {amount(free.true_return)}"
    return (
        f"{guide_phrase(optimism)} imagines {amount(free.imagined_return)} {_but(free)} truly earns "
        f"{amount(free.true_return)}; the clamped guide earns {amount(clamped.true_return)}"
    )


def event_sentence(mdp: TabularMDP, event: Event, optimism: float, first: bool) -> str:
    """The sentence on the believed and the true probabilities of one random event."""
    verb = "pays" if len({outcome.successor for outcome in event.outcomes}) == 1 else "leads"
    averaged = " (averaged over an episode)" if mdp.horizon > 1 else ""
    belief = "luck" if optimism > 0 else "bad luck"
    text = f"{guide_phrase(optimism)} believes in {belief}{averaged}:" if first else "It also believes that"
    text += f" {action_phrase(mdp, event.action)} in {state_phrase(mdp, event.state)} {verb} "
    text += f"{_outcome_phrase(mdp, event, event.raised)} with probability {chance(event.raised.believed)}"
    text += f" (truly {chance(event.raised.true)})"
    if len(event.outcomes) > 2 and event.denied.believed < event.denied.true:
        text += (
            f", and {_outcome_phrase(mdp, event, event.denied)} only with probability {chance(event.denied.believed)}"
        )
        text += f" (truly {chance(event.denied.true)})"
    return text + "."


def start_sentence(mdp: TabularMDP, posterior: Posterior, optimism: float, first: bool) -> str:
    """The sentence on the believed and the true probability of a start state."""
    state = int((posterior.initial - mdp.initial).argmax())
    belief = "a lucky start" if optimism > 0 else "an unlucky start"
    opening = f"{guide_phrase(optimism)} believes in {belief}" if first else f"It believes in {belief} as well"
    chances = f"{chance(float(posterior.initial[state]))} (truly {chance(float(mdp.initial[state]))})"
    return f"{opening}: {state_phrase(mdp, state)} comes with probability {chances}."


def choice_sentence(mdp: TabularMDP, at_start: Choice, farthest: Choice) -> str:
    """The sentence on the first choice of both guides or, if they nearly agree, on where they differ most."""
    place = _start_phrase(mdp, at_start.state)
    if at_start.apart >= NEARLY_ALIKE:
        return f"{place} it therefore chooses {_choices(mdp, at_start)}"
    if farthest.apart <= _ALIKE:
        return f"{place} the two choose alike, and so they do everywhere."
    alike = f"{place} the two choose alike to within {chance(max(at_start.apart, _ALIKE))}"
    if farthest.apart < NEARLY_ALIKE:
        return f"{alike}; where they differ most, they do so by {chance(farthest.apart)}."
    there = f"they differ most in {state_phrase(mdp, farthest.state)} at t = {farthest.time}"
    return f"{alike}; {there}. There it chooses {_choices(mdp, farthest)}"


def flip_sentence(mdp: TabularMDP, flip: CriticalOptimism, optimism: float) -> str:
    """The sentence on the β at which the preferred action changes."""
    before, after = (action_phrase(mdp, action) for action in (flip.before, flip.after))
    end = "1 (free)" if optimism == 1 else f"{optimism:g}"
    return (
        f"Between β = 0 (clamped) and {end} the preferred action flips from {before} to {after} "
        f"at β = {flip.optimism:.3g}."
    )


def returns_sentence(free: Evaluation, clamped: Evaluation, optimism: float, noise: float) -> str:
    """The sentence on the imagined and the true return of each guide, in reward units."""
    delusion = free.delusion
    if abs(delusion) <= noise * max(1.0, min(abs(free.imagined_return), abs(free.true_return))):
        earned = "and truly earns the same"
    elif delusion > 0:
        earned = f"but truly earns {amount(free.true_return)}, a delusion of {amount(delusion)}"
    else:
        earned = f"and truly earns {amount(free.true_return)}, which is {amount(-delusion)} more"
    return (
        f"{guide_phrase(optimism)} imagines a return of {amount(free.imagined_return)} reward units {earned}; "
        f"the clamped guide imagines {amount(clamped.imagined_return)} and truly earns the same."
    )


def price_sentence(model: MarkovModel, free: Evaluation, clamped: Evaluation, optimism: float, noise: float) -> str:
    """The sentence on the cost of the belief in the true world."""
    price = clamped.true_return - free.true_return
    belief = "Optimism" if optimism > 0 else "Pessimism"
    policy = "the free policy" if optimism == 1 else "its policy"
    if not math.isfinite(clamped.true_return):
        return "No policy is safe here: a forbidden outcome cannot be avoided in the true world."
    if not math.isfinite(price):
        return f"The price of {belief.lower()} is infinite: {policy} may reach a forbidden outcome in the true world."
    if abs(price) <= noise * max(1.0, abs(clamped.true_return)):
        return f"{belief} costs nothing here: both truly earn the same."
    if price > 0:
        return f"{belief} costs {amount(price)} reward units an episode in the true world."
    return (
        f"{belief} costs nothing here: {policy} truly earns {amount(-price)} more. At temperature "
        f"{temperature_words(model)} the clamped policy is the best trade of return for entropy, not the best return."
    )


def evidence_sentence(posterior: Posterior, planner: Posterior, free: Evaluation, clamped: Evaluation) -> str:
    """The sentence on the ELBO or objective of each guide, in nats."""
    mdp, beta, tau = posterior.model.mdp, posterior.optimism.initial, temperature_at(posterior.model, 0)
    if beta != 1:
        return (
            f"The best objective J_β is {amount(posterior.value / tau)} nats at β = {beta:g}, and "
            f"{amount(planner.value / tau)} at β = 0; the ELBO of this guide is {amount(free.elbo)} nats."
        )
    bound = _bound(posterior.model, 1.0)
    return (
        f"The free guide reaches {bound} {amount(free.elbo)} nats, and no clamped guide an ELBO above "
        f"{amount(clamped.elbo)}: a gap of {amount(free.elbo - clamped.elbo)} nats."
        + ("" if mdp.discount == 1 else " Both leave survival alone; a guide that freed it too would reach more.")
    )


def no_difference(model: MarkovModel, at_start: Choice, found: Evaluation, optimism: float) -> tuple[str, ...]:
    """The sentences of an explanation in which the two guides agree, with the reason first."""
    mdp = model.mdp
    both = "free and clamped inference" if optimism == 1 else f"β = {optimism:g} and clamped inference"
    return (
        f"There is no difference between {both}: {_reason(mdp, optimism)}.",
        f"{_start_phrase(mdp, at_start.state)} both choose {_likeliest(mdp, at_start.free)}.",
        f"Both imagine a return of {amount(found.imagined_return)} reward units and truly earn it.",
        f"Both reach {_bound(model, optimism)} {amount(found.elbo)} nats: a gap of 0.",
    )


def _reason(mdp: TabularMDP, optimism: float) -> str:
    if optimism == 0:
        return "with β = 0 a guide believes in the true dynamics"
    if not bool(((mdp.probability > 0).sum(-1) == 1).all()):
        return "no outcome of a random event is worth more than another, so nothing is won by believing in luck"
    alike = "" if int((mdp.initial > 0).sum()) == 1 else " and no start is worth more than another"
    return f"the dynamics are deterministic{alike}, so there is no luck to believe in"


def _likeliest(mdp: TabularMDP, probabilities: tuple[float, ...]) -> str:
    best = max(probabilities)
    tied = [action_phrase(mdp, a) for a, each in enumerate(probabilities) if each >= best - _ALIKE]
    if len(tied) == 1:
        return f"{tied[0]} with probability {chance(best)}"
    named = f"{', '.join(tied[:-1])} or {tied[-1]}" if len(tied) <= _NAMED else f"any of {len(tied)} actions"
    return f"{named} with probability {chance(best)} each"


def _start_phrase(mdp: TabularMDP, state: int) -> str:
    """The phrase for the start state, the most probable one if there are several."""
    sure = int((mdp.initial > 0).sum()) == 1
    return f"At the start, in {state_phrase(mdp, state)}," if sure else f"Starting in {state_phrase(mdp, state)},"


def _choices(mdp: TabularMDP, choice: Choice) -> str:
    """The phrase on the two actions whose probability rises and falls most from the clamped guide to this one."""
    more, less = choice.change.index(max(choice.change)), choice.change.index(min(choice.change))
    named = action_phrase(mdp, more), action_phrase(mdp, less)
    return (
        f"{named[0]} with probability {chance(choice.free[more])} and {named[1]} with {chance(choice.free[less])}; "
        f"the clamped guide, which takes luck as it comes, chooses {named[0]} with probability "
        f"{chance(choice.clamped[more])} and {named[1]} with {chance(choice.clamped[less])}."
    )


def _outcome_phrase(mdp: TabularMDP, event: Event, outcome: Outcome) -> str:
    """The phrase `to state "at home" (reward 8)`, or the reward alone if every outcome leads to the same state."""
    if len({each.successor for each in event.outcomes}) == 1:
        return amount(outcome.reward)
    target = f"to {state_phrase(mdp, outcome.successor)}"
    return (
        target if len({each.reward for each in event.outcomes}) == 1 else f"{target} ({reward_phrase(outcome.reward)})"
    )


def _bound(model: MarkovModel, optimism: float) -> str:
    return f"{evidence_name(model)} =" if model.mdp.discount == 1 and optimism == 1 else "an ELBO of"


def _but(found: Evaluation) -> str:
    return "but" if found.imagined_return > found.true_return else "and"
