"""Epochs of the key-encryption key: a new one begins, the subject keys that remain are wrapped anew, the old one is
destroyed, and with it every copy of a subject key that was destroyed before, wherever the copy is.

Each step is one command of the journal, so a gateway goes on serving in between, and any step may be done again.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal_column, select, update

from consent.batch import Batch, Command
from consent.keys import read_ring
from consent.safe import Safe
from consent.storage import execute_many, fetch
from consent.tables import keyring, subject_keys
from consent.vault import RetentionClass
from schemas.errors import KeysUnavailable

MOST = 256
"""Keys that one command wraps anew."""
WAIT_SECONDS = 0.05

_SET_EPOCH = update(keyring).values(epoch=bindparam("new"), opened_at=bindparam("at"))
_SET_OLDEST = update(keyring).values(oldest=bindparam("new"))
_OLDER = (
    select(
        subject_keys.c.subject,
        subject_keys.c["class"],
        subject_keys.c.version,
        subject_keys.c.epoch,
        subject_keys.c.wrapped,
    )
    .where(
        subject_keys.c.subject >= bindparam("after"),
        subject_keys.c.epoch < bindparam("epoch"),
        func.length(subject_keys.c.wrapped) > literal_column("0"),
    )
    .order_by(subject_keys.c.subject)
    .limit(literal_column(str(MOST)))
    .offset(literal_column("0"))
)
_REMAINING = select(
    subject_keys.c.subject,
    subject_keys.c["class"],
    subject_keys.c.version,
    subject_keys.c.epoch,
    subject_keys.c.wrapped,
).where(func.length(subject_keys.c.wrapped) > literal_column("0"))
_REWRAP = (
    update(subject_keys)
    .where(
        subject_keys.c.subject == bindparam("of_subject"),
        subject_keys.c["class"] == bindparam("of_class"),
        subject_keys.c.version == bindparam("of_version"),
    )
    .values(epoch=bindparam("to_epoch"), wrapped=bindparam("to_wrapped"))
)
_ANY_PENDING = (
    select(subject_keys.c.subject)
    .where(func.length(subject_keys.c.wrapped) == literal_column("0"), subject_keys.c.epoch >= bindparam("oldest"))
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)


@dataclass(frozen=True, slots=True)
class BeginEpoch(Command[int | None]):
    """From this commit on keys are wrapped under the next epoch. With ``at_least`` only where a destroyed key waits for
    the end of an epoch that has lasted that long; None where it does not. Raises KeysUnavailable."""

    safe: Safe
    actor: str
    at_least: timedelta | None = None

    def decide(self, batch: Batch) -> int | None:
        ring = read_ring(batch.connection)
        if self.at_least is not None and (
            batch.now - datetime.fromisoformat(ring.opened_at) < self.at_least
            or not fetch(batch.connection, _ANY_PENDING, oldest=ring.oldest)
        ):
            return None
        new = ring.epoch + 1
        self.safe.add_epoch(new)
        execute_many(batch.connection, _SET_EPOCH, [{"new": new, "at": batch.time}])
        batch.append("keys.begun", self.actor, None, None, {"epoch": new})
        return new


@dataclass(frozen=True, slots=True)
class Rewrap(Command[str | None]):
    """Wrap at most ``MOST`` keys of earlier epochs anew, from this subject on. Answers with the subject to go on from,
    or None where no key is left. Raises KeysUnavailable."""

    after: str = ""

    def decide(self, batch: Batch) -> str | None:
        ring = read_ring(batch.connection)
        rows = fetch(batch.connection, _OLDER, after=self.after, epoch=ring.epoch)
        wrapped = []
        for subject, kind, version, epoch, old in rows:
            retention = RetentionClass(kind)
            secret = batch.vault.secret(subject, retention, version, epoch, old)
            wrapped.append(
                {
                    "of_subject": subject,
                    "of_class": kind,
                    "of_version": version,
                    "to_epoch": ring.epoch,
                    "to_wrapped": batch.vault.wrap(subject, retention, version, ring.epoch, secret),
                }
            )
        execute_many(batch.connection, _REWRAP, wrapped)
        return rows[-1][0] if rows else None


@dataclass(frozen=True, slots=True)
class EndEpochs(Command[int]):
    """Destroy the key-encryption keys before this epoch, unless a key is still wrapped under one of them; answers with
    the oldest epoch that remains. The files go first: an interrupted end is ended by the next.

    Raises KeysUnavailable."""

    safe: Safe
    actor: str

    def decide(self, batch: Batch) -> int:
        ring = read_ring(batch.connection)
        if ring.oldest == ring.epoch or fetch(batch.connection, _OLDER, after="", epoch=ring.epoch):
            return ring.oldest
        self.safe.destroy_epochs(ring.epoch)
        batch.vault.forget_epochs(ring.epoch)
        batch.connection.execute(_SET_OLDEST, {"new": ring.epoch})
        batch.append("keys.ended", self.actor, None, None, {"first": ring.oldest, "last": ring.epoch - 1})
        return ring.epoch


def keep_keys(connection: Connection, safe: Safe) -> None:
    """Copy the subject keys that remain into the safe."""
    pages = connection.execute(_REMAINING).partitions(1000)
    safe.keep_keys([(s, kind, v, e, w) for s, kind, v, e, w in page] for page in pages)


async def next_epoch(
    submit: Callable[[Command[Any]], Awaitable[Any]],
    read: Callable[[Callable[[Connection, Safe], None], Safe], Awaitable[None]],
    safe: Safe,
    actor: str,
    at_least: timedelta | None = None,
) -> int | None:
    """Begin an epoch and destroy those before it; answers with the new one, None where none was begun.

    An epoch that was begun earlier and not ended is ended as well. Raises KeysUnavailable.
    """
    async with _alone(safe):
        begun: int | None = await submit(BeginEpoch(safe, actor, at_least))
        if begun is None and len(safe.epochs()) < 2:
            return None
        after: str | None = ""
        while after is not None:
            after = await submit(Rewrap(after))
        await read(keep_keys, safe)
        await submit(EndEpochs(safe, actor))
        return begun


@asynccontextmanager
async def _alone(safe: Safe) -> AsyncIterator[None]:
    """One process at a time: of two, the slower one would put kept keys in place whose epoch the other has ended."""
    try:
        handle = os.open(safe.folder, os.O_RDONLY)
    except OSError:
        raise KeysUnavailable(what="keys folder") from None
    try:
        while True:
            with suppress(BlockingIOError):
                flock(handle, LOCK_EX | LOCK_NB)
                break
            await asyncio.sleep(WAIT_SECONDS)
        yield
    finally:
        os.close(handle)
