"""A client that is refused again and again is told to wait, and the log neither fills up nor loses count."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from consent.evidence import Evidence
from gateway.audit.refusals import UNKNOWN, Refusals
from schemas.errors import TooManyRequests
from schemas.identifiers import uscc_check
from tests import consent_world
from tests.gateway_world import gateway_world


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def evidence(place: Path | str) -> AsyncIterator[Evidence]:
    async with consent_world.world(place) as opened:
        yield opened


async def told(evidence: Evidence) -> list[dict[str, Any]]:
    return [orjson.loads(one.entry) for one in await evidence.entries(0, evidence.size)]


async def limited(evidence: Evidence) -> list[tuple[str, int]]:
    return [(e["actor"], e["count"]) for e in await told(evidence) if e["event"] == "access.limited"]


async def test_the_allowance_is_used_up_and_comes_back_with_time(evidence: Evidence) -> None:
    clock = Clock()
    refusals = Refusals(evidence, burst=3, per_minute=30, clock=clock)
    for _ in range(3):
        await refusals.admit("bank-a")
        assert refusals.spend("bank-a")
    with pytest.raises(TooManyRequests) as caught:
        await refusals.admit("bank-a")
    assert caught.value.details["retry_after"] == 2
    await refusals.admit("bank-b")
    clock.now = 2.0
    await refusals.admit("bank-a")


async def test_requests_side_by_side_gain_no_more_refusals_than_one_after_the_other(evidence: Evidence) -> None:
    clock = Clock()
    refusals = Refusals(evidence, burst=3, per_minute=60, clock=clock)
    for _ in range(100):
        await refusals.admit("bank-a")
    assert [refusals.spend("bank-a") for _ in range(100)] == [True] * 3 + [False] * 97
    clock.now = 97.5
    with pytest.raises(TooManyRequests) as caught:
        await refusals.admit("bank-a")
    assert caught.value.details["retry_after"] == 1
    clock.now = 98.0
    await refusals.admit("bank-a")


async def test_what_was_not_looked_at_is_told_once_a_minute_and_nothing_is_lost(evidence: Evidence) -> None:
    clock = Clock()
    refusals = Refusals(evidence, burst=1, per_minute=1, clock=clock)
    assert refusals.spend("bank-a")
    attempts = 0
    for second in range(59):
        clock.now = float(second)
        for _ in range(10):
            with pytest.raises(TooManyRequests):
                await refusals.admit("bank-a")
            attempts += 1
    assert await limited(evidence) == [("bank-a", 1)]
    clock.now = 61.0
    await refusals.admit("bank-a")
    assert await limited(evidence) == [("bank-a", 1), ("bank-a", attempts - 1)]


async def test_what_is_not_told_yet_is_told_at_the_end(evidence: Evidence) -> None:
    refusals = Refusals(evidence, burst=1, per_minute=1, clock=Clock())
    refusals.spend("bank-a")
    refusals.spend("bank-b")
    for _ in range(5):
        with pytest.raises(TooManyRequests):
            await refusals.admit("bank-a")
    await refusals.close()
    await refusals.close()
    assert await limited(evidence) == [("bank-a", 1), ("bank-a", 4)]


async def test_wrong_assertions_are_written_down_in_bounded_number(evidence: Evidence) -> None:
    refusals = Refusals(evidence, burst=2, per_minute=1, clock=Clock())
    for _ in range(50):
        await refusals.invalid_client("POST /oauth/token")
    await refusals.close()
    events = [(e["event"], e["actor"]) for e in await told(evidence)]
    assert events == [("access.refused", UNKNOWN)] * 2 + [("access.limited", UNKNOWN)] * 2
    assert [count for _, count in await limited(evidence)] == [1, 47]


async def test_walks_through_ids_and_a_thousand_credit_codes_end_early_and_the_second_is_one_finding(
    tmp_path: Path,
) -> None:
    async with gateway_world(tmp_path, refused_burst=20, refused_per_minute=1) as world:
        replies = [await world.send("GET", f"/v1/consents/c{n:030}", lender=world.other) for n in range(40)]
        assert [reply.status for reply in replies] == [404] * 20 + [429] * 20
        assert 1 <= int(replies[-1].headers["Retry-After"]) <= 60
        assert (await world.send("GET", "/v1/consents", lender=world.other)).status == 429
        assert (await world.send("GET", "/v1/consents", lender=world.lender)).status == 200

        ask, seen, began = world.ask("c" + "0" * 30), Counter[int](), time.monotonic()
        for n in range(1000):
            first = f"91990000{n:08}X"
            subject = {"uscc": first + uscc_check(first), "name": "虚构企业"}
            reply = await world.send("POST", "/v1/profiles", {**ask, "subject": subject}, lender=world.lender)
            seen[reply.status] += 1
        minutes = (time.monotonic() - began) / 60
        assert 20 <= seen[404] <= 20 + minutes + 1
        assert seen[404] + seen[429] == 1000
        entries = await told(world.demo.services.evidence)
        events = Counter((e["actor"], e["event"]) for e in entries)
        assert events["demo-bank", "permit.refused"] == seen[404]
        # One at once, and one a minute.
        assert 1 <= events["demo-bank", "access.limited"] <= minutes + 2
        assert events["other-bank", "access.refused"] == 20
        assert set(events) <= {
            ("demo-bank", "permit.refused"),
            ("demo-bank", "access.limited"),
            ("other-bank", "access.refused"),
            ("other-bank", "access.limited"),
        }
        report = await world.send("GET", "/v1/log/anomalies", lender=world.auditor)
        (one,) = [one for one in report.json["findings"] if one["rule"] == "enumeration"]
        assert (one["actor"], one["officer"], one["count"]) == ("demo-bank", None, seen[404])
