"""Why free and clamped inference differ on a problem, in plain sentences with exact numbers."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ._blocks import HasBlocks, MarkovModel
from ._elbo import expect, relative
from ._errors import InvalidArgument
from ._evaluate import Evaluation, evaluate
from ._forward import occupancy
from ._infer import infer
from ._mdp import TabularMDP
from ._posterior import Posterior
from ._wording import action_phrase, amount, chance, state_phrase

_MOST_DICE = 3


@final
@dataclass(frozen=True)
class Face:
    """One thing that can happen: outcomes that lead to the same state with the same reward are one face.

    Attributes:
        successor: the state it leads to.
        reward: what it pays, in reward units.
        true: its probability.
        believed: the probability that a guide gives it.
    """

    successor: int
    reward: float
    true: float
    believed: float


@final
@dataclass(frozen=True)
class Die:
    """What a guide believes of doing an action in a state, averaged over the steps at which it expects to do so.

    Attributes:
        state, action: which die.
        throws: how often the guide expects to throw it in an episode.
        tilt: expected KL of the believed from the true die, summed over the episode, in nats.
        faces: what can happen, the most raised first.
    """

    state: int
    action: int
    throws: float
    tilt: float
    faces: tuple[Face, ...]

    @property
    def raised(self) -> Face:
        """The face whose probability is raised the most."""
        return self.faces[0]

    @property
    def denied(self) -> Face:
        """The face that the guide leaves the most surprising to meet in truth, by p log p/q."""
        return max(self.faces, key=lambda face: face.true * math.log(face.true / max(face.believed, 1e-300)))


@final
@dataclass(frozen=True)
class Explanation:
    """Sentences, and the numbers that stand in them. Printing it prints the sentences.

    Attributes:
        sentences: the explanation.
        headline: the finding in one sentence.
        differs: False where free and clamped inference agree.
        dice: those that the free guide tilts the most, one a state, the most tilted first; empty if none.
        start: the most probable start.
        free_start, clamped_start: what each does first there: probabilities of the actions.
        free, clamped: what each imagines, truly earns, and reaches as an ELBO, at its exact optimum.
    """

    sentences: tuple[str, ...]
    headline: str
    differs: bool
    dice: tuple[Die, ...]
    start: int
    free_start: tuple[float, ...]
    clamped_start: tuple[float, ...]
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
    if model.temperature == 0:
        raise InvalidArgument(
            "`temperature` of the model must be positive to compare free with clamped inference, but is 0. "
            "Take a small one instead, such as 0.1."
        )
    mdp, posterior, planner = model.mdp, infer(model, 1.0), infer(model, 0.0)
    free, clamped = evaluate(model, posterior), evaluate(model, planner)
    dice = tilted_dice(model, posterior)
    start_tilt = float(expect(posterior.factors.log_initial, _start_relative(model, posterior)))
    # Differences below the square root of the precision are rounding.
    noise = torch.finfo(mdp.probability.dtype).eps ** 0.5 * max(1.0, abs(free.elbo))
    differs = not max(free.elbo - clamped.elbo, start_tilt, *(die.tilt for die in dice), 0.0) <= noise
    start = int(mdp.initial.argmax())
    actions = tuple(posterior.policy[0, start].tolist()), tuple(planner.policy[0, start].tolist())
    if differs:
        believed = [_die_sentence(mdp, die, first=i == 0) for i, die in enumerate(dice[:2])]
        if start_tilt > 0.01 * (start_tilt + sum(die.tilt for die in dice)):
            believed.append(_start_sentence(model, posterior, first=not dice))
        sentences = (*believed, _choice_sentence(mdp, start, *actions), *_account(model, free, clamped))
    else:
        sentences = _no_difference(model, start, actions[0], free)
    return Explanation(sentences, _headline(free, clamped, differs), differs, dice, start, *actions, free, clamped)


def tilted_dice(model: MarkovModel, guide: HasBlocks) -> tuple[Die, ...]:
    """The dice that the guide tilts the most, at most one a state, the largest expected KL from the truth first."""
    with torch.no_grad():
        blocks, truth = guide.blocks(), model.blocks()
        visits = occupancy(blocks, model.mdp).outcome.sum(-1)
        kl = expect(blocks.log_dynamics, relative(blocks.log_dynamics, truth.log_dynamics))
        tilt = (visits * torch.where(visits > 0, kl, 0.0)).sum(0)
    most, action = tilt.max(-1)
    largest, states = most.topk(min(_MOST_DICE, len(most)))
    worth = largest > max(1e-3 * float(largest[0]), 100 * torch.finfo(tilt.dtype).eps)
    return tuple(believed_die(model, guide, int(s), int(action[s])) for s in states[worth])


def believed_die(model: MarkovModel, guide: HasBlocks, state: int, action: int) -> Die:
    """What a guide believes of one die. One that it never throws is given as it believes it at the first step."""
    mdp = model.mdp
    with torch.no_grad():
        blocks = guide.blocks()
        log_q, log_p = blocks.log_dynamics[:, state, action], mdp.probability[state, action].log()
        joint = occupancy(blocks, mdp).outcome[:, state, action]
        throws = joint.sum(-1)
        kl = expect(log_q, relative(log_q, log_p.expand_as(log_q)))
        believed = joint.sum(0) / throws.sum() if throws.sum() > 0 else log_q[0].exp()
    faces: dict[tuple[int, float], list[float]] = {}
    for k in range(mdp.num_outcomes):
        true = float(mdp.probability[state, action, k])
        if true > 0:
            key = int(mdp.successor[state, action, k]), float(mdp.reward[state, action, k])
            sums = faces.setdefault(key, [0.0, 0.0])
            sums[0] += true
            sums[1] += float(believed[k])
    found = [Face(*key, *sums) for key, sums in faces.items()]
    found.sort(key=lambda face: face.true - face.believed)
    return Die(state, action, float(throws.sum()), float((throws * kl).sum()), tuple(found))


def _start_relative(model: MarkovModel, posterior: Posterior) -> Float[Tensor, " state"]:
    return relative(posterior.factors.log_initial, model.mdp.initial.log())


def face_phrase(mdp: TabularMDP, die: Die, face: Face) -> str:
    """`to state "at home" (reward 8)`; where every face leads to the same state, the reward alone."""
    if len({each.successor for each in die.faces}) == 1:
        return amount(face.reward)
    target = f"to {state_phrase(mdp, face.successor)}"
    return target if len({each.reward for each in die.faces}) == 1 else f"{target} (reward {amount(face.reward)})"


def _die_sentence(mdp: TabularMDP, die: Die, first: bool) -> str:
    verb = "pays" if len({face.successor for face in die.faces}) == 1 else "leads"
    averaged = ", averaged over an episode," if mdp.horizon > 1 and first else ""
    opening = f"The free guide believes in luck{averaged or ':'} that" if first else "It also believes that"
    opening = opening.replace(": that", ":")
    belief = f"with probability {chance(die.raised.believed)} (truly {chance(die.raised.true)})"
    text = f"{opening} {action_phrase(mdp, die.action)} in {state_phrase(mdp, die.state)} {verb} "
    text += f"{face_phrase(mdp, die, die.raised)} {belief}"
    if len(die.faces) > 2 and die.denied.believed < die.denied.true:
        denied = die.denied
        text += f", and {face_phrase(mdp, die, denied)} only with probability {chance(denied.believed)}"
        text += f" (truly {chance(denied.true)})"
    return text + "."


def _start_sentence(model: MarkovModel, posterior: Posterior, first: bool) -> str:
    rise = posterior.initial - model.mdp.initial
    state = int(rise.argmax())
    opening = "The free guide believes in a lucky start" if first else "It believes in a lucky start as well"
    chances = f"{chance(float(posterior.initial[state]))} (truly {chance(float(model.mdp.initial[state]))})"
    return f"{opening}: {state_phrase(model.mdp, state)} comes with probability {chances}."


def _choice_sentence(mdp: TabularMDP, start: int, free: tuple[float, ...], clamped: tuple[float, ...]) -> str:
    change = [f - c for f, c in zip(free, clamped, strict=True)]
    more, less = change.index(max(change)), change.index(min(change))
    place = f"At the start, in {state_phrase(mdp, start)},"
    if max(map(abs, change)) < 0.01:
        apart = chance(max(map(abs, change)))
        return f"{place} the two still choose nearly alike: no probability of an action differs by more than {apart}."
    named = action_phrase(mdp, more), action_phrase(mdp, less)
    return (
        f"{place} it therefore chooses {named[0]} with probability {chance(free[more])} and {named[1]} with "
        f"{chance(free[less])}; the clamped guide, which leaves the dice alone, chooses {named[0]} with probability "
        f"{chance(clamped[more])} and {named[1]} with {chance(clamped[less])}."
    )


def _account(model: MarkovModel, free: Evaluation, clamped: Evaluation) -> tuple[str, str, str]:
    price = clamped.true_return - free.true_return
    returns = (
        f"The free guide imagines a return of {amount(free.imagined_return)} but truly earns "
        f"{amount(free.true_return)}, a delusion of {amount(free.delusion)}; the clamped guide imagines "
        f"{amount(clamped.imagined_return)} and truly earns the same."
    )
    if price > 0:
        cost = f"The price of optimism is {amount(price)} of true return an episode."
    else:
        cost = (
            f"Optimism costs nothing here: the free policy truly earns {amount(-price)} more. At temperature "
            f"{model.temperature:g} the clamped policy is the best trade of return for entropy, not the best return."
        )
    free_bound = "log p(O) =" if model.mdp.discount == 1 else "an ELBO of"
    evidence = (
        f"The free guide reaches {free_bound} {amount(free.elbo)} nats, and no clamped guide an ELBO above "
        f"{amount(clamped.elbo)}: a gap of {amount(free.elbo - clamped.elbo)} nats."
    )
    return returns, cost, evidence


def _no_difference(
    model: MarkovModel, start: int, policy: tuple[float, ...], found: Evaluation
) -> tuple[str, str, str, str]:
    mdp = model.mdp
    reason = (
        "no die has more than one face, so there is no luck to believe in"
        if bool(((mdp.probability > 0).sum(-1) == 1).all())
        else "no face of any die that is thrown is worth more than another, so nothing is won by believing in luck"
    )
    best = policy.index(max(policy))
    return (
        f"There is no difference between free and clamped inference: {reason}.",
        f"At the start, in {state_phrase(mdp, start)}, both choose {action_phrase(mdp, best)} with probability "
        f"{chance(policy[best])}.",
        f"Both imagine a return of {amount(found.imagined_return)} and truly earn it.",
        f"Both reach {'log p(O) =' if mdp.discount == 1 else 'an ELBO of'} {amount(found.elbo)} nats: a gap of 0.",
    )


def _headline(free: Evaluation, clamped: Evaluation, differs: bool) -> str:
    if not differs:
        return f"No difference: free and clamped believe the same and truly earn {amount(free.true_return)}"
    joined = "but" if free.imagined_return > free.true_return else "and"
    return (
        f"The free guide imagines {amount(free.imagined_return)} {joined} truly earns {amount(free.true_return)}; "
        f"the clamped guide earns {amount(clamped.true_return)}"
    )
