"""From a platform's row to a canonical record: one compiled row function per (data set, fields consented).

A field that was not consented is never read into a record. What is missing is absent, never zero; what has another
form than declared is SchemaDrift with its path, never a guess.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from connectors.base import Row
from connectors.decoding import MISSING
from connectors.engine_rules import Get, Tree, compile_path, same
from schemas import manifest
from schemas.amounts import RatioForm, Unit, decimal_text, parse_amount, parse_count, parse_decimal, parse_ratio
from schemas.base import Json
from schemas.dates import YearMonth, compile_day, compile_month, compile_year, month_end, month_text
from schemas.errors import InvalidValue, SchemaDrift
from schemas.identifiers import is_uscc, normalise_name, parse_uscc


class _Skip:
    """An unlisted code that the manifest leaves out."""


SKIP: Final = _Skip()


@dataclass(slots=True)
class Notes:
    """What was noticed while reading: repairs by rule, and drift counted by path."""

    repairs: list[str] = field(default_factory=list)
    drift: dict[str, int] = field(default_factory=dict)

    def repaired(self, name: str, repairs: Iterable[str]) -> None:
        self.repairs += [text for r in repairs if (text := f"{name}: {r}") not in self.repairs]

    def drifted(self, path: str) -> None:
        self.drift[path] = self.drift.get(path, 0) + 1


Convert = Callable[[Any, Notes], Any]
"""A present value to its canonical form; None is absent, SKIP an unlisted code. Raises InvalidValue."""
_Op = tuple[str, str, Get | None, Convert, bool]


def converter(name: str, spec: manifest.ReadSpec, longest: int) -> Convert:
    """``longest``: characters that the record allows in this field."""
    match spec:
        case manifest.TextSpec():
            return _text(longest)
        case manifest.UsccSpec():
            return _uscc(name)
        case manifest.NamesSpec():
            return _names(spec.separators, longest)
        case manifest.MoneySpec():
            unit = Unit(spec.unit)
            return lambda value, _notes: decimal_text(parse_amount(_number(value), unit))
        case manifest.DecimalSpec():
            return lambda value, _notes: decimal_text(parse_decimal(_number(value)))
        case manifest.RatioSpec():
            form = RatioForm(spec.form)
            return lambda value, _notes: decimal_text(parse_ratio(_number(value), form))
        case manifest.CountSpec():
            return lambda value, _notes: parse_count(_number(value))
        case manifest.DaySpec():
            return _dated(compile_day(spec.forms))
        case manifest.MonthSpec():
            return _dated(compile_month(spec.forms))
        case manifest.YearSpec():
            return _dated(compile_year(spec.forms))
        case manifest.CodeSpec():
            return _code(spec, longest)
        case _:
            return _flag(spec)


def _dated(read: Callable[[object], Any]) -> Convert:
    # Reading a date is the dearest step of a row, and the same days come again and again.
    known = lru_cache(maxsize=4096, typed=True)(read)

    def convert(value: Any, _notes: Notes) -> Any:
        return known(value) if type(value) is str or type(value) is int else read(value)

    return convert


def _number(value: object) -> str | int | Decimal:
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        return value
    raise InvalidValue(what="number")


def _text(longest: int) -> Convert:
    def convert(value: Any, _notes: Notes) -> str:
        if type(value) is not str or len(text := value.strip()) > longest:
            raise InvalidValue(what="text")
        return text

    return convert


def _uscc(name: str) -> Convert:
    def convert(value: Any, notes: Notes) -> str:
        if type(value) is not str:
            raise InvalidValue(what="uscc")
        if is_uscc(value):
            return value
        reading = parse_uscc(value)
        notes.repaired(name, reading.repairs)
        return reading.value

    return convert


def _names(separators: str, longest: int) -> Convert:
    cut = {ord(c): "\n" for c in separators}

    def convert(value: Any, _notes: Notes) -> list[str] | None:
        parts = value.translate(cut).split("\n") if isinstance(value, str) else value
        if not isinstance(parts, list) or any(type(p) is not str or len(p) > longest for p in parts):
            raise InvalidValue(what="names")
        return [name for p in parts if (name := p.strip())] or None

    return convert


def _code(spec: manifest.CodeSpec, longest: int) -> Convert:
    table = {normalise_name(k): v for k, v in spec.table.items()} | spec.table
    other = table.pop("*", None)

    def convert(value: Any, _notes: Notes) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if type(value) is not str or len(value := value.strip()) > longest:
            raise InvalidValue(what="code")
        # Codes are compared like names: 吊销,未注销 and 吊销，未注销 are one.
        known = table.get(value) or table.get(normalise_name(value)) or other
        if known is not None:
            return known
        if spec.else_ == "reject":
            raise InvalidValue(what="code")
        return value if spec.else_ == "keep" else SKIP

    return convert


def _flag(spec: manifest.FlagSpec) -> Convert:
    pairs = [(value, True) for value in spec.true] + [(value, False) for value in spec.false]

    def convert(value: Any, _notes: Notes) -> bool:
        if type(value) is str:
            value = value.strip()
        for known, meaning in pairs:
            if same(value, known):
                return meaning
        raise InvalidValue(what="flag")

    return convert


class RowMap:
    """The compiled fields of one data set, for one set of consented fields."""

    def __init__(
        self,
        at: str,
        specs: Mapping[str, manifest.Spec],
        converters: Mapping[str, Convert],
        required: frozenset[str],
        wanted: frozenset[str],
        hidden: frozenset[str],
        known: frozenset[str],
    ) -> None:
        """``hidden``: fields that place the row in time and are not consented: read, then taken off again."""
        self._at = at
        self._known = known
        self._hidden = hidden
        self._constants: Row = {}
        self._head: list[_Op] = []
        self._ops: list[_Op] = []
        for name, spec in specs.items():
            if name not in wanted | hidden:
                continue
            if isinstance(spec, manifest.ConstSpec):
                self._constants[name] = spec.value
                continue
            place = spec.from_ if spec.from_ is not None else str(spec.head)
            get = compile_path(place) if spec.head is not None or "." in place else None
            op = (name, place, get, converters[name], name in required)
            (self._ops if spec.head is None else self._head).append(op)

    def head(self, tree: Tree, notes: Notes) -> Row | None:
        """The fields that the whole reply gives to each of its rows; None where an unlisted code skips them all."""
        return _read(self._head, tree, dict(self._constants), "", notes)

    def row(self, row: Any, head: Row, notes: Notes) -> Row | None:
        """The record of one row, or None where an unlisted code skips it. Raises SchemaDrift."""
        if type(row) is not dict:
            raise SchemaDrift(at=self._at)
        if not row.keys() <= self._known:
            for key in row.keys() - self._known:
                notes.drifted(f"{self._at}.{key}" if key.isidentifier() and len(key) <= 64 else f"{self._at}.*")
        return _read(self._ops, row, head.copy(), self._at, notes)

    def uncover(self, record: Row) -> Row:
        """Take off what was read only to place the row in time."""
        for name in self._hidden:
            record.pop(name, None)
        return record


def _read(ops: list[_Op], source: Any, record: Row, at: str, notes: Notes) -> Row | None:
    place = ""
    try:
        for name, place, get, convert, needed in ops:
            value = source.get(place) if get is None else get(source)
            blank = value is None or value is MISSING or (type(value) is str and (not value or value.isspace()))
            found = None if blank else convert(value, notes)
            if found is SKIP:
                notes.drifted(_join(at, place))
                if needed:
                    return None
            elif found is not None:
                record[name] = found
            elif needed:
                raise SchemaDrift(at=_join(at, place))
    except InvalidValue as err:
        raise SchemaDrift(at=_join(at, place), expected=str(err.details.get("what", "value"))) from None
    return record


def _join(at: str, place: str) -> str:
    return f"{at}.{place}" if at else place


Span = tuple[str, str]
"""First and last month that a record is about, as text; open ends sort before and after every month."""


def span_of(record: Row, period: tuple[str, str]) -> Span:
    return _month(record.get(period[0]), "01", ""), _month(record.get(period[1]), "12", "9999")


def _month(value: Json, of_year: str, open_end: str) -> str:
    if isinstance(value, int):
        return f"{value:04}-{of_year}"
    return value[:7] if isinstance(value, str) else open_end


def inside(span: Span, first: YearMonth, last: YearMonth) -> bool:
    return span[0] <= month_text(last) and span[1] >= month_text(first)


def last_day(value: Json) -> date | None:
    """The last day that a canonical day, month or year covers."""
    if isinstance(value, int):
        return date(value, 12, 31)
    if not isinstance(value, str):
        return None
    return date.fromisoformat(value) if len(value) > 7 else month_end((int(value[:4]), int(value[5:7])))
