"""The exact optimum of a problem on a mesh: values, marginals, returns and divergences, and a guide to sample from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.optimism import Optimism
from ....errors import InvalidArgument
from ....runtime.arguments import index, whole
from ....runtime.array_like import numbers
from ....runtime.randomness import seeded
from ....text.one_line import one_line
from ....text.wording import amount
from ....trajectories.gaussian.terms import TrajectoryTerms
from .account import Account
from .mesh import Mesh
from .solution import Densities, Values

_CHUNK = 512  # paths that are drawn together: small enough for the cache


class Paths(NamedTuple):
    """Independent trajectories of states and actions, one a row; on the line without the last axis."""

    states: Float[Tensor, "..."]
    actions: Float[Tensor, "..."]

    __repr__ = one_line


@runtime_checkable
class Steps(Protocol):
    """The distributions of a solution off the mesh, for batches of states and actions."""

    def initial(self) -> Any:
        """The believed start."""
        ...

    def policy(self, t: int, state: Tensor) -> Any:
        """π_t(a | s)."""
        ...

    def dynamics(self, t: int, state: Tensor, action: Tensor) -> Any:
        """The believed q_t(s' | s, a)."""
        ...

    def true_initial(self) -> Any:
        """p(s_0)."""
        ...

    def true_dynamics(self, state: Tensor, action: Tensor) -> Any:
        """p(s' | s, a)."""
        ...


@final
@dataclass(frozen=True)
class MeshError:
    """By how much the numbers change from a coarser mesh to this one: an estimate of their error, not a bound.

    The coarser mesh has 1.5 times the spacing and, unless a box was given, a wider box, so that the difference holds
    the error of quadrature and that of the edge. A cliff much steeper than both spacings deceives both.

    Attributes:
        objective: of the objective, in nats.
        imagined_return, true_return: of the returns, in reward units.
        edge_mass: the probability near the edge of the mesh, see `Account`.
    """

    objective: float
    imagined_return: float
    true_return: float
    edge_mass: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class GridPosterior:
    r"""The exact optimum of $J_β$ for a problem in the plane or on the line, up to the stated error of its mesh.

    Calling it runs its Pyro program, so it serves as a guide. Between nodes its densities are interpolated linearly,
    exactly normalised, which spreads each draw by h²/6 along an axis of spacing h: log-weights of the free guide,
    constant in theory, vary by this. `estimate_elbo(model, posterior)` measures it; a smaller `spacing` reduces it.

    Attributes:
        model: the model that was solved.
        optimism: β of start and dynamics.
        mesh: the nodes.
        v: the values $V_t$ at the nodes, in reward units, t = 0 … T; $V_T$ is the final reward, and $V_t$ does not hold
            the reward of reaching the state at t.
        objective: the optimum of $J_β$, in nats.
        account: returns and divergences by step.
        error: the stated error of the numbers.
        believed, true: the log-densities of states and of places at the nodes, under the believed and true dynamics,
            with respect to the coordinates of the mesh.
        values: the tables of the backward sweep.
        steps: the distributions off the mesh.
    """

    model: Any
    optimism: Optimism
    mesh: Mesh
    objective: float
    account: Account
    error: MeshError
    values: Values
    believed: Densities
    true: Densities
    steps: Steps

    @property
    def v(self) -> Float[Tensor, "time_and_last ..."]:
        """V_t at the nodes, in reward units."""
        return self.values.v

    @property
    def value(self) -> float:
        """The certainty equivalent of V_0 over the start, in reward units."""
        return self.values.value

    @property
    def horizon(self) -> int:
        """T, the number of actions."""
        return self.model.problem.horizon

    @property
    def is_free(self) -> bool:
        """Whether start and dynamics are free, so that this is the exact posterior; a known start counts as free."""
        known = self.model.problem.has_known_start
        optimism = self.optimism.at(self.model.temperature)
        return bool(optimism.dynamics == 1.0) and (known or bool(optimism.initial == 1.0))

    @property
    def log_evidence(self) -> float:
        """log p(O), in nats.

        Raises:
            InvalidArgument: unless start and dynamics are free.
        """
        if not self.is_free:
            raise InvalidArgument(
                f"`log_evidence` belongs to the exact posterior, in which every block is free, but here "
                f"{self.optimism}. Solve with optimism 1.0 for it; `objective` is what this posterior maximises."
            )
        return self.objective

    @property
    def imagined_return(self) -> float:
        """The expected return under the believed dynamics, in reward units."""
        return float(self.account.imagined_rewards.sum())

    @property
    def true_return(self) -> float:
        """The expected return of the policy under the true dynamics and the true start, in reward units."""
        return float(self.account.true_rewards.sum())

    @property
    def delusion(self) -> float:
        """Imagined − true return, in reward units."""
        return self.imagined_return - self.true_return

    @property
    def elbo(self) -> float:
        """The ELBO of the posterior as a guide: its imagined return over τ less its divergences, in nats."""
        each = self.account
        kl = float(each.policy_kl.sum() + each.dynamics_kl.sum()) + each.initial_kl
        return self.imagined_return / self.model.temperature - kl

    @property
    def clamped_elbo(self) -> float:
        """The ELBO of its policy with the true start and dynamics, in nats."""
        return self.true_return / self.model.temperature - float(self.account.true_policy_kl.sum())

    def terms(self) -> TrajectoryTerms:
        """Its expected rewards and divergences by step, for `evaluate` and others; no entropy is known."""
        each = self.account
        return TrajectoryTerms(
            imagined_reward=each.imagined_rewards,
            true_reward=each.true_rewards,
            policy_kl=each.policy_kl,
            dynamics_kl=each.dynamics_kl,
            initial_kl=each.policy_kl.new_tensor(each.initial_kl),
            policy_entropy=None,
        )

    def marginals(self) -> Densities:
        """The believed log-densities of states and places at the nodes."""
        return self.believed

    def initial(self) -> Any:
        """The believed start, a distribution of Pyro."""
        return self.steps.initial()

    def policy(self, t: int, state: Float[Tensor, "..."]) -> Any:
        """The policy π_t(a | s) in any state, a distribution of Pyro with `sample` and `log_prob`.

        Args:
            t: the step, 0 … T − 1.
            state: states, (…, 2) on the plane and (…) on the line.

        Raises:
            InvalidArgument: if an argument does not fit.
        """
        return self.steps.policy(index("t", t, self.horizon, "a step"), self._real("state", state))

    def dynamics(self, t: int, state: Float[Tensor, "..."], action: Float[Tensor, "..."]) -> Any:
        """The believed dynamics q_t(s' | s, a), a distribution of Pyro; the true one if they are clamped.

        Args:
            t: the step, 0 … T − 1.
            state, action: of the same shape, (…, 2) on the plane and (…) on the line.

        Raises:
            InvalidArgument: if an argument does not fit.
        """
        t = index("t", t, self.horizon, "a step")
        return self.steps.dynamics(t, self._real("state", state), self._real("action", action))

    def lookahead(self) -> Callable[[int, Tensor], Tensor]:
        """$V_t/τ$ of a batch of states, in nats, as a function of t and the states, for `smc`.

        It is interpolated between the nodes, and constant beyond the edge.
        """
        log_values = self.v / self.model.temperature

        def log_value(t: int, state: Tensor) -> Tensor:
            flat = state[..., None] if len(self.mesh.counts) == 1 else state
            return self.mesh.interpolated(log_values[t], self.mesh.coordinates(flat.to(self.mesh.low)))

        return log_value

    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> Paths:
        """Independent trajectories under the believed start and dynamics.

        Args:
            num_samples: the number of trajectories.
            seed: an integer, a generator, or None for torch's global generator.
        """
        return self._paths(num_samples, seed, is_true=False)

    def play(self, num_samples: int, seed: int | torch.Generator | None = None) -> Paths:
        """Independent trajectories of the policy in the true world; arguments as of `sample`."""
        return self._paths(num_samples, seed, is_true=True)

    def _paths(self, num_samples: int, seed: int | torch.Generator | None, is_true: bool) -> Paths:
        count = whole("num_samples", num_samples)
        sizes = [min(_CHUNK, count - done) for done in range(0, count, _CHUNK)]
        with seeded(seed):
            found = [self._chunk(size, is_true) for size in sizes]
        return Paths(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _chunk(self, count: int, is_true: bool) -> Paths:
        steps = self.steps
        start = steps.true_initial() if is_true else steps.initial()
        states, actions = [start.expand((count,)).sample()], list[Tensor]()
        for t in range(self.horizon):
            actions.append(steps.policy(t, states[-1]).sample())
            pair = states[-1], actions[-1]
            ahead = steps.true_dynamics(*pair) if is_true else steps.dynamics(t, *pair)
            states.append(ahead.sample())
        return Paths(torch.stack(states, 1), torch.stack(actions, 1))

    def __call__(self) -> None:
        """Sample one trajectory as a Pyro program, at the model's sites."""
        state = pyro.sample("state_0", self.steps.initial())
        for t in range(self.horizon):
            action = pyro.sample(f"action_{t}", self.steps.policy(t, state))
            state = pyro.sample(f"state_{t + 1}", self.steps.dynamics(t, state, action))

    def _real(self, name: str, value: Any) -> Tensor:
        found = numbers(name, value, InvalidArgument)
        axes = len(self.mesh.counts)
        if not bool(found.isfinite().all()) or (axes == 2 and (found.ndim == 0 or found.shape[-1] != 2)):
            shape = "(…, 2)" if axes == 2 else "(…)"
            raise InvalidArgument(f"`{name}` must be finite numbers of shape {shape}, but has {tuple(found.shape)}.")
        return found.to(self.mesh.low.dtype)

    def __repr__(self) -> str:
        """The model, the optimism, the mesh, and the objective with its stated error."""
        nodes = " × ".join(map(str, self.mesh.counts))
        return (
            f"GridPosterior({self.model!r}, {self.optimism}, {nodes} nodes, objective {self.objective:.6f} nats, "
            f"changed by {amount(self.error.objective)} from a coarser mesh)"
        )
