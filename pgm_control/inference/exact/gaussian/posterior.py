"""The exact optimum of a linear-quadratic model: an affine-Gaussian distribution over trajectories, with its values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.optimism import Optimism
from ....errors import InvalidArgument
from ....problems.continuous.arrays import no_truth_values
from ....runtime.arguments import shown, whole_number
from ....text.wording import amount
from ....trajectories.gaussian.blocks import ContinuousTrajectories, GaussianBlocks, GaussianMarginals
from ....trajectories.gaussian.model import GaussianModel
from ....trajectories.gaussian.objective import true_blocks
from ....trajectories.gaussian.program import run_gaussian_blocks
from ....trajectories.gaussian.terms import require_nats


@final
@dataclass(frozen=True, eq=False, repr=False)
class GaussianPosterior:
    r"""The exact optimum of $J_\beta$ of a linear-quadratic model, as `infer` returns it.

    $$\pi_t(a \mid s) = N(-K_t s - \kappa_t, \Sigma_t), \qquad V_t(s) = -(\tfrac12 s'P_ts + p_t's + v_t)$$

    Calling it runs its Pyro program, so it serves as a guide; `blocks()` gives its factors. All tensors have the batch
    axes of the problem in front.

    Attributes:
        model: the model that was solved.
        optimism: β of each block.
        value_hessian, value_gradient, value_constant: P, p and v, in reward units, t = 0 … T.
        initial_mean, initial_covariance: the start that it believes in.
        gain, offset, policy_covariance: K, κ and Σ.
        transition, drift, noise: the dynamics that it believes in, $N(F_t z + d_t, S_t)$ with z = (s, a).
        value: $L_{β_0}[V_0]$ over the start, in reward units: τ times the objective.
    """

    model: GaussianModel
    optimism: Optimism
    value_hessian: Float[Tensor, "*batch time_and_last state state"]
    value_gradient: Float[Tensor, "*batch time_and_last state"]
    value_constant: Float[Tensor, "*batch time_and_last"]
    initial_mean: Float[Tensor, "*batch state"]
    initial_covariance: Float[Tensor, "*batch state state"]
    gain: Float[Tensor, "*batch time action state"]
    offset: Float[Tensor, "*batch time action"]
    policy_covariance: Float[Tensor, "*batch time action action"]
    transition: Float[Tensor, "*batch time state state_action"]
    drift: Float[Tensor, "*batch time state"]
    noise: Float[Tensor, "*batch time state state"]
    value: float | Any

    def __call__(self) -> None:
        """Sample one trajectory as a Pyro program, at the model's sites.

        Raises:
            InvalidProblem: for a batch of problems.
        """
        if self.initial_mean.dim() > 1:
            raise InvalidArgument(
                "`model` must be one problem for a Pyro program, but is a batch "
                f"{tuple(self.initial_mean.shape[:-1])}. Choose one of them: problem[index]."
            )
        run_gaussian_blocks(self.blocks())

    def blocks(self) -> GaussianBlocks:
        """The factors that it believes in."""
        return GaussianBlocks(
            self.initial_mean, self.initial_covariance, self.gain, self.offset, self.policy_covariance,
            self.transition, self.drift, self.noise,
        )  # fmt: skip

    def true_blocks(self) -> GaussianBlocks:
        """Its policy with the start and the dynamics of the model."""
        return true_blocks(self.model, self.blocks())

    def v(self, t: int, state: Float[Tensor, "*draws state"]) -> Float[Tensor, "*draws"]:
        """The value $V_t(s)$ of states, in reward units, t = 0 … T.

        Args:
            t: the step.
            state: the states, one vector each; for a batch of problems with its axes last before that of the vector.

        Raises:
            InvalidArgument: if there is no such step, or the states do not fit.
        """
        steps, found = self.model.problem.horizon, whole_number(t)
        if found is None or not 0 <= found <= steps:
            raise InvalidArgument(f"`t` must be a step, a whole number from 0 to {steps}, but is {shown(t)}.")
        P, p, v = self.value_hessian, self.value_gradient, self.value_constant
        state = no_truth_values("state", state, InvalidArgument).to(P)
        front, batch = tuple(state.shape[:-1]), tuple(p.shape[:-2])
        fits = all(i == j or 1 in (i, j) for i, j in zip(front[::-1], batch[::-1], strict=False))
        if state.shape[-1:] != p.shape[-1:] or not fits:
            also = f", with axes in front that fit the batch {batch}" if batch else ""
            raise InvalidArgument(
                f"`state` must be vectors of {p.shape[-1]} numbers{also}, but has shape {tuple(state.shape)}."
            )
        linear = 0.5 * (P[..., found, :, :] @ state[..., None])[..., 0] + p[..., found, :]
        return -(linear * state).sum(-1) - v[..., found]

    def lookahead(self) -> Callable[[int, Tensor], Tensor]:
        """$V_t/τ$ of a batch of states, in nats, as a function of t and the states, for `smc`.

        Raises:
            InvalidArgument: at temperature 0.
        """
        require_nats(self.model)
        tau = float(self.model.temperature)
        return lambda t, state: self.v(t, state.detach()) / tau

    @property
    def objective(self) -> float | Any:
        """The optimum of $J_β$, in nats; None at temperature 0, where rewards have no nats."""
        return None if self.model.temperature == 0 else self.value / self.model.temperature

    @property
    def is_free(self) -> bool:
        """True if the start and the dynamics are free and there is no discount: then this is the exact posterior."""
        if self.model.temperature == 0:
            return False
        used = self.optimism.at(self.model.temperature)
        return bool(used.dynamics == 1.0 and used.initial == 1.0) and self.model.problem.discount == 1

    @property
    def log_evidence(self) -> float | Any:
        """log p(O), in nats; with Lebesgue measure as the action prior a log partition function.

        Raises:
            InvalidArgument: unless start and dynamics are free, or if there is a discount, under which survival is
                clamped.
        """
        if not self.is_free:
            also = ", with a discount" if self.model.problem.discount < 1 else ""
            raise InvalidArgument(
                f"`log_evidence` belongs to the exact posterior, in which every block is free, but here "
                f"{self.optimism}{also}. `objective` is the number that this posterior maximises; "
                "infer(model, 1.0).log_evidence without a discount is log p(O)."
            )
        return self.objective

    def marginals(self) -> GaussianMarginals:
        """The moments of the states and actions that it believes in; with a discount those of survivors."""
        return self.blocks().marginals()

    def true_marginals(self) -> GaussianMarginals:
        """The moments of the states and actions under its policy and the true start and dynamics."""
        return self.true_blocks().marginals()

    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> ContinuousTrajectories:
        """Draw independent trajectories that it believes in.

        Args:
            num_samples: how many, at least 1.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        return self.blocks().sample(num_samples, seed)

    def mode(self) -> ContinuousTrajectories:
        """The most probable trajectory, which is the mean path; at β = 0 that of the linear-quadratic regulator."""
        return self.blocks().mode()

    def __repr__(self) -> str:
        """The problem, the optimism and the objective."""
        tau = self.model.temperature
        found: Any = self.value if tau == 0 else self.objective
        batch = isinstance(found, Tensor) and found.dim() > 0
        number = f"of {found.numel()} problems" if batch else amount(float(found))
        reached = f"value {number}" if tau == 0 else f"objective {number} nats"
        return f"GaussianPosterior({self.model.problem!r}, temperature {tau:g}, {self.optimism}, {reached})"
