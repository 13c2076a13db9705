"""Asks again for what was pending, and makes the next revision of a profile when an answer has come.

The consent is asked before each call, on arrival, and in the commit that releases: a late answer is the same use of the
same permit, and comes within its validity or not at all.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from aiohttp import web

from connectors.base import joined
from gateway.jobs.pending import Abandon, ClaimLate, ForgetLate, Late, Postpone, ReleaseLate, due
from gateway.profile.carried import Carried, packed, unpacked
from gateway.profile.collect import Gathered, collect
from gateway.profile.issue import issue
from gateway.profile.plan import Item
from gateway.services import Services
from gateway.telemetry import trying_again
from schemas.base import utc_text
from schemas.errors import ConnectorFault, ConsentError, ConsentSuspended, UpstreamPending, XinqiaoError

LOOK_SECONDS = 1.0
FORGET_SECONDS = 600.0
SUSPENDED_SECONDS = 60.0
"""After which a consent that rests is looked at again."""

log = structlog.get_logger()


class LateAnswers:
    """``run`` looks for work until it is cancelled."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._woken = asyncio.Event()
        self._holder = secrets.token_hex(8)
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        evidence, clock, forgot = self._services.evidence, asyncio.get_running_loop().time, float("-inf")
        while True:
            with trying_again("late_answers_wait"):
                for permit_id in await evidence.read(due, utc_text(self._services.now())):
                    if permit_id not in self._asking:
                        self._asking[permit_id] = asyncio.create_task(self._ask(permit_id), name=f"late {permit_id}")
                if clock() - forgot >= FORGET_SECONDS:
                    await evidence.submit(ForgetLate())
                    forgot = clock()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)
            self._woken.clear()

    def wake(self) -> None:
        """Something has come: look now."""
        self._woken.set()

    async def _ask(self, permit_id: str) -> None:
        evidence = self._services.evidence
        lease = self._services.settings.limits.deadline_seconds + 60
        try:
            with trying_again("late_answers_wait"):
                late = await evidence.submit(ClaimLate(permit_id, self._holder, lease))
                if late is None:
                    return
                carried = unpacked(late.work)
                try:
                    await self._again(late, carried)
                except ConsentSuspended:
                    wait = self._services.now() + timedelta(seconds=SUSPENDED_SECONDS)
                    await evidence.submit(Postpone(permit_id, self._holder, utc_text(wait), late.work, late.come))
                except ConsentError:
                    await evidence.submit(Abandon(permit_id))
        finally:
            del self._asking[permit_id]

    async def _again(self, late: Late, carried: Carried) -> None:
        services, permit = self._services, late.permit
        items, now = carried.pending, utc_text(services.now())
        here = [item for item in items if item.connector in services.connectors and _is_due(carried, item, now, late)]
        guard = services.evidence.guard(permit)
        deadline = asyncio.get_running_loop().time() + services.settings.limits.deadline_seconds
        alone = replace(carried.plan, items=tuple(replace(item, fallback=False) for item in here))
        subject = carried.request.subject
        answers = await collect(alone, services.connectors, subject, guard, deadline, permit.id)
        fresh = {item: replace(g, item=item) for item, g in zip(here, answers, strict=True)}
        gathered = _once_each([_merged(one, fresh.get(one.item), services) for one in carried.gathered])
        carried = replace(carried, gathered=gathered)
        until = utc_text(permit.valid_until)
        if len(carried.pending) == len(items) and not _is_last(carried, until):
            work = packed(carried)
            await services.evidence.submit(Postpone(permit.id, self._holder, carried.due, work, late.come))
            return
        request = replace(carried.request, revision=carried.request.revision + 1)
        new = [one for one in gathered if one.item in fresh and not isinstance(one.error, UpstreamPending)]
        await issue(services, permit, guard, replace(carried, request=request), new, late.come)
        log.info("late_answer", profile_id=request.profile_id, revision=request.revision)

    async def stop(self) -> None:
        """What was on its way is asked again by whoever looks next."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        with suppress(XinqiaoError):
            await self._services.evidence.submit(ReleaseLate(self._holder))


def _is_due(carried: Carried, item: Item, now: str, late: Late) -> bool:
    if f"{item.connector}/{item.dataset}" in late.come:
        return True
    return any(one.item == item and _next(one) <= now for one in carried.gathered)


def _next(one: Gathered) -> str:
    return str(one.error.details["next_attempt_at"]) if isinstance(one.error, UpstreamPending) else ""


def _is_last(carried: Carried, until: str) -> bool:
    return any(_next(one) >= until for one in carried.gathered)


def _merged(one: Gathered, fresh: Gathered | None, services: Services) -> Gathered:
    if fresh is not None:
        tries = tuple(joined([*one.tries, *fresh.tries]))
        return replace(fresh, attempts=one.attempts + fresh.attempts, tries=tries)
    if isinstance(one.error, UpstreamPending) and one.item.connector not in services.connectors:
        return replace(one, error=ConnectorFault())
    return one


def _once_each(gathered: Sequence[Gathered]) -> tuple[Gathered, ...]:
    """Of what a platform holds one answer: the newest, where another came through its outlet meanwhile."""
    answers: dict[str, Gathered] = {}
    for one in gathered:
        if one.reply is not None:
            held = answers.get(one.item.source)
            answers[one.item.source] = one if held is None else max(held, one, key=_fetched_at)
    return tuple(one for one in gathered if one.reply is None or answers[one.item.source] is one)


def _fetched_at(one: Gathered) -> datetime:
    assert one.reply is not None  # noqa: S101 - only answers are compared
    return one.reply.fetched_at


LATE = web.AppKey("late", LateAnswers)


@asynccontextmanager
async def late_answers(services: Services) -> AsyncIterator[LateAnswers]:
    """While it is open, late answers are asked for."""
    work = LateAnswers(services)
    task = asyncio.create_task(work.run(), name="late answers")
    try:
        yield work
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await work.stop()
