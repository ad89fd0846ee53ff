"""Empowerment: how much of the last state an agent can decide by a plan, exactly.

Sources:
    [arimoto1972] S. Arimoto, An algorithm for computing the capacity of arbitrary discrete memoryless channels. IEEE
        Transactions on Information Theory 18(1):14–20, 1972. doi:10.1109/TIT.1972.1054753
    [blahut1972] R. E. Blahut, Computation of channel capacity and rate-distortion functions. IEEE Transactions on
        Information Theory 18(4):460–473, 1972. doi:10.1109/TIT.1972.1054855
    [klyubin2005] A. S. Klyubin, D. Polani and C. L. Nehaniv, Empowerment: a universal agent-centric measure of control.
        IEEE Congress on Evolutionary Computation, pages 128–135, 2005. doi:10.1109/CEC.2005.1554676
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.dense import dense_of_outcomes
from ..problems.feasible import feasible_actions
from ..problems.mdp import TabularMDP, require_mdp
from ..problems.timed import at_time
from ..runtime.arguments import index, listed, positive, whole, whole_or_none
from ..runtime.loop import Loop
from ..runtime.memory import require_room
from ..runtime.progress import Progress, silent
from ..runtime.status import Status
from ..trajectories.blocks import MarkovModel, require_model
from .channel import capacity


class EmpowermentStatus(Status):
    """How the computation of empowerment ended."""

    converged = "The gaps of all states are at most the tolerance."
    out_of_steps = "`max_steps` was reached in some state before its gap fell to the tolerance; see `gap`."
    interrupted = "Interrupted by Ctrl-C; the states that were not reached have nan."


@final
@dataclass(frozen=True, eq=False, repr=False)
class Empowerment:
    r"""The result of `empowerment`.

    Attributes:
        states: the states that an agent starts from, by index.
        value: a lower bound of the empowerment of each, in nats, within `gap`.
        gap: the empowerment is at most `value + gap`, in nats, but for rounding.
        plans: for each of these states the plans that are used, (plan, time), of those with equal consequences one.
        probability: for each state the distribution over its plans that has this value.
        horizon: n, the number of actions of a plan.
        status: how the computation ended; `status.message` explains it.
    """

    states: Int[Tensor, " state"]
    value: Float[Tensor, " state"]
    gap: Float[Tensor, " state"]
    plans: tuple[Int[Tensor, "_ time"], ...]
    probability: tuple[Float[Tensor, " _"], ...]
    horizon: int
    status: EmpowermentStatus

    def __repr__(self) -> str:
        """A line with the range of the values, the largest gap and the message."""
        low, high = float(self.value.min()), float(self.value.max())
        values = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
        steps = f"{self.horizon} action{'s' * (self.horizon != 1)}"
        return f"Empowerment({values} nats with {steps}, gap {float(self.gap.max()):.2g}. {self.status.message})"


def empowerment(
    model: MarkovModel | TabularMDP,
    horizon: int | None = None,
    states: Sequence[int] | None = None,
    *,
    tolerance: float = 1e-6,
    max_steps: int = 100_000,
    max_plans: int = 1_000_000,
    progress: Progress = silent,
) -> Empowerment:
    r"""The empowerment of states: the capacity of the channel from plans to the state that they lead to, in nats.

    $$E_n(s) = \max_{p(a_0 \dots a_{n-1})} I(a_0 \dots a_{n-1};\, s_n \mid s_0 = s)$$

    A plan does not see what happens on its way [klyubin2005]. All plans are enumerated, those with equal consequences
    once, and the maximum is found by the iteration of Blahut and Arimoto [blahut1972], [arimoto1972], whose gap bounds
    the error. Skills that see the state, as those of `skills`, may carry more. $e^{E}$ is the number of outcomes that
    the agent can choose between without fail, if it were a whole number.

    A plan that may meet a state in which one of its actions is forbidden, by a prior of 0 or rewards of −inf, is left
    out; where rewards of −inf forbid all actions of a state, they count as allowed. With a discount, the end of the
    episode is one more outcome.

    Args:
        model: a tabular model, or its problem. Rewards and temperature do not matter.
        horizon: n, the number of actions; default: the horizon of the problem.
        states: the states to start from, by index; default: all.
        tolerance: the gap at which to stop, in nats.
        max_steps: the maximum number of steps of the iteration in a state.
        max_plans: the number of plans with different consequences above which the computation is refused.
        progress: called after every state with its value.

    Returns:
        An `Empowerment`. Ctrl-C ends the computation after the current state and returns the result so far.

    Raises:
        InvalidArgument: if there are too many plans, a state has none, or an argument is invalid.

    References:
        [klyubin2005], [blahut1972], [arimoto1972]

    Examples:
        >>> from pgm_control import empowerment
        >>> from pgm_control.models import frozen_lake
        >>> empowerment(frozen_lake(), horizon=2, states=[0]).value
        tensor([0.3507], dtype=torch.float64)
    """
    mdp, allowed = _world(model)
    steps = whole_or_none("horizon", horizon) or mdp.horizon
    if mdp.probability.ndim > 3 and steps > mdp.horizon:
        raise InvalidArgument(
            f"`horizon` must be at most {mdp.horizon}, the horizon of the tables by time, but is {steps}."
        )
    tolerance, max_steps, max_plans = (
        positive("tolerance", tolerance),
        whole("max_steps", max_steps),
        whole("max_plans", max_plans),
    )
    chosen = range(mdp.num_states) if states is None else listed("states", states, "indices of states")
    starts = [index("states", each, mdp.num_states, "states") for each in chosen]
    matrices = _matrices(mdp)
    value, gap = (torch.full((len(starts),), torch.nan, dtype=matrices[0].dtype) for _ in range(2))
    plans, chances = [], []
    loop = Loop(EmpowermentStatus.converged, limit=len(starts), progress=progress)
    with loop:
        for i in loop:
            channel, found = _channel(mdp, matrices, allowed, starts[i - 1], steps, max_plans)
            best = capacity(channel, tolerance, max_steps)
            value[i - 1], gap[i - 1] = best.value, best.gap
            used = best.inputs > _USED
            plans.append(found[used])
            chances.append(best.inputs[used] / best.inputs[used].sum())
            loop.report({"empowerment": best.value, "gap": best.gap})
    status = loop.status
    if status is EmpowermentStatus.converged and bool((gap > tolerance).any()):
        status = EmpowermentStatus.out_of_steps
    return Empowerment(torch.tensor(starts), value, gap, tuple(plans), tuple(chances), steps, status)


_USED = 1e-9  # plans of lower probability are not listed
_SAME = 1e-13  # probabilities that differ by less are rounding


def _world(model: MarkovModel | TabularMDP) -> tuple[TabularMDP, Tensor]:
    """The problem, and whether an action is allowed, by state, or by time and state."""
    if isinstance(model, TabularMDP):
        return require_mdp("model", model, timed=True), feasible_actions(model)
    model = require_model(model, timed=True)
    return model.mdp, feasible_actions(model.mdp) & (model.action_prior > 0)


def _matrices(mdp: TabularMDP) -> list[Float[Tensor, "action state next_state"]]:
    """p(s'|s, a), by time or once."""
    require_room(
        "model", "its transition matrices", mdp.probability[..., 0].numel() * mdp.num_states, 8,
        "Empowerment enumerates plans and is meant for small problems.",
    )  # fmt: skip
    tables = mdp.probability if mdp.probability.ndim > 3 else mdp.probability[None]
    return [dense_of_outcomes(p, mdp.successor, mdp.num_states).transpose(0, 1) * mdp.discount for p in tables]


def _channel(
    mdp: TabularMDP, matrices: list[Tensor], allowed: Tensor, start: int, horizon: int, max_plans: int
) -> tuple[Float[Tensor, "plan output"], Int[Tensor, "plan time"]]:
    """p(s_n | plan) of all plans from this state, of those with the same consequences one, and the plans."""
    rows = matrices[0].new_zeros(1, mdp.num_states)
    rows[0, start] = 1.0
    plans = torch.zeros(1, 0, dtype=torch.long)
    for t in range(horizon):
        step, may = matrices[min(t, len(matrices) - 1)], at_time(allowed, t, 2)
        require_room(
            "horizon", "the outcomes of its plans", 4 * len(rows) * mdp.num_actions * mdp.num_states, 8, "Shorten it."
        )
        ahead, taken = [], []
        for a in range(mdp.num_actions):
            fits = ((rows > 0) & ~may[:, a]).sum(-1) == 0
            ahead.append(rows[fits] @ step[a])
            taken.append(torch.cat((plans[fits], torch.full((int(fits.sum()), 1), a)), -1))
        rows, plans = torch.cat(ahead), torch.cat(taken)
        if not len(rows):
            raise InvalidArgument(
                f"`model` must have a plan of {horizon} actions from state {mdp.state_name(start)} none of which is "
                "forbidden where it may be taken, but has none."
            )
        first = _firsts((rows / _SAME).round())
        rows, plans = rows[first], plans[first]
        if len(rows) > max_plans:
            raise InvalidArgument(
                f"`horizon` must be short enough for at most {max_plans:,} plans with different consequences, but "
                f"{t + 1} of its {horizon} actions make {len(rows):,}. Shorten it, or raise `max_plans`."
            )
    ended = (1.0 - rows.sum(-1, keepdim=True)).clamp_min(0.0)
    return torch.cat((rows, ended), -1) if mdp.discount < 1 else rows / rows.sum(-1, keepdim=True), plans


def _firsts(rows: Float[Tensor, "row column"]) -> Int[Tensor, " first"]:
    """The first index of each different row."""
    _, place = torch.unique(rows, dim=0, return_inverse=True)
    first = place.new_full((int(place.max()) + 1,), len(rows))
    first.scatter_reduce_(0, place, torch.arange(len(rows)), "amin")
    return first.sort().values
