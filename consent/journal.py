"""The one durable writer: group commit without a timer.

Callers hand in commands; the writer waits for the first, lets the event loop turn once, takes what has come (at most
256), runs it in one transaction where the database is written, and answers after the commit. Alone a command waits for
nobody; under load the batches form by themselves while the commit before them runs.

When the storage fails (locked too long, full, I/O error, gone) nothing more is acknowledged until it has
been opened again, its head holds together and continues the last one we know, and a real write has gone through. A
commit whose reply was lost is looked up in the log then, so that its callers hear what became of it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, update
from sqlalchemy.exc import SQLAlchemyError

from consent.batch import After, Batch, Command, Refusal
from consent.ledger import Head, Ledger, Page
from consent.storage import StorageLost, Store, storage_failed
from consent.tables import log_head
from schemas.errors import LogBroken, Overloaded, ShuttingDown, StorageUnavailable

R = TypeVar("R")

log = structlog.get_logger()

BATCH = 256
QUEUE = 16384
HEAL_SECONDS = 1.0
SETTLE_TRIES = 5
"""How often the storage is tried for the outcome of a failed commit before its callers are told that it failed."""

NewBatch = Callable[[Connection, Page, datetime, float], Batch]
_Waiting = tuple[Command[Any], asyncio.Future[Any]]


class Journal:
    def __init__(
        self,
        database: Store,
        ledger: Ledger,
        new_batch: NewBatch,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._new_batch = new_batch
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = database.writing
        self._connection: Connection | None = None
        self._head: Head | None = None
        self._broken: LogBroken | None = None
        self._failure = ""
        self._alarmed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def writable(self) -> bool:
        """Whether the last thing that was tried on the storage succeeded."""
        return self._connection is not None

    @property
    def head(self) -> Head:
        """The last head that this process committed or found at opening."""
        assert self._head is not None  # noqa: S101 - open() sets it before the journal is handed out
        return self._head

    async def open(self) -> None:
        """Check the stored head and start the writer. Raises LogBroken or StorageUnavailable."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._reopen)
        if self._connection is None:
            raise self._unavailable()
        self._task = asyncio.create_task(self._write(), name="journal")

    async def submit(self, command: Command[R]) -> R:
        """The command's result once it is durable; its refusal is raised once that is.

        Raises StorageUnavailable when it could not be committed, or when that is not known: then the command may
        have been, and asking again must be safe.
        """
        if self._closing:
            raise ShuttingDown
        if len(self._queue) >= QUEUE:
            raise Overloaded(retry_after=1)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((command, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Commit what was handed in, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._queue):
            self._alarm()
            if not await self._woken():
                await loop.run_in_executor(self._thread, self._reopen)
                continue
            await asyncio.sleep(0)
            waiting = self._take()
            if waiting:
                commands = [command for command, _ in waiting]
                results = await loop.run_in_executor(self._thread, self._run, commands)
                for (_, future), result in zip(waiting, results, strict=True):
                    if future.done():
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)

    def _alarm(self) -> None:
        """Each time that the storage fails is two lines in the process's own log: that it did, and that it is back."""
        if self._alarmed == self.writable:
            self._alarmed = not self.writable
            if self._alarmed:
                log.error("log_not_writable", reason=self._failure)
            else:
                log.warning("log_writable_again")

    async def _woken(self) -> bool:
        """Wait for a command; False when it is time to try the failed storage again, asked or not."""
        self._wake.clear()
        if self._queue or self._closing:
            return True
        try:
            async with asyncio.timeout(None if self.writable or self._broken else HEAL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        while self._queue and len(taken) < BATCH:
            waiting = self._queue.popleft()
            # A caller that went away before its turn asked for nothing.
            if not waiting[1].cancelled():
                taken.append(waiting)
        return taken

    # --- where the database is written ------------------------------------------------------------------

    def _run(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """One result or exception per command."""
        if self._connection is None:
            self._reopen()
        connection = self._connection
        if connection is None:
            return [self._unavailable() for _ in commands]
        try:
            return self._transact(connection, commands)
        except LogBroken as error:
            self._broken, self._failure = error, error.code
            self._disconnect()
            return [self._unavailable() for _ in commands]
        except Exception as error:
            if storage_failed(error):
                self._failure = _name(error)
                self._disconnect()
                return [self._unavailable() for _ in commands]
            if len(commands) == 1:
                return [StorageUnavailable() if isinstance(error, SQLAlchemyError) else error]
        # Something in here cannot be done: halve until it is alone, so that it hurts only itself.
        half = len(commands) // 2
        return [*self._run(commands[:half]), *self._run(commands[half:])]

    def _unavailable(self) -> LogBroken | StorageUnavailable:
        return LogBroken(**self._broken.details) if self._broken else StorageUnavailable(retry_after=5)

    def _transact(self, connection: Connection, commands: Sequence[Command[Any]]) -> list[Any]:
        began = time.monotonic()
        self._database.check_place()
        written = None
        try:
            with connection.begin():
                page = self._ledger.open(connection)
                batch = self._new_batch(connection, page, self._now(connection), began)
                for command in commands:
                    command.needs(batch)
                batch.load()
                decisions = [command.decide(batch) for command in commands]
                written = batch.write()
        except Exception as error:
            if written is None:
                raise
            # Only the commit comes after the writing. Whatever it said, it may have taken place; and where it added
            # no entry, nothing tells.
            if written[0].size == page.size or not self._committed(written[0], error):
                raise StorageLost from error
        head, growth = written
        self._ledger.remember(growth.range)
        batch.committed()
        self._head = head
        return [
            d.make(head, growth) if isinstance(d, After) else d.error if isinstance(d, Refusal) else d
            for d in decisions
        ]

    def _now(self, connection: Connection) -> datetime:
        """One time for the whole batch, from after the lock: the database's own, where it has a clock."""
        if self._clock is not None:
            return self._clock()
        return self._database.now(connection) or datetime.now(UTC)

    def _committed(self, head: Head, error: Exception) -> bool:
        """Whether the log has come to ``head``, although the commit failed: entries and rows stand or fall together.

        Looked at under the lock that every writing transaction holds, so no commit of ours is still on its way. False
        also where that could not be found out in time: then it stays unknown to whoever asked.
        """
        self._failure = _name(error)
        self._disconnect()
        for _ in range(SETTLE_TRIES):
            self._reopen()
            if self._broken:
                return False
            if self._connection is not None:
                break
            time.sleep(HEAL_SECONDS)
        else:
            return False
        with self._connection.begin():
            return self._ledger.has(self._connection, head)

    def _reopen(self) -> None:
        if self._broken:
            return
        connection = None
        try:
            connection = self._database.connect()
            if self._failure:
                self._database.settle(connection)
            with connection.begin():
                self._head = self._ledger.check(connection, self._head)
                # Reading may work where writing does not: a full disk shows only here. There and back, because SQLite
                # does not write a row that stays what it was.
                for step in (1, -1):
                    connection.execute(update(log_head).values(size=log_head.c.size + step))
        except LogBroken as error:
            self._broken, self._failure = error, error.code
        except Exception as error:
            if not storage_failed(error):
                raise
            self._failure = _name(error)
        else:
            self._connection, self._failure = connection, ""
            return
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()


def _name(error: BaseException) -> str:
    """What a failure of the storage is called in the process's own log: SQLite's name for it, or the error's type."""
    cause = error.__cause__ or error
    cause = getattr(cause, "orig", None) or cause
    return str(getattr(cause, "sqlite_errorname", type(cause).__name__))
