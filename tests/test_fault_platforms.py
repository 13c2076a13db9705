"""What platforms do to a connector on real sockets (faults U1, U2, U5, U18, U19, U21, U22 and U24).

The others of these faults are in tests/test_transport_faults.py, test_transport_addresses.py, test_engine_faults.py,
test_tls.py, test_fault_outage.py and test_fault_plugins.py: docs/faults.md has the table.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress
from connectors.engine.connector import DeclarativeConnector
from connectors.kit.hostile import (
    Behaviour,
    Peer,
    Server,
    close_before_reply,
    dribble,
    hostile,
    message,
    raw,
    reply,
    reset_before_reply,
)
from connectors.transport import AioTransport
from schemas.errors import (
    SchemaDrift,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamSignature,
    UpstreamTruncated,
)
from tests.certificates import Authority
from tests.engine_world import BASE, FUND, NOW, SECRETS, Naps, Nonces, body, bureau, connector, edited, fetch, row
from tests.test_engine_call import OAUTH
from tests.test_engine_signed_replies import HEAD, signed

HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GOOD = json.dumps(body([row()])).encode()
LIMITS = '\n[limits]\nrate = "100000/s"\nconcurrency = 1000\n'
Make = Callable[[AioTransport, str], DeclarativeConnector]


@asynccontextmanager
async def asked(behaviour: Behaviour, make: Make) -> AsyncIterator[tuple[DeclarativeConnector, Server]]:
    """A connector in front of a platform that behaves like that."""
    async with hostile(behaviour) as server:
        transport = AioTransport(allowed_private=[server.origin])
        try:
            yield make(transport, server.url), server
        finally:
            await transport.close()


def plain(at: Path, naps: Naps | None = None, head: str = BASE) -> Make:
    return lambda transport, url: connector(
        bureau(at, FUND, head), transport, base_url=url, sleep=Naps() if naps is None else naps
    )


def each(*answers: bytes) -> Behaviour:
    """One answer after the other, over all connections; the last again and again."""
    left = list(answers)

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return behave


# --- U1: cut off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(reset_before_reply, id="reset before headers"),
        pytest.param(close_before_reply, id="closed before headers"),
        pytest.param(raw(HTTP, then="reset"), id="reset in the headers"),
        pytest.param(raw(HTTP + b"Content-Length: 999\r\n\r\n" + GOOD, then="reset"), id="reset in the body"),
        pytest.param(raw(HTTP + b"Content-Length: 999\r\n\r\n" + GOOD), id="less than its length"),
        pytest.param(
            raw(HTTP + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(GOOD), GOOD)), id="no last chunk"
        ),
    ],
)
async def test_u1_an_answer_that_was_cut_is_asked_for_twice_more_and_never_read_as_whole(
    tmp_path: Path, cut: Callable[[Peer], Awaitable[None]]
) -> None:
    """The bytes that came are a whole answer, each time."""
    async with asked(cut, plain(tmp_path)) as (made, server):
        with pytest.raises(UpstreamTruncated):
            await fetch(made)
    assert len(server.requests) == 3


async def test_u1_what_was_cut_once_is_had_the_next_time(tmp_path: Path) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        if len(peer.server.requests) == 1:
            peer.reset()
        else:
            await peer.send(message(200, GOOD))

    async with asked(once, plain(tmp_path)) as (made, server):
        assert (await fetch(made)).found is Found.FOUND
    assert len(server.requests) == 2


# --- U2: slow ------------------------------------------------------------------------------------------------


async def test_u2_a_platform_that_dribbles_holds_nobody_else_up(tmp_path: Path) -> None:
    async with (
        asked(dribble(HTTP + b"Content-Length: 100000\r\n\r\n", b" "), plain(tmp_path / "a")) as (slow, dribbling),
        asked(reply(200, GOOD), plain(tmp_path / "b", head=BASE + LIMITS)) as (quick, server),
    ):
        waiting = asyncio.create_task(fetch(slow, patience=60))
        await dribbling.heard.wait()
        for _ in range(50):
            assert (await fetch(quick)).found is Found.FOUND
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert (server.connections, len(server.requests)) == (1, 50)


# --- U5: asked to wait ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("wish", "least"),
    [
        pytest.param("3", 3, id="seconds"),
        pytest.param(format_datetime(datetime.fromtimestamp(NOW + 4, UTC), usegmt=True), 4, id="a date"),
        pytest.param(format_datetime(datetime.fromtimestamp(NOW - 60, UTC), usegmt=True), 0, id="a date gone by"),
        pytest.param("0", 0, id="at once"),
        pytest.param("-5", 0, id="negative"),
        pytest.param("soon", 0, id="garbage"),
        pytest.param("1\r\nRetry-After: 8", 0, id="two headers, which is neither"),
    ],
)
async def test_u5_a_wish_to_be_asked_later_is_kept_within_the_deadline(
    tmp_path: Path, status: int, wish: str, least: float
) -> None:
    naps = Naps()
    answers = each(message(status, b"", {"Retry-After": wish}), message(200, GOOD))
    async with asked(answers, plain(tmp_path, naps)) as (made, server):
        assert (await fetch(made, patience=10)).found is Found.FOUND
    assert len(server.requests) == 2
    assert [least <= nap <= least + 0.2 for nap in naps.taken] == [True]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("wish", ["11", "1000000000", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_u5_a_wish_beyond_the_deadline_fails_at_once(tmp_path: Path, status: int, wish: str) -> None:
    naps = Naps()
    async with asked(each(message(status, b"", {"Retry-After": wish})), plain(tmp_path, naps)) as (made, server):
        with pytest.raises(UpstreamBusy):
            await fetch(made, patience=10)
    assert (len(server.requests), naps.taken) == (1, [])


# --- U18, U19: signatures of replies -------------------------------------------------------------------------


def signing(at: Path, head: str = HEAD) -> Make:
    secrets = {**SECRETS, "reply_key": "invented"}
    return lambda transport, url: DeclarativeConnector(
        bureau(at, FUND, head), transport, secrets, base_url=url, clock=lambda: NOW, nonce=Nonces(), sleep=Naps()
    )


def wire(answer: Any, **more: Any) -> bytes:
    made = signed(answer, **more)
    return message(made.status, made.body, made.headers)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        pytest.param([wire(body([row()]), at=NOW - 301)], "stale", id="U18 older than its window"),
        pytest.param([wire(body([row()])), wire(body([row()]))], "replayed", id="U18 the same a second time"),
        pytest.param([wire(body([row()]), key=b"another")], "forged", id="U19 another key"),
        pytest.param([wire(body([row()])).replace(b"30", b"31")], "forged", id="U19 another number under it"),
        pytest.param([message(200, GOOD)], "missing", id="U19 stripped"),
    ],
)
async def test_u18_and_u19_an_answer_whose_signature_does_not_hold_is_refused(
    tmp_path: Path, answers: list[bytes], why: str
) -> None:
    async with asked(each(*answers), signing(tmp_path)) as (made, server):
        for _ in answers[1:]:
            assert (await fetch(made)).signature_held
        with pytest.raises(UpstreamSignature) as caught:
            await fetch(made)
    assert caught.value.details == {"why": why}
    assert len(server.requests) == len(answers)


async def test_u18_an_answer_to_another_request_is_refused(tmp_path: Path) -> None:
    """Each is signed anew, over the nonce of the first request."""
    nonces: list[str] = []

    async def behind(peer: Peer) -> None:
        while True:
            lines = (await peer.request()).decode().split("\r\n")
            nonces.extend(line.split()[1] for line in lines if line.lower().startswith("x-tif-nonce"))
            await peer.send(wire(body([row()]), nonce=nonces[0]))

    async with asked(behind, signing(tmp_path, HEAD.replace("[reply]\n", "[reply]\nbound = true\n"))) as (made, _):
        assert (await fetch(made)).signature_held
        with pytest.raises(UpstreamSignature) as caught:
            await fetch(made)
    assert caught.value.details == {"why": "not_ours"}


# --- U21: another time there ---------------------------------------------------------------------------------


async def test_u21_the_clock_of_a_platform_is_learned_from_its_replies_over_tls(tmp_path: Path) -> None:
    """It takes nothing that was signed more than a minute from its own time, and is two minutes ahead."""
    authority = Authority(tmp_path)
    times: list[float] = []

    async def ahead(peer: Peer) -> None:
        while True:
            asked_for = await peer.request()
            (at,) = (
                line.split()[1] for line in asked_for.split(b"\r\n") if line.lower().startswith(b"x-tif-timestamp")
            )
            times.append(float(at) - time.time())
            date = format_datetime(datetime.fromtimestamp(time.time() + 120, UTC), usegmt=True)
            answer = GOOD if abs(times[-1] - 120) < 60 else b'{"code":"denied"}'
            await peer.send(message(200, answer, {"Date": date}))

    async with hostile(ahead, tls=authority.server()) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=authority.trusting())
        made = connector(bureau(tmp_path), transport, base_url=server.url, clock=time.time)
        for _ in range(2):
            assert (await fetch(made)).found is Found.FOUND
        await transport.close()
    assert [round(at / 60) for at in times] == [0, 2, 2]
    assert made.clock_offset == pytest.approx(120, abs=30)


# --- U22: another shape --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "at"),
    [
        pytest.param({"ny": None}, "data.list.ny", id="a required field is gone"),
        pytest.param({"rs": "thirty"}, "data.list.rs", id="text where a count was"),
        pytest.param({"rs": [30]}, "data.list.rs", id="a list where a count was"),
        pytest.param({"js": True}, "data.list.js", id="a flag where an amount was"),
    ],
)
async def test_u22_a_row_of_another_shape_is_drift_that_names_the_path_and_not_the_value(
    tmp_path: Path, change: dict[str, Any], at: str
) -> None:
    changed = json.dumps(body([{**row(), **change}])).encode()
    async with asked(reply(200, changed), plain(tmp_path)) as (made, _):
        with pytest.raises(SchemaDrift) as caught:
            await fetch(made)
    assert caught.value.details["at"] == at
    assert "thirty" not in str(caught.value.details)


async def test_u22_a_new_field_is_kept_out_and_counted(tmp_path: Path) -> None:
    more = json.dumps(body([{**row(), "dh": "13900000000"}, {**row("202609"), "dh": "13900000001"}])).encode()
    async with asked(reply(200, more), plain(tmp_path)) as (made, _):
        got = await fetch(made)
    assert all("dh" not in record for record in got.records)
    assert dict(got.drift) == {"data.list.dh": 2}


# --- U24: tokens ---------------------------------------------------------------------------------------------


class Issuer:
    """A platform whose tokens are good where ``good`` says so."""

    def __init__(self, good: Callable[[int], bool]) -> None:
        self.good = good
        self.issued = 0
        self.refused = 0
        self.answered = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            asked_for = await peer.request()
            if asked_for.startswith(b"POST /token "):
                self.issued += 1
                await asyncio.sleep(0.01)
                token = {"access_token": f"t{self.issued}", "token_type": "Bearer", "expires_in": 1800}
                await peer.send(message(200, json.dumps(token).encode()))
                continue
            (bearer,) = (line for line in asked_for.split(b"\r\n") if line.lower().startswith(b"authorization"))
            if self.good(int(bearer.rpartition(b"t")[2])):
                self.answered += 1
                await peer.send(message(200, GOOD))
            else:
                self.refused += 1
                await peer.send(message(401, b"{}"))


def oauth(at: Path) -> Make:
    secrets = {"client_id": "invented", "client_secret": "invented"}
    loaded = edited(at, base=(*OAUTH, ("\n[outcome]", LIMITS + "\n[outcome]")))
    return lambda transport, url: DeclarativeConnector(
        loaded, transport, secrets, base_url=url, clock=lambda: NOW, sleep=Naps()
    )


async def test_u24_a_thousand_requests_at_the_end_of_a_token_cost_one_renewal(tmp_path: Path) -> None:
    """The platform refuses the first token from the second question on."""
    issuer = Issuer(lambda number: number > 1 or issuer.answered == 0)
    async with asked(issuer, oauth(tmp_path)) as (made, _):
        await fetch(made, patience=60)
        got = await asyncio.gather(*(fetch(made, patience=60) for _ in range(1000)))
    assert {one.found for one in got} == {Found.FOUND}
    assert issuer.issued == 2
    assert issuer.answered == 1001


async def test_u24_a_token_that_is_refused_is_renewed_once_and_asked_with_once(tmp_path: Path) -> None:
    issuer = Issuer(lambda _: False)
    progress = Progress()
    async with asked(issuer, oauth(tmp_path)) as (made, _):
        with pytest.raises(UpstreamDenied):
            await fetch(made, progress=progress)
    assert (issuer.issued, issuer.refused, progress.attempts) == (2, 2, 2)
