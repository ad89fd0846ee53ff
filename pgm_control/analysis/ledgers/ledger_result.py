"""The result of `ledger`: arrays, a headline, tables and files."""

import html
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...problems.mdp import TabularMDP
from ...runtime.files import path_of, write_whole
from ...text.csv_table import csv_table
from ...text.html import heading
from ...text.tables import grid, html_grid
from ...text.wording import action_label, amount, chance, reward_phrase, state_label
from ...trajectories.beliefs import Event
from .headlines import SHORT, gap_headline, share_of

_PLACES, _STEPS = 5, 5  # how many are printed


class _Place(NamedTuple):
    """A part of the gap, summed over the steps."""

    block: str
    state: int
    action: int | None
    nats: float


class Totals(NamedTuple):
    """The contribution of each block to the gap, in nats."""

    initial: float
    policy: float
    dynamics: float
    survival: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class Ledger:
    r"""The result of `ledger`: the entries of the gap. It prints as tables, can be saved, and has arrays for heatmaps.

    All entries are in nats and weighted by the visits that the guide expects, so the entries sum to the totals and the
    totals to the gap. An infinite entry marks what the guide can reach and the optimum cannot.

    Attributes:
        mdp: the problem, for names.
        optimism: β of the objective (default: 1 for every block, where the objective is the ELBO).
        log_evidence: log p(O), the highest ELBO of any guide; for another optimism, $J_\beta^*$.
        elbo: the guide's ELBO; for another optimism, its $J_\beta$. It is −inf if the gap is infinite.
        initial_by_state: q(s_0) log q/q*. Single entries may be negative: their sum is the KL.
        policy_by_state: the entries of the policy, by step and state.
        dynamics_by_pair: the entries of the dynamics, by step, state and action.
        survival_by_state: the entries of survival, by step and by the state reached; 0 without a discount.
        delusion_by_step: $E_q[r_t] - E_{p,\pi}[r_t]$, in reward units, with the final reward last; the entries sum to
            the delusion of `evaluate`. 0 at a step where both are −inf.
        jensen: $\log E\, e^x - E\, x$ under the true dynamics, for $x = (r + V_{t+1})/\tau$ with the values of the
            optimum: the gain from freeing this one event, in nats, for an agent that is there. Infinite if some
            outcomes are forbidden and others are not.
        events: the random events that the guide believes it controls, beside the true probabilities; at most one a
            state, the largest expected KL first.
        posterior_events: the random events that the optimum believes it controls.
        evidence_name: "log p(O)", or "log partition function" if the action prior counts actions.
    """

    mdp: TabularMDP
    optimism: Optimism
    log_evidence: float
    elbo: float
    initial_by_state: Float[Tensor, " state"]
    policy_by_state: Float[Tensor, "time state"]
    dynamics_by_pair: Float[Tensor, "time state action"]
    survival_by_state: Float[Tensor, "time next_state"]
    delusion_by_step: Float[Tensor, " time_and_last"]
    jensen: Float[Tensor, "time state action"]
    events: tuple[Event, ...]
    posterior_events: tuple[Event, ...]
    evidence_name: str = "log p(O)"

    @property
    def totals(self) -> Totals:
        """The contribution of each block."""
        blocks = self.initial_by_state, self.policy_by_state, self.dynamics_by_pair, self.survival_by_state
        return Totals(*(float(each.sum()) for each in blocks))

    @property
    def gap(self) -> float:
        """The gap log p(O) − ELBO, computed as the sum of the totals, which is more precise than the difference."""
        return sum(self.totals)

    @property
    def policy_by_step(self) -> Float[Tensor, " time"]:
        """The contribution of the actions of each step."""
        return self.policy_by_state.sum(-1)

    @property
    def dynamics_by_step(self) -> Float[Tensor, " time"]:
        """The contribution of the dynamics of each step."""
        return self.dynamics_by_pair.sum((-1, -2))

    @property
    def survival_by_step(self) -> Float[Tensor, " time"]:
        """The contribution of survival of each step."""
        return self.survival_by_state.sum(-1)

    @property
    def headline(self) -> str:
        """The finding in one sentence."""
        if self.log_evidence == self.elbo == -math.inf:
            return "No gap: nothing is possible here, so that every guide is as good as any other."
        return gap_headline(self.totals._asdict(), self.gap, _best(self), _rounding(self))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers and lists, for JSON; infinities are "inf" and "-inf", which `float` reads."""
        arrays = (
            *("policy_by_step", "dynamics_by_step", "survival_by_step", "initial_by_state", "policy_by_state"),
            *("dynamics_by_pair", "survival_by_state", "delusion_by_step", "jensen"),
        )
        mdp = self.mdp
        found = {
            "headline": self.headline,
            "log_evidence": self.log_evidence,
            "elbo": self.elbo,
            "gap": self.gap,
            "totals": self.totals._asdict(),
            **{name: getattr(self, name).tolist() for name in arrays},
            "events": [asdict(event) for event in self.events],
            "posterior_events": [asdict(event) for event in self.posterior_events],
            "state_names": [mdp.state_name(s) for s in range(mdp.num_states)],
            "action_names": [mdp.action_name(a) for a in range(mdp.num_actions)],
        }
        return _plain(found)

    def save(self, path: str | Path) -> None:
        """Write the ledger to a file, completely or not at all.

        Args:
            path: the suffix selects the format. .json: everything in `to_dict`. .csv: a tidy table of the gap with the
                columns step, state, action, block, nats, without the entries that are 0; for survival the state is
                the one that the step leads to.

        Raises:
            InvalidArgument: if the suffix is another one.
        """
        suffix = path_of(path).suffix.lower()
        if suffix == ".json":
            content = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        elif suffix == ".csv":
            content = csv_table(("step", "state", "action", "block", "nats"), _entries(self))
        else:
            raise InvalidArgument(
                f"`path` must end in .json or .csv, but is {str(path)!r}. Take .json for everything, or .csv for a "
                "tidy table of the gap."
            )
        write_whole(path, content.encode())

    def __str__(self) -> str:
        """The headline and the tables as text, for a terminal."""
        title, *rows = _rows(self)
        parts = [self.headline, grid([title], rows), _account(self)]
        places = _place_rows(self)
        if places:
            parts.append("Largest entries, summed over the steps:\n" + grid([_PLACE_TITLES], places, left=3))
        return "\n\n".join([*parts, *_notes(self)])

    def _repr_html_(self) -> str:
        """The same as HTML, for a notebook."""
        title, *rows = _rows(self)
        parts = [heading(self.headline), html_grid([title], rows)]
        parts.append(f"<p>{html.escape(_account(self))}</p>")
        places = _place_rows(self)
        if places:
            parts += ["<p>Largest entries, summed over the steps:</p>", html_grid([_PLACE_TITLES], places, left=3)]
        parts += ["<p>" + html.escape(note).replace("\n", "<br>") + "</p>" for note in _notes(self)]
        return "".join(parts)

    def __repr__(self) -> str:
        """The gap and its parts, in nats, in one line."""
        parts = ", ".join(f"{name} {nats:.6g}" for name, nats in self.totals._asdict().items())
        return f"Ledger(gap {self.gap:.6g} nats: {parts})"


def _entries(ledger: Ledger) -> Iterator[tuple[int, str, str, str, float]]:
    """Yield step, state, action, block and nats of all entries that are not 0. The start has step 0."""
    mdp = ledger.mdp
    for block, table in _by_block(ledger).items():
        timed = table[None] if block == "initial" else table
        for index, nats in zip(timed.nonzero().tolist(), timed[timed != 0].tolist(), strict=True):
            step, state, *action = index
            yield step, mdp.state_name(state), mdp.action_name(action[0]) if action else "", block, nats


def _by_block(ledger: Ledger) -> dict[str, Tensor]:
    return {
        "initial": ledger.initial_by_state,
        "policy": ledger.policy_by_state,
        "dynamics": ledger.dynamics_by_pair,
        "survival": ledger.survival_by_state,
    }


def _best(ledger: Ledger) -> str:
    """The name of the reference: "posterior" if every random event is free, else "optimum"."""
    beta, survives = ledger.optimism, ledger.mdp.discount == 1
    free = Optimism(beta.dynamics, beta.initial, 1.0 if survives else beta.survival).is_free
    return "posterior" if free else "optimum"


def _rounding(ledger: Ledger) -> float:
    """The size of rounding errors, in nats."""
    digits = 1e-9 if ledger.jensen.dtype == torch.float64 else 1e-5
    return digits * max(1.0, abs(ledger.log_evidence)) if math.isfinite(ledger.log_evidence) else digits


def _rows(ledger: Ledger) -> list[tuple[str, ...]]:
    """The table of blocks: a head, one row per block, and the total."""
    totals = ledger.totals._asdict()
    if ledger.mdp.discount == 1 and totals["survival"] == 0:
        del totals["survival"]
    rows = [(SHORT[name], _nats(ledger, nats), _share(ledger, nats)) for name, nats in totals.items()]
    return [("block", "nats", "share"), *rows, ("gap", _nats(ledger, ledger.gap), _share(ledger, ledger.gap))]


def _account(ledger: Ledger) -> str:
    if _best(ledger) == "posterior":
        return f"{ledger.evidence_name} = {amount(ledger.log_evidence)} nats, ELBO = {amount(ledger.elbo)} nats"
    return (
        f"optimal objective = {amount(ledger.log_evidence)} nats, objective of the guide = {amount(ledger.elbo)} nats, "
        f"{ledger.optimism}"
    )


_PLACE_TITLES = ("block", "state", "action", "nats", "share")


def _place_rows(ledger: Ledger) -> list[tuple[str, ...]]:
    mdp = ledger.mdp
    return [
        (
            *(SHORT[block], state_label(mdp, state), "" if action is None else action_label(mdp, action)),
            *(_nats(ledger, nats), _share(ledger, nats)),
        )
        for block, state, action, nats in _places(ledger)
    ]


def _places(ledger: Ledger) -> list[_Place]:
    """The largest entries of all blocks, by state or by state and action."""
    found: list[_Place] = []
    for block, table in _by_block(ledger).items():
        summed = table if block == "initial" else table.sum(0)
        flat = summed.flatten()
        for i in flat.abs().topk(min(_PLACES, len(flat))).indices.tolist():
            state, *action = map(int, np.unravel_index(i, tuple(summed.shape)))
            found.append(_Place(block, state, action[0] if action else None, float(flat[i])))
    found = [place for place in found if abs(place.nats) > _rounding(ledger)]
    return sorted(found, key=lambda place: -abs(place.nats))[:_PLACES]


def _notes(ledger: Ledger) -> list[str]:
    """The notes on steps, delusion and random events."""
    notes, steps = [], ledger.policy_by_step + ledger.dynamics_by_step + ledger.survival_by_step
    largest = steps.abs().argsort(descending=True, stable=True)[:_STEPS].tolist()
    listed = "; ".join(f"step {t}: {amount(float(steps[t]))}" for t in largest if abs(steps[t]) > _rounding(ledger))
    if len(steps) > 1 and listed:
        notes.append(f"Largest steps, in nats: {listed}.")
    delusion = float(ledger.delusion_by_step.sum())
    if abs(delusion) > _rounding(ledger):  # false for nan, where the two returns are −inf
        notes.append(f"Delusion (imagined − true return): {amount(delusion)} reward units.")
    if ledger.events:
        notes.append(
            "\n".join(["Random events that the guide believes it controls:", *_event_lines(ledger, ledger.events)])
        )
    elif ledger.posterior_events:
        title = f"The guide has the true dynamics. Random events that the exact {_best(ledger)} believes it controls:"
        notes.append("\n".join([title, *_event_lines(ledger, ledger.posterior_events)]))
    return notes


def _event_lines(ledger: Ledger, events: Sequence[Event]) -> list[str]:
    mdp, lines = ledger.mdp, []
    for event in events:
        outcome, where = event.raised, f"{action_label(mdp, event.action)} in {state_label(mdp, event.state)}"
        shown = f"{state_label(mdp, outcome.successor)} ({reward_phrase(outcome.reward)})"
        true = "impossible" if outcome.true == 0 else chance(outcome.true)
        lines.append(
            f"  {where}: {shown}, truly {true}, believed {chance(outcome.believed)}; {amount(event.tilt)} nats"
        )
    return lines


def _nats(ledger: Ledger, nats: float) -> str:
    return "0" if abs(nats) <= _rounding(ledger) else amount(nats)


def _share(ledger: Ledger, nats: float) -> str:
    return share_of(nats, ledger.gap, ledger.totals._asdict(), _rounding(ledger))


def _plain(value: Any) -> Any:
    """Return the value with infinities as text, because JSON has none."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
