"""De-biasing: a modified model whose exact free posterior is the clamped solution of the original model.

Sources:
    [arriojas2023] A. Arriojas et al., Bayesian inference approach for entropy regularized reinforcement learning with
        stochastic dynamics. Conference on Uncertainty in Artificial Intelligence, Proceedings of Machine Learning
        Research 216, pages 99–109, 2023.
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import html
import itertools
import math
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.operators import certainty_equivalent, tilt
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..models.tabular import TabularModel
from ..problems.mdp import TabularMDP
from ..problems.timed import by_time
from ..text.wording import action_label, amount, chance, state_label
from ..trajectories.action_measure import evidence_name
from ..trajectories.blocks import HasBlocks, MarkovModel, require_model
from ..trajectories.steps import (
    has_last_factor,
    is_plain,
    last_worth,
    tables_of,
    temperature_at,
    temperature_words,
    temperatures_of,
)
from ..trajectories.tabulate import tabulate
from .unrolled import Folded, fold, true_dynamics, unroll

_MOST_NUMBERS = 2e8  # in the posterior of the unrolled model: 1.6 GB in float64
_ROWS = 5  # of a printed table


@final
@dataclass(frozen=True, eq=False, repr=False)
class Debiased:
    r"""The modified model that `debias` returns. It is unrolled in time: (t, s) is state t S + s.

    With a discount there are 2K outcomes: the K that survive, then the K that terminate, in one added last state.

    Attributes:
        model: the unrolled model; `infer(debiased.model, 1.0)` has the clamped policy, the true dynamics and the true
            start.
        clamped: the clamped posterior of the original model, from which it was constructed.
        initial: $\tilde p(s_0)$.
        probability: $\tilde p_t(k \mid s, a)$.
        reward: $\tilde r_t(s, a, k)$, in reward units.
        bonus: $\tau\, KL(p \| \tilde p_t)$, which is added to all rewards of (s, a) at time t, in reward units; 0 where
            every outcome is forbidden.
        start_bonus: $\tau\, KL(p(s_0) \| \tilde p(s_0))$, added to all rewards of the first step, in reward units.
    """

    model: TabularModel
    clamped: Posterior
    initial: Float[Tensor, " state"]
    probability: Float[Tensor, "time state action outcome"]
    reward: Float[Tensor, "time state action outcome"]
    bonus: Float[Tensor, "time state action"]
    start_bonus: float

    @property
    def log_prior_dynamics(self) -> Float[Tensor, "time state action outcome"]:
        r"""$\log \tilde p_t(k \mid s, a)$, in nats."""
        return self.probability.log()

    @property
    def correction(self) -> float:
        """The expected sum of all bonuses under the clamped policy and the true dynamics, in reward units."""
        visits = self.clamped.marginals().state_action
        return self.start_bonus + float((visits * self.bonus).sum())

    def folded(self, guide: HasBlocks) -> Folded:
        """A posterior or a guide of the unrolled model, expressed in the states of the original one.

        Raises:
            InvalidGuide: if its factors do not fit the unrolled model.
        """
        return fold(tabulate(self.model, guide), self.clamped.model.mdp)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        tables = {name: getattr(self, name).tolist() for name in ("initial", "probability", "reward", "bonus")}
        numbers = {"start_bonus": self.start_bonus, "correction": self.correction}
        return {"objective": self.clamped.objective, **numbers, **tables}

    def _rows(self) -> list[tuple[str, ...]]:
        """Rows of text for the (t, s, a) with the largest bonus weighted by visits; ties keep their order."""
        mdp, visits = self.clamped.model.mdp, self.clamped.marginals().state_action
        most = (visits * self.bonus).flatten().sort(descending=True, stable=True)
        truth, rows = by_time(true_dynamics(mdp), mdp.horizon, 3), []
        for paid, index in zip(most.values[:_ROWS].tolist(), most.indices[:_ROWS].tolist(), strict=True):
            if paid > 0:
                t, s, a = (int(i) for i in torch.unravel_index(torch.tensor(index), self.bonus.shape))
                k = int((truth[t, s, a] - self.probability[t, s, a]).abs().argmax())
                target = f"{mdp.state_name(int(mdp.successor[s, a, k % mdp.num_outcomes]))}"
                target = f"to {target}" if k < mdp.num_outcomes else "to the end"
                where = (str(t), state_label(mdp, s), action_label(mdp, a), chance(float(visits[t, s, a])))
                moved = f"{target}: {chance(float(truth[t, s, a, k]))} → {chance(float(self.probability[t, s, a, k]))}"
                rows.append((*where, amount(float(self.bonus[t, s, a])), moved))
        return rows

    def __str__(self) -> str:
        """The largest changes of the dynamics, as a table for a terminal."""
        table = [_HEADINGS, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([repr(self), *(lines if len(lines) > 1 else ["The dynamics are unchanged."]), self._sum()])

    def _sum(self) -> str:
        return f"expected sum of the bonuses, including that of the start: {amount(self.correction)}"

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
        )
        head = "".join(f"<th>{html.escape(title)}</th>" for title in _HEADINGS)
        caption = f"<caption>{html.escape(repr(self))}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{self._sum()}</p>"

    def __repr__(self) -> str:
        """A line with the sizes and the objective that both models share."""
        return (
            f"Debiased({self.clamped.model.mdp!r} unrolled into {self.model.mdp.num_states} states; its "
            f"{evidence_name(self.model)} is the clamped objective, {amount(self.clamped.objective)} nats)"
        )


_HEADINGS = ("t", "state", "action", "probability of visit", "bonus [reward]", "largest change of an outcome")


def debias(model: MarkovModel) -> Debiased:
    r"""The modified model whose exact *free* posterior is the *clamped* policy with the true dynamics.

    With the clamped values, $x_t(s,a,k) = r + V_{t+1}(s')$ and $Q_t = E_p[x_t]$, the modified dynamics are adversarial
    (β = −1), and every outcome of (s, a) has its reward raised by the same bonus:

    $$\tilde p_t(k \mid s,a) \propto p(k \mid s,a) \exp(-x_t/\tau), \qquad
        \tilde r_t = r + \tau\, KL(p \| \tilde p_t) = r + Q_t - L_{-1}[x_t]$$

    The dynamics of the free posterior are then $\tilde p \exp((\tilde r + V_{t+1})/\tau) \propto p$, and its values are
    the clamped ones. The start is treated in the same way: $\tilde p(s_0) \propto p(s_0) \exp(-V_0/\tau)$, with its KL
    added to the rewards of the first step. The evidence of the new model is therefore the clamped objective of the
    original one. Dynamics and rewards depend on time, so the new model has a state (t, s) for every time and state. A
    discount becomes part of the dynamics: every outcome occurs once with survival and once with termination. If an
    action has value −inf, all its outcomes are forbidden and its dynamics are unchanged.

    This does not help to solve a problem, since the clamped solution must be known. It shows which pessimism about the
    dynamics compensates for the optimism of conditioning on success. Probabilities are exact up to rounding: the error
    is some units in the last place of values divided by τ, below 1e-12 while these are a few hundred nats.

    Args:
        model: a tabular model with a positive temperature.

    Returns:
        The modified model, with its tables in the shape of the original one.

    Raises:
        InvalidArgument: if the temperature is 0; if a modified probability is too small for a floating-point number; if
            one possible start has value −inf and another has not, which no posterior can represent; if the unrolled
            model would be too large.

    References:
        [arriojas2023], [levine2018]
    """
    require_model(model, in_nats=True, timed=True)
    mdp, truth = model.mdp, by_time(true_dynamics(model.mdp), model.mdp.horizon, 3)
    paid_now, taus = tables_of(model).reward, temperatures_of(model)
    tau = taus[0] if is_plain(model) else truth.new_tensor(taus[:-1])[:, None, None]
    _require_room(mdp, truth.shape[-1])
    clamped, log_p, possible = infer(model, 0.0), truth.log(), truth > 0
    ends = by_time(paid_now, mdp.horizon, 3)
    ratio = truth.new_tensor([now / later for now, later in itertools.pairwise(taus)])[:, None]
    continuing = ends + (clamped.v[1:] * ratio)[:, mdp.successor]
    x = torch.where(possible, continuing if mdp.discount == 1 else torch.cat((continuing, ends), -1), 0.0)
    forbidden = torch.isneginf(clamped.q)
    dynamics = torch.where(forbidden[..., None], log_p, tilt(x, log_p, tau, -1.0)).exp()
    worst = certainty_equivalent(x, log_p, tau, -1.0)
    bonus = torch.where(forbidden, 0.0, clamped.q - worst).clamp(min=0.0)
    pay = ends if mdp.discount == 1 else torch.cat((ends, ends), -1)
    paid = torch.where(forbidden[..., None], -torch.inf, pay + bonus[..., None])
    start, start_bonus = _start(model, clamped)
    paid[0] += start_bonus
    reward = torch.where(possible, paid, 0.0)
    _require_digits(model, dynamics, start)
    final = None if not has_last_factor(model) else last_worth(model)
    unrolled = unroll(mdp, start, dynamics, reward, final)
    rest = unrolled.num_states - (mdp.horizon + 1) * mdp.num_states
    anything = model.action_prior.new_full((rest, mdp.num_actions), 1.0 / mdp.num_actions)
    by_step = by_time(model.action_prior, mdp.horizon, 2)
    prior = torch.cat((by_step.flatten(0, 1), by_step[-1], anything))
    made = TabularModel(unrolled, model.temperature)
    made.action_prior = prior
    return Debiased(made, clamped, start, dynamics, reward, bonus, start_bonus)


def _start(model: MarkovModel, clamped: Posterior) -> tuple[Float[Tensor, " state"], float]:
    """The modified start distribution, and its bonus in reward units."""
    mdp, log_p, v = model.mdp, model.mdp.initial.log(), clamped.v[0]
    doomed = torch.isneginf(v) & (mdp.initial > 0)
    if not doomed.any():
        tau = temperature_at(model, 0)
        worst = certainty_equivalent(v, log_p, tau, -1.0)
        return tilt(v, log_p, tau, -1.0).exp(), max(clamped.value - float(worst), 0.0)
    saved = (mdp.initial > 0) & ~doomed
    if saved.any():
        s, other = int(doomed.nonzero()[0]), int(saved.nonzero()[0])
        raise InvalidArgument(
            f"`model` must not have one start of value −inf and another of finite value, but every policy may reach a "
            f"forbidden outcome from {state_label(mdp, s)}, and some policy avoids it from {state_label(mdp, other)}: "
            f"the clamped objective is −inf, and every posterior excludes {state_label(mdp, s)}. Give that state "
            "probability 0 in `initial`, or its forbidden outcomes a finite reward."
        )
    return mdp.initial, 0.0


def _require_room(mdp: TabularMDP, num_outcomes: int) -> None:
    numbers = mdp.horizon * (mdp.horizon + 1) * mdp.num_states * mdp.num_actions * num_outcomes
    if numbers > _MOST_NUMBERS:
        raise InvalidArgument(
            f"`model` must be small enough to be unrolled in time, but its posterior would hold {numbers:.2g} numbers, "
            f"more than the maximum of {_MOST_NUMBERS:.0e}. Shorten it, mdp.replace(horizon=…); the clamped solution "
            "itself is infer(model, 0.0)."
        )


def _require_digits(
    model: MarkovModel, dynamics: Float[Tensor, "time state action outcome"], start: Float[Tensor, " state"]
) -> None:
    """Raise InvalidArgument if a possible outcome would become impossible or lose precision to underflow."""
    mdp, least = model.mdp, torch.finfo(dynamics.dtype).tiny
    lost, lost_start = (true_dynamics(mdp) > 0) & (dynamics < least), (mdp.initial > 0) & (start < least)
    if not lost.any() and not lost_start.any():
        return
    if lost_start.any():
        where = f"starting in {state_label(mdp, int(lost_start.nonzero()[0]))}"
    else:
        t, s, a, k = lost.nonzero()[0].tolist()
        where = (
            f"outcome {k % mdp.num_outcomes} of {action_label(mdp, a)} in {state_label(mdp, s)} at t = {t}"
            f"{' with survival' if mdp.discount < 1 and k < mdp.num_outcomes else ''}"
        )
    raise InvalidArgument(
        f"`model` must have outcomes whose values differ by at most about {-math.log(least):.0f} nats, but {where} "
        f"would need a modified probability below {least:.1e}, the smallest number of {dynamics.dtype}. Its value "
        f"exceeds those of its alternatives by too much at temperature {temperature_words(model)}. Raise the "
        "temperature, scale the rewards down, or shorten the horizon."
    )
