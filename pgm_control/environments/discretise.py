"""Discretisation of a continuous environment into cells: a tabular problem whose policies act in the environment."""

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
from ..problems.gymnasium_envs import changing_wrapper, made, time_limit
from ..problems.mdp import TabularMDP
from ..runtime.arguments import instance, one_of, shown, whole, whole_number
from ..runtime.array_like import real_array
from ..runtime.progress import Progress, require_progress, silent
from ..runtime.randomness import integer_of
from ..trajectories.blocks import HasBlocks
from ..trajectories.policy import TabularPolicy, own_seed, policy_in
from .bins import Chart, chart_of
from .cell_policy import CellPlayer
from .cells import Cells, cells_of
from .checked import Checked

Sampling = Literal["stratified", "random"]
_MOST = 100_000_000  # the largest number of steps of an environment


@final
@dataclass(frozen=True, eq=False, repr=False)
class Discretised:
    """The result of `discretise`.

    Attributes:
        mdp: the tabular problem; its states are the cells and, last, `ended`. With two coordinates it has a layout, the
            first to the right, the second upwards.
        cells: the grid of cells.
        chart: the map from observations to points of the grid.
        actions: each action in the form the environment takes.
        total_steps: the number of steps made in the environment.
    """

    mdp: TabularMDP
    cells: Cells
    chart: Chart
    actions: Num[np.ndarray, "action ..."]
    total_steps: int

    def state_of(self, observation: Any) -> int:
        """The index of the state of the problem to which an observation of the environment belongs."""
        return int(self.cells.index(self.chart.points(np.asarray(observation)[None]))[0])

    def player(
        self,
        policy: TabularPolicy | HasBlocks | Num[Tensor, "..."] | Num[np.ndarray, "..."],
        seed: int | torch.Generator | None = None,
    ) -> CellPlayer:
        """A policy of the problem as a policy for the environment: `rollout("CartPole-v1", found.player(policy))`.

        Args:
            policy: a guide, a posterior, a `TabularPolicy` or its table.
            seed: as in `TabularPolicy`.

        Raises:
            InvalidArgument: if `policy` is not a policy of this problem.
        """
        table = policy_in("policy", policy, seed)
        sizes = self.mdp.num_states, self.mdp.num_actions
        if (table.num_states, table.num_actions) != sizes:
            raise InvalidArgument(
                f"`policy` must have {sizes[0]} states and {sizes[1]} actions, but has {table.num_states} and "
                f"{table.num_actions}. Pass a policy computed for `discretised.mdp`."
            )
        return CellPlayer(table, self.cells, self.chart, self.actions)

    def __repr__(self) -> str:
        """The problem, the cells and the number of steps, without tables."""
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
    r"""Discretise an environment into cells, and estimate the transitions by stepping it from points in every cell.

    $$p(c' \mid c, a) = \tfrac1n \#\{i: x'_i \in c'\}, \qquad r(c, a, c') = \text{mean of } r_i \text{ over these},
        \qquad x_i \in c,\; i = 1 \dots n$$

    The points x_i are spread evenly over the cell c, so the tabular problem forgets the position within the cell. The
    randomness of its transitions comes from the discretisation, and a free guide is optimistic about it: in CartPole it
    keeps the pole up for a third of the time that a clamped one does. A terminated step leads to `ended`, as a separate
    outcome. A time limit becomes the horizon and does not count as termination.

        found = discretise("CartPole-v1", bins=(3, 6, 8, 8))
        best = value_iteration(TabularModel(found.mdp.replace(discount=0.99), temperature=0.0), optimism=0.0)
        print(rollout("CartPole-v1", found.player(best.policy)))

    Args:
        env: an id or an environment. A copy is made from its spec. Without a spec the environment itself is used, and
            needs a reset afterwards. It is stepped without its wrappers; wrappers that change the problem are refused.
        bins: the number of bins, for each coordinate or for all; or the edges of a coordinate, so that bins can be
            finer where it matters. Points outside belong to the outermost cells.
        actions: for a box of actions, the number along each of its axes, both ends included; or a list of actions. Not
            used if actions are discrete.
        num_samples: n, the number of samples for each cell and action.
        sampling: "stratified", a Latin hypercube in each cell: each coordinate is spread evenly over the cell; or
            "random", uniform and independent.
        num_resets: the number of resets from which the initial distribution is estimated.
        low, high: the bounds of the box of cells; default: those of the chart.
        chart: how to read and to set the state of an environment without a built-in chart; see `Chart`.
        horizon: T; default: the time limit of the environment.
        discount: γ, in (0, 1].
        seed: an integer, a generator, or None for torch's global generator. An integer seeds the environment and, in a
            separate stream, the points.
        progress: called after every cell with the number of steps made so far.

    Raises:
        UnsupportedEnvironment: if the state cannot be set, or spaces or wrappers are not supported.
        InvalidArgument: if an argument does not fit; the message names it.
        EnvironmentFailure: if the environment raises an error, or its answers are not those of Gymnasium's interface.
    """
    num_samples, num_resets = whole("num_samples", num_samples), whole("num_resets", num_resets)
    one_of("sampling", sampling, get_args(Sampling))
    require_progress(progress)
    if chart is not None:
        instance("chart", chart, Chart, "Leave it out for an environment with a built-in chart.")
    number = integer_of(seed)
    copy = _copy(env)
    try:
        bare: Any = copy.unwrapped
        _require_bare(copy)
        limit = time_limit(copy) if horizon is None else whole("horizon", horizon)
        if limit is None:
            raise InvalidArgument(
                "`horizon` must be given, because this environment has no time limit. Pass the number of actions."
            )
        Checked(bare).reset(seed=number)
        where = chart_of(copy, low, high) if chart is None else chart
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
        if copy is not env:
            copy.close()
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
    """The successor and the reward of every sampled step; the successor is `cells.count` where the step terminated."""

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
    """Put the environment into the state of every point, and take every action there."""
    count, samples, _ = points.shape
    shape = (count, len(actions), samples)
    successor, reward = np.empty(shape, np.int64), np.empty(shape)
    checked = Checked(bare, is_bounded=False)  # cells may lie outside the bounds
    fresh = dict(vars(bare))  # step counters and so on, as after a reset; the random stream continues
    for c in range(count):
        seen, over = [], np.empty((len(actions), samples), bool)
        for (a, action), i in itertools.product(enumerate(actions), range(samples)):
            vars(bare).update(fresh)
            chart.place(bare, points[c, i])
            try:
                observation, reward[c, a, i], over[a, i], _, _ = checked.step(action)
            except EnvironmentFailure as problem:
                raise EnvironmentFailure(
                    f"{problem} It was put into the cell {cells.cell_names()[c]!r}. Choose `low` and `high` where its "
                    "equations hold."
                ) from (problem.__cause__ or problem)
            seen.append(np.asarray(observation, np.float64))
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
    if sampling == "stratified":  # one point in each of n slices of each coordinate, in a random order
        slices = np.broadcast_to(np.arange(num_samples)[None, :, None], shape)
        share = (random.permuted(slices, axis=1) + share) / num_samples
    return low[:, None] + share * (high - low)[:, None]


def _starts(bare: Any, chart: Chart, cells: Cells, num_resets: int, seed: int) -> Float[np.ndarray, " state"]:
    checked = Checked(bare)
    observations = [checked.reset(seed=seed)[0], *(checked.reset()[0] for _ in range(num_resets - 1))]
    index = cells.index(chart.points(np.stack(observations)))
    return np.bincount(index, minlength=cells.count + 1) / num_resets


def _tables(found: _Samples, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frequency and mean reward of each successor of each (cell, action); the last state is absorbing."""
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
    """The layout of two coordinates, as in a phase portrait: the first runs to the right, the second upwards."""
    if len(cells.shape) != 2:
        return None
    return (*((cells.shape[1] - 1 - j, i) for i, j in np.ndindex(*cells.shape)), None)


def _actions(space: Any, wanted: Any, chart: Chart) -> tuple[Num[np.ndarray, "action ..."], tuple[str, ...] | None]:
    """The actions in the form the environment takes, and their names."""
    if isinstance(space, Discrete):
        return np.arange(space.start, space.start + space.n), chart.action_names
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise UnsupportedEnvironment(
            f"The action space must be Discrete or a Box of one axis, but is {space}. Wrap the environment in one."
        )
    count = whole_number(wanted)
    if count is not None:
        if count ** space.shape[0] > _MOST or count < 2 or not space.is_bounded():
            raise InvalidArgument(
                f"`actions` must be at least 2 along each axis of a finite box, but is {count} for {space}. Pass a "
                "list of actions instead."
            )
        axes = [np.linspace(a, b, count) for a, b in zip(space.low, space.high, strict=True)]
        found = np.array(list(itertools.product(*axes)))
    else:
        found = real_array("actions", wanted, InvalidArgument).astype(np.float64)
        found = found[:, None] if found.ndim == 1 and space.shape == (1,) else found
    found = found.astype(space.dtype)
    if found.ndim != 2 or not len(found) or not all(space.contains(each) for each in found):
        raise InvalidArgument(f"`actions` must be a number, or a list of actions in {space}, but is {shown(wanted)}.")
    names = [", ".join(f"{x:.4g}" for x in each) for each in found]
    return found, tuple(names) if len(set(names)) == len(names) else None


def _copy(env: str | gymnasium.Env) -> gymnasium.Env:
    if isinstance(env, str):
        return made(env)
    if not isinstance(env, gymnasium.Env):
        raise InvalidArgument(f"`env` must be an id or a Gymnasium environment, but is a {type(env).__name__}.")
    spec = env.spec
    if not isinstance(spec, EnvSpec) or any(wrapper.kwargs is None for wrapper in spec.additional_wrappers):
        return env
    return made(spec, max_episode_steps=time_limit(env), render_mode=None)


def _require_bare(env: gymnasium.Env) -> None:
    """Refuse wrappers that may change rewards, observations or actions."""
    wrapper = changing_wrapper(env)
    if wrapper is not None:
        raise UnsupportedEnvironment(
            f"{type(wrapper).__name__} around the environment may change rewards, observations or actions, and "
            "would be stepped past. Pass env.unwrapped and horizon=…, or an environment that does it itself."
        )
