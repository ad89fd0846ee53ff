"""A tabular problem as a Gymnasium environment."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any, final, overload

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..errors import InvalidArgument, InvalidProblem, UnsupportedEnvironment
from ..problems.continuous.linear_quadratic import LinearQuadratic
from ..problems.factored import FactoredMDP
from ..problems.grid import Cell, grid_of
from ..problems.gymnasium_envs import Maker
from ..problems.mdp import TabularMDP, last_reward
from ..runtime.arguments import flag, one_of
from ..text.wording import action_label, amount, state_label
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from ..trajectories.program import is_program
from .continuous.continuous_env import ContinuousEnv
from .continuous.worlds import LinearQuadraticWorld, ProgramWorld

Listing = dict[int, dict[int, list[tuple[float, int, float, bool]]]]

_MODES = ("ansi", "rgb_array")
_PIXELS, _CELL = 400, 40  # the approximate largest size of a picture, and of a cell
_IN_A_ROW = 8  # up to this many states without a layout are drawn in a row, more in a square
_WHITE, _PLAIN, _ENDED = (255, 255, 255), (225, 225, 225), (120, 120, 120)
_START, _HERE = (173, 216, 240), (230, 159, 0)


@overload
def to_gymnasium(
    mdp: LinearQuadratic | GaussianModel, observe_time: bool = False, render_mode: str | None = None
) -> ContinuousEnv: ...
@overload
def to_gymnasium(
    mdp: TabularMDP | FactoredMDP, observe_time: bool = False, render_mode: str | None = None
) -> "TabularEnv": ...
@overload
def to_gymnasium(
    mdp: Callable[[], Any], observe_time: bool = False, render_mode: str | None = None
) -> ContinuousEnv: ...
def to_gymnasium(
    mdp: TabularMDP | FactoredMDP | LinearQuadratic | GaussianModel | Callable[[], Any],
    observe_time: bool = False,
    render_mode: str | None = None,
) -> "TabularEnv | ContinuousEnv":
    """The Gymnasium environment of a problem, for any learner that uses Gymnasium.

    It has a spec, so that vectors of environments and `rollout` can make copies of it. That of a tabular problem has a
    table `P`, from which `TabularMDP.from_gymnasium` reads the problem back.

    A linear-quadratic problem, its model, or any Pyro program with roles whose states and actions are vectors becomes a
    `ContinuousEnv`. A program is run from its start in each step, with what has been drawn so far.

    Args:
        mdp: the problem; a linear-quadratic problem or model; or a Pyro program (see `log_weights` for its roles).
        observe_time: whether the observation contains the time; see `TabularEnv` and `ContinuousEnv`.
        render_mode: `ansi`, for a tabular problem also `rgb_array`, or None.

    Raises:
        InvalidProblem, InvalidArgument: as in `TabularEnv`; for a batch of linear-quadratic problems, or a program
            whose states or actions are not vectors.
    """
    problem = mdp.problem if is_gaussian(mdp) else mdp
    if isinstance(problem, LinearQuadratic):
        return ContinuousEnv(LinearQuadraticWorld(problem), observe_time, render_mode)
    program: Any = mdp
    if not isinstance(mdp, TabularMDP | FactoredMDP) and is_program(program):
        return ContinuousEnv(ProgramWorld(program), observe_time, render_mode)
    return TabularEnv(mdp, observe_time, render_mode)  # pyright: ignore[reportArgumentType]  it refuses others


@final
class TabularEnv(gymnasium.Env[Any, Any]):
    r"""A Gymnasium environment that samples the outcomes of a `TabularMDP` with `np_random`.

    $$k \sim p(k \mid s_t, a_t), \qquad s_{t+1} = s'(s_t, a_t, k), \qquad r_t = r(s_t, a_t, k)
        + [t = T - 1]\, \gamma\, r_T(s_{t+1})$$

    The final reward, if the problem has one, is paid with the last step. It belongs to time T, so it is multiplied by
    the discount once; the learner's own discounting of that step does the rest.

    | | `observe_time=False` | `observe_time=True` |
    |---|---|---|
    | observation | the state s, `Discrete(S)` | the index t S + s, `Discrete((T + 1) S)` |
    | after T steps | `truncated`: the observation does not contain the time | `terminated`: it does |
    | the stationary optimum | that of the infinite-horizon problem | that of `infer`, which depends on time |

    Entering an ended state is `terminated` in both cases, at the last step too. An ended state is one that no action
    leaves and that has no reward and no final reward, such as `ended` of `TabularMDP.from_gymnasium`.

    A discount γ < 1 is left to the learner, as its `gamma`: the environment does not end an episode by chance.

    `info["outcome"]` is the sampled outcome k (the joint outcome of a `FactoredMDP`), and `info["prob"]` its
    probability; after a reset, `info["prob"]` is that of the start. The time limit is `spec.max_episode_steps`.

    Attributes:
        mdp: the problem.
        observe_time: whether the observation contains the time.
        time: t, the number of steps made in the episode.
        state: s, an index into the states of `mdp`; None before the first reset.
        initial_state_distrib: the probability of each first observation.
    """

    metadata: dict[str, Any] = {"render_modes": list(_MODES), "render_fps": 4}  # noqa: RUF012  Gymnasium's own form

    def __init__(
        self, mdp: TabularMDP | FactoredMDP, observe_time: bool = False, render_mode: str | None = None
    ) -> None:
        """Prepare the tables. `render_mode` is `ansi`, a line of text; `rgb_array`, a picture; or None.

        Raises:
            InvalidProblem: if `mdp` is not such a problem, or forbids an outcome by a reward of −inf.
            InvalidArgument: if there is no such `render_mode`.
        """
        if isinstance(mdp, FactoredMDP):
            mdp = mdp.joint()
        if not isinstance(mdp, TabularMDP):
            raise InvalidProblem(
                f"`mdp` must be a TabularMDP or a FactoredMDP, but is a {type(mdp).__name__}. For several worlds or a "
                "hidden state pass the TabularMDP that describes them: `joint()`, or `mdp`."
            )
        _require_finite(mdp)
        if render_mode is not None:
            one_of("render_mode", render_mode, _MODES, remedy="None renders nothing.")
        self.mdp, self.observe_time, self.render_mode = mdp, flag("observe_time", observe_time), render_mode
        copies = mdp.horizon + 1 if self.observe_time else 1
        self.observation_space = Discrete(copies * mdp.num_states)
        self.action_space = Discrete(mdp.num_actions)
        self.initial_state_distrib = np.zeros(copies * mdp.num_states)
        self.initial_state_distrib[: mdp.num_states] = _numbers(mdp.initial)
        self._start = _cumulative(_numbers(mdp.initial))
        self._probability, self._thresholds = _numbers(mdp.probability), _cumulative(_numbers(mdp.probability))
        self._successor, self._reward = mdp.successor.cpu().numpy(), _numbers(mdp.reward)
        final = last_reward(mdp)
        self._final = mdp.discount * _numbers(final)
        stays = (self._successor == np.arange(mdp.num_states)[:, None, None]) & (self._reward == 0)
        ended = (stays | (self._probability == 0)).all((-1, -2)) & (self._final == 0)
        self._ended = ended if ended.ndim == 1 else ended.all(0)
        self.time, self.state, self._over, self._last = 0, None, True, None
        settings = {"observe_time": self.observe_time, "render_mode": render_mode}
        self._spec: EnvSpec | None = EnvSpec(
            "pgm_control/Tabular-v0",
            entry_point=Maker(TabularEnv, mdp, self.metadata),
            max_episode_steps=mdp.horizon,
            kwargs=settings,
        )

    def __repr__(self) -> str:
        """The problem, and whether the observation contains the time."""
        return f"TabularEnv({self.mdp!r}, observe_time={self.observe_time})"

    @property
    def spec(self) -> EnvSpec | None:
        """The spec that makes the environment again. `gymnasium.make` sets it; the time limit is filled in."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  as in Wrapper
        self._spec = copy.copy(spec)
        if self._spec is not None and self._spec.max_episode_steps is None:
            self._spec.max_episode_steps = self.mdp.horizon

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begin an episode; `seed` seeds the outcomes. Return the first observation, and its probability as `prob`."""
        super().reset(seed=seed)
        self.state = int(np.searchsorted(self._start, self.np_random.random(), side="right"))
        self.time, self._over, self._last = 0, False, None
        return self._observation(), {"prob": float(self.initial_state_distrib[self.state])}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Sample an outcome of the action in the present state.

        Returns:
            Observation, reward (reward units), terminated, truncated, and the outcome with its probability.

        Raises:
            InvalidArgument: if there is no such action.
            ResetNeeded: before the first reset and after the end of an episode.
        """
        if not self.action_space.contains(action):
            raise InvalidArgument(
                f"`action` must be a whole number from 0 to {self.mdp.num_actions - 1}, but is {action!r}. "
                "A learner for this environment needs discrete actions."
            )
        if self.state is None or self._over:
            raise ResetNeeded("There is no episode to step: it has not begun or is over. Call env.reset() first.")
        row = self.state, int(action)
        probability, thresholds, rewards = self._tables(self.time)
        k = int(np.searchsorted(thresholds[row], self.np_random.random(), side="right"))
        self.state, reward = int(self._successor[row][k]), float(rewards[row][k])
        self.time += 1
        time_is_up = self.time == self.mdp.horizon
        if time_is_up:
            reward += float(self._final[self.state])
        terminated = bool(self._ended[self.state]) or (time_is_up and self.observe_time)
        self._over, self._last = terminated or time_is_up, (row[1], reward)
        info = {"outcome": k, "prob": float(probability[row][k])}
        return self._observation(), reward, terminated, time_is_up and not terminated, info

    @functools.cached_property
    def P(self) -> Listing:  # noqa: N802  Gymnasium's name
        """The table in Gymnasium's form: `P[s][a]` lists (probability, next, reward, terminated) of possible outcomes.

        It contains neither the time limit nor the discount. With `observe_time` it has a row for every time and state,
        and includes the final reward in the last step.

        Raises:
            UnsupportedEnvironment: if there is a final reward and the observation does not contain the time.
        """
        timed = max(self._probability.ndim, self._reward.ndim) > 3
        if (self._final.any() or timed) and not self.observe_time:
            what = "tables that depend on time" if timed else "a final reward, which only the last step pays,"
            raise UnsupportedEnvironment(
                f"There is no table `P` of a problem with {what} whose observation does not hold the time. Make the "
                "environment with observe_time=True."
            )
        states, horizon = self.mdp.num_states, self.mdp.horizon
        if not self.observe_time:
            return {s: self._listed(s, 0, 0, np.zeros(states), self._ended) for s in range(states)}
        listing: Listing = {}
        for t in range(horizon):
            last = t == horizon - 1
            final, over = self._final * last, self._ended | last
            listing |= {t * states + s: self._listed(s, t, (t + 1) * states, final, over) for s in range(states)}
        for s in range(horizon * states, (horizon + 1) * states):  # no action is taken here
            listing[s] = {a: [(1.0, s, 0.0, True)] for a in range(self.mdp.num_actions)}
        return listing

    def _listed(
        self, state: int, t: int, offset: int, final: Float[np.ndarray, " state"], over: np.ndarray
    ) -> dict[int, list[tuple[float, int, float, bool]]]:
        probability, _, reward = self._tables(t)
        rows: dict[int, list[tuple[float, int, float, bool]]] = {}
        for a in range(self.mdp.num_actions):
            outcomes = zip(probability[state, a], self._successor[state, a], reward[state, a], strict=True)
            rows[a] = [(float(p), offset + int(n), float(r + final[n]), bool(over[n])) for p, n, r in outcomes if p > 0]
        return rows

    def _tables(self, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The probabilities, their cumulative sums, and the rewards of step t."""
        tables = self._probability, self._thresholds, self._reward
        probability, thresholds, reward = (each[t] if each.ndim > 3 else each for each in tables)
        return probability, thresholds, reward

    def _observation(self) -> int:
        assert self.state is not None
        return self.state + (self.time * self.mdp.num_states if self.observe_time else 0)

    def render(self) -> Any:
        """A line of text or a picture, according to `render_mode`.

        In the picture every state is a cell. States with a place in the problem's `layout` are drawn there, the others
        below them in their order. The present state is orange, possible starts are blue, and ended states dark grey.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("There is no render mode. Make it with render_mode='ansi' or 'rgb_array'.")
            return None
        if self.state is None:
            raise ResetNeeded("There is nothing to draw before the first episode. Call env.reset() first.")
        if self.render_mode == "rgb_array":
            return _picture(self.mdp, self.state, self._ended)
        line = f"t = {self.time} of {self.mdp.horizon}: {state_label(self.mdp, self.state)}"
        if self._last is not None:
            line += f" (last action: {action_label(self.mdp, self._last[0])}, last reward: {amount(self._last[1])})"
        return line + ("; the episode is over" if self._over else "")


def _require_finite(mdp: TabularMDP) -> None:
    """Refuse forbidden outcomes: a learner that averages a reward of −inf gets −inf for all time."""
    for name, table in (("reward", mdp.reward), ("final_reward", mdp.final_reward)):
        forbidden = torch.empty(0) if table is None else torch.isneginf(table).nonzero()
        if len(forbidden):
            index = forbidden[0].tolist()
            place = index[1:] if table is not None and table.ndim > 3 else index
            names = [f"state {mdp.state_name(place[0])!r}", *(f"action {mdp.action_name(a)!r}" for a in place[1:2])]
            raise InvalidProblem(
                f"`mdp.{name}{index}` ({', '.join(names)}) must be finite in a live environment, but is -inf: learners "
                "average rewards. Use a large negative reward, such as "
                f"mdp.replace({name}=mdp.{name}.nan_to_num(neginf=-1000.0)), or `infer`, which can forbid."
            )


def _numbers(table: Tensor) -> Float[np.ndarray, "..."]:
    return table.detach().to("cpu", torch.float64).numpy()


def _cumulative(probability: Float[np.ndarray, "*row outcome"]) -> Float[np.ndarray, "*row outcome"]:
    """P(outcome ≤ k), exactly 1 from the last possible outcome on, so that rounding never gives an impossible one."""
    after = np.flip(np.cumsum(np.flip(probability > 0, -1), -1), -1) - (probability > 0)  # possible outcomes after k
    return np.where(after == 0, 1.0, np.cumsum(probability, -1))


def _picture(mdp: TabularMDP, state: int, ended: np.ndarray) -> UInt8[np.ndarray, "height width rgb"]:
    place, rows, columns = _places(mdp)
    cells = np.full((rows, columns, 3), _WHITE, np.uint8)
    colors = np.full((mdp.num_states, 3), _PLAIN, np.uint8)
    colors[_numbers(mdp.initial) > 0] = _START
    colors[ended] = _ENDED
    colors[state] = _HERE
    cells[place[:, 0], place[:, 1]] = colors
    size = max(1, min(_CELL, _PIXELS // max(rows, columns)))
    pixels = cells.repeat(size, 0).repeat(size, 1)
    if size > 2:  # lines between the cells
        pixels[::size] = _WHITE
        pixels[:, ::size] = _WHITE
    return pixels


def _places(mdp: TabularMDP) -> tuple[Int[np.ndarray, "state 2"], int, int]:
    """The row and column of each state, and the numbers of rows and columns."""
    states = mdp.num_states
    if mdp.layout is None:
        cells: tuple[Cell | None, ...] = (None,) * states
        rows, columns = 0, states if states <= _IN_A_ROW else math.isqrt(states - 1) + 1
    else:
        cells = mdp.layout
        rows, columns, _ = grid_of(cells)
    others = iter(range(states))
    place = [divmod(rows * columns + next(others), columns) if cell is None else cell for cell in cells]
    return np.array(place), rows + -(-cells.count(None) // columns), columns
