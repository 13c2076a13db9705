"""sm2-envelope, placeholder-sm2 and sealed resources of wechatpay-v3: made elsewhere, opened here, and what fails."""

from base64 import b64decode, b64encode
from collections.abc import Mapping

import orjson
import pytest

from connectors.ports import MemoryNonces
from connectors.signing import SCHEMES
from connectors.signing.algorithms import signer
from connectors.signing.sm4 import Sm4Options, sm4_iv, sm4_open, sm4_seal
from connectors.signing.verifying import Claim, admit
from connectors.sm2 import PrivateKey, sm4_decrypt, sm4_encrypt
from connectors.wire import Draft, WireReply, WireRequest
from schemas.base import Json
from schemas.errors import ConfigurationError, InvalidRequest, InvalidValue, ManifestError, UpstreamSignature
from tests.signing_world import AT, CASES, DRAFT, NOW, SM4, key, pem, public_pem
from tests.test_signing_tif import no_send

# GB/T 32918.5 annex A; as sm2.pem and sm2.pub in the commands below, on both sides.
SECRET = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"
POINT = PrivateKey(bytes.fromhex(SECRET)).public.point.hex()
IV = "000102030405060708090a0b0c0d0e0f"
URL = "https://xx.example/q"


def posted(members: Mapping[str, Json]) -> WireRequest:
    return Draft("POST", "https://xx.example", "/q", body=members, encode="json").wire()


def claim(scheme: str, options: Mapping[str, Json], secrets: Mapping[str, str], request: WireRequest) -> Claim:
    return SCHEMES[scheme].verifier(options, secrets).read(request)


def why(scheme: str, options: Mapping[str, Json], secrets: Mapping[str, str], request: WireRequest) -> str:
    try:
        return str(claim(scheme, options, secrets, request).why)
    except UpstreamSignature as err:
        return str(err.details["why"])


# --- sm2-envelope ------------------------------------------------------------------------------------------------

# KEY=0123456789abcdeffedcba9876543210 IV=000102030405060708090a0b0c0d0e0f
# printf '{"uscc":"91990000MA0000015Q","timestamp":"1795500000000","nonce":"abc123nonce"}' > plain
PLAIN = b'{"uscc":"91990000MA0000015Q","timestamp":"1795500000000","nonce":"abc123nonce"}'
ENVELOPE: dict[str, Json] = {
    # (printf $IV | xxd -r -p; openssl enc -sm4-cbc -K $KEY -iv $IV -in plain) | base64 -w0
    "data": "AAECAwQFBgcICQoLDA0OD1UjhIRgHiz/zT5WyPdK4e2c/ACH0sJ+qPVcjASNgiVU/nDF5LiWxcSv1fCfLXAKL/8S9VxjhyrWlv"
    "CipQWu9cXoiw9iNgW5mC2MVFQt+vZQ",
    # printf $KEY | xxd -r -p | openssl pkeyutl -encrypt -pubin -inkey sm2.pub | base64 -w0
    "key": "MHkCIHwVfPjB2n3dBUbzudOBgG+FoqHujiprTtPtqZD+X0zJAiEAr/RD72ooWTJhhaV87rnEyojuS+83bydywwAelIJO/"
    "B0EIBAnGLYyzMsXTvfwLhIQSohxj9bkUeHAaf7Ma1RDp+IgBBD9JJoAs3Ui6yz0ZIeQQ/Hs",
    # openssl pkeyutl -sign -rawin -digest sm3 -inkey sm2.pem -in plain -pkeyopt distid:1234567812345678 | base64 -w0
    "sign": "MEQCIEY304mqXcFnK9nWu4t06sEvmzJtc1WgBy8VHm8pk2luAiAKDieHyWgv5Rgkq37iAxKFa07v7+qaNtv2mvd7CAitUw==",
}
BY_OPENSSL: dict[str, Json] = {"mode": "cbc", "order": "der", "form": "der"}
BOTH = {"private_key": SECRET, "platform_key": POINT}


def test_an_envelope_made_by_openssl_opens_and_holds() -> None:
    found = claim("sm2-envelope", BY_OPENSSL, BOTH, posted(ENVELOPE))
    assert (found.why, found.unix, found.nonce, found.opened) == (None, NOW, "abc123nonce", PLAIN)


def test_an_envelope_for_somebody_else_stays_closed() -> None:
    other = {"private_key": SECRET.replace("3945", "3946"), "platform_key": POINT}
    assert why("sm2-envelope", BY_OPENSSL, other, posted(ENVELOPE)) == "forged"


def test_each_envelope_has_a_key_of_its_own() -> None:
    case = CASES["sm2-envelope GCM"]
    one, two = (orjson.loads(case.signed().body) for _ in range(2))
    assert one["data"] != two["data"]
    assert one["key"] != two["key"]
    opener = PrivateKey(bytes.fromhex(case.theirs["private_key"]))
    keys = {opener.decrypt(b64decode(message["key"]), form="c1c2c3") for message in (one, two)}
    assert [len(found) for found in keys] == [16, 16]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": ""}, "missing"),
        ({"key": None}, "missing"),
        ({"sign": 5}, "missing"),
        ({"data": "*"}, "malformed"),
        ({"key": "*"}, "malformed"),
        ({"sign": "*"}, "malformed"),
        ({"data": "AAAA"}, "forged"),
        ({"key": "AAAA"}, "forged"),
        ({"sign": "AAAA"}, "forged"),
    ],
)
def test_an_envelope_with_a_part_missing_or_wrong_is_refused(changes: dict[str, Json], reason: str) -> None:
    assert why("sm2-envelope", BY_OPENSSL, BOTH, posted({**ENVELOPE, **changes})) == reason


@pytest.mark.parametrize(
    "text", ["[]", "nonsense", "{}", '{"timestamp":"1","nonce":5}', '{"timestamp":"x","nonce":"n"}']
)
async def test_what_was_sealed_must_be_an_object_with_time_and_nonce(text: str) -> None:
    own = PrivateKey(bytes.fromhex(SECRET))
    sealed = sm4_encrypt(bytes.fromhex(SM4), text.encode())
    members: dict[str, Json] = {
        "data": b64encode(sealed).decode(),
        "key": b64encode(own.public.encrypt(bytes.fromhex(SM4))).decode(),
        "sign": b64encode(own.sign(text.encode())).decode(),
    }
    assert why("sm2-envelope", {}, BOTH, posted(members)) in ("malformed", "missing")


NAMED: dict[str, Json] = {
    "inside": {"app": "{app_id}", "timestamp": "{ts}", "nonce": "{nonce}"},
    "beside": {"app": "{app_id}"},
    "user_id": "app_id",
}


async def test_a_name_inside_says_whose_message_it_is_and_people_see_it_masked() -> None:
    secrets = {**BOTH, "app_id": "an-app"}
    signing = SCHEMES["sm2-envelope"].build(NAMED, secrets)
    request = await signing.sign(DRAFT, AT, no_send)
    assert orjson.loads(request.body)["app"] == "an-app"
    found = claim("sm2-envelope", NAMED, secrets, request)
    assert found.why is None
    assert found.canonical == signing.explain(DRAFT, AT).canonical
    assert '"app":"<app_id>"' in found.canonical
    assert orjson.loads(found.opened or b"")["app"] == "an-app"
    # Another application of the same key and user id.
    options = {**NAMED, "user_id": "id"}
    others = (
        await SCHEMES["sm2-envelope"]
        .build(options, {**secrets, "id": "x", "app_id": "another"})
        .sign(DRAFT, AT, no_send)
    )
    assert why("sm2-envelope", options, {**secrets, "id": "x"}, others) == "unknown_key"


async def test_there_must_be_a_body_to_seal() -> None:
    for scheme, secrets in (("sm2-envelope", BOTH), ("placeholder-sm2", HOLDER)):
        signing = SCHEMES[scheme].build({"key_form": "hex"}, secrets)
        with pytest.raises(InvalidRequest):
            await signing.sign(Draft("GET", "https://xx.example", "/q"), AT, no_send)
        assert not signing.refused(posted({}))


async def test_a_reply_is_opened_with_our_key_and_verified_with_theirs() -> None:
    case = CASES["sm2-envelope GCM"]
    opener = SCHEMES["sm2-envelope"].opener(case.options, case.ours, bound=True)
    platform = SCHEMES["sm2-envelope"].build(case.options, case.theirs)
    answer = await platform.sign(DRAFT._replace(body={"code": "0", "企": 1}), AT, no_send)
    reply = WireReply(200, {"content-type": "application/json"}, answer.body)
    opened = await opener.open(reply, posted({}), AT.nonce, NOW)
    assert orjson.loads(opened.body) == {"code": "0", "企": 1, "timestamp": "1795500000000", "nonce": "abc123nonce"}
    with pytest.raises(UpstreamSignature) as caught:
        await opener.open(reply, posted({}), "another", NOW)
    assert caught.value.details == {"why": "not_ours"}


# --- placeholder-sm2 ---------------------------------------------------------------------------------------------

HOLDER = {"user": "N12345", "private_key": SECRET, "sm4_key": SM4}
# printf '{"request":{"uscc":"91990000MA0000015Q"},' > m
# printf '"signature":{"sigdat":"__signature_sigdat__","sigtim":"20261124140000"}}' >> m
# SIG=$(openssl pkeyutl -sign -rawin -digest sm3 -inkey sm2.pem -in m -pkeyopt distid:N123450000000000 | base64 -w0)
# IV=$(printf N123450000000000 | xxd -p)
# sed "s|__signature_sigdat__|$SIG|" m | openssl enc -sm4-cbc -K $KEY -iv $IV | base64 -w0
SEALED = (
    "Lqw/vbcg2XUgU2egymaoNOEGZ3mk0W7TrhzhWh/64ktH1cjKHIR1hHvPfO6dai2tllsrcA+994RSKWXNqX4rda3RorRBKuWgrPfm4ZWlg"
    "KWtNPNiXQ/2Qc1rdvNi4owOxMCCXybyblFwUpW/DBQT2LGASwF6zEDP8xrrAdIUF3rY0NBc1fPHficxWmZ5zgECRCnBZRMOpMgHEUJd"
    "L66WAgKGU/XVMt/6VemolGbdShLQBsM2Kd3yGdUC4uZDz0tL"
)
DER: dict[str, Json] = {"key_form": "hex", "form": "der"}


def test_a_message_sealed_by_openssl_opens_and_holds() -> None:
    request = posted({"UID": "N12345", "ALG": "SM", "DATA": SEALED})
    found = claim("placeholder-sm2", DER, HOLDER, request)
    assert (found.why, found.unix) == (None, NOW)
    assert found.canonical == (
        '{"request":{"uscc":"91990000MA0000015Q"},'
        '"signature":{"sigdat":"__signature_sigdat__","sigtim":"20261124140000"}}'
    )
    assert orjson.loads(found.opened or b"")["request"] == {"uscc": "91990000MA0000015Q"}


async def test_our_message_holds_the_same_text() -> None:
    draft = DRAFT._replace(query=(), body={"request": {"uscc": "91990000MA0000015Q"}})
    signing = SCHEMES["placeholder-sm2"].build(DER, HOLDER)
    theirs = claim("placeholder-sm2", DER, HOLDER, posted({"UID": "N12345", "DATA": SEALED}))
    assert signing.explain(draft, AT).canonical == theirs.canonical
    assert claim("placeholder-sm2", DER, HOLDER, await signing.sign(draft, AT, no_send)).canonical == theirs.canonical


def test_a_reply_may_be_the_sealed_text_alone() -> None:
    reply = WireRequest("POST", URL, {"content-type": "text/plain; charset=utf-8"}, SEALED.encode())
    assert claim("placeholder-sm2", DER, HOLDER, reply).why is None
    assert why("placeholder-sm2", DER, HOLDER, reply._replace(body=b"")) == "missing"
    assert why("placeholder-sm2", DER, HOLDER, reply._replace(headers={})) == "None"


async def test_a_reply_is_opened_by_what_its_manifest_says() -> None:
    secrets = {"user": "N12345", "sm4_key": SM4, "platform_key": POINT}
    opener = SCHEMES["placeholder-sm2"].opener(DER, secrets)
    opened = await opener.open(WireReply(200, {}, SEALED.encode()), posted({}), "", NOW)
    assert orjson.loads(opened.body)["request"] == {"uscc": "91990000MA0000015Q"}


def test_another_user_beside_the_message_is_refused() -> None:
    assert why("placeholder-sm2", DER, HOLDER, posted({"UID": "N12346", "DATA": SEALED})) == "unknown_key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "forged"),
        ("[]", "missing"),
        ('{"signature":1}', "missing"),
        ('{"signature":{"sigdat":"","sigtim":"20261124140000"}}', "missing"),
        ('{"signature":{"sigdat":"AAAA"}}', "missing"),
        ('{"a":"AAAA","signature":{"sigdat":"AAAA","sigtim":"20261124140000"}}', "malformed"),
        ('{"a":"__signature_sigdat__","signature":{"sigdat":"AAAA","sigtim":"20261124140000"}}', "malformed"),
        ('{"signature":{"sigdat":"AAAA","sigtim":"today"}}', "malformed"),
        ('{"signature":{"sigdat":"*","sigtim":"20261124140000"}}', "forged"),
        ('{"signature":{"sigdat":"AAAA","sigtim":"20261124140000"}}', "forged"),
    ],
)
def test_what_was_sealed_must_carry_one_signature_and_its_time(text: str, reason: str) -> None:
    sealed = b64encode(sm4_encrypt(bytes.fromhex(SM4), text.encode(), "cbc", b"N123450000000000")).decode()
    assert why("placeholder-sm2", DER, HOLDER, posted({"UID": "N12345", "DATA": sealed})) == reason


def test_a_user_longer_than_an_initialisation_vector_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SCHEMES["placeholder-sm2"].build({"key_form": "hex"}, {**HOLDER, "user": "N" * 17})
    assert caught.value.details["at"] == "secrets.user"


@pytest.mark.parametrize("body", [{"signature": {}}, {"a": "__signature_sigdat__"}])
async def test_a_body_that_holds_the_place_of_the_signature_is_not_signed(body: dict[str, Json]) -> None:
    with pytest.raises(InvalidRequest):
        await SCHEMES["placeholder-sm2"].build(DER, HOLDER).sign(DRAFT._replace(body=body), AT, no_send)


# --- modes of SM4 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ecb", "gcm"])
def test_an_initialisation_vector_is_repeated_for_cbc_alone(mode: str) -> None:
    with pytest.raises(ManifestError):
        SCHEMES["sm2-envelope"].check({"mode": mode, "iv": "given"}, ["private_key", "platform_key", "sm4_iv"])


def test_a_random_one_stands_before_the_ciphertext() -> None:
    options = Sm4Options(mode="cbc")
    sealed = sm4_seal(options, b"k" * 16, b"", b"text")
    assert sm4_decrypt(b"k" * 16, sealed[16:], "cbc", sealed[:16]) == b"text"
    assert sm4_open(options, b"k" * 16, b"", sealed) == b"text"
    with pytest.raises(InvalidValue):
        sm4_open(options, b"k" * 16, b"", b"short")


def test_a_given_one_is_32_hexadecimal_digits() -> None:
    with pytest.raises(ConfigurationError) as caught:
        sm4_iv(Sm4Options(mode="cbc", iv="given"), {"sm4_iv": "00"})
    assert caught.value.details["at"] == "secrets.sm4_iv"


# --- wechatpay-v3: sealed resources ------------------------------------------------------------------------------

# node -e "const e=require('crypto').createCipheriv('aes-256-gcm','0123456789abcdef0123456789abcdef','fdasflkja484');
# e.setAAD(Buffer.from('transaction'));console.log(Buffer.concat([e.update('{\"mchid\":\"1900000100\"}'),e.final(),
# e.getAuthTag()]).toString('base64'))"
RESOURCE: dict[str, Json] = {
    "algorithm": "AEAD_AES_256_GCM",
    "ciphertext": "DUcegK33A8MEOgdCtMPWwAdrzVnyjGUlY3+sSJQubCuIqQzekIs=",
    "associated_data": "transaction",
    "nonce": "fdasflkja484",
    "original_type": "transaction",
}
API_KEY = "0123456789abcdef0123456789abcdef"
WECHAT = {"platform_serial": "S1", "platform_key": public_pem(key("rsa", 0)), "api_v3_key": API_KEY}


def callback(members: Mapping[str, Json], body: bytes | None = None) -> WireRequest:
    raw = orjson.dumps(members) if body is None else body
    text = f"{int(NOW)}\ncallback-nonce\n".encode() + raw + b"\n"
    signature = b64encode(signer("rsa-v1_5-sha256", {"private_key": pem(key("rsa", 0))})(text)).decode()
    stated = {"timestamp": str(int(NOW)), "nonce": "callback-nonce", "serial": "S1", "signature": signature}
    headers = {"content-type": "application/json", **{f"Wechatpay-{k}": v for k, v in stated.items()}}
    return WireRequest("POST", URL, headers, raw)


async def test_a_sealed_resource_is_opened_once_its_signature_held() -> None:
    verifier = SCHEMES["wechatpay-v3"].verifier({"resource": True}, WECHAT)
    nonces = MemoryNonces()
    opened = await admit(verifier, callback({"id": "1", "resource": RESOURCE}), NOW, nonces)
    assert orjson.loads(opened.body) == {"id": "1", "resource": '{"mchid":"1900000100"}'}
    with pytest.raises(UpstreamSignature) as caught:
        await admit(verifier, callback({"id": "1", "resource": RESOURCE}), NOW, nonces)
    assert caught.value.details == {"why": "replayed"}


def test_without_a_resource_there_is_nothing_to_open() -> None:
    for request in (callback({"id": "1"}), callback({}, b"")):
        assert claim("wechatpay-v3", {"resource": True}, WECHAT, request).opened is None
    forged = callback({"resource": RESOURCE})._replace(body=orjson.dumps({"resource": {}}))
    assert why("wechatpay-v3", {"resource": True}, WECHAT, forged) == "forged"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"algorithm": "AEAD_AES_128_GCM"}, "algorithm"),
        ({"ciphertext": ""}, "missing"),
        ({"nonce": ""}, "missing"),
        ({"ciphertext": "*"}, "malformed"),
        ({"ciphertext": "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "malformed"),
        ({"associated_data": "refund"}, "malformed"),
        ({"nonce": "fdasflkja485"}, "malformed"),
        ({"nonce": "x"}, "malformed"),
    ],
)
def test_a_resource_that_does_not_open_is_refused(changes: dict[str, Json], reason: str) -> None:
    request = callback({"resource": {**RESOURCE, **changes}})
    assert why("wechatpay-v3", {"resource": True}, WECHAT, request) == reason


def test_a_resource_that_is_no_object_is_refused() -> None:
    assert why("wechatpay-v3", {"resource": True}, WECHAT, callback({"resource": "x"})) == "missing"


def test_the_key_of_resources_is_32_bytes() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SCHEMES["wechatpay-v3"].verifier({"resource": True}, {**WECHAT, "api_v3_key": "short"})
    assert caught.value.details["at"] == "secrets.api_v3_key"
