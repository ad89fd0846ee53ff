r"""The sweeps of the plane: values backward and densities forward, both by convolutions with Gaussians.

With $V^+_t = r_t + V_t$ the worth of reaching a state at time t, and m = s + a the place to which the hand moves,

$$G_t(m) = L_\beta[V^+_{t+1}](m), \qquad V_t(s) = \tau \log \int N(m; s, U) \exp(G_t(m)/\tau)\, dm$$

$$\pi_t(m \mid s) = N(m; s, U)\, e^{(G_t(m) - V_t(s))/\tau}, \qquad
    q_t(s' \mid m) = N(s'; m, W)\, e^{\beta (V^+_{t+1}(s') - G_t(m))/\tau}$$

All integrals are sums over the nodes. The wind is conditioned on staying on the mesh; what the hand would put beyond
the edge is left out, so that V is a lower bound of itself up to the error of quadrature.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from .convolution import convolved, log_convolved, log_inside
from .mesh import Mesh
from .solution import Densities, Table, Values, minus


@final
@dataclass(frozen=True, eq=False)
class Plane:
    """The numbers of a problem in the plane that the sweeps need.

    Attributes:
        problem: the problem; only its `reward_at`, `final_reward_at` and `horizon` are used.
        temperature: τ.
        hand, wind: the variances of the action prior and of the noise along the axes of the mesh.
        log_start: the log-density of the start at the nodes, in z; None for a known start.
        start: z of the mean of the start.
    """

    problem: Any
    mesh: Mesh
    temperature: float
    hand: Float[Tensor, " 2"]
    wind: Float[Tensor, " 2"]
    start: Float[Tensor, " 2"]
    log_start: Float[Tensor, "x y"] | None

    def by_hand(self, values: Float[Tensor, "x y"]) -> Float[Tensor, "x y"]:
        """log ∫ N(·; m, U) exp(values), in nats."""
        return self._both(log_convolved, values, self.hand)

    def by_wind(self, values: Float[Tensor, "x y"]) -> Float[Tensor, "x y"]:
        """log ∫ N(·; s', W) exp(values), in nats."""
        return self._both(log_convolved, values, self.wind)

    def mean_by_wind(self, values: Float[Tensor, "x y"]) -> Float[Tensor, "x y"]:
        """∫ N(·; s', W) values within the mesh."""
        return self._both(convolved, values, self.wind)

    def inside(self) -> Float[Tensor, "x y"]:
        """The log-mass of the wind that stays on the mesh."""
        (nx, ny), (hx, hy), (wx, wy) = self.mesh.counts, self.mesh.spacing.tolist(), self.wind.tolist()
        return log_inside(nx, hx, wx, self.mesh.low)[:, None] + log_inside(ny, hy, wy, self.mesh.low)

    def _both(self, along: Any, values: Float[Tensor, "x y"], variance: Float[Tensor, " 2"]) -> Float[Tensor, "x y"]:
        (hx, hy), (vx, vy) = self.mesh.spacing.tolist(), variance.tolist()
        return along(along(values, hy, vy).T.contiguous(), hx, vx).T.contiguous()

    def from_start(self) -> Float[Tensor, "x y"]:
        """log N(m; s_0, U) at the nodes, for a known start."""
        x, y = ((self.mesh.nodes(k) - self.start[k]) ** 2 / (2 * self.hand[k]) for k in (0, 1))
        return -x[:, None] - y - 0.5 * (2 * torch.pi * self.hand).log().sum()

    def rewards(self, t: int) -> Float[Tensor, "x y"]:
        """The reward of reaching the nodes at time t, 1 … T, without the final reward."""
        return self.problem.reward_at(t, self.mesh.points())


def backward(plane: Plane, beta: float, beta_of_start: float) -> Values:
    """The values for an optimism of the dynamics and one of the start."""
    tau, horizon, inside = plane.temperature, plane.problem.horizon, plane.inside()
    v, worth, g = [plane.problem.final_reward_at(plane.mesh.points())], list[Table](), list[Table]()
    for t in reversed(range(horizon)):
        worth.insert(0, plane.rewards(t + 1) + v[0])
        if beta == 0:
            g.insert(0, plane.mean_by_wind(worth[0]))
        else:
            g.insert(0, tau / beta * (plane.by_wind(beta * worth[0] / tau) - inside))
        v.insert(0, tau * plane.by_hand(g[0] / tau))
    if plane.log_start is None:
        log_mass = plane.from_start() + g[0] / tau + plane.mesh.log_cell
        value = tau * float(torch.logsumexp(log_mass.flatten(), 0))
    else:
        start = plane.log_start + plane.mesh.log_cell
        start = start - torch.logsumexp(start.flatten(), 0)
        if beta_of_start == 0:
            value = float((start.exp() * v[0]).sum())
        else:
            value = tau / beta_of_start * float(torch.logsumexp((start + beta_of_start * v[0] / tau).flatten(), 0))
    return Values(torch.stack(v), torch.stack(worth), torch.stack(g), value)


def forward(plane: Plane, values: Values, beta: float, beta_of_start: float) -> Densities:
    """The densities under the policy of `values` and the dynamics of optimism β; 0 for the true dynamics.

    The start has the optimism `beta_of_start`, 0 for the true one.
    """
    tau, inside, states, places = plane.temperature, plane.inside(), list[Table](), list[Table]()
    state = None
    if plane.log_start is not None:
        state = plane.log_start + beta_of_start * values.v[0] / tau
        state = state - torch.logsumexp(state.flatten(), 0) - plane.mesh.log_cell
        states.append(state)
    for t in range(len(values.g)):
        g = values.g[t] / tau
        if state is None:
            place = plane.from_start() + g - values.value / tau
        else:
            place = g + plane.by_hand(minus(state, values.v[t] / tau))
        state = plane.by_wind(minus(place, beta * g) - inside)
        state = state if beta == 0 else beta * values.worth[t] / tau + state
        places.append(place)
        states.append(state)
    return Densities(torch.stack(states), torch.stack(places), plane.log_start is not None)
