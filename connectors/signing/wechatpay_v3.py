"""``wechatpay-v3``: RSA-SHA256 over method, target, time, nonce and body, in one ``Authorization`` header.

Replies and callbacks are signed over time, nonce and body, with the key that a serial header names.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping

from connectors.signing.algorithms import checker, signer
from connectors.signing.base import Explained, Heard, Moment, Scheme, heard, path_of, query_of, with_headers
from connectors.signing.http_fields import auth_parameters
from connectors.signing.keys import as_bytes
from connectors.signing.verifying import Claim, Verifier, Why, Window, lowered, refusal, required, same
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Model, ShortText

_FIELDS = ("mchid", "nonce_str", "timestamp", "serial_no", "signature")


class WechatpayOptions(Model):
    """``prefix``: the word that opens the header. ``reply_prefix``: what the headers of replies begin with."""

    prefix: ShortText = "WECHATPAY2-SHA256-RSA2048"
    reply_prefix: ShortText = "Wechatpay"


class WechatpaySigner:
    def __init__(self, options: WechatpayOptions, secrets: Mapping[str, str]) -> None:
        self._prefix = options.prefix
        self._mchid, self._serial = secrets["mchid"], secrets["serial_no"]
        self._sign = signer("rsa-v1_5-sha256", secrets)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        request = draft.wire()
        return with_headers(request, {"Authorization": self._header(request, moment)})

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

    def read(self, request: WireRequest) -> Claim:
        headers = lowered(request.headers)
        ts, nonce, serial, signature = (
            required(headers, f"{self._prefix}-{name}") for name in ("timestamp", "nonce", "serial", "signature")
        )
        moment = heard(ts, "unix-s", nonce)
        text = f"{ts}\n{nonce}\n".encode("utf-8", "replace") + request.body + b"\n"
        return _claim(text, moment, signature, self._holds if same(serial, self._serial) else None)


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


WECHATPAY_V3 = Scheme(
    WechatpayOptions,
    lambda _: ("mchid", "serial_no", "private_key"),
    WechatpaySigner,
    lambda _: ("platform_serial", "platform_key"),
    _verifies,
)
