"""The guide with a partial view of the state, and the policy with rows shared by several states and times.

Sources:
    [littman1994] M. L. Littman, Memoryless policies: theoretical limitations and practical results. From Animals to
        Animats 3, pages 238–245, 1994.
"""

from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgm_control.chance.log_tables import tilted
from pgm_control.errors import InvalidArgument, InvalidProblem
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.arguments import shown
from pgm_control.runtime.array_like import ArrayLike, real_array
from pgm_control.runtime.moving import moved_copy, moved_log_probability, place_of
from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior


@final
class ViewGuide(MarkovGuide):
    r"""Learn a policy that depends on a view of the state; keep the model's start distribution and dynamics.

    $$q = p(s_0) \prod_t \pi_t(a_t \mid \mathrm{view}(s_t))\, p(k_t \mid s_t, a_t)$$

    This is state aggregation, or partial observation without memory. With a view that distinguishes all states it is
    `ClampedGuide`, with a view that distinguishes none `OpenLoopGuide`. The ELBO is not concave, and a backward sweep
    does not find its optimum: the value of an action depends on how often each state with the same view is visited.

    Parameters: `policy_logits` (T, V, A) for V views, in nats relative to the geometric mean of the action priors.

    References:
        [littman1994]
    """

    def __init__(self, model: MarkovModel, view: ArrayLike) -> None:
        """Initialise at the geometric mean of the action priors of the states with the same view.

        Args:
            model: the model.
            view: one whole number from 0 for each state; states with the same number look the same.

        Raises:
            InvalidArgument: if `view` is not one whole number per state.
            InvalidProblem: if states with the same view have no possible action in common.
        """
        super().__init__(model)
        views = _checked(view, model.mdp)
        steps, count = model.mdp.horizon, int(views.max()) + 1
        row = views + count * torch.arange(steps, device=views.device)[:, None]
        self._shared = SharedPolicy(model, row, feasible_prior(model, optimism=0.0))
        self.policy_logits = torch.nn.Parameter(self._shared.log_weight.new_zeros(steps, count, model.mdp.num_actions))

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the learned policy."""
        return self.model.blocks().replace(log_policy=self._shared.policy(self.policy_logits.flatten(0, 1)))


@final
class SharedPolicy:
    """A policy in which several times and states share a row.

    An action that is impossible in one of them is removed from the row, so the guide never reaches what the model or a
    reward of −inf forbids. Only states that the guide can reach count: an unreachable state removes no action. If such
    a state cannot follow its row, it keeps the prior.

    Attributes:
        log_weight: the initial rows, normalised: the geometric mean of the priors of the states that share the row.
    """

    def __init__(self, model: MarkovModel, row: Int[Tensor, "time state"], feasible: Blocks) -> None:
        """Find the possible actions of every row.

        Args:
            model: the model.
            row: the row of each time and state.
            feasible: the model's factors without what is forbidden, with the start and the dynamics of the guide.

        Raises:
            InvalidProblem: if a row that is visited has no possible action.
        """
        possible = feasible.log_policy > -torch.inf
        blocked, visited = _blocked(model.mdp, row, feasible, possible)
        is_visited = torch.zeros_like(blocked[:, 0], dtype=torch.bool)
        is_visited[row[visited]] = True
        counts = visited | ~is_visited[row]  # in a row that is never visited, all states count
        blocked.index_add_(0, row[counts], (~possible[counts]).to(blocked.dtype))
        allowed = (blocked == 0) | (blocked > 0).all(-1, keepdim=True)  # the latter only in a row that is never visited
        log_prior = model.action_prior.log().expand(possible.shape)[counts]
        total = torch.zeros(allowed.shape, dtype=log_prior.dtype, device=row.device)
        total.index_add_(0, row[counts], torch.where(allowed[row[counts]] & possible[counts], log_prior, 0.0))
        number = torch.bincount(row[counts], minlength=len(total)).clamp(min=1)[:, None]
        self.log_weight = torch.log_softmax(torch.where(allowed, total / number, -torch.inf), -1)
        self._row = row
        self._follows = (possible | ~allowed[row]).all(-1, keepdim=True)
        self._all_follow = bool(self._follows.all())
        self._alone = feasible.log_policy

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "SharedPolicy":
        """Return a copy on another device or in another floating dtype."""
        place = place_of(self.log_weight, device, dtype)
        return moved_copy(self, place, log_weight=moved_log_probability(self.log_weight, place))

    def policy(self, logits: Float[Tensor, "row action"]) -> Float[Tensor, "time state action"]:
        """The rows tilted by these logits, in nats, at every time and state."""
        shared = tilted(logits, self.log_weight).index_select(0, self._row.flatten()).view_as(self._alone)
        return shared if self._all_follow else torch.where(self._follows, shared, self._alone)


def _blocked(
    mdp: TabularMDP, row: Int[Tensor, "time state"], feasible: Blocks, possible: Bool[Tensor, "time state action"]
) -> tuple[Int[Tensor, "row action"], Bool[Tensor, "time state"]]:
    """The number of visited times and states in which each action of a row is impossible, and the visited ones.

    The sweep goes forward in time, because actions that are removed early can make later states unreachable. It is
    repeated until no more actions are removed, because rows may be shared over time.
    """
    possible_outcomes = feasible.log_dynamics > -torch.inf
    blocked = torch.zeros(int(row.max()) + 1, mdp.num_actions, dtype=torch.int64, device=row.device)
    while True:
        before, here, visited = blocked > 0, feasible.log_initial > -torch.inf, []
        for t in range(mdp.horizon):
            visited.append(here)
            blocked.index_add_(0, row[t], (here[:, None] & ~possible[t]).to(blocked.dtype))
            taken = here[:, None] & (blocked == 0)[row[t]]
            if (lost := here & ~taken.any(-1)).any():
                raise InvalidProblem(_refusal(mdp, t, row, here & (row[t] == row[t, lost][0])))
            here = torch.zeros_like(here)
            here[mdp.successor[taken[..., None] & possible_outcomes[t]].long()] = True
        if torch.equal(before, blocked > 0):
            return blocked, torch.stack(visited)


def _refusal(mdp: TabularMDP, t: int, row: Tensor, alike: Tensor) -> str:
    states = alike.nonzero()[:, 0].tolist()
    some = ", ".join(repr(mdp.state_names[s]) if mdp.state_names else str(s) for s in states[:4])
    more = f" and {len(states) - 4} more" if len(states) > 4 else ""
    ties = "" if mdp.horizon == 1 or (row[0] != row[1]).any() else ", nor can it distinguish the times"
    return (
        f"`model` must leave this guide an action everywhere, but at time {t} none is possible in all of the states "
        f"{some}{more}, which it cannot distinguish{ties}: each is masked by the action prior or may lead to a reward "
        "of −inf in one of them, sooner or later. Use a guide that distinguishes them, or a large negative reward for "
        "−inf."
    )


def _checked(view: Any, mdp: TabularMDP) -> Int[Tensor, " state"]:
    views = torch.as_tensor(real_array("view", view, InvalidArgument), device=mdp.probability.device)
    whole = not views.is_floating_point() and views.dtype != torch.bool
    if not whole or views.shape != (mdp.num_states,) or bool((views < 0).any()):
        raise InvalidArgument(
            f"`view` must be {mdp.num_states} whole numbers, 0 or more, one per state, but is {shown(view)}. Give "
            "states that look the same the same number, such as torch.arange(S) // 2."
        )
    return views.long()
