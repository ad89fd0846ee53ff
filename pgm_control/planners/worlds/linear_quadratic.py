"""A linear-quadratic model as a simulator whose state can be set."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.arrays import root
from ...runtime.arguments import shown
from ...trajectories.gaussian.model import GaussianModel, one_problem, timed_prior
from .box import Box
from .gaussian_proposal import GaussianProposal
from .vectors import checked_states, deviations, observed_states
from .world import Moved


@final
class LinearQuadraticWorld:
    """The matrices of one problem, with noise that is drawn for many states at once.

    Attributes:
        horizon, temperature: T and τ.
        state_axes: 1.
        prior_sees_state: whether the action prior has a gain.
        num_states, num_actions: the sizes.
    """

    def __init__(self, model: GaussianModel) -> None:
        """Take the matrices.

        Raises:
            InvalidProblem: for a batch of problems.
            InvalidArgument: at temperature 0, or with a discount.
        """
        problem = one_problem(model, "a planner")
        if model.temperature == 0:
            raise InvalidArgument(
                "`model` must have a positive temperature for a planner, whose plans have weights exp(r/τ), but has 0. "
                "infer(model, 0.0) gives the best policy without noise on its actions."
            )
        if problem.discount < 1:
            raise InvalidArgument(
                f"`model` must have no discount for a planner, but has {problem.discount}: the weight of a plan would "
                "be no product. Take a horizon and a `terminal_value` in its place."
            )
        self.state_axes = 1
        self.horizon, self.temperature = problem.horizon, float(model.temperature)
        self.num_states, self.num_actions = problem.num_states, problem.num_actions
        self._A, self._B, self._d = problem.A.detach(), problem.B.detach(), problem.d.detach()
        self._L = root(problem.W.detach())
        n, C = problem.num_states, problem.C.detach()
        self._Css, self._Csa, self._Caa = C[:, :n, :n], C[:, :n, n:], C[:, n:, n:]
        self._cs, self._ca, self._k = problem.c.detach()[:, :n], problem.c.detach()[:, n:], problem.k.detach()
        self._final = problem.final_reward if problem.has_final_reward else None
        prior = timed_prior(model)
        self._prior = None if prior is None else tuple(each.detach() for each in prior)
        self._factor = None if self._prior is None else torch.linalg.cholesky(self._prior[2])
        self.prior_sees_state = self._prior is not None and bool((self._prior[0] != 0).any())

    def states(self, state: Any) -> tuple[Float[Tensor, "episode state"], bool]:
        """The states of an argument, and whether it was a single one."""
        return checked_states(state, self.num_states)

    def observed(self, observation: Any) -> tuple[Float[Tensor, "episode state"], bool]:
        """The states in an observation, in front of what follows them, such as the time."""
        return observed_states(observation, self.num_states)

    def proposal(self, t: int, state: Tensor, steps: int, spread: Any, temperature: float) -> GaussianProposal:
        """The action prior at the present states; for Lebesgue measure exp(r/τ) as a function of actions.

        Raises:
            InvalidArgument: if actions cost nothing in some direction, and there is neither a prior nor a `spread`.
        """
        size, times = (len(state), steps, self.num_actions), slice(t, t + steps)
        if self._prior is not None:
            G, g, U = (each[times] for each in self._prior)
            mean = torch.einsum("tan,en->eta", G, state) + g
            scale = U.diagonal(dim1=-2, dim2=-1).sqrt()
        else:
            factor, failed = torch.linalg.cholesky_ex(self._Caa[times])
            if spread is None and bool(failed.any()):
                raise InvalidArgument(
                    "`spread` must be given, the deviation of the first plans: the model has no action prior, and a "
                    "cost of actions that is not positive in every direction."
                )
            mean, scale = state.new_zeros(size), state.new_ones(steps, self.num_actions)
            if spread is None:
                mean = mean - torch.cholesky_solve(self._ca[times][..., None], factor)[..., 0]
                scale = (temperature * torch.cholesky_inverse(factor).diagonal(dim1=-2, dim2=-1)).sqrt()
        scale = deviations(spread, scale)
        return GaussianProposal(mean.expand(size), scale.expand(size), Box.without_bounds(self.num_actions))

    def like(self) -> Float[Tensor, " action"]:
        """Zeros of the shape of an action."""
        return torch.zeros(self.num_actions, dtype=torch.float64)

    def played(self, centre: Float[Tensor, "episode step action"]) -> Float[Tensor, "episode step action"]:
        """The plans themselves."""
        return centre

    def log_prior(self, t: int, state: Tensor, action: Tensor) -> Tensor:
        """log N(a; G s + g, U), in nats; 0 for Lebesgue measure."""
        if self._prior is None or self._factor is None:
            return torch.zeros(action.shape[:-1], dtype=action.dtype)
        G, g, _ = (each[t] for each in self._prior)
        factor, off = self._factor[t], action - g
        if self.prior_sees_state:
            off = off - state @ G.mT
        scaled = torch.linalg.solve_triangular(factor, off[..., None], upper=False)[..., 0]
        constant = factor.diagonal().log().sum() + 0.5 * self.num_actions * math.log(2 * math.pi)
        return -0.5 * scaled.square().sum(-1) - constant

    def move(self, t: int, state: Tensor, action: Tensor) -> Moved:
        """One step."""
        noise = torch.randn(state.shape, dtype=state.dtype) @ self._L[t].mT
        ahead = state @ self._A[t].mT + action @ self._B[t].mT + self._d[t] + noise
        of_action = (action @ (0.5 * self._Caa[t]) + self._ca[t]) * action
        of_state = (state @ (0.5 * self._Css[t]) + action @ self._Csa[t].mT + self._cs[t]) * state
        reward = -of_state.sum(-1) - of_action.sum(-1) - self._k[t]
        if self._final is not None and t == self.horizon - 1:
            reward = reward + self._final(ahead)
        return Moved(ahead, reward)

    def __repr__(self) -> str:
        """The sizes."""
        return f"LinearQuadraticWorld({shown((self.num_states, self.num_actions, self.horizon))})"
