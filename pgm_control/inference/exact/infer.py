"""Exact inference by backward messages, for any optimism.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [iyengar2005] G. N. Iyengar, Robust dynamic programming. Mathematics of Operations Research 30(2):257–280, 2005.
        doi:10.1287/moor.1040.0129
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [nilim2005] A. Nilim and L. El Ghaoui, Robust control of Markov decision processes with uncertain transition
        matrices. Operations Research 53(5):780–798, 2005. doi:10.1287/opre.1050.0216
    [pearl1988] J. Pearl, Probabilistic Reasoning in Intelligent Systems: Networks of Plausible Inference. Morgan
        Kaufmann, 1988.
    [rawlik2012] K. Rawlik, M. Toussaint and S. Vijayakumar, On stochastic optimal control and reinforcement learning by
        approximate inference. Robotics: Science and Systems, 2012.
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.budget import KLBudget
from ...chance.optimism import Optimism, OptimismLike
from ...chance.risk import Risk
from ...errors import InvalidArgument
from ...problems.continuous.line import Line
from ...problems.continuous.planar import Planar
from ...problems.gradients import detached
from ...runtime.arguments import shown
from ...runtime.programs import without_condition
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.gaussian.model import GaussianModel, is_gaussian
from ...trajectories.steps import forbids, is_plain, is_timed, temperature_at
from .backward.by_step import MessagesByStep
from .backward.evidence import Evidence, evidence_of, refuse
from .backward.messages import backward_messages, messages_fit
from .budgets.budget import within_budget
from .gaussian.posterior import GaussianPosterior
from .gaussian.solve import infer_gaussian
from .grid.infer_line import HasLine, infer_line
from .grid.infer_planar import HasPlane, infer_planar
from .grid.posterior import GridPosterior
from .posterior import Posterior
from .soft_values import soft_values
from .tables import TablesByStep, WholeTables


@overload
def infer(  # pyright: ignore[reportOverlappingOverload]
    model: GaussianModel, optimism: OptimismLike | KLBudget, *, evidence: Mapping[str, Any] | None = None
) -> GaussianPosterior: ...
@overload
def infer(  # pyright: ignore[reportOverlappingOverload]
    model: HasPlane | HasLine, optimism: OptimismLike | KLBudget, *, evidence: Mapping[str, Any] | None = None
) -> GridPosterior: ...
@overload
def infer(
    model: MarkovModel | Callable[[], Any],
    optimism: OptimismLike | KLBudget,
    *,
    evidence: Mapping[str, Any] | None = None,
) -> Posterior: ...
def infer(
    model: GaussianModel | HasPlane | HasLine | MarkovModel | Callable[[], Any],
    optimism: OptimismLike | KLBudget,
    *,
    evidence: Mapping[str, Any] | None = None,
) -> Posterior | GaussianPosterior | GridPosterior:
    r"""The exact optimum of the objective $J_\beta$, by one backward sweep of log-space messages.

    $$J_\beta(q) = E_q\Bigl[\sum_t \tfrac{r_t}{\tau} - \log\tfrac{\pi_t}{\rho}
        - \tfrac1\beta \log\tfrac{q_t(k)}{p(k)}\Bigr] - \tfrac1{\beta_0} KL(q(s_0) \| p(s_0))$$

    $$Q_t(s,a) = L_\beta[r + \gamma V_{t+1}(s')], \qquad V_t(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q_t(s,a)/\tau)$$

    with $L_\beta[x] = (\tau/\beta) \log \sum_k p(k) \exp(\beta x_k/\tau)$ and $V_T$ the final reward. 1/β is the price
    of a nat of change of a block. β = 1 is sum-product message passing, the exact posterior given that every step was
    optimal; β = 0 is soft value iteration, the max-ent policy; β < 0 plans against adversarial dynamics.

    Where the tables of all steps do not fit into memory only V is kept, (T + 1) S numbers. The posterior then makes the
    rest a step at a time, in `at(t)`, `visits` and `sample`, and refuses whole tables with their size. Such a problem
    takes no evidence and no budget.

    A `KLBudget` says instead how many nats a block may change, for whole trajectories or for each event. The optimum is
    that of $E_q[\sum_t r_t/\tau - \log \pi_t/\rho]$ within the budget; the multipliers 1/β are found.

        infer(model, KLBudget(dynamics=0.3)).budget  # β, the nats that were spent, and whether the budget binds

    Evidence multiplies $\tilde p$ by a factor $e \in [0, 1]$ at each of its sites, for any β:

    $$V_t(s) \leftarrow V_t(s) + \tau \log e(s), \qquad Q_t(s,a) \leftarrow Q_t(s,a) + \tau \log e(a), \qquad
        r(s,a,k) \leftarrow r(s,a,k) + \tau \log e(k)$$

    At β = 1 the objective is then log p(O, evidence). The start is not chosen by anybody, so that evidence on
    `state_0` conditions it, $p(s_0)\, e(s_0)$ normalised, and adds the logarithm of the normaliser, for any β₀.

    A linear-quadratic model has quadratic values and Gaussian factors, by one sweep of matrices (see
    `LinearQuadraticModel`). It takes an optimism for the dynamics and the start, and neither evidence nor a budget.
    Beyond a breakdown, where the objective is unbounded, an error says so; `breakdown(model)` gives the limits. A
    problem in the plane or on a line, with any reward, is solved on a mesh, whose error the result states; see
    `infer_planar` and `infer_line`, which also take the mesh.

    Args:
        model: a `LinearQuadraticModel`, `PlanarModel` or `LineModel`; or a tabular model, such as
            `TabularModel(mdp, temperature)`, or `pyro.condition` of one. If its tables require gradients, q, v, value,
            objective and log evidence are tensors that are differentiable in them, as those of `soft_values`; its
            factors are numbers. Temperature 0 is the hard maximum over actions: hard value iteration, or with a `Risk`
            risk-sensitive control [howard1972].
        optimism: β of the start and the dynamics; a `Risk`, which stands for β = θτ and is the only choice but 0 at
            temperature 0; or an `Optimism`: one of these per block, or several within a block, by state, by state and
            action, by time, by factor. Or a `KLBudget`.
        evidence: by site what is known of it, such as `{"state_4": 2, "action_0": {0, 1}, "outcome_3": [1, 0.2]}`: a
            value or its name, a set of values, or a vector of likelihoods in [0, 1], Pearl's virtual evidence, which
            is a factor and not a marginal to be attained [pearl1988]. `"optimality_3": 0` says that a step was not
            optimal, where no reward is positive. It is solved in torch, without compiled loops.

    Returns:
        The optimal distribution over trajectories with its values, in reward units, and its objective, in nats, which
        is None at temperature 0. With a `KLBudget`, `budget` is the account; q and v are those of the β that was found
        and charge for the change, while value and objective do not.

    Raises:
        OptimismBreakdown: if the objective of a continuous problem is unbounded at this optimism.
        InvalidArgument: if the temperature is 0 and a β is neither 0 nor a `Risk`; if values overflow; if parts of
            `optimism` do not fit the model; if evidence does not fit, has probability 0, or, under dynamics that are
            not free, cannot be made sure of by any choice of actions; if a `KLBudget` of the dynamics is for whole
            trajectories at temperature 0, one of the policy cannot avoid rewards of −inf or meets an action prior that
            counts, or one comes with evidence.

    References:
        [levine2018], [ziebart2010], [rawlik2012], [howard1972], [pearl1988]; robust MDPs: [iyengar2005], [nilim2005]

    Examples:
        >>> from pgm_control import TabularModel, infer
        >>> from pgm_control.models import restaurant
        >>> model = TabularModel(restaurant(), temperature=1.0)
        >>> known = infer(model, 1.0, evidence={"action_0": 0})
        >>> share = known.log_evidence - infer(model, 1.0).log_evidence  # log p(action_0 = 0 | O)
    """
    if (kind := _continuous_kind(model)) is not None:
        return _continuous(model, kind, optimism, evidence)
    tabular, known = without_condition(model)
    require_model(tabular, timed=True, graph=True)
    if isinstance(optimism, KLBudget) and not is_plain(tabular):
        raise InvalidArgument(
            "`model` must have the same tables and the factor exp(r/τ) at each step for a KLBudget, but something "
            f"depends on time, is not observed, or has another likelihood: {tabular!r}. Give an optimism β in place of "
            "the budget; larger ones spend more."
        )
    asked, tabular = tabular, detached(tabular)
    has_graph = asked is not tabular and torch.is_grad_enabled()
    given, report = evidence_of(tabular, known, evidence), None
    if isinstance(optimism, KLBudget):
        if given is not None:
            raise InvalidArgument(
                f"`evidence` must be None with a budget, but is on {', '.join(given.sites)}. Give an optimism β; "
                "larger ones spend more."
            )
        beta, (tabular, found, report) = optimism, within_budget(tabular, optimism)
    else:
        beta = Optimism.of(optimism)
        if given is None and not has_graph and not messages_fit(tabular, beta):
            found = MessagesByStep(tabular, beta)
        else:
            found = backward_messages(tabular, beta, given)
        if given is not None and found.value == -math.inf < backward_messages(tabular, beta).value:
            refuse(given, backward_messages(tabular, Optimism(1.0, 1.0, 1.0), given).value > -math.inf)
    mdp, temperature = tabular.mdp, temperature_at(tabular, 0)
    coldest = min(temperature_at(tabular, t) for t in (range(mdp.horizon) if is_timed(tabular) else [0]))
    # 1/τ overflows for the smallest τ, which the compiled loops do not detect
    wider = "" if mdp.probability.dtype == torch.float64 else ", or use mdp.to(dtype=torch.float64)"
    is_right = all(map(math.isfinite, found.v.aminmax())) or _is_forbidden(tabular, found.v, given)
    overflows = 0 < coldest < 1 / sys.float_info.max or not is_right
    if report is not None and temperature > 0:  # prices are in units of τ
        overflows = overflows or bool(((found.v / temperature).isinf() & found.v.isfinite()).any())
    if overflows:
        raise InvalidArgument(
            f"`model` has rewards that, divided by its temperature {coldest:g} or times the optimism {optimism}, "
            f"exceed the range of {mdp.probability.dtype}. Raise the temperature, or scale the rewards{wider}."
        )
    value = found.value if given is None else found.value + temperature * given.log_mass
    q, v, value = _with_graph(asked, beta, given) if has_graph else (None, found.v, value)
    return Posterior(
        model=tabular,
        optimism=beta,
        v=v,
        value=value,
        tables=TablesByStep(found) if isinstance(found, MessagesByStep) else WholeTables.of(mdp, found, q),
        evidence=given,
        budget=report,
    )


def _continuous_kind(model: Any) -> str | None:
    """What kind of continuous problem a model has; None for tables."""
    problem = None if isinstance(model, type) else getattr(model, "problem", None)
    if is_gaussian(model):
        return "linear-quadratic model"
    return "problem in the plane" if isinstance(problem, Planar) else "line" if isinstance(problem, Line) else None


def _continuous(
    model: Any, kind: str, optimism: OptimismLike | KLBudget, evidence: Mapping[str, Any] | None
) -> GaussianPosterior | GridPosterior:
    """Solve a continuous model, which takes neither evidence nor a budget."""
    if isinstance(optimism, KLBudget):
        raise InvalidArgument(
            f"`optimism` must be a number, a Risk or an Optimism for a {kind}, but is a KLBudget. Choose β by the KL "
            "that a posterior reports."
        )
    if evidence is not None:
        raise InvalidArgument(
            f"`evidence` must be None for a {kind}, but is {shown(evidence)}. A reward −τ(s − x)²/(2σ²) at that step "
            "is a Gaussian observation x of the state."
        )
    if is_gaussian(model):
        return infer_gaussian(model, optimism)
    return (infer_planar if isinstance(model.problem, Planar) else infer_line)(model, optimism)


def _with_graph(model: MarkovModel, beta: Any, evidence: Evidence | None) -> tuple[Any, Any, Any]:
    """q, v and value as functions of those tables of the model that require gradients."""
    numbers = isinstance(beta, Optimism) and isinstance(beta.survival, float)
    numbers = numbers and isinstance(beta.dynamics, float | Risk) and isinstance(beta.initial, float | Risk)
    cold = temperature_at(model, 0) == 0
    if cold or evidence is not None or not numbers:
        each = "temperature 0" if cold else beta if evidence is None else "evidence"
        raise InvalidArgument(
            f"`model` must hold numbers for {each}, but its tables require gradients, which infer passes on only for a "
            "positive temperature, one number β or Risk per block, and no evidence. Pass model.detach(). For evidence "
            "with gradients put it into rewards by time: −inf where an outcome contradicts it."
        )
    found = soft_values(model, beta)
    return found.q, found.v, found.value


def _is_forbidden(model: MarkovModel, v: Float[Tensor, "time_and_last state"], evidence: Evidence | None) -> bool:
    """Whether values that are not finite are those of states where a reward of −inf or evidence forbids everything."""
    if not bool((v < torch.inf).all()):
        return False
    return evidence is not None or forbids(model)
