"""The guide that sees only part of the state, and what it shares with others: one row of a policy for many states.

Sources:
    [littman1994] M. L. Littman, Memoryless policies: theoretical limitations and practical results. From Animals to
        Animats 3, pages 238–245, 1994.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgm_control.chance.log_tables import tilted
from pgm_control.errors import InvalidArgument, InvalidProblem
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.moving import moved_copy, moved_log_probability, place_of
from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior


@final
class ViewGuide(MarkovGuide):
    r"""Choose the actions by what is seen of the state; leave the start and the dynamics as they are.

    $$q = p(s_0) \prod_t \pi_t(a_t \mid \mathrm{view}(s_t))\, p(k_t \mid s_t, a_t)$$

    This is state aggregation, or partial observation without memory. With a view that tells all states apart it is
    `ClampedGuide`, with one that tells none apart `OpenLoopGuide`. Its ELBO is not concave, and has no exact optimum
    by a backward sweep: what a state is worth depends on how often the others that look like it are visited.

    Parameters: `policy_logits` (T, V, A) for V views, in nats relative to the geometric mean of the action priors.

    References:
        [littman1994]
    """

    def __init__(self, model: MarkovModel, view: Int[Tensor, " state"] | Sequence[int]) -> None:
        """Start at the action prior, or the geometric mean of those of the states that look alike.

        Args:
            model: the model.
            view: what is seen in each state: numbers from 0, the same where states look alike.

        Raises:
            InvalidArgument: if `view` is not one whole number a state.
            InvalidProblem: if states look alike that have no possible action in common.
        """
        super().__init__(model)
        views = _checked(view, model.mdp)
        steps, count = model.mdp.horizon, int(views.max()) + 1
        row = views + count * torch.arange(steps, device=views.device)[:, None]
        self._shared = SharedPolicy(model, row, feasible_prior(model, optimism=0.0))
        self.policy_logits = torch.nn.Parameter(self._shared.log_weight.new_zeros(steps, count, model.mdp.num_actions))

    def blocks(self) -> Blocks:
        """The model's start and dynamics, and the learned policy."""
        return self.model.blocks().replace(log_policy=self._shared.policy(self.policy_logits.flatten(0, 1)))


@final
class SharedPolicy:
    """A policy of which several times and states share a row, because they look alike.

    An action that is impossible in one of them is left out of the row, so that the guide never meets what the model or
    a reward of −inf forbids. Only visits count: a state that the guide cannot reach forbids nothing to those that look
    like it. Where such a state could not follow its row, it keeps the prior.

    Attributes:
        log_weight: where the rows start, normalised: the geometric mean of the priors of those that share the row.
    """

    def __init__(self, model: MarkovModel, row: Int[Tensor, "time state"], feasible: Blocks) -> None:
        """Find what is possible for every row.

        Args:
            model: the model.
            row: of each time and state.
            feasible: the model's factors without what is forbidden, with the start and the dice that the guide has.

        Raises:
            InvalidProblem: if a row that is met is left without an action.
        """
        possible = feasible.log_policy > -torch.inf
        blocked, visited = _blocked(model.mdp, row, feasible, possible)
        is_visited = torch.zeros_like(blocked[:, 0], dtype=torch.bool)
        is_visited[row[visited]] = True
        counts = visited | ~is_visited[row]  # a row that is never met is shared by all that look like it
        blocked.index_add_(0, row[counts], (~possible[counts]).to(blocked.dtype))
        allowed = (blocked == 0) | (blocked > 0).all(-1, keepdim=True)  # the latter only in a row that is never met
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
        """The same on another device or in another floating dtype."""
        place = place_of(self.log_weight, device, dtype)
        return moved_copy(self, place, log_weight=moved_log_probability(self.log_weight, place))

    def policy(self, logits: Float[Tensor, "row action"]) -> Float[Tensor, "time state action"]:
        """The rows tilted by these logits, in nats, at every time and state."""
        shared = tilted(logits, self.log_weight).index_select(0, self._row.flatten()).view_as(self._alone)
        return shared if self._all_follow else torch.where(self._follows, shared, self._alone)


def _blocked(
    mdp: TabularMDP, row: Int[Tensor, "time state"], feasible: Blocks, possible: Bool[Tensor, "time state action"]
) -> tuple[Int[Tensor, "row action"], Bool[Tensor, "time state"]]:
    """How often each action of a row is impossible where the guide comes, and where it comes.

    Forwards in time: what is left out early is met no more later. Rows that are shared over time may need it again,
    until nothing more is left out.
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
    ties = "" if mdp.horizon == 1 or (row[0] != row[1]).any() else ", nor the times apart"
    return (
        f"`model` must leave this guide an action everywhere, but at time {t} none is possible in all of the states "
        f"{some}{more}, which it cannot tell apart{ties}: each is masked by the action prior or may meet a reward of "
        "−inf in one of them, sooner or later. Use a guide that tells them apart, or a large negative reward for −inf."
    )


def _checked(view: Any, mdp: TabularMDP) -> Int[Tensor, " state"]:
    try:
        views = torch.as_tensor(view, device=mdp.probability.device)
    except (TypeError, ValueError, RuntimeError):
        views = torch.zeros(0)
    whole = not views.is_floating_point() and not views.is_complex() and views.dtype != torch.bool
    if not whole or views.shape != (mdp.num_states,) or bool((views < 0).any()):
        raise InvalidArgument(
            f"`view` must be {mdp.num_states} whole numbers, 0 or more, one a state, but is {view!r}. Give states that "
            "look alike the same number, such as torch.arange(S) // 2."
        )
    return views.long()
