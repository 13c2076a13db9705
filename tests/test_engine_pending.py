"""connectors.engine.pending: tickets under a permit, their pace, their hours, and polls that fail."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Progress, Query
from connectors.ports import MemoryState, OpenGuard, Ticket
from connectors.wire import WireReply
from schemas.errors import DeadlineExceeded, UpstreamDenied, UpstreamError, UpstreamPending
from tests.engine_world import FIRM, NOW, Answer, Naps, Scripted, body, connector, edited, row
from tests.test_engine_run import TAKEN, TICKET, WAIT

NO_PAGES = ((TICKET[0][0], TICKET[0][1].partition("\npaging")[0].replace("{page:number}", "1")),)
PLACE = "xx-bureau/provident_fund"


async def late(
    at: Path, *replies: Answer, state: MemoryState, patience: float = 1, hours: str = "", now: float = NOW
) -> Any:
    old, new = NO_PAGES[0]
    from_, to = 'give_up = "20s",', f'give_up = "20s", {hours}'
    assert new.count(from_) == 1
    made = connector(
        edited(at, (old, new.replace(from_, to))),
        Scripted(list(replies)),
        state=state,
        sleep=Naps(),
        clock=lambda: now,
    )
    fields = made.datasets["provident_fund"]
    query = Query(FIRM, "provident_fund", fields, (2026, 9), (2026, 10), "permit-1")
    return await made.fetch(query, OpenGuard(), asyncio.get_running_loop().time() + patience, Progress())


async def test_a_ticket_is_kept_under_its_permit_and_asked_about_again(tmp_path: Path) -> None:
    state = MemoryState()
    with pytest.raises(UpstreamPending) as caught:
        await late(tmp_path, TAKEN, WAIT, state=state)
    # NOW and the two seconds of the platform's pace.
    assert caught.value.details == {"next_attempt_at": "2026-11-24T06:00:02.000+00:00"}
    assert state.tickets["permit-1", PLACE].value == "t/1"
    assert len((await late(tmp_path, body([row()]), state=state)).records) == 1


@pytest.mark.parametrize("answer", [WireReply(503, {}, b""), {"code": "busy", "wait": 7}])
async def test_a_poll_that_fails_for_now_leaves_the_ticket_as_it_was(tmp_path: Path, answer: Answer) -> None:
    state = MemoryState()
    with pytest.raises(UpstreamPending) as caught:
        await late(tmp_path, TAKEN, answer, answer, answer, state=state)
    seconds = "02" if isinstance(answer, WireReply) else "07"
    assert caught.value.details["next_attempt_at"] == f"2026-11-24T06:00:{seconds}.000+00:00"
    assert ("permit-1", PLACE) in state.tickets


async def test_a_poll_that_is_refused_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpstreamDenied):
        await late(tmp_path, TAKEN, {"code": "denied"}, state=MemoryState())


async def test_a_ticket_that_was_given_up_is_dropped(tmp_path: Path) -> None:
    state = MemoryState()
    await state.keep_ticket("permit-1", PLACE, Ticket("t", NOW - 19, b""))
    with pytest.raises(DeadlineExceeded):
        await late(tmp_path, WAIT, state=state)
    assert state.tickets == {}


HOURS = 'hours = ["daily 20:00-06:00 Asia/Shanghai"],'


async def test_outside_its_hours_a_platform_is_not_asked_about_a_ticket(tmp_path: Path) -> None:
    state = MemoryState()
    await state.keep_ticket("permit-1", PLACE, Ticket("t", NOW, b""))
    with pytest.raises(UpstreamError) as caught:
        await late(tmp_path, state=state, hours=HOURS)
    # NOW is 14:00 in Shanghai; give_up is long over when the hours begin.
    assert isinstance(caught.value, DeadlineExceeded)
    assert state.tickets == {}


async def test_shortly_before_its_hours_it_waits_for_them(tmp_path: Path) -> None:
    state, before = MemoryState(), NOW + 6 * 3600 - 10
    await state.keep_ticket("permit-1", PLACE, Ticket("t", before, b""))
    with pytest.raises(UpstreamPending) as caught:
        await late(tmp_path, state=state, hours=HOURS, now=before)
    assert caught.value.details == {"next_attempt_at": "2026-11-24T12:00:00.000+00:00"}
