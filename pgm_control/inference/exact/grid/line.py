r"""The sweeps of the line, by quadrature over nodes of states and actions.

$$Q_t(s, a) = L_\beta[r_{t+1}(s') + V_{t+1}(s')], \qquad V_t(s) = \tau \log \int \rho(a) \exp(Q_t(s, a)/\tau)\, da$$

The law of the noise at each node of state and action is normalised on the nodes of the next state. Actions beyond the
edge of their mesh are left out.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ....problems.continuous.line import Line
from .account import Account
from .mesh import Mesh
from .solution import Densities, Table, Values, expected, minus

_ENTRIES = 1_000_000  # of (state, action, next state) that are computed at once
_HELD = 40_000_000  # the most of them that are kept
_LEAST = 1e-200  # of a sum of weights up to 1, below which it is computed again in the logarithm


@final
@dataclass(frozen=True, eq=False)
class LineTables:
    """The numbers of a problem on the line that the sweeps need.

    Attributes:
        problem: the problem.
        mesh, actions: the nodes of states and of actions.
        temperature: τ.
        action_prior: the variance of the prior over actions.
        log_start: the log-density of the start at the nodes; a known start is a node.
    """

    problem: Line
    mesh: Mesh
    actions: Mesh
    temperature: float
    action_prior: float
    log_start: Float[Tensor, " state"]

    @cached_property
    def log_prior(self) -> Float[Tensor, " action"]:
        """The log-mass of the cells of actions."""
        nodes = self.actions.nodes(0)
        prior = torch.distributions.Normal(nodes.new_zeros(()), self.action_prior**0.5)  # of two floats: float32
        return prior.log_prob(nodes) + self.actions.log_cell

    @cached_property
    def blocks(self) -> list[slice]:
        """The states, in pieces whose tables fit into memory."""
        (n,), (m,) = self.mesh.counts, self.actions.counts
        size = max(_ENTRIES // (n * m), 1)
        return [slice(first, min(first + size, n)) for first in range(0, n, size)]

    def noise(self, block: slice) -> Float[Tensor, "block action state"]:
        """The mass of each next state for a block of states."""
        return self._mass(block) if self._kept is None else self._kept[block]

    def log_noise(self, block: slice) -> Float[Tensor, "block action state"]:
        """The log-mass of each next state for a block of states."""
        return torch.log_softmax(self._log_density(block), -1)

    def _mass(self, block: slice) -> Float[Tensor, "block action state"]:
        return torch.softmax(self._log_density(block), -1)

    def _log_density(self, block: slice) -> Float[Tensor, "block action state"]:
        """That of the noise at each next state; there is one law for each state and action."""
        nodes = self.mesh.nodes(0)
        state = nodes[block, None, None].expand(-1, self.actions.counts[0], 1)
        action = self.actions.nodes(0)[:, None].expand_as(state)
        found = self.problem.noise_at(state, action).log_prob(nodes - state - action)
        found = found.expand(-1, -1, len(nodes))
        nowhere = found.amax(-1, keepdim=True) == -torch.inf
        if bool(nowhere.any()):  # a noise of bounded support that leaves the mesh: to the nearest node
            nearest = (nodes - state - action).abs().argmin(-1, keepdim=True)
            at = torch.full_like(found, -torch.inf).scatter(-1, nearest, 0.0)
            found = torch.where(nowhere, at, found)
        return found

    @cached_property
    def _kept(self) -> Float[Tensor, "state action state"] | None:
        (n,), (m,) = self.mesh.counts, self.actions.counts
        if n * m * n > _HELD:
            return None
        kept = torch.empty((n, m, n), dtype=torch.float64)
        for block in self.blocks:
            kept[block] = self._mass(block)
        return kept

    def certainty_equivalent(self, values: Float[Tensor, " state"], beta: float) -> Float[Tensor, "state action"]:
        """L_β of the values of the next state, in reward units."""
        scale = beta / self.temperature
        if beta == 0:
            forbidden = torch.isneginf(values)
            values = torch.where(forbidden, -1e300, values)  # 0 · −inf is nan
            return torch.cat([self.noise(block) @ values for block in self.blocks])
        top = (scale * values).max()
        weight, found = (scale * values - top).exp(), list[Tensor]()
        for block in self.blocks:
            total = self.noise(block) @ weight
            each = total.log() + top
            if bool((total < _LEAST).any()):  # of rows all of whose neighbours are far below the largest value
                exact = torch.logsumexp(self.log_noise(block) + scale * values, -1)
                each = torch.where(total < _LEAST, exact, each)
            found.append(each / scale)
        return torch.cat(found)

    def moved(self, log_weight: Float[Tensor, "state action"]) -> Float[Tensor, " state"]:
        """The log of the sum, over states and actions, of weights times the law of the next state."""
        top = log_weight.max()
        weight, total = (log_weight - top).exp(), torch.zeros(self.mesh.counts, dtype=log_weight.dtype)
        for block in self.blocks:
            total = total + torch.einsum("sa,saj->j", weight[block], self.noise(block))
        rare = total < _LEAST
        found = total.log() + top
        if bool(rare.any()):
            exact = torch.full((int(rare.sum()),), -torch.inf, dtype=log_weight.dtype)
            for block in self.blocks:
                joint = log_weight[block][..., None] + self.log_noise(block)[..., rare]
                exact = torch.logaddexp(exact, torch.logsumexp(joint.flatten(0, 1), 0))
            found[rare] = exact
        return found

    def rewards(self, t: int) -> Float[Tensor, " state"]:
        """The reward of reaching the nodes at time t, 1 … T, without the final reward."""
        return self.problem.reward_at(t, self.mesh.nodes(0))


def backward(tables: LineTables, beta: float, beta_of_start: float) -> Values:
    """The values for an optimism of the dynamics and one of the start."""
    tau, nodes = tables.temperature, tables.mesh.nodes(0)
    v, worth, q = [tables.problem.final_reward_at(nodes)], list[Table](), list[Table]()
    for t in reversed(range(tables.problem.horizon)):
        worth.insert(0, tables.rewards(t + 1) + v[0])
        q.insert(0, tables.certainty_equivalent(worth[0], beta))
        v.insert(0, tau * torch.logsumexp(tables.log_prior + q[0] / tau, -1))
    start = tables.log_start - torch.logsumexp(tables.log_start, -1)
    if tables.problem.has_known_start or beta_of_start == 0:
        value = float(torch.where(start > -torch.inf, start.exp() * v[0], 0.0).sum())
    else:
        scale = beta_of_start / tau
        value = float(torch.logsumexp(start + scale * v[0], -1)) / scale
    return Values(torch.stack(v), torch.stack(worth), torch.stack(q), value)


def forward(tables: LineTables, values: Values, beta: float, beta_of_start: float) -> Densities:
    """The densities under the policy of `values` and dynamics of optimism β; 0 for the true ones."""
    tau, cell, states, pairs = tables.temperature, tables.mesh.log_cell, list[Table](), list[Table]()
    state = tables.log_start
    if not tables.problem.has_known_start and beta_of_start != 0:
        state = state + beta_of_start * values.v[0] / tau
    states.append(state - torch.logsumexp(state, -1) - cell)
    for t in range(len(values.g)):
        q = values.g[t] / tau
        mass = minus(states[-1], values.v[t] / tau)[:, None] + tables.log_prior + q
        pairs.append(mass - tables.actions.log_cell)
        moved = tables.moved(minus(mass, beta * q))
        states.append(moved if beta == 0 else beta * values.worth[t] / tau + moved)
    return Densities(torch.stack(states), torch.stack(pairs), has_start=True)


def account_of(
    tables: LineTables, values: Values, believed: Densities, true: Densities, beta: float, beta_of_start: float
) -> Account:
    """The account of a solution on the line; see `Account`."""
    tau, cell = tables.temperature, tables.mesh.log_cell
    both, horizon = cell + tables.actions.log_cell, len(values.g)
    rewards = torch.stack([*(tables.rewards(t) for t in range(1, horizon + 1)), values.v[-1]])

    def earned(found: Densities) -> Float[Tensor, " time_and_last"]:
        return expected(torch.cat([found.states[1:], found.states[-1:]]) + cell, rewards)

    def from_prior(found: Densities) -> Float[Tensor, " time"]:
        before = expected(found.states[:-1] + cell, values.v[:-1])
        return (expected(found.places + both, values.g) - before) / tau

    dynamics = expected(believed.states[1:] + cell, values.worth) - expected(believed.places + both, values.g)
    initial = 0.0
    if not tables.problem.has_known_start and beta_of_start != 0:
        mean = float(expected(believed.states[:1] + cell, values.v[:1])[0])
        initial = beta_of_start / tau * (mean - values.value)
    reach = _deviation(tables)
    near, far = tables.mesh.edge(reach), tables.actions.edge(tables.actions.spacing * 4)
    masses: list[Tensor] = []
    for found in (believed, true):
        masses.append((found.states[1:, near] + cell).exp().sum(-1).max())
        masses.append((found.places[..., far] + both).exp().sum((-1, -2)).max())
    return Account(
        imagined_rewards=earned(believed),
        true_rewards=earned(true),
        policy_kl=from_prior(believed),
        true_policy_kl=from_prior(true),
        dynamics_kl=beta / tau * dynamics,
        initial_kl=initial,
        edge_mass=float(torch.stack(masses).max()),
    )


def _deviation(tables: LineTables) -> Float[Tensor, " 1"]:
    """One deviation of the action prior, which is the width of the edge."""
    return torch.full((1,), tables.action_prior**0.5, dtype=tables.mesh.low.dtype)
