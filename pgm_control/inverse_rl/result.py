"""A learned reward: how the search ended, its runners-up, and what the demonstrations do not identify."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.tabular import model_like
from ..text.one_line import one_line
from ..text.wording import listed
from ..trajectories.blocks import MarkovModel
from .continuous.rewards import QuadraticReward
from .demonstrations import Demonstrations
from .demonstrators import Behaviour, Demonstrator
from .identification import Identification, identification
from .objective import RewardFunction, tables
from .rewards import RewardModel
from .search.optima import RunnerUp
from .search.status import InverseStatus
from .search.words import fastest, of_optima, tied

_MOST_IDENTIFIED = 300  # parameters; printing the identification takes a second derivative of each


class InverseStep(NamedTuple):
    """The argument of a callback after each step."""

    step: int
    log_likelihood: float
    """Of the demonstrations, in nats, without the prior."""
    gradient: float
    """The largest derivative of the objective by a parameter, per demonstration."""
    reward: RewardModel | QuadraticReward

    __repr__ = one_line


@final
@dataclass(frozen=True, eq=False, repr=False)
class Inverse:
    """A reward learned from demonstrations, with measures of how well it explains them. Printing it prints sentences.

    Attributes:
        reward: the reward that was passed in, now fitted.
        given_model: the model that was passed in.
        demonstrator: the model of the demonstrator.
        demonstrations: the demonstrations.
        log_likelihood: of the demonstrations, in nats, as the demonstrator defines it.
        log_prior: of the parameters, in nats; 0 without a prior.
        gradient: the largest derivative of the objective by a parameter, per demonstration.
        occupancy_error: the largest difference between the observed and predicted visits of a state, per demonstration.
        objective_history: the log-likelihood and log-prior together after every step of the search that found the
            result, in nats.
        num_starts: the number of searches that were made.
        runners_up: the other optima that were found, the best first. Those that tie with the result come first: the
            result is the one that is nearest to the start.
        direction: the parameters, in proportion to each other, that grow without bound, if the status is "unbounded";
            otherwise None.
        status: how the search ended; `status.message` explains it.
        seconds: the time that it took.
    """

    reward: RewardModel
    given_model: MarkovModel
    demonstrator: Demonstrator
    demonstrations: Demonstrations
    log_likelihood: float
    log_prior: float
    gradient: float
    occupancy_error: float
    objective_history: Float[Tensor, " step"]
    num_starts: int
    runners_up: tuple[RunnerUp, ...]
    direction: Float[Tensor, " parameter"] | None
    status: InverseStatus
    seconds: float

    @property
    def table(self) -> Float[Tensor, "state action outcome"]:
        """The reward of every outcome, in reward units."""
        return self.reward().detach()

    @cached_property
    def model(self) -> MarkovModel:
        """The model with the learned reward, to be solved by `infer`."""
        given = self.given_model
        table, last = tables(self.reward, given.mdp)
        paid = torch.where(given.mdp.probability > 0, table.detach(), 0.0)
        mdp = replace(given.mdp, reward=paid, final_reward=last.detach() if self.reward.pays_last else None)
        return model_like(given, mdp)

    @property
    def behaviour(self) -> Behaviour:
        """The predicted behaviour of the demonstrator under the learned reward."""
        with torch.no_grad():
            reward, last = tables(self.reward, self.given_model.mdp)
            return self.demonstrator.behaviour(self.given_model, reward, last, self.given_model.temperature)

    @cached_property
    def identification(self) -> Identification:
        """What the demonstrations do not identify about the reward, near its parameters."""
        return identification(self)

    @cached_property
    def ties(self) -> tuple[RunnerUp, ...]:
        """The runners-up that explain the demonstrations as well as the result, to 10⁻⁹ nats or rounding."""
        return tied(self.runners_up, self.log_likelihood + self.log_prior)

    @property
    def unbounded_names(self) -> tuple[str, ...]:
        """The names of the parameters that grow without bound, the fastest first."""
        return fastest(self.direction, self._function.names)

    @cached_property
    def _function(self) -> RewardFunction:
        return RewardFunction(self.reward, self.given_model.mdp)

    def findings(self) -> list[str]:
        """Return sentences on the status, on the other optima, and on what the demonstrations do not identify."""
        names = self._function.names
        lines = [self.status.message]
        if self.direction is not None:
            lines.append(f"It grows without bound: {listed(self.unbounded_names)}.")
        lines += of_optima(self.ties, self.runners_up, names)
        if len(names) > _MOST_IDENTIFIED:
            lines.append(
                f"What the demonstrations identify is not computed here, for {len(names)} parameters: see "
                "`identification`."
            )
        else:
            lines += str(self.identification).splitlines()
        return lines

    def __str__(self) -> str:
        """The measures, the status, the other optima, and what is not identified."""
        return "\n".join([repr(self), *self.findings()])

    def __repr__(self) -> str:
        """The measures in one line."""
        searches = "1 start" if self.num_starts == 1 else f"{self.num_starts} starts"
        return (
            f"Inverse(log-likelihood {self.log_likelihood:.6f} nats of {self.demonstrations.number:g} demonstrations, "
            f"occupancy error {self.occupancy_error:.2g}, gradient {self.gradient:.2g}, "
            f"{len(self.objective_history) - 1} steps from the best of {searches}, {self.seconds:.2f} s, "
            f"{self.status.name}, runners-up: {len(self.runners_up)})"
        )
