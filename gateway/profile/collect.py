"""Ask every planned source, within one deadline, and let no source hurt another.

Side by side, but for those that stand behind another one (``Item.fallback``): such a chain is asked one after the other
until one answers, and what is left of the time is shared out evenly among those still to be asked.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.base import Connector, Progress, Query, Reply, Subject, Try, joined
from connectors.engine.connector import DeclarativeConnector
from connectors.ports import Guard
from gateway.profile.plan import Item, Plan
from gateway.profile.sound import sound
from gateway.profile.window import within
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
    tries: tuple[Try, ...] = ()


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
) -> tuple[Gathered, ...]:
    """One Gathered per item of the plan that was asked, in its order. ``deadline`` is on the event loop's monotonic
    clock; ``use`` is the permit, where late answers are waited for.

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
        query = Query(subject, item.dataset, item.fields, plan.first, plan.last, use)
        try:
            answer = await connector.fetch(query, watched, deadline, progress)
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
        return gathered(item, reply, error, progress)

    def gathered(item: Item, reply: Reply | None, error: UpstreamError | None, progress: Progress) -> Gathered:
        connector = connectors[item.connector]
        latency = int((loop.time() - started) * 1000)
        attempts = progress.attempts if reply is None else reply.attempts
        tries = tuple(joined(progress.tries))
        return Gathered(item, connector.version, connector.assurance, reply, error, latency, attempts, tries)

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
