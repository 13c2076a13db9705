"""Trying again within deadline and budget, what Retry-After is worth (fault U5), the gate in front of a platform."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.resilience import Gate, RetryBudget, RetryPolicy, attempts, retry_after
from schemas.errors import (
    ConsentRevoked,
    DeadlineExceeded,
    UpstreamBusy,
    UpstreamConnect,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
)

NOW = datetime(2026, 11, 24, 6, 0, 0, tzinfo=UTC)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Platform:
    """Answers with the given failures in turn, then well. ``cost`` seconds pass in every call."""

    def __init__(self, clock: Clock, *failures: Exception, cost: float = 0.0) -> None:
        self._clock = clock
        self._failures = list(failures)
        self._cost = cost
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        self._clock.now += self._cost
        if self._failures:
            raise self._failures.pop(0)
        return "answer"


async def run(
    platform: Callable[[], Awaitable[str]],
    clock: Clock,
    *,
    left: float = 10.0,
    budget: RetryBudget | None = None,
    policy: RetryPolicy | None = None,
    on_attempt: Callable[[], None] | None = None,
) -> str:
    return await attempts(
        platform,
        policy=policy or RetryPolicy(attempts=3),
        deadline=clock.now + left,
        clock=clock,
        sleep=clock.sleep,
        budget=budget,
        on_attempt=on_attempt,
    )


async def test_a_call_that_succeeds_is_made_once_without_waiting() -> None:
    clock = Clock()
    platform = Platform(clock)
    assert await run(platform, clock) == "answer"
    assert (platform.calls, clock.slept) == (1, [])


@pytest.mark.parametrize("failure", [UpstreamTruncated, UpstreamConnect, UpstreamTimeout, UpstreamBusy])
async def test_a_passing_failure_is_tried_again_and_every_attempt_is_counted(failure: type[UpstreamError]) -> None:
    clock = Clock()
    platform = Platform(clock, failure(), failure())
    counted: list[int] = []
    assert await run(platform, clock, on_attempt=lambda: counted.append(platform.calls)) == "answer"
    assert counted == [0, 1, 2]
    assert len(clock.slept) == 2


@pytest.mark.parametrize("failure", [UpstreamMalformed(), ConsentRevoked(), ValueError("a defect")], ids=repr)
async def test_a_failure_that_would_stay_is_raised_at_once(failure: Exception) -> None:
    clock = Clock()
    platform = Platform(clock, failure)
    with pytest.raises(type(failure)) as raised:
        await run(platform, clock)
    assert raised.value is failure
    assert platform.calls == 1


async def test_a_lasting_failure_after_a_passing_one_ends_it() -> None:
    clock = Clock()
    platform = Platform(clock, UpstreamTruncated(), ConsentRevoked())
    with pytest.raises(ConsentRevoked):
        await run(platform, clock)
    assert platform.calls == 2


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_the_last_failure_is_raised_as_it_is_when_the_attempts_are_used_up(count: int) -> None:
    clock = Clock()
    failures = [UpstreamTruncated(number=n) for n in range(9)]
    platform = Platform(clock, *failures)
    with pytest.raises(UpstreamTruncated) as raised:
        await run(platform, clock, policy=RetryPolicy(attempts=count))
    assert raised.value is failures[count - 1]
    assert platform.calls == count


async def test_waits_are_random_and_grow_to_the_cap() -> None:
    bounds = [0.5, 1.0, 2.0, 2.0, 2.0]
    seen: list[list[float]] = []
    for _ in range(30):
        clock = Clock()
        platform = Platform(clock, *[UpstreamTruncated() for _ in range(5)])
        await run(platform, clock, left=100, policy=RetryPolicy(attempts=6, base=0.5, cap=2.0))
        seen.append(clock.slept)
    for position, bound in enumerate(bounds):
        waits = {waits[position] for waits in seen}
        assert all(0 <= wait <= bound for wait in waits)
        assert len(waits) > 20  # not in step with one another
    assert max(waits[3] for waits in seen) > 1.0


async def test_a_retry_that_could_not_begin_before_the_deadline_is_not_waited_for() -> None:
    clock = Clock()
    platform = Platform(clock, UpstreamTruncated(), UpstreamTruncated(), cost=2.0)
    with pytest.raises(UpstreamTruncated):
        await run(platform, clock, left=1.9)
    assert (platform.calls, clock.slept) == (1, [])


async def test_no_time_left_means_no_call() -> None:
    clock = Clock()
    platform = Platform(clock)
    with pytest.raises(DeadlineExceeded):
        await run(platform, clock, left=0)
    assert platform.calls == 0


async def test_a_call_that_outlasts_the_deadline_is_cut_off() -> None:
    ended: list[str] = []

    async def hang() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return "never"

    with pytest.raises(DeadlineExceeded):
        await attempts(hang, policy=RetryPolicy(), deadline=asyncio.get_running_loop().time() + 0.05)
    assert ended == ["cancelled"]


async def test_a_timeout_of_the_calls_own_is_not_taken_for_the_deadline() -> None:
    async def own() -> str:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await attempts(own, policy=RetryPolicy(), deadline=asyncio.get_running_loop().time() + 5)


async def test_a_cancellation_is_never_tried_again() -> None:
    clock = Clock()
    calls: list[int] = []

    async def cancelled() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise UpstreamTruncated
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run(cancelled, clock)
    assert len(calls) == 2


# --- Retry-After -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "least"), [(0, 0), (3, 3), (9, 9)])
async def test_what_the_platform_asks_for_is_waited_for(asked: int, least: int) -> None:
    clock = Clock()
    platform = Platform(clock, UpstreamBusy(retry_after=asked))
    assert await run(platform, clock, left=10) == "answer"
    (slept,) = clock.slept
    assert least <= slept < least + 0.2001


@pytest.mark.parametrize("asked", [10, 10**9])
async def test_a_wait_beyond_the_deadline_fails_at_once(asked: int) -> None:
    clock = Clock()
    platform = Platform(clock, UpstreamBusy(retry_after=asked))
    with pytest.raises(UpstreamBusy):
        await run(platform, clock, left=10)
    assert (platform.calls, clock.slept) == (1, [])


async def test_a_wait_that_is_no_number_counts_as_none() -> None:
    clock = Clock()
    assert await run(Platform(clock, UpstreamBusy(retry_after="soon")), clock) == "answer"
    assert clock.slept[0] <= 0.2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1000000000", 10**9),
        ("Tue, 24 Nov 2026 06:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 06:00:30 -0000", 30),
        ("Tuesday, 24-Nov-26 06:01:00 GMT", 60),
        ("Tue Nov 24 06:00:05 2026", 5),
        ("Tue, 24 Nov 2026 05:59:00 GMT", 0),
        ("Tue, 24 Nov 2020 05:59:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251606800799),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("１２", None),
        ("99999999999", None),
        ("soon", None),
        ("", None),
        ("Tue, 24 Nov 2026 99:00:00 GMT", None),
        ("Tue, 24 Nov 2026 06:00:30 +99999999999", None),
        ("Tue, 24 Nov 99999 06:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, seconds: int | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_no_retry_after_is_none() -> None:
    assert retry_after({}, NOW) is None


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_retry_after_is_a_number_of_seconds_or_nothing(text: str) -> None:
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or seconds >= 0


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_a_date_and_its_distance_say_the_same(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"retry-after": date}, NOW) == retry_after({"retry-after": str(seconds)}, NOW)


# --- Budget ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.1, 1 / 6, 0.2, 0.3, 0.5, 0.9, 1.0])
async def test_in_a_minute_of_an_outage_there_are_at_most_one_and_a_fifth_requests_a_caller(share: float) -> None:
    """Whatever share of the requests fails, retries included, after nine seconds in which none did."""
    clock, chance = Clock(), random.Random(7)
    budget = RetryBudget(clock)
    calls, failing = 0, False

    async def call() -> str:
        nonlocal calls
        calls += 1
        if failing and chance.random() < share:
            raise UpstreamConnect
        return "answer"

    async def ask() -> None:
        clock.now += 0.05
        with suppress(UpstreamConnect):
            await run(call, clock, budget=budget, policy=RetryPolicy(attempts=3, base=0.0))

    for _ in range(9 * 20):
        await ask()
    calls, failing = 0, True
    for _ in range(60 * 20):
        await ask()
    assert 60 * 20 < calls <= 1.2 * 60 * 20 + RetryBudget.FLOOR


async def test_a_short_trouble_after_good_times_is_got_over() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    policy = RetryPolicy(attempts=3, base=0.0)
    for _ in range(50):
        await run(Platform(clock), clock, budget=budget, policy=policy)
    for _ in range(10):
        assert await run(Platform(clock, UpstreamConnect()), clock, budget=budget, policy=policy) == "answer"


async def test_a_quiet_platform_always_has_three_retries_in_ten_seconds() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    clock.now += 9.9
    assert not budget.take()
    clock.now += 0.1
    assert budget.take()


def test_the_budget_forgets_what_was_earned_with_its_ten_seconds() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(100):
        budget.earn()
    assert sum(budget.take() for _ in range(100)) == 20
    clock.now += 10
    budget.earn()
    assert sum(budget.take() for _ in range(100)) == 3


async def test_a_retry_that_cannot_be_made_in_time_takes_nothing_from_the_budget() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    with pytest.raises(UpstreamBusy):
        await run(Platform(clock, UpstreamBusy(retry_after=99)), clock, budget=budget)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]


# --- Gate ------------------------------------------------------------------------------------------------------


async def enter(gate: Gate, clock: Clock, entries: list[float]) -> None:
    async with gate:
        entries.append(clock())


@given(st.integers(1, 9), st.integers(1, 40), st.lists(st.floats(0, 0.7), max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_second_ever_sees_more_entries_than_the_rate(rate: int, count: int, pauses: list[float]) -> None:
    async def scenario() -> list[float]:
        clock = Clock()
        gate = Gate(100, rate, clock=clock, sleep=clock.sleep)
        entries: list[float] = []
        for pause in pauses:
            clock.now += pause
            await enter(gate, clock, entries)
        await asyncio.gather(*(enter(gate, clock, entries) for _ in range(count)))
        return entries

    entries = asyncio.run(scenario())
    assert len(entries) == count + len(pauses)
    assert all(later - earlier > 1 - 1e-9 for earlier, later in zip(entries, entries[rate:], strict=False))


@pytest.mark.parametrize(("rate", "at_once", "span"), [(20, 20, 1.0), (2.5, 2, 0.8), (0.1, 1, 10.0)])
async def test_the_rate_lets_a_burst_through_and_then_waits(rate: float, at_once: int, span: float) -> None:
    clock = Clock()
    gate = Gate(1, rate, clock=clock, sleep=clock.sleep)
    entries: list[float] = []
    for _ in range(at_once + 1):
        await enter(gate, clock, entries)
    assert entries == [1000.0] * at_once + [pytest.approx(1000.0 + span)]


async def test_only_so_many_are_inside_at_once() -> None:
    gate = Gate(2, 1000)
    inside, most = 0, 0

    async def visit() -> None:
        nonlocal inside, most
        async with gate:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(10)))
    assert (inside, most) == (0, 2)


async def test_those_who_give_up_while_waiting_have_used_nothing() -> None:
    clock = Clock()
    opened = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await opened.wait()
        clock.now += seconds

    gate = Gate(3, 1, clock=clock, sleep=sleep)
    entries: list[float] = []
    await enter(gate, clock, entries)
    waiting = [asyncio.create_task(enter(gate, clock, entries)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting[:2]:
        task.cancel()
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    opened.set()
    await waiting[2]
    await enter(gate, clock, entries)
    assert entries == [1000.0, 1001.0, 1002.0]


async def test_a_visit_that_fails_leaves_its_place() -> None:
    gate = Gate(1, 1000)
    for _ in range(3):
        with pytest.raises(UpstreamConnect):
            async with gate:
                raise UpstreamConnect


async def test_processes_share_rate_and_concurrency_and_give_the_part_back() -> None:
    gate = Gate(4, 100)
    await gate.share(2)
    inside = [gate, gate]
    for one in inside:
        await one.__aenter__()
    third = asyncio.ensure_future(gate.__aenter__())
    await asyncio.sleep(0)
    assert not third.done()
    await gate.share(1)
    await asyncio.wait_for(third, 5)
    await gate.share(4)
    # Three are inside where one is allowed: two leave before anybody else enters.
    fourth = asyncio.ensure_future(gate.__aenter__())
    for _ in range(2):
        await gate.__aexit__(None, None, None)
        await asyncio.sleep(0)
        assert not fourth.done()
    await gate.__aexit__(None, None, None)
    await asyncio.wait_for(fourth, 5)
    await gate.__aexit__(None, None, None)
    await gate.share(1)
    assert await asyncio.wait_for(_enter(gate, 4), 5) == 4


async def _enter(gate: Gate, times: int) -> int:
    for _ in range(times):
        await gate.__aenter__()
    return times
