"""Log-likelihoods that are linear in rewards and values: value and slope in one compiled sweep there and back."""

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._backend import kernels_for
from .._blocks import MarkovModel
from .._settings import Settings, arranged
from .demonstrations import Demonstrations
from .demonstrators import ClampedDemonstrator, Demonstrator, DialDemonstrator

Array = np.ndarray
Table = Float[Array, "state action outcome"]
Row = Float[Array, " state"]
Spread = Float[Array, "..."]
Direct = Callable[[Spread, Spread], tuple[float, Table, Row]]


def direct(who: Demonstrator, model: MarkovModel, demonstrations: Demonstrations) -> Direct | None:
    r"""The log-likelihood and its derivatives, of the rewards of outcomes and of the last state, all in numpy.

    $$\ell = \frac1\tau \bigl(c_r \cdot r + c_Q \cdot Q + c_V \cdot V\bigr) + \text{const}$$

    With coefficients that do not depend on the reward, what a sweep forwards has to carry is known before the sweep
    backwards. None where the likelihood is not of this form, or nothing is compiled. Rewards may be of any shape that
    spreads to that of the table.
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
    by_reward = by_reward[..., None] * probability / tau
    by_q, by_v = np.ascontiguousarray(by_q.swapaxes(-1, -2))[None] / tau, by_v[None] / tau
    carried = by_q if by_q.any() else np.empty((1, 0, 0))
    table, last = np.zeros((1, *probability.shape)), np.zeros((1, len(probability)))
    prior = np.ascontiguousarray(model.action_prior.numpy(), dtype=np.float64)[None]
    beta = np.full(1, who.optimism if isinstance(who, DialDemonstrator) else 0.0)
    given = Settings(table, last, prior, np.full(1, tau), beta, beta, 0.0)
    found, (sweep,) = arranged(kernels, mdp, given, 1, (np.zeros(1), carried, by_v))
    products = [_Product(by_reward, table), _Product(by_q, found.q), _Product(by_v, found.v)]

    def evaluated(reward: Spread, of_last: Spread) -> tuple[float, Table, Row]:
        table[0], last[0] = reward, of_last
        sweep()
        total = sum((product() for product in products), constant)
        return total, by_reward + found.by_reward[0], found.by_final_reward[0].copy()

    return evaluated


@final
class _Product:
    """Coefficients times what an array holds at the time, without what counts nothing and may be infinite."""

    def __init__(self, coefficients: Array, values: Array) -> None:
        self._places = np.flatnonzero(coefficients)
        self._coefficients, self._values = coefficients.reshape(-1)[self._places], values.reshape(-1)

    def __call__(self) -> float:
        return float(self._coefficients @ self._values.take(self._places))


def by_autograd(
    who: Demonstrator,
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Float[Tensor, "state action outcome"],
    last: Float[Tensor, " state"],
    pays_last: bool,
) -> tuple[float, Float[Tensor, "state action outcome"], Float[Tensor, " state"]]:
    """The same of any demonstrator, in torch. A last state that pays nothing is no variable."""
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
    t, s, a, _, weight = (each.numpy() for each in demonstrations.timed_moves)
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
