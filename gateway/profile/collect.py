"""Ask every planned source, within one deadline, and let no source hurt another.

Side by side, but for those that stand behind another one (``Item.fallback``): such a chain is asked one after the other
until one answers, and what is left of the time is shared out evenly among those still to be asked.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.base import Connector, Found, Progress, Query, Reply, Subject, Try, joined
from connectors.engine.connector import DeclarativeConnector
from connectors.ports import Guard
from consent.log.origins import Origin
from consent.reuse import Leave
from gateway.profile.flights import Flights, Question
from gateway.profile.plan import Item, Plan
from gateway.profile.sound import sound
from gateway.profile.window import within
from schemas.errors import ConnectorFault, DeadlineExceeded, UpstreamError

GRACE = 0.5
"""Seconds that a cancelled connector gets to end; one that ignores cancellation does not hold the answer up."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one source gave: a reply, or the typed error in its place; both where an older reply stands beside the
    error. ``origin`` is None for what a call under this permit brought."""

    item: Item
    connector_version: str
    assurance: str
    reply: Reply | None
    error: UpstreamError | None
    latency_ms: int
    attempts: int
    tries: tuple[Try, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Spared:
    """What need not be asked: ``held`` is there already, and ``flights`` may be on the way to the rest of what is asked
    under this ``leave``."""

    leave: Leave
    flights: Flights
    held: Mapping[Item, Gathered]


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
    plan: Plan,
    connectors: Mapping[str, Connector],
    subject: Subject,
    guard: Guard,
    deadline: float,
    use: str | None = None,
    spared: Spared | None = None,
) -> tuple[Gathered, ...]:
    """One Gathered per item of the plan that was asked, in its order. ``deadline`` is on the event loop's monotonic
    clock; ``use`` is the permit, where late answers are waited for; ``spared`` is what is not asked again.

    A source's failure of any kind stays in its Gathered. Whatever the guard raises (ConsentError, or that the
    consent could not be read) stops everything: all fetches are cancelled and it is raised, nothing is kept.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    # A manifest may change meanwhile: what is asked and what is recorded is one version.
    connectors = dict(connectors)
    watched = _Watched(guard)
    chains = _chains(plan.items)
    done: list[list[Gathered]] = [[] for _ in chains]
    progresses = [Progress() for _ in chains]

    async def ask(number: int) -> None:
        chain = chains[number]
        for place, item in enumerate(chain):
            progress = progresses[number] = Progress()
            if spared is not None and (held := spared.held.get(item)):
                await watched.may_keep()
                done[number].append(held)
                return
            ends = loop.time() + (deadline - loop.time()) / (len(chain) - place)
            one = await (fetch(item, progress, ends) if place + 1 == len(chain) else in_time(item, progress, ends))
            done[number].append(one)
            if one.reply is not None:
                return

    async def in_time(item: Item, progress: Progress, ends: float) -> Gathered:
        """A source that does not keep its own deadline must not eat that of the next."""
        try:
            async with asyncio.timeout_at(ends):
                return await fetch(item, progress, ends)
        except TimeoutError:
            return gathered(item, None, DeadlineExceeded(), progress)

    async def fetch(item: Item, progress: Progress, deadline: float) -> Gathered:
        connector = connectors[item.connector]
        reply: Reply | None = None
        error: UpstreamError | None = None
        origin: Origin | None = None
        query = Query(subject, item.dataset, item.fields, plan.first, plan.last, use)

        def call() -> Awaitable[Reply]:
            return connector.fetch(query, watched, deadline, progress)

        try:
            if spared is None or use is None:
                answer = await call()
            else:
                question = Question.of(spared.leave, item, connector.version)
                answer, origin = await spared.flights.once(question, use, deadline, call)
            if origin is not None:
                await watched.may_keep()
                outcome = "no_record" if answer.found is Found.ABSENT else "answered"
                progress.tries.append(Try(time.time(), "share", outcome))
                answer = replace(answer, attempts=0)
            if isinstance(answer, Reply) and (isinstance(connector, DeclarativeConnector) or sound(answer, item)):
                reply = within(answer, item.dataset, plan.first, plan.last)
            else:
                error = ConnectorFault()
        except UpstreamError as known:
            error = known
        except (Exception, SystemExit):  # a defect of a connector is isolated here, and named without its text
            error = ConnectorFault()
        if watched.refusal is not None:
            raise watched.refusal
        return gathered(item, reply, error, progress, origin)

    def gathered(
        item: Item, reply: Reply | None, error: UpstreamError | None, progress: Progress, origin: Origin | None = None
    ) -> Gathered:
        connector = connectors[item.connector]
        latency = int((loop.time() - started) * 1000)
        attempts = progress.attempts if reply is None else reply.attempts
        tries = tuple(joined(progress.tries))
        return Gathered(item, connector.version, connector.assurance, reply, error, latency, attempts, tries, origin)

    tasks = [asyncio.create_task(ask(number)) for number in range(len(chains))]
    if not tasks:
        return ()
    late: list[asyncio.Task[None]] = []
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
    for task, chain, answers, progress in zip(tasks, chains, done, progresses, strict=True):
        results += answers
        if task.done() and not task.cancelled():
            task.result()
        elif len(answers) < len(chain):
            failure = DeadlineExceeded() if task in late else ConnectorFault()
            results.append(gathered(chain[len(answers)], None, failure, progress))
    return tuple(results)


def _chains(items: Sequence[Item]) -> list[list[Item]]:
    chains: list[list[Item]] = []
    for item in items:
        if item.fallback:
            chains[-1].append(item)
        else:
            chains.append([item])
    return chains
