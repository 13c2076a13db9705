"""What a webhook signs, tells and may be sent to: the parts that need no socket and no database."""

import base64
import hmac
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhooks.deliveries import JITTER, LONGEST, SCHEDULE, wait_after
from gateway.webhooks.endpoints import check_url
from gateway.webhooks.messages import LOG_EVENTS, WebhookEvent, message_of
from gateway.webhooks.signing import headers, new_secret, secret_text
from schemas.errors import InvalidRequest
from schemas.events import EVENTS

LEAF = bytes(range(32))


def test_the_published_vector_of_standard_webhooks_is_met() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])
    assert made["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert made["webhook-timestamp"] == "1614265330"
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_changes_each_signs_and_either_is_enough() -> None:
    new, old = new_secret(), new_secret()
    both = headers("msg_1", 7, b"{}", [new, old])["webhook-signature"].split(" ")
    alone = [headers("msg_1", 7, b"{}", [key])["webhook-signature"] for key in (new, old)]
    assert both == alone
    assert new != old


def test_a_secret_is_shown_in_the_form_that_libraries_take() -> None:
    text = secret_text(new_secret())
    assert text.startswith("whsec_")
    assert 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64


@given(body=st.binary(max_size=200), timestamp=st.integers(0, 2**40), key=st.binary(min_size=24, max_size=64))
def test_whatever_is_sent_a_receiver_computes_the_same_signature(body: bytes, timestamp: int, key: bytes) -> None:
    made = headers("msg_x", timestamp, body, [key])
    signed = b".".join([made["webhook-id"].encode(), made["webhook-timestamp"].encode(), body])
    version, signature = made["webhook-signature"].split(",")
    assert version == "v1"
    assert hmac.compare_digest(base64.b64decode(signature), hmac.digest(key, signed, "sha256"))


def entry(event: str, **data: Any) -> dict[str, Any]:
    common = {"v": 1, "id": "x", "event": event, "time": "2026-11-24T06:00:00.000+00:00", "actor": "bank-a"}
    return {**common, "consent": "c1", "subject": "f" * 32, **data}


@pytest.mark.parametrize(
    ("told", "kind", "data"),
    [
        (
            entry("consent.revoked", version=4, commitment="0" * 64),
            "consent.revoked",
            {"consent_id": "c1", "state": "revoked", "version": 4},
        ),
        (
            entry("consent.resumed", version=3, commitment="0" * 64),
            "consent.resumed",
            {"consent_id": "c1", "state": "active", "version": 3},
        ),
        (
            entry("consent.superseded", version=2, commitment="0" * 64, by="c2"),
            "consent.superseded",
            {"consent_id": "c1", "state": "superseded", "version": 2, "superseded_by": "c2"},
        ),
        (
            entry("request.expired", request="r1", code="time") | {"consent": None},
            "request.expired",
            {"consent_id": None, "request_id": "r1", "state": "expired"},
        ),
        (
            entry("profile.issued", permit="m1", profile="p1", revision=1, commitment="0" * 64, sources=[]),
            "profile.issued",
            {"consent_id": "c1", "permit_id": "m1", "profile_id": "p1", "revision": 1},
        ),
        (
            entry("profile.issued", permit="m1", profile="p1", revision=2, commitment="0" * 64, sources=[]),
            "profile.revised",
            {"consent_id": "c1", "permit_id": "m1", "profile_id": "p1", "revision": 2},
        ),
        (
            entry("permit.closed", permit="m1", code="outcome_unknown"),
            "profile.failed",
            {"consent_id": "c1", "permit_id": "m1", "code": "outcome_unknown"},
        ),
        (
            entry("profile.withheld", permit="m1", profile="p1", code="consent_revoked"),
            "profile.failed",
            {"consent_id": "c1", "permit_id": "m1", "code": "consent_revoked"},
        ),
    ],
)
def test_a_message_names_things_by_their_ids_and_holds_nothing_else(
    told: dict[str, Any], kind: str, data: dict[str, Any]
) -> None:
    message = message_of(told, LEAF)
    assert message.type == kind
    assert orjson.loads(message.body) == {"type": kind, "timestamp": told["time"], "data": data}


def test_an_id_is_of_the_entry_and_has_no_full_stop() -> None:
    told = entry("consent.revoked", version=4, commitment="0" * 64)
    assert message_of(told, LEAF).id == message_of(told, LEAF).id == "msg_" + LEAF.hex()[:32]
    assert message_of(told, LEAF).id != message_of(told, bytes(32)).id
    assert "." not in message_of(told, LEAF).id


def test_every_event_that_can_be_asked_for_comes_from_one_of_the_log() -> None:
    assert set(LOG_EVENTS) <= EVENTS.keys()
    assert set(WebhookEvent) - set(LOG_EVENTS) == {"profile.revised", "profile.failed"}


@pytest.mark.parametrize(
    "url",
    [
        "https://bank.example.cn/hooks",
        "https://bank.example.cn",
        "https://bank.example.cn:8443/a/b?c=d&e=%20",
        "https://1.1.1.1/x",
        "https://[2606:4700::1111]/x",
        "http://127.0.0.1:9/x",
        "https://LOCALHOST:9/x",
    ],
)
def test_a_public_https_address_or_one_that_the_operator_allows_is_taken(url: str) -> None:
    check_url(url, ["127.0.0.1:9", "localhost:9"])


@pytest.mark.parametrize(
    "url",
    [
        "http://bank.example.cn/hooks",
        "http://127.0.0.1:8/x",
        "https://127.0.0.1/x",
        "https://127.0.0.1./x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f.0.0.1/x",
        "https://bank.0x7f000001/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://0.0.0.0/x",
        "ftp://bank.example.cn/x",
        "file:///etc/passwd",
        "https://user:pass@bank.example.cn/x",
        "https://bank.example.cn@127.0.0.1/x",
        "https://bank.example.cn/x#fragment",
        "https://bank.example.cn:0/x",
        "https://bank.example.cn:65536/x",
        "https://bank.example.cn:/x",
        "https://bank.example.cn?x",
        "https://bank.example.cn\\@127.0.0.1/",
        "https://bank.example.cn/x\r\nHost: evil",
        "https://银行.example.cn/x",
        "https:///x",
        "//bank.example.cn/x",
        " https://bank.example.cn/x",
        "",
    ],
)
def test_an_address_that_is_inner_plain_or_not_quite_a_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_url(url, ["127.0.0.1:9"])
    assert caught.value.details["at"] == "url"
    assert not url or url not in str(caught.value)


def test_waits_grow_over_three_days_and_then_end() -> None:
    waits = [wait_after(n, None) for n in range(1, len(SCHEDULE) + 1)]
    for wait, planned in zip(waits, SCHEDULE, strict=True):
        assert wait is not None
        assert planned.total_seconds() <= wait <= planned.total_seconds() * (1 + JITTER)
    assert sum(s.total_seconds() for s in SCHEDULE) > 3 * 86400
    assert wait_after(len(SCHEDULE) + 1, None) is None
    assert wait_after(len(SCHEDULE) + 1, 60) is None


@given(attempt=st.integers(1, len(SCHEDULE)), asked=st.integers(0, 10**10))
def test_an_endpoint_may_ask_for_a_longer_wait_but_not_for_ever(attempt: int, asked: int) -> None:
    wait = wait_after(attempt, asked)
    assert wait is not None
    assert wait >= min(asked, LONGEST)
    assert wait <= LONGEST * (1 + JITTER)


def test_waits_differ_so_that_what_failed_together_does_not_come_back_together() -> None:
    assert len({wait_after(3, None) for _ in range(20)}) > 1
