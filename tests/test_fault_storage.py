"""The storage fails under a running gateway: nothing is acknowledged, and nothing needs a restart afterwards."""

from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.faults.storage import disk_full, files_limited, locked, outage, shared, small_disk, syncs_fail
from tests.faults.tracing import why_not
from tests.faults.world import place


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_while_syncs_fail_nothing_is_acknowledged_and_the_gateway_says_so(
    tmp_path: Path, nursery: Nursery
) -> None:
    async with place(tmp_path / "data", nursery) as at:
        gateway = await at.start()
        seen = await outage(at, gateway, syncs_fail(gateway), 1.5, 8)
    assert "/readyz [503]" in seen
    assert "alarm SQLITE_IOERR_FSYNC" in seen


async def test_on_a_full_disk_requests_are_refused_and_space_heals_without_a_restart(
    tmp_path: Path, nursery: Nursery
) -> None:
    try:
        with small_disk(tmp_path / "disk", "4m"):
            async with place(tmp_path / "disk" / "data", nursery) as at:
                at.said = tmp_path
                gateway = await at.start()
                seen = await outage(at, gateway, disk_full(tmp_path / "disk"), 0.5, 8)
            assert "alarm SQLITE_FULL" in seen
    except PermissionError as reason:
        pytest.skip(str(reason))


async def test_a_file_that_may_not_grow_is_no_less_a_full_disk(tmp_path: Path, nursery: Nursery) -> None:
    async with place(tmp_path / "data", nursery) as at:
        gateway = await at.start()
        assert "alarm SQLITE_" in await outage(at, gateway, files_limited(gateway), 0.5, 8)


async def test_a_lock_that_another_process_holds_is_a_bounded_wait_then_a_refusal_for_64_writers(
    tmp_path: Path, nursery: Nursery
) -> None:
    async with place(tmp_path / "data", nursery) as at:
        gateway = await at.start("impatient")
        assert "alarm SQLITE_BUSY" in await outage(at, gateway, locked(at.database), 0.8, 64)


async def test_three_gateways_share_one_log_under_load_and_one_is_killed(tmp_path: Path, nursery: Nursery) -> None:
    async with place(tmp_path / "data", nursery) as at:
        each, wrong = await shared(at, 3, 4, 1.2)
    assert wrong == []
    assert all(one.consents for one in each)
