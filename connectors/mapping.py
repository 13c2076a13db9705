"""From a platform's row to a canonical record: one compiled row function per (data set, fields consented).

A field that was not consented is never read into a record. What is missing is absent, never zero; what has another
form than declared is SchemaDrift with its path, never a guess.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import Any, Final, NamedTuple

from connectors.base import Row
from connectors.columns import Column, Field, counts, listed, read_columns, texts, unusual
from connectors.decoding import MISSING
from connectors.engine.rules import Tree, compile_path, same
from schemas import manifest
from schemas.amounts import (
    RatioForm,
    Unit,
    compile_amount,
    compile_amounts,
    compile_ratio,
    parse_count,
    shares,
)
from schemas.base import Json
from schemas.dates import Reader, YearMonth, compile_day, compile_month, compile_year, month_end, month_text
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


class Convert(NamedTuple):
    """``read``: a present value to its canonical form; None is absent, SKIP an unlisted code. Raises InvalidValue, and
    notes nothing that noting it again would change. ``column`` gives the same for many values that are usual ones."""

    read: Callable[[Any, Notes], Any]
    column: Column


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
            return _money(Unit(spec.unit))
        case manifest.DecimalSpec():
            return _ratio(RatioForm.FRACTION)
        case manifest.RatioSpec():
            return _ratio(RatioForm(spec.form))
        case manifest.CountSpec():
            return _alone(parse_count, counts)
        case manifest.DaySpec():
            return _time(compile_day(spec.forms))
        case manifest.MonthSpec():
            return _time(compile_month(spec.forms))
        case manifest.YearSpec():
            return _time(compile_year(spec.forms))
        case manifest.CodeSpec():
            return _code(spec, longest)
        case _:
            return _flag(spec)


def _alone(read: Callable[[Any], Any], column: Column) -> Convert:
    """A reader that notes nothing."""
    return Convert(lambda v, _notes: read(v), column)


def _time(read: Reader[Any]) -> Convert:
    return _alone(read, read.column)


def _money(unit: Unit) -> Convert:
    return _alone(compile_amount(unit), compile_amounts(unit))


def _ratio(form: RatioForm) -> Convert:
    return _alone(compile_ratio(form), shares if form is RatioForm.FRACTION else unusual)


def _text(longest: int) -> Convert:
    def convert(value: Any, _notes: Notes) -> str:
        if type(value) is not str or len(text := value.strip()) > longest:
            raise InvalidValue(what="text")
        return text

    return Convert(convert, texts(longest))


def _uscc(name: str) -> Convert:
    def convert(value: Any, notes: Notes) -> str:
        if type(value) is not str:
            raise InvalidValue(what="uscc")
        if is_uscc(value):
            return value
        reading = parse_uscc(value)
        notes.repaired(name, reading.repairs)
        return reading.value

    return Convert(convert, unusual)


def _names(separators: str, longest: int) -> Convert:
    cut = {ord(c): "\n" for c in separators}

    def convert(value: Any, _notes: Notes) -> list[str] | None:
        parts = value.translate(cut).split("\n") if isinstance(value, str) else value
        if not isinstance(parts, list) or any(type(p) is not str or len(p) > longest for p in parts):
            raise InvalidValue(what="names")
        return [name for p in parts if (name := p.strip())] or None

    return Convert(convert, unusual)


def _code(spec: manifest.CodeSpec, longest: int) -> Convert:
    table = {normalise_name(k): v for k, v in spec.table.items()} | spec.table
    other = table.pop("*", None)

    def convert(value: Any, _notes: Notes) -> Any:
        if type(value) is str and (known := table.get(value)) is not None:
            return known
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

    return Convert(convert, _listed(table))


def _flag(spec: manifest.FlagSpec) -> Convert:
    pairs = [(value, True) for value in spec.true] + [(value, False) for value in spec.false]
    texts: dict[str, bool] = {value: meaning for value, meaning in pairs if type(value) is str}

    def convert(value: Any, _notes: Notes) -> bool:
        if type(value) is str:
            if (found := texts.get(value)) is not None:
                return found
            value = value.strip()
        for known, meaning in pairs:
            if same(value, known):
                return meaning
        raise InvalidValue(what="flag")

    return Convert(convert, _listed(texts))


def _listed(meanings: Mapping[str, Any]) -> Column:
    return listed({text: meaning for text, meaning in meanings.items() if text.strip()})


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
        self._head: list[Field] = []
        self._fields: list[Field] = []
        for name, spec in specs.items():
            if name not in wanted | hidden:
                continue
            if isinstance(spec, manifest.ConstSpec):
                self._constants[name] = spec.value
                continue
            place = spec.from_ if spec.from_ is not None else str(spec.head)
            get = compile_path(place) if spec.head is not None or "." in place else None
            made = Field(name, place, get, *converters[name], name in required)
            (self._fields if spec.head is None else self._head).append(made)

    def head(self, tree: Tree, notes: Notes) -> Row | None:
        """The fields that the whole reply gives to each of its rows; None where an unlisted code skips them all."""
        return read_fields(self._head, tree, dict(self._constants), "", notes)

    def records(self, rows: list[Any], head: Row, notes: Notes) -> list[Row]:
        """The records of the rows, without those that an unlisted code leaves out. Raises SchemaDrift."""
        if set(map(type, rows)) - {dict}:
            raise SchemaDrift(at=self._at)
        unknown = set().union(*rows) - self._known
        if unknown:
            for key in [key for row in rows for key in row if key in unknown]:
                notes.drifted(f"{self._at}.{key}" if key.isidentifier() and len(key) <= 64 else f"{self._at}.*")
        made = read_columns(self._fields, rows, notes, MISSING, SKIP) if len(rows) > 1 else None
        if made is None:
            found = [read_fields(self._fields, row, head.copy(), self._at, notes) for row in rows]
            return [record for record in found if record is not None]
        if head:
            for record in made:
                record.update(head)
        return made

    def uncover(self, records: list[Row]) -> None:
        """Take off what was read only to place the rows in time."""
        for name in self._hidden:
            for record in records:
                record.pop(name, None)


def read_fields(fields: list[Field], source: Any, record: Row, at: str, notes: Notes) -> Row | None:
    """Field by field into ``record``; None where an unlisted code skips it. Raises SchemaDrift that names the path."""
    place = ""
    try:
        for name, place, get, convert, _, needed in fields:
            value = source.get(place) if get is None else get(source)
            if type(value) is str:
                found = None if not value or value.isspace() else convert(value, notes)
            else:
                found = None if value is None or value is MISSING else convert(value, notes)
            if found is None:
                if needed:
                    raise SchemaDrift(at=_join(at, place))
            elif found is SKIP:
                notes.drifted(_join(at, place))
                if needed:
                    return None
            else:
                record[name] = found
    except InvalidValue as err:
        raise SchemaDrift(at=_join(at, place), expected=str(err.details.get("what", "value"))) from None
    return record


def _join(at: str, place: str) -> str:
    return f"{at}.{place}" if at else place


def overlaps(period: tuple[str, str], first: YearMonth, last: YearMonth) -> Callable[[Row], bool]:
    """Whether a record is about any of the months from ``first`` to ``last``. ``period``: the fields that hold its
    own first and last day, month or year; an end that is not there is open."""
    since, until = period
    low, high = month_text(first), month_text(last)

    def test(record: Row) -> bool:
        start, end = record.get(since), record.get(until)
        # A day begins with its month, and a year's months are January to December.
        starts = start[:7] if type(start) is str else f"{start:04}-01" if type(start) is int else ""
        ends = end[:7] if type(end) is str else f"{end:04}-12" if type(end) is int else "9999"
        return starts <= high and ends >= low

    return test


def within(records: list[Row], period: tuple[str, str], first: YearMonth, last: YearMonth) -> list[Row]:
    """Those that are about any of the months, as ``overlaps`` says."""
    since, until = period
    try:
        starts: Any = max(map(itemgetter(since), records))
        ends: Any = min(map(itemgetter(until), records))
        if starts[:7] <= month_text(last) and ends[:7] >= month_text(first):
            return records
    except (KeyError, TypeError, ValueError):  # an open end, years, or no record
        pass
    asked = overlaps(period, first, last)
    return [record for record in records if asked(record)]


def last_day(value: Json) -> date | None:
    """The last day that a canonical day, month or year covers."""
    if isinstance(value, int):
        return date(value, 12, 31)
    if not isinstance(value, str):
        return None
    return date.fromisoformat(value) if len(value) > 7 else month_end((int(value[:4]), int(value[5:7])))
