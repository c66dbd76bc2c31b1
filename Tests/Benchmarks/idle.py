"""Memory of connections that only wait: opened, one request each, then silent."""

import contextlib
import resource
import selectors
import socket
import time

from measure import Load, drive
from processes import BenchmarkError, memory_kib

CONNECTIONS = 5000
#: Opened at once, so that no backlog overflows.
BATCH = 200
#: For the proxies to free what the last requests needed.
SETTLE_SECONDS = 1.0
ANSWER_SECONDS_MAX = 10


def allow_open_files():
    """One connection is a file here and, inherited, one in each proxy, with as many to the backends at worst."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchmarkError(f"{CONNECTIONS} idle connections need {wanted} open files; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else hard, hard))


def measure_idle(contender, processes):
    """Resident memory before and with the idle connections; `bytesPerConnection` is the difference of one.

    The proxy is driven for a second first, so that what it allocates once is there before.
    """
    drive(contender, Load(), 1, processes)
    time.sleep(SETTLE_SECONDS)
    before, _ = memory_kib(contender.pid)
    request = (f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {contender.cookie}\r\n\r\n").encode()
    with contextlib.ExitStack() as stack:
        connections = []
        try:
            while len(connections) < CONNECTIONS:
                connections += _open_batch(contender, request, stack, min(BATCH, CONNECTIONS - len(connections)))
            time.sleep(SETTLE_SECONDS)
            after, peak = memory_kib(contender.pid)
            _expect_open(contender, connections)
        except OSError as error:
            raise BenchmarkError(
                f"{contender.name}: after {len(connections)} idle connections: {error}") from None
    return {
        "residentKiBBefore": before,
        "residentKiBAfter": after,
        "peakKiB": peak,
        "bytesPerConnection": (after - before) * 1024 / CONNECTIONS,
    }


def _open_batch(contender, request, stack, count):
    connections = []
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", contender.port), 5))
            connection.setblocking(False)
            connection.send(request)
            selector.register(connection, selectors.EVENT_READ)
            connections.append(connection)
        waiting = count
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while waiting:
            ready = selector.select(deadline - time.monotonic())
            if not ready:
                raise BenchmarkError(f"{contender.name}: {waiting} of {count} connections had no answer")
            for key, _ in ready:
                # A small answer comes in one piece.
                if not key.fileobj.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise BenchmarkError(f"{contender.name} did not answer 200 on a connection that was to be idle")
                selector.unregister(key.fileobj)
                waiting -= 1
    return connections


def _expect_open(contender, connections):
    """A proxy that closed them has no idle connections to measure."""
    closed = 0
    for connection in connections:
        with contextlib.suppress(BlockingIOError):
            closed += connection.recv(1) == b""
    if closed:
        raise BenchmarkError(f"{contender.name} closed {closed} of {len(connections)} idle connections")
