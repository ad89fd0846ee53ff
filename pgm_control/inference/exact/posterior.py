"""The exact optimum of an objective: a distribution over trajectories, with its values, that serves as a guide."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.budget import BudgetReport, KLBudget
from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...problems.grid import Grid, grid_of
from ...problems.mdp import TabularMDP
from ...runtime.arguments import shown, whole_number
from ...runtime.moving import Place, moved, moved_copy, place_of
from ...text.html import HeatmapCell, heading, heatmap, share
from ...text.tables import html_grid
from ...text.wording import above_rounding, action_label, amount, reward_phrase, state_label
from ...trajectories.action_measure import evidence_name
from ...trajectories.beliefs import tilted_events
from ...trajectories.betas import at_temperatures
from ...trajectories.blocks import Blocks, MarkovModel, in_nats
from ...trajectories.by_step import StepBlocks, Visits, sampled, visits_of
from ...trajectories.policy import policy_table
from ...trajectories.program import run_program
from ...trajectories.samples import Occupancy, Trajectories, Trajectory
from ...trajectories.steps import temperature_at, temperature_words, temperatures_of
from .backward.evidence import Evidence
from .backward.messages import forward_messages
from .tables import PosteriorStep, TablesByStep, WholeTables

_CELLS = 260  # the most cells of a grid that is drawn as a grid
_CHEAP = 200_000  # the most entries of (time, state, action, outcome) for which the tilted events are shown
_DIRECTIONS = ("left", "west"), ("right", "east"), ("up", "north"), ("down", "south"), ("stay", "wait")
_ARROWS = {name: arrow for names, arrow in zip(_DIRECTIONS, "←→↑↓•", strict=True) for name in names}


@final
@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    r"""The exact optimum of $J_β$, or within a `KLBudget`, as `infer` returns it.

    Calling it runs its Pyro program, so it serves as a guide; `blocks()` gives its factors as log-probabilities.

    `at(t)`, `visits` and `sample` need the tables of one step at a time. The tables of all steps, `q`, `distribution`,
    `policy`, `dynamics`, and what is computed from them, are refused where they do not fit into memory. The factors may
    be made when they are first read; a model or values that were changed in place before that are refused.

    Attributes:
        model: the model that was solved; with a budget of the policy, at the temperature that was found.
        optimism: β of each block, or the `KLBudget` that took its place.
        v: soft state values $V_t(s)$, in reward units, t = 0 … T. If the temperature depends on time, those of step t
            are $\tau_t$ times the messages in nats.
        value: $L_{β_0}[V_0]$ over the start, in reward units: the objective times τ_0 where τ_0 > 0. Within a
            `KLBudget` it is the maximum of $E_q[\sum_t r_t - τ \log π_t/ρ]$, or of the return with one of the policy.
            A number, or if tables of the model require gradients a tensor that is differentiable in them, as are q and
            v.
        tables: the tables of all steps; or by step, where the former did not fit into memory.
        evidence: what it is conditioned on beside optimality; None for nothing.
        budget: how a `KLBudget` was spent; None without one.
    """

    model: MarkovModel
    optimism: Optimism | KLBudget
    v: Float[Tensor, "time_and_last state"]
    value: float | Any
    tables: WholeTables | TablesByStep
    evidence: Evidence | None = None
    budget: BudgetReport | Any = None  # Any, so that those who gave one need not check it

    def __call__(self) -> None:
        """Sample one trajectory as a Pyro program, at the model's sites."""
        run_program(self.distribution)

    def blocks(self) -> Blocks:
        """The factors, as log-probabilities."""
        return self.distribution

    @property
    def distribution(self) -> Blocks:
        """The factors, as log-probabilities.

        Raises:
            InvalidArgument: if they do not fit into memory; the message says how large they are.
        """
        return self.tables.whole().distribution

    @property
    def q(self) -> Float[Tensor, "time state action"]:
        """The soft action values $Q_t(s, a)$, in reward units.

        Raises:
            InvalidArgument: if they do not fit into memory; the message says how large they are.
        """
        return self.tables.whole().q

    def at(self, t: int) -> PosteriorStep:
        """Q and the factors of step t alone, t = 0 … T − 1: a slice of the tables, or made from $V_{t+1}$.

        Raises:
            InvalidArgument: if there is no such step.
        """
        steps, found = self.model.mdp.horizon, whole_number(t)
        if found is None or not 0 <= found < steps:
            raise InvalidArgument(f"`t` must be a step, a whole number from 0 to {steps - 1}, but is {shown(t)}.")
        return self.tables.at(found)

    def visits(self) -> Visits:
        """The marginal probabilities of the states and the expected reward of each step, by one forward sweep."""
        return visits_of(self.model.mdp, self.initial, self._blocks_at)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Posterior":
        """A copy on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        The tables are rounded, not recomputed.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        place = place_of(self.v, device, dtype)
        if place == Place.of(self.v):
            return self
        model = moved(self.model, place)
        return moved_copy(self, place, model=model, tables=self.tables.moved(model, place))

    def detach(self) -> "Posterior":
        """The posterior with numbers in place of tensors that are differentiable in tables of the model."""
        if not isinstance(self.value, Tensor) or isinstance(self.tables, TablesByStep):
            return self
        return replace(self, v=self.v.detach(), value=self.value.item(), tables=self.tables.detached())

    @property
    def initial(self) -> Float[Tensor, " state"]:
        """The start distribution, q(s_0), as probabilities."""
        return self.tables.log_initial.exp()

    @property
    def policy(self) -> Float[Tensor, "time state action"]:
        """The policy, π_t(a|s), as probabilities. Where every action is forbidden it is the prior."""
        return self.distribution.policy

    @property
    def dynamics(self) -> Float[Tensor, "time state action outcome"]:
        """The dynamics that the posterior believes in, q_t(k|s, a), as probabilities."""
        return self.distribution.dynamics

    @property
    def objective(self) -> float | Any:
        """The optimum, `value` over τ_0, in nats; None at temperature 0, where rewards have no nats."""
        return in_nats(self.value, self.model)

    @property
    def is_free(self) -> bool:
        """True if every block of the model is free, so that this is the exact posterior."""
        if temperature_at(self.model, 0) == 0 or isinstance(self.optimism, KLBudget):
            return False
        optimism, survives = at_temperatures(self.optimism, self.model.temperature), self.model.mdp.discount == 1
        return Optimism(optimism.dynamics, optimism.initial, 1.0 if survives else optimism.survival).is_free

    @property
    def log_evidence(self) -> float | Any:
        """log p(O), in nats: the log-probability that every step was optimal, up to the scale of the rewards.

        With evidence it is log p(O, evidence); log p(evidence | O) is the difference of the two.

        With the action prior "count" it is a log partition function, the sum over trajectories without a prior.

        Raises:
            InvalidArgument: unless every block is free.
        """
        self._require_free("log_evidence", "`objective` is the number that this posterior maximises")
        return self.value / temperature_at(self.model, 0)

    @property
    def advantage(self) -> Float[Tensor, "time state action"]:
        """$Q_t(s, a) - V_t(s)$, in reward units: $τ \\log π_t/ρ$ where the action prior ρ is positive.

        It is 0 where every action is forbidden.
        """
        v = self.v[:-1]
        if self.evidence is not None:  # what V has for the evidence on the state, every action has
            none = torch.zeros_like(v)
            taus = temperatures_of(self.model)
            known = torch.stack([self.evidence.states(t, none[t], taus[t]) for t in range(len(v))])
            v = torch.where(known > -torch.inf, v - known, v)
        v = v[..., None]
        return torch.where(v > -torch.inf, self.q - v, 0.0)

    def marginals(self) -> Occupancy:
        """The marginal probabilities of states, actions and outcomes by time: `.state`, `.state_action`, `.outcome`."""
        return self.distribution.marginals()

    @property
    def forward(self) -> Float[Tensor, "time_and_last state"]:
        r"""The log forward messages $\log p(s_t, O_0, \dots, O_{t-1})$, in nats.

        With the log backward messages $V_t/\tau$ they give $\log p(s_t \mid O) + \log p(O)$ for every t.

        Raises:
            InvalidArgument: unless every block is free.
        """
        self._require_free("forward", "`marginals()` is defined for any optimism")
        return forward_messages(self.model, self.evidence)

    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> Trajectories:
        """Draw independent trajectories, a step at a time; see `Blocks.sample`."""
        return sampled(self.model.mdp, self.tables.log_initial, self._blocks_at, num_samples, seed)

    def _blocks_at(self, t: int) -> StepBlocks:
        return self.tables.at(t).blocks

    def mode(self) -> Trajectory:
        """The most probable trajectory (max-product), and its log-probability in nats."""
        return self.distribution.mode()

    def _require_free(self, what: str, instead: str) -> None:
        if not self.is_free:
            remedy = "infer(model, 1.0)" if self.model.mdp.discount == 1 else "infer(model, Optimism(survival=1.0))"
            raise InvalidArgument(
                f"`{what}` belongs to the exact posterior, in which every block is free, but here {self.optimism}. "
                f"Call {remedy} for it; {instead}."
            )

    def __repr__(self) -> str:
        """The model, the optimism and the value or the objective."""
        unit = f"value {self.value:.6g}" if self.objective is None else f"objective {self.objective:.6f} nats"
        sites = [] if self.evidence is None else self.evidence.sites
        known = f"given {', '.join(sites)}, " if sites else ""
        chosen = self.budget or self.optimism
        return f"Posterior({self.model.mdp!r}, temperature {temperature_words(self.model)}, {chosen}, {known}{unit})"

    def _repr_html_(self) -> str:
        """The objective, the policy at t = 0 and the tilted events, for a notebook."""
        model, mdp = self.model, self.model.mdp
        value = self.detach().value
        reached = f"value {amount(value)} reward units"
        if self.objective is not None:
            name = evidence_name(model) if self.is_free else "objective"
            reached = f"{name} = {amount(value / temperature_at(model, 0))} nats, {reached}"
        sites = [] if self.evidence is None else self.evidence.sites
        known = f", given {', '.join(sites)}" if sites else ""
        chosen = f"{self.budget or self.optimism!r}{known}"
        about = f"{chosen}, temperature τ = {temperature_words(model)}, horizon T = {mdp.horizon}"
        grid, policy = _grid(mdp), self.at(0).blocks.policy
        parts = [heading("Posterior", reached, about)]
        if grid is not None:
            parts.append(_arrows(mdp, policy, grid))
        else:
            v = self.v[0].detach()
            largest = float(v.nan_to_num(0.0, 0.0, 0.0).abs().max())
            worth = {"V₀ [reward]": lambda s: amount(above_rounding(float(v[s]), largest))}
            names = (lambda s: state_label(mdp, s)), (lambda a: action_label(mdp, a))
            parts.append(policy_table(policy, *names, worth, when="policy at t = 0"))
        tilts = temperature_at(model, 0) > 0 or isinstance(self.optimism, KLBudget) or not self.optimism.is_clamped
        if tilts and mdp.horizon * mdp.probability.numel() <= _CHEAP:
            parts.append(_event_table(self))
        return "".join(parts)


def _grid(mdp: TabularMDP) -> Grid | None:
    """The grid of the states, if it is small enough and the actions are directions on it."""
    if mdp.layout is None or any(name not in _ARROWS for name in mdp.action_names or ("?",)):
        return None
    grid = grid_of(mdp.layout)
    return grid if grid.rows * grid.columns <= _CELLS else None


def _arrows(mdp: TabularMDP, policy: Float[Tensor, "state action"], grid: Grid) -> str:
    """Arrows of the most probable actions on the grid, darker where more probable; · where all are equally so."""
    names = [action_label(mdp, a) for a in range(mdp.num_actions)]
    lines: list[list[str | HeatmapCell]] = []
    for i in range(grid.rows):
        line: list[str | HeatmapCell] = []
        for j in range(grid.columns):
            s = grid.state_at.get((i, j))
            line.append("" if s is None else _arrow(policy[s].tolist(), names, state_label(mdp, s)))
        lines.append(line)
    note = "<p>At t = 0: the most probable action in each cell, darker the more probable; point at a cell for all.</p>"
    return heatmap([], lines) + note


def _arrow(row: Sequence[float], names: Sequence[str], state: str) -> HeatmapCell:
    best, worst = max(row), min(row)
    hint = f"{state}: " + ", ".join(f"{name} {share(p)}" for name, p in zip(names, row, strict=True))
    if best - worst < 1e-6:
        return HeatmapCell("·", 0.0, hint)
    return HeatmapCell("".join(_ARROWS[n] for n, p in zip(names, row, strict=True) if p >= best - 1e-6), best, hint)


def _event_table(posterior: Posterior) -> str:
    """A table of the most tilted events, with true and believed probabilities."""
    mdp, rows = posterior.model.mdp, []
    for event in tilted_events(posterior.model, posterior):
        outcome = event.raised
        target = f"{state_label(mdp, outcome.successor)} ({reward_phrase(outcome.reward)})"
        named = state_label(mdp, event.state), action_label(mdp, event.action), target
        rows.append([*named, share(outcome.true), share(outcome.believed), amount(event.tilt)])
    if not rows:
        return "<p>It believes the true dynamics.</p>"
    head = [["state", "action", "outcome it favours", "true", "believed", "KL"], ["", "", "", "", "", "[nats]"]]
    return html_grid(head, rows, left=3, caption="The most tilted events, pooled over the steps")
