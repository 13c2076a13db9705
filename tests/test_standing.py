"""gateway.jobs.standing: what is shown of a platform, besides what tests/test_health.py shows between processes."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from connectors.base import Progress, Query, Reply
from connectors.engine.connector import DeclarativeConnector
from connectors.ports import Guard
from gateway.jobs.health import packed
from gateway.jobs.sharing import Report
from gateway.jobs.standing import standing
from gateway.services import Services
from schemas.base import utc_text
from tests.late_world import Watch, gateway, settings

ID = "xx-bureau"
SUNDAY = datetime(2100, 1, 2, 18, 30, tzinfo=UTC)
"""02:30 of the third, a Sunday, in Asia/Shanghai."""


class Plain:
    """A connector in Python that counts nothing and breaks nothing."""

    id, version, names, assurance = "plain", "1", {"zh": "甲", "en": "A"}, "assumed"
    datasets: Mapping[str, frozenset[str]] = {}

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        raise NotImplementedError


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    limits = '\n[limits]\nmaintenance = ["Sun 01:00-05:00 Asia/Shanghai"]\n'
    async with gateway(settings(tmp_path, "http://127.0.0.1:9", limits=limits), Watch()) as made:
        yield made


def at(services: Services, moment: datetime, monkeypatch: pytest.MonkeyPatch) -> DeclarativeConnector:
    """The one platform of ``services``, with the time by which it keeps its hours."""
    connector = services.connectors[ID]
    assert isinstance(connector, DeclarativeConnector)
    monkeypatch.setattr(connector, "_clock", moment.timestamp)
    return connector


async def test_a_platform_whose_breaker_waits_for_a_probe_is_half_open_and_asked_now(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = at(services, SUNDAY - timedelta(days=1), monkeypatch)
    connector.breaker.hold(1e-9)
    stands = (await standing(services))(connector)
    assert (stands.breaker, stands.quota_left, stands.next_attempt_at) == ("half_open", None, None)


async def test_in_its_maintenance_a_platform_is_asked_again_when_that_ends(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = (await standing(services))(at(services, SUNDAY, monkeypatch))
    assert (stands.breaker, stands.next_attempt_at) == ("closed", "2100-01-02T21:00:00.000+00:00")
    after = at(services, SUNDAY + timedelta(hours=3), monkeypatch)
    assert (await standing(services))(after).next_attempt_at is None


async def test_of_a_connector_in_python_only_what_is_told_of_it_is_known(services: Services) -> None:
    stands = (await standing(services))(Plain())
    assert (stands.breaker, stands.quota_left, stands.next_attempt_at) == ("closed", None, None)
    later = utc_text(services.now() + timedelta(seconds=30))
    await services.evidence.submit(Report("another", {"plain": packed({})}, {"plain": later}))
    stands = (await standing(services))(Plain())
    assert (stands.breaker, stands.quota_left, stands.next_attempt_at) == ("open", None, later)
