r"""Control of a linear-quadratic model that is seen through noisy observations: a Kalman filter and the same gains.

$$y_t = H s_t + v_t, \quad v_t \sim N(0, V), \qquad \pi_t(a \mid y_{0:t}) = N(-K_t \hat s_t - \kappa_t, \Sigma_t)$$

With clamped dynamics estimation and control separate: $\hat s_t$ is the mean of the state given the observations, by
the Kalman filter [kalman1960], and K, κ, Σ are those of the observed problem. With β other than 0 they do not: the
recursions of filter and control are coupled [whittle1981], see `coupled_filter`.

Sources:
    [kalman1960] R. E. Kalman, A new approach to linear filtering and prediction problems. Journal of Basic Engineering
        82(1):35–45, 1960. doi:10.1115/1.3662552
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.optimism import Optimism, OptimismLike
from ....errors import InvalidArgument
from ....problems.continuous.arrays import array, covariance, root
from ....runtime.arguments import index, shown, whole
from ....runtime.array_like import ArrayLike, numbers
from ....runtime.randomness import generator_of
from ....text.one_line import one_line
from ....trajectories.gaussian.blocks import GaussianBlocks, GaussianMarginals
from ....trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem, timed_prior
from ....trajectories.gaussian.objective import discounts, expected_rewards, policy_divergence
from .coupled_filter import CoupledFilter, coupled_filter, true_moments
from .posterior import GaussianPosterior
from .solve import infer_gaussian


class ObservedTrajectories(NamedTuple):
    """Trajectories with what was observed of them, and the estimates of the filter."""

    states: Float[Tensor, "draw time_and_last state"]
    actions: Float[Tensor, "draw time action"]
    observations: Float[Tensor, "draw time observation"]
    estimates: Float[Tensor, "draw time state"]

    __repr__ = one_line


@final
@dataclass(frozen=True, eq=False)
class OutputFeedback:
    r"""The optimal policy that sees $y_t = Hs_t + v_t$: a filter, and a policy of its estimate.

    With β = 0 it is a Kalman filter with the gains of the observed problem. With another β the estimate is the mean of
    the state weighed by the rewards so far, $e^{\beta r/\tau}$, and the policy moves it by the value of what follows,
    which is part of its gain and offset.

    Attributes:
        model: the model.
        optimism: β of start, dynamics and observations.
        H, V: the observation and the covariance of its noise.
        gain, offset, policy_covariance: K, κ and Σ of the policy $N(-K \hat s - κ, Σ)$.
        filter_gain: the weight of the innovation, $\hat s_t = \hat s_t^- + G_t (y_t - H \hat s_t^-)$.
        predicted_covariance, error_covariance: the covariance of the estimated distribution before and after $y_t$;
            with β = 0 that of the error of the estimate.
        estimates: with β = 0 the affine-Gaussian process of $(\hat s_t, a_t)$, whose last state is $s_T$ itself; else
            None.
        true_return: the expected return under the true dynamics, in reward units.
        objective: with β = 0 the return over τ minus the KL of the policy from the action prior, in nats: the most that
            a policy of the observations can reach; with another β that of `coupled_filter`. None at temperature 0.
    """

    model: GaussianModel
    optimism: float
    H: Float[Tensor, "time observation state"]
    V: Float[Tensor, "time observation observation"]
    gain: Float[Tensor, "time action state"]
    offset: Float[Tensor, "time action"]
    policy_covariance: Float[Tensor, "time action action"]
    filter_gain: Float[Tensor, "time state observation"]
    predicted_covariance: Float[Tensor, "time state state"]
    error_covariance: Float[Tensor, "time state state"]
    estimates: GaussianBlocks | None
    true_return: float
    objective: float | None
    coupled: CoupledFilter | None = None

    __repr__ = one_line

    def estimate(
        self, t: int, predicted: Float[Tensor, "*draws state"], observation: Float[Tensor, "*draws observation"]
    ) -> Float[Tensor, "*draws state"]:
        """The mean of the state given the observations up to step t, from the prediction of step t and $y_t$.

        Raises:
            InvalidArgument: if t is no step, or a vector has another size; the message names it.
        """
        t, (m, n) = index("t", t, len(self.H), "a step"), self.H.shape[-2:]
        predicted, seen = _vectors("predicted", predicted, n), _vectors("observation", observation, m)
        innovation = seen - predicted @ self.H[t].mT
        return predicted + innovation @ self.filter_gain[t].mT

    def predict(
        self, t: int, estimate: Float[Tensor, "*draws state"], action: Float[Tensor, "*draws action"]
    ) -> Float[Tensor, "*draws state"]:
        """The mean of the next state, from the estimate and the action of step t, whose reward moves it if β is not 0.

        Raises:
            InvalidArgument: if t is no step, or a vector has another size; the message names it.
        """
        problem, t = self.model.problem, index("t", t, len(self.H), "a step")
        state, action = (
            _vectors("estimate", estimate, problem.num_states),
            _vectors("action", action, problem.num_actions),
        )
        if self.coupled is not None:
            kept, given, shift = (
                each[t] for each in (self.coupled.kept, self.coupled.given_action, self.coupled.shift)
            )
            state = state @ kept.mT + action @ given.mT + shift
        return torch.cat((state, action), -1) @ problem.F[t].mT + problem.d[t]

    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> ObservedTrajectories:
        """Draw trajectories of the true system under this policy.

        Args:
            num_samples: how many, at least 1.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        count, generator, problem = whole("num_samples", num_samples), generator_of(seed), self.model.problem

        def noise(spread: Tensor) -> Tensor:
            drawn = torch.randn(count, spread.shape[-1], dtype=spread.dtype, generator=generator)
            return drawn @ root(spread).mT

        state = problem.initial_mean + noise(problem.initial_covariance)
        predicted = problem.initial_mean.expand(count, -1)
        states, actions, observations, estimates = [state], [], [], []
        for t in range(problem.horizon):
            observations.append(state @ self.H[t].mT + noise(self.V[t]))
            estimates.append(self.estimate(t, predicted, observations[t]))
            mean = -estimates[t] @ self.gain[t].mT - self.offset[t]
            actions.append(mean + noise(self.policy_covariance[t]))
            moved = torch.cat((state, actions[t]), -1) @ problem.F[t].mT + problem.d[t]
            state = moved + noise(problem.W[t])
            predicted = self.predict(t, estimates[t], actions[t])
            states.append(state)
        found = (torch.stack(each, 1) for each in (states, actions, observations, estimates))
        return ObservedTrajectories(*found)


@torch.no_grad()
def output_feedback(model: GaussianModel, H: ArrayLike, V: ArrayLike, optimism: OptimismLike = 0.0) -> OutputFeedback:
    r"""The optimal policy of a linear-quadratic model whose state is seen as $y_t = H s_t + v_t$ before each action.

    Args:
        model: a linear-quadratic model of one problem; its action prior may not depend on the state, which is not seen.
        H: the observation, (o, n), or with an axis of time.
        V: the covariance of its noise, (o, o), or with an axis of time; zeros for exact observations.
        optimism: β, one number for start, dynamics and observations; other than 0 without a discount and at a positive
            temperature.

    Raises:
        InvalidArgument: if an argument does not fit; the message names it.
        OptimismBreakdown: if no action is best, or the objective is unbounded, with the condition that fails.

    References:
        [kalman1960], [whittle1981]

    Examples:
        >>> from pgm_control import LinearQuadratic, LinearQuadraticModel, output_feedback
        >>> problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
        >>> output_feedback(LinearQuadraticModel(problem), 1.0, 0.0).objective  # exact observations: the same
        6.21835978...
    """
    if not is_gaussian(model):
        raise InvalidArgument(
            f"`model` must be a LinearQuadraticModel, but is {shown(model)}. Of others, infer(model, 0.0) solves the "
            "problem whose state is observed."
        )
    problem = one_problem(model, "output feedback")
    beta = _one_beta(model, optimism)
    prior = timed_prior(model)
    if prior is not None and bool((prior[0] != 0).any()):
        raise InvalidArgument(
            "`model` must have an action prior that does not depend on the state, which is not seen, but its gain is "
            "not 0. Pass a covariance U."
        )
    steps, n = problem.horizon, problem.num_states
    H = array("H", H, (None, n), timed=True, error=InvalidArgument)
    V = covariance("V", array("V", V, (H.shape[-2],) * 2, timed=True, error=InvalidArgument), InvalidArgument)
    for name, each in (("H", H), ("V", V)):
        if each.dim() != 3 or each.shape[0] not in (1, steps):
            raise InvalidArgument(f"`{name}` must have one entry for each of the {steps} steps, or one for all.")
    H, V = H.expand(steps, -1, -1), V.expand(steps, -1, -1)
    found = infer_gaussian(model, beta)
    if beta != 0:
        return _coupled(model, found, H, V, beta)
    gains, predicted, errors = _filter(problem.A, problem.W, H, V, problem.initial_covariance)
    estimates = GaussianBlocks(
        problem.initial_mean, predicted[0] - errors[0], found.gain, found.offset, found.policy_covariance,
        problem.F, problem.d, torch.cat((predicted[1:-1] - errors[1:], predicted[-1:])),
    )  # fmt: skip
    moments, weight = estimates.marginals(), discounts(problem)
    # Cov(s) = Cov(ŝ) + the covariance of the error; the last state of the process is s_T itself.
    lost = torch.cat(((problem.C[:, :n, :n] * errors).sum((-2, -1)), torch.zeros(1, dtype=H.dtype)))
    value = float((weight * (expected_rewards(problem, moments) - 0.5 * lost)).sum())
    objective = None
    if model.temperature > 0:
        paid = float((weight[:-1] * policy_divergence(model, estimates, moments)).sum())
        objective = value / model.temperature - paid
    return OutputFeedback(
        model, 0.0, H, V, found.gain, found.offset, found.policy_covariance, gains, predicted[:-1], errors, estimates,
        value, objective,
    )  # fmt: skip


def _vectors(name: str, value: ArrayLike, size: int) -> Tensor:
    """Vectors of this size, in float64."""
    found = numbers(name, value, InvalidArgument).double()
    if found.ndim == 0 or found.shape[-1] != size:
        raise InvalidArgument(f"`{name}` must have shape (…, {size}), but has shape {tuple(found.shape)}.")
    return found


def _one_beta(model: GaussianModel, optimism: OptimismLike) -> float:
    """The β of all blocks; survival, which no step has, does not count."""
    dynamics, initial, _ = Optimism.of(optimism).at(model.temperature).numbers("output feedback")
    if dynamics != initial:
        raise InvalidArgument(
            "`optimism` must be one number for output feedback, the same for start, dynamics and observations, but is "
            f"{optimism}."
        )
    if dynamics != 0 and (model.temperature == 0 or model.problem.discount < 1):
        raise InvalidArgument(
            f"`optimism` must be 0 for output feedback at temperature 0 or with a discount, but is {optimism}."
        )
    return dynamics


def _coupled(model: GaussianModel, found: GaussianPosterior, H: Tensor, V: Tensor, beta: float) -> OutputFeedback:
    problem = model.problem
    each = coupled_filter(problem, found, H, V, beta, float(model.temperature))
    mean, spread = true_moments(problem, each, H, V)
    n = problem.num_states
    moments = GaussianMarginals(mean[:-1], spread[:-1], mean[-1, :n], spread[-1, :n, :n])
    return OutputFeedback(
        model, beta, H, V, each.gain, each.offset, each.policy_covariance, each.filter_gain, each.predicted_covariance,
        each.error_covariance, None, float(expected_rewards(problem, moments).sum()),
        float(found.objective - each.loss.sum()), each,
    )  # fmt: skip


def _filter(A: Tensor, W: Tensor, H: Tensor, V: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gains of the filter, and the covariances of its error before (T + 1 steps) and after each observation."""
    gains, predicted, errors = [], [start], []
    for t in range(len(H)):
        ahead = predicted[t]
        innovation = H[t] @ ahead @ H[t].mT + V[t]
        gain = torch.linalg.lstsq(innovation, H[t] @ ahead, driver="gelsd").solution.mT
        kept = torch.eye(len(ahead), dtype=ahead.dtype) - gain @ H[t]
        gains.append(gain)
        errors.append(kept @ ahead @ kept.mT + gain @ V[t] @ gain.mT)  # symmetric and positive in floating point
        predicted.append(A[t] @ errors[t] @ A[t].mT + W[t])
    return torch.stack(gains), torch.stack(predicted), torch.stack(errors)
