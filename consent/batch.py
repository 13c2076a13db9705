"""One transaction: commands name what they need, decide in their turn, and every table is written once.

A command that decides sees what the commands before it in the same transaction decided. A refusal is a decision like
any other: its log entry is committed and only then is the caller told.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy import Connection, Table, insert

from consent.keys import KeySet
from consent.ledger import Head, Page
from consent.log.merkle import Growth
from consent.request_rows import RequestSet
from consent.rows import ConsentSet, PermitSet
from consent.storage import write_all
from consent.tables import consent_status, consent_texts, profiles, sealed
from consent.text_rows import TextSet
from consent.vault import Vault
from schemas.base import utc_text
from schemas.errors import XinqiaoError
from schemas.events import EntryValue

R = TypeVar("R")

IDEMPOTENCY = timedelta(hours=24)
"""How long an idempotency key is remembered."""

_INSERT = {table: insert(table) for table in (consent_status, consent_texts, profiles, sealed)}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The caller gets ``error``, once what the command wrote has been committed."""

    error: XinqiaoError


@dataclass(frozen=True, slots=True)
class After(Generic[R]):
    """A result that needs the committed head: its checkpoint, or a proof up to it."""

    make: Callable[[Head, Growth], R]


class Command(ABC, Generic[R]):
    """One durable act. Both methods run in the writer thread and may run again after a roll-back."""

    def needs(self, batch: "Batch") -> None:
        """Name the rows that ``decide`` will look at."""

    @abstractmethod
    def decide(self, batch: "Batch") -> "R | Refusal | After[R]":
        """Decide, change the batch, and say what the caller gets."""


class Batch:
    """``now`` is the writer's clock, read once the write lock is held: every command of a batch has one time.
    ``began`` is monotonic and from before the lock was asked for: leases count from it."""

    def __init__(
        self,
        connection: Connection,
        page: Page,
        now: datetime,
        began: float,
        *,
        vault: Vault,
        permit_validity: timedelta,
    ) -> None:
        self.vault = vault
        self.now = now
        self.time = utc_text(now)
        self.permit_end = now + permit_validity
        self.permit_end_time = utc_text(self.permit_end)
        self.key_end_time = utc_text(now + IDEMPOTENCY)
        self.began = began
        self.consents = ConsentSet()
        self.permits = PermitSet()
        self.requests = RequestSet()
        self.texts = TextSet()
        self.keys = KeySet(vault)
        self.connection = connection
        self.page = page
        self._rows: dict[Table, list[dict[str, object]]] = {}
        self._last: list[Callable[[Connection], object]] = []

    def load(self) -> None:
        for permit in self.permits.load(self.connection, self.time):
            self.consents.want(permit.consent_id)
        for subject in self.consents.load(self.connection):
            self.keys.want(subject)
        self.requests.load(self.connection, self.time)
        self.texts.load(self.connection)
        self.keys.load(self.connection)
        self.consents.open(self.connection, self.vault, self.keys, self.now)

    def insert(self, table: Table, row: dict[str, object]) -> None:
        self._rows.setdefault(table, []).append(row)

    def finally_run(self, act: Callable[[Connection], object]) -> None:
        """One statement of a command's own, after all rows are written."""
        self._last.append(act)

    def append(
        self,
        event: str,
        actor: str,
        consent: str | None,
        subject: str | None,
        data: Mapping[str, EntryValue],
        id: str | None = None,
    ) -> tuple[int, bytes]:
        """The log index and the canonical bytes of the new entry."""
        return self.page.append(
            event,
            id=id or os.urandom(16).hex(),
            time=self.time,
            actor=actor,
            consent=consent,
            subject=subject,
            data=data,
        )

    def committed(self) -> None:
        """What may only be remembered once it is durable."""
        self.keys.keep()

    def write(self) -> tuple[Head, Growth]:
        writes = [
            *self.keys.writes(),
            *self.consents.writes(self.vault, self.keys),
            *self.permits.writes(),
            *self.requests.writes(),
            *((_INSERT[table], rows) for table, rows in self._rows.items()),
        ]
        if self._last:
            write_all(self.connection, writes)
            writes = []
            for act in self._last:
                act(self.connection)
        return self.page.write(writes)
