"""The trajectory model of a linear-quadratic problem, as a Pyro program.

Sources:
    [haarnoja2018c] T. Haarnoja et al., Latent space policies for hierarchical reinforcement learning. International
        Conference on Machine Learning, Proceedings of Machine Learning Research 80, pages 1851–1860, 2018.
        arXiv:1804.02808
    [toussaint2009] M. Toussaint, Robot trajectory optimization using approximate inference. International Conference on
        Machine Learning, pages 1049–1056, 2009. doi:10.1145/1553374.1553508
    [watson2019] J. Watson, H. Abdulsamad and J. Peters, Stochastic optimal control as approximate input inference.
        Conference on Robot Learning, Proceedings of Machine Learning Research 100, pages 697–716, 2019.
        arXiv:1910.03003
"""

from typing import final

import numpy as np

from pgm_control.errors import InvalidArgument, InvalidProblem
from pgm_control.problems.continuous.linear_quadratic import LinearQuadratic
from pgm_control.runtime.arguments import flag, number, shown
from pgm_control.runtime.array_like import ArrayLike
from pgm_control.trajectories.gaussian.blocks import GaussianBlocks, HasGaussianBlocks
from pgm_control.trajectories.gaussian.model import GaussianPrior, timed_prior
from pgm_control.trajectories.gaussian.program import run_gaussian_model


@final
class LinearQuadraticModel:
    r"""A distribution over trajectories of vectors, with the likelihood $\exp(r/\tau)$ at every step.

    $$\tilde p = N(s_0; m_0, S_0) \prod_t \rho(a_t \mid s_t) \exp(r_t/\tau)\, N(s_{t+1}; As_t + Ba_t + d, W)$$

    `infer(model, optimism)` solves it exactly for any optimism: Bayesian smoothing at β = 1 [toussaint2009],
    [watson2019], the linear-quadratic regulator with Gaussian noise on its actions at β = 0, risk-sensitive control at
    β < 0, up to the optimism at which the objective is unbounded (`breakdown`). At temperature 0 its actions are not
    random: optimism 0 is then classical LQR or LQG, and a `Risk` risk-sensitive control.

    | site | values |
    |---|---|
    | `state_t` | a vector of n numbers |
    | `action_t` | a vector of m numbers |
    | `optimality_t` | log-factor r/τ, in nats |

        problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
        infer(LinearQuadraticModel(problem), 1.0).log_evidence  # 6.94504942

    Attributes:
        problem: the problem, or a batch of problems.
        temperature: τ, in reward units per nat.
        action_prior: the prior of the actions; None for Lebesgue measure.

    References:
        [toussaint2009], [watson2019], [haarnoja2018c]
    """

    def __init__(
        self,
        problem: LinearQuadratic,
        temperature: float | np.number = 1.0,
        action_prior: GaussianPrior | ArrayLike | None = None,
    ) -> None:
        """Define the model.

        Args:
            problem: the problem.
            temperature: τ, in reward units per nat. 0 is the regulator without noise on its actions, which `infer`
                takes with optimism 0 or a `Risk`.
            action_prior: a covariance U, for N(0, U), which may depend on time; a `GaussianPrior`, whose mean depends
                on the state; or None for Lebesgue measure, an improper prior with density 1, under which the KL of the
                policy is minus its entropy.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it and the remedy.
        """
        if not isinstance(problem, LinearQuadratic):
            raise InvalidProblem(f"`problem` must be a LinearQuadratic, but is {shown(problem)}.")
        tau = number(temperature)
        if not 0.0 <= tau < float("inf"):
            raise InvalidProblem(f"`temperature` must be a number of at least 0, but is {shown(temperature)}.")
        self.problem, self.temperature = problem, tau
        self.action_prior = GaussianPrior.of(action_prior, problem)
        timed_prior(self)

    def __call__(self) -> None:
        """Run the model as a Pyro program.

        Raises:
            InvalidProblem: for a batch of problems, at temperature 0, or where the action prior cannot be sampled.
        """
        run_gaussian_model(self)

    def with_prior(
        self, guide: HasGaussianBlocks, dynamics: bool = False, initial: bool = False
    ) -> "LinearQuadraticModel":
        r"""The model whose action prior is the policy of a posterior or a guide: the next layer of a hierarchy.

        Layers add [haarnoja2018c]: if the policy is the clamped optimum of the reward r₁, the clamped optimum of this
        model with the reward r₂ is that of r₁ + r₂, and the objectives add. Optima with free dynamics add only if the
        believed dynamics and start are handed up too. See `TabularModel.with_prior`.

        Args:
            guide: a posterior, or anything with affine-Gaussian `blocks()` for this problem.
            dynamics: whether its dynamics take the place of the true ones.
            initial: whether its start takes the place of the true one.

        Raises:
            InvalidArgument: if the guide does not fit.

        References:
            [haarnoja2018c]
        """
        dynamics, initial = flag("dynamics", dynamics), flag("initial", initial)
        blocks = guide.blocks() if isinstance(getattr(guide, "blocks", None), type(self.__call__)) else None
        problem, n = self.problem, self.problem.num_states
        if not isinstance(blocks, GaussianBlocks) or blocks.transition.shape != problem.F.shape:
            raise InvalidArgument(
                f"`guide` must have affine-Gaussian blocks for {problem!r}, such as infer(model, 0.0), but is "
                f"{shown(guide)}."
            )
        if dynamics:
            F = blocks.transition
            problem = problem.replace(A=F[..., :n], B=F[..., n:], d=blocks.drift, W=blocks.noise)
        if initial:
            problem = problem.replace(initial_mean=blocks.initial_mean, initial_covariance=blocks.initial_covariance)
        prior = GaussianPrior(-blocks.gain, -blocks.offset, blocks.policy_covariance)
        return LinearQuadraticModel(problem, self.temperature, prior)

    def __repr__(self) -> str:
        """The problem, the temperature and the action prior."""
        prior = "Lebesgue" if self.action_prior is None else "Gaussian"
        return f"LinearQuadraticModel({self.problem!r}, temperature {self.temperature:g}, action prior {prior})"
