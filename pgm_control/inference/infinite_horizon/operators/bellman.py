"""The Bellman operator of a problem without a horizon, and a bound on its rounding error."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ....chance.log_space import log_mass
from ....chance.risk import unit
from ....kernels.backend import sweeps_for
from ....kernels.bundles import Chain, SweepNumbers, SweepTables, SweepValues
from . import sweeps as torch_sweeps
from .share import Change, Form, HasOutcomes, Share
from .tables import tables

_ALONE = 1 << 17  # outcomes per thread from which starting it pays, some 0.1 ms of work
_UNROLLED = 1 << 16  # outcomes from which it pays to compile the loop for the given number of outcomes per row
_BEFORE = 4  # states that a Gauss–Seidel sweep updates together
_LONGEST = 32  # the longest row of weights for which a loop is compiled


@final
class Bellman:
    r"""$V \mapsto T V$ with $Q = L_\beta[r + \gamma V(s')]$ and $T V = \tau \log \sum_a \rho \exp(Q/\tau)$.

    Values are float64 vectors. Dead ends have the value −inf and are stored as 0. Use the operator in a `with`
    statement, which ends its threads.
    """

    def __init__(
        self,
        mdp: HasOutcomes,
        temperature: float,
        optimism: float,
        discount: float,
        prior: Float[Tensor, "state_or_one action"],
        num_threads: int,
        share: Share,
        form: Form | None = None,
    ) -> None:
        """Prepare the tables. The arguments must have been checked.

        With a `share` of the states, vectors have the values of its successors in other shares after its own, and a
        sweep reads these and receives them anew.
        """
        self._share = share
        self._log_mass = log_mass(prior)
        self._counts = bool(self._log_mass.any())
        (self._largest_mass,) = share.largest(float(self._log_mass.max()))
        prior = prior / self._log_mass.exp()[:, None] if self._counts else prior
        self.tables = found = tables(mdp, prior, optimism, share, form)
        compiled = sweeps_for(mdp.probability) if found.form != "dense" else None  # torch computes matrix products
        self.kernels: Any = compiled or torch_sweeps
        self.compiled = compiled is not None
        self.num_states, self.num_actions, _ = mdp.probability.shape
        self.temperature, self.optimism, self.discount = temperature, optimism, discount
        size = found.probability.numel()
        self.num_threads = max(1, min(num_threads, size // _ALONE)) if self.compiled else 1
        self._pool = ThreadPoolExecutor(self.num_threads - 1) if self.num_threads > 1 else None
        unrolled = self.compiled and size >= _UNROLLED and found.longest <= 16 and found.form == "padded"
        width = (0,) * found.longest if unrolled else torch.zeros(found.longest)
        flat = torch.empty(0, dtype=torch.float64, device=prior.device)
        self._chain: tuple[Any, Any] | None = None
        self._empty = flat.reshape(0, 0), flat.to(torch.int32)
        self._scale = optimism / unit(temperature)
        # a signed index would cost a comparison per access
        successor = found.successor.view(torch.uint32) if self.compiled else found.successor
        outcomes = found.probability, successor, found.reward, found.pay, found.rows
        self._bonus = (temperature * self._log_mass).expand(self.num_states).contiguous() if self._counts else flat
        self._read = self._given(SweepTables(*outcomes, width, found.longest, found.prior.contiguous()))
        self._numbers = self._given(SweepNumbers(discount, temperature, self._scale))

    def __enter__(self) -> "Bellman":
        """Return the operator; its threads start when they are first needed."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        """Stop the worker threads, if there are any."""
        if self._pool is not None:
            self._pool.shutdown()

    def sweep(
        self,
        v: Float[Tensor, " successor"],
        out: Float[Tensor, " successor"],
        q: Float[Tensor, "state action"] | None = None,
        choice: Int[Tensor, " state"] | None = None,
        policy: Float[Tensor, "state action"] | None = None,
    ) -> Change:
        """Write T v to `out`, another array, and Q to `q`; and π to `policy`, or a best action to `choice` if τ = 0."""
        values = self._values(v, out, q, choice, policy)
        given = self._read, self._numbers, values, self._given((self._bonus,))[0]
        block = self.kernels.BLOCK
        change = self._together(lambda first, last: self.kernels.sweep(*given, first, last, block, False))
        return self._share.finish(out, change)

    def sweep_in_place(self, v: Float[Tensor, " state"], backwards: bool) -> Change:
        """Run a Gauss–Seidel sweep on one thread: later states use the new values of earlier ones."""
        values, bonus = self._values(v, v), self._given((self._bonus,))[0]
        span = 0, self.num_states, _BEFORE, backwards
        return Change(*self.kernels.sweep(self._read, self._numbers, values, bonus, *span))

    def linear_part(self, v: Float[Tensor, " state"], best: Shaped[Tensor, "state ..."]) -> Chain:
        """The linear part W of T at v, with $T(v + d) = T v + \\gamma W d$ to first order in d.

        Its rows are valid until the next call.

        Args:
            v: the values at which T is linearised.
            best: what the sweep at v has found: at temperature 0 the actions, otherwise the policy.
        """
        found, hard = self.tables, best.ndim == 1
        values = self._values(v, v, choice=best) if hard else self._values(v, v, policy=best)
        begin = end = found.rows.new_empty(0)
        per_state = self.num_states, self.num_actions
        if found.form == "rows":
            begin, end = found.rows[:-1].view(per_state), found.rows[1:].view(per_state)
            chosen = best.long()[:, None] if hard else None
            begin = begin[:, 0].contiguous() if chosen is None else begin.gather(1, chosen)[:, 0]
            end = end[:, -1].contiguous() if chosen is None else end.gather(1, chosen)[:, 0]
        packed = hard and found.form == "padded"
        kept = self._chain
        if kept is None:
            size = self.num_states * found.longest if packed else len(found.successor)
            shape = (self.num_states, self.num_states) if found.form == "dense" else (size,)
            weight, successor = v.new_empty(shape), found.successor.new_empty(size if packed else 0)
            self._chain = kept = self._given((weight, successor.view(torch.uint32) if self.compiled else successor))
        weight, successor = kept
        given = self._read, self._numbers, values, weight, successor
        self._parts(lambda first, last: self.kernels.linearise(*given, first, last))
        target, width = self._read[1], self._read[5]
        if not hard:
            many = self.num_actions * found.longest
            width = (0,) * many if isinstance(width, tuple) and many <= _LONGEST else torch.empty(many).numpy()
        begin, end = self._given((begin, end))
        return Chain(weight, successor if packed else target, begin, end, width)

    def release(self) -> None:
        """Free the rows of the last linear part."""
        self._chain = None

    def relax(
        self,
        chain: Chain,
        change: Float[Tensor, " state"],
        scratch: Float[Tensor, " state"],
        num_sweeps: int,
    ) -> Float[Tensor, " state"]:
        """The sum of $(\\gamma W)^j$ change over j = 0 … `num_sweeps`; v plus that sum is a better value than T v."""
        d, out = change.clone(), scratch
        given, change_ = (tuple(chain) if self.compiled else chain), self._given((change,))[0]
        read = self.num_states * len(chain.width) if len(chain.begin) == 0 else len(chain.weight) // self.num_actions
        threads = max(1, min(self.num_threads, read // _ALONE))
        once = num_sweeps if threads == 1 else 1  # threads wait for each other after every sweep
        for _ in range(0, num_sweeps, once):
            tables = given, self.discount, change_, *self._given((d, out))
            self._parts(lambda first, last: self.kernels.relax(*tables, first, last, once), threads)  # noqa: B023
            d, out = (out, d) if once % 2 else (d, out)
        if self.tables.dead is not None:
            d[self.tables.dead] = 0.0
        return d

    def rounding(self, v: Float[Tensor, " successor"]) -> float:
        """An upper bound on the rounding error of one entry of T v, in reward units.

        The bound is 4 u (K + A + 8) times the largest number that T adds up: the standard bound for sums of K and A
        products, with 2 units in the last place for each exp and log. The logarithms are small compared with the values
        that they correct (L lies between the smallest and the largest of them), unless forbidden outcomes take
        probability away.
        """
        size = self.tables.largest_reward + self._share.size(v) + self.temperature * self._largest_mass
        if self.tables.loses_mass:
            size += 745.0 * self._scale**-1 if self._scale > 0 else 0.0  # log of the smallest float64
            size += self.temperature * 745.0
        return 4 * 2**-52 * (self.tables.longest + self.num_actions + 8) * size

    def _together(self, work: Callable[[int, int], tuple[float, float, bool]]) -> Change:
        """The combined change of `work` over all states."""
        found = self._parts(work)
        return Change(min(one[0] for one in found), max(one[1] for one in found), all(one[2] for one in found))

    def _parts(self, work: Callable[[int, int], Any], num_threads: int | None = None) -> list[Any]:
        """The results of `work` for the states of each thread, the first on the calling thread."""
        block = self.kernels.BLOCK
        each = -(-self.num_states // ((num_threads or self.num_threads) * block)) * block
        parts = [(first, min(first + each, self.num_states)) for first in range(0, self.num_states, each)]
        others = [] if self._pool is None else [self._pool.submit(work, *part) for part in parts[1:]]
        return [work(*parts[0]), *(other.result() for other in others)]

    def _values(
        self,
        v: Tensor,
        out: Tensor,
        q: Tensor | None = None,
        choice: Tensor | None = None,
        policy: Tensor | None = None,
    ) -> Any:
        """`SweepValues` as the kernels take them, with empty tables for what is left out."""
        square, nothing = self._empty
        filled = square if q is None else q, nothing if choice is None else choice, square if policy is None else policy
        return self._given(SweepValues(v, out, *filled))

    def _given(self, bundle: Any) -> Any:
        """A bundle as the kernels take it: a plain tuple of arrays for compiled kernels, unchanged for torch."""
        if not self.compiled:
            return bundle
        return tuple([each.numpy() if isinstance(each, Tensor) else each for each in bundle])
