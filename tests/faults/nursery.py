"""Orders for ``tests.faults.forks``: gateway processes that need not import anything before they start."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent.parent


class Nursery:
    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers = orders, answers

    def start(self, environment: dict[str, str], said: Path, *, how: str = "it is", halted: bool = False) -> int:
        """The pid of a new process that serves; it writes what it says to ``said``. ``how``: as in
        ``tests.faults.forks.AS``; ``halted``: stopped before its first step, until SIGCONT."""
        arguments = ["serve", "--port", "0"]
        order = {"environment": environment, "said": str(said), "arguments": arguments, "how": how, "halted": halted}
        self._orders.write(json.dumps(order).encode() + b"\n")
        self._orders.flush()
        return int(self._answers.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.faults.forks"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Nursery(process.stdin, process.stdout)
        process.stdin.close()
