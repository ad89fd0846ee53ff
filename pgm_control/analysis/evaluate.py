"""Exact evaluation: the return that a guide imagines, and the return of its policy in the true or another world."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import expect, relative, weighted
from ..chance.optimism import Optimism, OptimismLike
from ..errors import InvalidArgument, InvalidGuide
from ..inference.exact.gaussian.output_feedback import OutputFeedback
from ..inference.exact.infer import infer
from ..inference.variational.elbo import elbo, objective_of
from ..models.tabular import TabularModel, hard_model
from ..problems.continuous.linear_quadratic import LinearQuadratic
from ..problems.feasible import ended_states
from ..problems.mdp import TabularMDP
from ..problems.timed import by_time
from ..trajectories.action_measure import log_measure
from ..trajectories.betas import Betas
from ..trajectories.blocks import Blocks, MarkovModel, require_model
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from ..trajectories.gaussian.terms import is_program_of_vectors, trajectory_terms
from ..trajectories.samples import Occupancy
from ..trajectories.steps import temperature_at
from ..trajectories.tabulate import Tabulable, tabulate
from .clamped import leaves_the_model
from .continuous.closed_form import best_return, continuous_objective, world_of
from .scores.evaluation import Evaluation


def evaluate(
    model: MarkovModel | GaussianModel | Any,
    guide: Tabulable | Any,
    *,
    world: TabularMDP | MarkovModel | LinearQuadratic | GaussianModel | None = None,
) -> Evaluation:
    r"""Evaluate a guide, a posterior or a bare policy exactly, by forward sweeps.

    With `world` the policy is made for the problem of the model and acts in another one, such as the truth behind
    estimated dynamics. With $p'$ and $r'$ of that world and the largest return that a policy reaches there,

    $$\text{true return} = E_{p', \pi}\Bigl[\sum_t \gamma'^t r'_t\Bigr], \qquad
        \text{regret} = \max_{\pi'} E_{p', \pi'}\Bigl[\sum_t \gamma'^t r'_t\Bigr] - \text{true return}.$$

        learned = TabularModel(TabularMDP.from_transitions(data, horizon=20), temperature=0.1)
        evaluate(learned, infer(learned, 0.0), world=truth).regret

    A linear-quadratic model is evaluated in closed form, for a posterior or a guide with affine-Gaussian `blocks()`;
    any other continuous model for a posterior that has `terms()`, such as that of a problem in the plane.

    Args:
        model: the tabular or linear-quadratic model, which defines the true world unless `world` does.
        guide: anything with `blocks()`, a Pyro function (see `tabulate`), or a policy: a `TabularPolicy` or
            probabilities of shape (time, state, action) or (state, action). A bare policy comes with the true start and
            dynamics, so its delusion in the model is 0.
        world: another true world with the same states, actions and horizon; its outcomes, rewards, start and discount
            may differ. A model stands for its problem and the actions that its prior allows: the best policy takes no
            others, and `guide` has a negative regret if it gains by others. Pass `model` for the regret in its own
            world.

    Raises:
        InvalidGuide: if the factors do not fit the model or are not log-probabilities, or the guide does not see the
            state.
        InvalidArgument: if the model is not tabular, or `world` differs in states, actions or horizon.
        InvalidProblem: if the model is a batch of linear-quadratic problems.
    """
    if isinstance(guide, OutputFeedback):
        raise InvalidGuide(
            "`guide` must see the state, but is an OutputFeedback, whose policy sees observations. It has been "
            "evaluated: .true_return and .objective; .sample(100) draws trajectories."
        )
    if is_gaussian(model) or is_program_of_vectors(model, guide):
        return _continuous(model, guide, world)
    model = require_model(model, timed=True)
    hard = None if world is None else _hard(world, model.mdp)
    with torch.no_grad():
        believed = tabulate(model, guide)
        truth, imagined = model.blocks(), believed.marginals()
        true = model.mdp if hard is None else hard.mdp
        acting = believed.log_policy.to(true.initial)
        visits = true_visits(true, acting)
        entropy = torch.where(ended_states(true), 0.0, -expect(acting, acting))
        policy_kl = expect(believed.log_policy, relative(believed.log_policy, log_measure(model, truth)))
        return Evaluation(
            true_return=expected_return(true, visits),
            imagined_return=expected_return(model.mdp, imagined),
            policy_entropy=float((visits.state[:-1] * entropy).sum()),
            policy_kl=float(weighted(imagined.state[:-1], policy_kl).sum()),
            dynamics_kl=_dynamics_kl(believed, truth, imagined),
            elbo=float(elbo(model, believed)) if temperature_at(model, 0) > 0 else None,
            world=None if hard is None else hard.mdp,
            best_return=None if hard is None else infer(hard, 0.0).value,
        )


def _continuous(model: Any, guide: object, world: object) -> Evaluation:
    """The evaluation of a guide of a continuous model."""
    other = None if world is None else world_of(model, world)
    terms = trajectory_terms(model, guide, other)
    return Evaluation(
        elbo=float(terms.objective(model.temperature)) if model.temperature > 0 else None,
        imagined_return=float(terms.imagined_return),
        true_return=float(terms.true_return),
        policy_entropy=None if terms.policy_entropy is None else float(terms.policy_entropy.sum()),
        policy_kl=float(terms.policy_kl.sum()),
        dynamics_kl=float(terms.dynamics_kl.sum() + terms.initial_kl),
        world=other,
        best_return=None if other is None else best_return(other),
    )


def _hard(world: Any, own: TabularMDP) -> TabularModel:
    """The model of another world at temperature 0, whose states, actions and horizon are those of `own`."""
    if isinstance(world, TabularMDP):
        hard = TabularModel(world, 0.0)
    else:
        require_model(world, name="world", timed=True)
        hard = hard_model(world)
    for what, remedy in _AGREE.items():
        here, there = getattr(own, what), getattr(hard.mdp, what)
        if here != there:
            raise InvalidArgument(
                f"`world` must have the {what} of `model`, {here}, but has {there}: a policy for the one does not say "
                f"what to do in the other. {remedy}"
            )
    for what in ("state_names", "action_names"):
        here, there = getattr(own, what) or (), getattr(hard.mdp, what) or ()
        if here != there and set(here) == set(there):
            i = next(i for i, name in enumerate(here) if name != there[i])
            raise InvalidArgument(
                f"`world` must have the {what} of `model` in the same order, but number {i} is {there[i]!r} instead of "
                f"{here[i]!r}. Number them alike, or give them other names if they are not the same."
            )
    return hard


_AGREE = {
    "num_states": "Number the states alike: from_gymnasium adds a last state for the end of episodes, and so does "
    "from_transitions(…, num_states=…).",
    "num_actions": "Number the actions alike.",
    "horizon": "Pass world.replace(horizon=…), or solve the model for the horizon of the world.",
}


def _dynamics_kl(q: Blocks, p: Blocks, visits: Occupancy) -> float:
    """The KL of start, dynamics and survival over the trajectories of q, in nats."""
    of_start = expect(q.log_initial, relative(q.log_initial, p.log_initial))
    of_dynamics = expect(q.log_dynamics, relative(q.log_dynamics, p.log_dynamics))
    total = of_start + weighted(visits.state_action, of_dynamics).sum()
    if q.log_survival is not None:
        arrived = torch.zeros_like(visits.state[1:])
        arrived.index_add_(1, p.mdp.successor.flatten(), visits.outcome.flatten(1))
        survival, truth = (torch.stack((each, 1.0 - each), -1).log() for each in (q.survival, p.survival))
        total = total + weighted(arrived, expect(survival, relative(survival, truth))).sum()
    return float(total)


def true_return(mdp: TabularMDP, log_policy: Float[Tensor, "time state action"]) -> float:
    """The return of a policy in this MDP, $E_{p, π}[Σ_t γ^t r_t]$, in reward units."""
    return expected_return(mdp, true_visits(mdp, log_policy))


def true_visits(mdp: TabularMDP, log_policy: Float[Tensor, "time state action"]) -> Occupancy:
    """How often a policy visits each state, action and outcome of this MDP, by time."""
    log_p = by_time(mdp.probability.log(), mdp.horizon, 3)
    return Blocks(mdp, mdp.initial.log(), log_policy, log_p).marginals()


def objective(
    model: MarkovModel | GaussianModel | Any, guide: Tabulable | Any, optimism: OptimismLike | None = None
) -> float:
    r"""The exact objective $J_\beta$ of a guide, in nats; `infer(model, optimism)` maximises it.

    Args:
        model: the tabular model, a linear-quadratic one, or another continuous one for a guide with `terms()`.
        guide: anything with `blocks()`, or a Pyro function (see `tabulate`) for tables.
        optimism: β, a number, a `Risk` or an `Optimism` (default: the guide's own). A block with β = 0 must be
            the model's: otherwise the objective is −inf.

    Raises:
        InvalidArgument: if the guide has no attribute `optimism` and none is given.
        InvalidGuide: if the guide does not fit the model.
    """
    continuous = None
    if is_gaussian(model) or is_program_of_vectors(model, guide):
        continuous = model
    else:
        model = require_model(model, in_nats=True, timed=True)
    given = getattr(guide, "optimism", None) if optimism is None else optimism
    if given is None:
        raise InvalidArgument(
            f"`optimism` must be given, because {type(guide).__name__} does not define its own. 1.0 gives the ELBO."
        )
    beta = Optimism.of(given)
    if continuous is not None:
        return continuous_objective(continuous, guide, beta)
    model = require_model(model, timed=True)
    with torch.no_grad():
        blocks, weights = tabulate(model, guide), Betas.of(model.mdp, beta, model.temperature).weights()
        if leaves_the_model(model.mdp, blocks, model.blocks(), weights):
            return -math.inf
        return float(objective_of(model, blocks, beta))


def expected_return(mdp: TabularMDP, visits: Occupancy) -> float:
    """The expected return: the sum of probability times reward; outcomes of probability 0 add 0."""
    total = float(weighted(visits.outcome, mdp.reward).sum())
    if mdp.final_reward is None:
        return total
    return total + float(weighted(visits.state[-1], mdp.final_reward).sum())
