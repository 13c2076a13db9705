"""What is not reached over the network: tables of a database, and files that another system drops into a folder.

It stands below the same seam as HTTP (connectors.wire, bytes in and bytes out), so that echo check, «no record», field
maps, drift and fixtures are those of every other platform. A manifest whose ``base_url`` is ``local://…`` asks with:

- ``GET /table/NAME?COLUMN=value``: the rows of a table or view whose columns equal the values; ``COLUMN.from`` and
  ``COLUMN.to`` bound a column, both inside; ``sort`` names the column to sort by;
- ``GET /drop/NAME?COLUMN=value``: the same of the newest ``NAME-YYYYMMDD.csv`` (UTF-8 or GB18030, the first line names
  the columns) or ``.jsonl`` in the folder.

The reply is ``{"ok": true, "as_of": day or null, "rows": [...]}``, in which every value is text, whole number, flag or
null. The secrets ``database`` (an SQLAlchemy URL) and ``folder`` say where both are.
"""

import asyncio
import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson
from sqlalchemy import URL, Engine, Select, column, create_engine, literal_column, make_url, select, table
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from connectors.decoding import decode_text
from connectors.json_tree import parse_json
from connectors.wire import Leave, WireReply, WireRequest
from schemas.errors import ConfigurationError, UpstreamConnect, UpstreamMalformed, UpstreamOversize, UpstreamTimeout

MAX_ROWS = 10_000
SCHEME = "local://"
_DROPPED = re.compile(r"(.+)-([0-9]{8})\.(csv|jsonl)")
_CHARSETS = ("utf-8", "gb18030")

_Row = dict[str, object]


class LocalTransport:
    """Raises ConfigurationError for a ``database`` that is no URL of a database that can be opened here."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._folder = Path(secrets["folder"]) if "folder" in secrets else None
        self._engine = _engine(secrets["database"]) if "database" in secrets else None

    async def send(
        self,
        request: WireRequest,
        *,
        timeout: float,  # noqa: ASYNC109 - the seam's contract
        leave: Leave,
    ) -> WireReply:
        """Read once, off the event loop. Status 404 for what is not there. Raises UpstreamConnect where the database
        cannot be read, UpstreamMalformed for a file that cannot, UpstreamOversize, UpstreamTimeout."""
        await leave()
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.to_thread(self._read, request.url)
        except TimeoutError:
            raise UpstreamTimeout from None

    def _read(self, url: str) -> WireReply:
        parts = urlsplit(url)
        _, kind, name = (*(unquote(part) for part in parts.path.split("/", 2)), "", "")[:3]
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        as_of: date | None = None
        if kind == "table" and self._engine is not None:
            rows = _select(self._engine, name, asked)
        elif kind == "drop" and self._folder is not None and (newest := _newest(self._folder, name)) is not None:
            as_of, file = newest
            rows = [row for row in _rows_of(file) if all(row.get(k) == v for k, v in asked.items())]
        else:
            return WireReply(404, {}, b"")
        if len(rows) > MAX_ROWS:
            raise UpstreamOversize
        body = {"ok": True, "as_of": as_of and as_of.isoformat(), "rows": rows}
        return WireReply(200, {"content-type": "application/json"}, orjson.dumps(body))


def _engine(text: str) -> Engine:
    try:
        url = make_url(text)
        if url.get_backend_name() == "sqlite":
            # Without this a wrong path would make an empty database, which reads as «no record».
            name = f"file:{quote(url.database or '')}"
            url = URL.create(url.drivername, database=name, query={"mode": "ro", "uri": "true"})
        return create_engine(url, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise ConfigurationError(at="secrets.database", mend="an SQLAlchemy URL, with its driver installed") from None


def _select(engine: Engine, name: str, asked: Mapping[str, str]) -> list[_Row]:
    query: Select[Any] = select(literal_column("*")).select_from(table(name))
    for key, value in asked.items():
        field, _, bound = key.rpartition(".")
        if key == "sort":
            query = query.order_by(column(value))
        elif bound == "from":
            query = query.where(column(field) >= value)
        elif bound == "to":
            query = query.where(column(field) <= value)
        else:
            query = query.where(column(key) == value)
    try:
        with engine.connect() as connection:
            # Where the backend has read-only transactions, this is one; an account that may only read is better still.
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            found = connection.execute(query.limit(MAX_ROWS + 1)).mappings()
            return [{str(k): _plain(v) for k, v in row.items()} for row in found]
    except SQLAlchemyError:
        raise UpstreamConnect from None


def _plain(value: object) -> object:
    """A float as the shortest text that means it: it came from the column as one and is never calculated with."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)


def _newest(folder: Path, name: str) -> tuple[date, Path] | None:
    """The file of the greatest day in its name; of one day and two kinds, the CSV."""
    found: list[tuple[date, str, Path]] = []
    for file in folder.iterdir() if folder.is_dir() else ():
        match = _DROPPED.fullmatch(file.name)
        if match and match[1] == name:
            try:
                found.append((datetime.strptime(match[2], "%Y%m%d").date(), match[3], file))  # noqa: DTZ007
            except ValueError:
                continue
    if not found:
        return None
    day = max(day for day, _, _ in found)
    return day, min((kind, file) for its, kind, file in found if its == day)[1]


def _rows_of(file: Path) -> Iterator[_Row]:
    try:
        text = decode_text(file.read_bytes(), None, _CHARSETS)
    except OSError:
        raise UpstreamConnect from None
    if file.suffix == ".csv":
        try:
            yield from _csv_rows(text)
        except csv.Error:
            raise UpstreamMalformed(at=file.name) from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = parse_json(line)
            if not isinstance(row, dict):
                raise UpstreamMalformed(at=f"{file.name}:{number}")
            yield {k: _plain(v) for k, v in row.items()}


def _csv_rows(text: str) -> Iterator[_Row]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = next(lines, [])
    if not names or len(set(names)) < len(names):
        raise csv.Error
    for cells in lines:
        # A row that is longer or shorter than its heading was cut or has a stray comma: nothing in it can be trusted.
        if len(cells) != len(names):
            raise csv.Error
        yield dict(zip(names, cells, strict=True))
