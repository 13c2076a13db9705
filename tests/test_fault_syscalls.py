"""What a gateway asks of the operating system: each acknowledgement comes after the sync of its commit."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.faults.tracing import traced, unsynced, why_not
from tests.faults.world import Acknowledged, place

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
ORDER = "trace=pwrite64,fdatasync,fsync,sendto"


async def transcript(folder: Path, nursery: Nursery, weak: bool) -> tuple[str, Acknowledged]:
    """What one gateway called while it acknowledged consents and profiles of several callers side by side."""
    told = Acknowledged()
    async with place(folder, nursery) as at:
        gateway = await at.start(weak=weak)
        lender = at.lender(gateway)
        await lender.authorization()
        async with traced(gateway, "-e", ORDER) as said:
            for _ in range(3):
                await asyncio.gather(*(at.round(lender, told) for _ in range(8)))
        assert not told.refused
        return said[0], told


async def test_every_acknowledgement_is_sent_after_the_sync_of_its_commit(tmp_path: Path, nursery: Nursery) -> None:
    said, told = await transcript(tmp_path / "data", nursery, weak=False)
    assert (len(told.consents), len(told.profiles)) == (24, 24)
    assert unsynced(said, [*told.consents, *told.profiles]) == []


async def test_a_build_that_does_not_sync_its_commits_is_found_by_the_same_check(
    tmp_path: Path, nursery: Nursery
) -> None:
    said, told = await transcript(tmp_path / "data", nursery, weak=True)
    assert (len(told.consents), len(told.profiles)) == (24, 24)
    assert len(unsynced(said, [*told.consents, *told.profiles])) == 48
