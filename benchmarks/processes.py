"""Server processes of a run: started on one core, ended by closing their standard input, killed if they do not."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    pid: int
    url: str


@contextmanager
def server(command: Sequence[str], core: int, extra_lines: int = 0) -> Iterator[tuple[Server, list[str]]]:
    """Start ``command`` pinned to ``core``; its first line is the port, ``extra_lines`` more are handed back."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{command[0]} did not start")
        lines = [process.stdout.readline().strip() for _ in range(extra_lines)]
        yield Server(process.pid, f"http://127.0.0.1:{port}"), lines
    finally:
        process.stdin.close()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
