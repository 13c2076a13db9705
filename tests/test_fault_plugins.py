"""A connector with code of its own goes wrong in every way (fault U23): its own source fails, the others answer.

One that hangs, ignores its cancellation or answers nonsense is in tests/test_profile_collect.py, one that holds up the
event loop in tests/test_watchdog.py.
"""

import dataclasses
import io
import logging

import pytest
import structlog

from connectors.base import Progress, Query, Reply
from connectors.ports import Guard
from gateway.profile.sound import MOST
from gateway.telemetry import configure_logging
from schemas.errors import ConnectorFault
from tests.profiles import reply
from tests.test_profile_collect import SUBJECT, Source, answer, run

CANARIES = ("13900000000", "11010519491231002X", "91990000MA000001XX")


class Meddling(Source):
    """Does to its query what ``act`` does."""

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        self.act(query)  # type: ignore[operator]
        return await answer(guard)


async def test_a_million_rows_are_refused_and_not_looked_at_one_by_one() -> None:
    async def floods(guard: Guard) -> Reply:
        return reply([{"month": "2026-10", "persons": 4}] * 1_000_000)

    got = await run(flood=Source(floods), other=Source(answer))
    assert isinstance(got[0].error, ConnectorFault)
    assert got[1].reply is not None


@pytest.mark.parametrize(("count", "taken"), [(MOST, True), (MOST + 1, False)])
async def test_so_many_records_are_taken_and_not_one_more(count: int, taken: bool) -> None:
    async def many(guard: Guard) -> Reply:
        return reply([{"month": "2026-10", "persons": 4}] * count)

    (got,) = await run(many=Source(many))
    assert (got.reply is not None) is taken


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(lambda query: setattr(query.subject, "uscc", "x"), id="the enterprise"),
        pytest.param(lambda query: setattr(query, "first", (2000, 1)), id="the period"),
        pytest.param(lambda query: query.fields.add("base"), id="the fields"),
    ],
)
async def test_what_is_asked_cannot_be_changed(meddle: object) -> None:
    other = Source(answer)
    got = await run(meddling=Meddling(meddle), other=other)
    assert isinstance(got[0].error, ConnectorFault)
    assert got[1].reply is not None
    assert dataclasses.astuple(other.queries[0].subject) == dataclasses.astuple(SUBJECT)


async def test_one_that_ends_the_program_ends_its_own_source() -> None:
    async def leaves(guard: Guard) -> Reply:
        raise SystemExit("13900000000")

    got = await run(leaving=Source(leaves), other=Source(answer))
    assert isinstance(got[0].error, ConnectorFault)
    assert got[0].error.details == {}
    assert got[1].reply is not None


async def test_what_it_logs_about_persons_and_firms_does_not_reach_the_log() -> None:
    async def talks(guard: Guard) -> Reply:
        for canary in CANARIES:
            structlog.get_logger().warning(f"asked for {canary}", reason=canary, body=canary)
            logging.getLogger("plugin").error("asked for %s", canary)
        try:
            raise ValueError(*CANARIES)
        except ValueError:
            logging.getLogger("plugin").exception("failed")
        return await answer(guard)

    lines = io.StringIO()
    configure_logging(lines, logging.DEBUG)
    got = await run(talks=Source(talks))
    assert got[0].reply is not None
    assert lines.getvalue().count("\n") == 2 * len(CANARIES) + 1
    assert [canary for canary in CANARIES if canary in lines.getvalue()] == []
