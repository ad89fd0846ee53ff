"""The log-probability of every choice of every person, differentiable in the parameters of the people."""

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...trajectories.blocks import MarkovModel
from .layers import Layers, layers_of, require_features
from .located import Located, located, require_models
from .person_parameters import PersonParameters, parameters_of
from .policies import log_policies


def behaviour_log_likelihood(
    models: Mapping[str, MarkovModel],
    data: Any,
    optimism: Any,
    temperature: Any,
    lapse: Any = 0.0,
    *,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    weights: Any = None,
    hard: bool = False,
) -> Float[Tensor, "*batch choice"]:
    r"""Return the log-probability of every choice, in nats, for a batch of parameters, people and problems.

    $$\log p(a_t) = \log\bigl[(1 - \lambda)\, \pi^{\beta, \tau}_t(a_t \mid s_t) + \lambda\, \rho(a_t \mid s_t)\bigr],
    \qquad \pi_t = \rho\, e^{(Q_t - V_t)/\tau}, \quad Q_t = L_\beta[r + w \cdot \phi + \gamma V_{t+1}(s')]$$

    π is the policy of `infer(model, β)` at the temperature τ of the person; ρ is the action prior among the allowed
    actions. Parameters are one number for all people, or one for each in the order of `data.people`, with the axes of
    a batch in front. The result is differentiable in all of them any number of times, also at β = 0.

        models = {"small": TabularModel(lottery(jackpot=8.0)), "large": TabularModel(lottery(jackpot=16.0))}
        data = simulate_people(models, optimism=0.3, temperature=1.0, num_people=5, seed=0)
        behaviour_log_likelihood(models, data, optimism=0.3, temperature=1.0).sum()

    Args:
        models: the problem of each name in the column "problem". Their temperatures are not used.
        data: the choices.
        optimism: β, or a `Risk`, whose θ = β/τ may be one for each person too.
        temperature: τ > 0, in reward units per nat.
        lapse: λ in [0, 1], the probability of an action from the prior in place of the policy.
        features: by reward weight and problem, φ(s, a, k), or what broadcasts to it; 0 for a problem that is left out.
        weights: w, in reward units, with one entry for each feature in the last axis, after that of people.
        hard: whether V is the largest Q, as for the Boltzmann demonstrator, whose β is 0.

    Raises:
        InvalidArgument: if an argument is invalid, or a choice is impossible; the message names the column, the row
            and the remedy.
    """
    found = require_models(models)
    tables = ChoiceTables(found, require_features(features, found), located(found, data))
    count = len(tables.seen.people)
    return tables.log_likelihood(
        parameters_of(count, tables.layers.num_weights, optimism, temperature, lapse, weights, hard)
    )


@final
class ChoiceTables:
    """The decision graph of all people, and the place of each choice in it; evaluations share it."""

    def __init__(
        self, models: Mapping[str, MarkovModel], features: Mapping[str, Mapping[str, Any]], seen: Located
    ) -> None:
        """Build the graph.

        Raises:
            InvalidArgument: if a feature or a reward of a problem is invalid; the message names it.
        """
        self.seen = seen
        self.layers: Layers = layers_of(models, features, seen)
        to_go, cell = self.layers.place(seen.person, seen.problem, seen.time, seen.state)
        rows = [(to_go == n).nonzero()[:, 0] for n in range(1, len(self.layers.layers) + 1)]
        self._cells = [cell[each] for each in rows]  # of the choices in each layer
        self._order = torch.cat(rows).argsort()
        self._log_prior = self._of_choices([each.log_prior.log_softmax(-1) for each in self.layers.layers])

    def log_probabilities(self, people: PersonParameters) -> Float[Tensor, "*batch choice action"]:
        """Return the log-probabilities of all actions at each choice, in nats; −inf for forbidden ones."""
        policies = log_policies(self.layers, people.optimism, people.temperature, people.weights, people.hard)
        return self._with_lapses(self._of_choices(policies), people, self._log_prior, self.seen.person[:, None])

    def log_likelihood(self, people: PersonParameters) -> Float[Tensor, "*batch choice"]:
        """Return the log-probability of each choice, in nats, in the order of the table."""
        policies = log_policies(self.layers, people.optimism, people.temperature, people.weights, people.hard)
        action = self.seen.action[:, None]
        found = self._of_choices(policies)
        found = found.gather(-1, action.expand(*found.shape[:-1], 1))[..., 0]
        return self._with_lapses(found, people, self._log_prior.gather(-1, action)[:, 0], self.seen.person)

    def _of_choices(self, tables: list[Float[Tensor, "*batch _ action"]]) -> Float[Tensor, "*batch choice action"]:
        """The rows of the cells in which the choices were made."""
        rows = [table[..., cell, :] for table, cell in zip(tables, self._cells, strict=True)]
        return torch.cat(rows, -2)[..., self._order, :]

    @staticmethod
    def _with_lapses(found: Tensor, people: PersonParameters, log_prior: Tensor, person: Tensor) -> Tensor:
        """log[(1 − λ) π + λ ρ]."""
        if people.log_lapse is None:
            return found
        lapses, attends = (each[..., person] for each in people.log_lapse)
        possible = log_prior > -torch.inf  # elsewhere the derivative of logaddexp is nan
        found, log_prior = (torch.where(possible, each, 0.0) for each in (found, log_prior))
        return torch.where(possible, torch.logaddexp(attends + found, lapses + log_prior), -torch.inf)
