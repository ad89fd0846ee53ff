"""The notebook page of a problem: its sizes and the outcomes of the first states."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from .html import ROWS, counted, heading, left_out, share
from .tables import html_grid
from .wording import HasNames, action_label, reward_phrase, state_label

_MOST_OUTCOMES = 4  # the most outcomes of a (state, action) that a page shows


@runtime_checkable
class HasOutcomes(HasNames, Protocol):
    """A problem with tables of outcomes, such as `TabularMDP`, which describes them."""

    @property
    def initial(self) -> Float[Tensor, " state"]:
        """p(s_0)."""
        ...

    @property
    def probability(self) -> Float[Tensor, "*time state action outcome"]:
        """p(k|s, a)."""
        ...

    @property
    def successor(self) -> Int[Tensor, "state action outcome"]:
        """s'(s, a, k)."""
        ...

    @property
    def reward(self) -> Float[Tensor, "*time state action outcome"]:
        """r(s, a, k)."""
        ...

    @property
    def horizon(self) -> int:
        """T."""
        ...

    @property
    def discount(self) -> float:
        """γ."""
        ...


def problem_page(mdp: HasOutcomes, title: str = "TabularMDP", also: str = "") -> str:
    """The notebook page of a problem: its sizes and the outcomes of the first states."""
    num_states, num_actions, num_outcomes = mdp.probability.shape[-3:]
    timed = max(mdp.probability.ndim, mdp.reward.ndim) > 3
    start = mdp.initial.topk(min(3, num_states))
    likeliest = [
        f"{state_label(mdp, s)} {share(p)}"
        for p, s in zip(start.values.tolist(), start.indices.tolist(), strict=True)
        if p > 0
    ]
    more = int((mdp.initial > 0).sum()) - len(likeliest)
    sizes = (
        f"{counted(num_states, 'state')}, {counted(num_actions, 'action')}, at most "
        f"{counted(num_outcomes, 'outcome')}, horizon T = {mdp.horizon}, discount γ = {mdp.discount:g}{also}"
    )
    begins = f"start: {', '.join(likeliest)}" + (f", … {more:,} more" if more else "")
    states = max(1, min(num_states, ROWS // min(num_actions, ROWS)))
    head = [["state", "action", f"outcomes{' at t = 0' if timed else ''}: probability, where to, reward"]]
    table = html_grid(head, [row for s in range(states) for row in _outcome_rows(mdp, s)], left=3)
    return heading(title, sizes, begins) + table + left_out(num_states - states, "state")


def _outcome_rows(mdp: HasOutcomes, s: int) -> Iterator[list[str]]:
    """Yield a table row for each of the first actions in a state."""
    num_actions = mdp.probability.shape[-2]
    tables = mdp.probability.detach(), mdp.reward.detach()
    probability, reward = (table[0] if table.ndim > 3 else table for table in tables)
    for a in range(min(num_actions, ROWS)):
        outcomes = (probability[s, a] > 0).nonzero()[:, 0].tolist()
        said = [
            f"{share(float(probability[s, a, k]))} → {state_label(mdp, int(mdp.successor[s, a, k]))} "
            f"({reward_phrase(float(reward[s, a, k]))})"
            for k in outcomes[:_MOST_OUTCOMES]
        ]
        said += [f"… {len(outcomes) - _MOST_OUTCOMES} more"] if len(outcomes) > _MOST_OUTCOMES else []
        yield [state_label(mdp, s) if a == 0 else "", action_label(mdp, a), "; ".join(said)]
    if num_actions > ROWS:
        yield ["", f"… {num_actions - ROWS:,} more", ""]
