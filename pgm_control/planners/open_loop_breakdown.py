r"""The optimism at which plans that do not see the state have an unbounded objective, in linear-quadratic models.

A policy corrects the noise, a plan does not: the cost of a noise is that of the whole uncorrected path,

$$P_t = H_{ss} + A'\tilde P_{t+1} A, \qquad \tilde P = P - \theta P S P,$$

where a policy has $P_t = H_{ss} - H_{sa} H_{aa}^{-1} H_{as}$. So a plan breaks down at a β nearer to 0: at −.3763 where
a policy does at −2.0238, for the scalar problem of the tests. Below it a finite number of draws still gives a number,
which means nothing.
"""

from typing import Any, final

import torch
from torch import Tensor

from ..chance.gaussian import gaussian_equivalent
from ..chance.risk import Risk
from ..errors import OptimismBreakdown
from ..inference.exact.gaussian.breakdown import unit_direction
from ..inference.exact.gaussian.posterior import GaussianPosterior
from ..inference.exact.grid.line_tails import breakdown_on_line, plans_break_down_on_line
from ..models.line import LineModel
from ..text.wording import amount
from ..trajectories.gaussian.model import is_gaussian, timed_prior
from ..trajectories.gaussian.riccati import Prepared, prepared

_FINE = 1e-12  # the relative width at which the search for the edge ends


@final
class Edge:
    """The bounds of the optimism of plans of a model, known only if this is linear-quadratic, or on the line.

    Windows of a plan that end before the model does are checked if their terminal value is known: none, or that of a
    `GaussianPosterior`. On the line they are those of `infer_line`, rewards of single steps against the tails of the
    noise, and those of the return along a few paths of the noise: what is found has broken down, but near the edge not
    all is found.
    """

    def __init__(
        self, model: Any, horizon: int, terminal_value: Any, of: str = "plans that do not see the state"
    ) -> None:
        """Take the numbers of the model.

        Args:
            model: the model.
            horizon: the steps of a plan.
            terminal_value: that of the planner.
            of: what breaks down, in words.
        """
        self._given: Prepared | None = None
        self._line = model if isinstance(model, LineModel) else None
        self._horizon, self._has_value = horizon, terminal_value is not None
        self._checked: set[tuple[float, float]] = set()
        self._of = of
        if not is_gaussian(model) or model.temperature == 0 or model.problem.batch_shape:
            return
        with torch.no_grad():
            self._given = prepared(model)
            self._temperature, prior = float(model.temperature), timed_prior(model)
            self._pull: Tensor | float = 0.0 if prior is None else prior[0].mT @ torch.linalg.solve(prior[2], prior[0])
        steps = model.problem.horizon
        self._horizon, self._steps = min(horizon, steps), steps
        after: Tensor | None = torch.zeros_like(model.problem.final_P).expand(steps + 1, -1, -1)
        if isinstance(terminal_value, GaussianPosterior):
            after = terminal_value.value_hessian
        elif terminal_value is not None:
            after = None
        self._after = after

    @torch.no_grad()
    def require(self, optimism: float | Risk, temperature: float) -> None:
        """Require that the objective of plans is bounded.

        Raises:
            OptimismBreakdown: if it is not.
        """
        theta = float(optimism.theta) if isinstance(optimism, Risk) else optimism / temperature
        if (theta, temperature) in self._checked:
            return
        if self._line is not None:
            _require_on_line(self._line, theta, temperature, self._horizon, self._has_value)
            self._checked.add((theta, temperature))
        if self._given is None:
            return
        n = self._given.transition.shape[-2]  # the prior is in the cost with the temperature of the model
        costs = self._given.hessian[..., :n, :n] + (temperature - self._temperature) * self._pull
        failed = self._failure(theta, costs)
        if failed is None:
            self._checked.add((theta, temperature))
            return
        low, high = 0.0, theta
        while abs(high - low) > _FINE * abs(high):
            middle = 0.5 * (low + high)
            if (found := self._failure(middle, costs)) is None:
                low = middle
            else:
                high, failed = middle, found
        limit = low * temperature
        time, direction = failed
        raise OptimismBreakdown(
            f"`optimism` {optimism} is beyond the breakdown of {self._of}: their objective is unbounded from "
            f"β* = {amount(limit)} on, by the noise of step {time}, and a finite number of draws would hide it. Choose "
            "a β nearer to 0, a shorter `horizon`, or a policy: infer(model, β).",
            theta * temperature, limit, time, direction,
        )  # fmt: skip

    def _failure(self, theta: float, costs: Tensor) -> tuple[int, tuple[float, ...]] | None:
        """The step, and the direction of the noise, at which the sweep ends; None if it does not."""
        given = self._given
        assert given is not None
        starts = [self._steps - self._horizon]  # the windows that end with the model hold all later ones
        found = self._sweep(theta, costs, torch.tensor(starts), given.final_hessian[None])
        if found is None and self._after is not None and self._horizon < self._steps:
            first = torch.arange(self._steps - self._horizon)
            found = self._sweep(theta, costs, first, self._after[first + self._horizon])
        return found

    def _sweep(self, theta: float, costs: Tensor, first: Tensor, P: Tensor) -> tuple[int, tuple[float, ...]] | None:
        """The sweeps of windows from these steps on, backwards from the hessians of the values at their ends."""
        given = self._given
        assert given is not None
        n, size = P.shape[-1], len(first)
        eye, zeros = torch.eye(n, dtype=P.dtype), P.new_zeros(size, n)
        for k in reversed(range(self._horizon)):
            at = first + k
            L, A, H = given.noise_root[at], given.transition[at][..., :n], costs[at]
            M = eye[: L.shape[-1], : L.shape[-1]] + theta * L.mT @ P @ L
            failed = torch.linalg.cholesky_ex(M).info != 0
            if bool(failed.any()):
                i = int(failed.nonzero()[0])
                _, vectors = torch.linalg.eigh(M[i])
                return int(at[i]), unit_direction(L[i] @ vectors[:, 0])
            found = gaussian_equivalent(P, zeros, zeros[:, 0], L, P.new_full((size,), theta))
            P = H + A.mT @ found.P @ A
        return None


def _require_on_line(model: LineModel, theta: float, temperature: float, horizon: int, has_value: bool) -> None:
    """Require that no certainty equivalent of a single step diverges, nor that of a plan along a path of the noise.

    Raises:
        OptimismBreakdown: if one does.
    """
    beta = theta * temperature
    found = breakdown_on_line(model.problem, temperature, model.action_prior, beta)
    if found is not None:
        raise OptimismBreakdown(
            f"`optimism` {amount(beta)} has broken down for plans on the line: the certainty equivalent of the reward "
            f"at t = {found[0]} after the action {found[1]:.3g} is infinite, and a finite number of draws would hide "
            "it. Choose an optimism nearer to 0, a noise whose deviation is bounded, or a reward that is bounded.",
            beta,
            time=found[0],
        )
    first = plans_break_down_on_line(model.problem, theta, min(horizon, model.problem.horizon), has_value)
    if first is not None:
        raise OptimismBreakdown(
            f"`optimism` {amount(beta)} has broken down for plans that do not see the state: along a path of the noise "
            f"from t = {first} on the return outgrows its probability. The objective is unbounded, and a finite number "
            "of draws would hide it. Choose an optimism nearer to 0, a shorter `horizon`, or a policy: "
            "infer_line(model, β).",
            beta,
            time=first,
        )
