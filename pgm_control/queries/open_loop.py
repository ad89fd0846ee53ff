"""The best sequence of actions that does not depend on states: marginal-MAP, by branch and bound."""

from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float, Int

from ..trajectories.blocks import MarkovModel

_SLACK = 1e-12  # nats, and relative to the value: allowance for rounding when a bound ties with the best value


@final
class OpenLoop(NamedTuple):
    """A sequence of actions with its value, and an upper bound for all sequences.

    Attributes:
        actions: the best sequence found.
        value: its value, in nats.
        upper_bound: an upper bound on the value of every sequence, in nats; equal to `value` if the search finished.
        num_nodes: the number of prefixes of sequences that were visited.
    """

    actions: Int[np.ndarray, " time"]
    value: float
    upper_bound: float
    num_nodes: int


def best_sequence(model: MarkovModel, ahead: Float[np.ndarray, "time_and_last state"], max_nodes: int) -> OpenLoop:
    r"""The sequence with the largest sum over start, outcomes and survival, by depth-first branch and bound.

    $$\max_{a_0 \dots a_{T-1}} \log \sum_{s_0, k_0 \dots k_{T-1}} p(s_0) \prod_t \rho(a_t \mid s_t)\,
        p(k_t \mid s_t, a_t) \exp(r_t/\tau)$$

    A prefix $a_0 \dots a_{t-1}$ has the forward messages $\alpha_t(s)$ of the surviving trajectories, and the weight
    $E_t$ of the terminated ones. Its value is at most $\log(E_t + \sum_s \alpha_t(s) \exp(W_t(s)))$ with the values
    $W_t$ of an agent that sees states.

    Args:
        model: a tabular model.
        ahead: $W_t(s)$, the value of the remaining steps for an agent that sees states, in nats; at T the final reward.
        max_nodes: the number of prefixes after which the search stops and returns a sequence with bounds.

    Returns:
        The sequence. Ties within 1e-12 are resolved by the order of the search: best bound first, then by index.
    """
    steps = _Steps(model)
    horizon = model.mdp.horizon
    with np.errstate(divide="ignore"):  # log 0 is −inf
        alpha = np.log(model.mdp.initial.double().cpu().numpy())
        root = float(_logsumexp((alpha + ahead[0])[None])[0])
        best, sequence = _ascended(steps, alpha, ahead)
        beginning, waiting, nodes = sequence.copy(), [(0, 0, root, alpha, -np.inf)], 0
        while waiting and root > -np.inf:
            depth, action, bound, alpha, ended = waiting.pop()
            if bound <= best + _SLACK * max(1.0, abs(best)):
                continue
            if depth > 0:
                beginning[depth - 1] = action
            if depth == horizon:
                best, sequence = bound, beginning.copy()
                continue
            if nodes >= max_nodes:
                return OpenLoop(sequence, best, max(bound, *(each[2] for each in waiting), best), nodes)
            nodes += 1
            alphas, ends = steps.after(alpha, ended)
            bounds = np.logaddexp(_logsumexp(alphas + ahead[depth + 1]), ends)
            for a in np.argsort(-bounds, kind="stable")[::-1]:  # the last is visited first
                waiting.append((depth + 1, int(a), float(bounds[a]), alphas[a], float(ends[a])))
    return OpenLoop(sequence, best, best, nodes)


def _ascended(
    steps: "_Steps", start: Float[np.ndarray, " state"], ahead: Float[np.ndarray, "time_and_last state"]
) -> tuple[float, Int[np.ndarray, " time"]]:
    """A sequence that no change of a single action improves: greedy by the bounds, then by coordinate ascent."""
    best, sequence, to_go = -np.inf, np.zeros(len(ahead) - 1, dtype=np.int64), ahead
    while True:
        alpha, ended, value, better = start, -np.inf, -np.inf, sequence.copy()
        for t in range(len(sequence)):
            alphas, ends = steps.after(alpha, ended)
            scores = np.logaddexp(_logsumexp(alphas + to_go[t + 1]), ends)
            a = better[t] = scores.argmax()
            alpha, ended, value = alphas[a], float(ends[a]), float(scores[a])
        if (best > -np.inf and value <= best + _SLACK * max(1.0, abs(best))) or value == -np.inf:
            return best, sequence
        best, sequence = value, better
        to_go = steps.to_go(sequence, ahead[-1])


class _Steps:
    """One step of the forward and backward messages, given the tables of a model."""

    def __init__(self, model: MarkovModel) -> None:
        mdp = model.mdp
        self._shape, self._successor = (mdp.num_actions, mdp.num_states), mdp.successor.cpu().numpy()
        prior, p, r = (each.double().cpu().numpy() for each in (model.action_prior, mdp.probability, mdp.reward))
        s, a, k = np.nonzero((prior[..., None] > 0) & (p > 0) & (r > -np.inf))
        into = a * mdp.num_states + self._successor[s, a, k]
        order = np.argsort(into, kind="stable")
        s, a, k, into = s[order], a[order], k[order], into[order]
        self._source, self._into = s, into
        self._weight = np.log(prior[s, a]) + np.log(p[s, a, k]) + r[s, a, k] / model.temperature
        self._table = np.full(mdp.probability.shape, -np.inf)
        self._table[s, a, k] = self._weight
        with np.errstate(divide="ignore"):
            self._log_survival, self._log_end = np.log(mdp.discount), np.log1p(-mdp.discount)

    def after(
        self, alpha: Float[np.ndarray, " state"], ended: float
    ) -> tuple[Float[np.ndarray, "action state"], Float[np.ndarray, " action"]]:
        """The forward messages of surviving trajectories after each action, and the log-weight of terminated ones."""
        size = self._shape[0] * self._shape[1]
        arrived = _scatter(alpha[self._source] + self._weight, self._into, size).reshape(self._shape)
        ends = np.full(self._shape[0], ended)
        if self._log_end > -np.inf:
            ends = np.logaddexp(ends, _logsumexp(arrived) + self._log_end)
        return arrived + self._log_survival, ends

    def to_go(
        self, sequence: Int[np.ndarray, " time"], last: Float[np.ndarray, " state"]
    ) -> Float[np.ndarray, "time_and_last state"]:
        """The log-weight of the remaining steps when the sequence is played, by time and state."""
        found = np.empty((len(sequence) + 1, len(last)))
        found[-1] = last
        for t in reversed(range(len(sequence))):
            continuing = np.logaddexp(found[t + 1] + self._log_survival, self._log_end)
            found[t] = _logsumexp(self._table[:, sequence[t]] + continuing[self._successor[:, sequence[t]]])
        return found


def _scatter(
    terms: Float[np.ndarray, " term"], into: Int[np.ndarray, " term"], size: int
) -> Float[np.ndarray, " place"]:
    """`log Σ exp` of the terms with the same index, each sum shifted by its largest term."""
    highest = np.full(size, -np.inf)
    np.maximum.at(highest, into, terms)
    shift = np.where(highest > -np.inf, highest, 0.0)
    return np.log(np.bincount(into, np.exp(terms - shift[into]), size)) + shift


def _logsumexp(x: Float[np.ndarray, "row outcome"]) -> Float[np.ndarray, " row"]:
    highest = x.max(-1)
    shift = np.where(highest > -np.inf, highest, 0.0)
    return np.log(np.exp(x - shift[..., None]).sum(-1)) + shift
