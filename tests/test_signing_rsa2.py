"""rsa2 against a signature made with the openssl command line over the same text."""

from base64 import b64decode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.signing import SCHEMES
from connectors.signing.base import Moment, Signer
from connectors.signing.keys import rsa_private_key
from connectors.signing.parameters import ParameterOptions, Parameters
from connectors.wire import Draft
from schemas.base import Json
from tests.test_signing_tif import no_send

PEM = (Path(__file__).parent / "keys" / "rsa2_test_only.pem").read_text().partition("\n")[2]
AT = Moment(1700000000, "abc123nonce")
TEXT = (
    'app_id=2021000000000001&biz_content={"name":"虚构公司"}&charset=utf-8&method=tax.sbxx'
    "&nonce=abc123nonce&sign_type=RSA2&timestamp=2023-11-15 06:13:20"
)
# printf %s "$TEXT" | openssl dgst -sha256 -sign tests/keys/rsa2_test_only.pem | base64 -w0
OPENSSL = (
    "e0++VaXbfHE5sdasHHmQh7EG9BRpFeQhVH0vs3VEm8AdMUZs6BQkIpw0Z2IcS7urYnL+CAkUsb2qe/G4DWydGdCcvwXUrBYQpd6EULOi"
    "Gv7Hu41TmllR0a7cgoulOvYkpuoo8BEh/YsbGgBtsPnytp5rNr0KoheWJRWXEi9yT7RyiLpIjsHxVKPv1a1Zm9TVsO9kf9hoX0uuuNZ+"
    "o01q1QEhY8Y1XeMFRxjFhC9o+4dewNIiw+qUfgOWliBOSZDQ8xINozHnHlPQlG/c5V3xlQ1FVMMmGkwK9bHWjPz3YDoUs+MDWQn7ek31"
    "CsOdItBoSelD0eblWS+SDUg2NXp24Q=="
)
BODY: dict[str, Json] = {
    "method": "tax.sbxx",
    "charset": "utf-8",
    "biz_content": '{"name":"虚构公司"}',
    "empty": "",
    "sign": "an old one",
    "nothing": None,
}
DRAFT = Draft("POST", "https://tax.example", "/gateway", body=BODY, encode="json")
ADD: Json = {"app_id": "{app_id}", "timestamp": "{ts}", "nonce": "{nonce}", "sign_type": "RSA2"}
SECRETS = {"app_id": "2021000000000001", "private_key": PEM}


def build(**options: Json) -> Signer:
    return SCHEMES["rsa2"].build({"add": ADD, **options}, SECRETS)


async def test_the_signature_is_the_one_that_openssl_makes() -> None:
    request = await build().sign(DRAFT, AT, no_send)
    assert b'"sign":"' + OPENSSL.encode() + b'"' in request.body
    assert b'"timestamp":"2023-11-15 06:13:20"' in request.body


async def test_empty_members_are_sent_unsigned_and_null_ones_are_not_sent() -> None:
    request = await build().sign(DRAFT, AT, no_send)
    assert b'"empty":""' in request.body
    assert b"nothing" not in request.body


def test_the_explanation_masks_the_application_and_shows_what_is_added() -> None:
    shown = build().explain(DRAFT, AT)
    assert shown.canonical == TEXT.replace("2021000000000001", "<app_id>")
    assert shown.parameters["sign"] == OPENSSL
    assert set(shown.parameters) == {"app_id", "timestamp", "nonce", "sign_type", "sign"}
    assert "2021000000000001" not in repr(shown)


def test_sign_type_can_be_left_out_of_the_text() -> None:
    shown = build(skip=["sign_type"]).explain(DRAFT, AT)
    assert "sign_type" not in shown.canonical
    assert shown.parameters["sign_type"] == "RSA2"


def test_empty_values_can_be_signed() -> None:
    assert "&empty=&" in build(skip_empty=False).explain(DRAFT, AT).canonical


async def test_without_a_body_the_parameters_go_into_the_query() -> None:
    draft = Draft("GET", "https://tax.example", "/gateway", (("q", "虚 构"),))
    signer = build(add={"app_id": "{app_id}"})
    request = await signer.sign(draft, AT, no_send)
    assert request.url.startswith("https://tax.example/gateway?q=%E8%99%9A%20%E6%9E%84&app_id=2021000000000001&sign=")
    assert signer.explain(draft, AT).canonical == "app_id=<app_id>&q=虚 构"
    assert request.body == b""


async def test_the_text_is_signed_in_the_charset_in_which_it_is_sent() -> None:
    draft = Draft("POST", "https://tax.example", "/g", body={"name": "虚构公司"}, encode="form", charset="gb18030")
    signer = build(add={})
    shown = signer.explain(draft, AT)
    public = rsa_private_key(PEM).public_key()
    assert isinstance(public, RSAPublicKey)
    public.verify(b64decode(shown.parameters["sign"]), "name=虚构公司".encode("gb18030"), PKCS1v15(), SHA256())


async def test_a_refusal_cannot_be_mended_by_asking_again() -> None:
    signer = build()
    assert not signer.refused(await signer.sign(DRAFT, AT, no_send))


names = st.text(st.characters(codec="ascii", categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(members=st.dictionaries(names, st.one_of(st.text(max_size=10), st.integers(-(2**63), 2**63 - 1), st.booleans())))
def test_the_order_of_the_members_never_changes_the_text(members: dict[str, str | int | bool]) -> None:
    parameters = Parameters(ParameterOptions.model_validate({"ts": "unix-s"}), {})

    def text(body: dict[str, Json]) -> str:
        return parameters.text(Draft("POST", "https://x.example", "/", body=body, encode="form"))

    forward: dict[str, Json] = dict(members)
    assert text(forward) == text(dict(reversed(forward.items())))
