"""What a gateway asks of the operating system: each acknowledgement comes after the sync of its commit."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.faults.syscalls import Syscalls
from tests.faults.tracing import traced, unsynced, why_not
from tests.faults.world import Acknowledged, place

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
ORDER = "trace=pwrite64,fdatasync,fsync,sendto"


async def transcript(folder: Path, nursery: Nursery, how: str) -> tuple[str, Acknowledged]:
    """What one gateway called while it acknowledged consents and profiles of several callers side by side."""
    told = Acknowledged()
    async with place(folder, nursery) as at:
        gateway = await at.start(how)
        lender = at.lender(gateway)
        await lender.authorization()
        async with traced(gateway, "-e", ORDER) as said:
            for _ in range(3):
                await asyncio.gather(*(at.round(lender, told) for _ in range(8)))
        assert not told.refused
        return said[0], told


async def test_every_acknowledgement_is_sent_after_the_sync_of_its_commit(tmp_path: Path, nursery: Nursery) -> None:
    said, told = await transcript(tmp_path / "data", nursery, "it is")
    assert (len(told.consents), len(told.profiles)) == (24, 24)
    assert unsynced(said, [*told.consents, *told.profiles]) == []


async def test_a_build_that_does_not_sync_its_commits_is_found_by_the_same_check(
    tmp_path: Path, nursery: Nursery
) -> None:
    said, told = await transcript(tmp_path / "data", nursery, "unsynced")
    assert (len(told.consents), len(told.profiles)) == (24, 24)
    assert len(unsynced(said, [*told.consents, *told.profiles])) == 48


async def test_calls_that_fail_and_calls_that_are_the_last_cost_nothing_that_was_acknowledged(
    tmp_path: Path, nursery: Nursery
) -> None:
    async with place(tmp_path / "data", nursery) as at:
        faults = Syscalls(at, "folding")
        numbers = await faults.numbers()
        assert {"write", "pwrite64", "fdatasync"} <= numbers.keys()
        for fault in (
            ("fdatasync", "EIO", 1),
            ("pwrite64", "ENOSPC", 3),
            ("write", "EIO", 2),
            ("pwrite64", "EIO", numbers["pwrite64"] // 2),
            ("fdatasync", "SIGKILL", 2),
            ("pwrite64", "SIGKILL", numbers["pwrite64"] // 3),
        ):
            assert await faults.strike(fault), fault
        assert await faults.opening(("fdatasync", "EIO", 1))
        assert await faults.opening(("pwrite64", "SIGKILL", 2))
        assert faults.wrong == []
    assert len(faults.told.profiles) >= 8
