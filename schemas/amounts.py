"""Amounts, shares and counts: exact decimals, the unit declared for each field, nothing guessed.

A platform's number comes as JSON text, a JSON integer or an exact ``Decimal``, never as a float. The unit is what
the field's manifest says; a unit or currency written beside the digits must agree with it, or the value is refused:
a wrong guess is wrong by ten thousand.
"""

import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact
from enum import StrEnum

from schemas.errors import InvalidValue


class Unit(StrEnum):
    """The unit of money that a field is declared in."""

    FEN = "分"
    YUAN = "元"
    WAN = "万元"
    YI = "亿元"


class RatioForm(StrEnum):
    """How a field writes a share: seven per cent is ``0.07`` as a fraction, ``7`` or ``7%`` in per cent."""

    FRACTION = "fraction"
    PERCENT = "percent"


_IN_YUAN = {Unit.FEN: Decimal("0.01"), Unit.YUAN: Decimal(1), Unit.WAN: Decimal(10**4), Unit.YI: Decimal(10**8)}
_SHIFT = {Unit.YUAN: 0, Unit.WAN: 4, Unit.YI: 8}
_WRITTEN = {"分": Unit.FEN, "元": Unit.YUAN, "万元": Unit.WAN, "万": Unit.WAN, "亿元": Unit.YI, "亿": Unit.YI}
_IN_ONE = {RatioForm.FRACTION: Decimal(1), RatioForm.PERCENT: Decimal("0.01")}
_CURRENCY = r"人民币|RMB|CNY|¥"
_NUMBER = r"(-?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|0|[1-9][0-9]*|(?=\.))(?:\.[0-9]+)?)"
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,8})?")
_AMOUNT = re.compile(rf"({_CURRENCY})? ?{_NUMBER} ?(?:(分|元|万元?|亿元?)(人民币)?)?")
_RATIO = re.compile(rf"{_NUMBER} ?(%)?")
_COUNT = re.compile(_NUMBER)
# No sign, no separator, and short enough that no unit takes it over 18 digits.
_SIMPLE = re.compile(r"(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3}){1,2}(?:\.[0-9]{1,2})?")
_SHARE = re.compile(r"(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,8})?")
# The same for many values, each ended by a line feed. Only one way leads through a line, so no input is slow.
# Possessive repeats would say so, but the re of Python 3.11.2 lets one that failed keep what it took (gh-106052).
_AMOUNTS = re.compile(r"(?:(?:0|[1-9][0-9]{0,9}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,2})(?:\.[0-9]{1,2})?\n)*")
_SHARES = re.compile(r"(?:(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,8})?\n)*")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,14}")
_FULL_WIDTH = str.maketrans(
    {**{chr(c + 0xFEE0): chr(c) for c in range(0x21, 0x7F)}, "\u3000": " ", "\u00a0": " ", "￥": "¥"}
)
_LONGEST = 64
# Wide enough for every product below; anything inexact is an error, never a rounded value.
_EXACT = Context(prec=60, traps=[Inexact])


def decimal_text(value: Decimal) -> str:
    """The canonical text of schemas.base.Decimal_: digits as given, no exponent, zero without sign.

    At most 18 digits before the point and 8 behind it; more raise InvalidValue, zeros behind the 8th are dropped.
    """
    text = str(value)
    if not _PLAIN.fullmatch(text):
        if not value.is_finite() or abs(value.adjusted()) > _LONGEST:
            raise InvalidValue(what="decimal")
        whole, point, decimals = format(value, "f").partition(".")
        text = whole + point + decimals[:8] + decimals[8:].rstrip("0")
        if not _PLAIN.fullmatch(text):
            raise InvalidValue(what="decimal")
    return text.removeprefix("-") if value.is_zero() else text


def parse_amount(value: str | int | Decimal, unit: Unit) -> Decimal:
    """Money in 元 from ``value`` in ``unit``. Digits are kept as given, zeros behind 分 are not.

    Text may carry full-width forms, thousands separators where they belong, and a currency or unit that agrees.
    """
    if not isinstance(value, str):
        return _scaled(_number(value, "amount"), _IN_YUAN[unit], "amount", trim=2)
    match = _AMOUNT.fullmatch(_half_width(value, "amount"))
    if not match:
        raise InvalidValue(what="amount")
    prefix, digits, written, suffix = match.groups()
    # «¥200» in a field declared in 万元 contradicts the declaration; «¥200万元» does not.
    if (prefix and suffix) or ((prefix or written) and _WRITTEN[written or "元"] is not unit):
        raise InvalidValue(what="amount", unit=unit.value)
    return _scaled(_decimal(digits), _IN_YUAN[unit], "amount", trim=2)


def compile_amount(unit: Unit) -> Callable[[str | int | Decimal], str]:
    """A reader of money in ``unit`` to canonical text in 元: ``decimal_text(parse_amount(value, unit))``.

    Plain numbers with at most two decimals, which is nearly all of them, are moved to 元 as text.
    """
    simple = _SIMPLE.fullmatch

    def read(value: str | int | Decimal) -> str:
        if type(value) is str:
            if simple(value):
                return value
            if _GROUPED.fullmatch(value):
                return value.replace(",", "")
        elif type(value) in (int, Decimal) and simple(text := str(value)):
            return text
        return decimal_text(parse_amount(value, unit))

    shift = _SHIFT.get(unit)
    if not shift:
        return read if unit is Unit.YUAN else lambda value: decimal_text(parse_amount(value, unit))

    def scale(value: str | int | Decimal) -> str:
        text = value if type(value) is str else str(value) if type(value) in (int, Decimal) else ""
        if _GROUPED.fullmatch(text):
            text = text.replace(",", "")
        return _shifted(text, shift) if simple(text) else decimal_text(parse_amount(value, unit))

    return scale


def compile_amounts(unit: Unit) -> Callable[[list[str]], list[str] | None]:
    """A reader of many amounts at once: what ``compile_amount`` makes of each, or None where not all are plain numbers
    with at most two decimals. TypeError where one is no text."""
    shift = _SHIFT.get(unit)
    if shift is None:
        return lambda _values: None

    def read(values: list[str]) -> list[str] | None:
        text = _lines(_AMOUNTS, values)
        if text is None:
            return None
        if "," in text:
            values = text.replace(",", "").split("\n")[:-1]
        return [_shifted(value, shift) for value in values] if shift else values

    return read


def shares(values: list[str]) -> list[str] | None:
    """As they are, where ``compile_ratio(RatioForm.FRACTION)`` gives each of them back so, else None. TypeError where
    one is no text."""
    return None if _lines(_SHARES, values) is None else values


def _lines(pattern: re.Pattern[str], values: list[str]) -> str | None:
    text = "\n".join([*values, ""])
    return text if pattern.fullmatch(text) and text.count("\n") == len(values) else None


def _shifted(text: str, places: int) -> str:
    """A plain number with at most two decimals, the point moved to the right by more than those; as many decimals."""
    whole, point, decimals = text.partition(".")
    digits = (whole + decimals + "0" * (places - len(decimals))).lstrip("0") or "0"
    return digits + point + "0" * len(decimals)


def compile_ratio(form: RatioForm) -> Callable[[str | int | Decimal], str]:
    """A reader of shares to canonical text: ``decimal_text(parse_ratio(value, form))``.

    Plain numbers of a field declared as a fraction of one, which is nearly all of them, stay as they are.
    """
    fraction = form is RatioForm.FRACTION

    def read(value: str | int | Decimal) -> str:
        if fraction and type(value) is str and _SHARE.fullmatch(value):
            return value
        return decimal_text(parse_ratio(value, form))

    return read


def parse_ratio(value: str | int | Decimal, form: RatioForm) -> Decimal:
    """A share as a fraction of one from ``value`` in ``form``; a written % only where per cent is declared.

    As a fraction it also reads plain numbers without a unit of money, such as square metres.
    """
    if not isinstance(value, str):
        return _scaled(_number(value, "ratio"), _IN_ONE[form], "ratio")
    match = _RATIO.fullmatch(_half_width(value, "ratio"))
    if not match or (match[2] and form is not RatioForm.PERCENT):
        raise InvalidValue(what="ratio")
    return _scaled(_decimal(match[1]), _IN_ONE[form], "ratio")


def parse_count(value: str | int | Decimal) -> int:
    """A whole number from 0 to 2^53 - 1; ``12.0`` is whole, ``12.5`` and ``-1`` are refused."""
    if type(value) is str and _DIGITS.fullmatch(value):
        return int(value)
    if type(value) is int and 0 <= value < 2**53:
        return value
    number = _decimal(_count_digits(value)) if isinstance(value, str) else _number(value, "count")
    whole = int(number)
    if whole != number or not 0 <= whole < 2**53:
        raise InvalidValue(what="count")
    return whole


def _count_digits(text: str) -> str:
    match = _COUNT.fullmatch(_half_width(text, "count"))
    if not match:
        raise InvalidValue(what="count")
    return match[1]


def _half_width(text: str, what: str) -> str:
    if len(text) > _LONGEST:
        raise InvalidValue(what=what)
    return text.translate(_FULL_WIDTH).strip()


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", ""))


def _number(value: int | Decimal, what: str) -> Decimal:
    """An exact finite number of bounded size; a float, a boolean or anything else is refused."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise InvalidValue(what=what)
    if isinstance(value, int):
        if abs(value) >= 10**18:
            raise InvalidValue(what=what)
        return Decimal(value)
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST:
        raise InvalidValue(what=what)
    return value


def _scaled(number: Decimal, factor: Decimal, what: str, trim: int = 8) -> Decimal:
    """The exact product within what the canonical text can hold, without zeros behind the ``trim``-th decimal."""
    try:
        text = decimal_text(_EXACT.multiply(number, factor))
    except (Inexact, InvalidValue):
        raise InvalidValue(what=what) from None
    point = text.find(".")
    if 0 <= point < len(text) - 1 - trim:
        text = text[: point + 1 + trim] + text[point + 1 + trim :].rstrip("0")
    return Decimal(text)
