"""Log-likelihoods that are linear in rewards and values: value and slope in one compiled sweep there and back."""

from itertools import compress
from types import ModuleType
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..inference.exact.batch import arranged
from ..kernels.backend import kernels_for
from ..kernels.bundles import Cotangents, Settings
from ..trajectories.blocks import MarkovModel
from .demonstrations import Demonstrations
from .demonstrators import ClampedDemonstrator, Demonstrator, DialDemonstrator

Array = np.ndarray
Table = Float[Array, "state action outcome"]
Row = Float[Array, " state"]
Spread = Float[Array, "..."]


@final
class Direct:
    r"""A log-likelihood and its derivatives, of the rewards of outcomes and of the last state, all in numpy.

    $$\ell = \frac1\tau \bigl(c_r \cdot r + c_Q \cdot Q + c_V \cdot V\bigr) + \text{const}$$

    With coefficients that do not depend on the reward, what a sweep forwards has to carry is known before the sweep
    backwards. Rewards may be of any shape that spreads to that of the table.
    """

    def __init__(
        self, kernels: ModuleType, model: MarkovModel, demonstrations: Demonstrations, optimism: float, matches: bool
    ) -> None:
        """Make all arrays."""
        mdp, tau = model.mdp, float(model.temperature)
        by_reward, by_q, by_v, self._constant = (_matched if matches else _of_actions)(model, demonstrations)
        probability = mdp.probability.numpy().astype(np.float64, copy=False)
        self._by_reward = by_reward[..., None] * probability / tau
        by_q, by_v = np.ascontiguousarray(by_q.swapaxes(-1, -2))[None] / tau, by_v[None] / tau
        self._table, self._last = np.zeros((1, *probability.shape)), np.zeros((1, len(probability)))
        self._prior = np.ascontiguousarray(model.action_prior.numpy(), dtype=np.float64)[None]
        self._tau, beta = tau, np.full(1, float(optimism))
        given = Settings(self._table, self._last, self._prior, np.full(1, tau), beta, beta, 0.0)
        counts = [bool(each.any()) for each in (self._by_reward, by_q, by_v)]
        carried = Cotangents(np.zeros(1), by_q if counts[1] else np.empty((1, 0, 0, 0)), by_v)
        self._found, (self._sweep,) = arranged(kernels, mdp, given, 1, carried)
        coefficients, values = (self._by_reward, by_q, by_v), (self._table, self._found.q, self._found.v)
        self._products = [_Product(*each) for each in compress(zip(coefficients, values, strict=True), counts)]

    def __call__(self, reward: Spread, last: Spread) -> tuple[float, Table, Row]:
        """The log-likelihood, and its derivatives by both."""
        self._table[0], self._last[0] = reward, last
        self._sweep()
        total = self._constant + sum(product() for product in self._products)
        return total, self._by_reward + self._found.by_reward[0], self._found.by_final_reward[0].copy()

    def policy(self, reward: Spread, last: Spread) -> Float[Array, "time state action"]:
        """What the demonstrator does for these rewards."""
        self._table[0], self._last[0] = reward, last
        self._sweep()
        advantage = self._found.q[0].swapaxes(-1, -2) - self._found.v[0, :-1, :, None]
        with np.errstate(divide="ignore"):
            return np.exp(np.log(self._prior) + advantage / self._tau)


def direct(demonstrator: Demonstrator, model: MarkovModel, demonstrations: Demonstrations) -> Direct | None:
    """The log-likelihood in that form; None where it has none, or nothing is compiled."""
    kernels = kernels_for(model.mdp.probability, model.mdp.horizon)
    if (
        kernels is None
        or not isinstance(demonstrator, ClampedDemonstrator | DialDemonstrator)
        or demonstrator.infinite_horizon
    ):
        return None
    if isinstance(demonstrator, ClampedDemonstrator):
        return Direct(kernels, model, demonstrations, 0.0, demonstrator.criterion == "matching")
    if demonstrator.dynamics == "believed" or isinstance(demonstrator.optimism, Tensor):
        return None
    return Direct(kernels, model, demonstrations, demonstrator.optimism, False)


@final
class _Product:
    """Coefficients times what an array holds at the time, without what counts nothing and may be infinite."""

    def __init__(self, coefficients: Array, values: Array) -> None:
        self._places = np.flatnonzero(coefficients)
        self._coefficients, self._values = coefficients.reshape(-1)[self._places], values.reshape(-1)

    def __call__(self) -> float:
        return float(self._coefficients @ self._values.take(self._places))


def by_autograd(
    demonstrator: Demonstrator,
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Float[Tensor, "state action outcome"],
    last: Float[Tensor, " state"],
    pays_last: bool,
) -> tuple[float, Float[Tensor, "state action outcome"], Float[Tensor, " state"]]:
    """The same of any demonstrator, in torch. A last state that pays nothing is no variable."""
    table, end = reward.detach().clone().requires_grad_(), last.detach().clone().requires_grad_(pays_last)
    found = demonstrator.log_likelihood(model, demonstrations, table, end, model.temperature)
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
