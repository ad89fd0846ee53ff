"""Worlds of continuous problems, one step at a time: of a linear-quadratic problem, and of any Pyro program."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from ...errors import InvalidProblem
from ...problems.continuous.arrays import root
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...problems.continuous.support import box_of
from ...programs.roles import roles_of, temperature_of
from ...programs.run import Site, run_with, undisturbed
from ...runtime.arguments import shown
from ...runtime.randomness import seeded

Vector = Float[np.ndarray, " component"]

_RUNS = 8  # of a program, over which the bounds of its actions must be the same


class Moved(NamedTuple):
    """The state after a step, and its reward with the final one if the episode is over, in reward units."""

    state: Vector
    reward: float


@runtime_checkable
class World(Protocol):
    """What an environment needs of a problem. It keeps no state between episodes."""

    horizon: int
    num_states: int
    num_actions: int
    bounds: tuple[Vector, Vector]  # the lowest and the highest action

    def start(self, random: np.random.Generator) -> tuple[Any, Vector]:
        """The history of a new episode, and its first state."""
        ...

    def move(self, history: Any, action: Vector, random: np.random.Generator) -> tuple[Any, Moved]:
        """The history after an action, and the result."""
        ...


@final
class LinearQuadraticWorld:
    """The world of one linear-quadratic problem."""

    def __init__(self, problem: LinearQuadratic) -> None:
        """Take the matrices.

        Raises:
            InvalidProblem: for a batch of problems.
        """
        if problem.batch_shape:
            raise InvalidProblem(
                f"`mdp` must be one problem to act in, but is a batch {problem.batch_shape}. Choose one of them: "
                "problem[index]."
            )
        self.problem, self.horizon = problem, problem.horizon
        self.num_states, self.num_actions = problem.num_states, problem.num_actions
        self.bounds = np.full(self.num_actions, -np.inf), np.full(self.num_actions, np.inf)
        self._F, self._d, self._L = (each.detach().numpy() for each in (problem.F, problem.d, problem.noise_root))
        self._C, self._c, self._k = (each.detach().numpy() for each in (problem.C, problem.c, problem.k))
        self._end = tuple(each.detach().numpy() for each in (problem.final_P, problem.final_p, problem.final_v))
        self._mean, self._start = (
            problem.initial_mean.detach().numpy(),
            root(problem.initial_covariance.detach()).numpy(),
        )

    def start(self, random: np.random.Generator) -> tuple[Any, Vector]:
        """Time 0 and the first state, and the first state."""
        state = self._mean + self._start @ random.standard_normal(self.num_states)
        return (0, state), state

    def move(self, history: Any, action: Vector, random: np.random.Generator) -> tuple[Any, Moved]:
        """One step."""
        t, state = history
        z = np.concatenate((state, action))
        reward = -(0.5 * z @ self._C[t] @ z + self._c[t] @ z + self._k[t])
        after = self._F[t] @ z + self._d[t] + self._L[t] @ random.standard_normal(self.num_states)
        if t + 1 == self.horizon:
            P, p, v = self._end
            reward -= self.problem.discount * (0.5 * after @ P @ after + p @ after + v)
        return (t + 1, after), Moved(after, float(reward))


@final
class ProgramWorld:
    r"""The world of a Pyro program whose actions are vectors: chance is drawn by the program, actions are given.

    Actions have the bounds of their prior if these are the same at all times and in several runs, and none otherwise.
    The state is the last site of the role state before an action, and the reward τ times the log-factors of optimality
    between an action and the next. Each step runs the program from its start, with what has been drawn so far.
    """

    def __init__(self, program: Callable[[], Any]) -> None:
        """Run the program once, to find its sites.

        Raises:
            InvalidProblem: if it has no actions or no states, or these are not vectors of numbers.
        """
        self.program, self._roles, self._temperature = program, roles_of(program), temperature_of(program)
        with undisturbed(), seeded(0), torch.no_grad():
            sites = run_with(program, {})
        self._actions = [name for name, site in sites.items() if site.is_latent and "action" in self._roles(name)]
        states = [name for name, site in sites.items() if site.is_latent and "state" in self._roles(name)]
        if not self._actions or not states or list(sites).index(states[0]) > list(sites).index(self._actions[0]):
            raise InvalidProblem(
                f"`mdp` must draw a state before its first action to be an environment, but has the sites "
                f"{', '.join(list(sites)[:4])}, …: {shown(program)}. State their roles in its attribute `roles`."
            )
        self.horizon = len(self._actions)
        sizes = {name: self._size(name, sites[name]) for name in (*self._actions, *states)}
        for what, names in (("actions", self._actions), ("states", states)):
            if len({sizes[name] for name in names}) > 1:
                raise InvalidProblem(f"`mdp` must have {what} of one size, but has {[sizes[name] for name in names]}.")
        self.num_states, self.num_actions = sizes[states[0]], sizes[self._actions[0]]
        self._like = sites[self._actions[0]].value
        self.bounds = self._bounds()

    def start(self, random: np.random.Generator) -> tuple[Any, Vector]:
        """What has been drawn before the first action, and the first state."""
        known, moved = self._run({}, 0, random)
        return (0, known), moved.state

    def move(self, history: Any, action: Vector, random: np.random.Generator) -> tuple[Any, Moved]:
        """Draw what the program draws between this action and the next."""
        t, known = history
        value = torch.as_tensor(action, dtype=self._like.dtype).reshape(self._like.shape)
        known, moved = self._run({**known, self._actions[t]: value}, t + 1, random)
        return (t + 1, known), moved

    @torch.no_grad()
    def _run(self, known: dict[str, Any], t: int, random: np.random.Generator) -> tuple[dict[str, Any], Moved]:
        """Run up to action t, or to the end."""
        until = [self._actions[t]] if t < self.horizon else None
        with seeded(int(random.integers(2**31))):
            sites = run_with(self.program, known, until)
        reached = {name: site for name, site in sites.items() if until is None or name != until[0]}
        drawn = {name: site.value for name, site in reached.items() if site.is_latent}
        states = [name for name in drawn if "state" in self._roles(name)]
        last = self._actions[t - 1] if t > 0 else None
        new = list(reached)[list(reached).index(last) + 1 :] if last is not None else list(reached)
        logs = [reached[name].log_probability for name in new if "optimality" in self._roles(name)]
        reward = self._temperature * float(sum(logs)) if last is not None else 0.0
        return drawn, Moved(drawn[states[-1]].detach().double().reshape(-1).numpy(), reward)

    def _bounds(self) -> tuple[Vector, Vector]:
        """The bounds of the action prior, infinite where they depend on what was drawn or on the time."""
        with undisturbed(), seeded(1), torch.no_grad():
            runs = [run_with(self.program, {}) for _ in range(_RUNS)]
        size, priors = self.num_actions, [run[name].distribution for run in runs for name in self._actions]
        boxes = torch.stack([torch.stack(box_of(each, size)) for each in priors])
        low, high = boxes.amin(0)[0], boxes.amax(0)[1]
        varies = (boxes != boxes[0]).any(0)
        low, high = torch.where(varies[0], -torch.inf, low), torch.where(varies[1], torch.inf, high)
        return low.numpy(), high.numpy()

    def _size(self, name: str, site: Site) -> int:
        value = site.value
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.ndim > 1:
            raise InvalidProblem(
                f"`mdp` must have vectors of numbers at its states and actions, but `{name}` is {shown(value)}."
            )
        return value.numel()
