"""Dates as platforms write them, each form by its name, compiled once per field.

A form says what a value must look like; nothing is guessed from the value. Days and months are those of
Asia/Shanghai: an instant that is midnight there is still the day before in UTC.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from schemas.errors import InvalidValue

T = TypeVar("T")
YearMonth = tuple[int, int]
"""``(year, month)``, month from 1."""

EARLIEST, LATEST = 1900, 2999
"""Years outside are typing errors or stand-ins for «unknown» such as 0001-01-01."""


class _Holds(IntEnum):
    YEAR = 1
    MONTH = 2
    DAY = 3


class _Form(NamedTuple):
    holds: _Holds
    pattern: str
    template: str
    """For str.format with year, month, day; empty for an instant."""


_CLOCK = "(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"
_COLON_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FRACTION = r"(?:\.[0-9]{1,9})?"
_FORMS = {
    "yyyy": _Form(_Holds.YEAR, "([0-9]{4})", "{0:04}"),
    "yyyy-MM": _Form(_Holds.MONTH, "([0-9]{4})-([0-9]{2})", "{0:04}-{1:02}"),
    "yyyyMM": _Form(_Holds.MONTH, "([0-9]{4})([0-9]{2})", "{0:04}{1:02}"),
    "yyyy年M月": _Form(_Holds.MONTH, "([0-9]{4})年([0-9]{1,2})月", "{0}年{1}月"),
    "yyyy-MM-dd": _Form(_Holds.DAY, "([0-9]{4})-([0-9]{2})-([0-9]{2})", "{0:04}-{1:02}-{2:02}"),
    "yyyy/MM/dd": _Form(_Holds.DAY, "([0-9]{4})/([0-9]{2})/([0-9]{2})", "{0:04}/{1:02}/{2:02}"),
    "yyyyMMdd": _Form(_Holds.DAY, "([0-9]{4})([0-9]{2})([0-9]{2})", "{0:04}{1:02}{2:02}"),
    "yyyyMMddHHmmss": _Form(_Holds.DAY, "([0-9]{4})([0-9]{2})([0-9]{2})" + _CLOCK, "{0:04}{1:02}{2:02}000000"),
    "yyyy-MM-dd HH:mm:ss": _Form(
        _Holds.DAY,
        f"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}}) {_COLON_CLOCK}{_FRACTION}",
        "{0:04}-{1:02}-{2:02} 00:00:00",
    ),
    "yyyy年M月d日": _Form(_Holds.DAY, "([0-9]{4})年([0-9]{1,2})月([0-9]{1,2})日", "{0}年{1}月{2}日"),
    "epoch-ms": _Form(_Holds.DAY, "(-?[0-9]{1,15})", ""),
    "epoch-s": _Form(_Holds.DAY, "(-?[0-9]{1,12})", ""),
    "rfc3339": _Form(
        _Holds.DAY, f"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_COLON_CLOCK}{_FRACTION}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}}))", ""
    ),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_OF_OUR_AGE = 4_200_000_000
"""Unix seconds of the year 2103."""
_EIGHT_HOURS, _ONE_DAY = 28_800_000, 86_400_000
"""Milliseconds."""
_ALL_DIGITS = frozenset({"yyyy", "yyyyMM", "yyyyMMdd", "yyyyMMddHHmmss", "epoch-ms", "epoch-s"})
# How platforms write «no end»; understood in every field, whatever its form.
_OPEN = frozenset({"", "9999-12-31", "99991231", "99999999", "99999999999999"})
_LAST_DAY = (9999, 12, 31)
_LONGEST = 40
_REMEMBERED = 4096


def compile_day(forms: Iterable[str]) -> "Reader[str | None]":
    """A reader of days: text, or an integer where a form of digits is declared, to ``2026-11-24``.

    None stands for an open end: null, empty, and 31 December 9999 in any form. The reader raises InvalidValue;
    so does compiling when a form is unknown, holds no day, or cannot be told from another of the list.
    """
    read = _compile(forms, _Holds.DAY, "date")

    def day(value: object) -> str | None:
        found = read(value)
        return None if found is None else found.isoformat()

    return Reader(day)


def compile_month(forms: Iterable[str]) -> "Reader[str | None]":
    """As compile_day for months, ``2026-09``; a day's form gives the month that the day is in."""
    read = _compile(forms, _Holds.MONTH, "month")

    def month(value: object) -> str | None:
        found = read(value)
        return None if found is None else found.isoformat()[:7]

    return Reader(month)


class Reader(Generic[T]):
    """Of one value when called. The same days stand in row after row of every enterprise, so what was read is known."""

    def __init__(self, read: Callable[[object], T]) -> None:
        self._read = read
        self._texts: Callable[[str], T] = lru_cache(_REMEMBERED)(read)
        self._numbers: Callable[[int], T] = lru_cache(_REMEMBERED)(read)

    def __call__(self, value: object) -> T:
        # Exactly these types: True is the same key as 1. And a long text would hold the memory of 4096 of its kind.
        if type(value) is str and len(value) <= _LONGEST:
            return self._texts(value)
        return self._numbers(value) if type(value) is int else self._read(value)

    def column(self, values: list[str]) -> list[T] | None:
        """Of texts, all at once; None for one that is too long. TypeError where one is no text."""
        return list(map(self._texts, values)) if max(map(len, values)) <= _LONGEST else None


def compile_year(forms: Iterable[str]) -> "Reader[int | None]":
    """As compile_day for years; the form of a month or a day gives its year."""
    read = _compile(forms, _Holds.YEAR, "year")

    def year(value: object) -> int | None:
        found = read(value)
        return None if found is None else found.year

    return Reader(year)


def _compile(forms: Iterable[str], least: _Holds, what: str) -> Callable[[object], date | None]:
    names = tuple(forms)
    if not names or any(name not in _FORMS or _FORMS[name].holds < least for name in names):
        raise InvalidValue(what=f"{what} form")
    # The digits of an epoch could be those of any other form made of digits only.
    if any(name.startswith("epoch") for name in names) and len(_ALL_DIGITS.intersection(names)) > 1:
        raise InvalidValue(what=f"{what} form")
    zone = ZoneInfo("Asia/Shanghai")
    patterns = [(name, re.compile(_FORMS[name].pattern)) for name in names]

    def read(value: object) -> date | None:
        if value is None:
            return None
        if isinstance(value, str):
            text = value.strip()
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15:
            text = str(value)
        else:
            raise InvalidValue(what=what)
        if text in _OPEN:
            return None
        if len(text) <= _LONGEST:
            for name, pattern in patterns:
                if match := pattern.fullmatch(text):
                    return _within(_day(name, match, zone, what), least, what)
        raise InvalidValue(what=what)

    return read


def _day(name: str, match: re.Match[str], zone: ZoneInfo, what: str) -> date:
    try:
        if name == "rfc3339":
            return datetime.fromisoformat(match[1]).astimezone(zone).date()
        if name == "epoch-ms":
            # Seconds, read as milliseconds, all fall around January 1970, and hardly ever on a midnight of ours.
            if abs(int(match[1])) < _SECONDS_OF_OUR_AGE and (int(match[1]) + _EIGHT_HOURS) % _ONE_DAY:
                raise InvalidValue(what=what)
            return (_EPOCH + timedelta(milliseconds=int(match[1]))).astimezone(zone).date()
        if name == "epoch-s":
            return (_EPOCH + timedelta(seconds=int(match[1]))).astimezone(zone).date()
        year, month, day = (*map(int, match.groups()), 1, 1)[:3]
        return date(year, month, day)
    except (ValueError, OverflowError):
        raise InvalidValue(what=what) from None


def _within(day: date, least: _Holds, what: str) -> date | None:
    if EARLIEST <= day.year <= LATEST:
        return day
    if (day.year, day.month, day.day)[:least] == _LAST_DAY[:least]:
        return None
    raise InvalidValue(what=what)


def format_date(day: date, form: str) -> str:
    """A day of Asia/Shanghai in a named form, for a request; a form with a time of day gives midnight there."""
    if form not in _FORMS:
        raise InvalidValue(what="date form")
    template = _FORMS[form].template
    if template:
        return template.format(day.year, day.month, day.day)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Asia/Shanghai"))
    if form == "rfc3339":
        return midnight.isoformat()
    seconds = (midnight - _EPOCH) // timedelta(seconds=1)
    return str(seconds if form == "epoch-s" else seconds * 1000)


def month_add(month: YearMonth, n: int) -> YearMonth:
    """The month ``n`` months later; earlier for a negative ``n``."""
    year, index = divmod(month[0] * 12 + month[1] - 1 + n, 12)
    return year, index + 1


def month_range(first: YearMonth, last: YearMonth) -> list[YearMonth]:
    """Every month from ``first`` to ``last``, both included; empty when ``last`` is before ``first``."""
    months = (last[0] - first[0]) * 12 + last[1] - first[1] + 1
    return [month_add(first, n) for n in range(months)]


@lru_cache(_REMEMBERED)
def month_text(month: YearMonth) -> str:
    """The canonical text of schemas.base.Month."""
    return f"{month[0]:04}-{month[1]:02}"


def month_end(month: YearMonth) -> date:
    """The last day of the month."""
    return date(*month, monthrange(*month)[1])
