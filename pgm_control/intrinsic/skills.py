"""Skills: policies whose consequences tell them apart, as one inference problem.

Sources:
    [eysenbach2018] B. Eysenbach et al., Diversity is all you need: learning skills without a reward function. 2018.
        arXiv:1802.06070
    [gregor2016] K. Gregor, D. J. Rezende and D. Wierstra, Variational intrinsic control. 2016. arXiv:1611.07507
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import logarithm, relative, weighted
from ..chance.optimism import Optimism, OptimismLike
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..models.tabular import model_like
from ..problems.mdp import last_reward
from ..runtime.arguments import one_of, positive, whole
from ..runtime.loop import Loop
from ..runtime.progress import Progress, silent
from ..runtime.randomness import generator_of
from ..runtime.status import Status
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.samples import Occupancy
from .channel import information

When = Literal["last", "every"]
_LONGEST = 1e3  # the longest step
_DIGITS = 6  # of the information of starts; where these are equal the objective decides
_LEAST = 1e-300  # probability of a skill that the classifier never excludes


class SkillStatus(Status):
    """How the search for skills ended."""

    converged = (
        "The classifier fits the skills to within the tolerance: a stationary point of the objective. Other starts may "
        "lead to a better one."
    )
    out_of_steps = "`max_steps` was reached before the gap fell to the tolerance. Raise one of them."
    interrupted = "Interrupted by Ctrl-C; the best skills so far are returned."


@final
@dataclass(frozen=True, eq=False, repr=False)
class Skills:
    r"""The result of `skills`.

    Attributes:
        optima: the optimum of each skill: its policy, and the dynamics that it believes in.
        log_classifier: $\log d(z \mid s)$, (skill, state), in nats.
        imagined: where each skill believes that it ends, $q(s_T \mid z)$; for `when="every"` the mean over the steps
            $q(s_t \mid z)$, t = 1 … T.
        true: where it ends under the true dynamics.
        imagined_information: $I(z; s)$ of `imagined`, in nats; at most log N.
        true_information: $I(z; s)$ of `true`, in nats.
        objective: the mean of the objectives $J_\beta$ of the skills, in nats.
        objectives: this after each step from the best start; it does not fall, up to rounding.
        of_starts: the imagined information that each start reached, in nats; the largest is returned, to six digits.
        gap: what the next step would be sure to gain, in nats.
        num_steps: the number of steps from the best start.
        status: how its search ended; `status.message` explains it.
    """

    optima: tuple[Posterior, ...]
    log_classifier: Float[Tensor, "skill state"]
    imagined: Float[Tensor, "skill state"]
    true: Float[Tensor, "skill state"]
    imagined_information: float
    true_information: float
    objective: float
    objectives: Float[Tensor, " step"]
    of_starts: Float[Tensor, " start"]
    gap: float
    num_steps: int
    status: SkillStatus

    @property
    def policy(self) -> Float[Tensor, "skill time state action"]:
        """The policies of all skills."""
        return torch.stack([each.policy for each in self.optima])

    def __repr__(self) -> str:
        """A line with both informations, the gap and the message."""
        return (
            f"Skills({len(self.optima)} skills: {self.imagined_information:.4f} nats imagined, "
            f"{self.true_information:.4f} true, of at most {math.log(len(self.optima)):.4f}; objective "
            f"{self.objective:.6g} nats, gap {self.gap:.2g}. {self.status.message})"
        )


def skills(
    model: MarkovModel,
    num_skills: int,
    optimism: OptimismLike = 0.0,
    *,
    scale: float = 1.0,
    when: When = "last",
    starts: int = 3,
    tolerance: float = 1e-7,
    max_steps: int = 1000,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> Skills:
    r"""Skills that can be distinguished by where they lead: variational intrinsic control, for any optimism.

    A skill z is drawn once, each with probability 1/N, and pays for a last state from which it can be guessed, on top
    of the rewards of the model [gregor2016]:

    $$\max_{d,\, q} \frac1N \sum_z J_\beta\big(q_z;\ r + c \log d(z \mid s_T)\big), \qquad
        d(z \mid s) \leftarrow \frac{q(s_T = s \mid z)}{\sum_{z'} q(s_T = s \mid z')}$$

    The classifier enters the objective by $\sum_z q(s_T \mid z) \log d(z \mid s_T)$ alone, which Bayes' rule
    maximises, so that no step lowers it. $E[\log d] + \log N$ is then the information $I(z; s_T)$. With
    `when="every"` each state that a step leads to pays, by one classifier for all steps [eysenbach2018].

    A free agent (β = 1) that is paid for its last state, with c > τ, is sure to be distinguished: its belief is the
    posterior of the model times $d^{c/\tau}$, so that each step sharpens the classifier, and `imagined_information`
    approaches log N, whatever control it has. With c < τ each step flattens it, until it tells nothing, and with c = τ
    it stays about as it was drawn. `true_information` is what an observer of the true dynamics gets. For β = 0 they are
    equal.

    Steps are $\log d \leftarrow (1 - \eta) \log d + \eta \log d'$, with η doubled after a step that raises the
    objective by the gap, and taken back otherwise. A step with η = 1 always does.

    Args:
        model: a tabular model of positive temperature and without discount. Its rewards count too.
        num_skills: N, at least 2.
        optimism: β, a `Risk` or an `Optimism`, as for `infer`; not negative, since adversarial dynamics answer a change
            of the classifier.
        scale: c, in reward units: the weight of a nat of information against temperature and rewards.
        when: "last" or "every", which states pay.
        starts: the number of random classifiers to start from. What is returned has the largest imagined information,
            and of those that are equal in it to six digits the largest objective.
        tolerance: the gap at which to stop, in nats.
        max_steps: the maximum number of steps from each start.
        seed: an integer, a generator, or None for torch's global generator: of the starts.
        progress: called after every step with the objective and the gap.

    Returns:
        The `Skills` of the best start. Ctrl-C ends the search after the current step and returns the best so far.

    Raises:
        InvalidArgument: if the model has a discount, the optimism is negative, or an argument is invalid.

    References:
        [gregor2016], [eysenbach2018]

    Examples:
        >>> from pgm_control import TabularModel, skills
        >>> from pgm_control.models import frozen_lake
        >>> model = TabularModel(frozen_lake().replace(horizon=6), temperature=0.2)
        >>> found = skills(model, 2, optimism=1.0, seed=0)
        >>> round(found.imagined_information, 2), found.true_information < 0.5
        (0.69, True)
    """
    model = require_model(model, in_nats=True)
    count, scale, beta = whole("num_skills", num_skills, 2), positive("scale", scale), Optimism.of(optimism)
    one_of("when", when, get_args(When))  # pyright: ignore[reportArgumentType]
    _require_ascent(model, beta)
    starts, max_steps = whole("starts", starts), whole("max_steps", max_steps)
    tolerance, random, runs = positive("tolerance", tolerance), generator_of(seed), []
    problem = _Problem(model, beta, scale, when)
    with torch.no_grad():
        for _ in range(starts):
            begin = torch.randn((count, model.mdp.num_states), generator=random, dtype=torch.float64)
            first = begin.to(model.mdp.initial).log_softmax(0)
            runs.append(_ascend(problem, first, tolerance, max_steps, progress))
            if runs[-1].status is SkillStatus.interrupted:
                break
    best = max(runs, key=lambda run: (round(_information(run.at.imagined), _DIGITS), run.at.objective))
    at, true = best.at, problem.true(best.at.optima)
    return Skills(
        optima=at.optima,
        log_classifier=at.log_classifier,
        imagined=at.imagined,
        true=true,
        imagined_information=_information(at.imagined),
        true_information=_information(true),
        objective=at.objective,
        objectives=torch.tensor(best.objectives, dtype=torch.float64),
        of_starts=torch.tensor([_information(run.at.imagined) for run in runs], dtype=torch.float64),
        gap=best.gap,
        num_steps=len(best.objectives),
        status=best.status,
    )


class _Problem(NamedTuple):
    """What the skills are to be found for."""

    model: MarkovModel
    optimism: Optimism
    scale: float
    when: When

    def solved(self, log_classifier: Float[Tensor, "skill state"]) -> "_Point":
        """The optimum of each skill for a classifier."""
        mdp, optima = self.model.mdp, []
        for each in self.scale * log_classifier:
            if self.when == "last":
                paid = mdp.replace(final_reward=last_reward(mdp) + each)
            else:
                paid = mdp.replace(reward=mdp.reward + each[mdp.successor.long()])
            optima.append(infer(model_like(self.model, paid), self.optimism))
        imagined = torch.stack([self.reached(each.marginals()) for each in optima])
        return _Point(
            log_classifier, tuple(optima), imagined, sum(float(each.objective) for each in optima) / len(optima)
        )

    def reached(self, visits: Occupancy) -> Float[Tensor, " state"]:
        """The states that pay, by how often, with the sum 1."""
        return visits.state[-1] if self.when == "last" else visits.state[1:].mean(0)

    def true(self, optima: tuple[Posterior, ...]) -> Float[Tensor, "skill state"]:
        """Where the policies lead under the true dynamics."""
        blocks = self.model.blocks()
        return torch.stack(
            [self.reached(blocks.replace(log_policy=logarithm(each.policy)).marginals()) for each in optima]
        )

    @property
    def nats(self) -> float:
        """What a nat of information is worth in the objective, in nats."""
        paid = self.model.mdp.horizon if self.when == "every" else 1
        return self.scale * paid / float(self.model.temperature)


class _Point(NamedTuple):
    """The optimum of all skills for a classifier."""

    log_classifier: Float[Tensor, "skill state"]
    optima: tuple[Posterior, ...]
    imagined: Float[Tensor, "skill state"]
    objective: float


class _Run(NamedTuple):
    """The end of the search from one start."""

    at: _Point
    objectives: list[float]
    gap: float
    status: SkillStatus


def _ascend(problem: _Problem, first: Tensor, tolerance: float, max_steps: int, progress: Progress) -> _Run:
    """Alternating maximisation from a classifier, with longer steps."""
    at, length, gap, objectives = problem.solved(first), 1.0, math.inf, []
    loop = Loop(SkillStatus.out_of_steps, limit=max_steps, progress=progress)
    with loop:
        for _ in loop:
            found = _bayes(at.imagined)
            gain = float(weighted(at.imagined, relative(found, at.log_classifier)).sum(-1).mean())
            gap = max(problem.nats * gain, 0.0)
            objectives.append(at.objective)
            loop.report(
                {"objective": at.objective, "gap": gap}, ending=SkillStatus.converged if gap <= tolerance else None
            )
            if loop.over:
                break
            ahead = problem.solved(_between(at.log_classifier, found, length))
            if length == 1.0 or ahead.objective >= at.objective + gap:
                at, length = ahead, min(2 * length, _LONGEST)
            else:
                length = max(length / 4, 1.0)
    return _Run(at, objectives, gap, loop.status)


def _bayes(reached: Float[Tensor, "skill state"]) -> Float[Tensor, "skill state"]:
    """The log-probabilities of the skills by Bayes' rule; a skill is never excluded, and no state tells nothing."""
    return logarithm(reached.clamp_min(_LEAST) / reached.clamp_min(_LEAST).sum(0))


def _between(
    at: Float[Tensor, "skill state"], found: Float[Tensor, "skill state"], length: float
) -> Float[Tensor, "skill state"]:
    """The classifier at this length of the way from one to the other, and beyond it."""
    return ((1 - length) * at + length * found).log_softmax(0).clamp_min(math.log(_LEAST))


def _information(reached: Float[Tensor, "skill state"]) -> float:
    """I(z; s), in nats."""
    return max(float(information(torch.full_like(reached[:, 0], 1.0 / len(reached)), reached)), 0.0)


def _require_ascent(model: MarkovModel, optimism: Optimism) -> None:
    """Refuse a discount, and adversarial dynamics."""
    if model.mdp.discount < 1:
        raise InvalidArgument(
            "`model` must have no discount, but its discount is "
            f"{model.mdp.discount:g}: an episode that ends early has no last state to be recognised by. Use "
            "mdp.replace(discount=1.0)."
        )
    betas = optimism.at(model.temperature).numbers("skills")
    if min(betas) < 0:
        raise InvalidArgument(
            f"`optimism` must not be negative, but is {optimism}: adversarial dynamics answer a change of the "
            "classifier, so that a step may lower the objective. Use 0 or more."
        )
