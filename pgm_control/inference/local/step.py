r"""A step of a Gaussian guide towards the optimum of the linear-quadratic approximation of its model.

A guide q is the exact optimum of the model whose rewards are

$$\hat r_t = \tau \log\frac{\pi_t(a \mid s)}{\rho_t(a \mid s)}
    + \frac\tau\beta \log\frac{q_t(s' \mid s,a)}{p_t(s' \mid s,a)}$$

because all its values are 0. A step of size η is the exact optimum for $(1-\eta)\,\hat r + \eta\, \bar r$, with r̄ the
expected quadratic form of the rewards at the marginals of q, as for tables in
`inference.variational.natural_gradient`: a natural-gradient step on the objective of conjugate-computation variational
inference [khan2017].

Sources:
    [khan2017] M. E. Khan and W. Lin, Conjugate-computation variational inference: converting variational inference in
        non-conjugate models to inferences in conjugate models. International Conference on Artificial Intelligence and
        Statistics, Proceedings of Machine Learning Research 54, pages 878–887, 2017. arXiv:1703.04265
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ...errors import InvalidArgument
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.gaussian.model import GaussianPrior
from ...trajectories.gaussian.riccati import prepared
from ..exact.gaussian.open_loop import open_loop_optimum
from ..exact.gaussian.solve import optimum
from .adversary import worst_case
from .around import Around, LocalModel, around
from .expectations import Points, Quadratic
from .own import Own, own_rewards
from .vector_model import VectorModel

_HALVINGS = 30
_HALVINGS_TO_BOUNDED = 4  # where the adversary of the guide is unbounded
_ROUNDING = 1e-12  # relative difference of objectives that are the same


class Step(NamedTuple):
    """The result of a step.

    Attributes:
        found: the guide after the step, with the approximation around it.
        before, objective: J_β before and after the step, in nats; with a negative β the merit of the policy.
        size: η of the step; 0 if no step was accepted.
        is_fixed: whether the first step that was tried has the same objective but for rounding.
        beyond: the linear-quadratic problem at the guide before the step, if it has no solution at β.
        is_whole: whether that problem is the model itself, as far as the points show.
        is_bounded: whether the merit before the step is a number: with a negative β the adversary may be unbounded
            against the policy. Then `before` is J_β of the guide, or that without an adversary if the step raises it.
    """

    found: Around
    before: float
    objective: float
    size: float
    is_fixed: bool
    beyond: LocalModel | None
    is_whole: bool
    is_bounded: bool


def improved_around(
    now: Around, beta: tuple[float, float], step_size: float, points: Points, sees_state: bool = True
) -> Step:
    r"""The guide after one step, accepted only if J_β rises; otherwise η is halved.

    With a negative β the optimum is a saddle. Then J_β is that of the worst case for the policy (see `worst_case`), and
    a step for which there is none is not accepted. As long as there is none for the guide itself, any step is that
    leads to one; without any the step raises the objective without an adversary.

    Args:
        now: the guide and the approximation around it.
        beta: β of the dynamics and of the start; a block with β = 0 stays the model's.
        step_size: the largest η.
        points: how rewards are averaged.
        sees_state: whether actions may depend on the state; a plan keeps the start and the dynamics of the model.

    References:
        [khan2017]
    """
    rules = _Rules(beta, step_size, points, sees_state)
    if min(beta) >= 0:
        return _improved(now, rules, None, _HALVINGS)
    worst = worst_case(now, beta, points)
    if worst.is_bounded:
        return _improved(worst.found, rules, worst.value, _HALVINGS)
    found = _improved(now, rules, -math.inf, _HALVINGS_TO_BOUNDED)
    if found.size > 0 or (found.is_whole and found.beyond is not None):
        return found
    clamped = rules.of((max(beta[0], 0.0), max(beta[1], 0.0)))
    start = around(now.model, now.blocks, clamped.free, points, now)
    return _improved(start, clamped, None, _HALVINGS)._replace(is_bounded=False, beyond=found.beyond)


class _Rules(NamedTuple):
    """The arguments of a step but for the guide."""

    beta: tuple[float, float]
    step_size: float
    points: Points
    sees_state: bool

    @property
    def free(self) -> tuple[bool, bool]:
        """Whether the start and the dynamics may change."""
        return self.beta[1] != 0, self.beta[0] != 0

    def of(self, beta: tuple[float, float]) -> "_Rules":
        """The same for other β."""
        return self._replace(beta=beta)


def _improved(now: Around, rules: _Rules, floor: float | None, halvings: int) -> Step:
    """A step from a guide whose merit is `floor`; None: its J_β, without an adversary."""
    beta, points = rules.beta, rules.points
    rewards, own = now.rewards(points, beta[0]), own_rewards(now, beta)
    before = now.objective(points, *beta, rewards)
    least = before if floor is None else floor
    size, is_fixed, rounding = rules.step_size, False, _ROUNDING * (1.0 + abs(before))
    whole = mixed_problem(now, (rewards, own), 1.0)
    is_whole = now.is_exact and all(each.is_exact for each in rewards)
    beyond = whole if _solution(whole, now, rules) is None else None

    def step(found: Around, after: float, size: float) -> Step:
        return Step(found, before, after, size, is_fixed, beyond, is_whole, least > -math.inf)

    if is_whole and beyond is not None:
        return step(now, before, 0.0)
    for _ in range(halvings):
        better = _solution(mixed_problem(now, (rewards, own), size), now, rules)
        if better is not None:
            found = around(now.model, better, rules.free, points, now)
            if floor is None:
                after, is_bounded = found.objective(points, *beta), True
            else:
                found, after, is_bounded = worst_case(found, beta, points, floor - rounding)
            is_same = abs(after - least) <= rounding
            is_fixed |= size == rules.step_size and is_same
            if is_bounded and (after > least or (is_same and points.normals is None)):  # gains change beside the path
                return step(found, after, size)
            if is_fixed:
                break
        size = 0.5 * size
    return step(now, before, 0.0)


def mixed_problem(now: Around, both: tuple[Sequence[Quadratic], Own], size: float) -> LocalModel:
    """The linear-quadratic problem for the mixed rewards.

    A reward of (s, a, s') is a cost of the state of a larger problem, $x_{t+1} = (s_{t+1}, s_t, a_t)$.
    """
    rewards, own = both
    problem, prior, tau = now.local.problem, now.local.action_prior, now.local.temperature
    assert prior is not None
    n, m, steps = problem.num_states, problem.num_actions, problem.horizon
    rest = 1.0 - size
    kept = own.policy.hessian + own.dynamics.hessian, own.policy.gradient + own.dynamics.gradient
    hessian = rest * kept[0] + size * torch.stack([each.hessian for each in rewards])
    gradient = rest * kept[1] + size * torch.stack([each.gradient for each in rewards])
    P = -tau * hessian
    p = -tau * gradient - (P @ now.joint_mean[..., None])[..., 0]
    zeros, N = (lambda *shape: torch.zeros(*shape, dtype=torch.float64)), 2 * n + m
    C, c, A, B = zeros(steps, N + m, N + m), zeros(steps, N + m), zeros(steps, N, N), zeros(steps, N, m)
    d, W, G = zeros(steps, N), zeros(steps, N, N), zeros(steps, m, N)
    C[1:, :N, :N], c[1:, :N] = P[:-1], p[:-1]
    C[0, :n, :n] = -tau * rest * own.start.hessian
    c[0, :n] = -tau * rest * own.start.gradient - C[0, :n, :n] @ now.blocks.initial_mean
    A[:, :n, :n], A[:, n : 2 * n, :n] = problem.A, torch.eye(n, dtype=torch.float64)
    B[:, :n], B[:, 2 * n :] = problem.B, torch.eye(m, dtype=torch.float64)
    d[:, :n], W[:, :n, :n], G[..., :n] = problem.d, problem.W, prior.gain
    m0, S0 = zeros(N), zeros(N, N)
    m0[:n], S0[:n, :n] = problem.initial_mean, problem.initial_covariance
    larger = LinearQuadratic(
        A, B, W, C, horizon=steps, initial_mean=m0, initial_covariance=S0, c=c, d=d,
        final_cost=(P[-1], p[-1], 0.0),
    )  # fmt: skip
    return LocalModel(larger, tau, GaussianPrior(G, prior.offset, prior.covariance))


def _solution(model: LocalModel, now: Around, rules: _Rules) -> GaussianBlocks | None:
    """The optimum of a larger problem, in the coordinates of the smaller one; None if there is none."""
    n, N = now.local.problem.num_states, model.problem.num_states
    if not rules.sees_state:
        try:
            return in_the_model(open_loop_optimum(model), n, N)
        except InvalidArgument:
            return None
    theta = (torch.tensor(each / model.temperature, dtype=torch.float64) for each in rules.beta)
    found = optimum(model, prepared(model), *theta)
    return in_the_model(found.blocks, n, N) if bool(found.is_finite) else None


def in_the_model(found: GaussianBlocks, n: int, size: int) -> GaussianBlocks:
    """The blocks of the larger problem in the coordinates of the smaller one."""
    rows = found.transition[:, :n]
    return GaussianBlocks(
        found.initial_mean[:n],
        found.initial_covariance[:n, :n],
        found.gain[..., :n],
        found.offset,
        found.policy_covariance,
        torch.cat((rows[..., :n], rows[..., size:]), -1),
        found.drift[:, :n],
        found.noise[:, :n, :n],
    )


def prior_around(model: VectorModel, points: Points, free: tuple[bool, bool] = (False, False)) -> Around:
    """The model without its rewards, and the approximation around it; for a guide that may change these blocks."""
    return around(model, None, free, points)
