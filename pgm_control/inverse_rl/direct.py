"""Log-likelihoods that are linear in rewards and values: value and slope in one compiled sweep there and back."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._backend import kernels_for
from .._blocks import MarkovModel
from .._settings import Settings, solved
from .demonstrations import Demonstrations
from .demonstrators import ClampedDemonstrator, Demonstrator, DialDemonstrator, _timed

Table = Float[Tensor, "state action outcome"]
Row = Float[Tensor, " state"]
Direct = Callable[[Table, Row], tuple[float, Table, Row]]


def direct(who: Demonstrator, model: MarkovModel, demonstrations: Demonstrations) -> Direct | None:
    r"""The log-likelihood and its derivatives, of the rewards of outcomes and of the last state.

    $$\ell = \frac1\tau \bigl(c_r \cdot r + c_Q \cdot Q + c_V \cdot V\bigr) + \text{const}$$

    With coefficients that do not depend on the reward, what a sweep forwards has to carry is known before the sweep
    backwards. None where the likelihood is not of this form, or nothing is compiled.
    """
    mdp = model.mdp
    kernels = kernels_for(mdp.probability, mdp.horizon)
    if kernels is None or not isinstance(who, ClampedDemonstrator | DialDemonstrator) or who.forever:
        return None
    if isinstance(who, DialDemonstrator) and (who.dice == "believed" or isinstance(who.optimism, Tensor)):
        return None
    matches = isinstance(who, ClampedDemonstrator) and who.criterion == "matching"
    by_reward, by_q, by_v, constant = (_matched if matches else _of_actions)(model, demonstrations)
    probability, tau = mdp.probability.numpy().astype(np.float64), float(model.temperature)
    by_reward, by_q, by_v = by_reward[..., None] * probability / tau, by_q / tau, by_v / tau
    cotangents = np.zeros(1), np.ascontiguousarray(by_q.swapaxes(-1, -2))[None], by_v[None]
    prior = np.ascontiguousarray(model.action_prior.numpy(), dtype=np.float64)[None]
    beta = np.full(1, who.optimism if isinstance(who, DialDemonstrator) else 0.0)
    heat, coefficients = np.full(1, tau), (by_reward, cotangents[1][0], by_v)
    live = [each != 0 for each in coefficients]  # values elsewhere may be infinite
    weights = [each[there] for each, there in zip(coefficients, live, strict=True)]

    def evaluated(reward: Table, last: Row) -> tuple[float, Table, Row]:
        table, end = (np.ascontiguousarray(each.detach().numpy(), dtype=np.float64) for each in (reward, last))
        found = solved(kernels, mdp, Settings(table[None], end[None], prior, heat, beta, beta, 0.0), 1, cotangents)
        values = (table, found.q[0], found.v[0])
        total = sum(float(w @ x[there]) for w, x, there in zip(weights, values, live, strict=True))
        slopes = by_reward + found.by_reward[0], found.by_final_reward[0]
        by_table, by_last = (torch.from_numpy(each).to(reward) for each in slopes)
        return constant + total, by_table, by_last

    return evaluated


def by_autograd(
    who: Demonstrator, model: MarkovModel, demonstrations: Demonstrations, reward: Table, last: Row, pays_last: bool
) -> tuple[float, Table, Row]:
    """The same of any demonstrator. A last state that pays nothing is no variable."""
    table, end = reward.detach().clone().requires_grad_(), last.detach().clone().requires_grad_(pays_last)
    found = who.log_likelihood(model, demonstrations, table, end, model.temperature)
    wanted = [table, end] if pays_last else [table]
    slopes = torch.autograd.grad(found, wanted, allow_unused=True, materialize_grads=True)
    return float(found.detach()), slopes[0], slopes[1] if pays_last else torch.zeros_like(last)


_Found = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def _empty(model: MarkovModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steps, (states, actions, _) = model.mdp.horizon, model.mdp.probability.shape
    return np.zeros((states, actions)), np.zeros((steps, states, actions)), np.zeros((steps + 1, states))


def _of_actions(model: MarkovModel, demonstrations: Demonstrations) -> _Found:
    """Of Q − V where something was done."""
    by_reward, by_q, by_v = _empty(model)
    t, s, a, _, weight = (each.numpy() for each in _timed(demonstrations))
    np.add.at(by_q, (t, s, a), weight)
    np.add.at(by_v, (t, s), -weight)
    return by_reward, by_q, by_v, float(weight @ np.log(model.action_prior.numpy()[s, a]))


def _matched(model: MarkovModel, demonstrations: Demonstrations) -> _Found:
    """Of the expected rewards of what was done, of what lies ahead at the ends, less that of the starts."""
    by_reward, by_q, by_v = _empty(model)
    moves, ends = demonstrations.moves, demonstrations.ends
    s, a, weight = moves.state.numpy(), moves.action.numpy(), demonstrations.weights(moves).numpy()
    np.add.at(by_reward, (s, a), weight)
    by_v[0] -= demonstrations.starts.numpy()
    t, end, last, cut = (each.numpy() for each in (*ends[:3], demonstrations.weights(ends)))
    seen = last < 0
    np.add.at(by_v, (t[seen], end[seen]), cut[seen])
    np.add.at(by_q, (t[~seen], end[~seen], last[~seen]), cut[~seen])
    np.add.at(by_reward, (end[~seen], last[~seen]), -cut[~seen])
    return by_reward, by_q, by_v, float(weight @ np.log(model.action_prior.numpy()[s, a]))
