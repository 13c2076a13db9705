"""sm2-params with each of its switches; the other side of every signature is checked with the public key alone."""

from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from connectors.signing import SCHEMES
from connectors.signing.base import Moment, Signer
from connectors.signing.sm2_params import derived_sm4_key
from connectors.sm2 import PrivateKey, SignatureForm, sm4_decrypt, sm4_encrypt
from connectors.wire import Draft
from schemas.base import Json
from schemas.errors import ConfigurationError, InvalidRequest, ManifestError
from tests.test_signing_tif import no_send

PRIVATE = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"
PUBLIC = PrivateKey(bytes.fromhex(PRIVATE)).public
SECRETS = {
    "app_id": "an-app",
    "private_key": PRIVATE,
    "sm4_key": "0123456789abcdeffedcba9876543210",
    "secret": "s3cret",
    "app_code": "T98HPCGN5ZVVQBS8LZQNOAEXVI9GYHKQ",  # invented
    "app_secret": "an invented secret",
}
AT = Moment(1700000000, "abc123nonce")
ADD: Json = {"app_id": "{app_id}", "timestamp": "{ts}", "nonce": "{nonce}"}
DRAFT = Draft("POST", "https://sm2.example", "/g", body={"ny": "2026-09", "n": 5}, encode="form")


def build(**options: Json) -> Signer:
    return SCHEMES["sm2-params"].build({"add": ADD, **options}, SECRETS)


def text_of(signer: Signer, draft: Draft = DRAFT) -> str:
    return signer.explain(draft, AT).canonical.replace("<app_id>", "an-app").replace("<secret>", "s3cret")


async def sent(signer: Signer, draft: Draft = DRAFT) -> dict[str, str]:
    request = await signer.sign(draft, AT, no_send)
    return {k: v[0] for k, v in parse_qs(request.body.decode()).items()}


@pytest.mark.parametrize(
    ("form", "text", "read"),
    [
        ("raw", "hex-lower", bytes.fromhex),
        ("raw", "hex-upper", bytes.fromhex),
        ("der", "base64", b64decode),
        ("der", "base64url", urlsafe_b64decode),
        ("decimal", "hex-lower", str.encode),
    ],
)
async def test_the_signature_holds_in_every_form(form: SignatureForm, text: str, read: Callable[[str], bytes]) -> None:
    signer = build(form=form, text=text)
    parameters = await sent(signer)
    assert parameters["timestamp"] == "1700000000000"
    assert text_of(signer) == "app_id=an-app&n=5&nonce=abc123nonce&ny=2026-09&timestamp=1700000000000"
    assert PUBLIC.verify(read(parameters["sign"]), text_of(signer).encode(), form=form)
    if text == "hex-upper":
        assert parameters["sign"] == parameters["sign"].upper()


async def test_the_user_id_can_be_a_secret_of_ours() -> None:
    signer = build(user_id="app_id")
    signature = bytes.fromhex((await sent(signer))["sign"])
    assert PUBLIC.verify(signature, text_of(signer).encode(), user_id=b"an-app")
    assert not PUBLIC.verify(signature, text_of(signer).encode())


async def test_the_dialect_with_a_key_behind_the_text() -> None:
    signer = build(append_key="secret", sign="SIGN")
    assert signer.explain(DRAFT, AT).canonical.endswith("&timestamp=1700000000000&key=<secret>")
    assert PUBLIC.verify(bytes.fromhex((await sent(signer))["SIGN"]), text_of(signer).encode())


async def test_the_business_text_goes_under_sm4_and_is_signed_as_sent() -> None:
    signer = build(business={"field": "biz"})
    parameters = await sent(signer)
    assert set(parameters) == {"app_id", "timestamp", "nonce", "biz", "sign"}
    opened = sm4_decrypt(bytes.fromhex(SECRETS["sm4_key"]), bytes.fromhex(parameters["biz"]))
    assert opened == b'{"ny":"2026-09","n":5}'
    assert f"biz={parameters['biz']}" in text_of(signer)
    assert PUBLIC.verify(bytes.fromhex(parameters["sign"]), text_of(signer).encode())


async def test_the_derived_sm4_key_follows_the_dialects_rule() -> None:
    under_code = sm4_encrypt(SECRETS["app_code"][:16].encode(), SECRETS["app_secret"].encode())
    key = derived_sm4_key(SECRETS["app_code"], SECRETS["app_secret"])
    assert key == under_code.hex().upper()[:16].encode()
    parameters = await sent(build(business={"field": "biz", "text": "base64", "key": "derived"}))
    assert sm4_decrypt(key, b64decode(parameters["biz"])) == b'{"ny":"2026-09","n":5}'


def test_a_code_too_short_to_derive_from_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        derived_sm4_key("short", "secret")


async def test_business_text_needs_a_body() -> None:
    with pytest.raises(InvalidRequest):
        await build(business={"field": "biz"}).sign(Draft("GET", "https://sm2.example", "/g"), AT, no_send)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"business": {"field": "biz"}}, "sm4_key"),
        ({"business": {"field": "biz", "key": "derived"}}, "app_code"),
        ({"append_key": "secret"}, "secret"),
        ({"user_id": "app_id"}, "app_id"),
        ({"add": {"a": "{else}"}}, "else"),
        ({}, "private_key"),
    ],
)
def test_each_switch_names_the_secrets_it_needs(options: dict[str, Json], missing: str) -> None:
    with pytest.raises(ManifestError) as caught:
        SCHEMES["sm2-params"].check(options, [name for name in SECRETS if name != missing])
    assert missing in str(caught.value.details["mend"])


async def test_a_refusal_cannot_be_mended_by_asking_again() -> None:
    signer = build()
    assert not signer.refused(await signer.sign(DRAFT, AT, no_send))


def test_no_explanation_shows_a_secret() -> None:
    shown = repr(build(append_key="secret", business={"field": "biz"}).explain(DRAFT, AT))
    assert not [name for name in ("private_key", "sm4_key", "secret", "app_id") if SECRETS[name] in shown]
