"""How the platforms tell a good caller from a bad one: signatures, windows, nonces. Rules: docs/platforms.md.

Written from the interface texts and not from the connectors' signers. A signature is checked before its nonce is
remembered, so that a forger cannot burn other people's nonces.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from enum import StrEnum
from hashlib import sha256


class Why(StrEnum):
    """Why a caller gets no data."""

    MISSING = "missing"
    UNKNOWN = "unknown_app"
    STALE = "stale"
    FORGED = "bad_signature"
    REPLAYED = "replayed"
    TOKEN = "bad_token"  # noqa: S105 - a verdict
    MALFORMED = "malformed"
    BUSY = "busy"
    NOT_FOUND = "not_found"


class Refused(Exception):
    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


def need(values: Mapping[str, object], *names: str) -> tuple[str, ...]:
    """The values of the named headers or parameters; Refused(MISSING) when one is missing, empty or no text."""
    found = tuple(v for v in map(values.get, names) if isinstance(v, str) and v)
    if len(found) != len(names):
        raise Refused(Why.MISSING)
    return found


def known(app: str, ours: str) -> None:
    if not _same(app, ours):
        raise Refused(Why.UNKNOWN)


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode("utf-8", "replace"))


def signed(given: str, right: str) -> None:
    """Compare two signature texts in constant time."""
    if not _same(given, right):
        raise Refused(Why.FORGED)


def unix(text: str, per_second: int = 1) -> float:
    """A Unix time in seconds or, with 1000, in milliseconds; a text that is none is stale."""
    if not (text.isascii() and text.isdigit()) or len(text) > 16:
        raise Refused(Why.STALE)
    return int(text) / per_second


def http_date(text: str) -> float:
    """Unix seconds of an RFC 1123 date in GMT; any other text is stale."""
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        raise Refused(Why.STALE) from None
    if not text.endswith("GMT"):
        raise Refused(Why.STALE)
    return when.timestamp()


_SHANGHAI = timezone(timedelta(hours=8))


def shanghai(text: str) -> float:
    """Unix seconds of ``yyyyMMddHHmmss`` in Asia/Shanghai; any other text is stale."""
    try:
        when = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=_SHANGHAI)
    except ValueError:
        raise Refused(Why.STALE) from None
    return when.timestamp()


def shanghai_text(now: float) -> str:
    return datetime.fromtimestamp(now, _SHANGHAI).strftime("%Y%m%d%H%M%S")


def fresh(now: float, stamp: float, past: float, future: float) -> None:
    """``stamp`` may lie less than ``past`` seconds back and at most ``future`` seconds ahead."""
    if not -future <= now - stamp < past:
        raise Refused(Why.STALE)


class Nonces:
    """The nonces of one application, each for ``keep`` seconds, oldest first."""

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._seen: dict[str, float] = {}

    def use(self, nonce: str, now: float) -> None:
        if self._seen.get(nonce, float("-inf")) > now - self._keep:
            raise Refused(Why.REPLAYED)
        self._seen.pop(nonce, None)
        self._seen[nonce] = now
        while self._seen[oldest := next(iter(self._seen))] <= now - self._keep:
            del self._seen[oldest]

    def __len__(self) -> int:
        return len(self._seen)


def nonce_form(nonce: str, least: int, most: int) -> None:
    if not least <= len(nonce) <= most:
        raise Refused(Why.MISSING)


def hmac_base64(key: str, text: str) -> str:
    return b64encode(hmac.digest(key.encode(), text.encode("utf-8", "replace"), "sha256")).decode()


def national(secret: str, sid: str, rid: str, rtime: str) -> str:
    return hmac_base64(secret, sid + rid + rtime)


def tif(token: str, timestamp: str, nonce: str) -> str:
    return sha256(f"{timestamp}{token}{nonce}{timestamp}".encode("utf-8", "replace")).hexdigest()


def bg(secret: str, method: str, path: str, query: str, access_key: str, when: str) -> str:
    """``query`` is the raw text of the request line; its parts are sorted by key here."""
    parts = [part if "=" in part else part + "=" for part in query.split("&") if part]
    ordered = "&".join(sorted(parts, key=lambda part: part.partition("=")[0]))
    return hmac_base64(secret, f"{method}\n{path}\n{ordered}\n{access_key}\n{when}\n")


def pudong(key: str, app: str, ts: str, nonce: str, body: bytes) -> str:
    text = f"{app}&{ts}&{nonce}&{sha256(body).hexdigest()}"
    return hmac.digest(key.encode(), text.encode("utf-8", "replace"), "sha256").hex()


def ccrc(secret: str, method: str, path: str, ts: str, nonce: str, body: bytes) -> str:
    return hmac_base64(secret, f"{method}\n{path}\n{ts}\n{nonce}\n{sha256(body).hexdigest()}")


def sorted_parameters(parameters: Mapping[str, str], without: str) -> str:
    """``k=v`` joined by ``&``, sorted by ASCII, raw values, empty ones dropped."""
    return "&".join(f"{k}={v}" for k, v in sorted(parameters.items()) if k != without and v)
