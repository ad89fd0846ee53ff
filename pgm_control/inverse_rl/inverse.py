"""The reward that explains what a demonstrator did.

Sources:
    [gleave2022] A. Gleave and S. Toyer, A primer on maximum causal entropy inverse reinforcement learning. 2022.
        arXiv:2203.11409
    [ziebart2008] B. D. Ziebart et al., Maximum entropy inverse reinforcement learning. AAAI Conference on Artificial
        Intelligence, pages 1433–1438, 2008.
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..models.tabular import model_like
from ..runtime.arguments import positive, whole
from ..runtime.loop import Loop
from ..runtime.progress import Progress, silent
from ..runtime.status import Status
from ..text.one_line import one_line
from ..trajectories.blocks import MarkovModel, require_model
from .demonstrations import Demonstrations
from .demonstrators import NAMED, Behaviour, Demonstrator
from .descent import Point, adam, descend
from .objective import Objective, tables
from .rewards import LinearReward, RewardModel, TabularReward


class InverseStatus(Status):
    """How `inverse`, or `inverse_in_simulator`, ended."""

    converged = "The gradient vanished: the reward is at a stationary point of the objective."
    no_progress = "No step along the gradient improved the objective any further; rounding is the limit."
    out_of_steps = (
        "`num_steps` was reached before the gradient vanished. Continue with inverse(…, reward=the same), whose "
        "parameters are kept. If the reward keeps growing, the demonstrations never do what it penalises: "
        "give a `prior`."
    )
    stopped = "A callback asked to stop."
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: the reward has its best parameters so far."
    not_finite = "The likelihood became nan or infinite; the reward has its best parameters so far. Give a `prior`."


class InverseStep(NamedTuple):
    """The argument of a callback after each step."""

    step: int
    log_likelihood: float
    """Of the demonstrations, in nats, without the prior."""
    gradient: float
    """The largest derivative of the objective by a parameter, per demonstration."""
    reward: RewardModel

    __repr__ = one_line


InverseCallback = Callable[[InverseStep], bool | None]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Inverse:
    """A reward learned from demonstrations, with measures of how well it explains them.

    Attributes:
        reward: the reward that was passed in, now fitted.
        given_model: the model that was passed in.
        demonstrator: the model of the demonstrator.
        demonstrations: the demonstrations.
        log_likelihood: of the demonstrations, in nats, as the demonstrator defines it.
        log_prior: of the parameters, in nats; 0 without a prior.
        gradient: the largest derivative of the objective by a parameter, per demonstration.
        occupancy_error: the largest difference between the observed and predicted visits of a state, per demonstration.
        objective_history: the log-likelihood and log-prior together after every step, in nats.
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
        with torch.no_grad():
            table, last = tables(self.reward, given.mdp)
        paid = torch.where(given.mdp.probability > 0, table, 0.0)
        mdp = replace(given.mdp, reward=paid, final_reward=last if self.reward.pays_last else None)
        return model_like(given, mdp)

    @property
    def behaviour(self) -> Behaviour:
        """The predicted behaviour of the demonstrator under the learned reward."""
        with torch.no_grad():
            reward, last = tables(self.reward, self.given_model.mdp)
            return self.demonstrator.behaviour(self.given_model, reward, last, self.given_model.temperature)

    def __repr__(self) -> str:
        """The measures and the message."""
        return (
            f"Inverse(log-likelihood {self.log_likelihood:.6f} nats of {self.demonstrations.number:g} demonstrations, "
            f"occupancy error {self.occupancy_error:.2g}, gradient {self.gradient:.2g}, "
            f"{len(self.objective_history) - 1} steps, {self.seconds:.2f} s. {self.status.message})"
        )


def inverse(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Any = "state",
    demonstrator: Demonstrator | str = "clamped",
    *,
    prior: float | None = None,
    method: str = "lbfgs",
    num_steps: int = 500,
    learning_rate: float = 0.05,
    tolerance: float = 1e-6,
    progress: Progress = silent,
    callbacks: Sequence[InverseCallback] = (),
) -> Inverse:
    r"""Maximum-entropy inverse reinforcement learning, with a choice of what the demonstrator believes.

    $$\max_\psi \; \log p(\text{demonstrations} \mid \psi) - \frac{|\psi|^2}{2 \sigma^2}, \qquad
    \nabla_\psi = \frac1\tau \bigl(\mathbb{E}_\text{demo} - \mathbb{E}_\text{model}\bigr) \sum_t \nabla r_\psi$$

    This is the gradient for the free demonstrator, and for the clamped one with the matching criterion; others have a
    less simple gradient. All expectations are exact. The reward is found up to the directions that no behaviour
    identifies: see `identification`.

    Args:
        model: the problem with its temperature and action prior; its rewards are ignored.
        demonstrations: demonstrations of the same problem.
        reward: a `RewardModel`, whose parameters are the start of the search and are changed in place; features as for
            `LinearReward`; or "state", "state_action" or "outcome" for a `TabularReward`.
        demonstrator: the model of the demonstrator: "clamped" knows the dynamics, "free" controls them, "boltzmann"
            expects not to err again; or an object, such as `DialDemonstrator(0.3)`.
        prior: σ, standard deviation of a Gaussian prior of mean 0 on every parameter; default: no prior.
        method: "lbfgs" with a line search, which needs at most a hundred steps if the likelihood is concave; or
            "adam", for networks.
        num_steps: the largest number of steps.
        learning_rate: the learning rate of Adam.
        tolerance: the search ends when no derivative per demonstration is larger; for a reward of states the
            derivatives are visits divided by τ.
        progress: called with the step and the numbers of `InverseStep`.
        callbacks: called with an `InverseStep`; one that returns True stops the search.

    Raises:
        InvalidArgument: if an argument is invalid, or the demonstrations are impossible; the message names the argument
            or the part.

    References:
        [ziebart2008], [ziebart2010], [gleave2022]
    """
    require_model(model, in_nats=True)
    made = chosen_reward(model, reward)
    actor = chosen_demonstrator(demonstrator)
    require_demonstrations(model, demonstrations)
    _check(prior, method, num_steps, tolerance, learning_rate)
    # The point where the search starts is step 0.
    loop = Loop(InverseStatus.out_of_steps, limit=num_steps, begin=-1, progress=progress, callbacks=callbacks)
    objective, number = Objective(model, made, actor, demonstrations, prior), demonstrations.number
    start = objective.start
    if method == "lbfgs":
        points = descend(objective, start, objective.metric())
    else:
        points = adam(objective, start, learning_rate)
    best, gradient, trace = Point(start, math.inf, start), math.inf, []
    with loop:
        for step, point in zip(loop, points, strict=False):
            slope = float(np.abs(point.slope).max())
            if not (math.isfinite(point.value) and math.isfinite(slope)):
                loop.end(InverseStatus.not_finite)
                break
            trace.append(-number * point.value)
            if point.value < best.value:
                best, gradient = point, slope
            if callbacks:
                objective.assign(point.x)  # the last evaluation may have been at another point
            likelihood = trace[-1] - objective.log_prior(point.x)
            ending = InverseStatus.converged if slope <= tolerance else None
            metrics = {"log_likelihood": likelihood, "gradient": slope}
            loop.report(metrics, InverseStep(step, likelihood, slope, made), ending)
        if not loop.over:  # no further points
            loop.end(InverseStatus.no_progress)
    objective.assign(best.x)
    of_prior, error = objective.log_prior(best.x), objective.occupancy_error(best.x)
    numbers = -number * best.value - of_prior, of_prior, gradient, error
    kept = torch.tensor(trace, dtype=torch.float64)
    return Inverse(made, model, actor, demonstrations, *numbers, kept, loop.status, loop.seconds)


def chosen_reward(model: MarkovModel, reward: Any) -> RewardModel:
    """Return the reward model that the argument denotes."""
    if isinstance(reward, RewardModel):
        linear = reward.linear_form()
        found = tuple(reward().shape) if linear is None else linear.shape
        if found != tuple(model.mdp.probability.shape):
            raise InvalidArgument(
                f"`reward` must give a table of shape (S, A, K) = {tuple(model.mdp.probability.shape)}, but gives "
                f"{found}. Make it of the same problem."
            )
        return reward
    if isinstance(reward, str):
        return TabularReward(model.mdp, reward)
    return LinearReward(model.mdp, reward)


def chosen_demonstrator(demonstrator: Any) -> Demonstrator:
    """Return the demonstrator with this name, or the argument itself if it is a demonstrator."""
    if isinstance(demonstrator, str) and demonstrator in NAMED:
        return NAMED[demonstrator]
    if isinstance(demonstrator, str) or not isinstance(demonstrator, Demonstrator):
        raise InvalidArgument(
            f"`demonstrator` must be {', '.join(NAMED)} or an object such as DialDemonstrator(0.3), but is "
            f"{demonstrator!r}."
        )
    return demonstrator


def require_demonstrations(model: MarkovModel, demonstrations: Any) -> None:
    """Refuse other types, demonstrations of another problem, and actions that the action prior excludes."""
    if not isinstance(demonstrations, Demonstrations):
        raise InvalidArgument(
            f"`demonstrations` must be Demonstrations, but are a {type(demonstrations).__name__}. Use "
            "Demonstrations.from_trajectories(mdp, states, actions)."
        )
    mdp, theirs = model.mdp, demonstrations.mdp
    if theirs is not mdp:
        for name in ("probability", "successor"):
            if not torch.equal(getattr(mdp, name), getattr(theirs, name)):
                raise InvalidArgument(
                    f"`demonstrations` must be of the problem of `model`, but its {name} is another. Make them with "
                    "the same mdp."
                )
        if (mdp.horizon, mdp.discount) != (theirs.horizon, theirs.discount):
            raise InvalidArgument(
                "`demonstrations` must have the horizon and the discount of `model`, but theirs are "
                f"{theirs.horizon} and {theirs.discount:g}, not {mdp.horizon} and {mdp.discount:g}."
            )
    moves = demonstrations.moves
    s, a = moves.state.numpy(force=True), moves.action.numpy(force=True)
    forbidden = np.flatnonzero(model.action_prior.numpy(force=True)[s, a] == 0)
    if len(forbidden):
        i = int(forbidden[0])
        raise InvalidArgument(
            f"`demonstrations` must contain only actions that the action prior allows, but action {a[i]} is done in "
            f"state {s[i]} at time {int(moves.time[i])}, where it has probability 0. Allow it there."
        )


def _check(prior: Any, method: Any, num_steps: Any, tolerance: Any, learning_rate: Any) -> None:
    if prior is not None:
        positive("prior", prior, "standard deviation, or None for none")
    if method not in ("lbfgs", "adam"):
        raise InvalidArgument(f'`method` must be "lbfgs" or "adam", but is {method!r}.')
    whole("num_steps", num_steps, 0)
    positive("tolerance", tolerance)
    positive("learning_rate", learning_rate)
