"""Every scheme from the receiving side: round trip, every covered component, keys, age and repetition."""

import asyncio

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.ports import MemoryNonces
from connectors.signing import SCHEMES
from connectors.signing.base import Moment, TimeForm, heard
from connectors.signing.verifying import Opener, Why, admit
from connectors.wire import Draft, WireReply, WireRequest
from schemas.errors import ManifestError, UpstreamSignature
from tests.signing_world import AT, CASES, DRAFT, NOW, Case
from tests.test_signing_tif import no_send

every_scheme = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def why_refused(case: Case, request: WireRequest) -> Why | None:
    """None where the message is let in."""
    try:
        return case.verifier().read(request).why
    except UpstreamSignature as err:
        return Why(str(err.details["why"]))


@every_scheme
def test_what_a_scheme_signs_it_also_verifies(case: Case) -> None:
    claim = case.verifier().read(case.signed())
    assert claim.why is None
    assert claim.unix == NOW
    assert claim.nonce


@every_scheme
def test_the_canonical_text_is_the_signers_own_and_without_secrets(case: Case) -> None:
    claim = case.verifier().read(case.signed())
    explained = SCHEMES[case.scheme].build(case.options, case.ours).explain(DRAFT, AT)
    assert claim.canonical == explained.canonical
    for name in {"token", "app_secret", "secret_key", "app_key", "secret", "private_key"} & case.ours.keys():
        if len(case.ours[name]) > 2 and case.scheme != "md5-rotating":
            assert case.ours[name] not in claim.canonical


@every_scheme
def test_a_key_of_the_right_shape_that_is_not_the_right_one_is_refused(case: Case) -> None:
    wanted = Why.UNKNOWN_KEY if case.scheme == "md5-rotating" else Why.FORGED
    assert why_refused(case, case.signed(secrets=case.other)) is wanted


def flipped(text: str, at: int, to: int) -> str:
    """Another character at one place, and not the same letter in another case."""
    at %= len(text)
    alphabet = '0123456789abcdefghijklmnopqrstuvwxyz+/=:.,;"- '
    choices = [c for c in alphabet if c != text[at].lower()]
    return text[:at] + choices[to % len(choices)] + text[at + 1 :]


@every_scheme
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_covered_component_can_be_changed(case: Case, data: st.DataObject) -> None:
    request = SIGNED.setdefault(id(case), case.signed())
    part = data.draw(st.sampled_from([*case.headers, *sorted(case.covers - {"members"})] or ["members"]))
    at, to = data.draw(st.integers(0, 2000)), data.draw(st.integers(0, 60))
    if part == "members":
        assert why_refused(case, member_changed(request, case.members, at, to)) is not None
    else:
        assert why_refused(case, changed(request, part, at, to)) is not None


SIGNED: dict[int, WireRequest] = {}


def changed(request: WireRequest, part: str, at: int, to: int) -> WireRequest:
    base, _, query = request.url.partition("?")
    if part == "method":
        return request._replace(method="PUT")
    if part == "path":
        host = len("https://xx.example/")
        return request._replace(url=f"{base[:host]}{flipped(base[host:], at, to)}?{query}")
    if part == "query":
        # Only a name or value: what stands between them is not a component of a sorted query.
        name = "ab"[at % 2]
        return request._replace(url=f"{base}?{query.replace(f'{name}=', f'{name}={to}')}")
    if part == "body":
        body = bytearray(request.body)
        body[at % len(body)] ^= 1 + to
        return request._replace(body=bytes(body))
    return request._replace(headers={**request.headers, part: flipped(request.headers[part], at, to)})


def member_changed(request: WireRequest, names: tuple[str, ...], at: int, to: int) -> WireRequest:
    members = orjson.loads(request.body)
    among = names or sorted(members)
    name = among[at % len(among)]
    value = members[name]
    members[name] = value + 1 + to if isinstance(value, int) else flipped(value, at // 7, to)
    return request._replace(body=orjson.dumps(members))


@every_scheme
def test_a_message_without_a_header_of_the_scheme_is_refused(case: Case) -> None:
    request = case.signed()
    for name in case.headers:
        left = {k: v for k, v in request.headers.items() if k != name}
        assert why_refused(case, request._replace(headers=left)) is Why.MISSING


@every_scheme
def test_a_message_is_let_in_once_while_it_is_fresh(case: Case) -> None:
    asyncio.run(let_in_once(case, case.signed()))


async def let_in_once(case: Case, request: WireRequest) -> None:
    verifier, clock = case.verifier(), [0.0]
    nonces = MemoryNonces(lambda: clock[0])
    window = verifier.window
    for now in (NOW + window.past, NOW - window.ahead - 1):
        with pytest.raises(UpstreamSignature) as caught:
            await admit(verifier, request, now, nonces)
        assert caught.value.details == {"why": "stale"}
    await admit(verifier, request, NOW + window.past - 1, nonces)
    clock[0] += window.past + window.ahead - 1
    with pytest.raises(UpstreamSignature) as caught:
        await admit(verifier, request, NOW, nonces)
    assert caught.value.details == {"why": "replayed"}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1700000000", "unix-s"),
        ("1700000000123", "unix-ms"),
        ("Tue, 14 Nov 2023 22:13:20 GMT", "rfc1123"),
        ("2023-11-14T22:13:20Z", "rfc3339"),
        ("2023-11-15 06:13:20", "yyyy-MM-dd HH:mm:ss"),
        ("20231115061320", "yyyyMMddHHmmss"),
    ],
)
def test_a_time_that_was_heard_is_read_as_it_was_written(text: str, form: TimeForm) -> None:
    assert heard(text, form, "n").text(form) == text
    assert int(heard(text, form, "n").unix) == 1700000000


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "unix-s"),
        ("-1", "unix-s"),
        ("١٧", "unix-s"),
        ("1700000000.5", "unix-s"),
        ("0170", "unix-s"),
        ("9" * 17, "unix-ms"),
        ("9" * 16, "unix-s"),
        ("tue, 14 Nov 2023 22:13:20 GMT", "rfc1123"),
        ("Wed, 14 Nov 2023 22:13:20 GMT", "rfc1123"),
        ("2023-11-14T22:13:20+00:00", "rfc3339"),
        ("2023-02-30 06:13:20", "yyyy-MM-dd HH:mm:ss"),
        ("2023111506132", "yyyyMMddHHmmss"),
    ],
)
def test_a_time_that_could_be_written_otherwise_is_refused(text: str, form: TimeForm) -> None:
    with pytest.raises(UpstreamSignature) as caught:
        heard(text, form, "n")
    assert caught.value.details == {"why": "malformed"}


REPLY = WireReply(200, {"x-app": "an-app"}, b'{"code":"0"}')
ASKED = WireRequest("POST", "https://xx.example/base/q", {}, b"{}")


def signed_reply(case: Case, nonce: str, body: bytes = REPLY.body, at: float = NOW) -> WireReply:
    """A reply that is signed like a request: over its own body, and the method and path that it answers."""
    signer = SCHEMES[case.scheme].build(case.options, case.ours)
    draft = Draft("POST", "https://xx.example/base", "/q", body=orjson.loads(body), encode="json")
    made = asyncio.run(signer.sign(draft, Moment(at, nonce), no_send))
    return WireReply(200, {k.lower(): v for k, v in made.headers.items()}, made.body)


def test_a_reply_is_opened_once() -> None:
    opener = SCHEMES["hmac-template"].opener(CASES["hmac-template"].options, CASES["hmac-template"].ours)
    reply = signed_reply(CASES["hmac-template"], "abc123nonce")
    assert asyncio.run(opener.open(reply, ASKED, "another0nonce", NOW)) == reply
    assert refusal_of(opener, reply) == "replayed"


@pytest.mark.parametrize("at", [NOW - 300, NOW + 301])
def test_an_older_reply_is_stale(at: float) -> None:
    opener = SCHEMES["hmac-template"].opener(CASES["hmac-template"].options, CASES["hmac-template"].ours)
    assert refusal_of(opener, signed_reply(CASES["hmac-template"], "abc123nonce", at=at)) == "stale"


def test_a_reply_that_is_bound_answers_its_own_request_only() -> None:
    case = CASES["hmac-template"]
    opener = SCHEMES["hmac-template"].opener(case.options, case.ours, bound=True)
    reply = signed_reply(case, "abc123nonce")
    assert asyncio.run(opener.open(reply, ASKED, "abc123nonce", NOW)) == reply
    assert refusal_of(opener, reply, "another0nonce") == "not_ours"


def test_a_reply_without_signature_or_over_another_path_is_refused() -> None:
    case = CASES["hmac-template"]
    opener = SCHEMES["hmac-template"].opener(case.options, case.ours)
    assert refusal_of(opener, REPLY) == "missing"
    other = ASKED._replace(url="https://xx.example/base/r")
    with pytest.raises(UpstreamSignature):
        asyncio.run(opener.open(signed_reply(case, "abc123nonce"), other, "", NOW))


def refusal_of(opener: Opener, reply: WireReply, nonce: str = "", now: float = NOW) -> object:
    with pytest.raises(UpstreamSignature) as caught:
        asyncio.run(opener.open(reply, ASKED, nonce, now))
    return caught.value.details["why"]


async def test_nonces_are_forgotten_when_their_signature_is_stale_anyway() -> None:
    clock = [0.0]
    seen = MemoryNonces(lambda: clock[0])
    assert await seen.first("a", 10)
    clock[0] = 5
    assert await seen.first("b", 10)
    clock[0] = 9
    assert not await seen.first("a", 10)
    clock[0] = 10
    assert await seen.first("a", 10)
    clock[0] = 14
    assert not await seen.first("b", 10)


async def test_a_nonce_is_forgotten_though_one_before_it_is_kept_longer() -> None:
    clock = [0.0]
    seen = MemoryNonces(lambda: clock[0])
    assert await seen.first("long", 100)
    assert await seen.first("short", 1)
    clock[0] = 2
    assert await seen.first("short", 1)


@pytest.mark.parametrize("scheme", ["oauth2-client", "none"])
def test_a_scheme_that_signs_nothing_cannot_verify(scheme: str) -> None:
    options = {"token_path": "/t"} if scheme == "oauth2-client" else {}
    with pytest.raises(ManifestError):
        SCHEMES[scheme].verifier(options, {"client_id": "a", "client_secret": "b"})
    with pytest.raises(ManifestError) as caught:
        SCHEMES[scheme].check(options, ["client_id", "client_secret"], table="reply")
    assert caught.value.details["at"] == "reply.scheme"


def test_the_receiving_side_of_an_asymmetric_scheme_needs_the_platforms_key() -> None:
    for scheme, options in (("rsa2", {}), ("wechatpay-v3", {}), ("jws-detached", {"alg": "ES256"})):
        with pytest.raises(ManifestError) as caught:
            SCHEMES[scheme].check(options, ["private_key", "key_id", "serial_no", "mchid"], table="reply")
        assert "platform_" in str(caught.value.details["mend"])
