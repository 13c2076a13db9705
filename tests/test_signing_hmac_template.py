"""hmac-template: the string is the manifest's, the bytes are the wire's, nothing but the closed list is replaced."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping

import gmssl_pyx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.signing import SCHEMES
from connectors.signing.base import Moment, Signer
from connectors.signing.template import WIRE, Facts, compile_template, secret_names
from connectors.wire import Draft
from schemas.base import Json
from schemas.errors import ConfigurationError, ManifestError
from tests.test_signing_tif import no_send

AT = Moment(1700000000.5, "abc123nonce")
SECRETS = {"app_id": "an-app", "app_key": "a-key"}
DRAFT = Draft(
    "POST", "https://xx.example", "/q", (("a", "虚"),), {"req": {"name": "虚构公司"}}, encode="xml", charset="gb18030"
)
OPTIONS: Mapping[str, Json] = {
    "text": "{app_id}\n{ts}\n{nonce}\n{body_sm3}\n",
    "mac": "hmac-sm3",
    "encoding": "hex-upper",
    "ts": "unix-ms",
    "headers": {"X-App": "{app_id}", "X-Ts": "{ts}", "X-Nonce": "{nonce}", "X-Sign": "v1:{mac}"},
}


def build(**changes: Json) -> Signer:
    return SCHEMES["hmac-template"].build({**OPTIONS, **changes}, SECRETS)


async def test_the_signature_covers_the_bytes_after_the_charset_was_applied() -> None:
    request = await build().sign(DRAFT, AT, no_send)
    assert "虚构公司".encode("gb18030") in request.body
    text = f"an-app\n1700000000500\nabc123nonce\n{gmssl_pyx.sm3_hash(request.body).hex()}\n"
    assert request.headers == {
        "Content-Type": "text/xml; charset=gb18030",
        "X-App": "an-app",
        "X-Ts": "1700000000500",
        "X-Nonce": "abc123nonce",
        "X-Sign": "v1:" + gmssl_pyx.sm3_hmac(b"a-key", text.encode()).hex().upper(),
    }


async def test_every_placeholder_stands_for_what_is_sent() -> None:
    signer = build(text="{method}|{path}|{query}|{body}|{body_sha256}|{body_md5}", mac="sha256", encoding="hex-lower")
    request = await signer.sign(DRAFT, AT, no_send)
    body = request.body
    digests = f"{hashlib.sha256(body).hexdigest()}|{hashlib.md5(body).hexdigest()}".encode()
    text = b"POST|/q|a=%E8%99%9A|" + body + b"|" + digests
    assert request.headers["X-Sign"] == "v1:" + hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("mac", "digest"),
    [
        ("hmac-sha256", hmac.digest(b"a-key", b"x", "sha256")),
        ("hmac-sha1", hmac.digest(b"a-key", b"x", "sha1")),
        ("hmac-md5", hmac.digest(b"a-key", b"x", "md5")),
        ("hmac-sm3", gmssl_pyx.sm3_hmac(b"a-key", b"x")),
        ("sha256", hashlib.sha256(b"x").digest()),
        ("sha1", hashlib.sha1(b"x").digest()),
        ("md5", hashlib.md5(b"x").digest()),
        ("sm3", gmssl_pyx.sm3_hash(b"x")),
    ],
)
async def test_each_digest_in_base64(mac: str, digest: bytes) -> None:
    request = await build(text="x", mac=mac, encoding="base64").sign(DRAFT, AT, no_send)
    assert request.headers["X-Sign"] == "v1:" + b64encode(digest).decode()


async def test_the_rotating_md5_string_of_another_scheme_is_expressible() -> None:
    """The known answer of `md5-rotating`: appKey + secret + requestTime, lower-case hex MD5."""
    options: dict[str, Json] = {
        "text": "{app_id}{app_key}{ts}",
        "mac": "md5",
        "encoding": "hex-lower",
        "ts": "unix-ms",
        "headers": {"sign": "{mac}"},
    }
    signer = SCHEMES["hmac-template"].build(options, {"app_id": "appkey1", "app_key": "reqsecret1"})
    request = await signer.sign(DRAFT, Moment(1700000000, "abc123nonce"), no_send)
    assert request.headers["sign"] == "656f7e733ad1ccc0397c1e680a3c307a"


def test_the_explanation_names_the_secrets_instead_of_showing_them() -> None:
    shown = build(text="{app_id}:{app_key}:{ts}", headers={"X-Key": "{app_key}", "X-Sign": "{mac}"}).explain(DRAFT, AT)
    assert shown.canonical == "<app_id>:<app_key>:1700000000500"
    assert shown.headers["X-Key"] == "<app_key>"
    assert shown.headers["X-Sign"] == gmssl_pyx.sm3_hmac(b"a-key", b"an-app:a-key:1700000000500").hex().upper()


@pytest.mark.parametrize("text", ["{ts", "ts}", "{}", "{Ts}", "{ts!r}", "{ts.__class__}", "{{ts}}"])
def test_braces_hold_names_and_nothing_else(text: str) -> None:
    with pytest.raises(ManifestError):
        build(text=text)


def test_a_misspelt_placeholder_is_a_secret_that_nobody_declared() -> None:
    with pytest.raises(ManifestError) as caught:
        build(text="{nonse}")
    assert "nonse" in str(caught.value.details["mend"])


def test_the_mac_may_stand_in_headers_only() -> None:
    with pytest.raises(ManifestError):
        build(text="{mac}")


def test_the_key_is_needed_only_where_a_keyed_digest_uses_it() -> None:
    options: dict[str, Json] = {**OPTIONS, "mac": "sm3", "key": "other"}
    assert SCHEMES["hmac-template"].build(options, SECRETS)
    with pytest.raises(ManifestError):
        build(key="other")
    with pytest.raises(ConfigurationError):
        SCHEMES["hmac-template"].build(OPTIONS, {"app_id": "x", "app_key": ""})


@settings(max_examples=60, deadline=None)
@given(
    literals=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="{}")), min_size=3, max_size=3),
    key=st.text(),
)
def test_literal_text_and_secrets_go_through_untouched(literals: list[str], key: str) -> None:
    """A secret that looks like a placeholder is not replaced a second time."""
    text = literals[0] + "{app_key}" + literals[1] + "{nonce}" + literals[2]
    rendered = compile_template(text, WIRE, {"app_key": key + "{ts}"})(Facts("1", "n"))
    assert rendered.decode() == literals[0] + key + "{ts}" + literals[1] + "n" + literals[2]
    assert secret_names([text], WIRE) == {"app_key"}
