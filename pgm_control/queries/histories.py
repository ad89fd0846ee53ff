"""The optimum over all policies that depend on the history alone: exact inference, with beliefs about the state.

Sources:
    [kaelbling1998] L. P. Kaelbling, M. L. Littman and A. R. Cassandra, Planning and acting in partially observable
        stochastic domains. Artificial Intelligence 101(1–2):99–134, 1998. doi:10.1016/S0004-3702(98)00023-X
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.operators import certainty_equivalent, tilt
from ..models.partially_observed import PartiallyObservedModel, with_memory
from ..problems.mdp import last_reward
from ..problems.memory_states import Remembered
from ..runtime.moving import Place, moved, moved_copy, moved_log_probability, place_of
from ..text.tables import grid, html_grid
from ..trajectories.blocks import Blocks, MarkovModel, in_nats
from ..trajectories.program import run_program

_ROWS = 20  # rows of a printed table


@final
@dataclass(frozen=True, eq=False, repr=False)
class HistoryOptimum:
    """The maximum-entropy optimum of a POMDP over all policies that depend on the whole history h.

    The start distribution and the dynamics are those of the model (clamped). The object is a Pyro guide: calling it
    runs its program on `model`, and `blocks()` returns its factors.

    Attributes:
        remembered: the problem whose memory is the whole history h; the tables below have one row for each h.
        model: its tabular model.
        belief: $b_t(s \\mid h)$ of each pair (s, h), probabilities; 0 if h cannot occur at that time.
        q: $Q_t(h, a)$, in reward units. If h cannot occur at that time it is 0, and the policy is the prior.
        v: $V_t(h)$, in reward units.
        value: $E[V_0]$ over the first observation, in reward units.
        log_policy: $\\log π_t(a \\mid h)$.
    """

    remembered: Remembered
    model: MarkovModel
    belief: Float[Tensor, "time state"]
    q: Float[Tensor, "time memory action"]
    v: Float[Tensor, "time memory"]
    value: float
    log_policy: Float[Tensor, "time memory action"]

    def __call__(self) -> None:
        """Sample one trajectory as a Pyro program, at the model's sites."""
        run_program(self.blocks())

    def blocks(self) -> Blocks:
        """The factors on `model`: the policy is tied over the states with the same memory."""
        return self.model.blocks().replace(log_policy=self.log_policy[:, self.remembered.memory_of_state])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "HistoryOptimum":
        """The optimum on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        The result is rounded, not recomputed.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        place = place_of(self.q, device, dtype)
        if place == Place.of(self.q):
            return self
        model = moved(self.model, place)
        remembered = moved_copy(self.remembered, place, mdp=model.mdp)
        log_policy = moved_log_probability(self.log_policy, place)
        return moved_copy(self, place, model=model, remembered=remembered, log_policy=log_policy)

    @property
    def policy(self) -> Float[Tensor, "time memory action"]:
        """The policy π_t(a|h), probabilities."""
        return self.log_policy.exp()

    @property
    def objective(self) -> float | Any:
        """The ELBO, in nats; None at temperature 0, where rewards have no nats: `value` is the optimum."""
        return in_nats(self.value, self.model)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON or a data frame: one row per reachable history and step."""
        visits = self.blocks().marginals().state[:-1]
        visited = torch.zeros_like(self.v).index_add(1, self.remembered.memory_of_state, visits)
        actions = [self.model.mdp.action_name(a) for a in range(self.model.mdp.num_actions)]
        rows = [
            {
                "step": int(t),
                "memory": self.remembered.memory_names[m],
                "probability": float(visited[t, m]),
                "value": float(self.v[t, m]),
                "policy": dict(zip(actions, self.policy[t, m].tolist(), strict=True)),
            }
            for t, m in visited.nonzero().tolist()
        ]
        return {"value": self.value, "temperature": self.model.temperature, "histories": rows}

    def __str__(self) -> str:
        """A table of the policy by history, for a terminal."""
        head, *body = self._table()
        return "\n".join([grid([head], body, left=2), self._note()])

    def __repr__(self) -> str:
        """A line with the problem and the value."""
        return f"HistoryOptimum({self.remembered.pomdp!r}, value {self.value:.6g})"

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        head, *body = self._table()
        return html_grid([head], body, left=2, caption=self._note())

    def _table(self) -> list[list[str]]:
        """Rows of text with the headings first: the first histories by time, then by decreasing probability."""
        rows = sorted(self.to_dict()["histories"], key=lambda row: (row["step"], -row["probability"]))
        actions = [self.model.mdp.action_name(a) for a in range(self.model.mdp.num_actions)]
        table = [["step", "after", "probability", "value [reward]", *actions]]
        for row in rows[:_ROWS]:
            chosen = [f"{each:.4f}" for each in row["policy"].values()]
            table.append([str(row["step"]), row["memory"], f"{row['probability']:.4f}", f"{row['value']:.4f}", *chosen])
        return table

    def _note(self) -> str:
        number = len(self.to_dict()["histories"])
        more = f"; {number - _ROWS} more histories" if number > _ROWS else ""
        return f"value {self.value:.6g} reward at temperature {self.model.temperature:g}{more}"


def history_optimum(model: PartiallyObservedModel, *, max_states: int = 100_000) -> HistoryOptimum:
    r"""The max-ent optimum over all policies that depend only on the past, by one backward sweep over histories.

    With the belief $b(s \mid h)$ given the observations, which does not depend on the policy,

    $$Q_t(h, a) = \sum_s b(s \mid h) \sum_{k, o} p(k \mid s, a)\, p(o \mid a, s')\,
        \bigl(r(s, a, k) + \gamma V_{t+1}(h, a, o)\bigr)$$

    $$V_t(h) = \tau \log \sum_a \rho(a) \exp(Q_t(h, a) / \tau), \qquad
        \pi_t(a \mid h) = \rho(a) \exp((Q_t - V_t) / \tau)$$

    and $V_T$ is the final reward. The value is an upper bound for every guide with a finite memory. It is at most that
    of `infer(model, 0.0)`, where the agent sees the state. τ = 0 gives the hard optimum of the POMDP.

    No such sweep exists if the dynamics are free: then the belief about the state depends on the optimism.

    Args:
        model: a model whose problem is small enough to list its histories: (A·O)^(T−1), minus the impossible ones.
        max_states: the maximum number of pairs of a state and a history.

    Returns:
        The optimum, usable as a guide of its `model`.

    Raises:
        InvalidArgument: if there are too many histories, or `model` is not a `PartiallyObservedModel`.

    References:
        [kaelbling1998], [ziebart2010]
    """
    remembered, tabular = with_memory(model, max_states=max_states)
    mdp, where, beliefs = remembered.mdp, remembered.memory_of_state, _beliefs(remembered)
    log_p = mdp.probability.log()
    log_prior = mdp.probability.new_zeros(remembered.num_memories, mdp.num_actions)
    log_prior[where] = tabular.action_prior.log()
    ahead = last_reward(mdp)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for belief in beliefs.flip(0):
        of_state = certainty_equivalent(mdp.reward + mdp.discount * ahead[mdp.successor], log_p, model.temperature, 0.0)
        believed = belief[:, None] * torch.where(belief[:, None] > 0, of_state, 0.0)
        q = torch.zeros_like(log_prior).index_add(0, where, believed)
        v = certainty_equivalent(q, log_prior, model.temperature, 1.0)
        found.append((q, v, tilt(q, log_prior, model.temperature, 1.0)))
        ahead = v[where]
    q, v, log_policy = (torch.stack(each) for each in zip(*reversed(found), strict=True))
    value = certainty_equivalent(ahead, mdp.initial.log(), model.temperature, 0.0)
    return HistoryOptimum(remembered, tabular, beliefs, q, v, float(value), log_policy)


def _beliefs(remembered: Remembered) -> Float[Tensor, "time state"]:
    """The probability of each pair's state given its memory, which includes the actions, so that no policy enters."""
    mdp, where = remembered.mdp, remembered.memory_of_state
    reached, beliefs = mdp.initial, []
    for _ in range(mdp.horizon):
        total = reached.new_zeros(remembered.num_memories).index_add(0, where, reached)[where]
        beliefs.append(torch.where(total > 0, reached / total, 0.0))
        arrived = (beliefs[-1][:, None, None] * mdp.probability).flatten()
        reached = torch.zeros_like(reached).index_add(0, mdp.successor.flatten(), arrived)
    return torch.stack(beliefs)
