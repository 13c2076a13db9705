"""Gateway processes without the two seconds that importing takes: one process imports everything once and forks.

``python -m tests.faults.forks`` (``tests.faults.nursery`` starts it) reads orders (JSON, one a line), forks a child for
each that runs the command ``xinqiao`` as it is, and prints the child's pid. What is forked has opened nothing and
started no thread. Everything that still runs is killed when standard input closes.
"""

import json
import os
import signal
import sqlite3
import sys
from contextlib import suppress
from typing import Any

from consent import storage
from consent.storage import Database
from gateway.cli.main import main


def unsynced() -> None:
    """The mistake that the order of calls must show: commits that are not synced before they are acknowledged."""
    connect = Database._write_connection

    def weak(database: Database) -> sqlite3.Connection:
        connection = connect(database)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    Database._write_connection = weak  # type: ignore[method-assign, assignment]


def folding() -> None:
    """The write-ahead log is folded into the file at every commit, and not after 32 MiB."""
    storage.CHECKPOINT_PAGES = 1


def impatient() -> None:
    """A lock is waited for half a second, and not five."""
    storage.BUSY_SECONDS = 0.5


AS = {"it is": lambda: None, "unsynced": unsynced, "folding": folding, "impatient": impatient}


def run(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(order["environment"])
    said = os.open(order["said"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(old, new)
    os.closerange(3, 256)
    AS[order["how"]]()
    if order["halted"]:
        os.kill(os.getpid(), signal.SIGSTOP)  # until somebody who wants to see the whole start lets it go on
    sys.argv = ["xinqiao", *order["arguments"]]
    main()


def serve_orders() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    born = []
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():
        if not (pid := os.fork()):
            run(json.loads(line))
            return
        born.append(pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in born:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve_orders()
