"""What processes on one database tell each other every two seconds: that they live, and how the platforms are doing.

No call waits for it. A platform's rate and concurrency are parted among those that live, and what one of them found
down the others leave alone as well.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, delete, func, insert, select

from connectors.engine.connector import DeclarativeConnector
from consent.batch import Batch, Command
from gateway.jobs.clock import Stepped, Steps
from gateway.jobs.health import MINUTES, Minutes, packed, unpacked
from gateway.jobs.tables import platform_quotas, platform_reports, processes
from gateway.services import Services
from schemas.base import utc_text
from schemas.errors import XinqiaoError

REPORT_SECONDS = 2.0
LIVE = timedelta(seconds=10)
"""A process that has not been heard of for so long is dead."""
AHEAD = timedelta(minutes=1)
"""What is said to be further ahead was written before the clock was put back."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Report(Command[datetime]):
    """That ``holder`` lives, and by connector what it counted and until when (UTC text) it sends nothing.

    Gives the log's time."""

    holder: str
    counted: Mapping[str, str]
    open_until: Mapping[str, str] = field(default_factory=dict)

    def decide(self, batch: Batch) -> datetime:
        connection = batch.connection
        old = utc_text(batch.now - timedelta(minutes=MINUTES))
        connection.execute(delete(processes).where((processes.c.holder == self.holder) | (processes.c.seen_at < old)))
        connection.execute(insert(processes).values(holder=self.holder, seen_at=batch.time))
        table = platform_reports
        mine = (table.c.holder == self.holder) & table.c.platform.in_(self.counted)
        connection.execute(delete(table).where(mine | (table.c.reported_at < old)))
        rows = [
            {
                "holder": self.holder,
                "platform": name,
                "reported_at": batch.time,
                "open_until": self.open_until.get(name),
                "counted": counted,
            }
            for name, counted in self.counted.items()
        ]
        if rows:
            connection.execute(insert(table), rows)
        return batch.now


@dataclass(frozen=True, slots=True)
class Farewell(Command[None]):
    """``holder`` ends; what it counted stays."""

    holder: str

    def decide(self, batch: Batch) -> None:
        batch.connection.execute(delete(processes).where(processes.c.holder == self.holder))


@dataclass(frozen=True, slots=True)
class Told:
    """``living`` processes; by connector when the last one sends again, and what each process counted."""

    living: int
    open_until: Mapping[str, str]
    counted: Mapping[str, list[Minutes]]


def told(connection: Connection, now: datetime) -> Told:
    lives = processes.c.seen_at.between(utc_text(now - LIVE), utc_text(now + AHEAD))
    living = select(func.count()).select_from(processes).where(lives)
    open_until: dict[str, str] = {}
    counted: dict[str, list[Minutes]] = {}
    columns = platform_reports.c.platform, platform_reports.c.open_until, platform_reports.c.counted
    recent = platform_reports.c.reported_at >= utc_text(now - timedelta(minutes=MINUTES))
    for platform, until, text in connection.execute(select(*columns).where(recent)):
        counted.setdefault(platform, []).append(unpacked(text))
        if until is not None and _ahead(until, now) and until > open_until.get(platform, ""):
            open_until[platform] = until
    return Told(connection.scalar(living) or 0, open_until, counted)


def _ahead(until: str, now: datetime) -> bool:
    return utc_text(now) < until <= utc_text(now + AHEAD)


def used_today(connection: Connection, day: str) -> dict[str, int]:
    """Calls of the day's quota that processes took, by platform."""
    rows = select(platform_quotas.c.platform, platform_quotas.c.used).where(platform_quotas.c.day == day)
    return {row[0]: row[1] for row in connection.execute(rows)}


class Sharing:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._holder = secrets.token_hex(8)
        self._open: dict[str, str] = {}
        self._steps = Steps()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            try:
                await self.report()
            except Exception as error:  # whatever the storage does, the next turn tries again
                log.warning("processes_not_told", error_type=type(error).__name__)

    async def report(self) -> None:
        services = self._services
        now, health = services.now(), services.health
        mine = {c.id: c for c in services.connectors.values() if isinstance(c, DeclarativeConnector)}
        waits = {name: c.breaker.wait for name, c in mine.items()}
        found = {name: utc_text(now + timedelta(seconds=wait)) for name, wait in waits.items() if wait}
        # One that is told again by its own word would never end: only a new opening is news.
        news = {name: until for name, until in found.items() if not _ahead(self._open.get(name, ""), now)}
        self._open.update(news)
        changed, health.changed = {*health.changed, *news}, set()
        counted = {name: packed(health.minutes.get(name, {})) for name in changed}
        before = time.monotonic()
        told_at = await services.evidence.submit(Report(self._holder, counted, self._open))
        if step := self._steps.seen(told_at, before, time.monotonic()):
            log.warning("clock_stepped", duration_ms=step * 1000)
            await services.evidence.submit(Stepped(step))
        heard = await services.evidence.read(told, now)
        for name, connector in mine.items():
            await connector.gate.share(max(1, heard.living))
            if until := heard.open_until.get(name):
                # By what is left now: with a time from before the database was asked, two processes that tell each
                # other would keep a breaker open a little longer each time.
                connector.breaker.hold((datetime.fromisoformat(until) - services.now()).total_seconds())
        health.judge([name for name, c in mine.items() if not c.breaker.closed], heard.counted, now)

    async def stop(self) -> None:
        with suppress(XinqiaoError):
            await self._services.evidence.submit(Farewell(self._holder))


@asynccontextmanager
async def sharing(services: Services) -> AsyncIterator[None]:
    """While it is open, this process is one of those that part the platforms' limits among them."""
    work = Sharing(services)
    await work.report()
    task = asyncio.create_task(work.run(), name="sharing")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await work.stop()
