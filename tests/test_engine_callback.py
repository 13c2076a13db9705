"""connectors.engine.callback and the run of a data set that is called back, without a gateway."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress, Query, Reply
from connectors.engine.connector import DeclarativeConnector
from connectors.engine.pending import ticket_key
from connectors.manifest import Loaded, load
from connectors.ports import Arrived, MemoryState, OpenGuard
from connectors.signing import SCHEMES
from connectors.signing.base import Moment
from connectors.wire import Draft, WireReply, WireRequest
from schemas.errors import (
    ConfigurationError,
    ConsentRevoked,
    DeadlineExceeded,
    ManifestError,
    SchemaDrift,
    SubjectMismatch,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
    UpstreamPending,
    UpstreamSignature,
)
from tests.callback_world import CITY_FUND
from tests.engine_world import FIRM, NOW, OTHER, Answer, Naps, Nonces, Scripted, Watch

PLACE = "city-fund/provident_fund"
SECRETS = {"app_id": "invented", "app_key": "invented", "callback_key": "theirs"}
TAKEN: dict[str, Any] = {"code": "0", "lsh": "L1"}
URL = "https://gateway.invalid/v1/callbacks"
TEXT = (CITY_FUND / "manifest.toml").read_text("utf-8")


def manifest(at: Path, *changes: tuple[str, str]) -> Loaded:
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (at / "city-fund").mkdir(parents=True, exist_ok=True)
    (at / "city-fund" / "manifest.toml").write_text(text, "utf-8")
    return load(at / "city-fund")


def made(loaded: Loaded, *replies: Answer, state: MemoryState | None = None, **more: Any) -> DeclarativeConnector:
    given: dict[str, Any] = {"callback_url": URL, "clock": lambda: NOW, "nonce": Nonces(), "sleep": Naps(), **more}
    return DeclarativeConnector(loaded, Scripted(list(replies)), SECRETS, state=state, **given)


async def fetch(connector: DeclarativeConnector, use: str | None = "permit-1", guard: Any = None) -> Reply:
    fields = connector.datasets["provident_fund"]
    query = Query(FIRM, "provident_fund", fields, (2026, 9), (2026, 10), use)
    return await connector.fetch(query, guard or OpenGuard(), asyncio.get_running_loop().time() + 5, Progress())


def content(**changes: Any) -> dict[str, Any]:
    rows = [{"ny": "2026-10", "rs": 30, "js": "312000.00"}]
    whole = {"code": "0", "lsh": "L1", "tyshxydm": FIRM.uscc, "dwmc": FIRM.name, "rq": "2026-11-24", "list": rows}
    return whole | changes


def arrived(body: bytes) -> Arrived:
    return Arrived(hashlib.sha256(body).digest(), "application/json", body)


async def answered(at: Path, body: bytes, guard: Any = None) -> Reply:
    """What comes of the question when this has come."""
    state = MemoryState()
    connector = made(manifest(at), TAKEN, state=state)
    with pytest.raises(UpstreamPending):
        await fetch(connector)
    state.arrive("permit-1", PLACE, arrived(body))
    return await fetch(connector, guard=guard)


async def signed(loaded: Loaded, tree: dict[str, Any], now: float = NOW, key: str = "theirs") -> WireRequest:
    options = loaded.manifest.dataset[0].callback
    assert options is not None
    signer = SCHEMES[options.signed.scheme].build(options.signed.options, {**SECRETS, "callback_key": key})
    return await signer.sign(Draft("POST", URL, "/x", (), tree, "json"), Moment(now, "abcdefghij"), no_send)


async def no_send(_: WireRequest) -> WireReply:
    raise AssertionError


# --- The question, and what has come --------------------------------------------------------------------------


async def test_the_platform_is_told_an_address_with_a_ticket_that_only_its_hash_is_kept_of(tmp_path: Path) -> None:
    class Kept(MemoryState):
        keys: list[str] = []  # noqa: RUF012

        async def expect_callback(self, use: str, place: str, key: str) -> None:
            self.keys.append(key)
            await super().expect_callback(use, place, key)

    script, state = Scripted([TAKEN, TAKEN]), Kept()
    connector = DeclarativeConnector(
        manifest(tmp_path), script, SECRETS, callback_url=URL, clock=lambda: NOW, state=state
    )
    for use in ("permit-1", "permit-2"):
        with pytest.raises(UpstreamPending) as caught:
            await fetch(connector, use)
        assert caught.value.details == {"next_attempt_at": "2026-11-24T12:00:00.000+00:00"}
    tickets = [sent["notify"].removeprefix(f"{URL}/city-fund/") for sent in script.bodies()]
    assert len(set(tickets)) == 2
    assert {len(ticket) for ticket in tickets} == {43}  # 256 bits
    assert state.keys == [ticket_key(ticket) for ticket in tickets]
    # It is asked once.
    with pytest.raises(UpstreamPending):
        await fetch(connector)
    assert len(script.requests) == 2


async def test_what_has_come_is_read_as_a_reply_is(tmp_path: Path) -> None:
    body = b'{"code":"0","lsh":"L1","tyshxydm":"%s","rq":"2026-11-24","list":[{"ny":"2026-10","rs":30}]}'
    reply = await answered(tmp_path, body % FIRM.uscc.encode())
    assert (reply.found, reply.records) == (Found.FOUND, ({"month": "2026-10", "persons": 30},))
    assert reply.signature_held is True
    assert (await answered(tmp_path, b'{"code":"1"}')).found is Found.ABSENT


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"code":"0","tyshxydm":"%s","list":[{}]}' % OTHER.encode(), SubjectMismatch),
        (b'{"code":"0","list":[{}]}', SchemaDrift),
        (b'{"code":"5"}', UpstreamBusy),
        (b"{", UpstreamMalformed),
    ],
)
async def test_and_fails_as_a_reply_does(tmp_path: Path, body: bytes, error: type[UpstreamError]) -> None:
    with pytest.raises(error):
        await answered(tmp_path, body)


async def test_the_consent_is_asked_before_what_has_come_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConsentRevoked):
        await answered(tmp_path, b"{", guard=Watch(keep=1))


async def test_a_question_that_fails_waits_for_nothing(tmp_path: Path) -> None:
    for reply, error in (({"code": "0"}, SchemaDrift), (WireReply(403, {}, b""), UpstreamDenied)):
        state = MemoryState()
        with pytest.raises(error):
            await fetch(made(manifest(tmp_path), reply, state=state))
        assert state.expected == {}
    state = MemoryState()
    assert (await fetch(made(manifest(tmp_path), {"code": "1"}, state=state))).found is Found.ABSENT
    assert state.expected == {}


async def test_what_did_not_come_in_time_is_given_up(tmp_path: Path) -> None:
    state = MemoryState()
    connector = made(manifest(tmp_path), TAKEN, state=state)
    with pytest.raises(UpstreamPending):
        await fetch(connector)
    state.expected["permit-1", PLACE] = replace(state.expected["permit-1", PLACE], over=True)
    with pytest.raises(DeadlineExceeded) as caught:
        await fetch(connector)
    assert caught.value.details == {"waiting_for": "callback"}


async def test_nobody_is_asked_where_nobody_would_hear_the_answer(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        await fetch(made(manifest(tmp_path)), None)

    class Shredded(MemoryState):
        async def open_callback(self, *_: Any) -> None:
            return

    with pytest.raises(DeadlineExceeded):
        await fetch(made(manifest(tmp_path), TAKEN, state=Shredded()))


async def test_maintenance_does_not_keep_an_answer_that_is_here_from_being_read(tmp_path: Path) -> None:
    closed = ("[outcome]", '[limits]\nmaintenance = ["daily 13:00-15:00 Asia/Shanghai"]\n\n[outcome]')
    state = MemoryState()
    with pytest.raises(UpstreamPending):
        await fetch(made(manifest(tmp_path), TAKEN, state=state))
    state.arrive("permit-1", PLACE, arrived(b'{"code":"1"}'))
    assert (await fetch(made(manifest(tmp_path, closed), state=state))).found is Found.ABSENT


# --- What is let in -------------------------------------------------------------------------------------------


async def test_a_callback_is_let_in_by_the_platform_s_key_within_its_window(tmp_path: Path) -> None:
    loaded = manifest(tmp_path)
    receiver = made(loaded).receivers["provident_fund"]
    heard = await receiver.hear(request := await signed(loaded, content()), NOW + 299)
    assert (heard.nonce, heard.seconds, heard.ticket, heard.again) == ("abcdefghij", 600, "L1", False)
    assert (heard.arrived.body, heard.arrived.digest) == (request.body, hashlib.sha256(request.body).digest())
    assert (receiver.ack.status, receiver.ack.body) == (200, '{"code":"0"}')
    for other, now in ((request, NOW + 300), (await signed(loaded, content(), key="ours"), NOW)):
        with pytest.raises(UpstreamSignature):
            await receiver.hear(other, now)


async def test_the_manifest_may_ask_for_a_fresher_one(tmp_path: Path) -> None:
    loaded = manifest(tmp_path, ('key = "callback_key"', 'key = "callback_key"\nfresh = "10s"'))
    receiver = made(loaded).receivers["provident_fund"]
    assert (await receiver.hear(await signed(loaded, content()), NOW + 9)).seconds == 310
    with pytest.raises(UpstreamSignature):
        await receiver.hear(await signed(loaded, content()), NOW + 10)


async def test_an_id_that_is_a_number_is_known_again_and_what_is_none_is_none(tmp_path: Path) -> None:
    loaded = manifest(tmp_path)
    receiver = made(loaded).receivers["provident_fund"]
    named = [(await receiver.hear(await signed(loaded, content(lsh=v)), NOW)).ticket for v in (7, "", True, [], None)]
    assert named == ["7", "", "", "", ""]
    assert (await receiver.hear(await signed(loaded, {"code": "5"}), NOW)).again is True


async def test_a_platform_without_ids_of_its_own_is_known_by_our_ticket(tmp_path: Path) -> None:
    own = [('ticket = "lsh"\n\n[dataset.callback]', "[dataset.callback]"), ('ticket = "lsh"\nack', "ack")]
    loaded = manifest(tmp_path, *own)
    assert (await made(loaded).receivers["provident_fund"].hear(await signed(loaded, content()), NOW)).ticket == ""
    state = MemoryState()
    with pytest.raises(UpstreamPending):
        await fetch(made(loaded, {"code": "0"}, state=state))
    assert state.expected["permit-1", PLACE].ticket.value == ""


def test_without_an_address_to_tell_there_is_no_connector(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(manifest(tmp_path), callback_url=None)
    assert (caught.value.details["connector"], caught.value.details["at"]) == ("city-fund", "callback_url")


# --- What a manifest may say ----------------------------------------------------------------------------------

SIGNED = TEXT[TEXT.index("[dataset.callback.signed]") : TEXT.index("[dataset.fields]")]


@pytest.mark.parametrize(
    ("old", "new", "at", "mend"),
    [
        (SIGNED, "", "dataset.0.callback.signed", "add the key"),
        ('notify = "{callback_url}"', 'n = "x"', "dataset.0.submit", "{callback_url}"),
        ('rows = { at = "list" }', 'rows = { at = "list" }\npaging = { total_pages = "n" }', "dataset.0", "paging"),
        ('path = "/apply"', 'path = "/apply"\nper = "month"', "dataset.0.callback", "not per month"),
        ('ticket = "lsh"\nack', "ack", "dataset.0.callback", "come together"),
        ('give_up = "6h"', "", "dataset.0.callback.give_up", "add the key"),
        ("ack = {", "ack = { status = 302,", "dataset.0.callback.ack.status", ""),
        ('scheme = "hmac-template"\nkey', 'scheme = "hmac"\nkey', "dataset.0.callback.signed.scheme", "use one of"),
        (SIGNED, '[dataset.callback.signed]\nscheme = "none"\n\n', "dataset.0.callback.signed.scheme", "can verify"),
        (SIGNED, '[dataset.callback.signed]\nscheme = "wechatpay-v3"\n\n', "auth.secrets", "platform_"),
        ('"{ts}\\n{nonce}\\n{body}"', '"{ts}\\n{nonce}"', "dataset.0.callback.signed", "cover the body"),
        ('key = "callback_key"', 'key = "callback_key"\nturn = 1', "dataset.0.callback.signed.turn", ""),
        ('strategy = "callback"', 'strategy = "ticket"', "dataset.0", "needs `submit` and `poll`"),
        ('strategy = "callback"', "", "dataset.0", "needs `request`"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_mend(tmp_path: Path, old: str, new: str, at: str, mend: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest(tmp_path, (old, new))
    details = caught.value.details
    assert str(details["at"]).startswith(at)
    assert mend in str(details["mend"])
    assert int(details["line"]) > 1


def test_a_ticket_to_poll_still_needs_its_place(tmp_path: Path) -> None:
    poll = 'poll = { path = "/r/{ticket}", pending = [{ at = "c", equals = "w" }], every = "1s", give_up = "1h" }'
    cut = TEXT[TEXT.index("[dataset.callback]") : TEXT.index("[dataset.fields]")]
    changes = [('strategy = "callback"', f'strategy = "ticket"\n{poll}'), (cut, ""), ('ticket = "lsh"\n\n', "\n")]
    text = TEXT
    for old, new in changes:
        text = text.replace(old, new, 1)
    text = text.replace('notify = "{callback_url}"', 'n = "x"')
    (tmp_path / "city-fund").mkdir()
    (tmp_path / "city-fund" / "manifest.toml").write_text(text, "utf-8")
    with pytest.raises(ManifestError) as caught:
        load(tmp_path / "city-fund")
    assert (caught.value.details["at"], "ticket" in str(caught.value.details["mend"])) == ("dataset.0.submit", True)


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (Path(__file__).parent.parent / "docs" / "manifest.md").read_text("utf-8")
    shown = TEXT[TEXT.index("[[dataset]]") : TEXT.index("[dataset.fields]")].rstrip()
    assert shown in page
