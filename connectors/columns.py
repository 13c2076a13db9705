"""The usual rows of a reply, read column by column: one step for a field of all rows instead of one for each value.

Reading value by value takes two to three times as long (docs/performance.md). What a column cannot take is read value
by value; and where that fails, or leaves a row out, the rows are given up to the reader of connectors.mapping, which
alone knows what is wrong with a row and where.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from schemas.errors import InvalidValue

Row = dict[str, Any]
Column = Callable[[list[Any]], list[Any] | None]
"""The canonical values of a field, None for one that is absent; None in place of all where any is not a usual one. May
raise TypeError, ValueError or InvalidValue for the same."""


class Field(NamedTuple):
    """One field: from the key or, where given, by ``get`` (which answers ``missing`` where nothing stands). ``read``:
    a present value to its canonical form; None is absent."""

    name: str
    key: str
    get: Callable[[Any], Any] | None
    read: Callable[[Any, Any], Any]
    column: Column
    needed: bool


def texts(longest: int) -> Column:
    def column(values: list[Any]) -> list[Any] | None:
        found = list(map(str.strip, values))
        return found if all(found) and max(map(len, found)) <= longest else None

    return column


def listed(meanings: Mapping[str, Any]) -> Column:
    known = meanings.get

    def column(values: list[Any]) -> list[Any] | None:
        found = list(map(known, values))
        return None if None in found else found

    return column


def counts(values: list[Any]) -> list[Any] | None:
    kinds = set(map(type, values))
    if kinds == {str}:
        numbers = list(map(int, values))
        if list(map(str, numbers)) != values:
            return None
    elif kinds == {int}:
        numbers = values
    else:
        return None
    return numbers if min(numbers) >= 0 and max(numbers) < 2**53 else None


def unusual(_: list[Any]) -> None:
    return None


def read_columns(
    fields: Sequence[Field], rows: list[Row], notes: Any, missing: object, skip: object
) -> list[Row] | None:
    """The record of each row, or None where the rows are not usual ones. ``skip``: what ``read`` gives for a value that
    leaves its field or row out."""
    if not fields:
        return [{} for _ in rows]
    columns: list[list[Any]] = []
    sparse: list[tuple[str, list[Any]]] = []
    for name, key, get, read, column, needed in fields:
        values = _values(rows, key) if get is None else [_or_none(get(row), missing) for row in rows]
        try:
            found = column(values)
        except (TypeError, ValueError, InvalidValue):
            found = None
        if found is None:
            try:
                found = [None if _blank(value) else read(value, notes) for value in values]
            except InvalidValue:
                return None
            if skip in found:
                return None
        if None in found:
            if needed:
                return None
            sparse.append((name, found))
        columns.append(found)
    records = _builder(tuple([field.name for field in fields]))(zip(*columns, strict=True))
    for name, found in sparse:
        for record, value in zip(records, found, strict=True):
            if value is None:
                del record[name]
    return records


def _values(rows: Sequence[Row], key: str) -> list[Any]:
    try:
        return list(map(itemgetter(key), rows))
    except KeyError:
        return [row.get(key) for row in rows]


def _or_none(value: Any, missing: object) -> Any:
    return None if value is missing else value


def _blank(value: Any) -> bool:
    return value is None or (type(value) is str and (not value or value.isspace()))


@lru_cache(256)
def _builder(names: tuple[str, ...]) -> Callable[[Any], list[Row]]:
    """``rows of values -> records``. Written out, because a loop over the names takes over twice as long; names become
    literals of the source by ``repr``."""
    places = [f"v{number}" for number in range(len(names))]
    members = ", ".join([f"{name!r}: {place}" for name, place in zip(names, places, strict=True)])
    built: Callable[[Any], list[Row]] = eval(  # noqa: S307 - the text beside, with literals in it
        f"lambda rows: [{{{members}}} for ({', '.join(places)},) in rows]", {}
    )
    return built
