"""A finite-horizon Markov decision process in outcome form.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..chance.factors import Factors
from ..errors import InvalidArgument, InvalidProblem
from ..runtime.arguments import shown
from ..runtime.array_like import ArrayLike
from ..runtime.moving import Place, moved_copy, moved_probability, place_of
from ..text.problem_page import problem_page
from . import checks
from .dense import outcomes_of_dense
from .gradients import detached, require_numbers
from .grid import Places
from .gymnasium_envs import made, time_limit
from .gymnasium_table import outcome_table
from .recorded.estimate import Unvisited, estimate_dynamics
from .timed import require_constant

_NUMBERS: dict[str, Callable[[str, object], int | float]] = {"horizon": checks.horizon, "discount": checks.discount}


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
class TabularMDP:
    r"""A finite Markov decision process whose rewards belong to outcomes.

    Taking action $a$ in state $s$ draws an outcome $k$ with probability $p(k \mid s, a)$. The outcome pays
    $r(s, a, k)$ and leads to the state $s'(s, a, k)$. Outcomes are kept separate even where they lead to the same
    state, because exact inference tilts each outcome by its own reward [levine2018].

    Attributes:
        initial: $p(s_0)$.
        probability: $p(k \mid s, a)$, or by time $p_t(k \mid s, a)$. Rows shorter than K are padded with probability 0.
        successor: $s'(s, a, k)$, indices into the states, int64 or int32. Padding may point anywhere in range.
        reward: $r(s, a, k)$, or by time $r_t(s, a, k)$, in reward units; −inf forbids the outcome. Stored as 0 where
            the probability is 0.
        horizon: T, the number of actions.
        discount: γ, the probability of surviving a step, in (0, 1].
        final_reward: reward of the last state $s_T$, in reward units; None for zero.
        state_names, action_names: for messages, tables and pictures.
        layout: the cell of each state on a grid, as (row, column) from the upper left; None for a state that is not on
            the grid, such as the end of an episode. Pictures use the layout. None if there is no grid.
        factors: the factors of an outcome, which are sampled one after the other, so that `Optimism` can name them;
            None for dynamics that are not factored. `FactoredMDP` makes it.
        initial_factors: the factors of the start. `Ensemble` makes it.
    """

    initial: Float[Tensor, " state"]
    probability: Float[Tensor, "*time state action outcome"]
    successor: Int[Tensor, "state action outcome"]
    reward: Float[Tensor, "*time state action outcome"]
    horizon: int
    discount: float = 1.0
    final_reward: Float[Tensor, " state"] | None = None
    state_names: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None
    layout: Places | None = None
    factors: Factors | None = None
    initial_factors: Factors | None = None

    def __init__(
        self,
        initial: ArrayLike,
        probability: ArrayLike,
        successor: ArrayLike,
        reward: ArrayLike,
        horizon: int,
        discount: float = 1.0,
        final_reward: ArrayLike | None = None,
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
        layout: Sequence[Sequence[int] | None] | None = None,
        factors: Mapping[str, int] | Factors | None = None,
        initial_factors: Mapping[str, int] | Factors | None = None,
    ) -> None:
        """Check and store the arrays.

        `probability` and `reward` have the shape (state, action, outcome), or (time, state, action, outcome) with T
        entries in time if they depend on it. A tensor of float32 or float64 keeps its dtype and device (those of
        `probability` decide); anything else becomes float64. Rows must sum to one, within 1e-8 in float64 and within
        the rounding of a narrower dtype; they are then rescaled to sum to one up to rounding. A tensor that requires
        gradients keeps its graph, and its rows as they are. The problem holds copies: after a step of an optimiser,
        make it again.

        Raises:
            InvalidProblem: if an argument is invalid; the message names it, the offending index and value, and the
                remedy.
        """
        kind = checks.kind(probability)
        p = checks.table("probability", probability, checks.BY_TIME, kind, keeps_graph=True)
        states, actions, outcomes = p.shape[-3:]
        names = checks.names("state_names", state_names, states), checks.names("action_names", action_names, actions)
        start = checks.table("initial", initial, 1, kind, keeps_graph=True)
        checks.shape("initial", start, (states,), "one probability a state")
        last = final_reward
        if last is not None:
            last = checks.table("final_reward", last, 1, kind, keeps_graph=True)
            checks.shape("final_reward", last, (states,), "one reward a state")
            checks.rewards("final_reward", last, names[:1])
        put = object.__setattr__  # the dataclass is frozen
        put(self, "initial", checks.normalised("initial", start, names[:1], given=initial))
        called = names if p.ndim == 3 else (None, *names)
        put(self, "probability", checks.normalised("probability", p, called, given=probability))
        put(self, "successor", checks.successors("successor", successor, p.shape[-3:], p.device, names))
        put(self, "reward", checks.outcome_rewards("reward", reward, p, kind, names))
        put(self, "horizon", checks.horizon("horizon", horizon))
        checks.last(self.horizon, probability=self.probability, reward=self.reward)
        put(self, "discount", checks.discount("discount", discount))
        put(self, "final_reward", last)
        put(self, "state_names", names[0])
        put(self, "action_names", names[1])
        put(self, "layout", checks.layout("layout", layout, names[0], states))
        put(self, "factors", Factors.of("factors", factors, outcomes))
        put(self, "initial_factors", Factors.of("initial_factors", initial_factors, states))

    @classmethod
    def from_dense(
        cls,
        initial: ArrayLike,
        transition: ArrayLike,
        reward: ArrayLike,
        horizon: int,
        discount: float = 1.0,
        final_reward: ArrayLike | None = None,
        state_names: Sequence[str] | None = None,
        action_names: Sequence[str] | None = None,
        layout: Sequence[Sequence[int] | None] | None = None,
    ) -> "TabularMDP":
        """Make an MDP from a dense transition matrix: every successor of positive probability is one outcome.

        Args:
            initial: p(s_0), shape (state,).
            transition: p(s'|s, a), shape (state, action, next_state).
            reward: r(s, a), shape (state, action), or r(s, a, s'), shape (state, action, next_state), in reward units.
            horizon, discount, final_reward, state_names, action_names, layout: as in `TabularMDP`.

        Raises:
            InvalidProblem: as `TabularMDP`; the message names `transition` or `reward`.
        """
        outcomes = outcomes_of_dense(transition, reward, state_names, action_names)
        return cls(initial, *outcomes, horizon, discount, final_reward, state_names, action_names, layout)

    @classmethod
    def from_gymnasium(
        cls, env: str | gymnasium.Env, horizon: int | None = None, discount: float = 1.0
    ) -> "TabularMDP":
        """Read the transition table `env.unwrapped.P` of a Gymnasium environment.

        Outcomes stay as listed; duplicates are not merged. A terminated outcome leads to one absorbing state with zero
        reward, added last; the rows of Gymnasium's own terminal states need not be absorbing, and may be missing. An
        action that a state does not list has reward −inf there, which forbids it. A time limit is not in the table: it
        becomes the horizon. Grids have a layout. That of Taxi is 20 maps: a row for each of five places of the
        passenger, and in each row a map for each of four destinations.

        Args:
            env: an environment with a table, such as FrozenLake-v1, CliffWalking-v1 or Taxi-v4, or its id.
            horizon: number of actions; default: the time limit of the environment (`env.spec.max_episode_steps`).
            discount: γ, in (0, 1].

        Raises:
            UnsupportedEnvironment: if there is no table, it has another form, or the environment or a wrapper deviates
                from the table.
            InvalidProblem: if `horizon` is needed and missing.
            InvalidArgument: if `env` is neither an environment nor the id of one.
        """
        if isinstance(env, str):
            env = made(env)
        if not isinstance(env, gymnasium.Env):
            raise InvalidArgument(f"`env` must be a Gymnasium environment or the id of one, but is {shown(env)}.")
        table = outcome_table(env)
        horizon = time_limit(env) if horizon is None else horizon
        if horizon is None:
            raise InvalidProblem(
                "`horizon` must be given, because this environment has no time limit (env.spec.max_episode_steps is "
                "None). Pass horizon=…, the number of actions in an episode."
            )
        tables = table.initial, table.probability, table.successor, table.reward
        return cls(*tables, horizon, discount, None, table.state_names, table.action_names, table.layout)

    @classmethod
    def from_transitions(
        cls,
        data: Any,
        pseudocount: float | ArrayLike = 0.0,
        *,
        horizon: int | None = None,
        discount: float = 1.0,
        initial: ArrayLike | None = None,
        num_states: int | None = None,
        num_actions: int | None = None,
        unvisited: Unvisited = "refuse",
        unseen_reward: float | ArrayLike | None = None,
    ) -> "TabularMDP":
        r"""Estimate an MDP from transitions: the mean of the Dirichlet posterior over the next state.

        $$p(s' \mid s, a) = \frac{n(s, a, s') + \alpha(s, a, s')}{\sum_{s''} n(s, a, s'') + \alpha(s, a, s'')}$$

        with the counts n and the pseudocounts α. The reward of a transition is the mean of its recorded rewards. If
        these differ by chance, free inference with the true problem tilts each, and gives another answer. Terminated
        transitions lead to the last state, which is absorbing and pays 0; those recorded with different next states
        remain separate outcomes. Any other state that was never entered has no dynamics; its actions stay, and pay 0.

            episodes = inverse_rl.record("FrozenLake-v1", np.full((16, 4), 0.25), 1000, seed=0)
            TabularMDP.from_transitions(episodes, horizon=100)

        Args:
            data: vectors (state, action, next_state, reward) or (…, reward, terminated) in a tuple, or episodes of
                `inverse_rl.record` or in imitation's layout. A time limit is no termination.
            pseudocount: α, a number or a table that broadcasts against (state, action, next_state).
            horizon: number of actions; default: that of the longest episode.
            discount: γ, in (0, 1].
            initial: p(s_0); default: how often episodes begin in each state.
            num_states, num_actions: S and A; default: as many as the data show. S counts the state of ended episodes.
            unvisited: what becomes of an action that was never taken in a state that is entered and has no pseudocount:
                "refuse" raises an error that names it; "forbid" gives it the reward −inf, and
                `exchange.feasible_prior` then makes the action prior that never takes it.
            unseen_reward: the reward of transitions that only a pseudocount makes possible, like `pseudocount`.

        Raises:
            InvalidArgument: if the data or their sizes are invalid; the message names the entry.
            InvalidProblem: if the data do not determine a part of the problem, which the message names.
        """
        sizes = horizon, num_states, num_actions
        found = estimate_dynamics(data, pseudocount, sizes, initial, unvisited, unseen_reward)
        return cls(found.initial, found.mean(), found.successor, found.reward, found.horizon, discount)

    @property
    def num_states(self) -> int:
        """The number of states, S."""
        return self.probability.shape[-3]

    @property
    def num_actions(self) -> int:
        """The number of actions, A."""
        return self.probability.shape[-2]

    @property
    def num_outcomes(self) -> int:
        """The largest number of outcomes of any (state, action), K."""
        return self.probability.shape[-1]

    @property
    def is_deterministic(self) -> bool:
        """True if nothing is random: one possible outcome everywhere, one possible start, no discount."""
        one_outcome = bool(((self.probability > 0).sum(-1) == 1).all())
        return one_outcome and int((self.initial > 0).sum()) == 1 and self.discount == 1.0

    def state_name(self, state: int) -> str:
        """The name of a state, or its index."""
        return self.state_names[state] if self.state_names else str(state)

    def action_name(self, action: int) -> str:
        """The name of an action, or its index."""
        return self.action_names[action] if self.action_names else str(action)

    def replace(self, **changes: object) -> "TabularMDP":
        """The problem with some arguments changed and checked: `mdp.replace(discount=0.9)`.

        If only the horizon and the discount change, the tables are shared with the original; otherwise they are copied.
        """
        if not changes.keys() <= _NUMBERS.keys():
            return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]
        changed = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(changed, name, _NUMBERS[name](name, value))
        checks.last(changed.horizon, probability=self.probability, reward=self.reward)
        return changed

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "TabularMDP":
        """The problem on another device or in another floating dtype; itself if nothing changes.

        Integer tables keep their dtype. In float32, probabilities and rewards are rounded to about 7 digits; possible
        outcomes stay possible.

        Args:
            device: a torch device; default: unchanged.
            dtype: torch.float64 or torch.float32; default: unchanged.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            InvalidProblem: if a reward exceeds the range of the dtype.
        """
        place = place_of(self.probability, device, dtype)
        if place == Place.of(self.probability):
            return self
        initial, probability = (moved_probability(each, place) for each in (self.initial, self.probability))
        found = moved_copy(self, place, initial=initial, probability=probability)
        for name in ("reward", "final_reward"):
            checks.same_infinities(name, getattr(self, name), getattr(found, name))
        return found

    def detach(self) -> "TabularMDP":
        """The problem with the same numbers and without the graphs of tables that require gradients."""
        return detached(self)

    def __repr__(self) -> str:
        """The sizes, without the tables."""
        return (
            f"TabularMDP({self.num_states} states, {self.num_actions} actions, at most {self.num_outcomes} outcomes, "
            f"horizon {self.horizon}, discount {self.discount:g}, {str(self.probability.dtype).removeprefix('torch.')})"
        )

    def _repr_html_(self) -> str:
        """The sizes and the outcomes of the first states, as HTML for a notebook."""
        return problem_page(self)


def last_reward(mdp: TabularMDP) -> Float[Tensor, " state"]:
    """The reward of the last state, 0 where the problem has none."""
    return torch.zeros_like(mdp.initial) if mdp.final_reward is None else mdp.final_reward


def require_mdp(name: str, value: Any, timed: bool = False, graph: bool = False) -> TabularMDP:
    """Require a `TabularMDP`.

    Unless `timed` its tables must not depend on time, and unless `graph` they must not require gradients.

    Raises:
        InvalidProblem: if it is anything else, with the remedy.
    """
    if isinstance(value, TabularMDP):
        if not timed:
            require_constant(name, value)
        if not graph:
            require_numbers(name, value, None, InvalidProblem)
        return value
    remedy = "Make one from arrays, TabularMDP.from_dense(…) or TabularMDP.from_gymnasium(env)."
    for attribute in ("mdp", "joint"):
        if not isinstance(value, type) and hasattr(value, attribute):
            remedy = f"Pass its {attribute}{'()' if attribute == 'joint' else ''}."
            break
    raise InvalidProblem(f"`{name}` must be a TabularMDP, but is {shown(value)}. {remedy}")
