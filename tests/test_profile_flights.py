"""gateway.profile.flights: one call for equal questions at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from connectors.base import Found, Reply
from consent.reuse import Leave
from gateway.profile.flights import Flights, Question
from gateway.profile.plan import Item
from schemas.errors import ConsentExpired, DeadlineExceeded, UpstreamTimeout, XinqiaoError
from tests.profiles import reply

LEAVE = Leave("c-1", 1, "bank-a", "loan_review", "2025-12", "2026-11")
ITEM = Item("sh-hpf", "provident_fund", frozenset({"month", "persons"}))
QUESTION = Question.of(LEAVE, ITEM, "1.0+0123456789ab")
ANSWER = reply([{"month": "2026-10", "persons": 4}])

Call = Callable[[], Awaitable[Reply]]
LATER = float("inf")


class Platform:
    """Answers when it is told to, each call with what comes next."""

    def __init__(self, *outcomes: Reply | XinqiaoError) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0
        self.go = asyncio.Event()

    async def __call__(self) -> Reply:
        self.calls += 1
        await self.go.wait()
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Reply):
            return outcome
        raise outcome


async def waiting(flights: Flights, platform: Call, *permits: str) -> list[asyncio.Task[object]]:
    async def once(permit: str) -> object:
        return await flights.once(QUESTION, permit, LATER, platform)

    tasks = [asyncio.create_task(once(permit)) for permit in permits]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_all_that_wait_get_the_one_answer_and_are_told_whose_call_it_was() -> None:
    flights, platform = Flights(), Platform(ANSWER)
    tasks = await waiting(flights, platform, "m1", "m2", "m3")
    platform.go.set()
    assert await asyncio.gather(*tasks) == [
        (ANSWER, None),
        (ANSWER, ("shared", "m1", None, None)),
        (ANSWER, ("shared", "m1", None, None)),
    ]
    assert platform.calls == 1


async def test_who_comes_after_the_answer_asks_again() -> None:
    flights, platform = Flights(), Platform(ANSWER, ANSWER)
    platform.go.set()
    assert [await flights.once(QUESTION, permit, LATER, platform) for permit in ("m1", "m2")] == [(ANSWER, None)] * 2
    assert platform.calls == 2


@pytest.mark.parametrize(
    "other",
    [
        Question.of(LEAVE._replace(lender="bank-b"), ITEM, QUESTION.version),
        Question.of(LEAVE._replace(consent_id="c-2"), ITEM, QUESTION.version),
        Question.of(LEAVE._replace(version=2), ITEM, QUESTION.version),
        Question.of(LEAVE._replace(purpose="post_loan"), ITEM, QUESTION.version),
        Question.of(LEAVE._replace(first="2025-11"), ITEM, QUESTION.version),
        Question.of(LEAVE, replace(ITEM, fields=ITEM.fields | {"amount"}), QUESTION.version),
        Question.of(LEAVE, replace(ITEM, fields=frozenset({"month"})), QUESTION.version),
        Question.of(LEAVE, replace(ITEM, outlet="sh-ywtb"), QUESTION.version),
        Question.of(LEAVE, replace(ITEM, dataset="social_insurance"), QUESTION.version),
        Question.of(LEAVE, replace(ITEM, platform="sh-hrss"), QUESTION.version),
        Question.of(LEAVE, ITEM, "1.1+0123456789ab"),
    ],
)
async def test_whatever_differs_has_a_call_of_its_own(other: Question) -> None:
    flights, platform = Flights(), Platform(ANSWER, ANSWER)
    tasks = [asyncio.create_task(flights.once(question, "m1", LATER, platform)) for question in (QUESTION, other)]
    await asyncio.sleep(0)
    assert platform.calls == 2
    platform.go.set()
    assert await asyncio.gather(*tasks) == [(ANSWER, None)] * 2


@pytest.mark.parametrize("failure", [UpstreamTimeout(), DeadlineExceeded(), ConsentExpired(what="permit")])
async def test_a_failure_and_a_refusal_stay_with_whom_they_are_of_and_the_next_asks_for_itself(
    failure: XinqiaoError,
) -> None:
    flights, platform = Flights(), Platform(failure, ANSWER)
    tasks = await waiting(flights, platform, "m1", "m2", "m3")
    platform.go.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert first is failure
    assert others == [(ANSWER, None), (ANSWER, ("shared", "m2", None, None))]
    assert platform.calls == 2


async def test_an_answer_with_something_missing_is_not_shared() -> None:
    partial = replace(ANSWER, found=Found.PARTIAL)
    flights, platform = Flights(), Platform(partial, ANSWER)
    tasks = await waiting(flights, platform, "m1", "m2")
    platform.go.set()
    assert await asyncio.gather(*tasks) == [(partial, None), (ANSWER, None)]


async def test_who_goes_away_takes_nobody_along() -> None:
    flights, platform = Flights(), Platform(ANSWER)
    first, second, third = await waiting(flights, platform, "m1", "m2", "m3")
    second.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert (platform.calls, second.cancelled()) == (1, True)
    first.cancel()
    platform.go.set()
    assert await third == (ANSWER, None)
    assert (platform.calls, first.cancelled()) == (2, True)


async def test_a_call_that_does_not_end_in_its_time_holds_up_nobody_who_comes_after_it() -> None:
    flights, platform, hangs = Flights(), Platform(ANSWER), asyncio.Event()

    async def hanging() -> Reply:
        await hangs.wait()
        return ANSWER

    until = asyncio.get_running_loop().time() + 0.02
    first = asyncio.create_task(flights.once(QUESTION, "m1", until, hanging))
    second, third = await waiting(flights, platform, "m2", "m3")
    platform.go.set()
    assert await second == (ANSWER, None)
    assert await third == (ANSWER, ("shared", "m2", None, None))
    hangs.set()
    assert await first == (ANSWER, None)
    assert vars(flights) == {"_under_way": {}}


async def test_nothing_is_remembered_of_calls_that_ended() -> None:
    flights, platform = Flights(), Platform(UpstreamTimeout())
    platform.go.set()
    with pytest.raises(UpstreamTimeout):
        await flights.once(QUESTION, "m1", LATER, platform)
    assert vars(flights) == {"_under_way": {}}
