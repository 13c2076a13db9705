"""``wechatpay-v3``: RSA-SHA256 over method, target, time, nonce and body, in one ``Authorization`` header.

Replies and callbacks are signed over time, nonce and body, with the key that a serial header names. A callback's
``resource`` is under AES-256-GCM with the key that the secret ``api_v3_key`` holds.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.aside import aside
from connectors.signing.algorithms import checker, signer
from connectors.signing.base import Explained, Heard, Moment, Scheme, heard, path_of, query_of, with_headers
from connectors.signing.http_fields import auth_parameters
from connectors.signing.keys import as_bytes
from connectors.signing.parameters import parameters_of, texts_of
from connectors.signing.verifying import Claim, Verifier, Why, Window, lowered, refusal, required, same
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Json, Model, ShortText
from schemas.errors import ConfigurationError

_FIELDS = ("mchid", "nonce_str", "timestamp", "serial_no", "signature")


class WechatpayOptions(Model):
    """``prefix``: the word that opens the header. ``reply_prefix``: what the headers of replies begin with.
    ``resource``: the platform's messages may carry a sealed ``resource``; it is replaced by the text that it holds."""

    prefix: ShortText = "WECHATPAY2-SHA256-RSA2048"
    reply_prefix: ShortText = "Wechatpay"
    resource: bool = False


class WechatpaySigner:
    def __init__(self, options: WechatpayOptions, secrets: Mapping[str, str]) -> None:
        self._prefix = options.prefix
        self._mchid, self._serial = secrets["mchid"], secrets["serial_no"]
        self._sign = signer("rsa-v1_5-sha256", secrets)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        request = draft.wire()
        return with_headers(request, {"Authorization": await aside(self._header, request, moment)})

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        request = draft.wire()
        text = _text(request, moment).decode(draft.charset, "backslashreplace")
        return Explained(text, {"Authorization": self._header(request, moment)})

    def _header(self, request: WireRequest, moment: Moment) -> str:
        signature = b64encode(self._sign(_text(request, moment))).decode()
        values = (self._mchid, moment.nonce, moment.text("unix-s"), self._serial, signature)
        return f"{self._prefix} " + ",".join(f'{k}="{v}"' for k, v in zip(_FIELDS, values, strict=True))


def _text(request: WireRequest, moment: Moment) -> bytes:
    query = query_of(request)
    target = path_of(request) + (f"?{query}" if query else "")
    lines = f"{request.method}\n{target}\n{moment.text('unix-s')}\n{moment.nonce}\n"
    return lines.encode("utf-8", "replace") + request.body + b"\n"


class WechatpayVerifier:
    """For requests as ``WechatpaySigner`` makes them."""

    window = Window(300, 300)
    aside = False

    def __init__(self, options: WechatpayOptions, secrets: Mapping[str, str]) -> None:
        self._prefix, self._own = options.prefix, (secrets["mchid"], secrets["serial_no"])
        self._holds = checker("rsa-v1_5-sha256", secrets)

    def read(self, request: WireRequest) -> Claim:
        word, _, rest = required(lowered(request.headers), "authorization").partition(" ")
        if word != self._prefix:
            raise refusal(Why.MALFORMED)
        found = auth_parameters(rest)
        mchid, nonce, ts, serial, signature = (required(found, name) for name in _FIELDS)
        moment = heard(ts, "unix-s", nonce)
        known = same(f"{mchid} {serial}", " ".join(self._own))
        return _claim(_text(request, moment), moment, signature, self._holds if known else None)


class WechatpayMessages:
    """For replies and callbacks: five headers with a common prefix."""

    window = Window(300, 300)
    aside = False

    def __init__(self, options: WechatpayOptions, secrets: Mapping[str, str]) -> None:
        self._prefix = options.reply_prefix.lower()
        self._serial = secrets["platform_serial"]
        self._holds = checker("rsa-v1_5-sha256", secrets)
        self._cipher = _cipher(secrets) if options.resource else None

    def read(self, request: WireRequest) -> Claim:
        headers = lowered(request.headers)
        ts, nonce, serial, signature = (
            required(headers, f"{self._prefix}-{name}") for name in ("timestamp", "nonce", "serial", "signature")
        )
        moment = heard(ts, "unix-s", nonce)
        text = f"{ts}\n{nonce}\n".encode("utf-8", "replace") + request.body + b"\n"
        claim = _claim(text, moment, signature, self._holds if same(serial, self._serial) else None)
        if self._cipher is None or claim.why is not None or not request.body:
            return claim
        members, _ = parameters_of(request)
        return replace(claim, opened=_opened(members, self._cipher)) if "resource" in members else claim


def _cipher(secrets: Mapping[str, str]) -> AESGCM:
    key = secrets["api_v3_key"].encode()
    if len(key) != 32:
        raise ConfigurationError(at="secrets.api_v3_key", mend="the 32 characters of the key")
    return AESGCM(key)


def _opened(members: Mapping[str, Json], cipher: AESGCM) -> bytes:
    """The members with the plaintext, as one text, in the place of ``resource``."""
    resource = members["resource"]
    parts = texts_of(resource) if isinstance(resource, dict) else {}
    sealed, nonce = (
        as_bytes(required(parts, "ciphertext"), "base64"),
        required(parts, "nonce").encode("utf-8", "replace"),
    )
    if parts.get("algorithm") != "AEAD_AES_256_GCM":
        raise refusal(Why.ALGORITHM)
    try:
        beside = parts.get("associated_data", "").encode()
        plain = cipher.decrypt(nonce, sealed or b"", beside).decode()
    except (ValueError, InvalidTag):
        raise refusal(Why.MALFORMED) from None
    return orjson.dumps({**members, "resource": plain})


def _claim(text: bytes, moment: Heard, signature: str, holds: Callable[[bytes, bytes], bool] | None) -> Claim:
    """``holds`` is None where the message names a key that is not the one agreed on."""
    if holds is None:
        why: Why | None = Why.UNKNOWN_KEY
    else:
        raw = as_bytes(signature, "base64")
        why = None if raw is not None and holds(raw, text) else Why.FORGED
    return Claim(text.decode("utf-8", "backslashreplace"), moment.unix, moment.nonce, why)


def _verifies(options: WechatpayOptions, secrets: Mapping[str, str]) -> Verifier:
    kind = WechatpayMessages if "platform_key" in secrets else WechatpayVerifier
    return kind(options, secrets)


def _verify_needs(options: WechatpayOptions) -> set[str]:
    return {"platform_serial", "platform_key"} | ({"api_v3_key"} if options.resource else set())


WECHATPAY_V3 = Scheme(
    WechatpayOptions,
    lambda _: ("mchid", "serial_no", "private_key"),
    WechatpaySigner,
    _verify_needs,
    _verifies,
)
