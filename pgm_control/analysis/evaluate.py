"""Exact evaluation: the return that a guide imagines, and the return of its policy in the true or another world."""

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import expect, relative, weighted
from ..chance.optimism import Optimism, OptimismLike
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.variational.elbo import elbo, objective_of
from ..models.tabular import TabularModel, hard_model
from ..problems.feasible import ended_states
from ..problems.mdp import TabularMDP
from ..problems.timed import by_time
from ..text.one_line import one_line
from ..trajectories.action_measure import log_measure
from ..trajectories.betas import Betas
from ..trajectories.blocks import Blocks, MarkovModel, require_model
from ..trajectories.samples import Occupancy
from ..trajectories.steps import temperature_at
from ..trajectories.tabulate import Tabulable, tabulate
from .clamped import leaves_the_model


@final
@dataclass(frozen=True)
class Evaluation:
    r"""The exact evaluation of a guide or a policy.

    Attributes:
        elbo: the guide's ELBO, in nats: imagined return / τ − policy_kl − dynamics_kl, or with other factors than
            exp(r/τ) the imagined log-likelihood in place of the return; None at temperature 0.
        imagined_return: $E_q[Σ_t γ^t r_t]$, the return under the guide's own start and dynamics, in reward units; it
            includes the final reward.
        true_return: the same for its policy in the true world, $E_{p, π}[Σ_t γ^t r_t]$.
        policy_entropy: the entropy of the policy, summed over the steps of true trajectories until the episode ends, in
            nats. An episode has ended in a state where every action stays and pays 0.
        policy_kl: $E_q[Σ_t \log π_t/ρ]$ over the guide's own trajectories, in nats: the KL of the policy from the
            action prior; with the prior "count", minus the entropy.
        dynamics_kl: the KL of the guide's start, dynamics and survival from the true ones, over the guide's own
            trajectories, in nats.
        world: the true world, if it was another than that of the model; the true return and the entropy are those in
            this world, everything else is about the model. None if the model defines the true world.
        best_return: the largest true return of any policy in `world`, risk-neutral and exact, in reward units; None
            without `world`.
    """

    elbo: float | Any  # None at temperature 0; Any, so that callers need not check it elsewhere
    imagined_return: float
    true_return: float
    policy_entropy: float
    policy_kl: float
    dynamics_kl: float
    world: TabularMDP | None = None
    best_return: float | None = None

    __repr__ = one_line

    @property
    def delusion(self) -> float:
        """Imagined minus true return, in reward units; 0 if they are equal, even if both are −inf."""
        return _difference(self.imagined_return, self.true_return)

    @property
    def regret(self) -> float | None:
        """Best minus true return in `world`, in reward units; 0 if both are −inf; None without `world`."""
        return None if self.best_return is None else _difference(self.best_return, self.true_return)


def evaluate(
    model: MarkovModel,
    guide: Tabulable,
    *,
    world: TabularMDP | MarkovModel | None = None,
) -> Evaluation:
    r"""Evaluate a guide, a posterior or a bare policy exactly, by forward sweeps.

    With `world` the policy is made for the problem of the model and acts in another one, such as the truth behind
    estimated dynamics. With $p'$ and $r'$ of that world and the largest return that a policy reaches there,

    $$\text{true return} = E_{p', \pi}\Bigl[\sum_t \gamma'^t r'_t\Bigr], \qquad
        \text{regret} = \max_{\pi'} E_{p', \pi'}\Bigl[\sum_t \gamma'^t r'_t\Bigr] - \text{true return}.$$

        learned = TabularModel(TabularMDP.from_transitions(data, horizon=20), temperature=0.1)
        evaluate(learned, infer(learned, 0.0), world=truth).regret

    Args:
        model: the tabular model, which defines the true world unless `world` does.
        guide: anything with `blocks()`, a Pyro function (see `tabulate`), or a policy: a `TabularPolicy` or
            probabilities of shape (time, state, action) or (state, action). A bare policy comes with the true start and
            dynamics, so its delusion in the model is 0.
        world: another true world with the same states, actions and horizon; its outcomes, rewards, start and discount
            may differ. A model stands for its problem and the actions that its prior allows: the best policy takes no
            others, and `guide` has a negative regret if it gains by others. Pass `model` for the regret in its own
            world.

    Raises:
        InvalidGuide: if the factors do not fit the model or are not log-probabilities.
        InvalidArgument: if the model is not tabular, or `world` differs in states, actions or horizon.
    """
    require_model(model, timed=True)
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


def _hard(world: TabularMDP | MarkovModel, own: TabularMDP) -> TabularModel:
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


def _difference(one: float, other: float) -> float:
    """One minus the other; 0 if they are equal, even if both are −inf."""
    return 0.0 if one == other else one - other


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


def objective(model: MarkovModel, guide: Tabulable, optimism: OptimismLike | None = None) -> float:
    r"""The exact objective $J_\beta$ of a guide, in nats; `infer(model, optimism)` maximises it.

    Args:
        model: the tabular model.
        guide: anything with `blocks()`, or a Pyro function (see `tabulate`).
        optimism: β, a number, a `Risk` or an `Optimism` (default: the guide's own). A block with β = 0 must be
            the model's: otherwise the objective is −inf.

    Raises:
        InvalidArgument: if the guide has no attribute `optimism` and none is given.
        InvalidGuide: if the guide does not fit the model.
    """
    require_model(model, in_nats=True, timed=True)
    given = getattr(guide, "optimism", None) if optimism is None else optimism
    if given is None:
        raise InvalidArgument(
            f"`optimism` must be given, because {type(guide).__name__} does not define its own. 1.0 gives the ELBO."
        )
    beta = Optimism.of(given)
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
