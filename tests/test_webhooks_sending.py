"""Messages to lenders' endpoints over real sockets: taken, refused, redirected, slow, huge, half-way, given up."""

import asyncio
import base64
import hmac
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

import gateway.webhooks.sending as sending
from connectors.kit.hostile import Behaviour, Peer, Server, hostile, message, mute, redirect, reply
from connectors.transport import AioTransport
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.profiles import RecordEvent
from consent.requests import DeclineRequest, ExpireRequests, OpenRequest
from gateway.telemetry import Metrics
from gateway.webhooks.deliveries import KEPT, LEASE, SCHEDULE, Claim, Delivery, Forget, Release, Settle, Spread, work
from gateway.webhooks.deliveries import deliveries_of as read_deliveries
from gateway.webhooks.endpoints import MOST, OVERLAP, NewSecret, RegisterWebhook, RemoveWebhook, RotateSecret
from gateway.webhooks.endpoints import endpoints_of as read_endpoints
from gateway.webhooks.messages import WebhookEvent
from gateway.webhooks.sending import Sender
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import InvalidRequest, NotFound, StorageUnavailable
from tests.consent_world import LENDER, Clock, grant, uscc, world

REVOKED, SUSPENDED, RESUMED = WebhookEvent.CONSENT_REVOKED, WebhookEvent.CONSENT_SUSPENDED, WebhookEvent.CONSENT_RESUMED
EVERY = tuple(WebhookEvent)
LATEST = 2**31 - 1
ROOT = Path(__file__).parent.parent
T = TypeVar("T")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr("consent.evidence.LEASE_SECONDS", 0.0)


@dataclass
class Hooks:
    evidence: Evidence
    clock: Clock
    metrics: Metrics = field(default_factory=Metrics)

    async def register(self, url: str, events: Any = EVERY, webhook: str = "w1", lender: str = LENDER) -> NewSecret:
        return await self.evidence.submit(RegisterWebhook(webhook, lender, url, events))

    async def change(self, n: int = 0, to: ConsentState = ConsentState.SUSPENDED) -> int:
        """Change the n-th consent; answers with the index of the entry."""
        held = await self.evidence.submit(GrantConsent(grant(n), actor=LENDER))
        await self.evidence.change_consent(ChangeConsent(held.id, to, LENDER, "示例原因"))
        return self.evidence.size - 1

    async def deliveries(self, webhook: str = "w1") -> list[Delivery]:
        found = await self.evidence.read(read_deliveries, webhook, LENDER, LATEST)
        assert found is not None
        return found

    async def until(self, state: str, code: str | None = None, webhook: str = "w1", attempts: int = 1) -> Delivery:
        """The newest delivery, once it is so and nothing more is to be done about it now."""

        async def so() -> Delivery | None:
            found = (await self.deliveries(webhook))[:1]
            now = utc_text(self.clock())
            settled = [d for d in found if d.attempts >= attempts and (d.due is None or d.due > now)]
            return next((d for d in settled if (d.state, d.code) == (state, code)), None)

        return await until(so)

    async def events(self, name: str) -> list[dict[str, Any]]:
        entries = [orjson.loads(e.entry) for e in await self.evidence.entries(0, self.evidence.size)]
        return [e for e in entries if e["event"] == name]

    @asynccontextmanager
    async def sender(self, *servers: Server, evidence: Evidence | None = None) -> AsyncIterator[Sender]:
        transport = AioTransport(allowed_private=[s.origin for s in servers], max_body=sending.REPLY)
        made = Sender(evidence or self.evidence, self.metrics, self.clock, transport)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await made.stop()
            await transport.close()


async def until(question: Callable[[], Awaitable[T | None]]) -> T:
    async with asyncio.timeout(20):
        while (found := await question()) is None:  # noqa: ASYNC110 - what is asked about is in a database
            await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def hooks(place: Path | str) -> AsyncIterator[Hooks]:
    """``place`` is a folder, or where the evidence is."""
    clock = Clock()
    at = place / "log.sqlite" if isinstance(place, Path) and place.is_dir() else place  # noqa: ASYNC240
    async with world(at, clock) as evidence:
        yield Hooks(evidence, clock)


def answers(*statuses: int, headers: dict[str, str] | None = None) -> Behaviour:
    """One status per request, the last one from then on."""
    left = list(statuses)

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(message(left.pop(0) if len(left) > 1 else left[0], b"", headers))

    return behave


@dataclass
class Heard:
    headers: dict[str, str]
    body: bytes


def heard(server: Server) -> list[Heard]:
    found = []
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        found.append(Heard({name.lower(): value for name, value in fields}, body))
    return found


def signed_by(one: Heard, secret: bytes) -> bool:
    told = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
    made = "v1," + base64.b64encode(hmac.digest(secret, told, "sha256")).decode()
    return made in one.headers["webhook-signature"].split(" ")


async def test_a_withdrawal_reaches_the_lender_signed_and_its_acknowledgement_is_in_the_log(place: Path | str) -> None:
    async with hooks(place) as h, hostile(reply(204, b"")) as server, h.sender(server):
        made = await h.register(server.url + "/hook?a=b", [REVOKED])
        index = await h.change(to=ConsentState.REVOKED)
        told = await h.until("delivered")
        (one,) = heard(server)
        assert server.requests[0].startswith(b"POST /hook?a=b HTTP/1.1\r\n")
        assert signed_by(one, made.secret)
        assert one.headers["webhook-timestamp"] == str(int(h.clock().timestamp()))
        body = orjson.loads(one.body)
        (consent,) = await h.evidence.consents_of(LENDER)
        assert body["type"] == "consent.revoked"
        assert body["data"] == {"consent_id": consent.id, "state": "revoked", "version": 2}
        assert (told.index, told.message, told.attempts, told.due) == (index, one.headers["webhook-id"], 1, None)
        (entry,) = await h.events("webhook.acknowledged")
        assert (entry["about"], entry["webhook"], entry["consent"], entry["actor"]) == (index, "w1", consent.id, LENDER)


async def test_a_lender_is_told_only_what_it_asked_for_of_its_own_and_from_then_on(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server, h.sender(server):
        await h.change(1)
        await h.register(server.url, [REVOKED, SUSPENDED])
        await h.register(server.url, EVERY, webhook="w2", lender="bank-b")
        other = await h.evidence.submit(GrantConsent(grant(2, grantee="bank-b"), actor="bank-b"))
        await h.evidence.change_consent(ChangeConsent(other.id, ConsentState.SUSPENDED, "bank-b", "示例"))
        (first, *_) = await h.evidence.consents_of(LENDER)
        await h.evidence.change_consent(ChangeConsent(first.id, ConsentState.ACTIVE, LENDER, "示例"))
        index = await h.change(3)
        await h.until("delivered")
        assert [d.index for d in await h.deliveries()] == [index]
        theirs = await h.evidence.read(read_deliveries, "w2", "bank-b", LATEST)
        assert theirs is not None
        assert [d.type for d in theirs] == ["consent.suspended"]
        assert await h.evidence.read(read_deliveries, "w2", LENDER, LATEST) is None


async def test_a_lender_is_told_that_an_enterprise_said_no_or_nothing(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server:
        await h.register(server.url)
        for n, lender in enumerate((LENDER, LENDER, "bank-b")):
            asked = OpenRequest(f"r{n}", f"{n}" * 64, lender, uscc(n), "2026-11-24T07:00:00.000+00:00", b"{}")
            await h.evidence.submit(asked)
        await h.evidence.submit(DeclineRequest("r0"))
        h.clock.forward(hours=2)
        await h.evidence.submit(ExpireRequests())
        async with h.sender(server):
            await h.until("delivered")
        told = [orjson.loads(one.body) for one in heard(server)]
        assert [t["type"] for t in told] == ["request.declined", "request.expired"]
        assert [t["data"]["request_id"] for t in told] == ["r0", "r1"]
        assert {t["data"]["consent_id"] for t in told} == {None}


async def test_messages_come_in_the_order_of_the_log(place: Path | str) -> None:
    async with hooks(place) as h, hostile(reply(200, b"")) as server:
        await h.register(server.url)
        indexes = [await h.change(n) for n in range(12)]
        async with h.sender(server):
            await h.until("delivered")
        assert [d.index for d in reversed(await h.deliveries())] == indexes
        sent = [one.headers["webhook-id"] for one in heard(server)]
        assert sent == [d.message for d in reversed(await h.deliveries())]
        page = await h.evidence.read(read_deliveries, "w1", LENDER, indexes[3])
        assert page is not None
        assert [d.index for d in page] == indexes[2::-1]


async def test_a_retry_keeps_the_id_and_the_body_and_renews_the_timestamp(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(answers(500, 500, 200)) as server, h.sender(server):
        made = await h.register(server.url)
        await h.change()
        for n, code in ((1, "http_500"), (2, "http_500")):
            told = await h.until("pending", code, attempts=n)
            assert told.due is not None
            h.clock.forward(seconds=SCHEDULE[n - 1].total_seconds() * 1.2)
        await h.until("delivered")
        sent = heard(server)
        assert len({one.headers["webhook-id"] for one in sent}) == len({one.body for one in sent}) == 1
        times = [int(one.headers["webhook-timestamp"]) for one in sent]
        assert times == sorted(set(times))
        assert len(times) == 3
        assert all(signed_by(one, made.secret) for one in sent)


async def test_after_the_last_attempt_a_message_is_dead_and_the_log_says_so(place: Path | str) -> None:
    async with hooks(place) as h, hostile(answers(503)) as server, h.sender(server):
        await h.register(server.url)
        index = await h.change()
        for n, wait in enumerate(SCHEDULE, 1):
            await h.until("pending", "http_503", attempts=n)
            h.clock.forward(seconds=wait.total_seconds() * 1.2)
        told = await h.until("dead", "http_503")
        assert (told.attempts, told.due) == (len(SCHEDULE) + 1, None)
        (entry,) = await h.events("webhook.dead")
        assert (entry["about"], entry["attempts"], entry["code"]) == (index, len(SCHEDULE) + 1, "http_503")
        # The next message is tried as any other.
        await h.change(1)
        assert (await h.until("pending", "http_503")).attempts == 1
    counted = {s.labels["outcome"]: s.value for m in h.metrics.webhooks.collect() for s in m.samples if s.value < 1e6}
    assert counted == {"failed": len(SCHEDULE) + 1, "dead": 1}


async def test_an_endpoint_that_says_gone_is_sent_nothing_any_more(tmp_path: Path) -> None:
    async with (
        hooks(tmp_path) as h,
        hostile(answers(410)) as server,
        hostile(reply(200, b"")) as other,
        h.sender(server, other),
    ):
        await h.register(server.url)
        await h.change()
        await h.until("dead", "http_410")
        index = await h.change(1)
        assert (await h.evidence.read(read_endpoints, LENDER))[0].state == "gone"
        (entry,) = await h.events("webhook.closed")
        assert (entry["webhook"], entry["code"]) == ("w1", "gone")
        # Another endpoint shows that the change was looked at.
        await h.register(other.url, webhook="w2")
        await h.change(2)
        await h.until("delivered", webhook="w2")
        assert index not in [d.index for d in await h.deliveries()]
        assert len(server.requests) == 1


async def test_what_waits_dies_with_an_endpoint_that_is_gone(place: Path | str) -> None:
    async with hooks(place) as h, hostile(answers(410)) as server:
        await h.register(server.url)
        for n in range(3):
            await h.change(n)
        async with h.sender(server):
            await h.until("dead", "http_410", attempts=0)
        assert [d.state for d in await h.deliveries()] == ["dead"] * 3
        assert len(server.requests) == 1


async def test_an_endpoint_that_asks_for_time_gets_it(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(answers(429, headers={"Retry-After": "4000"})) as server, h.sender(server):
        await h.register(server.url)
        await h.change()
        told = await h.until("pending", "http_429")
        assert told.due is not None
        assert told.attempted_at is not None
        assert told.due[:19] == "2026-11-24T07:06:40"


async def test_a_slow_endpoint_delays_no_other(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(mute) as slow, hostile(reply(200, b"")) as good, h.sender(slow, good):
        await h.register(slow.url)
        await h.register(good.url, webhook="w2")
        for n in range(3):
            await h.change(n)
            await h.until("delivered", webhook="w2", attempts=1)
        await until(lambda: is_true(len(good.requests) == 3))
        assert {d.state for d in await h.deliveries()} == {"pending"}
        assert slow.connections == 1


async def is_true(fact: bool) -> bool | None:
    return fact or None


async def test_an_endpoint_that_never_answers_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_SECONDS", 0.05)
    async with hooks(tmp_path) as h, hostile(mute) as server, h.sender(server):
        await h.register(server.url)
        await h.change()
        await h.until("pending", "upstream_timeout")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_its_target_hears_nothing(tmp_path: Path, status: int) -> None:
    async with (
        hooks(tmp_path) as h,
        hostile(reply(200, b"")) as inner,
        hostile(redirect(status, inner.url)) as server,
        h.sender(server, inner),
    ):
        await h.register(server.url)
        await h.change()
        await h.until("pending", "upstream_redirect")
    assert inner.connections == 0
    assert len(server.requests) == 1


async def test_of_a_reply_without_end_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    async with hooks(tmp_path) as h, hostile(endless) as server, h.sender(server):
        await h.register(server.url)
        await h.change()
        await h.until("pending", "upstream_oversize")
    assert server.sent < 16 * 2**20


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1"])
async def test_a_name_that_leads_inside_is_refused_when_it_is_connected_to(tmp_path: Path, host: str) -> None:
    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server, h.sender():
        await h.register(f"http://{host}:{server.port}/x")
        await h.change()

        async def failed() -> str | None:
            found = await h.deliveries()
            return found[0].code if found else None

        # Some resolvers know these spellings of an address, others do not.
        assert await until(failed) in {"upstream_address_refused", "upstream_connect", "connector_fault"}
    assert server.connections == 0


async def test_a_name_that_is_rebound_to_an_inner_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server, h.sender():

        async def inner(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", server.port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", inner)
        await h.register(f"http://bank.example.cn:{server.port}/x")
        await h.change()
        await h.until("pending", "upstream_address_refused")
    assert server.connections == 0


async def test_while_a_secret_changes_both_sign_and_afterwards_only_the_new_one(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server, h.sender(server):
        old = await h.register(server.url)
        new = await h.evidence.submit(RotateSecret("w1", LENDER))
        assert new.old_until == (h.clock.now + OVERLAP).isoformat(timespec="milliseconds")
        await h.change()
        await h.until("delivered")
        h.clock.forward(seconds=OVERLAP.total_seconds())
        await h.change(1)
        await until(lambda: is_true(len(server.requests) == 2))
        during, after = heard(server)
        assert signed_by(during, old.secret)
        assert signed_by(during, new.secret)
        assert signed_by(after, new.secret)
        assert not signed_by(after, old.secret)
        assert [e["webhook"] for e in await h.events("webhook.rotated")] == ["w1"]


async def test_a_secret_stands_nowhere_in_the_database_as_it_is(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h:
        made = await h.register("https://bank.example.cn/x")
        new = await h.evidence.submit(RotateSecret("w1", LENDER))
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())  # noqa: ASYNC240
    assert b"bank.example.cn" in raw
    for secret in (made.secret, new.secret):
        assert secret not in raw
        assert base64.b64encode(secret) not in raw
        assert secret.hex().encode() not in raw
        assert repr(secret) not in repr(made) + repr(new)


async def test_old_secrets_and_what_was_done_long_ago_are_taken_away(place: Path | str) -> None:
    async with hooks(place) as h, hostile(reply(200, b"")) as server:
        await h.register(server.url)
        await h.evidence.submit(RotateSecret("w1", LENDER))
        await h.change()
        async with h.sender(server):
            await h.until("delivered")
        h.clock.forward(seconds=KEPT.total_seconds() + 1)
        await h.change(1)
        await h.evidence.submit(Spread())
        await h.evidence.submit(Forget())
        (left,) = await h.deliveries()
        assert left.state == "pending"


async def test_two_processes_do_not_send_the_same_and_one_goes_on_for_the_other(place: Path | str) -> None:
    async with hooks(place) as h:
        await h.register("https://bank.example.cn/x")
        await h.change()
        await h.change(1)
        await h.evidence.submit(Spread())
        first = await h.evidence.submit(Claim("w1", "one"))
        assert first is not None
        assert await h.evidence.submit(Claim("w1", "two")) is None
        # The one was killed: its lease lapses, and the same message is sent again under its own id.
        h.clock.forward(seconds=LEASE.total_seconds())
        again = await h.evidence.submit(Claim("w1", "two"))
        assert again is not None
        assert (again.index, again.message, again.attempts) == (first.index, first.message, 2)
        # It was not: what it says comes too late.
        await h.evidence.submit(Settle(first, None))
        assert (await h.deliveries())[-1].state == "pending"
        await h.evidence.submit(Settle(again, None))
        assert (await h.deliveries())[-1].state == "delivered"
        await h.evidence.submit(Release("two"))
        second = await h.evidence.submit(Claim("w1", "one"))
        assert second is not None
        assert second.index > first.index


async def test_a_process_that_is_killed_while_it_sends_loses_nothing(tmp_path: Path) -> None:
    """Killed after some messages, with one on its way: that one comes again under its own id, and the rest once."""
    database, clock = tmp_path / "log.sqlite", Clock()
    patience = [3]

    async def answers_thrice(peer: Peer) -> None:
        while True:
            await peer.request()
            if patience[0] == 0:
                halfway.set()
                await peer.until_gone()
                return
            patience[0] -= 1
            await peer.send(message(200, b""))

    halfway = asyncio.Event()
    async with hostile(answers_thrice) as server:
        async with world(database, clock) as evidence:
            first = Hooks(evidence, clock)
            await first.register(server.url)
            indexes = [await first.change(n) for n in range(6)]
        command = [sys.executable, "-m", "tests.webhooks_worker", str(database), server.origin]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        try:
            async with asyncio.timeout(30):
                await halfway.wait()
        finally:
            process.kill()
            await process.wait()
        patience[0] = 100
        clock.forward(seconds=LEASE.total_seconds())
        async with world(database, clock) as evidence:
            h = Hooks(evidence, clock)
            async with h.sender(server):
                await h.until("delivered")
            found = (await h.deliveries())[::-1]
            assert [d.index for d in found] == indexes
            assert [d.attempts for d in found] == [1, 1, 1, 2, 1, 1]
            assert len(await h.events("webhook.acknowledged")) == 6
        sent = [one.headers["webhook-id"] for one in heard(server)]
        assert sent == [d.message for d in found for _ in range(d.attempts)]


async def test_a_sender_that_stops_gives_back_what_it_held(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h, hostile(mute) as slow:
        await h.register(slow.url)
        index = await h.change()
        async with h.sender(slow):
            await until(lambda: is_true(slow.connections == 1))
        claimed = await h.evidence.submit(Claim("w1", "next"))
        assert claimed is not None
        assert (claimed.index, claimed.attempts) == (index, 2)


async def test_deliveries_are_made_once_by_whoever_looks_and_none_is_lost_at_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "log.sqlite", clock) as evidence:
        h = Hooks(evidence, clock)
        await h.register("https://bank.example.cn/x")
        indexes = [await h.change(n) for n in range(3)]
    async with world(tmp_path / "log.sqlite", clock) as one, world(tmp_path / "log.sqlite", clock) as two:
        await asyncio.gather(*(e.submit(Spread()) for e in (one, two) for _ in range(5)))
        found = await one.read(read_deliveries, "w1", LENDER, LATEST)
        assert found is not None
        assert [d.index for d in found] == indexes[::-1]


async def test_a_long_log_is_looked_at_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.webhooks.deliveries.SPREAD", 3)
    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server:
        await h.register(server.url)
        indexes = [await h.change(n) for n in range(5)]
        async with h.sender(server):
            await h.until("delivered")
        assert [d.index for d in await h.deliveries()] == indexes[::-1]


async def test_a_webhook_that_is_deleted_while_a_message_is_on_its_way_is_gone(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h:
        await h.register("https://bank.example.cn/x")
        await h.change()
        await h.evidence.submit(Spread())
        claimed = await h.evidence.submit(Claim("w1", "one"))
        assert claimed is not None
        await h.evidence.submit(RemoveWebhook("w1", LENDER))
        await h.evidence.submit(Settle(claimed, None))
        assert await h.evidence.read(read_endpoints, LENDER) == []
        assert not await h.events("webhook.acknowledged")
        assert [e["code"] for e in await h.events("webhook.closed")] == ["deleted"]


async def test_nobody_changes_the_webhook_of_another_lender(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h:
        await h.register("https://bank.example.cn/x")
        foreign: list[Any] = [RotateSecret("w1", "bank-b"), RemoveWebhook("w1", "bank-b"), RemoveWebhook("w9", LENDER)]
        for command in foreign:
            with pytest.raises(NotFound):
                await h.evidence.submit(command)
        assert len(await h.evidence.read(read_endpoints, LENDER)) == 1


async def test_a_lender_has_a_bounded_number_of_webhooks(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h:
        for n in range(MOST):
            await h.register("https://bank.example.cn/x", webhook=f"w{n}")
        with pytest.raises(InvalidRequest):
            await h.register("https://bank.example.cn/x", webhook="one more")
        await h.register("https://bank.example.cn/x", webhook="of another", lender="bank-b")


async def test_a_look_that_fails_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing: Iterator[Exception] = iter([StorageUnavailable(), RuntimeError()])

    def sometimes(*args: Any) -> Any:
        for error in failing:
            raise error
        return work(*args)

    async with hooks(tmp_path) as h, hostile(reply(200, b"")) as server:
        await h.register(server.url)
        await h.change()
        monkeypatch.setattr(sending, "work", sometimes)
        async with h.sender(server):
            await h.until("delivered")


async def test_without_webhooks_nothing_is_written(tmp_path: Path) -> None:
    async with hooks(tmp_path) as h:
        await h.evidence.submit(RecordEvent("log.read", LENDER, None, None, {"first": 0, "last": 0}))
        size = h.evidence.size
        assert await h.evidence.submit(Spread()) is False
        assert h.evidence.size == size


async def test_no_line_of_the_log_holds_an_address_or_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with hooks(tmp_path) as h, AsyncExitStack() as stack:
        server = await stack.enter_async_context(hostile(answers(500)))
        await stack.enter_async_context(h.sender(server))
        made = await h.register(server.url + "/CANARY-41d2")
        await h.change()
        await h.until("pending", "http_500")
    told = capsys.readouterr().out
    assert "webhook_not_delivered" in told
    assert not re.search("CANARY|127.0.0.1|whsec|" + re.escape(base64.b64encode(made.secret).decode()), told)
