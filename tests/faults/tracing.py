"""strace on a running gateway: what it calls, what is made to fail, whether acknowledgements come after their sync."""

import asyncio
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.world import Gateway

WRITES = ("write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate")
_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")
_DONE = re.compile(r"\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_WAL = "".join(f"\\x{byte:02x}" for byte in b".sqlite-wal") + ">"
_FRAME_HEADER = 24
"""Bytes before each page in the write-ahead log; its second number is not 0 in the last frame of a commit
(https://www.sqlite.org/fileformat2.html section 4.1)."""


def why_not() -> str:
    """Why strace cannot be used here; empty where it can."""
    try:
        done = subprocess.run(
            ["strace", "-f", "-e", "trace=none", "true"], capture_output=True, check=False, timeout=20
        )
    except OSError:
        return "strace is not installed"
    return "" if done.returncode == 0 else "strace may not trace here: " + done.stderr.decode("utf-8", "replace")[:200]


@asynccontextmanager
async def traced(gateway: Gateway, *options: str) -> AsyncIterator[list[str]]:
    """Trace all threads of the gateway inside the block; the transcript is in the list after it."""
    said: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        transcript = Path(temporary) / "transcript"
        command = ["strace", "-f", "-y", "-xx", "-s", "70000", "-o", str(transcript), *options, "-p", str(gateway.pid)]
        strace = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        assert strace.stderr is not None
        first = await strace.stderr.readline()
        assert b"attached" in first, first
        drained = asyncio.create_task(strace.stderr.read())
        try:
            yield said
        finally:
            if gateway.alive and strace.returncode is None:
                strace.terminate()
            await drained
            await strace.wait()
            said.append(transcript.read_text("ascii"))


@dataclass(frozen=True, slots=True)
class Call:
    """One line: the beginning of a call, its end, or both. ``result`` is None where it only begins."""

    thread: int
    name: str
    began: bool
    arguments: str
    result: int | None

    def text(self) -> bytes:
        found = _TEXT.search(self.arguments)
        return bytes.fromhex(found[1].replace("\\x", "")) if found else b""


def calls(transcript: str) -> Iterator[Call]:
    for line in transcript.splitlines():
        if match := _CALL.match(line):
            done = _DONE.search(match[3].rsplit('"', 1)[-1])
            began = "<... " not in line
            yield Call(int(match[1]), match[2], began, match[3], int(done[1]) if done else None)


def counted(transcript: str) -> Counter[str]:
    """How often each call of WRITES was made, in the thread that made it most: so strace counts."""
    most: Counter[str] = Counter()
    for (name, _), count in Counter((c.name, c.thread) for c in calls(transcript) if c.began).items():
        most[name] = max(most[name], count)
    return Counter({name: most[name] for name in WRITES if most[name]})


def _synced(every: list[Call]) -> Iterator[int]:
    """Where a sync of the write-ahead log, and of no other file, has ended well."""
    of_wal: dict[int, bool] = {}
    for at, call in enumerate(every):
        if call.name in ("fdatasync", "fsync"):
            if call.began:
                of_wal[call.thread] = _WAL in call.arguments
            if call.result == 0 and of_wal.get(call.thread):
                yield at


def unsynced(transcript: str, ids: list[str]) -> list[str]:
    """The ids whose acknowledgement was sent before the commit that holds them was synced, or that never were.

    The transcript must hold ``pwrite64``, ``fdatasync``, ``fsync`` and ``sendto`` from before the first request on. The
    commit of an id is the first that writes the id's bytes into the write-ahead log.
    """
    every = list(calls(transcript))
    wal = [(at, c) for at, c in enumerate(every) if c.name == "pwrite64" and c.began and _WAL in c.arguments]
    texts = [(at, c.text()) for at, c in wal]
    ends = [at for at, text in texts if len(text) == _FRAME_HEADER and any(text[4:8])]
    syncs = list(_synced(every))
    answers = [(at, c.text()) for at, c in enumerate(every) if c.name == "sendto" and c.began]
    found = []
    for id in ids:
        name = id.encode()
        written = next((at for at, text in texts if name in text), None)
        sent = next((at for at, text in answers if text.startswith(b"HTTP/1.1 2") and name in text), None)
        if written is None or sent is None:
            found.append(id)
            continue
        # The header of a frame comes before its page: the id may stand in the page of the last frame.
        header = max((at for at, text in texts if at < written and len(text) == _FRAME_HEADER), default=written)
        end = next((at for at in ends if at >= header), None)
        if end is None or not any(end < at < sent and at > written for at in syncs):
            found.append(id)
    return found
