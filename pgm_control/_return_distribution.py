"""What a policy may earn in the true world: the whole distribution of its return, exactly."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ._blocks import HasBlocks, MarkovModel, require_model
from ._errors import InvalidArgument
from ._evaluate import blocks_of
from ._mdp import TabularMDP
from ._policy import TabularPolicy
from ._tables import grid, html_grid
from ._wording import amount

_SAME = 1e-10  # of the largest return possible: sums of rewards that differ by less are one atom

Guide = HasBlocks | TabularPolicy | Float[Tensor, "..."] | Float[np.ndarray, "..."]


@final
@dataclass(frozen=True, eq=False, repr=False)
class ReturnDistribution:
    r"""The distribution of $G = \sum_t r_t$ in the true world, the final reward included; atoms in rising order.

    Attributes:
        values: the returns that are possible, in reward units; the first may be −inf.
        probability: of each.
    """

    values: Float[Tensor, " atom"]
    probability: Float[Tensor, " atom"]

    @property
    def mean(self) -> float:
        """E G, in reward units."""
        return float((self.probability * self.values).sum())

    @property
    def variance(self) -> float:
        """E (G − E G)², in squared reward units; nan where a return of −inf is possible."""
        return float((self.probability * (self.values - self.mean) ** 2).sum())

    def quantile(self, level: float) -> float:
        """The smallest return g with P(G ≤ g) ≥ level, in reward units.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.
        """
        _require_share("level", level)
        below = self.probability.cumsum(0)
        return float(self.values[int((below < level - 1e-12).sum().clamp(max=len(below) - 1))])

    def cvar(self, level: float) -> float:
        r"""The mean of the worst `level` share of returns, in reward units; the mean of all at level 1.

        $$\mathrm{CVaR}_\alpha = \tfrac1\alpha \int_0^\alpha F^{-1}(u)\, du$$

        An atom that the level cuts in two counts by the part that is in.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.

        References:
            [rockafellar2002]
        """
        _require_share("level", level)
        above = self.probability.cumsum(0) - self.probability
        share = torch.minimum(self.probability, (level - above).clamp(min=0.0))
        counted = torch.where(share > 0, self.values, 0.0)
        return float((share * counted).sum() / share.sum())

    def at_least(self, target: float) -> float:
        """P(G ≥ target), where a target that is missed by rounding counts as met."""
        slack = 1e-9 * max(1.0, abs(target))
        return float(self.probability[self.values >= target - slack].sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"values": self.values.tolist(), "probability": self.probability.tolist()}

    def _rows(self) -> list[tuple[str, str]]:
        shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        rows = [("mean", amount(self.mean)), ("standard deviation", amount(math.sqrt(self.variance)))]
        rows += [(f"{100 * share:g} % quantile", amount(self.quantile(share))) for share in shares]
        return [*rows, ("mean of the worst 10 %", amount(self.cvar(0.1)))]

    def __str__(self) -> str:
        """A table for a terminal."""
        return grid([("return", "reward")], self._rows())

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        return html_grid([("return", "reward")], self._rows())

    def __repr__(self) -> str:
        """Moments, not atoms."""
        return f"ReturnDistribution({len(self.values)} atoms, mean {self.mean:.6g}, 10 % CVaR {self.cvar(0.1):.6g})"


def return_distribution(
    model: MarkovModel, guide_or_policy: Guide, *, resolution: float | None = None, max_atoms: int = 100_000
) -> ReturnDistribution:
    """The exact distribution of the return of a policy in the true world, forwards over (state, sum so far).

    Whatever the guide believes, its policy is tried in the model's own start and dice; with a discount the episode ends
    after each step with probability 1 − γ, so that the mean is `evaluate(…).true_return`. Sums of rewards that differ
    by less than 1e-10 of the largest possible are one atom.

    Args:
        model: the tabular model.
        guide_or_policy: as in `evaluate`.
        resolution: in reward units; rewards are first rounded to multiples of it, which moves every return by at most
            (T + 1)/2 times as much. Unless given nothing is rounded.
        max_atoms: the most different sums to keep apart.

    Raises:
        InvalidArgument: if there are more atoms than that.
        InvalidGuide: if the policy does not fit the model.
    """
    require_model(model)
    mdp = model.mdp
    with torch.no_grad():
        policy = blocks_of(model, guide_or_policy).log_policy.exp().double()
    if resolution is not None and not resolution > 0:
        raise InvalidArgument(f"`resolution` must be a positive number of reward units, but is {resolution!r}.")

    def rounded(table: Tensor) -> Tensor:
        return table.double() if resolution is None else (table.double() / resolution).round() * resolution

    last = torch.zeros_like(mdp.initial) if mdp.final_reward is None else mdp.final_reward
    last, steps = rounded(last), _Steps.of(mdp, rounded(mdp.reward))
    scale = float(steps.reward.abs().max()) if len(steps.reward) else 0.0
    gap = _SAME * max(scale * mdp.horizon, float(last[last.isfinite()].abs().max()) if last.isfinite().any() else 0.0)
    values, mass = last.new_zeros(1), mdp.initial.double()[:, None]
    ended_values, ended_mass, lost = [], [], 0.0
    for t in range(mdp.horizon):
        lost += float((mass.sum(1)[:, None, None] * policy[t][..., None] * steps.forbidden).sum())
        values, mass = _merged(*_moved(steps, policy[t], values, mass), gap)
        if len(values) > max_atoms:
            raise InvalidArgument(
                f"`max_atoms` is {max_atoms}, but after {t + 1} of {mdp.horizon} steps {len(values)} different sums of "
                "rewards are possible. Raise it, or pass `resolution`, to which rewards are rounded; mean and variance "
                "alone need no atoms, see return_moments."
            )
        if mdp.discount < 1:
            ended_values.append(values)
            ended_mass.append((1.0 - mdp.discount) * mass.sum(0))
            mass = mdp.discount * mass
    alive = mass > 0
    at, where = (values + last[:, None])[alive], mass[alive]
    forbidden = torch.isneginf(at)
    lost += float(where[forbidden].sum())
    values = torch.cat((*ended_values, at[~forbidden]))
    values, total = _merged(values, torch.cat((*ended_mass, where[~forbidden]))[None], gap)
    values, total = values[total[0] > 0], total[0][total[0] > 0]
    if lost > 0:
        values, total = (
            torch.cat((values.new_tensor([-torch.inf]), values)),
            torch.cat((total.new_tensor([lost]), total)),
        )
    return ReturnDistribution(values, total / total.sum())


class Moments(NamedTuple):
    """Mean and variance of the return, in reward units and their square."""

    mean: float
    variance: float


def return_moments(model: MarkovModel, guide_or_policy: Guide) -> Moments:
    r"""Mean and variance of the return of a policy in the true world, by one backward sweep, whatever its atoms.

    $$D_t(s) = E\bigl[(r + \ell\, V_{t+1}(s') - V_t(s))^2 + \ell\, D_{t+1}(s')\bigr]$$

    with $\ell$ = 1 if the step is survived, of probability γ. No squares are subtracted. The variance is nan where a
    return of −inf is possible.

    References:
        [sobel1982]
    """
    require_model(model)
    mdp = model.mdp
    with torch.no_grad():
        policy = blocks_of(model, guide_or_policy).log_policy.exp().double()
    p, r, gamma = mdp.probability.double(), mdp.reward.double(), mdp.discount
    v = torch.zeros_like(mdp.initial).double() if mdp.final_reward is None else mdp.final_reward.double()
    spread = torch.zeros_like(v)
    for t in reversed(range(mdp.horizon)):
        weight = policy[t][..., None] * p
        after, deviation = v[mdp.successor], spread[mdp.successor]
        x = torch.where(weight > 0, r + gamma * after, 0.0)
        v = (weight * x).sum((1, 2))
        centre = v[:, None, None]
        each = gamma * (deviation + (r + after - centre) ** 2) + (1.0 - gamma) * (r - centre) ** 2
        spread = (weight * torch.where(weight > 0, each, 0.0)).sum((1, 2))
    start = mdp.initial.double()
    reached = start > 0
    mean = (start[reached] * v[reached]).sum()
    return Moments(float(mean), float((start[reached] * (spread[reached] + (v[reached] - mean) ** 2)).sum()))


class _Steps(NamedTuple):
    """The outcomes that can be, with rewards sorted into kinds."""

    state: Tensor
    action: Tensor
    probability: Tensor
    successor: Tensor
    kind: Tensor  # which of the different rewards
    reward: Tensor  # the different rewards
    forbidden: Tensor  # (state, action, outcome): probability of a reward of −inf

    @classmethod
    def of(cls, mdp: TabularMDP, reward: Tensor) -> "_Steps":
        p = mdp.probability.double()
        bad = torch.isneginf(reward)
        state, action, outcome = ((p > 0) & ~bad).nonzero(as_tuple=True)
        different, kind = reward[state, action, outcome].unique(return_inverse=True)
        where = state, action, outcome
        return cls(state, action, p[where], mdp.successor[where].long(), kind, different, torch.where(bad, p, 0.0))


def _moved(steps: _Steps, policy: Tensor, values: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """The sums after one step, and where their mass is; sums that are equal still apart."""
    new = (values[None] + steps.reward[:, None]).flatten()  # kind by kind
    kinds, many, states = len(steps.reward), len(values), len(mass)
    weight = policy[steps.state, steps.action] * steps.probability
    target = mass.new_zeros(states * kinds, many)
    used = weight > 0
    place = steps.successor[used] * kinds + steps.kind[used]
    target.index_add_(0, place, weight[used, None] * mass[steps.state[used]])
    return new, target.reshape(states, kinds * many)


def _merged(values: Tensor, mass: Tensor, gap: float) -> tuple[Tensor, Tensor]:
    """Sorted, with values that are nearer than `gap` pooled, and none without mass."""
    there = mass.sum(0) > 0
    values, order = values[there].sort()
    mass = mass[:, there][:, order]
    if len(values) == 0:
        return values, mass
    group = torch.cat((torch.zeros(1, dtype=torch.long), (values.diff() > gap).long().cumsum(0)))
    many = int(group[-1]) + 1
    first = values.new_zeros(many).scatter_reduce_(0, group, values, "amin", include_self=False)
    return first, mass.new_zeros(len(mass), many).index_add_(1, group, mass)


def _require_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InvalidArgument(
            f"`{name}` must be a share above 0 and at most 1, but is {value!r}; 0.1 is the worst tenth."
        )
