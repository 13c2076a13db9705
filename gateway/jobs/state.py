"""What connectors remember beyond one fetch, in the database: connectors.ports.StateStore."""

from dataclasses import dataclass, field

import orjson
from sqlalchemy import ColumnElement, delete, insert, select, update

from connectors.ports import Expected, Ticket
from consent.batch import Batch, Command, Refusal
from consent.evidence import Evidence
from consent.vault import RetentionClass, Sealed
from gateway.jobs.callbacks import DropCallback, ExpectCallback, FindCallback, OpenCallback
from gateway.jobs.tables import platform_quotas, tickets
from schemas.errors import NotFound


@dataclass(frozen=True, slots=True)
class _TicketCommand:
    permit_id: str
    place: str

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    @property
    def row(self) -> str:
        return f"{self.permit_id}/{self.place}"


@dataclass(frozen=True, slots=True)
class KeepTicket(_TicketCommand, Command[None]):
    """Held as long as its permit. Raises NotFound for a permit that does not exist."""

    ticket: Ticket = field(repr=False)

    def decide(self, batch: Batch) -> Refusal | None:
        permit = batch.permits.get(self.permit_id)
        if permit is None:
            return Refusal(NotFound(what="permit"))
        key = batch.keys.get(permit.subject, RetentionClass.PAYLOAD)
        said = orjson.dumps([self.ticket.value, int(self.ticket.given_at), self.ticket.digest.hex()])
        batch.connection.execute(delete(tickets).where(_one(self)))
        batch.connection.execute(
            insert(tickets).values(
                permit_id=self.permit_id,
                place=self.place,
                ticket=key.seal("tickets", self.row, said).packed(),
                valid_until=permit.valid_until,
            )
        )
        return None


@dataclass(frozen=True, slots=True)
class FindTicket(_TicketCommand, Command[Ticket | None]):
    """None also where the key that sealed it was destroyed."""

    def decide(self, batch: Batch) -> Ticket | None:
        permit = batch.permits.get(self.permit_id)
        packed = batch.connection.scalar(select(tickets.c.ticket).where(_one(self)))
        key = batch.keys.find(permit.subject, RetentionClass.PAYLOAD) if permit else None
        if key is None or packed is None or (kept := Sealed.unpacked(packed)).key_version != key.version:
            return None
        value, given_at, digest = orjson.loads(key.open("tickets", self.row, kept))
        return Ticket(value, given_at, bytes.fromhex(digest))


@dataclass(frozen=True, slots=True)
class DropTicket(_TicketCommand, Command[None]):
    def decide(self, batch: Batch) -> None:
        batch.connection.execute(delete(tickets).where(_one(self)))


@dataclass(frozen=True, slots=True)
class TakeQuota(Command[int]):
    """See connectors.ports.StateStore.take_quota. Days before this one are forgotten."""

    platform: str
    day: str
    wanted: int
    daily: int

    def decide(self, batch: Batch) -> int:
        table, connection = platform_quotas, batch.connection
        today = (table.c.platform == self.platform) & (table.c.day == self.day)
        used = connection.scalar(select(table.c.used).where(today))
        given = max(0, min(self.wanted, self.daily - (used or 0)))
        if used is None:
            connection.execute(delete(table).where(table.c.platform == self.platform, table.c.day < self.day))
            connection.execute(insert(table).values(platform=self.platform, day=self.day, used=given))
        elif given:
            connection.execute(update(table).where(today).values(used=used + given))
        return given


def _one(command: _TicketCommand) -> ColumnElement[bool]:
    return (tickets.c.permit_id == command.permit_id) & (tickets.c.place == command.place)


class DatabaseState:
    """Shared by all processes on one database. Connectors are made with it before the database is open, so that what is
    wrong with them is known first."""

    _evidence: Evidence

    def open(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def ticket(self, use: str, place: str) -> Ticket | None:
        return await self._evidence.submit(FindTicket(use, place))

    async def keep_ticket(self, use: str, place: str, ticket: Ticket) -> None:
        await self._evidence.submit(KeepTicket(use, place, ticket))

    async def drop_ticket(self, use: str, place: str) -> None:
        await self._evidence.submit(DropTicket(use, place))

    async def expect_callback(self, use: str, place: str, key: str) -> None:
        await self._evidence.submit(ExpectCallback(use, place, key))

    async def open_callback(self, use: str, place: str, ticket: Ticket, seconds: float) -> None:
        await self._evidence.submit(OpenCallback(use, place, ticket, seconds))

    async def callback(self, use: str, place: str) -> Expected | None:
        return await self._evidence.submit(FindCallback(use, place))

    async def drop_callback(self, use: str, place: str) -> None:
        await self._evidence.submit(DropCallback(use, place))

    async def take_quota(self, platform: str, day: str, wanted: int, daily: int) -> int:
        return await self._evidence.submit(TakeQuota(platform, day, wanted, daily))
