"""The linear-quadratic approximation of a model around the marginals of a Gaussian guide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidProblem
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.gaussian.model import GaussianPrior
from ...trajectories.gaussian.objective import objective_of
from .expectations import Points, Quadratic, jacobian
from .vector_model import (
    VectorModel,
    accuracy_of,
    is_gaussian_distribution,
    log_density,
    moments,
    payoff,
    require_everywhere,
)


@final
@dataclass(eq=False)
class LocalModel:
    """A linear-quadratic model, as inference needs it; it is no Pyro program."""

    problem: LinearQuadratic
    temperature: float
    action_prior: GaussianPrior | None

    def __call__(self) -> None:
        """Refuse to run."""
        raise InvalidProblem("`model` is a local approximation, which is solved and not run. Run the model itself.")


class Linear(NamedTuple):
    """A conditional distribution as a Gaussian with an affine mean.

    Attributes:
        matrix, vector: of its mean.
        covariance: its covariance, with what the mean of the original varies beside a plane.
        is_exact: whether it is the original, as far as the points show.
        noise: the mean covariance of the original.
    """

    matrix: Float[Tensor, "out given"]
    vector: Float[Tensor, " out"]
    covariance: Float[Tensor, "out out"]
    is_exact: bool
    noise: Float[Tensor, "out out"]


@final
@dataclass(frozen=True, eq=False)
class Around:
    r"""A guide, and the affine-Gaussian approximation of its model at the guide's own marginals.

    Attributes:
        model: the model.
        local: its start, dynamics and action prior as Gaussians with affine means; no rewards.
        blocks: the guide; blocks that it may not change are those of `local`.
        joint_mean, joint_covariance: the moments of $(s_{t+1}, s_t, a_t)$ under the guide, by step.
        priors, moves: the action prior and the dynamics that `local` is made of, by step.
        has_gaussian_start: whether the start of the model is Gaussian, or a point.
    """

    model: VectorModel
    local: LocalModel
    blocks: GaussianBlocks
    joint_mean: Float[Tensor, "time joint"]
    joint_covariance: Float[Tensor, "time joint joint"]
    priors: tuple[Linear, ...]
    moves: tuple[Linear, ...]
    has_gaussian_start: bool

    @property
    def is_exact(self) -> bool:
        """Whether start, action prior and dynamics of the model are those of `local`, as far as the points show."""
        return self.has_gaussian_start and all(each.is_exact for each in (*self.priors, *self.moves))

    def rewards(self, points: Points, beta: float) -> list[Quadratic]:
        r"""The expected quadratic form of $r/τ$ by step, in nats, and of what `local` leaves of the densities.

        The latter is $\log ρ/\hat ρ + \tfrac1β \log p/\hat p$, without the second term at β = 0; it is left out of a
        Taylor expansion.
        """
        return [
            points.quadratic(
                lambda y, t=t: self._payoff(t, y, beta, points.normals is not None),
                self.joint_mean[t],
                self.joint_covariance[t],
            )
            for t in range(self.blocks.horizon)
        ]

    def objective(
        self, points: Points, beta: float, initial: float, rewards: Sequence[Quadratic] | None = None
    ) -> float:
        """J_β of the guide, in nats: rewards by the points, divergences exactly; `rewards` are those of `rewards`.

        At the mean alone it is the objective of the mean path, as if nothing had a spread.
        """
        with torch.no_grad():
            if points.normals is None:
                total = self._path(beta, initial)
            else:
                total = float(objective_of(self.local, self.blocks, beta, initial))
            if rewards is not None:
                return total + sum(float(each.value) for each in rewards)
            for t in range(self.blocks.horizon):
                y = points.at(self.joint_mean[t], self.joint_covariance[t])
                total += float(self._payoff(t, y, beta, points.normals is not None).mean())
            return total

    def _path(self, beta: float, initial: float) -> float:
        """Minus the squared lengths of the mean actions and of the mean noises at their prices, in nats."""
        problem, prior, y = self.local.problem, self.local.action_prior, self.joint_mean
        assert prior is not None
        n = problem.num_states
        ahead, state, z = y[:, :n], y[:, n : 2 * n], y[:, n:]
        action = y[:, 2 * n :] - (prior.gain @ state[..., None])[..., 0] - prior.offset
        total = _length(action, prior.covariance)
        if beta != 0:
            total = total + _length(ahead - (problem.F @ z[..., None])[..., 0] - problem.d, problem.W) / beta
        if initial != 0:
            moved = self.blocks.initial_mean - problem.initial_mean
            total = total + _length(moved, problem.initial_covariance) / initial
        return -float(total)

    def _payoff(self, t: int, y: Float[Tensor, "point joint"], beta: float, with_rest: bool) -> Float[Tensor, " point"]:
        n = self.blocks.drift.shape[-1]
        ahead, state, action = y[:, :n], y[:, n : 2 * n], y[:, 2 * n :]
        found = payoff(self.model, t, state, action, ahead)
        if not with_rest:
            return found
        problem, prior = self.local.problem, self.local.action_prior
        if prior is not None and not self.priors[t].is_exact:
            own = _normal(state @ prior.gain[t].mT + prior.offset[t], prior.covariance[t], action)
            found = found + log_density(self.model.action_prior(t, state), action) - own
        if beta != 0 and not self.moves[t].is_exact:
            own = _normal(y[:, n:] @ problem.F[t].mT + problem.d[t], problem.W[t], ahead)
            found = found + (log_density(self.model.dynamics(t, state, action), ahead) - own) / beta
        return found


def around(
    model: VectorModel,
    guide: GaussianBlocks | None,
    free: tuple[bool, bool],
    points: Points,
    known: "Around | None" = None,
) -> Around:
    """The approximation of a model at the marginals of a guide; None for the model without its rewards.

    Args:
        model: the model.
        guide: the guide. Of blocks that it may not change nothing is read.
        free: whether it may change the start, and the dynamics.
        points: how functions are averaged.
        known: an earlier approximation of this model, to save derivatives where it is exact here too.

    Raises:
        InvalidProblem: if a distribution of the model has no known moments, or one that the guide may change has
            bounds.
    """
    given, accuracy = model.start(), accuracy_of(model)
    if free[0]:
        require_everywhere("start", given)
    start = moments("start", given, torch.Size())
    first = start if guide is None or not free[0] else (guide.initial_mean, guide.initial_covariance)
    first = tuple(each.detach().double() for each in first)
    mean, spread = first
    priors, moves, rows = list[Linear](), list[Linear](), list[tuple[Tensor, ...]]()
    joint_means, joint_spreads = list[Tensor](), list[Tensor]()
    n = len(mean)
    for t in range(model.horizon):
        states = points.at(mean, spread)
        prior = _linear(
            "action_prior", partial(model.action_prior, t), states, known and known.priors[t], accuracy, True
        )
        if guide is None:
            K, kappa, own = -prior.matrix, -prior.vector, prior.covariance
        else:
            K, kappa, own = guide.gain[t].detach(), guide.offset[t].detach(), guide.policy_covariance[t].detach()
        z = torch.cat((mean, -K @ mean - kappa))
        cross = -spread @ K.mT
        covariance = torch.cat((torch.cat((spread, cross), 1), torch.cat((cross.mT, own - K @ cross), 1)))
        both = points.at(z, covariance)
        step = partial(_dynamics, model, t, n)
        move = _linear("dynamics", step, both, known and known.moves[t], accuracy, free[1])
        if guide is None or not free[1]:
            F, d, W = move[:3]
        else:
            F, d, W = guide.transition[t].detach(), guide.drift[t].detach(), guide.noise[t].detach()
        mean, side = F @ z + d, F @ covariance
        spread = side @ F.mT + W
        spread = 0.5 * (spread + spread.mT)
        priors.append(prior)
        moves.append(move)
        rows.append((K, kappa, own, F, d, W))
        joint_means.append(torch.cat((mean, z)))
        joint_spreads.append(torch.cat((torch.cat((spread, side), 1), torch.cat((side.mT, covariance), 1))))
    return Around(
        model=model,
        local=_local(model, start, priors, moves),
        blocks=GaussianBlocks(*first, *(torch.stack(each) for each in zip(*rows, strict=True))),
        joint_mean=torch.stack(joint_means),
        joint_covariance=torch.stack(joint_spreads),
        priors=tuple(priors),
        moves=tuple(moves),
        has_gaussian_start=is_gaussian_distribution(given) or bool((start[1] == 0).all()),
    )


def _local(model: VectorModel, start: tuple[Tensor, Tensor], priors: list[Linear], moves: list[Linear]) -> LocalModel:
    """Start, dynamics and action prior as a linear-quadratic model without rewards."""
    n, m = len(start[0]), len(priors[0].vector)
    F, d, W = (torch.stack(each) for each in list(zip(*moves, strict=True))[:3])
    problem = LinearQuadratic(
        F[..., :n], F[..., n:], W, torch.zeros(n + m, n + m, dtype=torch.float64), horizon=model.horizon,
        initial_mean=start[0], initial_covariance=start[1], d=d,
    )  # fmt: skip
    G, g, U = (torch.stack(each) for each in list(zip(*priors, strict=True))[:3])
    return LocalModel(problem, float(model.temperature), GaussianPrior(G, g, U))


def _dynamics(model: VectorModel, t: int, n: int, both: Tensor) -> Any:
    return model.dynamics(t, both[..., :n], both[..., n:])


def _linear(
    name: str,
    function: Callable[[Tensor], Any],
    points: Float[Tensor, "point given"],
    known: Linear | None,
    accuracy: float,
    is_free: bool,
) -> Linear:
    """A conditional distribution as a Gaussian with an affine mean, with the same two moments over the points."""
    if known is not None and known.is_exact and len(points) > 1:  # one point shows no slope
        with torch.no_grad():
            found = function(points)
            mean, covariance = moments(name, found, points.shape[:-1])
        if _is_affine(
            found, mean - points @ known.matrix.mT - known.vector, mean, covariance, known.covariance, accuracy
        ):
            return known
    kept: list[Any] = []

    def mean_of(x: Tensor) -> Tensor:
        kept.append(function(x))
        if is_free:
            require_everywhere(name, kept[0])
        return moments(name, kept[0], x.shape[:-1])[0]

    values, slopes = jacobian(mean_of, points)
    values, slopes = values.double(), slopes.double()
    covariance = moments(name, kept[0], points.shape[:-1])[1].detach().double()
    matrix = slopes.mean(0)
    vector = values.mean(0) - matrix @ points.mean(0)
    left = values - points @ matrix.mT - vector
    noise = covariance.mean(0)
    if _is_affine(kept[0], left, values, covariance, noise, accuracy):
        return Linear(matrix, vector, noise, True, noise)
    return Linear(matrix, vector, noise + left.mT @ left / len(points), False, noise)


def _is_affine(found: Any, left: Tensor, values: Tensor, covariance: Tensor, noise: Tensor, accuracy: float) -> bool:
    """Whether a distribution is Gaussian with an affine mean and a constant covariance at all points."""
    if not is_gaussian_distribution(found) and bool((noise != 0).any()):
        return False
    size = 1.0 + values.abs().amax()
    is_same = (covariance - noise).abs().amax() <= accuracy * noise.abs().amax()
    return bool(left.abs().amax() <= accuracy * size) and bool(is_same)


def _length(vectors: Tensor, covariance: Tensor) -> Tensor:
    """½ x'Σ⁻¹x, summed over the vectors; within its range where Σ is singular."""
    inverse = torch.linalg.pinv(covariance, rtol=1e-12, hermitian=True)
    return 0.5 * ((inverse @ vectors[..., None])[..., 0] * vectors).sum()


def _normal(mean: Tensor, covariance: Tensor, value: Tensor) -> Tensor:
    """The log-density of a Gaussian."""
    return torch.distributions.MultivariateNormal(mean, covariance, validate_args=False).log_prob(value)
