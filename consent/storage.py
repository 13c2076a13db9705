"""The SQLite file: one writing connection, a pool of reading ones, and what counts as the storage failing.

WAL with ``synchronous=FULL`` makes a commit durable before it returns (https://www.sqlite.org/pragma.html);
``BEGIN IMMEDIATE`` takes the write lock before anything is read, so a decision is never made on a stale row.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Select,
    Update,
    bindparam,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError, InternalError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from consent.tables import metadata

BUSY_SECONDS = 5.0
POINT_SECONDS = 0.1
"""How long a point read waits for a lock. Readers of a WAL file meet one only while it is recovered."""
READERS = 2
CACHE_KIB = 32768
CHECKPOINT_PAGES = 8192
"""About 32 MiB of write-ahead log before it is folded into the file; a restart replays no more than that."""


@lru_cache
def _compiled(statement: Insert | Update | Select[Any]) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(dialect=sqlite.dialect())
    return str(compiled), tuple(compiled.positiontup or ())


def execute_many(connection: Connection, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run an insert or update once per row, nothing for no rows. ``statement`` is one of a module's constants.

    Compiled once and handed to the driver as it is: Core's own work costs more per row than SQLite's.
    """
    if rows:
        sql, names = _compiled(statement)
        values = itemgetter(*names)
        try:
            _driver(connection).executemany(sql, [values(row) for row in rows])
        except sqlite3.Error as error:
            raise _translated(error) from None


def fetch(connection: Connection, statement: Select[Any], **values: object) -> list[tuple[Any, ...]]:
    """All rows of a module's constant select, handed to the driver in the same way."""
    sql, names = _compiled(statement)
    try:
        return _driver(connection).execute(sql, [values[name] for name in names]).fetchall()
    except sqlite3.Error as error:
        raise _translated(error) from None


def _driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, inside the transaction that Core began or would begin now."""
    if not connection.in_transaction():
        connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - made by this module
    return driver


def _translated(error: sqlite3.Error) -> BaseException:
    """As Core raises it, without statement or values: ``storage_failed`` and the callers know one family of errors."""
    return DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True)


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """``column`` is one of the values that ``listed`` made of the parameter ``name``: one statement for any number."""
    return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))


def listed(values: Iterable[str]) -> str:
    return orjson.dumps(list(values)).decode()


class StorageLost(OSError):
    """The file at the path is not the one that was opened."""


def storage_failed(error: BaseException) -> bool:
    """Whether the storage failed (locked, full, I/O, lost), and not the command that met it."""
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError | InternalError) or type(error) is DatabaseError
    return isinstance(error, OSError)


class Database:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._writers = create_engine(
            "sqlite+pysqlite://", creator=self._write_connection, poolclass=NullPool, hide_parameters=True
        )
        event.listen(self._writers, "begin", _begin_immediate)
        self._readers = create_engine(
            "sqlite+pysqlite://",
            creator=self._read_connection,
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            hide_parameters=True,
        )
        event.listen(self._readers, "begin", _begin_snapshot)
        self._points: sqlite3.Connection | None = None
        # Which file (device and inode) each kind of connection has open.
        self._file: tuple[int, int] | None = None
        self._readers_file: tuple[int, int] | None = None
        self._points_file: tuple[int, int] | None = None

    def _connect(self, mode: str, busy: float = BUSY_SECONDS) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy, check_same_thread=False)

    def _write_connection(self) -> sqlite3.Connection:
        # mode=rw: a file that went missing is a failure to be seen, never a fresh empty log.
        connection = self._connect("rw")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        return connection

    def _read_connection(self) -> sqlite3.Connection:
        return self._connect("ro")

    def create(self) -> None:
        """Make the file and its tables where they are missing. Raises OSError or sqlite3.Error."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connect("rwc")
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        with self._writers.begin() as writer:
            metadata.create_all(writer)

    @property
    def readers(self) -> Engine:
        """The pool for reading, of the file that is at the path now. Raises OSError where there is none."""
        if (file := self._at_path()) != self._readers_file:
            self._readers.dispose()
            self._readers_file = file
        return self._readers

    @property
    def points(self) -> sqlite3.Connection:
        """For reads so short that they need no thread of their own. Each of them sees the last commit of the file that
        is at the path now: in one that was replaced, a withdrawn consent would stay good. Raises OSError or
        sqlite3.Error."""
        if (file := self._at_path()) != self._points_file or self._points is None:
            if self._points is not None:
                self._points.close()
            self._points, self._points_file = self._connect("ro", POINT_SECONDS), file
        return self._points

    def connect(self) -> Connection:
        """The writing connection; remembers which file it opened."""
        self._file = self._at_path()
        return self._writers.connect()

    def check_file(self) -> None:
        """Raise StorageLost when the file was moved or replaced: SQLite would go on writing into the old one."""
        if self._at_path() != self._file:
            raise StorageLost

    def _at_path(self) -> tuple[int, int]:
        # Asked before opening: a file swapped in between then differs from this one, and the next question finds out.
        stat = self.path.stat()
        return stat.st_dev, stat.st_ino

    def dispose(self) -> None:
        self._writers.dispose()
        self._readers.dispose()
        if self._points is not None:
            self._points.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_snapshot(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
