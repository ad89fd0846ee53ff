"""Learned action priors: the one that maximises the objective, and the information that its policy uses.

Sources:
    [abdolmaleki2018] A. Abdolmaleki et al., Maximum a posteriori policy optimisation. International Conference on
        Learning Representations, 2018. arXiv:1806.06920
    [arimoto1972] S. Arimoto, An algorithm for computing the capacity of arbitrary discrete memoryless channels. IEEE
        Transactions on Information Theory 18(1):14–20, 1972. doi:10.1109/TIT.1972.1054753
    [blahut1972] R. E. Blahut, Computation of channel capacity and rate-distortion functions. IEEE Transactions on
        Information Theory 18(4):460–473, 1972. doi:10.1109/TIT.1972.1054855
    [graumoya2019] J. Grau-Moya, F. Leibfried and P. Vrancx, Soft Q-learning with mutual-information regularization.
        International Conference on Learning Representations, 2019.
    [rubin2012] J. Rubin, O. Shamir and N. Tishby, Trading value and information in MDPs. Decision Making with Imperfect
        Decision Makers, pages 57–74, 2012. doi:10.1007/978-3-642-24647-0_3
    [tanaka2022] T. Tanaka, H. Sandberg and M. Skoglund, Transfer-entropy-regularized Markov decision processes. IEEE
        Transactions on Automatic Control 67(4):1944–1951, 2022. doi:10.1109/TAC.2021.3069347
    [tishby2011] N. Tishby and D. Polani, Information theory of decisions and actions. Perception-Action Cycle: Models,
        Architectures, and Hardware, pages 601–636, 2011. doi:10.1007/978-1-4419-1452-1_19
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.optimism import Optimism, OptimismLike
from ..errors import InvalidArgument
from ..models.tabular import TabularModel, model_like
from ..runtime.arguments import one_of, positive, whole
from ..runtime.loop import Loop
from ..runtime.progress import Progress, silent
from ..runtime.status import Status
from ..trajectories.action_measure import counts_actions
from ..trajectories.blocks import MarkovModel, require_model
from .visits_of_optimum import Horizon, visited_optimum

Per = Literal["nothing", "time"]
_LONGEST = 1e6  # the longest step


class PriorStatus(Status):
    """How the search for an action prior ended."""

    converged = (
        "The gap is at most the tolerance. If the problem has one decision, no other prior is better by more than the "
        "gap; if it has several, this is a condition of first order, and another start may lead to a better prior."
    )
    out_of_steps = "`max_steps` was reached before the gap fell to the tolerance. Raise one of them."
    interrupted = "Interrupted by Ctrl-C. Pass `model` of the result to continue from its prior."


@final
@dataclass(frozen=True, eq=False, repr=False)
class LearnedPrior:
    r"""The result of `learn_prior`.

    Attributes:
        action_prior: $\rho(a)$, or $\rho_t(a)$.
        model: the model with this prior.
        optimum: what solves it: by `horizon` a `Posterior`, a `ValueIteration` or an `AverageReward`.
        objective: the optimum of $J_\beta$ under this prior, in nats; for `horizon="average"` in nats per step.
        objectives: the same after each step; it does not fall, up to rounding.
        rate: $E_q[\sum_t \log \pi_t/\rho]$, in nats, with the discount or per step as the objective. At a fixed point
            it is the mutual information of action and state, times the number of steps; with one prior for all times,
            of action and the pair of state and time.
        gap: $\max_a N(a)/\rho(a) - N$, in nats; see `learn_prior`.
        num_steps: the number of models that were solved.
        status: how the search ended; `status.message` explains it.
    """

    action_prior: Float[Tensor, "*time action"]
    model: TabularModel
    optimum: Any  # by `horizon`, which its reader knows
    objective: float
    objectives: Float[Tensor, " step"]
    rate: float
    gap: float
    num_steps: int
    status: PriorStatus

    def __repr__(self) -> str:
        """A line with the objective, the rate, the gap and the message."""
        return (
            f"LearnedPrior(objective {self.objective:.6f} nats, rate {self.rate:.6g} nats, gap {self.gap:.3g} after "
            f"{self.num_steps} steps. {self.status.message})"
        )


def learn_prior(
    model: MarkovModel,
    per: Per = "nothing",
    optimism: OptimismLike = 0.0,
    *,
    horizon: Horizon = "finite",
    tolerance: float = 1e-6,
    max_steps: int = 10_000,
    progress: Progress = silent,
) -> LearnedPrior:
    r"""The action prior that maximises the objective, by alternating maximisation: the policy averaged over its visits.

    $$\max_\rho \max_q J_\beta(q, \rho), \qquad \rho(a) \leftarrow \frac{N(a)}{N}, \qquad
        N(a) = \sum_{t,s} q(s_t = s)\, \pi_t(a \mid s), \qquad N = \sum_a N(a)$$

    where q is the optimum under the prior so far, with its own dynamics. For `per="time"` each step has its own $N_t$.
    At the maximum, $E_q[\sum_t \log \pi_t/\rho]$ is the mutual information of states and actions: τ is the price of a
    nat, and the pairs of rate and return for all τ are the rate-distortion curve of control
    [tishby2011, rubin2012, graumoya2019]. It is the iteration of Blahut and Arimoto [blahut1972, arimoto1972] with a
    backward sweep in each step. With a discount, only visits before the end of the episode count.

    *No step lowers the objective.* The prior enters J only by $\sum_a N(a) \log \rho(a)$, which is largest at
    $\rho' = N(a)/N$. With q' the optimum under ρ' and β ≥ 0, so that q maximises, $J(q', \rho') \ge J(q, \rho') =
    J(q, \rho) + N\, KL(\rho' \| \rho)$. The steps are $\rho' \propto \rho^{1 - \eta} (N(a)/N)^\eta$, of a length η
    that is doubled while the objective still rises at their end, and halved otherwise: η = 1 alone may take thousands
    of steps to drop an action. A step that does not raise the objective by $\frac12 \min(\eta, 1)\, N\, KL$ is
    taken back. A short one does, also under adversarial dynamics, β < 0, which answer a change of the prior, so that
    η = 1 may lower J.

    *The gap.* By the envelope theorem $\partial J^*/\partial \rho(a) = N(a)/\rho(a)$, so that $J^*$ rises towards
    another prior at the rate $\sum_a \rho'(a) N(a)/\rho(a) - N \le \max_a N(a)/\rho(a) - N$, the gap, summed over t for
    `per="time"`. Where $J^*$ is concave in ρ, no prior is better by more than the gap. It is concave for one decision,
    T = 1 with β₀ ≤ 1 (rate-distortion theory), and for clamped dynamics that do not depend on the actions. Otherwise
    the prior changes which states are visited and $J^*$ need not be concave [tanaka2022]: a gap of 0 is a condition of
    first order, and there may be several such priors. The one that is found depends on the start, the prior of `model`.

    A prior of its own for each state has no information to save: its iteration, as in MPO [abdolmaleki2018], ends in
    the best deterministic policy. It is refused.

    Args:
        model: a tabular model of positive temperature, with the same action prior in every state, which is the start.
            An action of prior 0 keeps it. To forbid an action in one state only, give it rewards of −inf.
        per: "nothing" for one prior, or "time" for one at each step.
        optimism: β, a `Risk` or an `Optimism`, as for `infer`.
        horizon: "finite", that of the problem, solved by `infer`; "discounted", without a horizon, by
            `value_iteration`, where N(a) counts discounted visits; "average", the long run by `average_reward`, where
            N(a) is the share of time.
        tolerance: the gap at which to stop, in nats.
        max_steps: the maximum number of models to solve.
        progress: called after every step with the objective and the gap.

    Returns:
        A `LearnedPrior`. Ctrl-C ends the search after the current step and returns the result so far.

    Raises:
        InvalidArgument: if the prior of the model differs between states, or counts actions; if rewards of −inf cannot
            be avoided; if there are no values in the long run; or if an argument is invalid.

    References:
        [tishby2011], [rubin2012], [graumoya2019], [blahut1972], [arimoto1972], [tanaka2022], [abdolmaleki2018]

    Examples:
        >>> from pgm_control import TabularModel, learn_prior
        >>> from pgm_control.models import frozen_lake
        >>> found = learn_prior(TabularModel(frozen_lake(), temperature=0.05))
        >>> round(float(found.action_prior.sum()), 6)
        1.0
    """
    _require_choices(per, horizon)
    require_model(model, in_nats=True, timed=horizon == "finite")
    if horizon == "discounted" and model.mdp.discount == 1:
        raise InvalidArgument(
            "`horizon` must be 'finite' or 'average' for a problem without a discount, but is 'discounted'. "
            "mdp.replace(discount=0.99) sets one."
        )
    optimism, tolerance = Optimism.of(optimism), positive("tolerance", tolerance)
    at, length, objectives = _first_prior(model, per), 1.0, []
    best = visited_optimum(_with_prior(model, at), optimism, horizon, tolerance)
    if best.objective == -math.inf:
        raise InvalidArgument(
            "`model` must have a policy that avoids rewards of −inf, but has none among the actions of positive prior. "
            "Give more actions a positive prior, or check the rewards."
        )
    loop = Loop(PriorStatus.out_of_steps, limit=whole("max_steps", max_steps), progress=progress)
    with loop:
        for _ in loop:
            gap = _gap(best.action, at)
            objectives.append(best.objective)
            ending = PriorStatus.converged if gap <= tolerance else None
            loop.report({"objective": best.objective, "gap": gap}, ending=ending)
            if loop.over:
                break
            gain = _gain(best.action, at)
            rows = _moved(at, gain, length)
            found = visited_optimum(_with_prior(model, rows), optimism, horizon, tolerance, best)
            least = 0.5 * min(length, 1.0) * float((_visits(best.action, at) * gain).sum())
            rises = found.objective >= best.objective + least - found.rounding - best.rounding
            longer = rises and _slope(found.action, rows, gain) > 0
            length = min(2 * length, _LONGEST) if longer else length / 2
            if rises:
                best, at = found, rows
    learned = _with_prior(model, at)
    return LearnedPrior(
        action_prior=at if per == "time" else at[0],
        model=learned,
        optimum=best.solution,
        objective=best.objective,
        objectives=torch.tensor(objectives, dtype=torch.float64),
        rate=best.rate(learned),
        gap=_gap(best.action, at),
        num_steps=loop.steps,
        status=loop.status,
    )


def _require_choices(per: object, horizon: object) -> None:
    """Check `per` and `horizon`, also against each other."""
    if per == "state":
        raise InvalidArgument(
            "`per` must be 'nothing' or 'time', but is 'state': a prior of its own for each state has no information "
            "to save, and ends in the best deterministic policy. That is infer(TabularModel(mdp, 0.0), 0.0)."
        )
    one_of("per", per, get_args(Per))  # pyright: ignore[reportArgumentType]
    one_of("horizon", horizon, get_args(Horizon))  # pyright: ignore[reportArgumentType]
    if per == "time" and horizon != "finite":
        raise InvalidArgument(f"`per` must be 'nothing' without a horizon, but is 'time' with horizon={horizon!r}.")


def _first_prior(model: MarkovModel, per: Per) -> Float[Tensor, "time_or_one action"]:
    """The prior of the model, one row for each time that has its own.

    Raises:
        InvalidArgument: if it differs between states, or counts actions.
    """
    prior = model.action_prior.detach()
    if counts_actions(model):
        raise InvalidArgument(
            '`model` must have an action prior of probabilities, but has "count". Use TabularModel(mdp, temperature).'
        )
    rows = prior[..., 0, :]
    if not torch.equal(prior, rows[..., None, :].expand_as(prior)):
        raise InvalidArgument(
            "`model` must have the same action prior in every state, since one prior for all is learned, but its rows "
            "differ. Start from TabularModel(mdp, temperature); forbid an action in one state by rewards of −inf."
        )
    if per == "time":
        return rows.expand(model.mdp.horizon, -1)
    if rows.ndim == 2 and not torch.equal(rows, rows[:1].expand_as(rows)):
        raise InvalidArgument(
            "`model` must have one action prior for all steps, but its prior differs by step. Pass per='time'."
        )
    return rows.reshape(-1, rows.shape[-1])[:1]


def _with_prior(model: MarkovModel, rows: Float[Tensor, "time_or_one action"]) -> TabularModel:
    """The model with this action prior in every state."""
    states = model.mdp.num_states
    prior = rows[0].expand(states, -1) if len(rows) == 1 else rows[:, None].expand(-1, states, -1)
    return model_like(model, model.mdp, action_prior=prior)


def _visits(action: Float[Tensor, "time action"], rows: Float[Tensor, "time_or_one action"]) -> Tensor:
    """N(a), for each row of the prior."""
    return action if len(rows) > 1 else action.sum(0, keepdim=True)


def _gap(action: Float[Tensor, "time action"], rows: Float[Tensor, "time_or_one action"]) -> float:
    r"""$\max_a N(a)/\rho(a) - N$, summed over the rows, in nats."""
    visits = _visits(action, rows)
    ratio = torch.where(rows > 0, visits / rows, 0.0)
    return float((ratio.amax(-1) - visits.sum(-1)).sum())


def _gain(
    action: Float[Tensor, "time action"], rows: Float[Tensor, "time_or_one action"]
) -> Float[Tensor, "time_or_one action"]:
    r"""$\log (N(a)/N)/\rho(a)$, the direction of a step; 0 where ρ is 0."""
    visits = _visits(action, rows).clamp_min(_least(rows))
    return torch.where(rows > 0, (visits / visits.sum(-1, keepdim=True)).log() - rows.log(), 0.0)


def _moved(
    rows: Float[Tensor, "time_or_one action"], gain: Float[Tensor, "time_or_one action"], length: float
) -> Float[Tensor, "time_or_one action"]:
    r"""$\rho e^{\eta g}$, normalised."""
    return torch.where(rows > 0, (rows.log() + length * gain).softmax(-1).clamp_min(_least(rows)), 0.0)


def _least(rows: Float[Tensor, "time_or_one action"]) -> float:
    """The least probability of an action, so that none is lost to rounding: it keeps enough digits to return."""
    return torch.finfo(rows.dtype).tiny / torch.finfo(rows.dtype).eps


def _slope(
    action: Float[Tensor, "time action"],
    rows: Float[Tensor, "time_or_one action"],
    gain: Float[Tensor, "time_or_one action"],
) -> float:
    """The derivative of the objective by the length of the step, at its end, in nats."""
    visits = _visits(action, rows)
    return float((visits * gain).sum() - (visits.sum(-1) * (rows * gain).sum(-1)).sum())
