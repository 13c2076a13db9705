"""What has not its form: messages, headers, keys. Each is refused with its reason, and none raises anything else."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.signing import SCHEMES
from connectors.signing.algorithms import checker, signer
from connectors.signing.http_fields import auth_parameters, content_digest, inner_list, signature_inputs
from connectors.signing.keys import as_bytes, as_text, public_key
from connectors.signing.parameters import parameters_of
from connectors.signing.rfc9421 import Message, signature_base
from connectors.sm2 import PrivateKey, sm4_encrypt
from connectors.wire import Draft, WireReply, WireRequest
from schemas.base import Json
from schemas.errors import ConfigurationError, ManifestError, UpstreamSignature
from tests.certificates import Authority
from tests.signing_world import AT, CASES, DRAFT, NOW, SM2, key, pem, public_pem
from tests.test_signing_tif import no_send
from tests.test_signing_verifying import why_refused


def changed(case: str, header: str, old: str, new: str) -> object:
    request = CASES[case].signed()
    assert old in request.headers[header]
    return why_refused(
        CASES[case], request._replace(headers={**request.headers, header: request.headers[header].replace(old, new)})
    )


@pytest.mark.parametrize(
    ("case", "header", "old", "new", "why"),
    [
        ("wechatpay-v3", "Authorization", "WECHATPAY2", "OTHER", "malformed"),
        ("wechatpay-v3", "Authorization", 'mchid="m"', 'mchid="n"', "unknown_key"),
        ("wechatpay-v3", "Authorization", 'mchid="m"', 'mchid="m",mchid="m"', "malformed"),
        ("wechatpay-v3", "Authorization", 'mchid="m",', "", "missing"),
        ("apisix-hmac", "Authorization", "Signature ", "Bearer ", "malformed"),
        ("apisix-hmac", "Authorization", 'algorithm="hmac-sha256"', 'algorithm="none"', "algorithm"),
        ("apisix-hmac", "Authorization", ' digest"', '"', "algorithm"),
        ("apisix-hmac", "Authorization", 'keyId="ak"', 'keyId="bk"', "unknown_key"),
        ("apisix-hmac", "Digest", "SHA-256=", "SHA-256=A", "digest"),
        ("rfc9421 ed25519", "Signature-Input", 'keyid="our-key"', 'keyid="other"', "unknown_key"),
        ("rfc9421 ed25519", "Signature-Input", 'alg="ed25519"', 'alg="hmac-sha256"', "algorithm"),
        ("rfc9421 ed25519", "Signature-Input", ' "content-digest"', "", "missing"),
        ("rfc9421 ed25519", "Signature-Input", '"@method"', '"@method" "x-not-there"', "missing"),
        ("rfc9421 ed25519", "Signature-Input", '"@method"', '"@method" "@method"', "malformed"),
        ("rfc9421 ed25519", "Signature-Input", '"@method"', '"@method" "@method";req', "malformed"),
        ("rfc9421 ed25519", "Signature-Input", '"@method"', '"@method" "@status"', "malformed"),
        ("rfc9421 ed25519", "Signature-Input", ";created=", ";created=1;created=", "malformed"),
        ("rfc9421 ed25519", "Signature-Input", "sig1=", "sig2=", "missing"),
        ("rfc9421 ecdsa", "Signature", "sig1=:", "sig1=:AAAA", "forged"),
        ("jws-detached ES256", "X-JWS-Signature", "..", ".AAAA.", "malformed"),
    ],
)
def test_a_header_that_says_something_else(case: str, header: str, old: str, new: str, why: str) -> None:
    assert changed(case, header, old, new) == why


def jws(members: Mapping[str, object] | bytes, signature: str = "AAAA") -> object:
    raw = members if isinstance(members, bytes) else orjson.dumps(members)
    protected = urlsafe_b64encode(raw).rstrip(b"=").decode()
    return why_refused(
        CASES["jws-detached RS256"],
        WireRequest("POST", "https://x", {"x-jws-signature": f"{protected}..{signature}"}, b"{}"),
    )


GOOD: dict[str, Any] = {"alg": "RS256", "b64": False, "crit": ["b64"], "iat": int(NOW), "jti": "n", "kid": "our-key"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "forged"),
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "PS512"}, "algorithm"),
        ({"b64": True}, "malformed"),
        ({"crit": ["b64", "x"]}, "malformed"),
        ({"jti": ""}, "malformed"),
        ({"iat": -1}, "malformed"),
        ({"iat": True}, "malformed"),
        ({"kid": "other"}, "unknown_key"),
    ],
)
def test_a_protected_header_that_says_something_else(changes: Mapping[str, object], why: str) -> None:
    assert jws({**GOOD, **changes}) == why


def test_a_jws_that_is_none() -> None:
    assert jws(GOOD, "") == "missing"
    assert jws(GOOD, "AA=") == "forged"
    assert jws(b"[]") == "malformed"
    assert jws(b"nonsense") == "malformed"
    assert jws(b'{"alg":"RS256","alg":"RS256"}') == "malformed"


def test_hs256_under_the_public_key_of_rs256_is_refused() -> None:
    """The oldest confusion: whoever has the public key signs with it as if it were a shared secret."""
    shared = b64encode(public_pem(key("rsa", 0)).encode()).decode()
    options, secrets = {"alg": "HS256"}, {"key_id": "our-key", "shared_key": shared}
    signed_ = replace(CASES["jws-detached HS256"], options=options, ours=secrets).signed()
    assert why_refused(CASES["jws-detached RS256"], signed_) == "algorithm"


@pytest.mark.parametrize("scheme", ["rsa2", "wechatpay-v3", "rfc9421", "jws-detached", "none"])
async def test_a_refusal_cannot_be_mended_by_asking_again(scheme: str) -> None:
    cases = {"rfc9421": "rfc9421 ed25519", "jws-detached": "jws-detached ES256"}
    if scheme == "none":
        made, request = SCHEMES["none"].build({}, {}), DRAFT.wire()
        assert await made.sign(DRAFT, AT, no_send) == request
        assert made.explain(DRAFT, AT).canonical == ""
    else:
        case = CASES[cases.get(scheme, scheme)]
        made = SCHEMES[scheme].build(case.options, case.ours)
        request = await made.sign(DRAFT, AT, no_send)
    assert not made.refused(request)


# --- parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[]"),
        ("application/json", b"{"),
        ("application/json; charset=nonsense", b"{}"),
        ("application/json; charset=utf-8", b"\xff"),
        ("application/x-www-form-urlencoded", b"a=1&a=2"),
        ("application/x-www-form-urlencoded", b"a"),
        ("application/x-www-form-urlencoded", "企=1".encode()),
    ],
)
def test_a_body_that_holds_no_parameters(kind: str, body: bytes) -> None:
    with pytest.raises(UpstreamSignature) as caught:
        parameters_of(WireRequest("POST", "https://x", {"Content-Type": kind}, body))
    assert caught.value.details == {"why": "malformed"}


def test_parameters_are_read_from_form_query_and_json() -> None:
    form = {"Content-Type": 'application/x-www-form-urlencoded; charset="gb18030"'}
    assert parameters_of(WireRequest("POST", "https://x", form, b"a=%C6%F3")) == ({"a": "企"}, "gb18030")
    assert parameters_of(WireRequest("GET", "https://x?a=1&b=", {}, b"")) == ({"a": "1", "b": ""}, "utf-8")
    assert parameters_of(WireRequest("GET", "https://x", {}, b"")) == ({}, "utf-8")
    body = b'{"a":1.50,"b":null,"c":[1]}'
    found, _ = parameters_of(WireRequest("POST", "https://x", {"content-type": "application/json"}, body))
    assert found == {"a": "1.50", "c": [1]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sign": ""}, "missing"),
        ({"sign": 5}, "missing"),
        ({"sign": "nonsense"}, "forged"),
        ({"nonce": ""}, "missing"),
        ({"timestamp": "yesterday"}, "malformed"),
        ({"app_id": "other"}, "unknown_key"),
    ],
)
@pytest.mark.parametrize("case", ["rsa2", "sm2-params"])
def test_parameters_that_say_something_else(case: str, changes: Mapping[str, object], why: str) -> None:
    request = CASES[case].signed()
    body = orjson.dumps({**orjson.loads(request.body), **changes})
    assert why_refused(CASES[case], request._replace(body=body)) == why


def test_a_nested_fraction_cannot_be_written_as_it_was_sent() -> None:
    request = CASES["rsa2"].signed()
    assert (
        why_refused(CASES["rsa2"], request._replace(body=request.body.replace(b'"n":5', b'"n":[1.5]'))) == "malformed"
    )


def test_without_a_nonce_the_text_must_not_come_twice() -> None:
    case = replace(CASES["rsa2"], options={"add": {"app_id": "{app_id}", "timestamp": "{ts}"}})
    claim = case.verifier().read(case.signed())
    assert claim.nonce.startswith("app_id=a&n=5")


# --- sealed replies of sm2-params --------------------------------------------------------------------------------

BUSINESS: dict[str, Json] = {
    "add": {"timestamp": "{ts}", "nonce": "{nonce}"},
    "business": {"field": "data", "text": "base64"},
}
SM4 = "0123456789abcdeffedcba9876543210"


async def opened(data: str, *, platform_key: str | None = None, business: bool = True) -> WireReply:
    """A reply that the platform signed over ``data``, as its opener gives it out."""
    options: dict[str, Json] = BUSINESS if business else {"add": BUSINESS["add"]}
    made = SCHEMES["sm2-params"].build({"add": BUSINESS["add"]}, {"private_key": SM2[0]})
    draft = Draft("POST", "https://x.example", "/", body={"code": "0", "data": data}, encode="json")
    request = await made.sign(draft, AT, no_send)
    point = platform_key or PrivateKey(bytes.fromhex(SM2[0])).public.point.hex()
    opener = SCHEMES["sm2-params"].opener(options, {"platform_key": point, "sm4_key": SM4})
    reply = WireReply(200, {"content-type": "application/json"}, request.body)
    return await opener.open(reply, WireRequest("POST", "https://x.example/", {}, b""), "", NOW)


async def test_a_sealed_reply_is_opened_after_its_signature_held() -> None:
    sealed = b64encode(sm4_encrypt(bytes.fromhex(SM4), '{"企":1}'.encode())).decode()
    members = orjson.loads((await opened(sealed)).body)
    assert (members["code"], members["data"]) == ("0", '{"企":1}')
    assert orjson.loads((await opened(sealed, business=False)).body)["data"] == sealed


@pytest.mark.parametrize("data", ["", "nonsense", b64encode(bytes(16)).decode()])
async def test_a_reply_that_cannot_be_opened_is_malformed(data: str) -> None:
    with pytest.raises(UpstreamSignature) as caught:
        await opened(data or "=")
    assert caught.value.details == {"why": "malformed"}


async def test_a_reply_under_another_key_stays_closed() -> None:
    with pytest.raises(UpstreamSignature) as caught:
        await opened("AAAA", platform_key=PrivateKey(bytes.fromhex(SM2[1])).public.point.hex())
    assert caught.value.details == {"why": "forged"}


# --- replies of wechatpay-v3 and rfc9421 -------------------------------------------------------------------------


def wechat_reply(**changes: str) -> WireReply:
    body = b'{"a":1}'
    text = f"{int(NOW)}\nreply-nonce\n".encode() + body + b"\n"
    signature = b64encode(signer("rsa-v1_5-sha256", {"private_key": pem(key("rsa", 0))})(text)).decode()
    headers = {"timestamp": str(int(NOW)), "nonce": "reply-nonce", "serial": "S1", "signature": signature, **changes}
    return WireReply(200, {f"wechatpay-{name}": value for name, value in headers.items()}, body)


async def test_a_reply_of_wechatpay_v3_is_held_against_the_key_that_its_serial_names() -> None:
    opener = SCHEMES["wechatpay-v3"].opener({}, {"platform_serial": "S1", "platform_key": public_pem(key("rsa", 0))})
    asked = WireRequest("POST", "https://x.example/", {}, b"")
    assert await opener.open(wechat_reply(), asked, "", NOW) == wechat_reply()
    for changes, why in (({"serial": "S2"}, "unknown_key"), ({"nonce": "other"}, "forged"), ({"nonce": ""}, "missing")):
        with pytest.raises(UpstreamSignature) as caught:
            await opener.open(wechat_reply(**changes), asked, "", NOW)
        assert caught.value.details == {"why": why}


COMPONENTS: list[str] = [
"@status", "content-digest", "@method;req", "@target-uri;req", "content-digest;req", "@authority;req",
              "@path;req", "@query;req", "@scheme;req", "@request-target;req"]  # fmt: skip


def http_reply(asked: WireRequest, status: int = 200, items: str | None = None) -> WireReply:
    body = b'{"a":1}'
    digest = content_digest(body)
    listed = items or " ".join(f'"{name.split(";")[0]}"' + (";req" if ";" in name else "") for name in COMPONENTS)
    parameters = f'({listed});created={int(NOW)};nonce="reply-nonce";keyid="theirs"'
    headers = {"content-digest": digest}
    base = signature_base(Message(headers, body, asked, status), listed.split(" "), parameters)
    signature = signer("ed25519", {"private_key": pem(key("ed", 0))})(base.encode())
    stated = {"signature-input": f"sig1={parameters}", "signature": f"sig1=:{b64encode(signature).decode()}:"}
    return WireReply(status, {**headers, **stated}, body)


async def test_a_reply_of_rfc_9421_belongs_to_one_request() -> None:
    case = CASES["rfc9421 ed25519"]
    asked = await SCHEMES["rfc9421"].build(case.options, case.ours).sign(DRAFT, AT, no_send)
    secrets = {"platform_key_id": "theirs", "platform_key": public_pem(key("ed", 0))}

    def opener() -> Any:
        return SCHEMES["rfc9421"].opener({**case.options, "reply_components": [*COMPONENTS]}, secrets)

    reply = http_reply(asked)
    assert await opener().open(reply, asked, "", NOW) == reply
    for other in (asked._replace(method="PUT"), asked._replace(url=asked.url + "1")):
        with pytest.raises(UpstreamSignature) as caught:
            await opener().open(reply, other, "", NOW)
        assert caught.value.details == {"why": "forged"}
    with pytest.raises(UpstreamSignature) as caught:
        await opener().open(reply._replace(status=404), asked, "", NOW)
    assert caught.value.details == {"why": "forged"}
    with pytest.raises(UpstreamSignature) as caught:
        await opener().open(reply._replace(body=b'{"a":2}'), asked, "", NOW)
    assert caught.value.details == {"why": "digest"}


@pytest.mark.parametrize("item", ['"@method"', '"@nonsense";req', '"@status";req', '"@status";x'])
def test_components_that_a_reply_cannot_have(item: str) -> None:
    with pytest.raises(UpstreamSignature):
        http_reply(DRAFT.wire(), items=item)


def test_a_list_with_a_parenthesis_in_a_text_is_refused() -> None:
    (stated,) = signature_inputs('s=("@method");keyid="a)b"').values()
    with pytest.raises(UpstreamSignature):
        inner_list(stated)


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "secrets", "at"),
    [
        ("ed25519", {"private_key": "nonsense"}, "private_key"),
        ("ed25519", {"private_key": pem(key("ec", 0))}, "private_key"),
        ("ecdsa-p256-sha256", {"private_key": pem(key("rsa", 0))}, "private_key"),
        ("rsa-pss-sha512", {"platform_key": public_pem(key("ed", 0))}, "platform_key"),
        ("ed25519", {"platform_key": "nonsense"}, "platform_key"),
        ("hmac-sha256", {"shared_key": "AAAA"}, "shared_key"),
        ("hmac-sha256", {"shared_key": "*"}, "shared_key"),
    ],
)
def test_a_key_of_another_algorithm_is_a_configuration_error(algorithm: Any, secrets: dict[str, str], at: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checker(algorithm, secrets)
    assert caught.value.details["at"] == f"secrets.{at}"


def test_an_rsa_or_sm2_key_of_the_platform_must_be_one() -> None:
    for scheme, options in (("rsa2", {}), ("sm2-params", {}), ("sm2-params", {"key_form": "pkcs8"})):
        with pytest.raises(ConfigurationError) as caught:
            SCHEMES[scheme].verifier(options, {"platform_key": public_pem(key("ed", 0))})
        assert caught.value.details["at"] == "secrets.platform_key"


def test_an_sm2_key_of_the_platform_in_each_form() -> None:
    point = PrivateKey(bytes.fromhex(SM2[0])).public.point
    info = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004") + point
    request = CASES["sm2-params"].signed()
    for form, text in (("hex", point.hex()), ("base64", b64encode(point)), ("pkcs8", b64encode(info))):
        secrets = {"app_id": "a", "platform_key": text if isinstance(text, str) else text.decode()}
        verifier = SCHEMES["sm2-params"].verifier({**CASES["sm2-params"].options, "key_form": form}, secrets)
        assert verifier.read(request).why is None


def test_a_text_is_no_key() -> None:
    assert public_key("nonsense") is None
    assert public_key("AAAA") is None


@pytest.mark.parametrize("form", ["hex-lower", "hex-upper", "base64", "base64url"])
def test_bytes_go_through_their_text(form: Any) -> None:
    data = bytes(range(250))
    assert as_bytes(as_text(data, form), form) == data
    assert as_bytes("*", form) is None
    assert as_bytes("a b", form) is None


def test_an_rsa_key_of_the_platform_verifies() -> None:
    case = CASES["rsa2"]
    verifier = SCHEMES["rsa2"].verifier(case.options, {"app_id": "a", "platform_key": public_pem(key("rsa", 0))})
    assert verifier.read(case.signed()).why is None


def test_a_weak_rsa_key_of_the_platform_is_refused() -> None:
    weak = public_pem(rsa.generate_private_key(65537, 1024))
    with pytest.raises(ConfigurationError):
        SCHEMES["rsa2"].verifier({}, {"platform_key": weak})


def test_a_template_without_its_mac_in_a_header_cannot_verify() -> None:
    case = CASES["hmac-template"]
    assert why_refused(replace(case, options={**case.options, "headers": {"X-Ts": "{ts}"}}), case.signed()) == "missing"


def test_a_certificate_holds_a_public_key(tmp_path: Path) -> None:
    assert public_key(Authority(tmp_path).text()) is not None


def test_a_scheme_without_verifier_has_none_for_our_own_key_either() -> None:
    with pytest.raises(ManifestError):
        SCHEMES["none"].verifier({}, {"private_key": "x"})


@pytest.mark.parametrize(
    "text", ["", "a", 'a="1" b="2"', 'a="1",', 'a="1",  b="2"', "a=1", 'a="1"x', 'a="1", a="2"', 'a="1\n", b"']
)
def test_parameters_of_authorization_in_another_form_are_refused(text: str) -> None:
    with pytest.raises(UpstreamSignature) as caught:
        auth_parameters(text)
    assert caught.value.details["why"] == "malformed"
