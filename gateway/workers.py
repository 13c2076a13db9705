"""Several processes behind one port.

Each is a fork that listens for itself on the same port (SO_REUSEPORT: the kernel shares connections out among them,
https://man7.org/linux/man-pages/man7/socket.7.html); what they share is in the database.
"""

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Worker = Callable[[Callable[[], None]], int]
"""Serves until SIGTERM; calls what it is given once it listens. Answers with the exit status of its process."""

_ENDS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def reserved(host: str, port: int) -> Iterator[tuple[str, int]]:
    """Keep an address with a port (0: a free one) for processes that will listen on it. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # First as if alone: another gateway that shares the port out already would take half of the requests.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        address = probe.getsockname()
    with socket.socket(family, kind, protocol) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
        yield address[0], address[1]


class Workers:
    """Child processes that end together."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._children: set[int] = set()
        self._stopping = False
        # Closed by the kernel when this process dies in any way: the children stop then.
        self._lifeline, self._ours = os.pipe()

    def run(self, count: int, ready: Callable[[], None]) -> int:
        """Run until SIGTERM or SIGINT, or until one of them ends; then all are stopped.

        They start one after the other: what the first one makes or refuses is not made or refused ``count`` times.
        Answers with 0 where all ended as they were told to, else with the status of the first that did not.
        """
        for number in _ENDS:
            signal.signal(number, lambda *_: self._stop())
        started = 0
        while started < count and self._start():
            started += 1
        if started == count:
            ready()
        elif not self._stopping:
            self._stop()
        return self._wait()

    def _start(self) -> bool:
        """Whether one more is listening."""
        listening, says = os.pipe()
        # A signal that comes while there are two of us is for the parent.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        if (child := os.fork()) == 0:
            os.close(listening)
            os.close(self._ours)
            self._be_child(says)
        self._children.add(child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
        os.close(says)
        try:
            return os.read(listening, 1) == b"1" and not self._stopping
        finally:
            os.close(listening)

    def _be_child(self, says: int) -> None:
        status = 1
        try:
            for number in _ENDS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
            threading.Thread(target=self._end_with_parent, daemon=True).start()
            status = self._worker(lambda: _tell(says))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _end_with_parent(self) -> None:
        os.read(self._lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self) -> None:
        self._stopping = True
        for child in self._children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    def _wait(self) -> int:
        found = 0
        while self._children:
            child, status = os.wait()
            self._children.discard(child)
            code = os.waitstatus_to_exitcode(status)
            if not self._stopping:
                found = code if code > 0 else 1
                self._stop()
            elif not found and code not in (0, -signal.SIGTERM):
                found = code if code > 0 else 1
        return found


def _tell(says: int) -> None:
    os.write(says, b"1")
    os.close(says)
