"""The reward that explains what a demonstrator did.

Sources:
    [gleave2022] A. Gleave and S. Toyer, A primer on maximum causal entropy inverse reinforcement learning. 2022.
        arXiv:2203.11409
    [ziebart2008] B. D. Ziebart et al., Maximum entropy inverse reinforcement learning. AAAI Conference on Artificial
        Intelligence, pages 1433–1438, 2008.
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.risk import Risk, beta_of
from ..errors import InvalidArgument
from ..runtime.arguments import flag, listed, one_of, positive, whole, whole_or_none
from ..runtime.progress import Progress, silent
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.gaussian.blocks import ContinuousTrajectories
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from .continuous.learn import learn_quadratic
from .continuous.objective import Demonstrated
from .continuous.result import GaussianInverse
from .continuous.rewards import QuadraticReward
from .demonstrations import Demonstrations
from .demonstrators import NAMED, ClampedDemonstrator, Demonstrator, DialDemonstrator, FreeDemonstrator
from .objective import Objective
from .result import Inverse, InverseStep
from .rewards import LinearReward, RewardModel, TabularReward
from .search.descent import Vector
from .search.from_starts import Step, search_from_starts
from .search.optima import RunnerUp

InverseCallback = Callable[[InverseStep], bool | None]


@overload
def inverse(  # pyright: ignore[reportOverlappingOverload]
    model: GaussianModel,
    demonstrations: ContinuousTrajectories,
    reward: Any = None,
    demonstrator: Demonstrator | str = "clamped",
    *,
    learn: Sequence[str] = (),
    prior: float | None = None,
    method: str = "lbfgs",
    num_steps: int = 2000,
    num_starts: int | None = None,
    learning_rate: float = 0.05,
    tolerance: float = 1e-6,
    progress: Progress = silent,
    callbacks: Sequence[InverseCallback] = (),
) -> GaussianInverse: ...
@overload
def inverse(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Any = None,
    demonstrator: Demonstrator | str = "clamped",
    *,
    learn: Sequence[str] = (),
    prior: float | None = None,
    method: str = "lbfgs",
    num_steps: int = 2000,
    num_starts: int | None = None,
    learning_rate: float = 0.05,
    tolerance: float = 1e-6,
    progress: Progress = silent,
    callbacks: Sequence[InverseCallback] = (),
) -> Inverse: ...
def inverse(
    model: MarkovModel | GaussianModel,
    demonstrations: Demonstrations | ContinuousTrajectories,
    reward: Any = None,
    demonstrator: Demonstrator | str = "clamped",
    *,
    learn: Sequence[str] = (),
    prior: float | None = None,
    method: str = "lbfgs",
    num_steps: int = 2000,
    num_starts: int | None = None,
    learning_rate: float = 0.05,
    tolerance: float = 1e-6,
    progress: Progress = silent,
    callbacks: Sequence[InverseCallback] = (),
) -> Inverse | GaussianInverse:
    r"""Maximum-entropy inverse reinforcement learning, with a choice of what the demonstrator believes.

    $$\max_\psi \; \log p(\text{demonstrations} \mid \psi) - \frac{|\psi|^2}{2 \sigma^2}, \qquad
    \nabla_\psi = \frac1\tau \bigl(\mathbb{E}_\text{demo} - \mathbb{E}_\text{model}\bigr) \sum_t \nabla r_\psi$$

    This is the gradient for the free demonstrator, and for the clamped one with the matching criterion; others have a
    less simple gradient. All expectations are exact. The reward is found up to the directions that no behaviour
    identifies: see `identification`.

    A likelihood that is not concave may have several optima. The search is then repeated from other starts, the same at
    every call, and the best optimum is kept. Of optima that tie within 1e-9 nats the result is the one nearest to the
    parameters of `reward`; the others are `runners_up`. There may be optima that no search found.

    For a linear-quadratic model the demonstrations are trajectories of vectors, and the likelihood is the density of
    the actions, $\prod_t N(a_t; -K_t s_t - \kappa_t, \Sigma_t)$, of an agent of this β; of "free", and of a dial with
    believed dynamics, also that of the states. Gradients are exact, by one sweep. The optimism itself may be learned,
    and the A and B that the agent believes. Beyond a breakdown the likelihood is 0, and the search turns back.

    Args:
        model: the problem with its temperature and action prior; its rewards are ignored. A tabular or a
            linear-quadratic model.
        demonstrations: demonstrations of the same problem; for a linear-quadratic model `ContinuousTrajectories`, of
            all steps or of the first ones.
        reward: a `RewardModel`, whose parameters are the start of the search and are changed in place; features as for
            `LinearReward`; or "state", the default, "state_action" or "outcome" for a `TabularReward`. For a
            linear-quadratic model a `QuadraticReward`, or "diagonal", the default, "semidefinite" or "full".
        demonstrator: the model of the demonstrator: "clamped" knows the dynamics, "free" controls them, "boltzmann"
            expects not to err again; or an object, such as `DialDemonstrator(0.3)`.
        learn: what is learned besides the reward of a linear-quadratic model: "optimism", which needs a
            `DialDemonstrator(β)` to start at; "dynamics", the A and B that the demonstrator believes, which are only
            partly identified.
        prior: σ, standard deviation of a Gaussian prior of mean 0 on every parameter of the reward; default: no prior.
        method: "lbfgs" with a line search, which needs at most a hundred steps if the likelihood is concave; or
            "adam", for networks.
        num_steps: the largest number of steps, of all searches together.
        num_starts: the largest number of searches; default: 1 if the likelihood is certainly concave, else 8.
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
    if is_gaussian(model):
        options = _checked(method, num_steps, num_starts, learning_rate, tolerance)
        return _of_gaussian(
            model, demonstrations, reward, demonstrator, learn, prior=_prior(prior), progress=progress,
            callbacks=callbacks, **options,
        )  # fmt: skip
    require_model(model, in_nats=True)
    if _extra(learn):
        raise InvalidArgument(
            "`learn` must be empty for a tabular model, of which the reward alone is learned. "
            "reward_posterior(…, optimism=a prior) infers β."
        )
    reward = "state" if reward is None else reward
    made = chosen_reward(model, reward)
    actor = chosen_demonstrator(demonstrator)
    seen = require_demonstrations(model, demonstrations)
    prior, options = _prior(prior), _checked(method, num_steps, num_starts, learning_rate, tolerance)
    objective, number = Objective(model, made, actor, seen, prior), seen.number
    found = search_from_starts(
        objective, number, may_diverge=prior is None, progress=progress, callbacks=callbacks,
        seen=lambda step: InverseStep(*step, made), **options,
    )  # fmt: skip
    result, way = found.result, found.direction
    of_prior = objective.log_prior(result.x)
    runners_up = tuple(
        RunnerUp(
            _parameters(made, each.x),
            -number * each.value - objective.log_prior(each.x),
            number * (result.value - each.value),
        )
        for each in found.others
    )
    return Inverse(
        made,
        model,
        actor,
        seen,
        log_likelihood=-number * result.value - of_prior,
        log_prior=of_prior,
        gradient=float(np.abs(result.slope).max()),
        occupancy_error=objective.occupancy_error(result.x),
        objective_history=torch.tensor(found.trace, dtype=torch.float64),
        num_starts=found.num_starts,
        runners_up=runners_up,
        direction=None if way is None else _parameters(made, way),
        status=found.status,
        seconds=found.seconds,
    )


def _of_gaussian(
    model: GaussianModel, demonstrations: Any, reward: Any, demonstrator: Any, learn: Any, **options: Any
) -> GaussianInverse:
    """`inverse` of a linear-quadratic model."""
    extra = _extra(learn)
    actor = chosen_demonstrator(demonstrator)
    is_dial = isinstance(actor, DialDemonstrator)
    if getattr(actor, "infinite_horizon", False) or not isinstance(
        actor, ClampedDemonstrator | FreeDemonstrator | DialDemonstrator
    ):
        raise InvalidArgument(
            "`demonstrator` must be clamped, free or a DialDemonstrator of the same horizon for a linear-quadratic "
            f"model, but is {actor}. One that expects not to err again acts as the clamped one there, with Lebesgue "
            "measure as action prior."
        )
    if isinstance(actor, ClampedDemonstrator) and actor.criterion != "likelihood":
        raise InvalidArgument(
            '`demonstrator` must have criterion="likelihood" for a linear-quadratic model, but has '
            f'criterion="{actor.criterion}".'
        )
    if "optimism" in extra and not is_dial:
        raise InvalidArgument('`learn` of "optimism" needs a DialDemonstrator(β), of the β where the search starts.')
    beta, believed = (0.0, False) if isinstance(actor, ClampedDemonstrator) else (1.0, True)
    if isinstance(actor, DialDemonstrator):
        found = torch.as_tensor(beta_of(actor.optimism, float(model.temperature))).detach()
        if found.numel() != 1:
            raise InvalidArgument(f"`demonstrator` must have one β, but has {found.numel()}.")
        beta, believed = float(found), actor.dynamics == "believed"
    return learn_quadratic(
        model, demonstrations, "diagonal" if reward is None else reward, actor,
        Demonstrated(beta, believed, "optimism" in extra, "dynamics" in extra),
        has_optimism=is_dial, keeps_risk=is_dial and isinstance(actor.optimism, Risk), seen=_step, **options,
    )  # fmt: skip


def _extra(learn: Any) -> list[str]:
    """What is learned besides the reward."""
    found = [] if isinstance(learn, list | tuple) and not learn else listed("learn", learn, "strings")
    for each in found:
        one_of("learn", each, ("optimism", "dynamics"))
    return found


def _step(step: Step, reward: QuadraticReward) -> InverseStep:
    return InverseStep(*step, reward)


def _prior(prior: Any) -> float | None:
    return None if prior is None else positive("prior", prior, "standard deviation, or None for none")


def _checked(method: Any, num_steps: Any, num_starts: Any, learning_rate: Any, tolerance: Any) -> dict[str, Any]:
    """The options of the search."""
    one_of("method", method, ("lbfgs", "adam"))
    return {
        "method": method,
        "num_steps": whole("num_steps", num_steps, 0),
        "num_starts": whole_or_none("num_starts", num_starts),
        "tolerance": positive("tolerance", tolerance),
        "learning_rate": positive("learning_rate", learning_rate),
    }


def _parameters(reward: RewardModel, x: Vector) -> Float[Tensor, " parameter"]:
    return torch.from_numpy(x.copy()).to(next(reward.parameters()))


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
    try:
        return (TabularReward if isinstance(reward, str) else LinearReward)(model.mdp, reward)
    except InvalidArgument as problem:
        raise InvalidArgument(
            f"`reward` must be state, state_action or outcome, an array of features, or a RewardModel: {problem}"
        ) from problem


def chosen_demonstrator(demonstrator: Any, name: str = "demonstrator") -> Demonstrator:
    """Return the demonstrator with this name, or the argument `name` itself if it is a demonstrator."""
    if isinstance(demonstrator, str) and demonstrator in NAMED:
        return NAMED[demonstrator]
    if isinstance(demonstrator, str) or not isinstance(demonstrator, Demonstrator):
        raise InvalidArgument(
            f"`{name}` must be {', '.join(NAMED)} or an object such as DialDemonstrator(0.3), but is {demonstrator!r}."
        )
    flag("infinite_horizon", getattr(demonstrator, "infinite_horizon", False))
    return demonstrator


def require_demonstrations(model: MarkovModel, demonstrations: Any) -> Demonstrations:
    """Return them; refuse other types, another problem, and actions that the action prior excludes."""
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
    return demonstrations
