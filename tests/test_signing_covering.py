"""connectors.signing.covering: a signature that leaves body or time out lets no callback in."""

from typing import Any

import pytest

from connectors.signing import SCHEMES
from connectors.signing.covering import covers_body

TEMPLATE = {
    "text": "{ts}{nonce}{body_sm3}",
    "mac": "hmac-sm3",
    "encoding": "hex-lower",
    "ts": "unix-s",
    "headers": {"X-T": "{ts}", "X-N": "{nonce}", "X-S": "v1={mac}"},
}


def covers(scheme: str, options: dict[str, Any]) -> bool:
    return covers_body(scheme, SCHEMES[scheme].options.model_validate(options))


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("hmac-template", TEMPLATE),
        ("hmac-template", TEMPLATE | {"text": "{ts}{body}"}),
        ("apisix-hmac", {}),
        ("rfc9421", {"algorithm": "ed25519"}),
        ("wechatpay-v3", {}),
        ("jws-detached", {"alg": "ES256"}),
    ],
)
def test_what_covers_body_and_time_is_taken(scheme: str, options: dict[str, Any]) -> None:
    assert covers(scheme, options)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("hmac-template", TEMPLATE | {"text": "{ts}{nonce}{path}"}),
        ("hmac-template", TEMPLATE | {"text": "{nonce}{body}"}),
        ("hmac-template", TEMPLATE | {"headers": {"X-S": "{mac}"}}),
        ("hmac-template", TEMPLATE | {"headers": {"X-T": "{ts}"}}),
        ("apisix-hmac", {"digest": False}),
        ("rfc9421", {"algorithm": "ed25519", "components": ["@method", "@target-uri"]}),
        ("tif", {}),
        ("bg-hmac", {}),
        ("none", {}),
    ],
)
def test_what_leaves_one_of_them_out_is_not(scheme: str, options: dict[str, Any]) -> None:
    assert not covers(scheme, options)
