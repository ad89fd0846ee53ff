"""The link of a process with others over the network: one TCP connection with each, which carries raw numbers.

A sweep of a small block takes less time than the reactions of a library for collective communication: over gloo, which
torch brings, an exchange of two processes on one machine took 0.3 to 4 ms, since its own thread competes for the cores,
and over a plain connection 0.05 ms.
"""

import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from .links import LinkBroken

_HEAD = 48  # bytes with which a process introduces itself
_BACKLOG = 4096
_PATIENCE = 1.0  # seconds in which a process that connects must introduce itself


@final
class Listener:
    """A port at which the others reach this process."""

    def __init__(self, host: str) -> None:
        """Open a port that the system chooses."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]

    def accept(self, timeout: float) -> socket.socket:
        """The next connection."""
        self._socket.settimeout(timeout)
        return self._socket.accept()[0]

    def close(self) -> None:
        """Close the port."""
        self._socket.close()


@final
class SocketLink:
    """A link over the network. A connection that ends, or one on which nothing comes for a time, breaks it."""

    def __init__(
        self, rank: int, run: str, listener: Listener, addresses: Sequence[tuple[str, int]], timeout: float
    ) -> None:
        """Connect with all others: with those before this one at their ports, with those after it at the own port.

        Args:
            rank: the number of this process.
            run: a name that only the processes of this run know, of at most 32 characters.
            listener: the own port.
            addresses: the hosts and ports of all.
            timeout: after which a silent process counts as lost, in seconds.

        Raises:
            LinkBroken: if the others do not come.
        """
        self.rank, self.size, self._timeout = rank, len(addresses), timeout
        self._sockets: list[socket.socket | None] = [None] * self.size
        self._poll = select.poll()
        self._tried(lambda: self._connect(run, listener, addresses))
        self._ranks = {each.fileno(): j for j, each in enumerate(self._sockets) if each is not None}

    def largest(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the largest of all processes."""
        self._gathered([], [], numbers, lambda rows: rows.amax(0))

    def total(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the sum over all processes."""
        self._gathered([], [], numbers, lambda rows: rows.sum(0))

    def swap(
        self, out: Sequence[Tensor], into: Sequence[Tensor], numbers: Float[Tensor, " some"] | None = None
    ) -> None:
        """Send to all, and receive from all."""
        nothing = torch.empty(0, dtype=torch.float64)
        self._gathered(out, into, nothing if numbers is None else numbers, lambda rows: rows.amax(0))

    def close(self) -> None:
        """End all connections."""
        for each in self._sockets:
            if each is not None:
                each.close()

    def _gathered(
        self, out: Sequence[Tensor], into: Sequence[Tensor], numbers: Tensor, reduced: Callable[[Tensor], Tensor]
    ) -> None:
        rows = numbers.repeat(self.size, 1)
        sent: list[list[memoryview]] = [[] for _ in self._sockets]
        received: list[list[memoryview]] = [[] for _ in self._sockets]
        for j in self._ranks.values():
            sent[j] = _bytes(out[j : j + 1], rows[self.rank])
            received[j] = _bytes(into[j : j + 1], rows[j])
        self._tried(lambda: self._move(sent, received))
        if len(numbers):
            numbers.copy_(reduced(rows))

    def _move(self, sent: list[list[memoryview]], received: list[list[memoryview]]) -> None:
        """Send and receive on all connections at once, as far as each of them goes."""
        deadline = time.monotonic() + self._timeout
        while True:
            moved, waits = False, []
            for j, connection in enumerate(self._sockets):
                if connection is None:
                    continue
                moved |= bool(sent[j]) and _advance(sent[j], _send(connection, sent[j]))
                moved |= bool(received[j]) and _advance(received[j], _receive(connection, received[j]))
                events = (select.POLLOUT if sent[j] else 0) | (select.POLLIN if received[j] else 0)
                if events:
                    waits.append((connection, events))
            if not waits:
                return
            if moved:
                deadline = time.monotonic() + self._timeout
            for connection, events in waits:
                self._poll.register(connection, events)
            ready = self._poll.poll(1000 * max(deadline - time.monotonic(), 0.0))
            for connection, _ in waits:
                self._poll.unregister(connection)
            if not ready:
                silent = sorted(self._ranks[connection.fileno()] for connection, _ in waits)
                raise TimeoutError(f"nothing came from {silent} for {self._timeout:g} s")

    def _connect(self, run: str, listener: Listener, addresses: Sequence[tuple[str, int]]) -> None:
        deadline = time.monotonic() + self._timeout
        for j in range(self.rank):
            made = self._sockets[j] = socket.create_connection(addresses[j], timeout=self._timeout)
            made.sendall(_head(run, self.rank))
            self._keep(j, made)
        while None in self._sockets[self.rank + 1 :]:
            made = listener.accept(max(deadline - time.monotonic(), 1e-3))
            head = _head_of(made, min(self._timeout, _PATIENCE))
            ranks = [j for j in range(self.rank + 1, self.size) if head == _head(run, j)]
            if ranks:
                self._keep(ranks[0], made)
            else:
                made.close()  # a stranger, or a process of another kind of machine

    def _keep(self, rank: int, made: socket.socket) -> None:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        self._sockets[rank] = made

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except OSError as problem:
            self.close()
            raise LinkBroken(f"process {self.rank} of {self.size} has lost another one: {problem}") from problem


def _head(run: str, rank: int) -> bytes:
    return f"{run} {rank} {sys.byteorder}".encode().ljust(_HEAD)


def _head_of(made: socket.socket, patience: float) -> bytes:
    """What a process introduces itself with; less of one that stops, is silent for so many seconds, or goes away."""
    made.settimeout(patience)
    head = b""
    try:
        while len(head) < _HEAD and (more := made.recv(_HEAD - len(head))):
            head += more
    except OSError:
        return b""
    return head


def _bytes(some: Sequence[Tensor], more: Tensor) -> list[memoryview]:
    arrays: list[Any] = [each.numpy() for each in (*some, more) if each.numel()]
    return [memoryview(each).cast("B") for each in arrays]


def _send(connection: socket.socket, views: list[memoryview]) -> int:
    try:
        return connection.sendmsg(views)
    except BlockingIOError:
        return 0


def _receive(connection: socket.socket, views: list[memoryview]) -> int:
    try:
        many = connection.recvmsg_into(views)[0]
    except BlockingIOError:
        return 0
    if many == 0:
        raise ConnectionError("the connection was closed")
    return many


def _advance(views: list[memoryview], many: int) -> bool:
    """Drop the first bytes of the views; whether there were any."""
    left = many
    while views and left >= len(views[0]):
        left -= len(views.pop(0))
    if left:
        views[0] = views[0][left:]
    return many > 0
