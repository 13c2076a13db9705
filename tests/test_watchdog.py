"""gateway.watchdog: a connector that holds up the event loop is named while it does (fault U23)."""

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.base import Reply
from connectors.ports import Guard
from gateway import watchdog as module
from gateway.watchdog import watchdog
from tests.test_profile_collect import Source, answer, run

Lines = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.05)


def block(lines: Lines, what: Callable[[], object]) -> None:
    """Keeps the loop from turning until somebody has said so."""
    until = time.monotonic() + 20
    while not any(line["event"] == "loop_held_up" for line in lines) and time.monotonic() < until:
        what()


async def test_a_connector_that_waits_without_awaiting_is_named_and_the_others_answer() -> None:
    with capture_logs() as lines:

        async def blocks(guard: Guard) -> Reply:
            await guard.may_send()
            block(lines, lambda: time.sleep(0.01))
            return await answer(guard)

        async with watchdog():
            got = await run(seconds=30.0, quick=Source(answer, "quick"), slow=Source(blocks, "slow"))
    assert all(one.reply is not None for one in got)
    (line,) = lines
    assert (line["event"], line["log_level"], line["platform"]) == ("loop_held_up", "error", "slow")
    assert line["where"].startswith("test_watchdog.py:")


async def test_what_holds_the_loop_up_outside_of_a_connector_has_a_place_and_no_platform() -> None:
    with capture_logs() as lines:
        async with watchdog():
            block(lines, lambda: sum(range(1000)))
            await asyncio.sleep(0)
    assert [(line["event"], line["platform"]) for line in lines] == [("loop_held_up", None)]
    assert lines[0]["where"].startswith("test_watchdog.py:")
