r"""The filter of a linear-quadratic model at an optimism other than 0, coupled with its control.

The optimism holds for start, noise and observations alike. The policy maximises, and with β < 0 the world minimises,

$$W_t(\sigma) = \max_\pi E_\pi\Bigl[\tfrac1\beta \log \int e^{\beta W_{t+1}(\sigma_{t+1})}\,dy
    - \log\tfrac{\pi(a)}{\rho(a)}\Bigr]$$

over the information state $\sigma_t(s) = p(s_t = s, y_{0:t})\, E[e^{\beta \sum_{u<t} r_u/\tau} \mid s_t, y_{0:t}]$
[james1994]. For a policy without noise that is the certainty equivalent $\tfrac1\beta \log E\,e^{\beta R/\tau}$
[whittle1981]. With $N(\mu, \Sigma)$ for σ but for a factor, θ = β/τ, and P, p, K, κ, $H_{aa}$ of the observed problem,

$$\hat\Sigma = (\Sigma^{-1} + \theta P)^{-1}, \qquad \hat s = \mu - \theta \hat\Sigma (P\mu + p), \qquad
    \pi = N\bigl(-K\hat s - \kappa,\ \tau H_{aa}^{-1} + \beta K \hat\Sigma K'\bigr)$$

$$\tilde\Sigma = (\Sigma^{-1} + \theta C_{ss})^{-1}, \qquad
    \tilde\mu = \mu - \theta\tilde\Sigma(C_{ss}\mu + C_{sa}a + c_s)$$

after which μ̃ and Σ̃ are predicted and updated as by Kalman. With $J_\beta$ the optimum of the observed problem,

$$J = J_\beta + \tfrac12\Bigl(1 - \tfrac1\beta\Bigr) \sum_t \log\det(I + \theta H_{aa} K_t \hat\Sigma_t K_t').$$

With β = 1 nothing is lost: log p(O) does not depend on what is seen. With β < 0 it breaks down unless Σ⁻¹ + θP and
$\Sigma^{-1} + \theta C_{ss}$ are positive definite, which is the coupling condition on the spectral radius of ΣP
[glover1988], and the covariance of the policy too.

Sources:
    [glover1988] K. Glover and J. C. Doyle, State-space formulae for all stabilizing controllers that satisfy an H∞-norm
        bound and relations to risk sensitivity. Systems and Control Letters 11(3):167–172, 1988.
        doi:10.1016/0167-6911(88)90055-2
    [james1994] M. R. James, J. S. Baras and R. J. Elliott, Risk-sensitive control and dynamic games for partially
        observed discrete-time nonlinear systems. IEEE Transactions on Automatic Control 39(4):780–792, 1994.
        doi:10.1109/9.286253
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.gaussian import gaussian_equivalent
from ....errors import OptimismBreakdown
from ....problems.continuous.arrays import root
from ....problems.continuous.linear_quadratic import LinearQuadratic
from .posterior import GaussianPosterior


class CoupledFilter(NamedTuple):
    """The policy and its filter, by step.

    Attributes:
        gain, offset, policy_covariance: of the policy $N(-K μ - κ, Σ)$ given the estimate μ.
        filter_gain: the weight of the innovation.
        predicted_covariance, error_covariance: Σ before and after $y_t$.
        kept, given_action, shift: $μ̃ = kept\\, μ + given\\_action\\, a + shift$.
        loss: what the objective loses against that of the observed problem, in nats, by step.
    """

    gain: Float[Tensor, "time action state"]
    offset: Float[Tensor, "time action"]
    policy_covariance: Float[Tensor, "time action action"]
    filter_gain: Float[Tensor, "time state observation"]
    predicted_covariance: Float[Tensor, "time state state"]
    error_covariance: Float[Tensor, "time state state"]
    kept: Float[Tensor, "time state state"]
    given_action: Float[Tensor, "time state action"]
    shift: Float[Tensor, "time state"]
    loss: Float[Tensor, " time"]


def coupled_filter(
    problem: LinearQuadratic, found: GaussianPosterior, H: Tensor, V: Tensor, beta: float, tau: float
) -> CoupledFilter:
    """The filter for a β other than 0, from the optimum of the observed problem at it.

    Raises:
        OptimismBreakdown: naming the step and the condition that fails.

    References:
        [whittle1981], [james1994], [glover1988]
    """
    n, theta = problem.num_states, torch.tensor(beta / tau, dtype=torch.float64)
    ahead, eye, zero = problem.initial_covariance, torch.eye(n, dtype=torch.float64), torch.zeros((), dtype=theta.dtype)
    rows = list[tuple[Tensor, ...]]()
    for t in range(problem.horizon):
        innovation = H[t] @ ahead @ H[t].mT + V[t]
        weight = torch.linalg.lstsq(innovation, H[t] @ ahead, driver="gelsd").solution.mT
        rest = eye - weight @ H[t]
        error = rest @ ahead @ rest.mT + weight @ V[t] @ weight.mT
        P, p, L = found.value_hessian[t], found.value_gradient[t], root(error)
        C, c = problem.C[t], problem.c[t]
        future, past = (gaussian_equivalent(*each, zero, L, theta) for each in ((P, p), (C[:n, :n], c[:n])))
        if not bool(future.is_finite):
            raise _broken(beta, t, "the estimate and the value of what follows: θΣP has an eigenvalue of −1 or less")
        if not bool(past.is_finite):
            raise _broken(beta, t, "the estimate and the reward of the step: θΣC has an eigenvalue of −1 or less")
        S, K = future.covariance, found.gain[t]
        spread = K @ S @ K.mT
        factor = torch.linalg.cholesky(found.policy_covariance[t])
        half = torch.linalg.solve_triangular(factor, spread, upper=False)
        sizes = beta * torch.linalg.eigvalsh(torch.linalg.solve_triangular(factor, half.mT, upper=False))
        if bool((sizes <= -1.0).any()):
            raise _broken(beta, t, "the estimate and the policy: no action is best")
        rows.append((
            K @ (eye - theta * S @ P),
            found.offset[t] - theta * K @ S @ p,
            found.policy_covariance[t] + beta * spread,
            weight, ahead, error,
            eye - theta * past.covariance @ C[:n, :n],
            -theta * past.covariance @ C[:n, n:],
            -theta * past.covariance @ c[:n],
            0.5 * (1.0 / beta - 1.0) * torch.log1p(sizes).sum(),
        ))  # fmt: skip
        ahead = problem.A[t] @ past.covariance @ problem.A[t].mT + problem.W[t]
        ahead = 0.5 * (ahead + ahead.mT)
    return CoupledFilter(*(torch.stack(each) for each in zip(*rows, strict=True)))


def _broken(beta: float, t: int, what: str) -> OptimismBreakdown:
    return OptimismBreakdown(
        f"`optimism` {beta:g} is beyond the breakdown of output feedback, at step {t}, by {what}. Choose a β nearer to "
        "0, or observe with less noise.",
        beta, None, t,
    )  # fmt: skip


def true_moments(
    problem: LinearQuadratic, filter_: CoupledFilter, H: Tensor, V: Tensor
) -> tuple[Float[Tensor, "time_and_last joint"], Float[Tensor, "time_and_last joint joint"]]:
    """Mean and covariance of (s, a) by step, and of the last state with zeros, under the true dynamics."""
    n, m = problem.num_states, problem.num_actions
    eye, none = torch.eye(n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    mean = torch.cat((problem.initial_mean, problem.initial_mean))  # of (s, the prediction)
    spread = torch.block_diag(problem.initial_covariance, none)
    means, spreads = list[Tensor](), list[Tensor]()
    for t in range(problem.horizon):
        G, K, A, B = filter_.filter_gain[t], filter_.gain[t], problem.A[t], problem.B[t]
        estimate = torch.cat((G @ H[t], eye - G @ H[t]), 1)  # μ = estimate x + G v
        act = -K @ estimate
        z = torch.cat((torch.cat((eye, none), 1), act))
        unseen = torch.cat((torch.zeros(n, len(V[t])).to(G), -K @ G))  # of (s, a) by v
        chosen = torch.cat((torch.zeros(n, m).to(G), torch.eye(m).to(G)))
        means.append(z @ mean - torch.cat((torch.zeros(n).to(G), filter_.offset[t])))
        own = chosen @ filter_.policy_covariance[t] @ chosen.mT + unseen @ V[t] @ unseen.mT
        spreads.append(z @ spread @ z.mT + own)
        # x' as a function of (x, v, a − its mean given them, w)
        kept = A @ filter_.kept[t]
        by_action = torch.cat((B, B + A @ filter_.given_action[t]))
        moves = torch.cat((torch.cat((A, none), 1), kept @ estimate)) + by_action @ act
        by_v = torch.cat((torch.zeros(n, len(V[t])).to(G), kept @ G)) - by_action @ K @ G
        still = torch.cat((problem.d[t], A @ filter_.shift[t] + problem.d[t])) - by_action @ filter_.offset[t]
        noise = by_v @ V[t] @ by_v.mT + by_action @ filter_.policy_covariance[t] @ by_action.mT
        mean = moves @ mean + still
        spread = moves @ spread @ moves.mT + noise + torch.block_diag(problem.W[t], none)
    last = torch.nn.functional.pad(spread[:n, :n], (0, m, 0, m))
    return torch.stack([*means, torch.nn.functional.pad(mean[:n], (0, m))]), torch.stack([*spreads, last])
