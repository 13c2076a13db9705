"""A call as a platform sees it, its answer, and the dialects' ways to write days, months and money."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from connectors.sandbox.verify import Refused, Why


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. ``path`` and ``query`` are the raw text of the request line; header names ignore case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    now: float
    """Unix seconds on the sandbox's clock."""

    @property
    def service(self) -> str:
        """The path below the platform's prefix."""
        return self.path.split("/", 2)[2]


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    verdict: str
    """``answered``, ``no_record``, or why not (verify.Why)."""
    content_type: str = "application/json; charset=utf-8"
    status: int = 200
    uscc: str | None = None
    """The enterprise asked about, once the caller was let in."""
    headers: Mapping[str, str] = field(default_factory=dict)


def dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def load(body: bytes) -> dict[str, Any]:
    """A JSON object, or Refused(MALFORMED)."""
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(Why.MALFORMED) from None
    if not isinstance(value, dict):
        raise Refused(Why.MALFORMED)
    return value


def pairs(text: str) -> dict[str, str]:
    """A query or form; a name that comes twice is Refused(MALFORMED)."""
    try:
        found = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError:
        raise Refused(Why.MALFORMED) from None
    if len(dict(found)) != len(found):
        raise Refused(Why.MALFORMED)
    return dict(found)


def form(body: bytes) -> dict[str, str]:
    try:
        return pairs(body.decode("ascii"))
    except UnicodeDecodeError:
        raise Refused(Why.MALFORMED) from None


def text_of(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(Why.MALFORMED)
    return value


def number_of(values: Mapping[str, Any], name: str, most: int) -> int:
    """A page or size, 1..most, as a JSON number or a text of digits."""
    value = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if type(value) is not int or not 1 <= value <= most:
        raise Refused(Why.MALFORMED)
    return value


def month_index(text: str) -> int:
    """``202609`` or ``2026-09`` as year * 12 + month - 1."""
    digits = text.replace("-", "", 1)
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits[4:]) <= 12:
        raise Refused(Why.MALFORMED)
    return int(digits[:4]) * 12 + int(digits[4:]) - 1


def epoch_ms(day: date | None) -> int | None:
    """Midnight UTC+8 of ``day``."""
    return None if day is None else (day.toordinal() - 719_163) * 86_400_000 - 28_800_000


def wan(amount: Decimal) -> Decimal:
    """元 to 万元."""
    return amount.scaleb(-4)


def plain(amount: Decimal | None) -> str:
    return "" if amount is None else format(amount, "f")


def cents(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:.2f}"


@lru_cache(8192)
def compact(day: date | None) -> str:
    """yyyyMMdd."""
    return "" if day is None else f"{day:%Y%m%d}"


def iso(day: date | None) -> str:
    return "" if day is None else day.isoformat()
