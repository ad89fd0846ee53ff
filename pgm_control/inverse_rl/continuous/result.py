"""A quadratic reward learned from the demonstrations of a linear-quadratic agent."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...inference.exact.gaussian.solve import infer_gaussian
from ...models.linear_quadratic import LinearQuadraticModel
from ...text.one_line import one_line
from ...text.wording import listed
from ...trajectories.gaussian.blocks import ContinuousTrajectories
from ...trajectories.gaussian.model import GaussianModel
from ..search.optima import RunnerUp
from ..search.status import InverseStatus
from ..search.words import fastest, of_optima, tied
from .identification import GaussianIdentification, gaussian_identification
from .objective import GaussianObjective
from .rewards import QuadraticCost, QuadraticReward

_MANY = 12  # parameters in a print


class BelievedDynamics(NamedTuple):
    """The dynamics that a demonstrator believes in before it changes them, s' = As + Ba + d + w."""

    A: Float[Tensor, "state state"]
    B: Float[Tensor, "state action"]

    __repr__ = one_line


@final
@dataclass(frozen=True, eq=False, repr=False)
class GaussianInverse:
    """A quadratic reward learned from demonstrations. Printing it prints sentences, as for `Inverse`.

    Attributes:
        reward: the reward that was passed in, now fitted.
        given_model: the model that was passed in.
        demonstrator: the model of the demonstrator.
        demonstrations: the demonstrations.
        parameters: ψ, then β and the rows of [A B] if they were learned.
        names: their names.
        optimism: β of the demonstrator, as given or as learned.
        believed_dynamics: A and B that it believes in, if they were learned; otherwise None.
        log_likelihood: the log-density of the actions, and of the states if they count, in nats. It depends on the
            units of the actions.
        log_prior: of the parameters of the reward, in nats; 0 without a prior.
        gradient: the largest derivative of the objective by a parameter, per demonstration.
        occupancy_error: the largest difference between the observed and the predicted mean of a state or action at a
            step, in predicted standard deviations of one trajectory.
        objective_history: the log-likelihood and log-prior together after every step of the search that found the
            result, in nats.
        num_starts: the number of searches that were made.
        num_refused: how many points the search met beyond the breakdown of the optimism, where it turned back.
        runners_up: the other optima that were found, the best first.
        direction: the parameters, in proportion to each other, that grow without bound, if the status is "unbounded";
            otherwise None.
        status: how the search ended; `status.message` explains it.
        seconds: the time that it took.
    """

    reward: QuadraticReward
    given_model: GaussianModel
    demonstrator: Any
    demonstrations: ContinuousTrajectories
    parameters: Float[Tensor, " parameter"]
    names: tuple[str, ...]
    optimism: float
    believed_dynamics: BelievedDynamics | None
    log_likelihood: float
    log_prior: float
    gradient: float
    objective_history: Float[Tensor, " step"]
    num_starts: int
    num_refused: int
    runners_up: tuple[RunnerUp, ...]
    direction: Float[Tensor, " parameter"] | None
    status: InverseStatus
    seconds: float
    likelihood: GaussianObjective
    has_optimism: bool
    keeps_risk: bool
    counts_states: bool

    @property
    def cost(self) -> QuadraticCost:
        """The learned C, c, P_T and p_T, in reward units; C and c with an axis of time, of size 1 if constant."""
        psi = self.likelihood.parts(self.parameters.numpy())[0]
        return self.likelihood.cost(psi, slopes=False)[0]

    @cached_property
    def model(self) -> LinearQuadraticModel:
        """The model with the learned reward and the true dynamics, to be solved by `infer`."""
        C, c, P, p = self.cost
        problem = self.given_model.problem.replace(C=C, c=c, k=0.0, final_cost=(P, p, 0.0))
        return LinearQuadraticModel(problem, self.given_model.temperature, self.given_model.action_prior)

    @cached_property
    def behaviour(self) -> GaussianPosterior:
        """The predicted behaviour of the demonstrator under the learned reward; the start is clamped."""
        model = self.model
        if self.believed_dynamics is not None:
            problem = model.problem.replace(A=self.believed_dynamics.A, B=self.believed_dynamics.B)
            model = LinearQuadraticModel(problem, model.temperature, model.action_prior)
        return infer_gaussian(model, Optimism(self.optimism, initial=0.0))

    @cached_property
    def occupancy_error(self) -> float:
        """The largest error of a predicted mean, in predicted standard deviations."""
        states = torch.as_tensor(self.demonstrations.states).double()
        actions = torch.as_tensor(self.demonstrations.actions).double()
        blocks, problem = self.behaviour.blocks(), self.given_model.problem
        if not self.counts_states:
            blocks = blocks.replace(transition=problem.F, drift=problem.d, noise=problem.W)
        start = states[:, 0]
        off = start - start.mean(0)
        found = blocks.replace(initial_mean=start.mean(0), initial_covariance=off.mT @ off / len(start)).marginals()
        steps = actions.shape[1]
        seen = torch.cat((states[:, :-1], actions), -1).mean(0)
        pairs = (
            (seen, found.mean[:steps], found.covariance[:steps]),
            (states[:, -1].mean(0), found.state_mean[steps], found.state_covariance[steps]),
        )
        errors: list[float] = []
        for observed, mean, covariance in pairs:
            deviation = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()
            is_random = deviation > 1e-9 * (1.0 + mean.abs())
            errors.append(
                float(((observed - mean).abs() / deviation)[is_random].max()) if bool(is_random.any()) else 0.0
            )
        return max(errors)

    @cached_property
    def identification(self) -> GaussianIdentification:
        """What the demonstrations do not identify, near the parameters, and how precise the rest is."""
        return gaussian_identification(self.likelihood, self.parameters.numpy(), self.has_optimism, self.keeps_risk)

    @property
    def deviations(self) -> Float[Tensor, " parameter"]:
        """The standard deviation of each parameter by the likelihood; infinite where it is not identified."""
        return self.identification.deviations

    @property
    def optimism_deviation(self) -> float:
        """The standard deviation of β by the likelihood; infinite where it is not identified, nan if there is no β."""
        return self.identification.optimism_deviation

    @cached_property
    def ties(self) -> tuple[RunnerUp, ...]:
        """The runners-up that explain the demonstrations as well as the result, to 10⁻⁹ nats or rounding."""
        return tied(self.runners_up, self.log_likelihood + self.log_prior)

    @property
    def unbounded_names(self) -> tuple[str, ...]:
        """The names of the parameters that grow without bound, the fastest first."""
        return fastest(self.direction, self.names)

    def findings(self) -> list[str]:
        """Return sentences on the status, the parameters, the other optima, and on what is not identified."""
        lines = [self.status.message]
        if self.direction is not None:
            lines.append(f"It grows without bound: {listed(self.unbounded_names)}.")
        if len(self.names) <= _MANY:
            each = zip(self.names, self.parameters.tolist(), self.deviations.tolist(), strict=True)
            lines.append(f"Found: {listed([_amount(*one) for one in each])}.")
        if self.num_refused:
            many = "point that was tried was" if self.num_refused == 1 else "points that were tried were"
            lines.append(
                f"{self.num_refused} {many} beyond the breakdown, or without a best action: the likelihood is 0 there."
            )
        lines += of_optima(self.ties, self.runners_up, self.names)
        if self.believed_dynamics is not None:
            lines.append(
                "A and B are those that explain the actions, or what is believed of the states: not those of the "
                "world, which `identify_dynamics` finds."
            )
        return lines + str(self.identification).splitlines()

    def __str__(self) -> str:
        """The measures, the status, the other optima, and what is not identified."""
        return "\n".join([repr(self), *self.findings()])

    def __repr__(self) -> str:
        """The measures in one line."""
        searches = "1 start" if self.num_starts == 1 else f"{self.num_starts} starts"
        return (
            f"GaussianInverse(log-likelihood {self.log_likelihood:.6f} nats of {len(self.demonstrations.actions)} "
            f"demonstrations, optimism {self.optimism:.4g}, occupancy error {self.occupancy_error:.2g}, gradient "
            f"{self.gradient:.2g}, {len(self.objective_history) - 1} steps from the best of {searches}, "
            f"{self.seconds:.2f} s, {self.status.name}, runners-up: {len(self.runners_up)})"
        )


def _amount(name: str, value: float, deviation: float) -> str:
    return f"{name} = {value:.4g} ± {deviation:.2g}" if deviation < float("inf") else f"{name} not identified"
