"""A platform that signs its replies: what holds is kept, and nothing of what does not."""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress
from connectors.engine.connector import DeclarativeConnector
from connectors.wire import WireReply, WireRequest
from schemas.errors import ManifestError, UpstreamBusy, UpstreamDenied, UpstreamServerError, UpstreamSignature
from tests.engine_world import BASE, FUND, NONE, NOW, SECRETS, Naps, Nonces, Scripted, body, bureau, fetch, row

SIGNED = """
[reply]
scheme = "hmac-template"
text = "{ts}|{nonce}|{body_sha256}"
mac = "hmac-sha256"
encoding = "base64"
ts = "unix-s"
key = "reply_key"
headers = { X-Ts = "{ts}", X-Nonce = "{nonce}", X-Sign = "{mac}" }
"""
HEAD = BASE.replace('secrets = ["paasid", "token"]', 'secrets = ["paasid", "token", "reply_key"]') + SIGNED
GOOD = body([row()])


def signed(
    answer: Any, nonce: str = "abc", *, key: bytes = b"invented", at: float = NOW, status: int = 200
) -> WireReply:
    raw = json.dumps(answer).encode()
    text = f"{int(at)}|{nonce}|{sha256(raw).hexdigest()}"
    mac = b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
    headers = {"content-type": "application/json", "x-ts": str(int(at)), "x-nonce": nonce, "x-sign": mac}
    return WireReply(status, headers, raw)


def platform(at: Path, *replies: WireReply, head: str = HEAD, **more: Any) -> DeclarativeConnector:
    secrets = {**SECRETS, "reply_key": "invented"}
    given: dict[str, Any] = {"clock": lambda: NOW, "nonce": Nonces(), "sleep": Naps(), **more}
    transport = given.pop("transport", None) or Scripted(list(replies))
    return DeclarativeConnector(bureau(at, FUND, head), transport, secrets, **given)


async def test_a_reply_whose_signature_holds_is_kept_and_said_to_be_signed(tmp_path: Path) -> None:
    reply = await fetch(platform(tmp_path, signed(GOOD)))
    assert (reply.found, reply.signature_held) == (Found.FOUND, True)


async def test_a_platform_that_signs_nothing_says_nothing_of_signatures(tmp_path: Path) -> None:
    made = platform(tmp_path, WireReply(200, {}, json.dumps(GOOD).encode()), head=BASE)
    assert (await fetch(made)).signature_held is None


def without(reply: WireReply, name: str) -> WireReply:
    return WireReply(reply.status, {k: v for k, v in reply.headers.items() if k != name}, reply.body)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (without(signed(GOOD), "x-sign"), "missing"),
        (signed(GOOD, key=b"Invented"), "forged"),
        (WireReply(200, signed(GOOD).headers, signed(body([row(persons=31)])).body), "forged"),
        (signed(GOOD, at=NOW - 300), "stale"),
        (signed(GOOD, at=NOW + 301), "stale"),
        (WireReply(200, {"content-type": "application/json"}, json.dumps(NONE).encode()), "missing"),
    ],
)
async def test_a_reply_that_does_not_hold_is_refused_once_and_for_all(
    tmp_path: Path, reply: WireReply, why: str
) -> None:
    progress = Progress()
    with pytest.raises(UpstreamSignature) as caught:
        await fetch(platform(tmp_path, reply), progress=progress)
    assert caught.value.details == {"why": why}
    assert progress.calls == 1


async def test_a_reply_that_came_before_is_refused(tmp_path: Path) -> None:
    made = platform(tmp_path, signed(GOOD), signed(GOOD))
    await fetch(made)
    with pytest.raises(UpstreamSignature) as caught:
        await fetch(made)
    assert caught.value.details == {"why": "replayed"}


async def test_a_reply_that_repeats_the_nonce_belongs_to_its_request_alone(tmp_path: Path) -> None:
    head = HEAD.replace("[reply]\n", "[reply]\nbound = true\n")
    kept: list[WireReply] = []

    def answer(request: WireRequest) -> WireReply:
        kept.append(signed(GOOD, request.headers["x-tif-nonce"]))
        return kept[0]

    made = platform(tmp_path, head=head, transport=Scripted(by=answer))
    assert (await fetch(made)).found is Found.FOUND
    with pytest.raises(UpstreamSignature) as caught:
        await fetch(made)
    assert caught.value.details == {"why": "not_ours"}


@pytest.mark.parametrize(("status", "error"), [(403, UpstreamDenied), (503, UpstreamBusy), (502, UpstreamServerError)])
async def test_what_stands_before_the_platform_need_not_sign_its_failures(
    tmp_path: Path, status: int, error: type[Exception]
) -> None:
    head = HEAD + "[limits]\nattempts = 1\n"
    with pytest.raises(error) as caught:
        await fetch(platform(tmp_path, WireReply(status, {}, b"<html>"), head=head))
    assert not isinstance(caught.value, UpstreamSignature)


async def test_nothing_there_is_believed_only_where_it_is_signed(tmp_path: Path) -> None:
    head = HEAD.replace("no_record = [", "no_record = [{ status = 404 }, ")
    with pytest.raises(UpstreamSignature):
        await fetch(platform(tmp_path, WireReply(404, {}, b""), head=head))
    reply = await fetch(platform(tmp_path, signed("", status=404), head=head))
    assert (reply.found, reply.signature_held) == (Found.ABSENT, True)


def mistake(at: Path, changes: Mapping[str, str]) -> str:
    head = HEAD
    for old, new in changes.items():
        assert old in head
        head = head.replace(old, new)
    with pytest.raises(ManifestError) as caught:
        bureau(at, FUND, head)
    return str(caught.value.details["at"])


def test_a_mistake_in_the_reply_table_is_named(tmp_path: Path) -> None:
    assert mistake(tmp_path, {'scheme = "hmac-template"': 'scheme = "guess"'}) == "reply.scheme"
    assert mistake(tmp_path, {'scheme = "hmac-template"': 'scheme = "none"'}).startswith("reply.")
    assert mistake(tmp_path, {'mac = "hmac-sha256"': 'mac = "crc"'}) == "reply.mac"
    assert mistake(tmp_path, {', "reply_key"]': "]"}) == "auth.secrets"
