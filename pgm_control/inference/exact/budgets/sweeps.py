r"""Soft values as a function of the price of a nat, written as what is left of the values at price 0.

    V_λ = V_0 ∓ λ C_λ,     C_λ(s,a) = −log Σ_k p(k|s,a) exp(−g_k/λ − γ C_λ(s'))

with g_k ≥ 0 the distance of an outcome from the best (or, for an adversary, worst) one at price 0, and λ = 1/β. C is a
number of nats of the order of the KL that is spent: it keeps its digits as λ → 0 and V_λ → V_0, where 1/λ times the
values would lose all of theirs, and at λ = 0 it is the limit: of all optima at price 0 the one that spends least.
"""

import abc
from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.kl_ball import gaps_to_best, tilted
from ....chance.log_space import expect, split_mass
from ....chance.operators import certainty_equivalent, tilt
from ....problems.mdp import TabularMDP, last_reward
from ....trajectories.blocks import MarkovModel
from ..backward.messages import Factors, Messages

_ENTRIES = 1 << 22  # of (price, state, action, outcome) that are computed at once


class Step(NamedTuple):
    """One step of a sweep at the prices of a batch."""

    cost: Float[Tensor, "batch state"]  # C(s), in nats
    action_cost: Float[Tensor, "batch state action"]  # C(s, a), in nats
    spent: Float[Tensor, "batch state"]  # expected KL from here on, in nats
    log_policy: Float[Tensor, "batch state action"]
    log_dynamics: Float[Tensor, "batch state action outcome"] | None  # None if clamped


class PricedBlock(abc.ABC):
    """The dynamics or the policy, with the values at price 0."""

    mdp: TabularMDP
    v: Float[Tensor, "time_and_last state"]
    q: Float[Tensor, "time state action"]
    gaps: Float[Tensor, "time state *rest"]  # of values to the best ones at price 0, in units of a price
    unit: float  # of a price, in reward units
    sign: float  # 1 if the block is chosen to raise the values, −1 if to lower them

    @property
    def scale(self) -> float:
        """The largest gap; 1 if there is none."""
        return float(torch.where(self.gaps.isfinite(), self.gaps, 0.0).abs().max()) or 1.0

    @abc.abstractmethod
    def steps(self, price: Float[Tensor, " batch"]) -> Iterator[Step]:
        """The steps, last one first."""


@final
class PricedDynamics(PricedBlock):
    """The dynamics at a price λ = 1/|β| of a nat, optimistic or adversarial, with soft actions."""

    def __init__(self, model: MarkovModel, adversarial: bool) -> None:
        """Solve the model at price 0: each action leads to its best, or worst, possible outcome."""
        self.mdp, self.unit, self.sign = model.mdp, model.temperature, -1.0 if adversarial else 1.0
        self.log_p = model.mdp.probability.log()
        self.gaps = self.log_p.new_empty(model.mdp.horizon, *self.log_p.shape)  # in nats
        self.q, self.v, self.log_policy = swept(model, model.temperature, self._extreme)

    def _extreme(self, t: int, x: Float[Tensor, "state action outcome"]) -> Float[Tensor, "state action"]:
        """The best or worst possible outcome; the distances from it are kept."""
        best = certainty_equivalent(x, self.log_p, 0.0, self.sign)
        self.gaps[t] = gaps_to_best(x, best, self.sign) / self.unit
        return best

    def steps(self, price: Float[Tensor, " batch"]) -> Iterator[Step]:
        """The steps, last one first; see the equation of the module and, with π_0 the policy at price 0,

        C_λ(s) = ∓(1/λ) log Σ_a π_0(a|s) exp(∓λ C_λ(s,a)).
        """
        mdp, of_policy = self.mdp, -self.sign * price[:, None]
        cost = spent = price.new_zeros(len(price), mdp.num_states)
        for t in reversed(range(mdp.horizon)):
            y = _over(self.gaps[t], price) - mdp.discount * cost[:, mdp.successor]
            log_q, log_normaliser, kl = tilted(y, self.log_p.expand_as(y))
            of_action = kl + expect(log_q, mdp.discount * spent[:, mdp.successor])
            log_policy = tilt(-log_normaliser, self.log_policy[t].expand_as(of_action), 1.0, of_policy)
            cost = certainty_equivalent(-log_normaliser, self.log_policy[t], 1.0, of_policy)
            spent = expect(log_policy, of_action)
            yield Step(cost, -log_normaliser, spent, log_policy, log_q)


@final
class PricedPolicy(PricedBlock):
    """The policy at a price τ of a nat, in reward units, with clamped dynamics."""

    def __init__(self, model: MarkovModel) -> None:
        """Solve the model at price 0, by hard value iteration."""
        self.mdp, self.unit, self.sign, mdp = model.mdp, 1.0, 1.0, model.mdp
        self.log_prior = model.action_prior.log()
        log_p = mdp.probability.log()
        self.q, self.v, _ = swept(model, 0.0, lambda t, x: certainty_equivalent(x, log_p, 1.0, 0.0))
        self.gaps = gaps_to_best(self.q, self.v[:-1], self.sign)  # in reward units

    def steps(self, price: Float[Tensor, " batch"]) -> Iterator[Step]:
        """The steps, last one first: the tilt is of the actions, and C(s, a) is the mean of C(s')."""
        mdp, p = self.mdp, self.mdp.discount * self.mdp.probability
        cost = spent = price.new_zeros(len(price), mdp.num_states)
        for t in reversed(range(mdp.horizon)):
            action_cost, action_spent = ((p * each[:, mdp.successor]).sum(-1) for each in (cost, spent))
            y = _over(self.gaps[t], price) - action_cost
            log_policy, log_normaliser, kl = tilted(y, self.log_prior.expand_as(y))
            cost, spent = -log_normaliser, kl + expect(log_policy, action_spent)
            yield Step(cost, action_cost, spent, log_policy, None)


def swept(
    model: MarkovModel,
    temperature: float,
    value_of: Callable[[int, Float[Tensor, "state action outcome"]], Float[Tensor, "state action"]],
) -> tuple[
    Float[Tensor, "time state action"], Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]
]:
    """Q, V and the log-policy of soft actions, where `value_of(t, x)` is that of events whose outcomes are worth x.

    The model's own temperature is not used.
    """
    mdp, (log_prior, log_mass) = model.mdp, split_mass(model.action_prior)
    q, log_policy = mdp.reward.new_empty(2, mdp.horizon, mdp.num_states, mdp.num_actions)
    v = mdp.reward.new_empty(mdp.horizon + 1, mdp.num_states)
    v[-1] = last_reward(mdp)
    for t in reversed(range(mdp.horizon)):
        q[t] = value_of(t, mdp.reward + mdp.discount * v[t + 1][mdp.successor])
        log_policy[t] = tilt(q[t], log_prior, temperature, 1.0)
        v[t] = certainty_equivalent(q[t], log_prior, temperature, 1.0) + temperature * log_mass
    return q, v, log_policy


def costs_at_start(
    block: PricedBlock, price: Float[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch state"], Float[Tensor, "batch state"]]:
    """C_λ and the expected KL by start state, in nats, for each price λ."""
    found = []
    for some in price.split(max(1, _ENTRIES // block.mdp.probability.numel())):
        *_, last = block.steps(some)
        found.append((last.cost, last.spent))
    costs, spent = zip(*found, strict=True)
    return torch.cat(costs), torch.cat(spent)


def messages_at(block: PricedBlock, price: float, log_initial: Float[Tensor, " state"]) -> Messages:
    """The values in reward units and the distributions at a price; the value is that of the start, less the cost."""
    mdp, off = block.mdp, block.sign * price * block.unit
    q, v, log_policy = torch.empty_like(block.q), block.v.clone(), torch.empty_like(block.q)
    log_dynamics = mdp.probability.log().expand(mdp.horizon, -1, -1, -1)
    for t, step in zip(reversed(range(mdp.horizon)), block.steps(block.q.new_tensor([price])), strict=True):
        q[t], v[t] = block.q[t] - off * step.action_cost[0], block.v[t] - off * step.cost[0]
        log_policy[t] = step.log_policy[0]
        if step.log_dynamics is not None:
            log_dynamics = log_dynamics.contiguous()
            log_dynamics[t] = step.log_dynamics[0]
    return Messages.of(q, v, float(expect(log_initial, v[0])), Factors(log_initial, log_policy, log_dynamics))


def _over(gaps: Float[Tensor, "*row outcome"], price: Float[Tensor, " batch"]) -> Float[Tensor, "batch *row outcome"]:
    """gaps/λ for each price; 0 for the best outcomes, and −∞ for the others at price 0."""
    return torch.where(gaps == 0, 0.0, gaps / price[(..., *[None] * gaps.ndim)])
