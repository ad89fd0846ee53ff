"""Seeds: one meaning of `seed` for all functions that draw random numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import InvalidArgument
from .alone.thread import alone
from .arguments import shown, whole_number

_BITS = 31  # of a drawn integer seed: environments may store theirs in 32 bits with a sign


def generator_of(seed: int | torch.Generator | None, device: torch.device | str = "cpu") -> torch.Generator | None:
    """The generator that an argument `seed` specifies.

    Args:
        seed: an integer makes a new generator; a generator is used as it is; None means torch's global generator.
        device: the device on which the random numbers are drawn.

    Returns:
        The value for the argument `generator` of torch's functions.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    require_seed(seed)
    if seed is None:
        return None
    where = torch.device(device).type
    if not isinstance(seed, torch.Generator):
        return torch.Generator(device).manual_seed(int(seed))
    if seed.device.type != where:
        raise InvalidArgument(
            f"`seed` must be a generator on {where}, where the numbers are drawn, but is one on {seed.device.type}. "
            f"Pass torch.Generator({where!r}), or an integer."
        )
    return seed


def integer_of(seed: int | torch.Generator | None) -> int:
    """An integer seed, for libraries that accept nothing else: Gymnasium, NumPy and Pyro.

    Args:
        seed: an integer is used as it is; otherwise one is drawn, from the generator or, for None, from torch's global
            generator.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    require_seed(seed)
    if seed is None or isinstance(seed, torch.Generator):
        where = "cpu" if seed is None else seed.device
        return int(torch.randint(2**_BITS, (), generator=seed, device=where))
    return int(seed)


@contextmanager
def seeded(seed: int | torch.Generator | None, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the context, for programs that draw from them, as Pyro programs do.

    Afterwards the generators are restored. With None they are not touched, and draws inside advance them. With a seed
    other threads wait outside; see `alone`.

    Args:
        seed: as in `integer_of`.
        device: the device on which the random numbers are drawn.

    Raises:
        InvalidArgument: if `seed` is invalid.
        UsedByAnotherThread: if another thread does not end its own use of them.
    """
    if seed is None:
        yield
        return
    with alone(), _seeded(integer_of(seed), device):
        yield


@contextmanager
def _seeded(number: int, device: torch.device | str) -> Iterator[None]:
    if torch.device(device).type == "cuda":
        torch.cuda.init()
    if not torch.cuda.is_initialized():  # what `fork_rng` does, in a fifth of its time
        before = torch.default_generator.get_state()
        torch.default_generator.manual_seed(number)
        try:
            yield
        finally:
            torch.default_generator.set_state(before)
        return
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.default_generator.manual_seed(number)  # torch.manual_seed would also seed devices that start later
        torch.cuda.manual_seed_all(number)
        yield


def require_seed(seed: object) -> None:
    """Require an integer from 0 to 2**63 − 1, of Python or numpy, a generator, or None.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    if seed is None or isinstance(seed, torch.Generator):
        return
    number = whole_number(seed)
    if number is not None and number >= 0:
        return
    raise InvalidArgument(
        f"`seed` must be a whole number, at least 0 and below 2**63, a torch.Generator, or None, but is {shown(seed)}. "
        "With None the numbers are drawn from torch's global generator, which torch.manual_seed seeds."
    )
