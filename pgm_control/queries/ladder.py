"""The ladder of inferences: the different meanings of planning as inference, compared on one model.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [lazaro2024] M. Lázaro-Gredilla et al., What type of inference is planning? Advances in Neural Information
        Processing Systems 37, 2024. arXiv:2406.17863
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import html
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..analysis.evaluate import evaluate
from ..chance.operators import certainty_equivalent
from ..chance.optimism import Optimism
from ..inference.exact.infer import infer
from ..runtime.arguments import whole
from ..text.tables import grid, html_grid
from ..text.wording import action_label, amount
from ..trajectories.blocks import MarkovModel, require_model
from .open_loop import best_sequence

_SHOWN = 12  # actions of a sequence that are printed


@final
@dataclass(frozen=True, eq=False, repr=False)
class Rung:
    """One kind of inference, with its value and its policy.

    Attributes:
        name: the name of the inference.
        actions_are: how the actions are treated: summed, chosen by state, or chosen blindly (without seeing states).
        chance_is: how the start, the dynamics and survival are treated: summed, averaged or chosen.
        value: the value, in nats.
        upper_bound: equal to `value`, unless the search for the best sequence stopped early, in nats.
        policy: π_t(a|s), probabilities. A sequence of actions is a policy that ignores states.
        true_return: the expected return of the policy under the true dynamics, in reward units.
        actions: the sequence of actions, or None.
    """

    name: str
    actions_are: str
    chance_is: str
    value: float
    upper_bound: float
    policy: Float[Tensor, "time state action"]
    true_return: float
    actions: Int[Tensor, " time"] | None = None

    @property
    def is_exact(self) -> bool:
        """False if the search stopped early; the best value then lies between `value` and `upper_bound`."""
        return self.value == self.upper_bound

    def to_dict(self) -> dict[str, Any]:
        """Everything except the policy, for JSON."""
        names = ("actions_are", "chance_is", "value", "upper_bound", "is_exact", "true_return")
        actions = None if self.actions is None else self.actions.tolist()
        return {**{name: getattr(self, name) for name in names}, "actions": actions}

    def __repr__(self) -> str:
        """A line with the value and the true return."""
        least = "" if self.is_exact else "at least "
        return f"Rung({self.name}, {least}{amount(self.value)} nats, true return {amount(self.true_return)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Ladder:
    """The rungs that `ladder` computes. Printing it prints a table.

    Attributes:
        model: the model.
        marginal: everything summed: the evidence, and the policy of the free posterior.
        planning: actions chosen by state, chance summed.
        marginal_map: actions chosen without seeing states, chance summed.
        map: actions and chance chosen: the single most probable trajectory.
        max_ent: actions summed, chance averaged: the clamped optimum.
        risk_neutral: actions chosen by state, chance averaged: classical planning.
        num_nodes: the number of prefixes of sequences that the search for `marginal_map` visited.
    """

    model: MarkovModel
    marginal: Rung
    planning: Rung
    marginal_map: Rung
    map: Rung
    max_ent: Rung
    risk_neutral: Rung
    num_nodes: int

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The four rungs of the ladder from the highest, then max-ent and risk-neutral."""
        return self.marginal, self.planning, self.marginal_map, self.map, self.max_ent, self.risk_neutral

    @property
    def is_exact(self) -> bool:
        """False if the search for the best sequence stopped early."""
        return self.marginal_map.is_exact

    def to_dict(self) -> dict[str, Any]:
        """Everything except the policies, for JSON."""
        return {"num_nodes": self.num_nodes, "rungs": {rung.name: rung.to_dict() for rung in self.rungs}}

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                *(rung.name, rung.actions_are, rung.chance_is),
                ("" if rung.is_exact else "≥ ") + _number(rung.value),
                _number(rung.true_return),
            )
            for rung in self.rungs
        ]

    def _notes(self) -> list[str]:
        """The sequences of actions, and the state of an unfinished search."""
        mdp, notes = self.model.mdp, []
        for rung in self.rungs:
            if rung.actions is not None:
                played = [action_label(mdp, a) for a in rung.actions[:_SHOWN].tolist()]
                more = ["…"] if len(rung.actions) > _SHOWN else []
                notes.append(f"{rung.name} plays: {', '.join(played + more)}")
        if not self.is_exact:
            found = self.marginal_map
            notes.append(
                f"The search for the best sequence stopped after {self.num_nodes:,} nodes: its value is between "
                f"{_number(found.value)} and {_number(found.upper_bound)} nats. Raise max_nodes, or shorten the "
                "horizon."
            )
        return notes

    def __str__(self) -> str:
        """A table for a terminal."""
        rows = self._rows()
        return "\n".join([grid(_HEAD, rows[:4], rows[4:], [], left=3), *self._notes()])

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        notes = "<br>".join(html.escape(note) for note in self._notes())
        return f"{html_grid(_HEAD, self._rows(), left=3)}<p>{notes}</p>"

    def __repr__(self) -> str:
        """A line with the values, from the highest rung down."""
        values = ", ".join(f"{rung.name} {_number(rung.value)}" for rung in self.rungs)
        return f"Ladder({values} nats)"


_HEAD = (("", "actions are", "chance is", "value", "true return"), ("", "", "", "[nats]", "[reward]"))


def ladder(model: MarkovModel, max_nodes: int = 200_000) -> Ladder:
    r"""The kinds of inference that are called planning, from the highest value to the lowest, each with its policy.

    They differ in what they compute from one unnormalised density of trajectories,
    $\tilde p = p(s_0) \prod_t \rho(a_t \mid s_t)\, p(k_t \mid s_t,a_t) \exp(r_t/\tau)$. In nats,

    $$\log \sum \tilde p \;\ge\; \max_\pi \log \sum \pi \tilde p \;\ge\; \max_{a_0 \dots a_{T-1}} \log \sum_{s,k}
        \tilde p \;\ge\; \max_{s,a,k} \log \tilde p$$

    - *marginal*: everything summed, the evidence.
    - *planning*: the best deterministic policy, which may depend on time and state; π is 1 on its action. The backward
      recursion is $V_t = \max_a \tau \log\rho + L_1[r + V_{t+1}]$. With a uniform prior and no discount, this is the
      best exponential utility $\log E \exp(\sum r/\tau)$ minus the constant $T \log A$.
    - *marginal-MAP*: the best sequence of actions that does not depend on states, by branch and bound.
    - *MAP*: the most probable trajectory: chance is chosen along with the actions.

    Two further rungs are *max-ent*, the clamped optimum, of which the marginal is an upper bound; and *risk-neutral*,
    the best $E[\sum \log\rho + r/\tau]$ with $V_t = \max_a \tau \log\rho + E[r + V_{t+1}]$, of which planning and
    max-ent are upper bounds. If the dynamics and the start are deterministic, planning, marginal-MAP, MAP and
    risk-neutral coincide. A discount counts as chance: survival of a step is summed, averaged (γ V) or chosen like the
    outcomes, and a terminated trajectory has no further factors.

    Ties between actions are resolved by the lowest index, up to rounding; ties between sequences by the order of the
    search. If everything is forbidden, the action is the first that the prior allows. A sequence is played in every
    state, even where the prior masks the action. After the most probable trajectory has terminated (only with a
    discount) the action is 0.

    Args:
        model: a tabular model with a positive temperature.
        max_nodes: the number of nodes after which the search for the best sequence stops, at some 20 to 100 µs per
            node. The value is then a lower bound, returned with an upper bound.

    Returns:
        The `Ladder`; print it for a table.

    Raises:
        InvalidArgument: if the temperature is 0, or `max_nodes` is not a positive whole number.

    References:
        [lazaro2024], [levine2018], [howard1972]
    """
    require_model(model, in_nats=True)
    whole("max_nodes", max_nodes, remedy="The search visits 200_000 in seconds.")
    free, clamped = infer(model, Optimism(1.0, 1.0, 1.0)), infer(model, Optimism(0.0, 0.0, 0.0))
    planned, neutral = _best_policy(model, 1.0), _best_policy(model, 0.0)
    mode = free.mode()
    best = free.log_evidence + mode.log_probability if free.value > -torch.inf else -torch.inf
    found = best_sequence(model, planned.ahead.cpu().numpy(), max_nodes)
    sequence = torch.from_numpy(found.actions).to(mode.actions.device)

    def rung(name: str, actions_are: str, chance_is: str, value: float, policy: Tensor) -> Rung:
        earned = evaluate(model, policy).true_return
        return Rung(name, actions_are, chance_is, value, value, policy, earned)

    def blind(
        name: str, actions_are: str, chance_is: str, value: float, most: float, actions: Int[Tensor, " time"]
    ) -> Rung:
        rows = torch.nn.functional.one_hot(actions, model.mdp.num_actions).to(model.action_prior)
        policy = rows[:, None].expand(-1, model.mdp.num_states, -1).contiguous()
        earned = evaluate(model, policy).true_return
        return Rung(name, actions_are, chance_is, value, most, policy, earned, actions)

    return Ladder(
        model=model,
        marginal=rung("marginal", "summed", "summed", free.log_evidence, free.policy),
        planning=rung("planning", "chosen by state", "summed", planned.value, planned.policy),
        marginal_map=blind("marginal-MAP", "chosen blindly", "summed", found.value, found.upper_bound, sequence),
        map=blind("MAP", "chosen", "chosen", best, best, mode.actions),
        max_ent=rung("max-ent", "summed", "averaged", clamped.objective, clamped.policy),
        risk_neutral=rung("risk-neutral", "chosen by state", "averaged", neutral.value, neutral.policy),
        num_nodes=found.num_nodes,
    )


class _Plan(NamedTuple):
    """The best deterministic policy, with values in nats, in float64."""

    value: float
    ahead: Float[Tensor, "time_and_last state"]
    policy: Float[Tensor, "time state action"]


def _best_policy(model: MarkovModel, optimism: float) -> _Plan:
    """The best action by time and state, with start, dynamics and survival summed (β = 1) or averaged (β = 0)."""
    mdp, tau = model.mdp.to(dtype=torch.float64), model.temperature
    log_p, log_prior = mdp.probability.log(), model.action_prior.double().log()
    continuation = log_p.new_tensor([mdp.discount, 1.0 - mdp.discount]).log().expand(mdp.num_states, 2)
    v = log_p.new_zeros(mdp.horizon + 1, mdp.num_states)
    if mdp.final_reward is not None:
        v[-1] = mdp.final_reward
    policy = model.action_prior.new_zeros(mdp.horizon, *log_prior.shape)
    for t in reversed(range(mdp.horizon)):
        ahead = certainty_equivalent(
            torch.stack((v[t + 1], torch.zeros_like(v[t + 1])), -1), continuation, tau, optimism
        )
        score = certainty_equivalent(mdp.reward + ahead[mdp.successor], log_p, tau, optimism) + tau * log_prior
        v[t] = score.amax(-1)
        lost = torch.isneginf(v[t])[:, None]
        choice = torch.where(lost, (log_prior > -torch.inf).double(), score).argmax(-1)
        policy[t].scatter_(-1, choice[:, None], 1.0)
    value = certainty_equivalent(v[0], mdp.initial.log(), tau, optimism)
    return _Plan(float(value) / tau, v / tau, policy)


def _number(value: float) -> str:
    """The number with four decimals, without a minus sign before a rounded zero."""
    text = f"{value:.4f}" if abs(value) < 1e5 else f"{value:.6g}"
    return text.lstrip("-") if float(text) == 0 else text
