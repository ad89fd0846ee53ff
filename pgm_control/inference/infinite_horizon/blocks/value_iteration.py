"""Value iteration, and the evaluation of policies, over blocks of states that may lie on several machines.

Sources:
    [bertsekas1989] D. P. Bertsekas and J. N. Tsitsiklis, Parallel and Distributed Computation: Numerical Methods.
        Prentice-Hall, 1989.
    [macqueen1966] J. MacQueen, A modified dynamic programming method for Markovian decision problems. Journal of
        Mathematical Analysis and Applications 14(1):38–43, 1966.
    [porteus1971] E. L. Porteus, Some bounds for discounted sequential decision processes. Management Science
        18(1):7–11, 1971.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from ....chance.optimism import OptimismLike
from ....runtime.arguments import function, positive, whole
from ....runtime.array_like import ArrayLike
from ....runtime.progress import Progress, require_progress, silent
from ..fixed_point import Stopping
from .cluster import Cluster
from .held import HeldHere
from .in_threads import solved_in_threads
from .job import BlockJob
from .on_dask import solved_on_dask
from .values import BlockValues, block_values

Prior = ArrayLike | Callable[[int, int], Any] | Literal["count"] | None


def value_iteration_blocks(
    block: Callable[[int, int], Any],
    num_states: int,
    num_actions: int,
    num_outcomes: int,
    temperature: float,
    optimism: OptimismLike,
    discount: float,
    tolerance: float = 1e-6,
    *,
    action_prior: Prior = None,
    client: Any = None,
    num_blocks: int | None = None,
    dtype: torch.dtype = torch.float64,
    stopping: Stopping = "span",
    initial_value: Callable[[int, int], ArrayLike] | None = None,
    num_threads: int = 1,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
    folder: str | Path | None = None,
    save_every: int = 100,
    timeout: float = 60.0,
    patience: float = 300.0,
    max_restarts: int = 10,
) -> BlockValues:
    r"""Value iteration of a problem that is too large for one memory, over blocks of consecutive states.

    $$Q(s,a) = L_\beta[r + \gamma V(s')], \qquad V(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q(s,a)/\tau)$$

    Each process makes the tables of its own block, and nobody holds the whole. After each sweep a block sends to every
    other the values that this one reads, 8 bytes each, and one reduction gives all the same certificate. Values, number
    of sweeps and error bound are those of `value_iteration(…, method="value_iteration")`, bit for bit, however the
    states are cut, as long as that does not take the dense form, as it does where an action has more than half of all
    states as outcomes.

    A sweep costs each process time for its outcomes, a latency for each message, and the transport of its ghosts, the
    states of others that its outcomes lead to: put states that lead to each other side by side.

    Args:
        block: a function; `block(start, stop)` returns (probability, successor, reward) of states start … stop − 1,
            each of shape (stop − start, A, at most K), as for `mdp_from_blocks`, with successors numbered in the whole
            problem. It is called for many short ranges, must give the same for the same state each time, and must be
            one that can be sent to the workers of `client`.
        num_states, num_actions, num_outcomes: S, A, K.
        temperature: τ, in reward units per nat, the same for all states; 0 for the hard maximum.
        optimism: β of the dynamics, as for `value_iteration`.
        discount: γ, at most 1; at 1 there is no certificate.
        tolerance: the largest allowed distance of a value from the fixed point, in reward units.
        action_prior: ρ(a|s): one row of A probabilities for all states; a function such as `block` that returns rows;
            or "count", 1 for each action with an outcome that is not forbidden. Actions of probability 0 are masked.
            Default: uniform.
        client: a `distributed.Client`, whose workers hold one block each; default: threads of this process.
        num_blocks: the number of blocks; default: the number of workers, or 1.
        dtype: of the tables, torch.float64 or torch.float32. Values and sums are always float64. The bound holds for
            the tables as they are stored: a row of float32 sums to 1 only within 1e-7.
        stopping, max_sweeps: as for `value_iteration`.
        initial_value: a function such as `block` that returns V of states, in reward units; default: zeros.
        num_threads: the number of threads of each block.
        progress: called after every sweep of the first block; with a client, a few times a second.
        folder: a folder in which each block keeps its last two states. The same call with the same folder continues,
            bit for bit, and so does a run that has lost a worker. Without one, a lost worker means a start from the
            beginning. With several machines, all must reach it.
        save_every: the interval between these, in sweeps.
        timeout: after which a process that does not answer counts as lost, in seconds.
        patience: how long to wait for a lost worker to come back, or for another one, in seconds.
        max_restarts: how often to start again.

    Returns:
        A `BlockValues`, which holds the certificate; the values stay where they are. Ctrl-C ends the run after the
        current sweep.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it and the remedy.
        InvalidProblem: if `block` returns no valid tables; the message names the entry.
        InvalidCheckpoint: if `folder` belongs to another problem.
        WorkersLost: if workers were lost and did not come back, or too often.
        MissingExtra: if `client` is given and dask is not installed.

    References:
        [macqueen1966], [porteus1971], [bertsekas1989]

    Examples:
        >>> import numpy as np
        >>> from pgm_control import value_iteration_blocks
        >>> def ring(start, stop):  # two actions, each of which goes to a side and slips with probability .1
        ...     states = np.arange(start, stop)[:, None, None]
        ...     successor = (states + np.array([[1, -1], [-1, 1]])) % 1000
        ...     probability = np.broadcast_to([0.9, 0.1], successor.shape)
        ...     reward = np.broadcast_to(states == 500, successor.shape).astype(float)
        ...     return probability, successor, reward
        >>> found = value_iteration_blocks(ring, 1000, 2, 2, temperature=0.1, optimism=0.0, discount=0.9, num_blocks=3)
        >>> found.num_ghosts  # each block reads two states of others
        (2, 2, 2)
    """
    cluster = _cluster(client)
    most = None if cluster is None else len(cluster.workers())
    job = BlockJob.checked(
        block=block, num_states=num_states, num_actions=num_actions, num_outcomes=num_outcomes, dtype=dtype,
        temperature=temperature, optimism=optimism, discount=discount, action_prior=action_prior, policy=None,
        initial_value=initial_value, num_blocks=num_blocks, most_blocks=most,
        tolerance=tolerance, max_sweeps=max_sweeps, stopping=stopping, num_threads=num_threads,
        folder=folder, save_every=save_every,
    )  # fmt: skip
    return _solved(job, cluster, progress, timeout, patience, max_restarts)


def policy_evaluation_blocks(
    block: Callable[[int, int], Any],
    num_states: int,
    num_actions: int,
    num_outcomes: int,
    policy: Callable[[int, int], ArrayLike],
    temperature: float,
    discount: float,
    tolerance: float = 1e-6,
    *,
    action_prior: Prior = None,
    client: Any = None,
    num_blocks: int | None = None,
    dtype: torch.dtype = torch.float64,
    num_threads: int = 1,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
    folder: str | Path | None = None,
    save_every: int = 100,
    timeout: float = 60.0,
    patience: float = 300.0,
    max_restarts: int = 10,
) -> BlockValues:
    r"""The value of a policy under the true dynamics over blocks of states, with the entropy term if τ is positive.

    $$V^\pi(s) = \sum_a \pi(a \mid s) \bigl(Q^\pi(s, a) - \tau \log \tfrac{\pi(a \mid s)}{\rho(a \mid s)}\bigr), \qquad
        Q^\pi(s, a) = \sum_k p(k)\,(r + \gamma V^\pi(s'))$$

    It is `policy_evaluation` by plain sweeps, in the way of `value_iteration_blocks`.

    Args:
        policy: a function such as `block` that returns π(a|s), one row a state.
        block, num_states, num_actions, num_outcomes, temperature, discount, tolerance: as for
            `value_iteration_blocks`; so are all others.
        action_prior, client, num_blocks, dtype, num_threads, max_sweeps, progress, folder, save_every: as there.
        timeout, patience, max_restarts: as there.

    Returns:
        A `BlockValues`, whose `policy` is the given one.

    Raises:
        InvalidArgument, InvalidProblem, InvalidCheckpoint, WorkersLost, MissingExtra: as there.

    Examples:
        >>> import numpy as np
        >>> from pgm_control import policy_evaluation_blocks
        >>> def line(start, stop):  # one action goes on, the other stays; the last state pays
        ...     states = np.arange(start, stop)[:, None, None]
        ...     successor = np.minimum(states + np.array([[1], [0]]), 99)
        ...     return np.ones(successor.shape), successor, np.broadcast_to(states == 99, successor.shape) * 1.0
        >>> on = lambda start, stop: np.tile([1.0, 0.0], (stop - start, 1))
        >>> found = policy_evaluation_blocks(line, 100, 2, 1, on, temperature=0.0, discount=0.9)
        >>> round(float(found.value([99])[0]), 3)
        10.0
    """
    cluster = _cluster(client)
    most = None if cluster is None else len(cluster.workers())
    job = BlockJob.checked(
        block=block, num_states=num_states, num_actions=num_actions, num_outcomes=num_outcomes, dtype=dtype,
        temperature=temperature, optimism=0.0, discount=discount, action_prior=action_prior,
        policy=function("policy", policy), initial_value=None, num_blocks=num_blocks, most_blocks=most,
        tolerance=tolerance, max_sweeps=max_sweeps, stopping="span", num_threads=num_threads,
        folder=folder, save_every=save_every,
    )  # fmt: skip
    return _solved(job, cluster, progress, timeout, patience, max_restarts)


def _cluster(client: Any) -> Cluster | None:
    return None if client is None else Cluster.of(client)


def _solved(
    job: BlockJob, cluster: Cluster | None, progress: Progress, timeout: float, patience: float, max_restarts: int
) -> BlockValues:
    require_progress(progress)
    waits = positive("timeout", timeout), positive("patience", patience)
    restarts = whole("max_restarts", max_restarts, 0)
    if cluster is None:
        held, facts = solved_in_threads(job, progress)
        return block_values(facts, job.cut.bounds, HeldHere(held), 0)
    found, facts, restarted = solved_on_dask(job, cluster, progress, *waits, restarts)
    return block_values(facts, job.cut.bounds, found, restarted)
