"""Links between processes: everything arrives, nothing waits for ever, and strangers are not let in."""

import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pgm_control.inference.infinite_horizon.blocks.links import LinkBroken, Threads
from pgm_control.inference.infinite_horizon.blocks.sockets import Listener, SocketLink

OPEN = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while OPEN:
        OPEN.pop().close()


def connected(size, timeout=20.0, run="run"):
    """Links of a process with itself, as if it were several."""
    listeners = [Listener("127.0.0.1") for _ in range(size)]
    addresses = [("127.0.0.1", each.port) for each in listeners]
    with ThreadPoolExecutor(size) as pool:
        made = [pool.submit(SocketLink, j, run, listeners[j], addresses, timeout) for j in range(size)]
        links = [each.result() for each in made]
    OPEN.extend([*links, *listeners])
    return links


def together(links, work):
    """The result of each rank."""
    with ThreadPoolExecutor(len(links)) as pool:
        return [each.result() for each in [pool.submit(work, link) for link in links]]


def swapped(lengths):
    """Let each rank send to each other what tells both apart, of given lengths."""

    def work(link):
        out = [
            torch.full((lengths[link.rank][j],), 10.0 * link.rank + j, dtype=torch.float64) for j in range(link.size)
        ]
        into = [torch.empty(lengths[j][link.rank], dtype=torch.float64) for j in range(link.size)]
        numbers = torch.tensor([float(link.rank), -float(link.rank)], dtype=torch.float64)
        link.swap(out, into, numbers)
        right = [bool((into[j] == 10.0 * j + link.rank).all()) for j in range(link.size) if j != link.rank]
        return all(right) and numbers.tolist() == [link.size - 1.0, 0.0]

    return work


@pytest.mark.parametrize("kind", ["sockets", "threads"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_everything_arrives(kind, size):
    meeting = Threads(size)
    links = connected(size) if kind == "sockets" else [meeting.link(j) for j in range(size)]
    for length in (0, 1, 1000):
        assert together(links, swapped([[length + j for j in range(size)] for _ in range(size)])) == [True] * size
    totals = together(links, lambda link: (lambda x: (link.total(x), x.item())[1])(torch.tensor([2.0**link.rank])))
    assert totals == [2.0**size - 1] * size


def test_large_messages_in_all_directions_do_not_wait_for_each_other():
    links = connected(3)
    assert together(links, swapped([[3_000_000] * 3] * 3)) == [True] * 3


def test_a_closed_or_silent_connection_breaks_the_link():
    links = connected(3, timeout=0.5)
    with pytest.raises(LinkBroken, match="nothing came from"):
        links[0].largest(torch.zeros(1, dtype=torch.float64))
    links = connected(3)
    links[1].close()
    with pytest.raises(LinkBroken, match="has lost another one"):
        links[0].largest(torch.zeros(1, dtype=torch.float64))


def test_strangers_are_not_let_in():
    listeners = [Listener("127.0.0.1") for _ in range(2)]
    addresses = [("127.0.0.1", each.port) for each in listeners]
    stranger = socket.create_connection(addresses[0])
    stranger.sendall(b"another run 1 little".ljust(48))
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(SocketLink, j, "run", listeners[j], addresses, 20.0) for j in range(2)]
        links = [each.result() for each in made]
    OPEN.extend([*links, *listeners, stranger])
    assert together(links, swapped([[5, 5], [5, 5]])) == [True, True]


def test_nobody_comes():
    listener = Listener("127.0.0.1")
    with pytest.raises(LinkBroken):
        SocketLink(0, "run", listener, [("127.0.0.1", listener.port), ("127.0.0.1", 1)], 0.3)
    listener.close()


def test_a_thread_that_fails_frees_the_others():
    meeting = Threads(2)
    found = []

    def waits():
        try:
            meeting.link(0).largest(torch.zeros(1))
        except LinkBroken as problem:
            found.append(problem)

    thread = threading.Thread(target=waits)
    thread.start()
    meeting.leave()
    thread.join(timeout=20)
    assert len(found) == 1


def test_strangers_that_are_silent_or_vanish_do_not_break_the_link():
    listeners = [Listener("127.0.0.1") for _ in range(2)]
    addresses = [("127.0.0.1", each.port) for each in listeners]
    silent, gone, slow = (socket.create_connection(addresses[0]) for _ in range(3))
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the end is a reset
    gone.sendall(b"x")
    gone.close()
    slow.sendall(b"another")
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(SocketLink, j, "run", listeners[j], addresses, 20.0) for j in range(2)]
        links = [each.result() for each in made]
    OPEN.extend([*links, *listeners, silent, slow])
    assert together(links, swapped([[5, 5], [5, 5]])) == [True, True]
