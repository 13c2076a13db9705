"""The load: N requests from C callers over keep-alive connections, and the CPU that a server process used for them."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


@dataclass(frozen=True, slots=True)
class Round:
    """``cpu`` is the server's CPU seconds, ``latencies`` in seconds, one per request."""

    requests: int
    wall: float
    cpu: float
    latencies: tuple[float, ...]


async def load(url: str, bodies: Sequence[bytes], headers: Mapping[str, str], callers: int, server_pid: int) -> Round:
    """Send every body once. A reply that is not 200 ends the run: a fast error is not a fast profile."""
    queue = iter(bodies)
    latencies: list[float] = []
    sent = {"Content-Type": "application/json", **headers}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for body in queue:
                started = time.perf_counter()
                async with session.post(url, data=body, headers=sent) as reply:
                    content = await reply.read()
                    if reply.status != 200:
                        raise RuntimeError(f"{reply.status} {content[:300]!r}")
                latencies.append(time.perf_counter() - started)

        cpu = cpu_seconds(server_pid)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())
        wall = time.perf_counter() - started
        cpu = cpu_seconds(server_pid) - cpu
    return Round(len(bodies), wall, cpu, tuple(latencies))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
