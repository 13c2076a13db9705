"""Killed at any moment under load, a gateway keeps what it acknowledged (`make chaos` does this 200 times)."""

from pathlib import Path

from tests.faults.kills import kills
from tests.faults.nursery import Nursery
from tests.faults.world import place


async def test_ten_times_killed_under_load_it_starts_again_with_all_that_it_acknowledged_once(
    tmp_path: Path, nursery: Nursery
) -> None:
    async with place(tmp_path / "data", nursery) as at:
        told, _, wrong = await kills(at, 10, seed=7, callers=16, latest=0.6)
        assert wrong == []
        assert await at.judged(told) == []
    assert told.consents
