"""How sources are doing: counted by minute, told between processes, shown, and used when fetches are planned."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connectors.engine.connector import DeclarativeConnector
from consent.evidence import Evidence
from gateway.jobs import sharing as module
from gateway.jobs.health import AILING_FETCHES, CLASSES, MINUTES, Health, packed, summary, unpacked
from gateway.jobs.sharing import Farewell, Report, Sharing, sharing, told
from gateway.jobs.standing import standing
from gateway.services import Services
from schemas.base import utc_text
from schemas.errors import (
    CircuitOpen,
    Maintenance,
    QuotaExhausted,
    UpstreamError,
    UpstreamPending,
    UpstreamTimeout,
)
from tests.consent_world import Clock, world
from tests.late_world import Watch, gateway, settings

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
URL = "http://127.0.0.1:9"
ID = "xx-bureau"


def test_share_and_median_are_those_of_thirty_minutes() -> None:
    health = Health()
    health.record("x", UpstreamTimeout(), 9, NOW - timedelta(minutes=MINUTES))
    for latency in (1, 30, 30, 900):
        health.record("x", None, latency, NOW)
    health.record("x", UpstreamTimeout(), 5000, NOW - timedelta(minutes=MINUTES - 1))
    found = summary([health.minutes["x"]], NOW)
    assert (found.fetches, found.share, found.p50) == (5, Decimal("0.8000"), 35)


def test_without_an_answer_there_is_no_median_and_without_a_fetch_no_share() -> None:
    health = Health()
    health.record("x", UpstreamTimeout(), 9, NOW)
    found = summary([health.minutes["x"]], NOW)
    assert (found.share, found.p50) == (Decimal("0.0000"), None)
    assert summary([], NOW).share is None


def test_an_answer_that_took_longer_than_any_class_is_in_the_last() -> None:
    health = Health()
    health.record("x", None, 10**6, NOW)
    assert summary([health.minutes["x"]], NOW).p50 == CLASSES[-1]


@pytest.mark.parametrize("error", [CircuitOpen(), Maintenance(), QuotaExhausted(), UpstreamPending()])
def test_what_was_not_asked_or_not_answered_yet_is_not_counted(error: UpstreamError) -> None:
    health = Health()
    health.record("x", error, 1, NOW)
    assert health.minutes == {}


def test_minutes_that_are_too_old_are_forgotten_and_the_rest_survives_being_told() -> None:
    health = Health()
    for minute in range(3 * MINUTES):
        health.record("x", None, 1, NOW + timedelta(minutes=minute))
    assert len(health.minutes["x"]) == MINUTES
    assert unpacked(packed(health.minutes["x"])) == health.minutes["x"]


def test_a_source_that_seldom_answers_or_is_open_is_ailing() -> None:
    health = Health()
    for _ in range(AILING_FETCHES):
        health.record("bad", UpstreamTimeout(), 1, NOW)
        health.record("half", None, 1, NOW)
        health.record("half", UpstreamTimeout(), 1, NOW)
    for _ in range(AILING_FETCHES - 1):
        health.record("few", UpstreamTimeout(), 1, NOW)
    health.judge(["open"], {name: [minutes] for name, minutes in health.minutes.items()}, NOW)
    assert health.ailing == {"bad", "open"}
    health.judge([], {name: [minutes] for name, minutes in health.minutes.items()}, NOW + timedelta(minutes=MINUTES))
    assert health.ailing == frozenset()


@pytest_asyncio.fixture
async def evidence(tmp_path: Path) -> AsyncIterator[Evidence]:
    async with world(tmp_path / "x.sqlite", Clock(NOW)) as made:
        yield made


async def test_processes_that_live_are_counted_and_the_dead_are_not(evidence: Evidence) -> None:
    for holder in ("one", "two", "two"):
        await evidence.submit(Report(holder, {}))
    assert (await evidence.read(told, NOW)).living == 2
    await evidence.submit(Farewell("two"))
    assert (await evidence.read(told, NOW)).living == 1
    assert (await evidence.read(told, NOW + timedelta(seconds=11))).living == 0


async def test_counts_of_processes_are_kept_apart_and_the_latest_opening_holds(evidence: Evidence) -> None:
    health = Health()
    health.record("x", None, 1, NOW)
    counted = {"x": packed(health.minutes["x"])}
    soon, later = (utc_text(NOW + timedelta(seconds=s)) for s in (3, 5))
    await evidence.submit(Report("one", counted, {"x": later}))
    await evidence.submit(Report("two", counted, {"x": soon}))
    await evidence.submit(Report("two", {}))
    heard = await evidence.read(told, NOW)
    assert heard.counted == {"x": [health.minutes["x"]] * 2}
    assert heard.open_until == {"x": later}
    assert (await evidence.read(told, NOW + timedelta(seconds=5))).open_until == {}
    await evidence.submit(Report("two", counted))
    assert len((await evidence.read(told, NOW)).counted["x"]) == 2


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    limits = '\n[limits]\ndaily = 100\nrate = "10/s"\nconcurrency = 4\n'
    async with gateway(settings(tmp_path, URL, limits=limits), Watch()) as made:
        yield made


def bureau_of(services: Services) -> DeclarativeConnector:
    held = services.connectors[ID]
    assert isinstance(held, DeclarativeConnector)
    return held


async def test_what_one_process_finds_open_another_leaves_alone(services: Services, tmp_path: Path) -> None:
    async with gateway(services.settings, Watch()) as other:
        bureau_of(services).breaker.hold(30.0)
        mine, theirs = Sharing(services), Sharing(other)
        await mine.report()
        await theirs.report()
        assert 25 < bureau_of(other).breaker.wait <= 30
        assert other.health.ailing == {ID}
        stands = (await standing(other))(other.connectors[ID])
        assert (stands.breaker, stands.quota_left) == ("open", 100)
        assert stands.next_attempt_at is not None
        await mine.stop()
        await theirs.stop()


async def test_what_is_told_slowly_holds_no_longer_than_was_said(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    async with gateway(services.settings, watch) as other:
        bureau_of(services).breaker.hold(10.0)
        mine, theirs = Sharing(services), Sharing(other)
        await mine.report()
        read = other.evidence.read

        async def slowly(*arguments: Any) -> Any:
            heard = await read(*arguments)
            watch.ahead += timedelta(seconds=3)
            return heard

        monkeypatch.setattr(other.evidence, "read", slowly)
        await theirs.report()
        assert 0 < bureau_of(other).breaker.wait <= 7
        await mine.stop()
        await theirs.stop()


async def test_the_rate_is_parted_among_those_that_live(services: Services) -> None:
    async with gateway(services.settings, Watch()) as other:
        mine, theirs = Sharing(services), Sharing(other)
        await theirs.report()
        await mine.report()
        gate = bureau_of(services).gate
        for _ in range(2):
            await asyncio.wait_for(gate.__aenter__(), 5)
        third = asyncio.ensure_future(gate.__aenter__())
        await asyncio.sleep(0.01)
        assert not third.done()
        await theirs.stop()
        await mine.report()
        await asyncio.wait_for(third, 5)
        await mine.stop()


async def test_how_a_platform_stands_is_seen_without_the_process_that_asked_it(services: Services) -> None:
    services.health.record(ID, None, 40, services.now())
    services.health.record(ID, UpstreamTimeout(), 40, services.now())
    assert (await standing(services))(services.connectors[ID]).summary.fetches == 0
    await Sharing(services).report()
    await services.evidence.submit(Report("another", {}))
    assert services.health.changed == set()
    stands = (await standing(services))(services.connectors[ID])
    assert (stands.summary.fetches, stands.summary.share, stands.summary.p50) == (2, Decimal("0.5000"), 50)
    assert (stands.breaker, stands.quota_left, stands.next_attempt_at) == ("closed", 100, None)


async def test_a_used_up_quota_says_when_the_next_day_begins(services: Services) -> None:
    connector = bureau_of(services)
    quota = connector._line.quota
    assert quota is not None
    for _ in range(96):
        await quota.take(services.now().timestamp())
    stands = (await standing(services))(connector)
    assert stands.quota_left == 0
    assert stands.next_attempt_at is not None
    assert stands.next_attempt_at.endswith("T16:00:00.000+00:00")


async def test_it_reports_again_and_again_and_a_failure_does_not_end_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.01)
    calls = 0
    whole = Sharing.report

    async def report(self: Sharing) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError
        await whole(self)

    monkeypatch.setattr(Sharing, "report", report)
    async with sharing(services):
        async with asyncio.timeout(20):
            while calls < 4:  # noqa: ASYNC110 - what is waited for happens in another task
                await asyncio.sleep(0.01)
        assert (await services.evidence.read(told, services.now())).living == 1
    assert (await services.evidence.read(told, services.now())).living == 0
