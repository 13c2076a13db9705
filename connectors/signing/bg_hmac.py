"""``bg-hmac``: X-BG-HMAC-* headers of provincial gateways, and the X-HMAC-* of old APISIX over the same text."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from connectors.signing.base import Explained, HeaderSigner, Moment, Scheme, path_of
from connectors.wire import Draft, WireRequest
from schemas.base import Model


class BgHmacOptions(Model):
    """``query``: whether the sorted query is signed percent-encoded, as sent, or decoded."""

    dialect: Literal["bg", "apisix"] = "bg"
    query: Literal["encoded", "decoded"] = "encoded"


class BgHmacSigner(HeaderSigner):
    """The text is five lines, each ended: method, path, query sorted by key, access key, RFC 1123 date."""

    def __init__(self, options: BgHmacOptions, secrets: Mapping[str, str]) -> None:
        self._prefix, self._date = ("X-BG-HMAC", "X-BG-DATE-TIME") if options.dialect == "bg" else ("X-HMAC", "Date")
        self._encoded = options.query == "encoded"
        self._access_key, self._secret = secrets["access_key"], secrets["secret_key"].encode()

    def headers(self, draft: Draft, request: WireRequest, moment: Moment) -> dict[str, str]:
        mac = hmac.digest(self._secret, self._text(draft, request, moment).encode(), "sha256")
        return {
            f"{self._prefix}-ACCESS-KEY": self._access_key,
            f"{self._prefix}-ALGORITHM": "hmac-sha256",
            f"{self._prefix}-SIGNATURE": b64encode(mac).decode(),
            self._date: moment.text("rfc1123"),
        }

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        request = draft.wire()
        return Explained(self._text(draft, request, moment), self.headers(draft, request, moment))

    def _text(self, draft: Draft, request: WireRequest, moment: Moment) -> str:
        pairs = sorted(draft.query, key=lambda pair: pair[0])
        if self._encoded:
            pairs = [(quote(k, safe="-._~"), quote(v, safe="-._~")) for k, v in pairs]
        query = "&".join([f"{k}={v}" for k, v in pairs])
        lines = (draft.method, path_of(request), query, self._access_key, moment.text("rfc1123"))
        return "".join([line + "\n" for line in lines])


BG_HMAC = Scheme(BgHmacOptions, lambda _: ("access_key", "secret_key"), BgHmacSigner)
