"""The objective of inverse reinforcement learning, evaluated in numpy if possible and otherwise in torch.

The module also computes the predicted visits for a reward, and a reward model as a function of one parameter vector.
"""

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP
from ..trajectories.blocks import MarkovModel
from .concavity import is_concave
from .demonstrations import Demonstrations
from .demonstrators import Behaviour, Demonstrator
from .direct import by_autograd, direct
from .rewards import RewardModel
from .search.descent import Matrix, Vector

_MOST_FEATURES = 300  # a matrix of their products is inverted once
_LEAST = 1e-2  # of the mean count, for places that were never visited
_ALIKE = 1e-8  # added to the correlations, so that features may be collinear
_ROUNDINGS = 4.0  # in units of the last place; twice the largest that was seen
_NUDGE = 1e-4  # of a parameter, to see how much the rewards change


@final
class Objective:
    """The negative sum of log-likelihood and log-prior per demonstration, with its gradient, of a parameter vector.

    If the likelihood has a `direct` form and the reward is linear, it is computed in numpy, in arrays that are
    allocated once. Otherwise each call writes the parameters and goes through torch, on any device.

    Attributes:
        parameters: the parameters of the reward that are learned.
    """

    def __init__(
        self,
        model: MarkovModel,
        reward: RewardModel,
        demonstrator: Demonstrator,
        demonstrations: Demonstrations,
        prior: float | None = None,
    ) -> None:
        """Prepare everything that does not depend on the parameters."""
        self.parameters = [each for each in reward.parameters() if each.requires_grad]
        if not any(each.numel() for each in self.parameters):
            raise InvalidArgument("`reward` must have parameters that can be learned, but has none.")
        self._model, self._reward, self._demonstrator, self._demonstrations = (
            model,
            reward,
            demonstrator,
            demonstrations,
        )
        self._prior, self._number, self._pairs = prior, demonstrations.number, demonstrations.pairs.numpy(force=True)
        self._direct, self._linear = direct(demonstrator, model, demonstrations), reward.linear_form()

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the value and the gradient."""
        if self._direct is None or self._linear is None:
            likelihood, slope = self._through_torch(x)
        else:
            likelihood, by_table, by_last = self._direct(*self._linear.tables(x))
            slope = self._linear.by_parameters(by_table, by_last)
        if self._prior is not None:
            slope = slope - x / self._prior**2
        return -(likelihood + self.log_prior(x)) / self._number, slope * (-1.0 / self._number)

    def value(self, x: Vector) -> float:
        """Return the value alone."""
        return self(x)[0]

    def _through_torch(self, x: Vector) -> tuple[float, Vector]:
        table, last = self._tables_at(x)
        if self._direct is None:
            pays_last = self._reward.last() is not None
            found = by_autograd(self._demonstrator, self._model, self._demonstrations, table, last, pays_last)
            likelihood, by_table, by_last = found
        else:
            likelihood, *slopes = self._direct(table.numpy(), last.numpy())
            by_table, by_last = (torch.from_numpy(each).to(table) for each in slopes)
        return likelihood, self._reward.by_parameters(by_table, by_last).cpu().numpy().astype(np.float64)

    @property
    def start(self) -> Vector:
        """The present parameters, as one vector."""
        return torch.cat([each.detach().flatten() for each in self.parameters]).cpu().numpy().astype(np.float64)

    @torch.no_grad()
    def assign(self, x: Vector) -> None:
        """Write the vector into the parameters."""
        row, place = torch.from_numpy(x), 0
        for each in self.parameters:
            each.copy_(row[place : place + each.numel()].view_as(each))
            place += each.numel()

    def log_prior(self, x: Vector) -> float:
        """Return the log-density of the prior, in nats; 0 without a prior."""
        return 0.0 if self._prior is None else _log_density(float(x @ x), len(x), self._prior)

    @property
    def is_concave(self) -> bool:
        """Whether the log-likelihood is certainly concave in the parameters."""
        return is_concave(self._demonstrator, self._model, self._demonstrations, self._linear)

    def unit(self) -> Vector:
        """Return the change of each parameter by which the largest change of a reward is one temperature.

        For a reward that is not linear, all parameters have one unit, measured along a random direction.
        """
        tau, x = float(self._model.temperature), self.start
        if self._linear is None:
            move = np.random.default_rng(0).standard_normal(len(x)) * _NUDGE
            before = self._tables_at(x)[0].clone()
            changed = float((self._tables_at(x + move)[0] - before).abs().max()) / _NUDGE
            self.assign(x)
            return np.full(len(x), tau / changed if changed > 0 else 1.0)
        if self._linear.features is None:
            return np.full(len(x), tau)
        sizes = np.abs(self._linear.features).max(0)
        return tau / np.where(sizes > 0, sizes, 1.0)

    def noise(self, size: float) -> float:
        """Return an estimate of the rounding error of the value where the largest reward has this many temperatures.

        It is a difference of sums of T rewards at each of T steps, whose errors add up like a random walk.
        """
        is_endless, mdp = getattr(self._demonstrator, "infinite_horizon", False), self._model.mdp
        steps = 1.0 / (1.0 - mdp.discount) if is_endless and mdp.discount < 1 else mdp.horizon
        return _ROUNDINGS * np.finfo(np.float64).eps * steps**1.5 * size

    def _tables_at(self, x: Vector) -> tuple[Tensor, Tensor]:
        self.assign(x)
        with torch.no_grad():
            return tables(self._reward, self._model.mdp)

    def metric(self) -> Matrix | None:
        r"""Return an approximate inverse Hessian, $(F^\top N F / \tau^2 + 1 / \sigma^2)^{-1}$ per demonstration.

        N are the visits of the places of the features F, as if the visits were independent; places that were never
        visited have a small count. The metric makes the search independent of how the features are scaled and mixed.
        It is None for a reward without features, which does not need it, and for too many features.
        """
        features = None if self._linear is None else self._linear.features
        if self._linear is None or features is None or features.shape[1] > _MOST_FEATURES:
            return None
        counts = self._linear.by_place(self._pairs[..., None] * self._model.mdp.probability.numpy(force=True))
        counts /= self._number * float(self._model.temperature) ** 2
        curvature = (features.T * (counts + _LEAST * counts.mean())) @ features
        one = np.eye(len(curvature))
        if self._prior is not None:
            curvature += one / (self._prior**2 * self._number)
        sizes = np.sqrt(curvature.diagonal())
        sizes[sizes == 0] = 1.0
        squares = sizes * sizes[:, None]
        return np.linalg.inv(curvature / squares + _ALIKE * one) / squares

    def occupancy_error(self, x: Vector) -> float:
        """Return the largest difference between the observed and predicted visits of a state, per demonstration."""
        if self._direct is None or self._linear is None:
            table, last = self._tables_at(x)
            with torch.no_grad():
                behaviour = self._demonstrator.behaviour(self._model, table, last, self._model.temperature)
            predicted = predicted_visits(behaviour, self._demonstrations).numpy(force=True)
        else:
            policy, probability = self._direct.policy(*self._linear.tables(x)), self._model.mdp.probability.numpy()
            predicted = visits_of(policy, probability[None], self._demonstrations)
        return float(np.abs((self._pairs - predicted).sum(-1)).max()) / self._number


def tables(
    reward: RewardModel, mdp: TabularMDP
) -> tuple[Float[Tensor, "state action outcome"], Float[Tensor, " state"]]:
    """Return the rewards of the outcomes and of the last state."""
    last = reward.last()
    return reward(), torch.zeros_like(mdp.initial) if last is None else last


def log_prior(parameters: Sequence[Tensor], deviation: float) -> Float[Tensor, ""]:
    """Return the log-density of a Gaussian of mean 0, in nats."""
    squares = sum((each.square().sum() for each in parameters), torch.zeros_like(parameters[0].sum()))
    return _log_density(squares, sum(each.numel() for each in parameters), deviation)


def _log_density(squares: Any, count: int, deviation: float) -> Any:
    return -0.5 * squares / deviation**2 - count * (math.log(deviation) + 0.5 * math.log(2 * math.pi))


@torch.no_grad()
def predicted_visits(behaviour: Behaviour, demonstrations: Demonstrations) -> Float[Tensor, "state action"]:
    """Return the predicted count of each action in each state, with the starts and lengths of the recordings."""
    policy, dynamics = (each.exp().numpy(force=True) for each in (behaviour.log_policy, behaviour.log_dynamics))
    return torch.from_numpy(visits_of(policy, dynamics, demonstrations)).to(demonstrations.mdp.probability)


def visits_of(
    policy: Float[np.ndarray, "time state action"],
    dynamics: Float[np.ndarray, "time_or_1 state action outcome"],
    demonstrations: Demonstrations,
) -> Float[np.ndarray, "state action"]:
    """Return the result of `predicted_visits` from probabilities in numpy."""
    mdp, ends = demonstrations.mdp, demonstrations.ends
    time, state, action = (each.numpy(force=True) for each in ends[:3])
    weight, target = demonstrations.weights(ends).numpy(force=True), mdp.successor.numpy(force=True).ravel()
    after = action >= 0  # the state that the last action led to is missing
    stops, cuts = np.zeros((mdp.horizon + 1, mdp.num_states)), np.zeros(policy.shape)
    np.add.at(stops, (time[~after], state[~after]), weight[~after])
    np.add.at(cuts, (time[after], state[after], action[after]), weight[after])
    mass, visits = demonstrations.starts.numpy(force=True), np.zeros_like(policy[0])
    for t in range(mdp.horizon):
        here = (mass - stops[t])[:, None] * policy[t]
        visits += here
        moved = (here - cuts[t])[..., None] * dynamics[t if len(dynamics) > 1 else 0]
        mass = mdp.discount * np.bincount(target, moved.ravel(), mdp.num_states)
    return visits


@final
class RewardFunction:
    """The differentiable function from ψ to the rewards of the outcomes and of the last state.

    Attributes:
        start: ψ of the reward model: all parameters that can be learned, as one vector.
        names: the names of the parameters.
    """

    def __init__(self, reward: RewardModel, mdp: TabularMDP) -> None:
        """Read the parameters of the reward model."""
        self._tables = _Tables(reward, mdp)
        free = {name: each for name, each in self._tables.named_parameters() if each.requires_grad}
        self._shapes = {name: each.shape for name, each in free.items()}
        parts = [each.detach().reshape(-1) for each in free.values()]
        self.start: Float[Tensor, " parameter"] = torch.cat([mdp.initial.new_zeros(0), *parts])
        own = reward.names
        if own is not None and len(own) == len(self.start):
            self.names = own
        else:
            self.names = tuple(f"ψ[{i}]" for i in range(len(self.start)))

    def __repr__(self) -> str:
        """The number of its parameters."""
        return f"RewardFunction({len(self.names)} parameters)"

    def __call__(
        self, psi: Float[Tensor, "*batch parameter"]
    ) -> tuple[Float[Tensor, "*batch state action outcome"], Float[Tensor, "*batch state"]]:
        """Return the rewards for each row of parameters."""
        if psi.ndim == 1:
            return self._of_row(psi)
        found = torch.func.vmap(self._of_row)(psi.flatten(0, -2))
        table, last = (each.unflatten(0, psi.shape[:-1]) for each in found)
        return table, last

    def _of_row(self, psi: Tensor) -> tuple[Tensor, Tensor]:
        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = zip(self._shapes.items(), psi.split(sizes), strict=True)
        return torch.func.functional_call(
            self._tables, {name: part.reshape(shape) for (name, shape), part in parts}, ()
        )


@final
class _Tables(torch.nn.Module):
    """A module whose call returns both tables, as `functional_call` requires."""

    def __init__(self, reward: RewardModel, mdp: TabularMDP) -> None:
        super().__init__()
        self.reward, self._mdp = reward, mdp

    def forward(self) -> tuple[Tensor, Tensor]:
        return tables(self.reward, self._mdp)
