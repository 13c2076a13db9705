"""The storage fails for a while, and comes back: ``python -m tests.faults.storage``.

Syncs that fail (strace), a full disk (a small tmpfs where it may be mounted, a limit on the size of files everywhere),
a lock that another process holds, and several gateways that share one log.
"""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

from tests.faults.nursery import nursery
from tests.faults.tracing import traced, why_not
from tests.faults.world import Acknowledged, Gateway, Place, Refused, place

HEAL_SECONDS = 5.0


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A tmpfs of its own at ``folder``. Raises PermissionError where nothing may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        raise PermissionError("there is no mount command") from None
    if done.returncode:
        raise PermissionError("no file system may be mounted here: " + done.stderr.decode("utf-8", "replace").strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def healed(at: Place, gateway: Gateway, told: Acknowledged) -> float:
    """Seconds until the gateway says that it is ready and acknowledges again, without a restart."""
    began = time.monotonic()
    async with asyncio.timeout(60):
        while await at.status(gateway, "/readyz") != 200 or await at.storm(gateway, 1, told):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.monotonic() - began


@asynccontextmanager
async def syncs_fail(gateway: Gateway) -> AsyncIterator[None]:
    """Every sync gives EIO."""
    inject = "inject=fsync,fdatasync:error=EIO:when=1+"
    async with traced(gateway, "-e", "trace=fsync,fdatasync", "-e", inject):
        yield


@asynccontextmanager
async def disk_full(folder: Path) -> AsyncIterator[None]:
    """What is free on the disk of ``folder`` is taken by another file."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (65536, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        ballast.unlink()


@asynccontextmanager
async def files_limited(gateway: Gateway) -> AsyncIterator[None]:
    """No file of the gateway may be larger than 64 KiB."""
    before = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (65536, before[1]))
    try:
        yield
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, before)


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Another process (this one) holds the exclusive lock."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def outage(
    at: Place, gateway: Gateway, fails: AbstractAsyncContextManager[None], seconds: float, callers: int
) -> str:
    """Storms for ``seconds`` of an outage, then healing; what was seen. Raises AssertionError where a promise broke."""
    told = Acknowledged()
    assert await at.storm(gateway, 2, told) == []
    refused: list[Refused] = []
    ready: set[int] = set()
    began = time.monotonic()
    async with fails:
        while time.monotonic() - began < seconds or not refused:
            refused += await at.storm(gateway, callers, told)
            ready.add(await at.status(gateway, "/readyz"))
    assert all(one.as_documented for one in refused), [one for one in refused if not one.as_documented][:3]
    took = await healed(at, gateway, told)
    assert took <= HEAL_SECONDS, took
    assert await at.storm(gateway, callers, told) == []
    assert await at.unserved(gateway, told) == []
    assert (flaws := await at.judged(told)) == [], flaws
    alarms = [line for line in gateway.lines() if line["event"] == "log_not_writable"]
    assert alarms
    return (
        f"{len(refused)} refused with 503 and Retry-After, the slowest after {max(r.seconds for r in refused):.2f} s; "
        f"/readyz {sorted(ready)}; alarm {alarms[0]['reason']}; ready and acknowledging {took:.2f} s after it ended; "
        f"{len(told.consents)} acknowledged, all there once"
    )


async def shared(at: Place, processes: int, callers: int, seconds: float) -> tuple[list[Acknowledged], list[str]]:
    """Several gateways on one log under load, one killed half-way; what each acknowledged, and what is wrong."""
    gateways = [await at.start() for _ in range(processes)]
    stop = asyncio.Event()
    loads = [asyncio.create_task(at.load(gateway, callers, stop)) for gateway in gateways]
    await asyncio.sleep(seconds / 2)
    await gateways[0].end()
    await asyncio.sleep(seconds / 2)
    stop.set()
    each = await asyncio.gather(*loads)
    told = Acknowledged()
    for one in each:
        told.add(one)
    wrong = [f"two heads of {size} entries" for size in _twice(told.heads)]
    return each, wrong + await at.unserved(gateways[-1], told) + await at.judged(told)


def _twice(notes: list[str]) -> list[str]:
    """The sizes at which there are two roots."""
    roots: dict[str, set[str]] = {}
    for note in notes:
        _, size, root, *_ = note.split("\n")
        roots.setdefault(size, set()).add(root)
    return [size for size, found in roots.items() if len(found) > 1]


async def main() -> int:
    with tempfile.TemporaryDirectory() as temporary, nursery() as forks:
        root = Path(temporary)

        async def run(name: str, folder: Path, work: Callable[[Place, Gateway], Awaitable[str]]) -> None:
            async with place(folder, forks) as at:
                at.said = root
                print(f"{name}: {await work(at, await at.start())}", flush=True)

        if reason := why_not():
            print(f"every sync gives EIO: left out, {reason}")
        else:
            await run(
                "every sync gives EIO for 10 s",
                root / "eio",
                lambda at, g: outage(at, g, syncs_fail(g), 10, 16),
            )
        try:
            with small_disk(root / "disk", "4m"):
                await run(
                    "a full disk for 10 s",
                    root / "disk" / "data",
                    lambda at, g: outage(at, g, disk_full(root / "disk"), 10, 16),
                )
        except PermissionError as error:
            print(f"a full disk: left out, {error}")
        await run(
            "files that may not grow for 10 s",
            root / "limit",
            lambda at, g: outage(at, g, files_limited(g), 10, 16),
        )
        await run(
            "another process holds the lock for 30 s, 64 writers",
            root / "lock",
            lambda at, g: outage(at, g, locked(at.database), 30, 64),
        )
        async with place(root / "shared", forks) as at:
            each, wrong = await shared(at, 4, 16, 30)
            counts = [len(one.entries()) for one in each]
            print(f"4 gateways on one log for 30 s, one killed: {counts} acknowledged; {len(wrong)} wrong {wrong[:5]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
