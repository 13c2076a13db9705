"""Every key changes under load, and several gateways begin at once (`make chaos` changes keys ten times)."""

import asyncio
import os
import signal
from pathlib import Path

from tests.faults.nursery import Nursery
from tests.faults.rotations import rotations
from tests.faults.world import place


async def test_while_every_key_changes_nothing_is_refused_and_what_the_old_ones_signed_still_holds(
    tmp_path: Path, nursery: Nursery
) -> None:
    async with place(tmp_path / "data", nursery) as at:
        told, wrong = await rotations(at, 1, callers=2, seconds=0.4)
        assert wrong == []
    assert told.profiles


async def test_three_gateways_that_start_at_once_in_an_empty_folder_serve_one_log(
    tmp_path: Path, nursery: Nursery
) -> None:
    async with place(tmp_path / "data", nursery) as at:
        gateways = [await at.halted() for _ in range(3)]
        for gateway in gateways:
            os.kill(gateway.pid, signal.SIGCONT)
        await asyncio.gather(*(at.wait_for(gateway) for gateway in gateways))
        keys = set()
        for gateway in gateways:
            async with at.session.get(gateway.url + "/log/vkey") as reply:
                keys.add(await reply.text())
        assert len(keys) == 1
