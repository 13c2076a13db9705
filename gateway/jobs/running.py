"""Profiles that are made while nobody waits: ``Prefer: respond-async`` (RFC 7240 section 4.1) on ``POST /v1/profiles``.

The work is the same coroutine as without it. It is known by its permit: that is durable before any platform is called,
so whichever process is asked later can say what became of it, also of what died with its process.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from sqlalchemy import Connection, select

from consent.permits import OUTCOME_UNKNOWN, Permit
from consent.profiles import access_refused
from consent.rows import ISSUED, OPEN
from consent.tables import permits
from gateway.profile.issue import IssuedProfile
from gateway.services import Services
from schemas.base import utc_text
from schemas.errors import NotFound, Overloaded, ProfileNotMade, XinqiaoError

MOST = 256
"""Profiles that one process makes at a time while nobody waits."""

log = structlog.get_logger()

Work = Callable[[Callable[[Permit], None]], Coroutine[Any, Any, IssuedProfile]]
"""Makes a profile, and tells its permit as soon as it has one."""


class Jobs:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[IssuedProfile]] = set()

    async def begin(self, work: Work, wait: float) -> IssuedProfile | Permit:
        """The profile where it is made within ``wait`` seconds after its permit, else the permit. What is refused is
        raised at once. Raises Overloaded."""
        if len(self._tasks) >= MOST:
            raise Overloaded(retry_after=1)
        granted: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(work(granted.set_result), name="profile")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        either: set[asyncio.Future[Any]] = {task, granted}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=wait)
        return task.result() if task.done() else granted.result()

    def _ended(self, task: asyncio.Task[IssuedProfile]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, XinqiaoError):
            log.error("defect", where="profile", error_type=type(error).__name__)

    async def stop(self, seconds: float) -> None:
        """Let them come to their end, and close what has not by then."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


JOBS = web.AppKey("jobs", Jobs)


@asynccontextmanager
async def running_jobs(seconds: float) -> AsyncIterator[Jobs]:
    """``seconds`` is how long they may take when it is closed."""
    jobs = Jobs()
    try:
        yield jobs
    finally:
        await jobs.stop(seconds)


@dataclass(frozen=True, slots=True)
class Pending:
    """Work under a permit that may still end with a profile, at ``valid_until`` at the latest."""

    permit_id: str
    valid_until: str


def _permit(connection: Connection, permit_id: str) -> tuple[str, str, str, str | None, str] | None:
    columns = (permits.c.lender, permits.c.consent_id, permits.c.outcome, permits.c.profile_id, permits.c.valid_until)
    row = connection.execute(select(*columns).where(permits.c.id == permit_id)).one_or_none()
    return None if row is None else (row[0], row[1], row[2], row[3], row[4])


async def profile_of(services: Services, permit_id: str, lender: str) -> str | Pending:
    """The id of the profile that was made under a permit. Raises ProfileNotMade where none ever will be, and NotFound,
    also for another lender's permit."""
    held = await services.evidence.read(_permit, permit_id)
    if held is None or held[0] != lender:
        about = held[1] if held else None
        await services.evidence.submit(access_refused(lender, NotFound.code, "read profile", about))
        raise NotFound(what="profile")
    _, _, outcome, profile_id, valid_until = held
    if outcome == ISSUED and profile_id is not None:
        return profile_id
    if outcome != OPEN:
        raise ProfileNotMade(why=outcome)
    if valid_until <= utc_text(services.now()):
        # Whoever was at work is dead or may not release anything; the sweep will write the same.
        raise ProfileNotMade(why=OUTCOME_UNKNOWN)
    return Pending(permit_id, valid_until)
