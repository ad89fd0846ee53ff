"""Log-likelihoods that are linear in rewards and values: one compiled sweep back and forth gives value and gradient."""

from itertools import compress
from types import ModuleType
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.risk import beta_of
from ..inference.exact.backward.batch import arranged
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
    r"""The log-likelihood of demonstrations as a function of the rewards, with its derivatives, in numpy.

    $$\ell = \frac1\tau \bigl(c_r \cdot r + c_Q \cdot Q + c_V \cdot V\bigr) + \text{const}$$

    r are the rewards of outcomes, Q and V the soft values. The coefficients c depend on the demonstrations but not on
    the reward, so that the cotangents of the forward sweep are known before the backward sweep. Rewards may have any
    shape that broadcasts to that of the table.
    """

    def __init__(
        self, kernels: ModuleType, model: MarkovModel, demonstrations: Demonstrations, optimism: float, matches: bool
    ) -> None:
        """Allocate all arrays."""
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
        """Return the log-likelihood and its derivatives with respect to both rewards."""
        self._table[0], self._last[0] = reward, last
        self._sweep()
        total = self._constant + sum(product() for product in self._products)
        return total, self._by_reward + self._found.by_reward[0], self._found.by_final_reward[0].copy()

    def policy(self, reward: Spread, last: Spread) -> Float[Array, "time state action"]:
        """Return the policy of the demonstrator for these rewards."""
        self._table[0], self._last[0] = reward, last
        self._sweep()
        advantage = self._found.q[0].swapaxes(-1, -2) - self._found.v[0, :-1, :, None]
        with np.errstate(divide="ignore"):
            return np.exp(np.log(self._prior) + advantage / self._tau)


def direct(demonstrator: Demonstrator, model: MarkovModel, demonstrations: Demonstrations) -> Direct | None:
    """Return the log-likelihood in this form, or None if it has no such form or no compiled kernels exist."""
    kernels = kernels_for(model.mdp.probability, model.mdp.horizon)
    if (
        kernels is None
        or not isinstance(demonstrator, ClampedDemonstrator | DialDemonstrator)
        or demonstrator.infinite_horizon
    ):
        return None
    if isinstance(demonstrator, ClampedDemonstrator):
        return Direct(kernels, model, demonstrations, 0.0, demonstrator.criterion == "matching")
    beta = beta_of(demonstrator.optimism, model.temperature)
    if demonstrator.dynamics == "believed" or isinstance(beta, Tensor):
        return None
    return Direct(kernels, model, demonstrations, beta, False)


@final
class _Product:
    """The product of coefficients and the current values of an array.

    Entries with coefficient 0 are omitted, because their values may be infinite.
    """

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
    """Return the log-likelihood of any demonstrator and its derivatives, by torch.

    If the last state pays nothing, its derivatives are 0.
    """
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
    """Return the coefficients of the sum of Q − V over the observed actions, and the constant."""
    by_reward, by_q, by_v = _empty(model)
    t, s, a, _, weight = (each.numpy() for each in demonstrations.timed_moves)
    np.add.at(by_q, (t, s, a), weight)
    np.add.at(by_v, (t, s), -weight)
    return by_reward, by_q, by_v, float(weight @ np.log(model.action_prior.numpy()[s, a]))


def _matched(model: MarkovModel, demonstrations: Demonstrations) -> _Found:
    """Return the coefficients of the matching criterion, and the constant.

    The criterion sums the expected rewards of the actions and the values at the ends, minus the values at the starts.
    """
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
