"""The temperature at which a policy earns a given share of the best return, or has a given entropy."""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Bool
from torch import Tensor

from ..chance.log_space import expect
from ..chance.optimism import OptimismLike
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..models.tabular import model_like
from ..problems.feasible import counting_measure
from ..problems.mdp import TabularMDP
from ..runtime.arguments import finite, positive, whole
from ..runtime.progress import Progress, require_progress, silent
from ..text.one_line import one_line
from ..text.wording import amount
from ..trajectories.blocks import MarkovModel, require_model
from .evaluate import expected_return, true_return, true_visits

_LOWEST, _HIGHEST = 1e-6, 1e4  # of the scan, in units of the largest reward; the highest also times the horizon
_STEPS, _TOLERANCE = 10, 1e-6  # temperatures of the scan in each decade; width of the bracket, relative


@final
@dataclass(frozen=True)
class ChosenTemperature:
    """The result of `temperature_for`; `float(…)` is the temperature.

    Attributes:
        temperature: τ, in reward units per nat: the lower end of the bracket.
        bracket: two temperatures: the first meets the condition and the second does not.
        scanned: the lowest and the highest temperature of the scan, which went down and stopped at the first that meets
            the condition.
        step: the ratio of neighbouring temperatures of the scan. The return need not be monotone in τ, in particular
            under optimism: above the bracket, an interval narrower than this may meet the condition unseen.
        true_return: the true return of the optimal policy at τ, in reward units.
        share_of_best: where this return lies between that of the action prior, 0, and that of the best policy, 1; nan
            if these two are equal or infinite.
        entropy: the entropy of the policy, averaged over the decisions of true trajectories, in nats. A state whose
            allowed actions have equal outcomes, such as the end of an episode, is not a decision.
        prior_return, best_return: the true returns of the action prior and of the best policy (temperature 0, optimism
            0), in reward units.
    """

    temperature: float
    bracket: tuple[float, float]
    scanned: tuple[float, float]
    step: float
    true_return: float
    share_of_best: float
    entropy: float
    prior_return: float
    best_return: float

    def __float__(self) -> float:
        """The temperature, in reward units per nat."""
        return self.temperature

    __repr__ = one_line

    def __str__(self) -> str:
        """The temperature, the return and the entropy of its policy, in one sentence."""
        earns = f"the policy truly earns {amount(self.true_return)}"
        if not math.isnan(self.share_of_best):
            worst, best = amount(self.prior_return), amount(self.best_return)
            share = f"{100 * self.share_of_best:.3g} % of the way"
            earns += f", {share} from {worst} (the action prior) to {best} (the best policy)"
        return f"τ = {amount(self.temperature)}: {earns}, with an entropy of {amount(self.entropy)} nats a decision."


def temperature_for(
    model: MarkovModel,
    optimism: OptimismLike,
    *,
    share_of_best: float | None = None,
    entropy: float | None = None,
    steps_per_decade: int = _STEPS,
    tolerance: float = _TOLERANCE,
    progress: Progress = silent,
) -> ChosenTemperature:
    r"""The largest temperature at which the policy of `infer` earns a given share of the best return.

    With R(τ) the true return of the policy of `infer` at temperature τ, it is the largest τ with

    $$R(\tau) \ge (1 - c)\, R(\rho) + c\, R^*,$$

    where c is the share, R(ρ) the true return of the action prior and R* that of the best policy (temperature 0,
    optimism 0). With `entropy` it is the largest τ whose policy has at most this entropy, averaged over the decisions
    of true trajectories; a state whose allowed actions have equal outcomes is not a decision. A scan of log τ goes down
    from temperatures at which the action prior decides; between the first that meets the condition and the one above,
    bisection closes the bracket. Neither R nor the entropy need be monotone in τ: the largest τ is found up to the
    resolution of the scan.

        temperature_for(model, optimism=0.0, share_of_best=0.9).temperature
        temperature_for(model, optimism=Risk(-0.1), entropy=0.5).temperature

    Args:
        model: a tabular model with its horizon; its own temperature is ignored.
        optimism: β, a `Risk` or an `Optimism`, as for `infer`.
        share_of_best: c, above 0 and below 1; default: 0.9, unless `entropy` is given.
        entropy: instead, the largest entropy, in nats a decision.
        steps_per_decade: the number of temperatures of the scan in each decade.
        tolerance: the largest width of the bracket, relative to τ.
        progress: called after every temperature with its number and its merits, e.g. `PrintEvery(1)`.

    Returns:
        A `ChosenTemperature`.

    Raises:
        InvalidArgument: if no temperature of the scan meets the condition, with the one that comes nearest, or if the
            highest does; if the action prior earns −inf or as much as the best policy, so that there is no share; or if
            an argument is invalid.
    """
    require_model(model)
    steps_per_decade, tolerance = whole("steps_per_decade", steps_per_decade), positive("tolerance", tolerance)
    require_progress(progress)
    if entropy is not None:
        if share_of_best is not None:
            raise InvalidArgument("`share_of_best` and `entropy` exclude each other. Give one of them.")
        name, wanted = "entropy", positive("entropy", entropy, "number of nats a decision")
    else:
        name, wanted = "share_of_best", finite("share_of_best", 0.9 if share_of_best is None else share_of_best)
        if wanted <= 0 or wanted >= 1:
            raise InvalidArgument(f"`share_of_best` must be above 0 and below 1, but is {share_of_best!r}.")
    mdp = model.mdp
    worst = true_return(mdp, model.blocks().log_policy.expand(mdp.horizon, -1, -1))
    best = infer(model_like(model, mdp, 0.0), 0.0).value
    has_range = 1e-12 * abs(best) < best - worst < math.inf
    if name == "share_of_best" and not has_range:
        raise InvalidArgument(
            "`share_of_best` must divide the range from the return of the action prior to the best one, but these are "
            f"{amount(worst)} and {amount(best)} reward units. Use entropy=…, in nats a decision."
        )
    is_decision, count = _is_decision(model), itertools.count(1)

    def point(temperature: float) -> _Point:
        log_policy = infer(model_like(model, mdp, temperature), optimism).distribution.log_policy
        visits = true_visits(mdp, log_policy)
        decisions = visits.state[:-1] * is_decision
        earned, number = expected_return(mdp, visits), float(decisions.sum())
        entropy = float((decisions * -expect(log_policy, log_policy)).sum()) / number if number else 0.0
        share = (earned - worst) / (best - worst) if has_range else math.nan
        progress(next(count), {"temperature": temperature, "share of best": share, "entropy": entropy})
        return _Point(temperature, earned, share, entropy, share if name == "share_of_best" else -entropy)

    goal = wanted if name == "share_of_best" else -wanted
    (low, high), step = _range(mdp), 10.0 ** (1 / steps_per_decade)
    above = nearest = point(high)
    if above.merit >= goal:
        raise InvalidArgument(
            f"`{name}` must not be met by every temperature, but {wanted:g} is met even at {high:g}, where the action "
            f"prior decides: share {above.share:.6g}, entropy {above.entropy:.6g} nats a decision."
        )
    while (below := point(above.temperature / step)).merit < goal:
        above, nearest = below, max(nearest, below, key=lambda each: each.merit)
        if below.temperature < low:
            raise InvalidArgument(
                f"`{name}` must be within reach of optimism {optimism}, but no temperature from {low:.3g} to "
                f"{high:.3g} reaches {wanted:g}. The nearest is {nearest.temperature:.4g}, with a share of "
                f"{nearest.share:.6g} of the best return and an entropy of {nearest.entropy:.6g} nats a decision. "
                "Ask for less, or for another optimism."
            )
    scanned = below.temperature, high
    while above.temperature > (1 + tolerance) * below.temperature:
        middle = point(math.sqrt(below.temperature) * math.sqrt(above.temperature))
        if middle.temperature in (below.temperature, above.temperature):
            break  # neighbouring floats
        below, above = (middle, above) if middle.merit >= goal else (below, middle)
    return ChosenTemperature(
        temperature=below.temperature,
        bracket=(below.temperature, above.temperature),
        scanned=scanned,
        step=step,
        true_return=below.true_return,
        share_of_best=below.share,
        entropy=below.entropy,
        prior_return=worst,
        best_return=best,
    )


class _Point(NamedTuple):
    temperature: float
    true_return: float
    share: float
    entropy: float
    merit: float  # the number that must not be below the goal


def most_temperatures(mdp: TabularMDP) -> int:
    """The largest number of temperatures that `temperature_for` tries with its default steps and tolerance."""
    low, high = _range(mdp)
    return 2 + math.ceil(_STEPS * math.log10(high / low)) + math.ceil(math.log2(math.log(10) / _STEPS / _TOLERANCE))


def _range(mdp: TabularMDP) -> tuple[float, float]:
    """The lowest and the highest temperature of the scan."""
    smallest, largest = _scales(mdp)
    return _LOWEST * smallest, _HIGHEST * largest * mdp.horizon


def _scales(mdp: TabularMDP) -> tuple[float, float]:
    """The smallest difference between two possible rewards that is more than rounding, or 0 and a reward; the largest.

    Both are 1 if all rewards are 0. One penalty of −10⁹ must not hide the temperatures at which rewards of 1 matter.
    """
    rewards = [mdp.reward[mdp.probability > 0], *([] if mdp.final_reward is None else [mdp.final_reward])]
    finite = torch.cat([each[each.isfinite()].double() for each in rewards])
    values = torch.cat([finite, finite.new_zeros(1)]).unique()
    largest = float(values.abs().max())
    gaps = values.diff()
    gaps = gaps[gaps > 1e-12 * largest]
    return (float(gaps.min()), largest) if len(gaps) else (largest or 1.0, largest or 1.0)


def _is_decision(model: MarkovModel) -> Bool[Tensor, " state"]:
    """Whether two allowed actions of a state lead to different distributions of next state and reward."""
    mdp = model.mdp
    allowed = (model.action_prior > 0) & (counting_measure(mdp) > 0)
    first = allowed.int().argmax(-1)
    everywhere = torch.arange(mdp.num_states, device=first.device)
    probability, *places = _merged_outcomes(mdp)
    off = (probability - probability[everywhere, first][:, None]).abs()
    differs = [off > mdp.num_outcomes * torch.finfo(off.dtype).eps]
    differs += [each != each[everywhere, first][:, None] for each in places]
    return (torch.stack(differs).any(0).any(-1) & allowed).any(-1)


def _merged_outcomes(mdp: TabularMDP) -> tuple[Tensor, Tensor, Tensor]:
    """Probability, next state and reward of the outcomes, sorted, with equal outcomes merged and impossible ones last.

    Two actions with the same distribution of next state and reward have the same rows, whatever the order and the
    number of their outcomes.
    """
    possible = mdp.probability > 0
    tables = [mdp.probability, torch.where(possible, mdp.successor.long(), mdp.num_states), mdp.reward]
    tables[2] = torch.where(possible, mdp.reward, 0.0)
    for key in (2, 1):  # stable: by reward within a next state
        order = tables[key].sort(dim=-1, stable=True).indices
        tables = [each.gather(-1, order) for each in tables]
    probability, successor, reward = tables
    begins = (successor[..., 1:] != successor[..., :-1]) | (reward[..., 1:] != reward[..., :-1])
    group = torch.nn.functional.pad(begins.long().cumsum(-1), (1, 0))
    return (
        torch.zeros_like(probability).scatter_add(-1, group, probability),
        torch.full_like(successor, mdp.num_states).scatter(-1, group, successor),
        torch.zeros_like(reward).scatter(-1, group, reward),
    )
