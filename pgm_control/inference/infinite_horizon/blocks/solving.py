"""The work of one process: it makes the tables of its block, sweeps with the others, and holds the result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ....problems.checks import LARGE
from ....problems.from_blocks import OutcomeTables, repeats, with_rewards
from ....runtime.files import require_writable
from ....runtime.progress import Progress
from ..checkpoint import SweepCheckpoint
from ..fixed_point import ValueStatus, fixed_point
from ..operators.bellman import Bellman
from ..operators.share import Share
from ..policy_evaluation import action_values, chain_tables
from ..problem import optimal_policy
from .cut import BlockTables, block_tables
from .job import BlockJob
from .links import Link
from .neighbours import Neighbours
from .saved import METHOD, SavedBlock

What = Literal["value", "action_value", "policy"]


@final
@dataclass(frozen=True, eq=False)
class BlockProblem:
    """The problem of one block among the others.

    Attributes:
        tables: its outcomes.
        prior: ρ(a|s), or one row for all its states.
        temperature, optimism, discount: τ, β and γ.
        share: what it agrees on with the others.
    """

    tables: BlockTables
    prior: Float[Tensor, "state_or_one action"]
    temperature: float
    optimism: float
    discount: float
    share: Share

    @property
    def num_states(self) -> int:
        """The number of own states."""
        return self.tables.probability.shape[0]

    @property
    def num_actions(self) -> int:
        """The number of actions."""
        return self.tables.probability.shape[1]

    def bellman(self, num_threads: int | None = None) -> Bellman:
        """The Bellman operator of own states."""
        numbers = self.temperature, self.optimism, self.discount
        return Bellman(self.tables, *numbers, self.prior, num_threads or 1, self.share)


class BlockFacts(NamedTuple):
    """What all blocks agree on, and the sizes of one.

    Attributes:
        error_bound: a bound on the error of every entry of V and Q, over all blocks, in reward units.
        num_sweeps: the number of sweeps.
        status: how the iteration ended.
        seconds: the time that the sweeps took.
        span_history: the span of the changes in each sweep, in reward units.
        num_ghosts: the number of states of others that this block reads.
        num_sent: the number of bytes that it sends in a sweep.
    """

    error_bound: float
    num_sweeps: int
    status: ValueStatus
    seconds: float
    span_history: Float[Tensor, " sweep"]
    num_ghosts: int
    num_sent: int


@final
@dataclass(frozen=True, eq=False)
class HeldBlock:
    """The result of one block, in the process that found it.

    Attributes:
        start: the number of its first state.
        v, q: the values of its states and actions, in reward units.
        prior: ρ(a|s), or one row for all states.
        temperature: τ.
        given_policy: π(a|s), where a policy was evaluated.
    """

    start: int
    v: Float[Tensor, " state"]
    q: Float[Tensor, "state action"]
    prior: Float[Tensor, "state_or_one action"]
    temperature: float
    given_policy: Float[Tensor, "state action"] | None = None

    def read(self, what: What, states: Int[Tensor, " some"]) -> Float[Tensor, "some ..."]:
        """V, Q or π of some states, by their numbers in the whole problem."""
        here = states - self.start
        if what != "policy":
            return (self.v if what == "value" else self.q)[here]
        if self.given_policy is not None:
            return self.given_policy[here]
        prior = self.prior if len(self.prior) == 1 else self.prior[here]
        return optimal_policy(self.q[here], prior, self.temperature)


def solved_block(
    job: BlockJob, rank: int, connect: Callable[[], Link], progress: Progress, wants_to_end: Callable[[], bool]
) -> tuple[HeldBlock, BlockFacts]:
    """Solve one block together with the others.

    Args:
        job: the problem, the same in all processes.
        rank: the number of the block.
        connect: makes the link with the others, once the tables are made; that may take longer than a silence.
        progress: called after every sweep.
        wants_to_end: asked after every sweep; if any process says yes, all end.

    Raises:
        LinkBroken: if another process does not answer any more.
        InvalidArgument, InvalidProblem, InvalidCheckpoint: if the user's functions give something invalid here.
    """
    if job.folder is not None:
        require_writable(job.folder, "folder")  # before what takes long
    made = block_tables(job.block, job.cut, rank, job.num_actions, job.num_outcomes, job.dtype)
    others = Neighbours(connect(), job.cut, made.ghosts, wants_to_end)
    tables = _with_rewards(made, others)
    prior = job.prior(rank, tables)
    problem, policy = BlockProblem(tables, prior, job.temperature, job.optimism, job.discount, others), None
    if job.policy is not None:
        policy = job.rows("policy", job.policy, rank)
        problem = _chain(problem, policy)
    start, stop = job.span(rank)
    begin = torch.zeros(stop - start + len(tables.ghosts), dtype=torch.float64)
    begin[: stop - start] = job.begin(rank)
    saved = past = None
    if job.folder is not None:
        saved = SavedBlock(job.folder, job, rank, problem.tables, problem.prior)
        past, last = saved.resumed(others)
        if last is not None:
            begin[: stop - start] = last
    others.exchange(begin)
    found = fixed_point(
        problem, begin, job.tolerance, job.max_sweeps, method=METHOD, stopping=job.stopping,
        num_threads=job.num_threads, progress=progress, interrupted=lambda: others.ended,
        save=None if saved is None else saved.save, save_every=job.save_every,
        past=None if past is None else _with_ghosts(past, begin, others),
    )  # fmt: skip
    q = found.q
    if policy is not None:
        every = torch.full((1, job.num_actions), 1.0 / job.num_actions, dtype=torch.float64)
        with BlockProblem(tables, every, 0.0, 0.0, job.discount, others).bellman(job.num_threads) as bellman:
            q = action_values(bellman, tables, found.v)
    held = HeldBlock(start, found.v[: stop - start].clone(), q, prior, job.temperature, policy)
    spans = found.checkpoint.history
    facts = found.error_bound, found.num_sweeps, found.status, found.seconds, spans
    return held, BlockFacts(*facts, len(tables.ghosts), others.num_sent)


def _with_rewards(made: BlockTables, others: Neighbours) -> BlockTables:
    """The tables with a reward for each outcome, shared where those of all blocks may be, as in `mdp_from_blocks`."""
    found = OutcomeTables(*made[:3])
    (varies,) = others.largest(float(not repeats(found)))
    (size,) = others.total(float(found.probability.numel()))
    return BlockTables(*with_rewards(found, varies == 0 and size >= LARGE), made.ghosts)


def _chain(problem: BlockProblem, policy: Float[Tensor, "state action"]) -> BlockProblem:
    """The problem of one action, which is to follow the policy."""
    p, successor, reward, ghosts = problem.tables
    given = OutcomeTables(p.double(), successor, reward.double())
    found = chain_tables(given, policy, problem.prior, problem.temperature)
    one = torch.ones(1, 1, dtype=torch.float64)
    return BlockProblem(BlockTables(*found, ghosts), one, 0.0, 0.0, problem.discount, problem.share)


def _with_ghosts(past: SweepCheckpoint, begin: Tensor, others: Neighbours) -> SweepCheckpoint:
    own = past.state["v"]
    v = begin.clone()
    v[: len(own)] = own
    others.exchange(v)
    return SweepCheckpoint({**past.state, "v": v}, past.phase, past.history, past.seconds)
