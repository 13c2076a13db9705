"""Our own clock is put back and forth while a gateway runs (fault U21)."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from connectors.engine.connector import DeclarativeConnector
from gateway.demo import export_and_verify
from gateway.jobs.clock import Steps
from gateway.jobs.sharing import Sharing
from tests.gateway_world import World, gateway_world

AT = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with gateway_world(tmp_path) as made:
        yield made


def entries(world: World) -> list[dict[str, object]]:
    source = world.demo.services.evidence.log_source()
    return [json.loads(entry) for entry in source.entries(0, world.demo.services.evidence.size)]


async def test_profiles_go_on_and_the_log_says_where_its_clock_was_moved(world: World) -> None:
    consent = (await world.consent())["id"]
    share = Sharing(world.demo.services)
    await share.report()
    sections = []
    with capture_logs() as lines:
        for step in (timedelta(0), -HOUR, HOUR):
            world.watch.ahead += step
            await share.report()
            sections.append((await world.lender.profile(world.ask(consent)))["sections"]["social_insurance"]["state"])
    await share.stop()
    assert sections == ["present"] * 3
    assert [line["duration_ms"] for line in lines if line["event"] == "clock_stepped"] == [-3_600_000, 3_600_000]
    told = [(one["event"], one.get("seconds")) for one in entries(world)]
    steps = [seconds for event, seconds in told if event == "clock.stepped"]
    assert steps == [-3600, 3600]
    report = await export_and_verify(world.demo.services, world.demo.services.settings.data / "export")
    assert report.ok
    # The index is the order, whatever the times say.
    times = [str(one["time"]) for one in entries(world)]
    assert times != sorted(times)


async def test_a_breaker_that_was_open_when_the_clock_was_put_back_does_not_stay_open(world: World) -> None:
    share = Sharing(world.demo.services)
    held = world.demo.services.connectors["sh-hrss"]
    assert isinstance(held, DeclarativeConnector)
    held.breaker.hold(6.0)
    await share.report()
    world.watch.ahead -= HOUR
    await share.report()
    await share.stop()
    assert held.breaker.wait <= 6.0


@pytest.mark.parametrize(
    ("went", "took", "step"),
    [
        pytest.param(2.0, 2.0, 0, id="both went alike"),
        pytest.param(2.9, 2.0, 0, id="less than a second is no step"),
        pytest.param(3602.0, 2.0, 3600, id="forth"),
        pytest.param(-3598.0, 2.0, -3600, id="back"),
        pytest.param(-1.0, 2.0, -3, id="by a little more than what had gone by"),
    ],
)
def test_a_step_is_what_the_monotonic_clock_does_not_bear_out(went: float, took: float, step: int) -> None:
    steps = Steps()
    assert steps.seen(AT, 0.0, 0.0) == 0
    assert steps.seen(AT + timedelta(seconds=went), took, took) == step
    assert steps.seen(AT + timedelta(seconds=went + 2.0), took + 2.0, took + 2.0) == 0


def test_a_commit_that_took_long_is_no_step() -> None:
    """The clock was read somewhere in those nine seconds, at their beginning or their end."""
    steps = Steps()
    steps.seen(AT, 0.0, 9.0)
    assert steps.seen(AT + timedelta(seconds=2), 11.0, 11.0) == 0
    assert steps.seen(AT + timedelta(seconds=12), 13.0, 22.0) == 0
