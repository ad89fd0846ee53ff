"""Why free and clamped inference differ on a problem, in plain sentences with exact numbers."""

import math
from dataclasses import dataclass
from typing import final

import torch

from ._blocks import MarkovModel, require_model
from ._dice import Die, Face, tilted_dice
from ._elbo import expect, relative
from ._evaluate import Evaluation, evaluate
from ._infer import infer
from ._mdp import TabularMDP
from ._posterior import Posterior
from ._wording import action_phrase, amount, chance, reward_phrase, state_phrase

_NEARLY_ALIKE = 0.01  # difference in the probability of an action
_ALIKE = 1e-6


@final
@dataclass(frozen=True)
class Choice:
    """What the two do in one state at one step.

    Attributes:
        time, state: where.
        free, clamped: probabilities of the actions, at the exact optimum of each guide.
    """

    time: int
    state: int
    free: tuple[float, ...]
    clamped: tuple[float, ...]

    @property
    def change(self) -> tuple[float, ...]:
        """Free minus clamped, an action."""
        return tuple(f - c for f, c in zip(self.free, self.clamped, strict=True))

    @property
    def apart(self) -> float:
        """The largest difference that any action sees."""
        return max(map(abs, self.change))


@final
@dataclass(frozen=True)
class Explanation:
    """Sentences, and the numbers that stand in them. Printing it prints the sentences.

    Attributes:
        sentences: the explanation.
        headline: the finding in one sentence.
        differs: False where free and clamped inference agree.
        dice: those that the free guide tilts the most, one a state, the most tilted first; empty if none.
        at_start: what each does first, in the most probable start.
        choice: the choice to look at: `at_start`, or, if they nearly agree there, where they differ the most.
        free, clamped: what each imagines, truly earns, and reaches as an ELBO, at its exact optimum.
    """

    sentences: tuple[str, ...]
    headline: str
    differs: bool
    dice: tuple[Die, ...]
    at_start: Choice
    choice: Choice
    free: Evaluation
    clamped: Evaluation

    @property
    def price_of_optimism(self) -> float:
        """True return of the clamped minus that of the free guide, in reward units."""
        return self.clamped.true_return - self.free.true_return

    @property
    def gap(self) -> float:
        """ELBO of the free minus that of the clamped guide, in nats; never negative."""
        return self.free.elbo - self.clamped.elbo

    def __str__(self) -> str:
        """The sentences, one a line."""
        return "\n".join(self.sentences)


def explain(model: MarkovModel) -> Explanation:
    """Say which dice the free guide believes in, what it does about it, and what that costs in the true world.

    All numbers are exact: those of `infer(model, 1.0)`, `infer(model, 0.0)` and `evaluate`. With a discount, survival
    is clamped in both.

    Raises:
        InvalidArgument: at temperature 0, where free inference is not defined.
    """
    require_model(model, in_nats=True)
    mdp, posterior, planner = model.mdp, infer(model, 1.0), infer(model, 0.0)
    free, clamped = evaluate(model, posterior), evaluate(model, planner)
    dice = tilted_dice(model, posterior)
    log_start = posterior.factors.log_initial
    start_tilt = float(expect(log_start, relative(log_start, mdp.initial.log())))
    # Differences below the square root of the precision are rounding.
    noise = torch.finfo(mdp.probability.dtype).eps ** 0.5
    tilts = [die.tilt for die in dice]
    differs = max(free.elbo - clamped.elbo, start_tilt, *tilts) > noise * max(1.0, abs(free.elbo))
    at_start = _choice(posterior, planner, 0, int(mdp.initial.argmax()))
    farthest = _most_different(posterior, planner)
    telling = at_start if at_start.apart >= _NEARLY_ALIKE or farthest.apart < _NEARLY_ALIKE else farthest
    if differs:
        believed = [_die_sentence(mdp, die, first=i == 0) for i, die in enumerate(dice[:2])]
        if start_tilt > 0.01 * (start_tilt + sum(tilts)):
            believed.append(_start_sentence(mdp, posterior, first=not dice))
        sentences = (
            *believed,
            _choice_sentence(mdp, at_start, farthest),
            _returns(free, clamped),
            _price(model, free, clamped, noise),
            _evidence(mdp, free, clamped),
        )
    else:
        sentences = _no_difference(mdp, at_start, free)
    return Explanation(
        sentences=sentences,
        headline=_headline(free, clamped, differs),
        differs=differs,
        dice=dice if differs else (),
        at_start=at_start,
        choice=telling if differs else at_start,
        free=free,
        clamped=clamped,
    )


def face_phrase(mdp: TabularMDP, die: Die, face: Face) -> str:
    """`to state "at home" (reward 8)`; where every face leads to the same state, the reward alone."""
    if len({each.successor for each in die.faces}) == 1:
        return amount(face.reward)
    target = f"to {state_phrase(mdp, face.successor)}"
    return target if len({each.reward for each in die.faces}) == 1 else f"{target} ({reward_phrase(face.reward)})"


def _die_sentence(mdp: TabularMDP, die: Die, first: bool) -> str:
    verb = "pays" if len({face.successor for face in die.faces}) == 1 else "leads"
    averaged = " (averaged over an episode)" if mdp.horizon > 1 else ""
    text = f"The free guide believes in luck{averaged}:" if first else "It also believes that"
    text += f" {action_phrase(mdp, die.action)} in {state_phrase(mdp, die.state)} {verb} "
    text += f"{face_phrase(mdp, die, die.raised)} with probability {chance(die.raised.believed)}"
    text += f" (truly {chance(die.raised.true)})"
    if len(die.faces) > 2 and die.denied.believed < die.denied.true:
        text += f", and {face_phrase(mdp, die, die.denied)} only with probability {chance(die.denied.believed)}"
        text += f" (truly {chance(die.denied.true)})"
    return text + "."


def _start_sentence(mdp: TabularMDP, posterior: Posterior, first: bool) -> str:
    state = int((posterior.initial - mdp.initial).argmax())
    opening = "The free guide believes in a lucky start" if first else "It believes in a lucky start as well"
    chances = f"{chance(float(posterior.initial[state]))} (truly {chance(float(mdp.initial[state]))})"
    return f"{opening}: {state_phrase(mdp, state)} comes with probability {chances}."


def _choice(free: Posterior, clamped: Posterior, t: int, state: int) -> Choice:
    return Choice(t, state, tuple(free.policy[t, state].tolist()), tuple(clamped.policy[t, state].tolist()))


def _most_different(free: Posterior, clamped: Posterior) -> Choice:
    """Where the policies differ the most, weighted by how often the two imagine to be there."""
    apart = (free.policy - clamped.policy).abs().amax(-1)
    visited = (free.state_marginals() + clamped.state_marginals())[:-1] / 2
    return _choice(free, clamped, *divmod(int((visited * apart).argmax()), apart.shape[1]))


def _choice_sentence(mdp: TabularMDP, at_start: Choice, farthest: Choice) -> str:
    place = f"At the start, in {state_phrase(mdp, at_start.state)},"
    if at_start.apart >= _NEARLY_ALIKE:
        return f"{place} it therefore chooses {_choices(mdp, at_start)}"
    if farthest.apart <= _ALIKE:
        return f"{place} the two choose alike, and so they do everywhere."
    alike = f"{place} the two choose alike to within {chance(max(at_start.apart, _ALIKE))}"
    if farthest.apart < _NEARLY_ALIKE:
        return f"{alike}; where they differ most, they do so by {chance(farthest.apart)}."
    there = f"they differ most in {state_phrase(mdp, farthest.state)} at t = {farthest.time}"
    return f"{alike}; {there}. There it chooses {_choices(mdp, farthest)}"


def _choices(mdp: TabularMDP, choice: Choice) -> str:
    """The action that the free guide prefers more than the clamped one does, and the one it prefers less."""
    more, less = choice.change.index(max(choice.change)), choice.change.index(min(choice.change))
    named = action_phrase(mdp, more), action_phrase(mdp, less)
    return (
        f"{named[0]} with probability {chance(choice.free[more])} and {named[1]} with {chance(choice.free[less])}; "
        f"the clamped guide, which leaves the dice alone, chooses {named[0]} with probability "
        f"{chance(choice.clamped[more])} and {named[1]} with {chance(choice.clamped[less])}."
    )


def _returns(free: Evaluation, clamped: Evaluation) -> str:
    return (
        f"The free guide imagines a return of {amount(free.imagined_return)} {_but(free)} truly earns "
        f"{amount(free.true_return)}, a delusion of {amount(free.delusion)}; the clamped guide imagines "
        f"{amount(clamped.imagined_return)} and truly earns the same."
    )


def _price(model: MarkovModel, free: Evaluation, clamped: Evaluation, noise: float) -> str:
    price = clamped.true_return - free.true_return
    if not math.isfinite(clamped.true_return):
        return "No policy is safe here: a forbidden outcome cannot be avoided in the true world."
    if not math.isfinite(price):
        return "The price of optimism is infinite: the free policy may meet a forbidden outcome in the true world."
    if abs(price) <= noise * max(1.0, abs(clamped.true_return)):
        return "Optimism costs nothing here: both truly earn the same."
    if price > 0:
        return f"The price of optimism is {amount(price)} of true return an episode."
    return (
        f"Optimism costs nothing here: the free policy truly earns {amount(-price)} more. At temperature "
        f"{model.temperature:g} the clamped policy is the best trade of return for entropy, not the best return."
    )


def _evidence(mdp: TabularMDP, free: Evaluation, clamped: Evaluation) -> str:
    return (
        f"The free guide reaches {_bound(mdp)} {amount(free.elbo)} nats, and no clamped guide an ELBO above "
        f"{amount(clamped.elbo)}: a gap of {amount(free.elbo - clamped.elbo)} nats."
        + ("" if mdp.discount == 1 else " Both leave survival alone; a guide that freed it too would reach more.")
    )


def _bound(mdp: TabularMDP) -> str:
    return "log p(O) =" if mdp.discount == 1 else "an ELBO of"


def _no_difference(mdp: TabularMDP, at_start: Choice, found: Evaluation) -> tuple[str, ...]:
    reason = (
        "no die has more than one face, so there is no luck to believe in"
        if bool(((mdp.probability > 0).sum(-1) == 1).all())
        else "no face of any die that is thrown is worth more than another, so nothing is won by believing in luck"
    )
    place, likeliest = state_phrase(mdp, at_start.state), max(at_start.free)
    action = action_phrase(mdp, at_start.free.index(likeliest))
    return (
        f"There is no difference between free and clamped inference: {reason}.",
        f"At the start, in {place}, both choose {action} with probability {chance(likeliest)}.",
        f"Both imagine a return of {amount(found.imagined_return)} and truly earn it.",
        f"Both reach {_bound(mdp)} {amount(found.elbo)} nats: a gap of 0.",
    )


def _headline(free: Evaluation, clamped: Evaluation, differs: bool) -> str:
    if not differs:
        return f"No difference: free and clamped believe the same and truly earn {amount(free.true_return)}"
    return (
        f"The free guide imagines {amount(free.imagined_return)} {_but(free)} truly earns {amount(free.true_return)}; "
        f"the clamped guide earns {amount(clamped.true_return)}"
    )


def _but(found: Evaluation) -> str:
    return "but" if found.imagined_return > found.true_return else "and"
