r"""Evidence on the sites of a model: factors on its states, actions and outcomes, and steps that were not optimal.

Sources:
    [pearl1988] J. Pearl, Probabilistic Reasoning in Intelligent Systems: Networks of Plausible Inference. Morgan
        Kaufmann, 1988.
"""

import functools
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, NoReturn, final

import numpy as np
import torch
from jaxtyping import Float
from pyro.poutine.condition_messenger import ConditionMessenger
from torch import Tensor

from ....errors import InvalidArgument
from ....problems.mdp import TabularMDP
from ....runtime.arguments import shown, whole_number
from ....runtime.array_like import numbers
from ....runtime.moving import moved_copy, moved_log_probability, place_of
from ....trajectories.blocks import MarkovModel
from ....trajectories.steps import has_last_factor, is_exponential, is_observed, last_worth, temperature_at, worth_at


@final
@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    r"""Factors $e(x) \in [0, 1]$ of the density $\tilde p$ at some of its sites [pearl1988].

    Attributes:
        log_start: $\log p(s_0) e(s_0)$, normalised: nobody chooses the start, so that its evidence conditions it.
        log_mass: $\log \sum_s p(s) e(s)$ of the start, in nats.
        log_factors: $\log e$ by site, but `state_0`, in nats. With a discount a state may be S, the end.
        not_optimal: the sites `optimality_t` whose variable is 0: their factor is $1 - \exp(r/\tau)$.
        log_ended: the log-factors of an episode that has ended, summed from each time on, in nats.

    References:
        [pearl1988]
    """

    log_start: Float[Tensor, " state"]
    log_mass: float
    log_factors: dict[str, Tensor]
    not_optimal: frozenset[str]
    log_ended: tuple[float, ...]

    @property
    def sites(self) -> list[str]:
        """The sites with evidence; the start counts if its factor changes something."""
        start = ["state_0"] if self.log_mass < 0 else []
        return [*start, *self.log_factors, *sorted(self.not_optimal)]

    def states(self, t: int, v: Tensor, temperature: Any) -> Tensor:
        r"""The values of states (…, state) plus $\tau \log e$, in reward units."""
        return self._added(f"state_{t}", v, temperature)

    def actions(self, t: int, q: Tensor, temperature: Any) -> Tensor:
        r"""The values of actions (…, state, action) plus $\tau \log e$, in reward units."""
        return self._added(f"action_{t}", q, temperature)

    def outcomes(self, t: int, reward: Tensor, temperature: Any) -> Tensor:
        r"""The rewards of outcomes (…, state, action, outcome) plus $\tau \log e$, in reward units."""
        return self._added(f"outcome_{t}", reward, temperature)

    def paid(self, t: int, reward: Tensor, temperature: Any) -> Tensor:
        r"""The reward of step t, or $\tau \log(1 - \exp(r/\tau))$ if it was not optimal."""
        if f"optimality_{t}" not in self.not_optimal:
            return reward
        return temperature * torch.log(-torch.expm1(reward / temperature))

    def _added(self, site: str, table: Tensor, temperature: Any) -> Tensor:
        log_factor = self.log_factors.get(site)
        return table if log_factor is None else table + temperature * log_factor[: table.shape[-1]]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Evidence":
        """The evidence on another device or in another floating dtype."""
        place = place_of(self.log_start, device, dtype)
        return moved_copy(self, place, log_start=moved_log_probability(self.log_start, place))

    def __repr__(self) -> str:
        """The sites."""
        return f"Evidence({', '.join(self.sites)})"


def without_condition(program: Any) -> tuple[Any, dict[str, Any]]:
    """The program inside of any number of `pyro.condition`, and what they condition on."""
    known: dict[str, Any] = {}
    while (inner := _bound(program)) is not None:
        messenger, program = inner
        if not isinstance(messenger.data, Mapping):
            raise InvalidArgument(
                f"`model` must be conditioned on a dictionary of values, but here on {shown(messenger.data)}. "
                'Pass pyro.condition(model, data={"state_4": torch.tensor(2)}).'
            )
        known = {**messenger.data, **known}
    return program, known


def evidence_of(model: MarkovModel, *given: Mapping[str, Any] | None) -> Evidence | None:
    """The evidence of some mappings from sites, checked; None if there is none.

    Raises:
        InvalidArgument: if a site does not exist or is given twice, or a value does not fit; the message names it.
    """
    mdp, found = model.mdp, dict[str, Any]()
    for each in given:
        if each is not None and not isinstance(each, Mapping):
            raise InvalidArgument(
                f'`evidence` must map sites to what is known of them, such as {{"state_4": 2}}, but is {shown(each)}.'
            )
        for site, value in (each or {}).items():
            if site in found:
                raise InvalidArgument(f"`evidence` must name each site once, but {site} is also conditioned on.")
            found[site] = value
    if not found:
        return None
    if temperature_at(model, 0) == 0:
        raise InvalidArgument(
            "`evidence` needs a model of positive temperature, where its factors have a weight beside the rewards, but "
            "the temperature is 0. Pass TabularModel(mdp, temperature) with a small one."
        )
    log_factors, not_optimal = dict[str, Tensor](), set[str]()
    for site, value in found.items():
        kind = _kind(site, model)
        if kind != "optimality":
            log_factors[site] = _log_factor(site, value, kind, mdp)
        elif not _is_optimal(site, value, model):
            not_optimal.add(site)
    log_start, log_mass = mdp.initial.log(), 0.0
    if "state_0" in log_factors:
        joint = log_start + log_factors.pop("state_0")[: mdp.num_states]
        log_mass = float(joint.logsumexp(0))
        if log_mass == -math.inf:
            raise InvalidArgument(
                "`evidence` on state_0 must be possible, but no state has both a likelihood and a probability of being "
                "the start. Give another state, or a problem that starts there: mdp.replace(initial=…)."
            )
        log_start = joint - log_mass
    return Evidence(log_start, log_mass, log_factors, frozenset(not_optimal), _ended(mdp, log_factors, not_optimal))


def _bound(program: Any) -> tuple[ConditionMessenger, Any] | None:
    """The handler and the program of `pyro.condition`, if it is one."""
    while isinstance(program, functools.partial) and isinstance(program.func, functools.partial):
        program = program.func
    args = program.args if isinstance(program, functools.partial) else ()
    return args if len(args) == 2 and isinstance(args[0], ConditionMessenger) else None


def _kind(site: Any, model: MarkovModel) -> str:
    """The kind of a site, which must exist."""
    kind, _, number = site.partition("_") if isinstance(site, str) else ("", "", "")
    mdp = model.mdp
    last = mdp.horizon - 1
    latest = {
        "state": mdp.horizon,
        "action": last,
        "outcome": last,
        "optimality": mdp.horizon if has_last_factor(model) else last,
    }
    if kind not in latest or not number.isdecimal() or number != str(int(number)) or int(number) > latest[kind]:
        raise InvalidArgument(
            f"`evidence` must name sites of the model, state_0 … state_{mdp.horizon}, action_0 … action_{last}, "
            f"outcome_0 … outcome_{last} or optimality_0 … optimality_{latest['optimality']}, but names {shown(site)}."
        )
    return kind


def _log_factor(site: str, value: Any, kind: str, mdp: TabularMDP) -> Tensor:
    """The logarithm of e over the values of a site."""
    ends = mdp.discount < 1
    sizes = {"state": mdp.num_states + ends, "action": mdp.num_actions, "outcome": mdp.num_outcomes}
    names = {"state": mdp.state_names, "action": mdp.action_names}.get(kind) or ()
    number_of = {name: i for i, name in enumerate(names)}
    size, like = sizes[kind], mdp.initial
    end = f"; {mdp.num_states} is the end of the episode" if ends and kind == "state" else ""
    if isinstance(value, Set | range | str) or np.ndim(value) == 0:
        members = value if isinstance(value, Set | range) else [value]
        possible = [number_of.get(each) if isinstance(each, str) else whole_number(each) for each in members]
        if not possible or any(each is None or not 0 <= each < size for each in possible):
            raise InvalidArgument(
                f"`evidence` on {site} must be a whole number from 0 to {size - 1}{end}, or a name, a set of these, or "
                f"a vector of {size} likelihoods, but is {shown(value)}."
            )
    else:
        vector = numbers("evidence", value, InvalidArgument).to(like)
        fits = vector.shape == (size,) and bool(((vector >= 0) & (vector <= 1)).all())
        if not fits or not bool((vector > 0).any()):
            raise InvalidArgument(
                f"`evidence` on {site} must be a vector of {size} likelihoods from 0 to 1{end}, at least one of them "
                f"positive, but is {shown(value)}. For several possible values pass a set."
            )
        return vector.log()
    log_factor = torch.full((size,), -torch.inf, dtype=like.dtype, device=like.device)
    log_factor[possible] = 0.0
    return log_factor


def _is_optimal(site: str, value: Any, model: MarkovModel) -> bool:
    """The value of an optimality variable, 1 or 0; only a likelihood that is a probability has a complement."""
    found = whole_number(value)
    if found not in (0, 1):
        raise InvalidArgument(f"`evidence` on {site} must be 1, optimal, or 0, not optimal, but is {shown(value)}.")
    t = int(site.partition("_")[2])
    if not is_observed(model, t):
        raise InvalidArgument(
            f"`evidence` must name sites of the model, but its `observed` leaves {site} out. Observe it in the model."
        )
    highest = float((last_worth(model) if t == model.mdp.horizon else worth_at(model, t)).max())
    if found == 0 and highest > 0 and not is_exponential(model):
        raise InvalidArgument(
            f"`evidence` on {site} must be 1 where the likelihood of optimality exceeds 1, since 0 has the likelihood "
            f"1 − p, but the largest log p is {highest / temperature_at(model, t):g}. Subtract it from the "
            "log-likelihood."
        )
    if found == 0 and highest > 0:
        raise InvalidArgument(
            f"`evidence` on {site} must be 1 where a reward is positive: 0 has the likelihood 1 − exp(r/τ), but the "
            f"largest reward is {highest:g}. Subtract it from all rewards, or take LogisticOptimality()."
        )
    return found == 1


def _ended(mdp: TabularMDP, log_factors: dict[str, Tensor], not_optimal: set[str]) -> tuple[float, ...]:
    """The log-factors of an episode that has ended, where action 0 and outcome 0 are certain and rewards are 0."""
    total, found = 0.0, list[float]()
    for t in reversed(range(mdp.horizon + 1)):
        for kind, value in (("state", -1), ("action", 0), ("outcome", 0)):
            if (log_factor := log_factors.get(f"{kind}_{t}")) is not None:
                total += float(log_factor[value])
        total = -math.inf if f"optimality_{t}" in not_optimal else total
        found.append(total)
    return tuple(reversed(found))


def refuse(evidence: Evidence, is_possible: bool) -> NoReturn:
    """Refuse evidence that makes an objective −∞; `is_possible` says whether free dynamics can attain it.

    Raises:
        InvalidArgument: always, with the remedy.
    """
    sites = ", ".join(evidence.sites)
    if not is_possible:
        raise InvalidArgument(
            f"`evidence` must be possible, but no trajectory of finite reward agrees with that on {sites}."
        )
    raise InvalidArgument(
        f"`evidence` on {sites} must hold whatever happens under this `optimism`, but no choice of actions makes sure "
        "that it does. Dynamics that are clamped or adversarial cannot be conditioned on how they fell: free the "
        "dynamics, infer(model, 1.0, evidence=…), or pay for the state by a reward."
    )
