"""``bg-hmac``: X-BG-HMAC-* headers of provincial gateways, and the X-HMAC-* of old APISIX over the same text."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl, quote

from connectors.signing.base import HeaderSigner, Heard, Moment, header_scheme, heard, path_of, query_of
from connectors.signing.verifying import Window, required
from connectors.wire import WireRequest
from schemas.base import Model


class BgHmacOptions(Model):
    """``query``: whether the sorted query is signed percent-encoded, as sent, or decoded."""

    dialect: Literal["bg", "apisix"] = "bg"
    query: Literal["encoded", "decoded"] = "encoded"


class BgHmacSigner(HeaderSigner):
    """The text is five lines, each ended: method, path, query sorted by key, access key, RFC 1123 date."""

    window = Window(90, 90)

    def __init__(self, options: BgHmacOptions, secrets: Mapping[str, str]) -> None:
        self._prefix, self._date = ("X-BG-HMAC", "X-BG-DATE-TIME") if options.dialect == "bg" else ("X-HMAC", "Date")
        self._encoded = options.query == "encoded"
        self._access_key, self._secret = secrets["access_key"], secrets["secret_key"].encode()
        self.signature_header = f"{self._prefix}-SIGNATURE".lower()

    def headers(self, request: WireRequest, moment: Moment) -> dict[str, str]:
        mac = hmac.digest(self._secret, self.canonical(request, moment).encode("utf-8", "replace"), "sha256")
        return {
            f"{self._prefix}-ACCESS-KEY": self._access_key,
            f"{self._prefix}-ALGORITHM": "hmac-sha256",
            f"{self._prefix}-SIGNATURE": b64encode(mac).decode(),
            self._date: moment.text("rfc1123"),
        }

    def canonical(self, request: WireRequest, moment: Moment, charset: str = "utf-8") -> str:  # noqa: ARG002
        pairs = sorted(parse_qsl(query_of(request), keep_blank_values=True), key=lambda pair: pair[0])
        if self._encoded:
            pairs = [(quote(k, safe="-._~"), quote(v, safe="-._~")) for k, v in pairs]
        query = "&".join([f"{k}={v}" for k, v in pairs])
        lines = (request.method, path_of(request), query, self._access_key, moment.text("rfc1123"))
        return "".join([line + "\n" for line in lines])

    def moment_of(self, headers: Mapping[str, str]) -> Heard:
        return heard(required(headers, self._date.lower()), "rfc1123", "")


BG_HMAC = header_scheme(BgHmacOptions, lambda _: ("access_key", "secret_key"), BgHmacSigner)
