"""connectors.quota: calls of a day, counted for all processes, and where they are counted."""

import asyncio
from pathlib import Path

import pytest

from connectors.ports import MemoryState
from connectors.quota import Quota
from gateway.jobs.state import DatabaseState
from schemas.errors import QuotaExhausted
from tests.consent_world import Clock, world
from tests.engine_world import BASE, NOW, Scripted, body, bureau, connector, fetch, row

DAY = 86400


async def taken(quota: Quota, most: int, now: float = NOW) -> int:
    for count in range(most):
        try:
            await quota.take(now)
        except QuotaExhausted:
            return count
    return most


async def test_exactly_the_quota_is_given_and_more_the_next_day() -> None:
    quota = Quota(MemoryState(), "x", 45)
    assert await taken(quota, 100) == 45
    with pytest.raises(QuotaExhausted) as caught:
        await quota.take(NOW)
    # NOW is 2026-11-24 in Shanghai, whose next day begins at 16:00 UTC.
    assert caught.value.details == {"next_attempt_at": "2026-11-24T16:00:00.000+00:00"}
    assert await taken(quota, 100, NOW + DAY) == 45


async def test_two_processes_never_exceed_it_together() -> None:
    state = MemoryState()
    one, two = Quota(state, "x", 100), Quota(state, "x", 100)
    counts = [await taken(one, 30), await taken(two, 100), await taken(one, 100)]
    assert sum(counts) == 100


async def test_many_at_once_take_one_slice() -> None:
    state = MemoryState()
    quota = Quota(state, "x", 1000)
    await asyncio.gather(*(quota.take(NOW) for _ in range(50)))
    assert state.used == {("x", "2026-11-24"): 50}


async def test_the_database_counts_for_all_and_forgets_the_days_before(tmp_path: Path) -> None:
    async with world(tmp_path / "x.sqlite", Clock()) as evidence:
        state = DatabaseState()
        state.open(evidence)
        given = [await state.take_quota("p", "2026-11-24", 40, 100) for _ in range(4)]
        assert given == [40, 40, 20, 0]
        assert await state.take_quota("other", "2026-11-24", 40, 100) == 40
        assert await state.take_quota("p", "2026-11-25", 40, 100) == 40
        assert await state.take_quota("p", "2026-11-24", 40, 100) == 40  # forgotten: no clock goes back a day


async def test_a_platform_is_not_called_beyond_its_day(tmp_path: Path) -> None:
    script = Scripted(by=lambda _: body([row()]))
    asked = connector(bureau(tmp_path, base=BASE + "\n[limits]\ndaily = 2\n"), script)
    await fetch(asked)
    await fetch(asked)
    with pytest.raises(QuotaExhausted):
        await fetch(asked)
    assert len(script.requests) == 2
