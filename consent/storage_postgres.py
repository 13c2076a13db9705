"""The PostgreSQL database: where code written for a plain connection runs, and what differs in its statements.

SQLAlchemy's asyncio engine lets synchronous Core run inside a greenlet of an event loop, so the very same functions
serve both databases. Two threads with an event loop each do that here, one writes and one reads; the gateway's own
loop only makes point reads.

READ COMMITTED, and every writing transaction begins by locking the head row of the log: whatever is read after that is
what the process before it committed, so uses are counted exactly and the log has one head, with any number of
processes (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED).
"""

import asyncio
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Delete, Insert, Select, Update, event
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool
from sqlalchemy.util import await_only, greenlet_spawn

P = ParamSpec("P")
R = TypeVar("R")

READERS = 4
POINTS = 4
POINT_SECONDS = 1.0
"""How long a point read may take; one that takes longer than a lease proves nothing anyway."""
COMMAND_SECONDS = 10.0
"""How long any statement may take before the connection is given up as lost."""
# On the server's side: a process that hangs with the head locked is thrown out before the others give up waiting.
_SERVER = {
    "application_name": "xinqiao",
    "lock_timeout": "8000",
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
}
# What the writer asks for it asks by key. A table that grows from nothing has no statistics, and by them a scan of all
# its rows looks cheaper than its index; planning each statement anew costs more than a short one does.
_WRITER = {"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan", "jit": "off"}
_OPENING = 0x78696E71
"""The advisory lock of whoever makes what is missing in a database."""
# Answered once the lock is held, and so is the clock read.
_LOCK = "WITH head AS MATERIALIZED (SELECT one FROM log_head FOR UPDATE) SELECT clock_timestamp() FROM head"
_LOCK_EMPTY = f"SELECT clock_timestamp() FROM pg_advisory_xact_lock({_OPENING})"  # noqa: S608 - a constant


class LoopThread(Executor):
    """Runs synchronous code in greenlets of an event loop, where it may wait for asyncpg."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return asyncio.run_coroutine_threadsafe(greenlet_spawn(lambda: fn(*args, **kwargs)), self._loop)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - Executor's own
        """Whatever was handed in before has to be done by then."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@lru_cache
def _compiled(statement: Insert | Update | Delete | Select[Any]) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())


def values_of(rows: Sequence[Any], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values under ``names`` of each row, a dict's by key and any other's by attribute; ``rows`` is not empty."""
    read: Callable[[Any], Any] = (itemgetter if isinstance(rows[0], dict) else attrgetter)(*names)
    # Of one name there is the value itself.
    return [*map(read, rows)] if len(names) > 1 else [(read(row),) for row in rows]


_BOUND = re.compile(r"\$([0-9]+)::([A-Z]+)")


@lru_cache
def _set_based(statement: Insert | Update) -> tuple[str, tuple[str, ...]]:
    """The statement for any number of rows at once: each parameter is an array, with the values of all rows."""
    sql, names = _compiled(statement)
    bound = dict(_BOUND.findall(sql))
    rows = f"unnest({', '.join(f'${n}::{kind}[]' for n, kind in bound.items())})"
    if isinstance(statement, Insert):
        return f"{sql.partition(' VALUES ')[0]} SELECT * FROM {rows}", names  # noqa: S608 - from a constant statement
    change, where, which = _BOUND.sub(r"given.p\1", sql).partition(" WHERE ")
    return f"{change} FROM {rows} AS given({', '.join(f'p{n}' for n in bound)}){where}{which}", names


_NUMBER = re.compile(r"\$([0-9]+)")


@lru_cache
def _at_once(statements: tuple[Insert | Update, ...]) -> str:
    """Set-based statements as one: all but the last stand before it as common table expressions. Foreign keys are
    checked when all of it is done."""
    parts: list[str] = []
    before = 0
    for statement in statements:
        sql, names = _set_based(statement)
        parts.append(_NUMBER.sub(lambda found, before=before: f"${int(found[1]) + before}", sql))  # type: ignore[misc]
        before += len(names)
    named = ", ".join(f"w{n} AS ({part})" for n, part in enumerate(parts[:-1]))
    return f"WITH {named} {parts[-1]}" if named else parts[-1]


def write_all(driver: Any, writes: Sequence[tuple[Insert | Update, Sequence[object]]]) -> None:
    """As ``storage.write_all``, on asyncpg's connection; there is something to write, and nothing without rows."""
    sql = _at_once(tuple(statement for statement, _ in writes))
    columns: list[Sequence[object]] = []
    for statement, rows in writes:
        columns += zip(*values_of(rows, _set_based(statement)[1]), strict=True)
    try:
        await_only(driver.execute(sql, *columns))
    except Exception as error:
        raise _translated(error) from None


def execute_many(driver: Any, statement: Insert | Update | Delete, rows: Sequence[object]) -> None:
    """As ``storage.execute_many``, on asyncpg's connection; ``rows`` is not empty."""
    if not isinstance(statement, Delete):
        # One execution for all rows costs the server a fifth less than one for each.
        write_all(driver, [(statement, rows)])
        return
    try:
        sql, names = _compiled(statement)
        await_only(driver.executemany(sql, values_of(rows, names)))
    except Exception as error:
        raise _translated(error) from None


def fetch(
    connection: Connection, driver: Any, statement: Select[Any], values: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    """As ``storage.fetch``."""
    if not driver.is_in_transaction():
        # Core begins a transaction with its own first statement only.
        return [tuple(row) for row in connection.execute(statement, values)]
    sql, names = _compiled(statement)
    try:
        return [tuple(row) for row in await_only(driver.fetch(sql, *(values[name] for name in names)))]
    except Exception as error:
        raise _translated(error) from None


def _translated(error: BaseException) -> BaseException:
    """One family of errors for both databases (``storage.storage_failed``): what a row or a value did wrong is not the
    storage's failure, everything else is. Neither text nor values of a statement come along."""
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith("23"):
        kind: type[DBAPIError] = IntegrityError
    elif state.startswith("22") or isinstance(error, ValueError):
        kind = DataError
    else:
        kind = OperationalError
    return kind(None, None, Exception(state or type(error).__name__), hide_parameters=True)


def _translate(context: ExceptionContext) -> BaseException | None:
    if context.is_pre_ping:
        # For the pool itself, which opens another connection where this one is closed.
        return None
    original = context.original_exception
    return _translated(original.__cause__ or original)


class Database:
    """The database at ``url`` (postgresql://…, as libpq reads it)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._asyncpg = importlib.import_module("asyncpg")
        self.writing = LoopThread("journal")
        self.reading = LoopThread("evidence")
        self._makers, self._writers = (
            create_async_engine(
                "postgresql+asyncpg://", async_creator=connect, poolclass=NullPool, hide_parameters=True
            ).sync_engine
            for connect in (self._connect, self._connect_writer)
        )
        self._readers = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=READERS,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
            hide_parameters=True,
        ).sync_engine
        event.listen(self._writers, "begin", _begin_locked)
        for engine in (self._makers, self._writers, self._readers):
            event.listen(engine, "handle_error", _translate, retval=True)
        self._points: Any = None

    async def _connect(self, **settings: str) -> Any:
        return await self._asyncpg.connect(
            self._url,
            timeout=COMMAND_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings={**_SERVER, **settings},
        )

    async def _connect_writer(self) -> Any:
        return await self._connect(**_WRITER)

    def create(self, tables: Callable[[Connection], None]) -> None:
        with self._makers.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_OPENING})")
            tables(connection)

    def connect(self) -> Connection:
        return self._writers.connect()

    def settle(self, connection: Connection) -> None:
        """The server answers for its own log: it stops when a sync of it fails."""

    def fold(self) -> None:
        """The server's log is the server's: see ``wal_keep_size`` and what archives it."""

    def now(self, connection: Connection) -> datetime | None:
        moment: datetime = connection.info["locked_at"]
        return moment

    def check_place(self) -> None:
        """A connection that lasts is to the same server."""

    def transact(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self._readers.begin() as connection:
            return read(connection, *args, **kwargs)

    def read(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self.reading.submit(lambda: self.transact(read, *args, **kwargs)).result()

    async def point(self, statement: Select[Any], **values: object) -> Sequence[Any] | None:
        sql, names = _compiled(statement)
        try:
            if self._points is None:
                self._points = self._asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=POINTS,
                    reset=_nothing,
                    timeout=POINT_SECONDS,
                    command_timeout=POINT_SECONDS,
                    server_settings=_SERVER,
                )
            pool = await self._points
            row: Sequence[Any] | None = await pool.fetchrow(sql, *(values[name] for name in names))
        except Exception as error:
            raise _translated(error) from None
        return row

    async def close(self) -> None:
        if self._points is not None:
            self._points.terminate()
        await asyncio.wrap_future(self.reading.submit(self._readers.dispose))
        self.writing.shutdown()
        self.reading.shutdown()


async def _nothing(_: Any) -> None:
    """A point read leaves nothing behind on its connection."""


def _begin_locked(connection: Connection) -> None:
    moment = connection.exec_driver_sql(_LOCK).scalar_one_or_none()
    if moment is None:
        # An empty database: one process makes the head, the others wait and then find it.
        moment = connection.exec_driver_sql(_LOCK_EMPTY).scalar_one()
    connection.info["locked_at"] = moment
