"""A continuous environment cut into cells: a tabular problem whose policies can play the real thing."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final, get_args

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float, Int, Num
from torch import Tensor

from ..errors import EnvironmentFailure, InvalidArgument, UnsupportedEnvironment
from ..problems.grid import Places
from ..problems.gymnasium_table import changing_wrapper, time_limit
from ..problems.mdp import TabularMDP
from ..runtime.arguments import one_of, whole
from ..runtime.progress import Progress, silent
from ..runtime.randomness import integer_of
from ..trajectories.blocks import HasBlocks
from ..trajectories.policy import TabularPolicy, own_seed
from .bins import Chart, chart_of
from .cell_policy import CellPlayer
from .cells import Cells, cells_of

Sampling = Literal["stratified", "random"]
_MOST = 100_000_000  # steps of an environment


@final
@dataclass(frozen=True, eq=False, repr=False)
class Discretised:
    """What `discretise` made of an environment.

    Attributes:
        mdp: the tabular problem; its states are the cells and, last, `ended`. Two coordinates make a layout, the first
            to the right, the second upwards.
        cells: the grid.
        chart: from observations to points of the grid.
        actions: what each action is to the environment.
        total_steps: how often the environment was stepped.
    """

    mdp: TabularMDP
    cells: Cells
    chart: Chart
    actions: Num[np.ndarray, "action ..."]
    total_steps: int

    def state_of(self, observation: Any) -> int:
        """The state of the problem that an observation of the environment belongs to."""
        return int(self.cells.index(self.chart.points(np.asarray(observation)[None]))[0])

    def player(
        self,
        policy: TabularPolicy | HasBlocks | Num[Tensor, "..."] | Num[np.ndarray, "..."],
        seed: int | torch.Generator | None = None,
    ) -> CellPlayer:
        """A policy of the problem as one of the environment: `rollout("CartPole-v1", found.player(policy))`.

        Args:
            policy: a guide, a posterior, a `TabularPolicy` or its table.
            seed: as in `TabularPolicy`.

        Raises:
            InvalidArgument: if it is no policy of this problem.
        """
        table = TabularPolicy.of(policy, seed)
        sizes = self.mdp.num_states, self.mdp.num_actions
        if (table.num_states, table.num_actions) != sizes:
            raise InvalidArgument(
                f"`policy` must have {sizes[0]} states and {sizes[1]} actions, but has {table.num_states} and "
                f"{table.num_actions}. Solve `discretised.mdp`."
            )
        return CellPlayer(table, self.cells, self.chart, self.actions)

    def __repr__(self) -> str:
        """Sizes, not tables."""
        return f"Discretised({self.mdp!r}, {self.cells!r}, {self.total_steps} steps)"


def discretise(
    env: str | gymnasium.Env,
    bins: int | Sequence[int | Sequence[float] | Float[np.ndarray, " _"]],
    *,
    actions: int | Num[np.ndarray, "action ..."] | Sequence[Any] = 5,
    num_samples: int = 16,
    sampling: Sampling = "stratified",
    num_resets: int = 1000,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    chart: Chart | None = None,
    horizon: int | None = None,
    discount: float = 1.0,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> Discretised:
    r"""Cut the state of an environment into cells, and learn its dice by putting it there and stepping it.

    $$p(c' \mid c, a) = \tfrac1n \#\{i: x'_i \in c'\}, \qquad r(c, a, c') = \text{mean of } r_i \text{ over these},
        \qquad x_i \in c,\; i = 1 \dots n$$

    The points x_i lie evenly in the cell c. So the world of the tabular problem forgets where in its cell it was: the
    dice are of our making, and what a free guide imagines is luck with them: in CartPole it holds the pole for a third
    of the time that a clamped one does. A terminated step leads to `ended`, in an
    outcome of its own; a time limit becomes the horizon, and is no termination.

        found = discretise("CartPole-v1", bins=(3, 6, 8, 8))
        best = value_iteration(TabularModel(found.mdp.replace(discount=0.99), temperature=0.0), optimism=0.0)
        print(rollout("CartPole-v1", found.player(best.policy)))

    Args:
        env: an id or an environment. A copy is made from its spec; without one it is used itself, and needs a reset
            afterwards. It is stepped bare, without wrappers; those that change the problem are refused.
        bins: how many along each coordinate, or for all of them; or the edges of a coordinate, so that bins can be
            finer where it matters. The outermost cells take what lies outside.
        actions: for a box of actions, how many along each of its axes, both ends included; or a list of actions. Not
            used where actions are discrete.
        num_samples: n, in each cell and for each action.
        sampling: "stratified", a Latin hypercube in each cell: each coordinate is spread evenly over the cell; or
            "random", uniform and independent.
        num_resets: how many resets the initial distribution is estimated by.
        low, high: of the box of cells, in place of the usual one.
        chart: how to read and to set the state of an environment that is not known; see `Chart`.
        horizon: T; the time limit of the environment unless given.
        discount: γ, in (0, 1].
        seed: an integer, a generator, or None for torch's global generator. An integer seeds the environment and, in a
            stream of its own, the points.
        progress: called after every cell with the number of steps made so far.

    Raises:
        UnsupportedEnvironment: if the state cannot be set, or spaces or wrappers are of another kind.
        InvalidArgument: naming the argument.
        EnvironmentFailure: if the environment gives what is nan or infinite.
    """
    _check(num_samples, num_resets, sampling)
    number = integer_of(seed)
    made = _copy(env)
    try:
        bare: Any = made.unwrapped
        _require_bare(made)
        limit = time_limit(made) if horizon is None else horizon
        if limit is None:
            raise InvalidArgument(
                "`horizon` must be given, because this environment has no time limit. Pass the number of actions."
            )
        bare.reset(seed=number)
        where = chart_of(made, low, high) if chart is None else chart
        choices, names = _actions(bare.action_space, actions, where)
        periodic = where.periodic or (False,) * len(where.names)
        cells = cells_of(bins, where.low, where.high, periodic, where.names)
        if cells.count * len(choices) * num_samples > _MOST:
            raise InvalidArgument(
                f"`bins` make {cells.count} cells, which need {cells.count * len(choices) * num_samples} steps. Take "
                "fewer bins along each coordinate, or a smaller `num_samples`."
            )
        start = _starts(bare, where, cells, num_resets, number)
        random = np.random.default_rng(own_seed(number))
        found = _sampled(bare, where, cells, choices, _points(cells, num_samples, sampling, random), progress)
    finally:
        if made is not env:
            made.close()
    probability, successor, reward = _tables(found, cells.count)
    mdp = TabularMDP(
        start,
        probability,
        successor,
        reward,
        limit,
        discount,
        state_names=(*cells.cell_names(), "ended"),
        action_names=names,
        layout=_layout(cells),
    )
    return Discretised(mdp, cells, where, choices, found.reward.size)


class _Samples(NamedTuple):
    """What came of every step; `cells.count` where it terminated."""

    successor: Int[np.ndarray, "cell action sample"]
    reward: Float[np.ndarray, "cell action sample"]


def _sampled(
    bare: Any,
    chart: Chart,
    cells: Cells,
    actions: Num[np.ndarray, "action ..."],
    points: Float[np.ndarray, "cell sample coordinate"],
    progress: Progress,
) -> _Samples:
    """Put the environment at every point, and do every action there."""
    count, samples, _ = points.shape
    shape = (count, len(actions), samples)
    successor, reward = np.empty(shape, np.int64), np.empty(shape)
    fresh = dict(vars(bare))  # counters of steps and the like, as after a reset; the random numbers go on
    for c in range(count):
        seen, over = [], np.empty((len(actions), samples), bool)
        for (a, action), i in itertools.product(enumerate(actions), range(samples)):
            vars(bare).update(fresh)
            chart.place(bare, points[c, i])
            observation, reward[c, a, i], over[a, i], _, _ = bare.step(action)
            seen.append(np.asarray(observation, np.float64))
        if not (np.isfinite(reward[c]).all() and np.isfinite(seen).all()):
            raise EnvironmentFailure(
                f"The environment must give finite rewards and observations, but does not from the cell "
                f"{cells.cell_names()[c]!r}. Choose `low` and `high` where its equations hold."
            )
        successor[c] = np.where(over, count, cells.index(chart.points(np.stack(seen))).reshape(over.shape))
        progress(c + 1, {"steps": float((c + 1) * over.size)})
    vars(bare).update(fresh)
    return _Samples(successor, reward)


def _points(
    cells: Cells, num_samples: int, sampling: Sampling, random: np.random.Generator
) -> Float[np.ndarray, "cell sample coordinate"]:
    low, high = cells.bounds()
    shape = (cells.count, num_samples, low.shape[1])
    share = random.random(shape)
    if sampling == "stratified":  # one point in each of n slices of each coordinate, in an order of its own
        slices = np.broadcast_to(np.arange(num_samples)[None, :, None], shape)
        share = (random.permuted(slices, axis=1) + share) / num_samples
    return low[:, None] + share * (high - low)[:, None]


def _starts(bare: Any, chart: Chart, cells: Cells, num_resets: int, seed: int) -> Float[np.ndarray, " state"]:
    observations = [bare.reset(seed=seed)[0], *(bare.reset()[0] for _ in range(num_resets - 1))]
    index = cells.index(chart.points(np.stack(observations)))
    return np.bincount(index, minlength=cells.count + 1) / num_resets


def _tables(found: _Samples, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares and mean rewards of each successor of each (cell, action); the last state stays where it is."""
    _, actions, samples = found.successor.shape
    row = np.repeat(np.arange(count * actions), samples)
    key, which, times = np.unique(row * (count + 1) + found.successor.ravel(), return_inverse=True, return_counts=True)
    paid = np.bincount(which, found.reward.ravel(), minlength=len(key)) / times
    at, target = np.divmod(key, count + 1)
    lengths = np.bincount(at, minlength=count * actions)
    place = np.arange(len(key)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    shape = ((count + 1) * actions, int(lengths.max()))
    probability, successor, reward = np.zeros(shape), np.full(shape, count), np.zeros(shape)
    probability[at, place], successor[at, place], reward[at, place] = times / samples, target, paid
    probability[count * actions :, 0] = 1.0
    full = (count + 1, actions, shape[1])
    return probability.reshape(full), successor.reshape(full), reward.reshape(full)


def _layout(cells: Cells) -> Places | None:
    """Of two coordinates, as in a phase portrait: the first runs to the right, the second upwards."""
    if len(cells.shape) != 2:
        return None
    return (*((cells.shape[1] - 1 - j, i) for i, j in np.ndindex(*cells.shape)), None)


def _actions(space: Any, wanted: Any, chart: Chart) -> tuple[Num[np.ndarray, "action ..."], tuple[str, ...] | None]:
    """The actions as the environment takes them, and their names."""
    if isinstance(space, Discrete):
        return np.arange(space.start, space.start + space.n), chart.action_names
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise UnsupportedEnvironment(
            f"The action space must be Discrete or a Box of one axis, but is {space}. Wrap the environment in one."
        )
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        if wanted < 2 or not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise InvalidArgument(
                f"`actions` must be at least 2 along each axis of a finite box, but is {wanted} for {space}. Pass a "
                "list of actions instead."
            )
        axes = [np.linspace(a, b, int(wanted)) for a, b in zip(space.low, space.high, strict=True)]
        found = np.array(list(itertools.product(*axes)))
    else:
        found = np.asarray(wanted, dtype=np.float64)
        found = found[:, None] if found.ndim == 1 and space.shape == (1,) else found
    found = found.astype(space.dtype)
    if found.ndim != 2 or not len(found) or not all(space.contains(each) for each in found):
        raise InvalidArgument(f"`actions` must be a number, or a list of actions in {space}, but is {wanted!r}.")
    names = [", ".join(f"{x:.4g}" for x in each) for each in found]
    return found, tuple(names) if len(set(names)) == len(names) else None


def _copy(env: str | gymnasium.Env) -> gymnasium.Env:
    if isinstance(env, str):
        return gymnasium.make(env)
    if not isinstance(env, gymnasium.Env):
        raise InvalidArgument(f"`env` must be an id or a Gymnasium environment, but is a {type(env).__name__}.")
    spec = env.spec
    if not isinstance(spec, EnvSpec) or any(wrapper.kwargs is None for wrapper in spec.additional_wrappers):
        return env
    return gymnasium.make(spec, max_episode_steps=time_limit(env), render_mode=None)


def _require_bare(env: gymnasium.Env) -> None:
    """Refuse wrappers that may change rewards, observations or actions."""
    wrapper = changing_wrapper(env)
    if wrapper is not None:
        raise UnsupportedEnvironment(
            f"{type(wrapper).__name__} around the environment may change rewards, observations or actions, and "
            "would be stepped past. Pass env.unwrapped and horizon=…, or an environment that does it itself."
        )


def _check(num_samples: Any, num_resets: Any, sampling: Any) -> None:
    whole("num_samples", num_samples)
    whole("num_resets", num_resets)
    one_of("sampling", sampling, get_args(Sampling))
