"""Statements that go straight to the driver, the SQLite file, and what counts as the storage failing.

All that reads and writes is plain SQLAlchemy Core on a connection, the same for SQLite and PostgreSQL
(consent/storage_postgres.py); what differs is how a constant statement reaches the driver, and where such code runs.

The file has one writing connection and a pool of reading ones. WAL with ``synchronous=FULL`` makes a commit durable
before it returns (https://www.sqlite.org/pragma.html); ``BEGIN IMMEDIATE`` takes the write lock before anything is
read, so a decision is never made on a stale row.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from urllib.parse import quote

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Engine,
    Insert,
    Select,
    String,
    Update,
    bindparam,
    create_engine,
    event,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError, InternalError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from consent import storage_postgres
from consent.tables import metadata

P = ParamSpec("P")
R = TypeVar("R")

BUSY_SECONDS = 5.0
POINT_SECONDS = 0.1
"""How long a point read waits for a lock. Readers of a WAL file meet one only while it is recovered."""
READERS = 2
CACHE_KIB = 32768
CHECKPOINT_PAGES = 8192
"""About 32 MiB of write-ahead log before it is folded into the file; a restart replays no more than that."""


@lru_cache
def _compiled(statement: Insert | Update | Delete | Select[Any]) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(dialect=sqlite.dialect())
    return str(compiled), tuple(compiled.positiontup or ())


def execute_many(connection: Connection, statement: Insert | Update | Delete, rows: Sequence[object]) -> None:
    """Run an insert or update once per row, nothing for no rows. ``statement`` is one of a module's constants; its
    parameters are the keys of each row where that is a dict, else attributes of it.

    Compiled once and handed to the driver as it is: Core's own work costs more per row than SQLite's.
    """
    if not rows:
        return
    driver = _driver(connection)
    if not isinstance(driver, sqlite3.Connection):
        storage_postgres.execute_many(driver, statement, rows)
        return
    sql, names = _compiled(statement)
    try:
        driver.executemany(sql, storage_postgres.values_of(rows, names))
    except sqlite3.Error as error:
        raise _translated(error) from None


Writing = tuple[Insert | Update, Sequence[object]]
"""A statement with the rows that it writes, as ``execute_many`` takes them."""


def write_all(connection: Connection, writes: Sequence[Writing]) -> None:
    """Several of them, in order, in one message to the database where it is another process. No two of them write the
    same row."""
    driver = _driver(connection)
    if isinstance(driver, sqlite3.Connection):
        for statement, rows in writes:
            execute_many(connection, statement, rows)
    elif held := [writing for writing in writes if writing[1]]:
        storage_postgres.write_all(driver, held)


def fetch(connection: Connection, statement: Select[Any], **values: object) -> list[tuple[Any, ...]]:
    """All rows of a module's constant select, handed to the driver in the same way."""
    driver = _driver(connection)
    if not isinstance(driver, sqlite3.Connection):
        return storage_postgres.fetch(connection, driver, statement, values)
    sql, names = _compiled(statement)
    try:
        found: list[tuple[Any, ...]] = driver.execute(sql, [values[name] for name in names]).fetchall()
    except sqlite3.Error as error:
        raise _translated(error) from None
    return found


def _driver(connection: Connection) -> Any:
    """The driver's own connection, inside the transaction that Core began or would begin now."""
    if not connection.in_transaction():
        connection.begin()
    return connection.connection.driver_connection


def _translated(error: sqlite3.Error) -> BaseException:
    """As Core raises it, without statement or values: ``storage_failed`` and the callers know one family of errors."""
    return DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True)


class _Among(FunctionElement[bool]):
    # Without a type of its own: a Boolean is written as «… = 1» for SQLite, which then uses no index.
    inherit_cache = True


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - a column and a parameter


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    # As an array made once: only then is the column's index used for each value.
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({values} AS JSON))))"


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """``column`` is one of the values that ``listed`` made of the parameter ``name``: one statement for any number."""
    return _Among(column, bindparam(name, type_=String()))


def listed(values: Iterable[str]) -> str:
    return orjson.dumps(list(values)).decode()


class StorageLost(OSError):
    """The file at the path is not the one that was opened, or others keep it from being settled."""


def storage_failed(error: BaseException) -> bool:
    """Whether the storage failed (locked, full, I/O, lost), and not the command that met it."""
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError | InternalError) or type(error) is DatabaseError
    return isinstance(error, OSError)


class Store(Protocol):
    """What the journal and the readings need of a database: ``Database`` or ``storage_postgres.Database``.

    ``writing`` and ``reading`` are where code that takes a connection may run; nothing else may touch one.
    """

    @property
    def writing(self) -> Executor: ...

    @property
    def reading(self) -> Executor: ...

    def create(self, tables: Callable[[Connection], None]) -> None:
        """Make what is missing, the tables by ``tables``, while nobody else does. Runs in ``writing``."""

    def connect(self) -> Connection:
        """The writing connection. A transaction on it holds the log's lock from its beginning. Runs in ``writing``."""

    def settle(self, connection: Connection) -> None:
        """After a failure, outside a transaction: make durable whatever may be read. Runs in ``writing``."""

    def now(self, connection: Connection) -> datetime | None:
        """The database's own clock, where it has one."""

    def check_place(self) -> None:
        """Raise StorageLost when what was connected to is no longer what stands at its place."""

    def transact(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``read`` in one snapshot. Runs in ``reading``."""

    def read(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same from any other thread, which waits."""

    async def point(self, statement: Select[Any], **values: object) -> Sequence[Any] | None:
        """The one row of a constant select by key, as the last commit left it, or None."""

    def fold(self) -> None:
        """Empty the write-ahead log into the file, where it is ours to empty. Runs in ``reading``."""

    async def close(self) -> None:
        """Let go of everything; ``writing`` and ``reading`` take no more."""


class Database:
    """The SQLite file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.writing = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.reading = ThreadPoolExecutor(READERS, thread_name_prefix="evidence")
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

    def _connect(self, mode: str, busy: float | None = None) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path))}?mode={mode}"
        return sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=busy or BUSY_SECONDS, check_same_thread=False
        )

    def _write_connection(self) -> sqlite3.Connection:
        # mode=rw: a file that went missing is a failure to be seen, never a fresh empty log.
        connection = self._connect("rw")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # What is deleted is overwritten: a raw page keeps nothing of a destroyed row.
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        return connection

    def _read_connection(self) -> sqlite3.Connection:
        return self._connect("ro")

    def create(self, tables: Callable[[Connection], None] = metadata.create_all) -> None:
        """Raises OSError or sqlite3.Error."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connect("rwc")
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        with self._writers.begin() as writer:
            tables(writer)

    @property
    def readers(self) -> Engine:
        """The pool for reading, of the file that is at the path now. Raises OSError where there is none."""
        if (file := self._at_path()) != self._readers_file:
            self._readers.dispose()
            self._readers_file = file
        return self._readers

    def transact(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self.readers.begin() as connection:
            return read(connection, *args, **kwargs)

    read = transact

    async def point(self, statement: Select[Any], **values: object) -> Sequence[Any] | None:
        """In the event loop's own thread and without giving way: a hop to another one, and Core, cost ten times what
        the read does, and would let a lease lapse while its answer waits."""
        sql, names = _compiled(statement)
        try:
            row: Sequence[Any] | None = self.points.execute(sql, [values[name] for name in names]).fetchone()
        except sqlite3.Error as error:
            raise _translated(error) from None
        return row

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

    def settle(self, connection: Connection) -> None:
        # A commit whose sync failed may stand in the write-ahead log all the same, in pages that the kernel has given
        # up writing and holds for clean. Copied into the file and synced there, what it says is durable after all.
        try:
            driver: Any = connection.connection.driver_connection
            (busy, *_) = driver.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error as error:
            raise _translated(error) from None
        if busy:
            raise StorageLost

    def fold(self) -> None:
        try:
            # Writers wait while this waits for readers: hardly at all.
            with closing(self._connect("rw", POINT_SECONDS)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _translated(error) from None

    def now(self, connection: Connection) -> datetime | None:  # noqa: ARG002 - SQLite has no clock of its own
        return None

    def check_place(self) -> None:
        """SQLite would go on writing into a file that was moved or replaced."""
        if self._at_path() != self._file:
            raise StorageLost

    def _at_path(self) -> tuple[int, int]:
        # Asked before opening: a file swapped in between then differs from this one, and the next question finds out.
        stat = self.path.stat()
        return stat.st_dev, stat.st_ino

    async def close(self) -> None:
        self.dispose()

    def dispose(self) -> None:
        self.writing.shutdown()
        self.reading.shutdown()
        self._writers.dispose()
        self._readers.dispose()
        if self._points is not None:
            self._points.close()


def _begin_immediate(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise _translated(error) from None


def _begin_snapshot(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def open_store(place: Path | str) -> Store:
    """The SQLite file at a path, or the PostgreSQL database at a URL."""
    return Database(place) if isinstance(place, Path) else storage_postgres.Database(place)
