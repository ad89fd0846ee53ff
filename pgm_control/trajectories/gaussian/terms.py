"""What evaluation asks of a distribution over continuous trajectories: expected rewards and divergences by step."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument, InvalidGuide
from ...problems.continuous.line import Line
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...problems.continuous.planar import Planar
from ...problems.continuous.problem import ContinuousProblem
from ...runtime.arguments import shown
from ...text.one_line import one_line
from .blocks import GaussianBlocks
from .model import GaussianModel, is_gaussian, log_det, one_problem
from .objective import discounts, expected_rewards, gaussian_terms, has_density

_ROUNDING = 1e-9  # nats: a divergence of a block that is the model's


class TrajectoryTerms(NamedTuple):
    r"""Expected rewards and divergences from the model by step, weighed by $\gamma^t$.

    Attributes:
        imagined_reward: of each step and the last state, over the trajectories of the guide, in reward units.
        true_reward: the same for its policy in the true world.
        policy_kl: the KL of the policy from the action prior over its own trajectories, in nats; with Lebesgue measure
            minus its entropy.
        dynamics_kl: the KL of its dynamics from the true ones over its own trajectories, in nats.
        initial_kl: the KL of its start from the true one, in nats.
        policy_entropy: the differential entropy of the policy over true trajectories, in nats; None if it is not known.
    """

    imagined_reward: Float[Tensor, "*batch time_and_last"]
    true_reward: Float[Tensor, "*batch time_and_last"]
    policy_kl: Float[Tensor, "*batch time"]
    dynamics_kl: Float[Tensor, "*batch time"]
    initial_kl: Float[Tensor, "*batch"]
    policy_entropy: Float[Tensor, "*batch time"] | None

    __repr__ = one_line

    @property
    def imagined_return(self) -> Float[Tensor, "*batch"]:
        """The return over the trajectories of the guide, in reward units."""
        return self.imagined_reward.sum(-1)

    @property
    def true_return(self) -> Float[Tensor, "*batch"]:
        """The return of its policy in the true world, in reward units."""
        return self.true_reward.sum(-1)

    def objective(self, temperature: float, dynamics: float = 1.0, initial: float = 1.0) -> Float[Tensor, "*batch"]:
        """$J_β$, in nats: the ELBO for β = 1; −∞ where β is 0 and the block is not the model's.

        Args:
            temperature: τ, in reward units per nat.
            dynamics: β of the dynamics.
            initial: β₀ of the start.
        """
        total = self.imagined_return / temperature - self.policy_kl.sum(-1)
        for kl, beta in ((self.dynamics_kl.sum(-1), dynamics), (self.initial_kl, initial)):
            total = total - (kl / beta if beta != 0 else torch.where(kl.abs() <= _ROUNDING, 0.0, math.inf))
        return total


@runtime_checkable
class HasTerms(Protocol):
    """A distribution over trajectories that knows its own terms, such as the posterior of a problem in the plane."""

    model: Any

    def terms(self) -> TrajectoryTerms:
        """The terms of its objective, exactly or to the accuracy that it states."""
        ...


def is_exact_here(model: object, guide: object) -> bool:
    """Whether `trajectory_terms` has an exact answer for this pair."""
    if is_gaussian(model):
        return isinstance(_given(guide), GaussianBlocks)
    return _knows_itself(model, guide)


def is_program_of_vectors(model: object, guide: object) -> bool:
    """Whether a model has no tables because its states are vectors, so that a guide needs its own terms."""
    of_vectors = isinstance(getattr(model, "problem", None), Planar | Line | ContinuousProblem)
    return not isinstance(model, type) and (of_vectors or _knows_itself(model, guide))


def trajectory_terms(model: Any, guide: object, world: LinearQuadratic | None = None) -> TrajectoryTerms:
    """The terms of a guide of a continuous model, without sampling.

    Args:
        model: a linear-quadratic model of one problem, or the model of a guide with `terms()`.
        guide: a posterior, or anything with affine-Gaussian `blocks()`; or with `terms()` of this model.
        world: the true world; default: that of the model.

    Raises:
        InvalidGuide: if the guide does not fit the model.
        InvalidProblem: for a batch of problems.
    """
    if not is_gaussian(model):
        if _knows_itself(model, guide):
            return guide.terms()  # pyright: ignore[reportAttributeAccessIssue]  checked
        made = "which has no exact posterior" if _is_unsolved(model) else "such as infer(model, 1.0)"
        raise InvalidGuide(
            f"`guide` must have `terms()` of this model, {made}, but is a {type(guide).__name__}. "
            "estimate(model, guide) and return_distribution(model, guide) sample."
        )
    one_problem(model, "an evaluation")
    with torch.no_grad():
        return gaussian_trajectory_terms(
            model, gaussian_blocks(model, guide), model.problem if world is None else world
        )


def gaussian_blocks(model: GaussianModel, guide: object) -> GaussianBlocks:
    """The affine-Gaussian factors of a guide of a linear-quadratic model, without their graph.

    Raises:
        InvalidGuide: if it has none, or their shapes are not those of the model.
    """
    found = _given(guide)
    if not isinstance(found, GaussianBlocks):
        raise InvalidGuide(
            f"`guide` must have affine-Gaussian blocks(), such as infer(model, 1.0), but is {shown(guide)}. For any "
            "other program estimate(model, guide) samples."
        )
    problem = model.problem
    n, m, front = problem.num_states, problem.num_actions, (*problem.batch_shape, problem.horizon)
    due = {
        "initial_mean": (*problem.batch_shape, n), "initial_covariance": (*problem.batch_shape, n, n),
        "gain": (*front, m, n), "offset": (*front, m), "policy_covariance": (*front, m, m),
        "transition": (*front, n, n + m), "drift": (*front, n), "noise": (*front, n, n),
    }  # fmt: skip
    for name, shape in due.items():
        has = tuple(getattr(found, name).shape)
        if has != shape:
            raise InvalidGuide(
                f"`{name}` of the guide must have shape {shape} for {problem!r}, but has {has}. Make the guide for "
                "this model."
            )
    return GaussianBlocks(**{name: getattr(found, name).detach() for name in due})


def gaussian_trajectory_terms(model: GaussianModel, blocks: GaussianBlocks, world: LinearQuadratic) -> TrajectoryTerms:
    """The terms of checked factors, for a batch too."""
    own, m = model.problem, blocks.offset.shape[-1]
    acts = blocks.replace(
        initial_mean=world.initial_mean, initial_covariance=world.initial_covariance,
        transition=world.F, drift=world.d, noise=world.W,
    )  # fmt: skip
    dense, found = has_density(blocks), gaussian_terms(model, blocks)
    entropy = torch.full_like(found.policy, -math.inf)
    if dense:
        entropy = 0.5 * log_det(blocks.policy_covariance) + 0.5 * m * (1 + math.log(2 * math.pi))
    weight = discounts(own)
    return TrajectoryTerms(
        imagined_reward=weight * found.reward,
        true_reward=discounts(world) * expected_rewards(world, acts.marginals()),
        policy_kl=weight[:-1] * found.policy,
        dynamics_kl=weight[:-1] * found.dynamics,
        initial_kl=found.initial,
        policy_entropy=discounts(world)[:-1] * entropy,
    )


def _given(guide: object) -> object:
    if isinstance(guide, GaussianBlocks | type):
        return guide
    blocks = getattr(guide, "blocks", None)
    return blocks() if callable(blocks) else None


def _knows_itself(model: object, guide: object) -> bool:
    return not isinstance(guide, type) and isinstance(guide, HasTerms) and guide.model is model


def _is_unsolved(model: object) -> bool:
    return isinstance(getattr(model, "problem", None), ContinuousProblem)


def require_nats(model: Any) -> None:
    """Require a positive temperature.

    Raises:
        InvalidArgument: at temperature 0.
    """
    if model.temperature == 0:
        raise InvalidArgument(
            "`model` must have a positive temperature, but has 0, where rewards cannot be converted to nats. Use a "
            "small one, or evaluate(model, guide) for returns."
        )
