"""The files from which a run over blocks goes on: the last two states of each block, saved at the same sweeps."""

from pathlib import Path
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from ....runtime.checkpoint import require_same
from ....runtime.checkpoint_checks import require
from ..checkpoint import REMEDY, SweepCheckpoint, digest_of_tables
from ..methods import check_of_state
from .cut import BlockTables
from .job import BlockJob
from .neighbours import Neighbours

METHOD = "value_iteration"
_OTHERS = "Pass the same arguments, or another folder."


@final
class SavedBlock:
    """The two files of a block. The older one is written next, so that a whole one is always left.

    All blocks save after the same sweeps and none can be more than one of these ahead. Therefore there is a sweep that
    all of them have, and a run that goes on from it is the run without a stop, bit for bit. Where a file is missing,
    the last values of each block are the start instead: any finite values are.
    """

    def __init__(self, folder: Path, job: BlockJob, rank: int, tables: BlockTables, prior: Tensor) -> None:
        """Set the names of the files, and what must agree."""
        start, stop = job.span(rank)
        self._files = [folder / f"block_{start}_{stop}_{turn}.pt" for turn in range(2)]
        self._length, self._turn = stop - start, 0
        one = tables.reward[..., :1] if tables.reward.stride(-1) == 0 else tables.reward
        self._about: dict[str, Any] = {
            "start": start,
            "num_states": job.cut.bounds[-1],
            "problem": digest_of_tables(tables.probability, tables.successor, one, tables.ghosts, prior),
            "temperature": job.temperature,
            "optimism": job.optimism,
            "discount": job.discount,
        }

    def save(self, now: SweepCheckpoint) -> None:
        """Write the state in place of the one before the last."""
        own = {**now.state, "v": now.state["v"][: self._length].clone()}
        SweepCheckpoint(own, now.phase, now.history, now.seconds).save(self._files[self._turn], self._about)
        self._turn = 1 - self._turn

    def resumed(self, others: Neighbours) -> tuple[SweepCheckpoint | None, Float[Tensor, " state"] | None]:
        """The state of the last sweep that all blocks have; without one, the last values of this block or None.

        Raises:
            InvalidCheckpoint: if a file is not whole, or belongs to another problem.
        """
        found = {turn: self._loaded(path) for turn, path in enumerate(self._files) if path.exists()}
        sweeps = {len(each.history): turn for turn, each in found.items()}
        last = max(sweeps, default=-1)
        common = -int(others.largest(-float(last))[0])
        (missing,) = others.largest(float(common not in sweeps))
        if missing == 0:
            self._turn = 1 - sweeps[common]
            return found[sweeps[common]], None
        self._turn = 1 - sweeps[last] if sweeps else 0
        return None, found[sweeps[last]].state["v"] if sweeps else None

    def _loaded(self, path: Path) -> SweepCheckpoint:
        past, about = SweepCheckpoint.load(path)
        require_same(path, about, self._about, _OTHERS)
        require(path, "this block", past.state, check_of_state(METHOD, self._length, 0.0), REMEDY)
        return past
