"""A platform browns out, answers half of the time and heals, under callers who do not wait for each other:

    python -m tests.faults.outage [REQUESTS_PER_SECOND]

One platform on a real socket, one connector before it. First the platform answers 503, which opens the breaker; then
the same with two connectors, as two processes have them, which tell each other what they find through a database; then
429, which never opens it, so that only the retry budget stands between the callers and the platform.
"""

import asyncio
import heapq
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count, cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

import orjson

from connectors.breaker import Breaker
from connectors.engine.connector import DeclarativeConnector
from connectors.kit.hostile import Peer, hostile, message
from connectors.resilience import RetryBudget
from connectors.transport import AioTransport
from gateway.jobs.health import Health
from gateway.jobs.sharing import REPORT_SECONDS, Sharing
from gateway.services import Services
from schemas.errors import UpstreamError
from tests.consent_world import world
from tests.engine_world import BASE, FUND, NOW, SECRETS, body, bureau, fetch, row

HEALTHY, DOWN, MIXED, HEALED = 5.0, 30.0, 30.0, 20.0
"""Seconds of each phase."""
LATENCY = 0.05
BUCKET = 0.1
LATE = 0.02
"""Seconds of callers that a machine which stood still may have to make up for: more would be a spike of its own."""
MANIFEST = BASE + '\n[limits]\nrate = "100000/s"\nconcurrency = 256\n'
ANSWER = message(200, orjson.dumps(body([row()])))


class Clock(Protocol):
    def __call__(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def until(self, at: float) -> None: ...


class Real:
    def __call__(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())


class Driven:
    """A clock that goes from one caller to the next, as fast as the sockets let it: what is seen by it does not depend
    on how busy the machine is."""

    TURNS = 6
    """Of the event loop between two callers, so that sockets are read and written."""

    def __init__(self) -> None:
        self._now = 0.0
        self._number = count()
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._asleep, (self._now + seconds, next(self._number), future))
        await future

    async def until(self, at: float) -> None:
        self._now = max(self._now, at)
        while self._asleep and self._asleep[0][0] <= self._now:
            _, _, future = heapq.heappop(self._asleep)
            if not future.done():
                future.set_result(None)
        for _ in range(self.TURNS):
            await asyncio.sleep(0)


class Watched(Breaker):
    """Remembers when it opened."""

    def __init__(self, clock: Clock) -> None:
        self.opened: list[float] = []
        super().__init__(clock)

    def _open(self, seconds: float) -> None:
        self.opened.append(self._clock())
        super()._open(seconds)


@dataclass
class Platform:
    """What the platform sees: when each request came, and how many probes it had at once."""

    clock: Clock
    breakers: Sequence[Breaker]
    """One for each process before it."""
    failing: int
    """Status of a failure."""
    share: float = 0.0
    """Of the requests that fail."""
    chance: Callable[[], float] = field(default_factory=lambda: random.Random(4).random)
    seen: list[float] = field(default_factory=list)
    first_failure: float | None = None
    probes: int = 0
    most_probes: int = 0

    async def serve(self, peer: Peer) -> None:
        while True:
            await peer.request()
            # All open, and the time of one is over: whatever comes now was let through as a probe.
            probe = all(not one.closed for one in self.breakers) and any(one.wait == 0 for one in self.breakers)
            self.seen.append(self.clock())
            self.probes += probe
            self.most_probes = max(self.most_probes, self.probes)
            await self.clock.sleep(LATENCY)
            self.probes -= probe
            fails = self.chance() < self.share
            if fails and self.first_failure is None:
                self.first_failure = self.clock()
            await peer.send(message(self.failing, b"") if fails else ANSWER)


@dataclass(frozen=True, slots=True)
class Seen:
    """Times in seconds of the clock."""

    processes: int
    rate: float
    """Callers in a second, as they came."""
    outage: tuple[int, int]
    """From the first failure to the healing: callers, and requests that the platform got."""
    opened_after: float | None
    """From the first failure; None where it never opened."""
    openings: int
    most_probes: int
    recovered_after: float
    """From the healing until the last caller who got nothing."""
    spike: float
    """After that, the fullest tenth of a second against the mean of all."""

    @property
    def allowed(self) -> float:
        callers, _ = self.outage
        return (1 + RetryBudget.SHARE) * callers + RetryBudget.FLOOR * self.processes

    def __str__(self) -> str:
        callers, got = self.outage
        opened = "never opened"
        if self.opened_after is not None:
            opened = f"opened {self.opened_after:.1f} s after the first failure, {self.openings} times in all"
        return (
            f"{self.rate:.0f} callers a second; in the outage {callers:,} of them and {got:,} requests, "
            f"{got / callers:.3f}; breaker {opened}; at most {self.most_probes} probes at once; answering all again "
            f"{self.recovered_after:.1f} s after healing; then the fullest 100 ms had {self.spike:.2f} of the mean"
        )


@asynccontextmanager
async def telling(folder: Path, connectors: Sequence[DeclarativeConnector], clock: Clock) -> AsyncIterator[None]:
    """Each connector is one process's; they tell each other through a database what processes do."""

    def now() -> datetime:
        return datetime.fromtimestamp(NOW + clock(), UTC)

    async with world(folder / "told.sqlite", cast("Any", now)) as evidence:
        held = [
            SimpleNamespace(connectors={one.id: one}, health=Health(), now=now, evidence=evidence) for one in connectors
        ]
        shares = [Sharing(cast("Services", one)) for one in held]

        async def tell() -> None:
            while True:
                for one in shares:
                    await one.report()
                await clock.sleep(REPORT_SECONDS)

        task = asyncio.create_task(tell())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def suffered(folder: Path, failing: int, rate: float, clock: Clock, processes: int = 1) -> Seen:
    breakers = [Watched(clock) for _ in range(processes)]
    platform = Platform(clock, breakers, failing)
    fired: list[float] = []
    failed: list[float] = []

    async def ask(connector: DeclarativeConnector) -> None:
        try:
            await fetch(connector, patience=30)
        except UpstreamError:
            failed.append(clock())

    async with hostile(platform.serve) as server:
        transport = AioTransport(allowed_private=[server.origin])
        loaded = bureau(folder, FUND, MANIFEST)
        connectors = [
            DeclarativeConnector(loaded, transport, SECRETS, base_url=server.url, clock=lambda: NOW, sleep=clock.sleep)
            for _ in breakers
        ]
        for connector, breaker in zip(connectors, breakers, strict=True):
            object.__setattr__(connector._line, "breaker", breaker)
            object.__setattr__(connector._line, "budget", RetryBudget(clock))
        waiting: set[asyncio.Task[None]] = set()
        at = began = clock()
        turns = cycle(connectors)
        async with telling(folder, connectors, clock) if processes > 1 else nullcontext():
            for seconds, platform.share in ((HEALTHY, 0.0), (DOWN, 1.0), (MIXED, 0.5), (HEALED, 0.0)):
                healed = clock()
                while clock() < healed + seconds:
                    task = asyncio.create_task(ask(next(turns)))
                    waiting.add(task)
                    task.add_done_callback(waiting.discard)
                    fired.append(clock())
                    at = max(at + 1 / rate, clock() - LATE)
                    await clock.until(at)
        ended = clock()
        while waiting:
            await clock.until(clock() + 1 / rate)
        await transport.close()
    assert platform.first_failure is not None
    outage = partial(_count, platform.first_failure, healed)
    recovered = max([healed, *failed])
    buckets = Counter(int((one - recovered) / BUCKET) for one in platform.seen if recovered <= one < ended)
    whole = int((ended - recovered) / BUCKET)
    counts = [buckets[number] for number in range(whole)]
    opened = sorted(at for breaker in breakers for at in breaker.opened)
    return Seen(
        processes=processes,
        rate=len(fired) / (ended - began),
        outage=(outage(fired), outage(platform.seen)),
        opened_after=opened[0] - platform.first_failure if opened else None,
        openings=len(opened),
        most_probes=platform.most_probes,
        recovered_after=recovered - healed,
        spike=max(counts) * whole / sum(counts),
    )


def _count(first: float, end: float, times: list[float]) -> int:
    return sum(1 for one in times if first <= one < end)


def wrong(seen: Seen) -> list[str]:
    """Which promises did not hold."""
    _, got = seen.outage
    checks = {
        "the platform got more than one request a caller, a fifth and three": got <= seen.allowed,
        "the breaker opened too late": seen.opened_after is None or seen.opened_after <= Breaker.WINDOW,
        "too many probes at once": seen.most_probes <= Breaker.PROBES * seen.processes,
        "not all answered ten seconds after healing": seen.recovered_after <= 10,
        "a spike after the recovery": seen.spike < 3,
    }
    return [what for what, held in checks.items() if not held]


async def main(rate: float) -> int:
    flaws: list[str] = []
    for failing, processes in ((503, 1), (503, 2), (429, 1)):
        with tempfile.TemporaryDirectory() as folder:
            seen = await suffered(Path(folder), failing, rate, Real(), processes)
        flaws += wrong(seen)
        print(f"{failing} for {DOWN:.0f} s, to one in two for {MIXED:.0f} s, processes {processes}: {seen}", flush=True)
    print(f"{len(flaws)} wrong {flaws}")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1000.0)))
