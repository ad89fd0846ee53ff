"""What a search for a reward makes small: in numpy where that will do, else through torch.

With it the visits that are predicted for a reward, and a reward model as a function of one row of parameters.
"""

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..problems.mdp import TabularMDP
from ..trajectories.blocks import MarkovModel
from .demonstrations import Demonstrations
from .demonstrators import Behaviour, Demonstrator
from .descent import Matrix, Vector
from .direct import by_autograd, direct
from .rewards import RewardModel

_MOST_FEATURES = 300  # a matrix of their products is inverted once
_LEAST = 1e-2  # of the mean count, where features were never met
_ALIKE = 1e-8  # of a correlation, so that features may say the same twice


@final
class Objective:
    """Minus log-likelihood and log-prior, a demonstration, of all parameters in a row; and its slope.

    Where the likelihood is `direct` and the reward linear, it is numpy throughout, in arrays that are made once; else
    each call writes the parameters and goes through torch, on any device.

    Attributes:
        parameters: those of the reward that are to be found.
    """

    def __init__(
        self,
        model: MarkovModel,
        reward: RewardModel,
        demonstrator: Demonstrator,
        demonstrations: Demonstrations,
        prior: float | None = None,
    ) -> None:
        """Prepare all that does not hang on the parameters."""
        self.parameters = [each for each in reward.parameters() if each.requires_grad]
        self._model, self._reward, self._demonstrator, self._demonstrations = (
            model,
            reward,
            demonstrator,
            demonstrations,
        )
        self._prior, self._number, self._pairs = prior, demonstrations.number, demonstrations.pairs.numpy(force=True)
        self._direct, self._linear = direct(demonstrator, model, demonstrations), reward.linear_form()

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Value and slope."""
        if self._direct is None or self._linear is None:
            likelihood, slope = self._through_torch(x)
        else:
            likelihood, by_table, by_last = self._direct(*self._linear.tables(x))
            slope = self._linear.by_parameters(by_table, by_last)
        if self._prior is not None:
            slope = slope - x / self._prior**2
        return -(likelihood + self.log_prior(x)) / self._number, slope * (-1.0 / self._number)

    def _through_torch(self, x: Vector) -> tuple[float, Vector]:
        self.assign(x)
        with torch.no_grad():
            table, last = tables(self._reward, self._model.mdp)
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
        """The parameters as they are."""
        return torch.cat([each.detach().flatten() for each in self.parameters]).cpu().numpy().astype(np.float64)

    @torch.no_grad()
    def assign(self, x: Vector) -> None:
        """Write the row into the parameters."""
        row, place = torch.from_numpy(x), 0
        for each in self.parameters:
            each.copy_(row[place : place + each.numel()].view_as(each))
            place += each.numel()

    def log_prior(self, x: Vector) -> float:
        """In nats; 0 without a prior."""
        return 0.0 if self._prior is None else _log_density(float(x @ x), len(x), self._prior)

    def metric(self) -> Matrix | None:
        r"""The inverse of about the curvature, $(F^\top N F / \tau^2 + 1 / \sigma^2)^{-1}$ a demonstration.

        N are the counts of where the features F were met, as if these came one by one, by chance; what was never met
        counts a little. It makes a search indifferent to how features are scaled and mixed. Numbers of states, actions
        or outcomes need no such help.
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
        """The largest difference of a state's visits in a demonstration, seen and predicted."""
        if self._direct is None or self._linear is None:
            self.assign(x)
            with torch.no_grad():
                table, last = tables(self._reward, self._model.mdp)
                behaviour = self._demonstrator.behaviour(self._model, table, last, self._model.temperature)
            predicted = predicted_visits(behaviour, self._demonstrations).numpy(force=True)
        else:
            policy, probability = self._direct.policy(*self._linear.tables(x)), self._model.mdp.probability.numpy()
            predicted = visits_of(policy, probability[None], self._demonstrations)
        return float(np.abs((self._pairs - predicted).sum(-1)).max()) / self._number


def tables(
    reward: RewardModel, mdp: TabularMDP
) -> tuple[Float[Tensor, "state action outcome"], Float[Tensor, " state"]]:
    """The reward of outcomes, where they are possible, and of the last state."""
    last = reward.last()
    return reward(), torch.zeros_like(mdp.initial) if last is None else last


def log_prior(parameters: Sequence[Tensor], deviation: float) -> Float[Tensor, ""]:
    """Of a Gaussian around 0, in nats."""
    squares = sum((each.square().sum() for each in parameters), torch.zeros_like(parameters[0].sum()))
    return _log_density(squares, sum(each.numel() for each in parameters), deviation)


def _log_density(squares: Any, count: int, deviation: float) -> Any:
    return -0.5 * squares / deviation**2 - count * (math.log(deviation) + 0.5 * math.log(2 * math.pi))


@torch.no_grad()
def predicted_visits(behaviour: Behaviour, demonstrations: Demonstrations) -> Float[Tensor, "state action"]:
    """How often the model does each action in each state, from the same starts, for as long as the recordings go on."""
    policy, dynamics = (each.exp().numpy(force=True) for each in (behaviour.log_policy, behaviour.log_dynamics))
    return torch.from_numpy(visits_of(policy, dynamics, demonstrations)).to(demonstrations.mdp.probability)


def visits_of(
    policy: Float[np.ndarray, "time state action"],
    dynamics: Float[np.ndarray, "time_or_1 state action outcome"],
    demonstrations: Demonstrations,
) -> Float[np.ndarray, "state action"]:
    """The same as `predicted_visits`, of probabilities in numpy."""
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
    """ψ ↦ rewards of outcomes and of the last state, differentiable.

    Attributes:
        start: ψ as the reward model has it now: all parameters that can be learned, in one row.
        names: of the parameters.
    """

    def __init__(self, reward: RewardModel, mdp: TabularMDP) -> None:
        """Read the parameters off."""
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
        """The rewards, of each row of parameters."""
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
    """Both tables by one call, as `functional_call` needs it."""

    def __init__(self, reward: RewardModel, mdp: TabularMDP) -> None:
        super().__init__()
        self.reward, self._mdp = reward, mdp

    def forward(self) -> tuple[Tensor, Tensor]:
        return tables(self.reward, self._mdp)
