"""What all schemes share: moments, options as typed errors, secrets by name."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.signing import SCHEMES
from connectors.signing.base import Moment, TimeForm, new_nonce, path_of
from connectors.signing.template import SIGNED
from connectors.wire import WireRequest
from schemas.base import Json
from schemas.errors import ConfigurationError, InvalidValue, ManifestError

PAGE = (Path(__file__).parent.parent / "docs" / "signing.md").read_text("utf-8")
AT = Moment(1700000000.123, "abc123nonce")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("unix-s", "1700000000"),
        ("unix-ms", "1700000000123"),
        ("rfc1123", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("rfc3339", "2023-11-14T22:13:20Z"),
        ("yyyy-MM-dd HH:mm:ss", "2023-11-15 06:13:20"),
        ("yyyyMMddHHmmss", "20231115061320"),
    ],
)
def test_a_moment_in_each_form(form: TimeForm, text: str) -> None:
    assert AT.text(form) == text


@pytest.mark.parametrize("nonce", ["", "short", "x" * 21, "has a blank", "abcdefghi\n", "随机随机随机随机随机随机"])
def test_a_nonce_that_the_strictest_gateway_refuses_is_refused_here(nonce: str) -> None:
    with pytest.raises(InvalidValue):
        Moment(1700000000, nonce)


def test_fresh_nonces_fit_and_differ() -> None:
    nonces = {Moment(0, new_nonce()).nonce for _ in range(100)}
    assert len(nonces) == 100


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/b/c?d=e", "/b/c"),
        ("http://127.0.0.1:8080/b%20c", "/b%20c"),
        ("https://a.example", "/"),
        ("https://a.example?x=/y", "/"),
    ],
)
def test_the_path_of_a_request_is_the_path_as_sent(url: str, path: str) -> None:
    assert path_of(WireRequest("GET", url, {}, b"")) == path


@pytest.mark.parametrize(
    ("scheme", "options", "at"),
    [
        ("tif", {"surprise": 1}, "auth.surprise"),
        ("national", {}, "auth.sid"),
        ("national", {"sid": 5}, "auth.sid"),
        ("bg-hmac", {"dialect": "other"}, "auth.dialect"),
        ("rsa2", {"ts": "epoch"}, "auth.ts"),
        ("rsa2", {"add": {"a": "{b"}}, "auth.add.a"),
        ("sm2-params", {"business": {"field": "biz", "key": "guess"}}, "auth.business.key"),
        ("oauth2-client", {"token_path": "token"}, "auth.token_path"),
        ("hmac-template", {"text": "x"}, "auth.mac"),
    ],
)
def test_a_wrong_switch_is_a_manifest_error_that_names_its_key(
    scheme: str, options: Mapping[str, Json], at: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        SCHEMES[scheme].check(options, ("rid", "app_secret"))
    assert caught.value.details["at"] == at
    assert caught.value.details["mend"]


def test_a_secret_that_the_scheme_needs_must_be_declared() -> None:
    with pytest.raises(ManifestError) as caught:
        SCHEMES["tif"].check({}, ["paasid"])
    assert "token" in str(caught.value.details["mend"])


def test_a_declared_secret_without_a_value_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SCHEMES["tif"].build({}, {"paasid": "p", "token": ""})
    assert caught.value.details["at"] == "secrets.token"


def named_in(schema: Any) -> Iterator[str]:
    """Every switch of a JSON Schema, and every word that a switch takes."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        yield from schema.get("enum", ())
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for value in inner:
        yield from named_in(value)


def test_the_page_names_every_scheme_switch_and_placeholder() -> None:
    switches = {name for scheme in SCHEMES.values() for name in named_in(scheme.options.model_json_schema())}
    assert {"derived", "yyyyMMddHHmmss", "token_path"} <= switches
    said = set(re.findall(r"`([^`]+)`", PAGE))
    said |= {word for phrase in said for word in re.split(r"[^\w-]+", phrase)}
    assert {*SCHEMES, *switches, *(f"{{{place}}}" for place in SIGNED)} - said == set()
