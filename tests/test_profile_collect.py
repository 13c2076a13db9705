"""Sources side by side: gateway.profile.collect."""

import asyncio
from collections.abc import Mapping

import pytest

from connectors.base import Found, Progress, Query, Reply, Subject
from connectors.ports import Guard, OpenGuard
from consent.log.origins import Origin
from consent.reuse import Leave
from gateway.profile import collect as module
from gateway.profile.collect import Gathered, Spared, collect
from gateway.profile.flights import Flights
from gateway.profile.plan import Item, Plan
from schemas.errors import (
    ConnectorFault,
    ConsentRevoked,
    DeadlineExceeded,
    StorageUnavailable,
    UpstreamDenied,
    UpstreamError,
)
from tests.profiles import NAME, USCC, reply

SUBJECT = Subject(USCC, NAME)


class Source:
    """A connector whose behaviour is one coroutine function."""

    version = "1.0+0123456789ab"
    assurance = "assumed"
    datasets: Mapping[str, frozenset[str]] = {}

    def __init__(self, act: object, id: str = "x") -> None:
        self.act = act
        self.id = id
        self.queries: list[Query] = []
        self.cancelled = False

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        self.queries.append(query)
        progress.attempts += 1
        try:
            return await self.act(guard)  # type: ignore[operator, no-any-return]
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def answer(guard: Guard) -> Reply:
    await guard.may_send()
    await asyncio.sleep(0)
    await guard.may_keep()
    return reply([{"month": "2026-10", "persons": 4}])


async def never(guard: Guard) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError("not reached")


async def run(guard: Guard | None = None, seconds: float = 5.0, **sources: Source) -> tuple[Gathered, ...]:
    items = tuple(Item(name, "provident_fund", frozenset({"month", "persons"})) for name in sources)
    plan = Plan(items, frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
    deadline = asyncio.get_running_loop().time() + seconds
    before = asyncio.all_tasks()
    try:
        return await collect(plan, sources, SUBJECT, guard or OpenGuard(), deadline)
    finally:
        assert asyncio.all_tasks() == before


async def test_an_empty_plan_gathers_nothing() -> None:
    assert await run() == ()


LEAVE = Leave("c-1", 1, "bank-a", "loan_review", "2026-01", "2026-11")


async def spared(
    *items: Item, held: Mapping[Item, Gathered] | None = None, guard: Guard | None = None, **sources: Source
) -> tuple[Gathered, ...]:
    plan = Plan(items, frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
    deadline = asyncio.get_running_loop().time() + 5
    what = Spared(LEAVE, Flights(), held or {})
    return await collect(plan, sources, SUBJECT, guard or OpenGuard(), deadline, "m1", what)


def fund(name: str, *, fallback: bool = False) -> Item:
    return Item(name, "provident_fund", frozenset({"month", "persons"}), fallback=fallback)


def there(item: Item) -> Gathered:
    kept = reply([{"month": "2026-10", "persons": 5}])
    return Gathered(item, "1.0", "assumed", kept, None, 0, 0, (), Origin("reused", "m0", 3, "ab" * 32))


async def test_what_is_there_already_is_not_asked_for_and_stands_in_the_place_of_its_way() -> None:
    a, b = Source(answer), Source(answer)
    first, second = fund("a"), fund("b", fallback=True)
    assert await spared(first, second, held={first: there(first)}, a=a, b=b) == (there(first),)
    assert (a.queries, b.queries) == ([], [])
    # Behind a way that is asked first it takes its turn.
    got = await spared(first, second, held={second: there(second)}, a=Source(denied), b=b)
    assert [(one.reply is None, one.origin is None) for one in got] == [(True, True), (False, False)]
    assert b.queries == []
    (only,) = await spared(first, second, held={second: there(second)}, a=a, b=b)
    assert only.origin is None


class Late(OpenGuard):
    """Lets calls start, and keeps nothing."""

    async def may_keep(self) -> None:
        raise ConsentRevoked


async def test_the_consent_is_asked_before_what_is_there_is_used() -> None:
    item, source = fund("a"), Source(answer)
    with pytest.raises(ConsentRevoked):
        await spared(item, held={item: there(item)}, guard=Late(), a=source)
    assert source.queries == []


@pytest.mark.parametrize("found", [Found.FOUND, Found.ABSENT])
async def test_who_waits_for_the_call_of_another_asks_its_own_consent_on_arrival(found: Found) -> None:
    go, item, flights = asyncio.Event(), fund("a"), Flights()

    async def slow(_: Guard) -> Reply:
        await go.wait()
        return reply([{"month": "2026-10", "persons": 4}] if found is Found.FOUND else [])

    source = Source(slow)
    plan = Plan((item,), frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
    deadline = asyncio.get_running_loop().time() + 5

    def asking(use: str, guard: Guard) -> asyncio.Task[tuple[Gathered, ...]]:
        what = Spared(LEAVE, flights, {})
        return asyncio.create_task(collect(plan, {"a": source}, SUBJECT, guard, deadline, use, what))

    tasks = [asking("m1", OpenGuard()), asking("m2", OpenGuard()), asking("m3", Late())]
    for _ in range(5):
        await asyncio.sleep(0)
    go.set()
    own, shared, refused = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(refused, ConsentRevoked)
    assert isinstance(own, tuple)
    assert isinstance(shared, tuple)
    assert (len(source.queries), own[0].origin, own[0].attempts) == (1, None, 1)
    assert (shared[0].origin, shared[0].attempts) == (Origin("shared", "m1", None, None), 0)
    outcome = "answered" if found is Found.FOUND else "no_record"
    assert [(one.what, one.outcome) for one in shared[0].tries] == [("share", outcome)]


async def test_each_answer_stands_in_the_order_of_the_plan_with_its_query() -> None:
    a, b = Source(answer), Source(answer)
    got = await run(b=b, a=a)
    assert [g.item.platform for g in got] == ["b", "a"]
    assert all(g.reply is not None and g.error is None and g.attempts == 1 and g.latency_ms >= 0 for g in got)
    assert got[0].connector_version == "1.0+0123456789ab"
    query = a.queries[0]
    assert (query.subject, query.dataset, query.fields) == (SUBJECT, "provident_fund", frozenset({"month", "persons"}))
    assert (query.first, query.last) == ((2026, 1), (2026, 11))


async def test_sources_are_asked_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet(guard: Guard) -> Reply:
        await both.wait()
        return await answer(guard)

    got = await run(a=Source(meet), b=Source(meet))
    assert [g.reply is not None for g in got] == [True, True]


async def test_a_typed_failure_stays_with_its_source() -> None:
    async def denied(guard: Guard) -> Reply:
        raise UpstreamDenied(code="403")

    got = await run(a=Source(denied), b=Source(answer))
    assert isinstance(got[0].error, UpstreamDenied)
    assert (got[0].reply, got[0].attempts) == (None, 1)
    assert got[1].reply is not None


@pytest.mark.parametrize("raised", [ValueError("secret 91990000"), KeyError("x"), RecursionError()])
async def test_a_defect_of_a_connector_is_isolated_and_its_text_is_kept_out(raised: Exception) -> None:
    async def broken(guard: Guard) -> Reply:
        raise raised

    got = await run(a=Source(broken), b=Source(answer))
    assert isinstance(got[0].error, ConnectorFault)
    assert got[0].error.details == {}
    assert got[1].reply is not None


async def test_an_answer_that_is_no_reply_is_a_defect_of_the_connector() -> None:
    async def wrong(guard: Guard) -> Reply:
        return {"found": "found"}  # type: ignore[return-value]

    assert isinstance((await run(a=Source(wrong)))[0].error, ConnectorFault)


async def test_a_connector_that_cancels_itself_is_a_defect_and_not_a_deadline() -> None:
    async def cancels(guard: Guard) -> Reply:
        raise asyncio.CancelledError

    assert isinstance((await run(a=Source(cancels)))[0].error, ConnectorFault)


async def test_at_the_deadline_what_is_late_is_cancelled_and_what_is_there_is_kept() -> None:
    slow = Source(never)
    got = await run(seconds=0.02, slow=slow, quick=Source(answer))
    assert isinstance(got[0].error, DeadlineExceeded)
    assert got[0].attempts == 1
    assert slow.cancelled
    assert got[1].reply is not None


async def test_a_deadline_in_the_past_gives_every_source_up() -> None:
    got = await run(seconds=-1.0, a=Source(never))
    assert isinstance(got[0].error, DeadlineExceeded)


async def test_a_connector_that_ignores_cancellation_does_not_hold_the_answer_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.01)
    release = asyncio.Event()

    async def stubborn(guard: Guard) -> Reply:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return await answer(guard)

    before = asyncio.all_tasks()
    item = Item("a", "provident_fund", frozenset({"month", "persons"}))
    plan = Plan((item,), frozenset(), {}, (2026, 1), (2026, 11))
    now = asyncio.get_running_loop().time()
    got = await collect(plan, {"a": Source(stubborn)}, SUBJECT, OpenGuard(), now)
    assert isinstance(got[0].error, DeadlineExceeded)
    release.set()
    await asyncio.gather(*(asyncio.all_tasks() - before))


class Refusing:
    """A guard that refuses from the ``after``-th question on."""

    def __init__(self, error: Exception, after: int = 1, on: str = "send") -> None:
        self.error, self.left, self.on = error, after, on

    async def _ask(self, what: str) -> None:
        if what == self.on:
            self.left -= 1
            if self.left <= 0:
                raise self.error

    async def may_send(self) -> None:
        await self._ask("send")

    async def may_keep(self) -> None:
        await self._ask("keep")


@pytest.mark.parametrize("on", ["send", "keep"])
async def test_a_refused_consent_stops_every_source_and_nothing_is_kept(on: str) -> None:
    slow = Source(never)
    with pytest.raises(ConsentRevoked):
        await run(Refusing(ConsentRevoked(), on=on), slow=slow, quick=Source(answer))
    assert slow.cancelled


async def test_answers_that_came_before_the_refusal_are_not_kept_either() -> None:
    with pytest.raises(ConsentRevoked):
        await run(Refusing(ConsentRevoked(), after=2), a=Source(answer), b=Source(answer))


@pytest.mark.parametrize("swallow", ["as an upstream error", "as an answer"])
async def test_a_connector_that_swallows_the_refusal_does_not_get_past_it(swallow: str) -> None:
    async def swallows(guard: Guard) -> Reply:
        try:
            await guard.may_send()
        except ConsentRevoked:
            if swallow == "as an answer":
                return reply([])
            raise UpstreamError from None
        raise AssertionError("the guard must refuse")

    with pytest.raises(ConsentRevoked):
        await run(Refusing(ConsentRevoked()), a=Source(swallows))


async def test_a_consent_that_cannot_be_read_stops_everything_too() -> None:
    with pytest.raises(StorageUnavailable):
        await run(Refusing(StorageUnavailable()), a=Source(answer), b=Source(answer))


async def test_a_refusal_on_the_way_out_of_the_deadline_still_counts() -> None:
    async def asks_when_cancelled(guard: Guard) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            await guard.may_send()
        raise AssertionError("not reached")

    with pytest.raises(ConsentRevoked):
        await run(Refusing(ConsentRevoked()), seconds=0.01, a=Source(asks_when_cancelled))


async def test_a_caller_that_goes_away_leaves_no_fetch_behind() -> None:
    asked = asyncio.Event()

    async def asked_for_ever(guard: Guard) -> Reply:
        asked.set()
        return await never(guard)

    slow = Source(asked_for_ever)
    waiting = asyncio.ensure_future(run(a=slow, seconds=60))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.cancelled


def chain(*names: str) -> tuple[Item, ...]:
    """Each but the first stands behind the one before; the last goes through an outlet."""
    fields = frozenset({"month", "persons"})
    plain = [Item(name, "provident_fund", fields, fallback=n > 0) for n, name in enumerate(names[:-1])]
    return (*plain, Item("bureau", "provident_fund", fields, outlet=names[-1], fallback=len(names) > 1))


async def fetched(items: tuple[Item, ...], seconds: float = 5.0, **sources: Source) -> tuple[Gathered, ...]:
    plan = Plan(items, frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
    deadline = asyncio.get_running_loop().time() + seconds
    return await collect(plan, sources, SUBJECT, OpenGuard(), deadline)


async def denied(guard: Guard) -> Reply:
    raise UpstreamDenied(code="403")


async def test_a_fallback_is_not_asked_where_the_first_answered() -> None:
    second = Source(answer)
    got = await fetched(chain("a", "outlet"), a=Source(answer), outlet=second)
    assert [g.item.connector for g in got] == ["a"]
    assert second.queries == []


async def test_a_fallback_is_asked_where_the_first_failed_and_both_are_reported() -> None:
    got = await fetched(chain("a", "b", "outlet"), a=Source(denied), b=Source(denied), outlet=Source(answer))
    assert [(g.item.platform, g.item.connector, g.reply is None) for g in got] == [
        ("a", "a", True),
        ("b", "b", True),
        ("bureau", "outlet", False),
    ]
    assert [g.attempts for g in got] == [1, 1, 1]


async def test_a_first_that_hangs_leaves_its_share_of_the_time_to_the_next() -> None:
    first = Source(never)
    got = await fetched(chain("a", "outlet"), seconds=0.4, a=first, outlet=Source(answer))
    assert isinstance(got[0].error, DeadlineExceeded)
    assert first.cancelled
    assert got[1].reply is not None


async def test_a_chain_that_the_deadline_ends_names_the_source_it_waited_for() -> None:
    got = await fetched(chain("a", "outlet"), seconds=0.2, a=Source(denied), outlet=Source(never))
    assert isinstance(got[0].error, UpstreamDenied)
    assert isinstance(got[1].error, DeadlineExceeded)
    assert len(got) == 2


async def test_a_refused_consent_stops_a_chain_before_its_fallback() -> None:
    second = Source(answer)
    plan = Plan(chain("a", "outlet"), frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
    deadline = asyncio.get_running_loop().time() + 5
    with pytest.raises(ConsentRevoked):
        await collect(plan, {"a": Source(answer), "outlet": second}, SUBJECT, Refusing(ConsentRevoked()), deadline)
    assert second.queries == []
