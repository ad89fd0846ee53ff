"""The dynamics of the world from trajectories of vectors: least squares, which is maximum likelihood."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import flag, instance
from ...trajectories.gaussian.blocks import ContinuousTrajectories
from .statistics import recorded

_ROUNDING = 1e-9  # of a direction of the regressors, relative to the largest, in deviations


@final
@dataclass(frozen=True, eq=False, repr=False)
class IdentifiedDynamics:
    r"""The dynamics $s' = As + Ba + d + w$, w ~ N(0, W), that explain trajectories best. Printing it prints sentences.

    Attributes:
        problem: the given problem with these dynamics.
        A, B, d, W: the estimates. W has the divisor N − (number of regressors), which makes it unbiased.
        covariance: that of the rows of [A B d] in units of W: the covariance of entries (i, j) and (k, l) is
            W[i, k] times covariance[j, l]. d has a row and a column if it was learned.
        unidentified: orthonormal directions of (s, a) or (s, a, 1) that never vary: what follows them is not
            identified, and the estimates, of the least size, mean nothing along them. A demonstrator without noise in
            its actions, a = −Ks, leaves such directions.
        log_likelihood: of the states given states and actions, in nats, with the W of maximum likelihood; infinite if a
            component has no noise.
        number: the number of steps that were observed.
    """

    problem: LinearQuadratic
    A: Float[Tensor, "state state"]
    B: Float[Tensor, "state action"]
    d: Float[Tensor, " state"]
    W: Float[Tensor, "state state"]
    covariance: Float[Tensor, "regressor regressor"]
    unidentified: Float[Tensor, "direction regressor"]
    log_likelihood: float
    number: int

    @property
    def deviations(self) -> Float[Tensor, "state regressor"]:
        """The standard deviation of each entry of [A B], and d if it was learned; infinite along `unidentified`."""
        found = (self.W.diagonal()[:, None] * self.covariance.diagonal()).clamp(min=0.0).sqrt()
        return torch.where(self.unidentified.square().sum(0) > _ROUNDING, torch.inf, found)

    def __str__(self) -> str:
        """Sentences on the fit and on what is not identified."""
        known = self.deviations[self.deviations.isfinite()]
        largest = f"at most {float(known.max()):.3g}" if len(known) else "none is identified"
        lines = [
            f"IdentifiedDynamics({self.number} steps, log-likelihood {self.log_likelihood:.6f} nats, standard "
            f"deviations of the identified entries: {largest})"
        ]
        if len(self.unidentified):
            lines.append(
                f"{len(self.unidentified)} directions of states and actions never vary: their effect is not identified."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        """The result in sentences, as `str` gives it."""
        return str(self)


def identify_dynamics(
    problem: LinearQuadratic, trajectories: ContinuousTrajectories, drift: bool = True
) -> IdentifiedDynamics:
    r"""The A, B, d and W of constant dynamics that explain trajectories best, in closed form.

    $$[\hat A\ \hat B\ \hat d] = \sum s'z' \Bigl(\sum zz'\Bigr)^{-1}, \qquad
        \hat W = \frac{1}{N - p} \sum (s' - \hat F z)(s' - \hat F z)'$$

    The actions may be anybody's: given state and action the next state depends on nothing else. What the demonstrator
    *believes* is another matter, `inverse(…, learn=["dynamics"])`.

    Args:
        problem: the problem, of which the sizes, the rewards and, without `drift`, d are taken.
        trajectories: states and actions.
        drift: whether d is learned; otherwise it is that of the problem.

    Raises:
        InvalidArgument: if an argument does not fit, or there are no more steps than regressors.

    Examples:
        >>> from pgm_control import LinearQuadratic, LinearQuadraticModel, infer
        >>> from pgm_control.inverse_rl import identify_dynamics
        >>> problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
        >>> drives = infer(LinearQuadraticModel(problem), 0.0).sample(2000, seed=0)
        >>> found = identify_dynamics(problem, drives)
        >>> bool(abs(found.A - 0.9) < 3 * found.deviations[:, :1])
        True
    """
    instance("problem", problem, LinearQuadratic, "Pass model.problem.")
    drift = flag("drift", drift)
    if problem.batch_shape:
        raise InvalidArgument(f"`problem` must be one problem, but is a batch {problem.batch_shape}. Choose one.")
    n, m = problem.num_states, problem.num_actions
    record = recorded(trajectories, n, m, problem.horizon, "trajectories")
    steps = record.actions.shape[1]
    target: Any = record.states[:, 1:]
    if not drift:
        target = target - problem.d[:steps].numpy(force=True)
    X, y = record.both.reshape(-1, n + m), target.reshape(-1, n)
    if drift:
        X = np.concatenate((X, np.ones((len(X), 1))), 1)
    number, p = X.shape
    if number <= p:
        raise InvalidArgument(
            f"`trajectories` must have more steps than the {p} numbers of a row of [A B d], but have {number}."
        )
    scale = np.sqrt(np.square(X).mean(0))
    scale[scale == 0] = 1.0
    left, sizes, ways = np.linalg.svd(X / scale, full_matrices=False)
    kept = sizes > _ROUNDING * sizes.max()
    inverse = np.where(kept, 1.0 / np.where(kept, sizes, 1.0), 0.0)
    F = ((ways.T * inverse) @ (left.T @ y) / scale[:, None]).T
    error = y - X @ F.T
    squares = error.T @ error
    covariance = (ways.T * inverse**2) @ ways / (scale[:, None] * scale)
    flat = np.linalg.qr((ways[~kept] / scale).T)[0].T
    W = squares / (number - int(kept.sum()))
    sign, log_det = np.linalg.slogdet(squares / number)
    likelihood = -0.5 * number * (log_det + n * (1.0 + math.log(2 * math.pi))) if sign > 0 else math.inf
    d = torch.from_numpy(F[:, -1].copy()) if drift else problem.d[0].detach().clone()
    A, B, W = (torch.from_numpy(each.copy()) for each in (F[:, :n], F[:, n : n + m], W))
    return IdentifiedDynamics(
        problem.replace(A=A, B=B, W=W, **({"d": d} if drift else {})),
        A, B, d, W,
        covariance=torch.from_numpy(covariance),
        unidentified=torch.from_numpy(flat.copy()),
        log_likelihood=float(likelihood),
        number=number,
    )  # fmt: skip
