"""Enterprise size by the standard 中小企业划型标准规定 (工信部联企业〔2011〕300号).

Industries by GB/T 4754-2017, to which 国统字〔2017〕213号 carried the standard over; of section Q it covers social work
(85) only. Finance, rail transport, education, health, and letting of one's own property have no row.
"""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class Size(StrEnum):
    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"
    MICRO = "micro"


class _Row(NamedTuple):
    """Lower bounds of large, medium and small; None for a measure that the row does not use."""

    staff: tuple[int, int, int] | None = None
    revenue: tuple[int, int, int] | None = None
    assets: tuple[int, int, int] | None = None


_INDUSTRY = _Row(staff=(1000, 300, 20), revenue=(40000, 2000, 300))
_TRANSPORT = _Row(staff=(1000, 300, 20), revenue=(30000, 3000, 200))
_HOSPITALITY = _Row(staff=(300, 100, 10), revenue=(10000, 2000, 100))
_TELECOM = _Row(staff=(2000, 100, 10), revenue=(100000, 1000, 100))
_LEASING = _Row(staff=(300, 100, 10), assets=(120000, 8000, 100))
_OTHER = _Row(staff=(300, 100, 10))

_DIVISIONS: tuple[tuple[int, int, _Row], ...] = (
    (1, 5, _Row(revenue=(20000, 500, 50))),
    (6, 46, _INDUSTRY),
    (47, 50, _Row(revenue=(80000, 6000, 300), assets=(80000, 5000, 300))),
    (51, 51, _Row(staff=(200, 20, 5), revenue=(40000, 5000, 1000))),
    (52, 52, _Row(staff=(300, 50, 10), revenue=(20000, 500, 100))),
    (54, 58, _TRANSPORT),
    (59, 59, _Row(staff=(200, 100, 20), revenue=(30000, 1000, 100))),
    (60, 60, _Row(staff=(1000, 300, 20), revenue=(30000, 2000, 100))),
    (61, 62, _HOSPITALITY),
    (63, 64, _TELECOM),
    (65, 65, _Row(staff=(300, 100, 10), revenue=(10000, 1000, 50))),
    (71, 72, _LEASING),
    (73, 82, _OTHER),
    (85, 90, _OTHER),
)
_REAL_ESTATE = {
    "701": _Row(revenue=(200000, 1000, 100), assets=(10000, 5000, 2000)),
    "702": _Row(staff=(1000, 300, 100), revenue=(5000, 1000, 500)),
    "703": _OTHER,
    "709": _OTHER,
}


def _row(code: str) -> _Row | None:
    if not (code.isascii() and code.isdigit() and 2 <= len(code) <= 4):
        return None
    division = int(code[:2])
    if division == 70:
        return _REAL_ESTATE.get(code[:3])
    return next((row for first, last, row in _DIVISIONS if first <= division <= last), None)


def enterprise_size(
    industry_code: str, staff: int | None, revenue_wan: Decimal | None, assets_wan: Decimal | None
) -> Size | None:
    """The size by the digits of the GB/T 4754-2017 code, staff, and yearly revenue and total assets in 万元.

    A size holds when every lower bound of the row is met. None where the code has no row or an input that its row
    needs is unknown: unknown is never zero.
    """
    row = _row(industry_code)
    if row is None:
        return None
    pairs = [(v, b) for v, b in zip((staff, revenue_wan, assets_wan), row, strict=True) if b is not None]
    known = [(value, bounds) for value, bounds in pairs if value is not None]
    if len(known) < len(pairs):
        return None
    for grade, size in enumerate((Size.LARGE, Size.MEDIUM, Size.SMALL)):
        if all(value >= bounds[grade] for value, bounds in known):
            return size
    return Size.MICRO
