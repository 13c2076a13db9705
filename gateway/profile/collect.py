"""Ask every planned source side by side, within one deadline, and let no source hurt another."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.base import Connector, Progress, Query, Reply, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.ports import Guard
from gateway.profile.plan import Item, Plan
from gateway.profile.sound import sound
from schemas.errors import ConnectorFault, DeadlineExceeded, UpstreamError

GRACE = 0.5
"""Seconds that a cancelled connector gets to end; one that ignores cancellation does not hold the answer up."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one source gave: a reply, or the typed error in its place."""

    item: Item
    connector_version: str
    assurance: str
    reply: Reply | None
    error: UpstreamError | None
    latency_ms: int
    attempts: int


class _Watched:
    """The guard, remembering that it said no: a connector that swallows the refusal does not get past it."""

    __slots__ = ("guard", "refusal")

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.refusal: Exception | None = None

    async def may_send(self) -> None:
        try:
            await self.guard.may_send()
        except Exception as error:
            self.refusal = error
            raise

    async def may_keep(self) -> None:
        try:
            await self.guard.may_keep()
        except Exception as error:
            self.refusal = error
            raise


async def collect(
    plan: Plan, connectors: Mapping[str, Connector], subject: Subject, guard: Guard, deadline: float
) -> tuple[Gathered, ...]:
    """One Gathered per item of the plan, in its order. ``deadline`` is on the event loop's monotonic clock.

    A source's failure of any kind stays in its Gathered. Whatever the guard raises (ConsentError, or that the
    consent could not be read) stops everything: all fetches are cancelled and it is raised, nothing is kept.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    watched = _Watched(guard)
    progresses = [Progress() for _ in plan.items]

    async def fetch(item: Item, connector: Connector, progress: Progress) -> Gathered:
        reply: Reply | None = None
        error: UpstreamError | None = None
        query = Query(subject, item.dataset, item.fields, plan.first, plan.last)
        try:
            answer = await connector.fetch(query, watched, deadline, progress)
            if isinstance(answer, Reply) and (isinstance(connector, DeclarativeConnector) or sound(answer, item)):
                reply = answer
            else:
                error = ConnectorFault()
        except UpstreamError as known:
            error = known
        except Exception:  # a defect of a connector is isolated here, and named without its text
            error = ConnectorFault()
        if watched.refusal is not None:
            raise watched.refusal
        return gathered(item, connector, reply, error, progress)

    def gathered(
        item: Item, connector: Connector, reply: Reply | None, error: UpstreamError | None, progress: Progress
    ) -> Gathered:
        latency = int((loop.time() - started) * 1000)
        attempts = progress.attempts if reply is None else reply.attempts
        return Gathered(item, connector.version, connector.assurance, reply, error, latency, attempts)

    tasks = [
        asyncio.create_task(fetch(item, connectors[item.platform], progress))
        for item, progress in zip(plan.items, progresses, strict=True)
    ]
    if not tasks:
        return ()
    late: list[asyncio.Task[Gathered]] = []
    try:
        await asyncio.wait(tasks, timeout=max(0.0, deadline - started), return_when=asyncio.FIRST_EXCEPTION)
    finally:
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=GRACE)
    if watched.refusal is not None:
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # seen: the refusal below speaks for all of them
        raise watched.refusal
    results: list[Gathered] = []
    for task, item, progress in zip(tasks, plan.items, progresses, strict=True):
        if task.done() and not task.cancelled():
            results.append(task.result())
        else:
            failure = DeadlineExceeded() if task in late else ConnectorFault()
            results.append(gathered(item, connectors[item.platform], None, failure, progress))
    return tuple(results)
