"""What was tried at a source, in order, with its outcome and nothing of anybody."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from connectors.base import TRIES, Progress, Try, joined
from connectors.wire import WireReply
from schemas.errors import ConsentRevoked, UpstreamConnect, UpstreamError, UpstreamUnrecognised
from tests.engine_world import (
    BUSY,
    NONE,
    NOW,
    Answer,
    Scripted,
    Watch,
    body,
    bureau,
    connector,
    fetch,
    row,
)


def test_neighbours_that_ended_alike_are_one_step() -> None:
    tries = [
        Try(1, "poll", "pending"),
        Try(2, "poll", "pending"),
        Try(3, "poll", "answered"),
        Try(4, "poll", "pending"),
    ]
    assert joined(tries) == [Try(1, "poll", "pending", 2), Try(3, "poll", "answered"), Try(4, "poll", "pending")]
    assert joined([*joined(tries[:2]), tries[1]]) == [Try(1, "poll", "pending", 3)]


def test_of_too_many_steps_the_first_and_the_last_stay() -> None:
    many = [Try(n, "poll", "pending" if n % 2 else "upstream_busy") for n in range(10 * TRIES)]
    kept = joined(many)
    assert kept == many[: TRIES // 2] + many[-TRIES // 2 :]


async def outcomes(tmp_path: Path, *replies: Answer, patience: float = 10, keep: int = 0) -> list[str]:
    progress = Progress()
    made = connector(bureau(tmp_path), Scripted(list(replies)))
    with suppress(UpstreamError, ConsentRevoked):
        await fetch(made, progress=progress, patience=patience, guard=Watch(keep=keep))
    assert len(progress.tries) == progress.attempts
    assert {(one.at, one.what) for one in progress.tries} == {(NOW, "ask")}
    return [one.outcome for one in progress.tries]


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        ([body([row()])], ["answered"]),
        ([NONE], ["no_record"]),
        ([BUSY, UpstreamConnect(), body([row()])], ["upstream_busy", "upstream_connect", "answered"]),
        ([WireReply(500, {}, b"")] * 3, ["upstream_server_error"] * 3),
        ([{"code": "denied"}], ["upstream_denied"]),
        ([{"say": "x"}], [UpstreamUnrecognised.code]),
    ],
)
async def test_every_attempt_has_its_outcome(tmp_path: Path, replies: list[Answer], found: list[str]) -> None:
    assert await outcomes(tmp_path, *replies) == found


async def test_an_answer_that_came_after_a_withdrawal_says_so(tmp_path: Path) -> None:
    assert await outcomes(tmp_path, body([row()]), keep=1) == ["consent_revoked"]


async def test_an_attempt_that_was_cut_off_ended_with_its_time(tmp_path: Path) -> None:
    progress, never = Progress(), asyncio.Event()

    class Silent(Scripted):
        async def send(self, *_: object, **__: object) -> WireReply:
            await never.wait()
            raise AssertionError("not reached")

    with pytest.raises(UpstreamError):
        await fetch(connector(bureau(tmp_path), Silent()), progress=progress, patience=0.05)
    assert [one.outcome for one in progress.tries] == ["deadline_exceeded"]
