"""The likelihood of the demonstrations of a linear-quadratic agent, with its exact gradient, of a parameter vector."""

import math
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from ...errors import InvalidArgument
from ...models.linear_quadratic import LinearQuadraticModel
from ...trajectories.gaussian.model import GaussianModel
from ...trajectories.gaussian.riccati import prepared
from ..search.descent import Matrix, Vector
from .rewards import QuadraticCost, QuadraticReward, fitting_cost
from .sensitivities import Agent, Numbers, Regression, Tangents, agent
from .statistics import Recorded, behaviour_rows, log_density, statistics

_RANGE = 1e-11  # an eigenvalue of a correlation matrix that is 0 but for rounding
_OFF = 1e-7  # how far a state may be from where the noise can take it, relative to the states
_RIDGE = 1e-8


class Demonstrated(NamedTuple):
    """What is assumed about the demonstrator.

    Attributes:
        beta: its optimism β, or the first one if it is learned.
        believed: whether the states follow the dynamics that it believes, so that they count too.
        learns_optimism: whether β is a parameter.
        learns_dynamics: whether the A and B that it believes are parameters.
    """

    beta: float
    believed: bool
    learns_optimism: bool = False
    learns_dynamics: bool = False


@final
class GaussianObjective:
    """The negative sum of log-likelihood and log-prior per demonstration, with its gradient.

    The vector holds ψ, then β if it is learned, then the rows of [A B] if they are learned. Beyond the breakdown of the
    optimism, and where no action is best, the value is infinite.

    Attributes:
        parameters: those of the reward that are learned.
        names: the names of all entries of the vector.
        number: the number of demonstrations.
        refused: how many points were beyond the breakdown.
    """

    def __init__(
        self,
        model: GaussianModel,
        reward: QuadraticReward,
        assumed: Demonstrated,
        record: Recorded,
        prior: float | None = None,
    ) -> None:
        """Prepare everything that does not depend on the parameters."""
        self._named = {name: each for name, each in reward.named_parameters() if each.requires_grad}
        self.parameters = list(self._named.values())
        if not any(each.numel() for each in self.parameters):
            raise InvalidArgument("`reward` must have parameters that can be learned, but has none.")
        self._model, self._reward, self._assumed, self._record, self._prior = model, reward, assumed, record, prior
        problem = model.problem
        self.number, self.refused = float(len(record.actions)), 0
        self._beta, self._F = assumed.beta, problem.F[0].numpy(force=True).astype(np.float64)
        self._base = _without_cost(model)
        own = reward.names
        size = sum(each.numel() for each in self.parameters)
        self.names = own if own is not None and len(own) == size else tuple(f"ψ[{i}]" for i in range(size))
        self._size, n, k = size, *self._F.shape
        self.names += ("β",) if assumed.learns_optimism else ()
        if assumed.learns_dynamics:
            self.names += tuple(f"A[{i},{j}]" if j < n else f"B[{i},{j - n}]" for i in range(n) for j in range(k))
        self._jacobian: tuple[np.ndarray, ...] | None = None
        L = self._base.noise_root
        self._inverse = np.linalg.pinv(L)
        steps = record.actions.shape[1]
        self.of_actions = statistics(record.actions, record.states[:, :-1])
        seen = np.einsum("tri,dti->dtr", self._inverse[:steps], record.states[:, 1:])
        self.of_states = statistics(seen, record.both)
        self._constant = 0.0
        if assumed.believed:
            self._require_reachable(L, steps)
            sizes = np.linalg.svd(L[:steps], compute_uv=False)
            self._constant = -self.number * float(np.log(sizes[sizes > 0]).sum())

    def _require_reachable(self, L: np.ndarray, steps: int) -> None:
        """Refuse states that the noise cannot reach, of which the likelihood is 0."""
        base, states = self._base, self._record.states
        left = states[:, 1:] - np.einsum("tij,dtj->dti", base.transition[:steps], self._record.both)
        left -= base.drift[:steps]
        inside = np.einsum("tij,tjk,dtk->dti", L[:steps], self._inverse[:steps], left)
        off = np.abs(left - inside).max()
        if off > _OFF * (1.0 + np.abs(states).max()):
            raise InvalidArgument(
                "`demonstrations` must be possible under the dynamics of `model`, but a state is "
                f"{off:.3g} from where its noise W, which is singular, can take it. Give W noise in that direction, or "
                'use a demonstrator of which only the actions count, such as "clamped".'
            )
        if self._assumed.learns_dynamics and bool((np.linalg.matrix_rank(L) < L.shape[1]).any()):
            raise InvalidArgument(
                '`learn` must not contain "dynamics" where W is singular and the states count: any other dynamics '
                'would make them impossible. Use dynamics="world".'
            )

    @property
    def start(self) -> Vector:
        """The present parameters, as one vector."""
        parts = [each.detach().flatten().cpu().numpy().astype(np.float64) for each in self.parameters]
        if self._assumed.learns_optimism:
            parts.append(np.array([self._beta]))
        if self._assumed.learns_dynamics:
            parts.append(self._F.flatten())
        return np.concatenate(parts)

    @torch.no_grad()
    def assign(self, x: Vector) -> None:
        """Write the vector into the parameters, β and [A B]."""
        row, place = torch.from_numpy(x.copy()), 0
        for each in self.parameters:
            each.copy_(row[place : place + each.numel()].view_as(each))
            place += each.numel()
        _, self._beta, self._F = self.parts(x)

    def parts(self, x: Vector) -> tuple[Vector, float, np.ndarray]:
        """ψ, β and [A B] of a vector."""
        assumed, F, n = self._assumed, self._base.transition[0], self._size
        beta = float(x[n]) if assumed.learns_optimism else assumed.beta
        if assumed.learns_dynamics:
            F = x[n + assumed.learns_optimism :].reshape(F.shape)
        return x[:n], beta, F

    def cost(self, psi: Vector, slopes: bool = True) -> tuple[QuadraticCost, tuple[np.ndarray, ...] | None]:
        """The cost of a reward of these parameters, and its derivatives by them."""
        row = torch.from_numpy(psi.copy())

        def of(vector: Tensor) -> QuadraticCost:
            parts = vector.split([each.numel() for each in self.parameters])
            given = {name: part.view_as(each) for (name, each), part in zip(self._named.items(), parts, strict=True)}
            return fitting_cost(self._model.problem, functional_call(self._reward, given, ()), "reward")

        with torch.no_grad():
            cost = of(row)
        if not slopes:
            return cost, None
        if self._jacobian is None or not self._reward.is_linear:
            found = torch.autograd.functional.jacobian(lambda v: tuple(of(v)), row)
            self._jacobian = tuple(np.moveaxis(each.numpy(force=True), -1, 0) for each in found)
        return cost, self._jacobian

    def agent_at(self, x: Vector, slopes: bool = True, with_optimism: bool = False) -> Agent | None:
        """What the demonstrator does and believes; None beyond the breakdown.

        Args:
            x: the parameters.
            slopes: whether with derivatives.
            with_optimism: whether β is taken as a last parameter, although it is not learned.
        """
        psi, beta, F = self.parts(x)
        cost, by = self.cost(psi, slopes)
        C, c, P, p = (each.numpy(force=True) for each in cost)
        base, assumed = self._base, self._assumed
        steps, n, k = base.transition.shape
        given = base._replace(
            transition=np.broadcast_to(F, (steps, n, k)) if assumed.learns_dynamics else base.transition,
            hessian=base.hessian + C, gradient=base.gradient + c, final_hessian=P, final_gradient=p,
            theta=beta / base.temperature,
        )  # fmt: skip
        if by is None:
            zero = np.zeros
            empty = (zero((0, 1, k, k)), zero((0, 1, k)), zero((0, n, n)), zero((0, n)), zero(0), zero((0, n, k)))
            return agent(given, Tangents(*empty))
        count = len(x) + with_optimism

        def padded(each: np.ndarray) -> np.ndarray:
            return np.concatenate((each, np.zeros((count - len(each), *each.shape[1:]))))

        theta, moved = np.zeros(count), np.zeros((count, n, k))
        if assumed.learns_optimism:
            theta[self._size] = 1.0 / base.temperature
        if with_optimism:
            theta[-1] = 1.0 / base.temperature
        if assumed.learns_dynamics:
            first = self._size + assumed.learns_optimism
            moved[first : first + n * k] = np.eye(n * k).reshape(n * k, n, k)
        dC, dc, dP, dp = (padded(each) for each in by)
        return agent(given, Tangents(dC, dc, dP, dp, theta, moved))

    def belief(self, found: Agent, x: Vector) -> Regression:
        """The next state in units of the noise, given state and action, as the demonstrator believes it."""
        given, inverse = found.belief, self._inverse
        F = self.parts(x)[2] if self._assumed.learns_dynamics else self._base.transition
        steps, n, k = self._base.transition.shape
        both = np.concatenate((np.broadcast_to(F, (steps, n, k)), self._base.drift[..., None]), -1)
        by = given.by_coefficients
        if self._assumed.learns_dynamics and by.shape[1]:
            by, first = by.copy(), self._size + self._assumed.learns_optimism
            moved = np.eye(n * k).reshape(n * k, n, k)
            by[:, first : first + n * k, :, :k] += inverse[:, None] @ moved
        return given._replace(coefficients=inverse @ both + given.coefficients, by_coefficients=by)

    def log_likelihood(self, x: Vector, slopes: bool = True) -> tuple[float, Float[np.ndarray, " slope"]]:
        """The log-likelihood in nats, and its gradient, empty without `slopes`; −∞ beyond the breakdown."""
        found = self.agent_at(x, slopes)
        if found is None:
            self.refused += 1
            return -math.inf, np.zeros(len(x))
        value, slope = log_density(self.of_actions, found.policy)
        if self._assumed.believed:
            more, also = log_density(self.of_states, self.belief(found, x))
            value, slope = value + more + self._constant, slope + also
        return value, slope

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the value and the gradient."""
        value, slope = self.log_likelihood(x)
        if self._prior is not None:
            slope = slope.copy()
            slope[: self._size] -= x[: self._size] / self._prior**2
        return -(value + self.log_prior(x)) / self.number, slope * (-1.0 / self.number)

    def value(self, x: Vector) -> float:
        """Return the value alone."""
        return -(self.log_likelihood(x, slopes=False)[0] + self.log_prior(x)) / self.number

    def log_prior(self, x: Vector) -> float:
        """Return the log-density of the prior of ψ, in nats; 0 without a prior."""
        if self._prior is None:
            return 0.0
        psi, size = x[: self._size], self._size
        return -0.5 * float(psi @ psi) / self._prior**2 - size * (math.log(self._prior) + 0.5 * math.log(2 * math.pi))

    @property
    def is_concave(self) -> bool:
        """Whether the log-likelihood is certainly concave.

        It is for trajectories of the exact posterior, an exponential family whose sufficient statistics are the
        derivatives of a linear reward.
        """
        assumed = self._assumed
        extra = assumed.learns_optimism or assumed.learns_dynamics
        whole = self._record.actions.shape[1] == self._model.problem.horizon
        return (
            assumed.believed and assumed.beta == 1.0 and not extra and whole
            and self._reward.is_linear and self._model.problem.discount == 1.0
        )  # fmt: skip

    def noise(self, size: float) -> float:
        """Return 0: the value is no difference of sums that grow with the parameters."""
        return 0.0

    def unit(self) -> Vector:
        """Return the change of each parameter by which the reward of a typical step changes by one temperature."""
        z = np.sqrt(np.square(self._record.both).mean((0, 1)))
        z[z == 0] = 1.0
        n = self._F.shape[0]
        _, by = self.cost(self.start[: self._size])
        assert by is not None
        C, c, P, p = (np.abs(each) for each in by)
        steps = 0.5 * np.einsum("ptij,i,j->pt", C, z, z) + c @ z
        last = 0.5 * np.einsum("pij,i,j->p", P, z[:n], z[:n]) + p @ z[:n]
        change = np.maximum(steps.max(1), last)
        found = [self._base.temperature / np.where(change > 0, change, self._base.temperature)]
        if self._assumed.learns_optimism:
            found.append(np.array([0.5]))
        if self._assumed.learns_dynamics:
            spread = np.sqrt(np.square(self._base.noise_root).sum(-1).max(0))
            found.append((np.where(spread > 0, spread, 0.1 * z[:n])[:, None] / z).flatten())
        return np.concatenate(found)

    def information_rows(self, x: Vector, with_optimism: bool = False) -> np.ndarray:
        """A matrix J whose J'J is the Fisher information of all demonstrations, at the states that they visited."""
        found = self._agent(x, with_optimism)
        rows = [behaviour_rows(found.policy, self.of_actions.root, self.number)]
        if self._assumed.believed:
            rows.append(behaviour_rows(self.belief(found, x), self.of_states.root, self.number))
        return np.concatenate(rows)

    def behaviour_rows(self, x: Vector, with_optimism: bool = False) -> np.ndarray:
        """The same for one demonstration that visits all directions of the states, of the size of those visited."""
        found = self._agent(x, with_optimism)
        z = np.sqrt(np.square(self._record.both).mean((0, 1)))
        z = np.append(np.where(z > 0, z, 1.0), 1.0)
        steps, n = len(self._base.transition), self._F.shape[0]

        def roots(sizes: np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.diag(sizes), (steps, len(sizes), len(sizes)))

        rows = [behaviour_rows(found.policy, roots(np.append(z[:n], 1.0)), 1.0)]
        if self._assumed.believed:
            rows.append(behaviour_rows(self.belief(found, x), roots(z), 1.0))
        return np.concatenate(rows)

    def _agent(self, x: Vector, with_optimism: bool) -> Agent:
        found = self.agent_at(x, with_optimism=with_optimism)
        if found is None:
            raise InvalidArgument("`reward` must have an optimum at this optimism, but is beyond the breakdown.")
        return found

    def metric(self) -> Matrix | None:
        """Return the inverse of the Fisher information per demonstration, where the search starts."""
        x, unit = self.start, self.unit()
        rows = self.information_rows(x) * unit / math.sqrt(self.number)
        information = rows.T @ rows
        if self._prior is not None:
            place = np.arange(self._size)
            information[place, place] += np.square(unit[: self._size]) / (self._prior**2 * self.number)
        scale = max(float(information.diagonal().max()), 1e-300)
        inverse = np.linalg.inv(information + _RIDGE * scale * np.eye(len(x)))
        return unit[:, None] * inverse * unit


def _without_cost(model: GaussianModel) -> Numbers:
    """The numbers of the model with its action prior, and without its own rewards."""
    problem = model.problem
    k, n = problem.C.shape[-1], problem.num_states
    zero = torch.zeros(k, k, dtype=torch.float64)
    empty = problem.replace(C=zero, c=zero[0], k=0.0, final_cost=zero[:n, :n])
    with torch.no_grad():
        found = prepared(LinearQuadraticModel(empty, model.temperature, model.action_prior))
    F, d, _, hessian, gradient, _, P, p, *_ = (each.numpy(force=True) for each in found[:-1])
    L = _noise_root(problem.W.numpy(force=True))
    return Numbers(F, d, L, hessian, gradient, P, p, float(model.temperature), problem.discount, 0.0)


def _noise_root(W: np.ndarray) -> np.ndarray:
    """A root of the covariance by step, whose columns are orthogonal in units of the noise, or zero."""
    scale = np.sqrt(np.einsum("tii->ti", W))
    scale = np.where(scale > 0, scale, 1.0)
    sizes, vectors = np.linalg.eigh(W / (scale[:, :, None] * scale[:, None, :]))
    inside = sizes > _RANGE
    L = scale[:, :, None] * vectors * np.sqrt(np.where(inside, sizes, 0.0))[:, None, :]
    return L[..., inside.any(0)]
