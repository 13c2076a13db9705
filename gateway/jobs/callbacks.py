"""Answers that platforms send by themselves: waited for under a permit, taken once, kept sealed until the profile has
them. docs/transport.md, «Callbacks», has the rules.

What is taken, its nonce and that the profile is due again are one commit; so is what the log says of a refusal.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from connectors.engine.callback import Heard
from connectors.ports import Arrived, Expected, Ticket
from consent.batch import Batch, Command, Refusal
from consent.policy import standing
from consent.rows import ISSUED, OPEN, PermitRow
from consent.vault import RetentionClass, Sealed, SubjectKey
from gateway.jobs.tables import callback_nonces, callbacks, late_profiles
from schemas.base import utc_text
from schemas.errors import CallbackConflict, CallbackEarly, CallbackEnded, CallbackRefused, ConsentSuspended, NotFound

LAST = timedelta(seconds=5)
"""Before its permit ends, so that the profile can still say what did not come."""
RESTS_SECONDS = 60

_TICKET, _BODY = "ticket", "body"


@dataclass(frozen=True, slots=True)
class _Waiting:
    permit_id: str
    place: str

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    @property
    def mine(self) -> ColumnElement[bool]:
        return (callbacks.c.permit_id == self.permit_id) & (callbacks.c.place == self.place)


@dataclass(frozen=True, slots=True)
class ExpectCallback(_Waiting, Command[None]):
    """See connectors.ports.StateStore.expect_callback. Raises NotFound for a permit that does not exist."""

    key: str

    def decide(self, batch: Batch) -> Refusal | None:
        permit = batch.permits.get(self.permit_id)
        if permit is None:
            return Refusal(NotFound(what="permit"))
        batch.connection.execute(delete(callbacks).where(self.mine))
        row = {"ticket_key": self.key, "permit_id": permit.id, "place": self.place, "told": False}
        batch.connection.execute(insert(callbacks).values(**row, valid_until=permit.valid_until))
        return None


@dataclass(frozen=True, slots=True)
class OpenCallback(_Waiting, Command[None]):
    """See connectors.ports.StateStore.open_callback."""

    ticket: Ticket = field(repr=False)
    seconds: float

    def decide(self, batch: Batch) -> None:
        permit = batch.permits.get(self.permit_id)
        key = batch.connection.scalar(select(callbacks.c.ticket_key).where(self.mine))
        if permit is None or key is None:
            return
        said = orjson.dumps([self.ticket.value, int(self.ticket.given_at), self.ticket.digest.hex()])
        subject = batch.keys.get(permit.subject, RetentionClass.PAYLOAD)
        until = min(batch.now + timedelta(seconds=self.seconds), datetime.fromisoformat(permit.valid_until) - LAST)
        change = {"expects": subject.seal("callbacks", f"{key}/{_TICKET}", said).packed(), "until": utc_text(until)}
        batch.connection.execute(update(callbacks).where(self.mine).values(change))


@dataclass(frozen=True, slots=True)
class FindCallback(_Waiting, Command[Expected | None]):
    """None also where the key that sealed it was destroyed."""

    def decide(self, batch: Batch) -> Expected | None:
        row = batch.connection.execute(select(callbacks).where(self.mine)).one_or_none()
        permit = batch.permits.get(self.permit_id)
        key = batch.keys.find(permit.subject, RetentionClass.PAYLOAD) if permit else None
        if row is None or row.expects is None or key is None or not _opens(key, row.expects):
            return None
        arrived = None
        if row.arrived is not None:
            digest, kind, body = orjson.loads(_opened(key, row, _BODY, row.arrived))
            arrived = Arrived(bytes.fromhex(digest), kind, b64decode(body))
        return Expected(_ticket(key, row), row.until, row.until <= batch.time, arrived)


@dataclass(frozen=True, slots=True)
class DropCallback(_Waiting, Command[None]):
    def decide(self, batch: Batch) -> None:
        batch.connection.execute(delete(callbacks).where(self.mine))


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a ticket of ours stands for."""

    permit_id: str
    connector: str
    dataset: str


def awaited(connection: Connection, key: str) -> Awaited | None:
    """``key`` is the ticket's SHA-256: who cannot name the ticket finds nothing, and learns nothing from the time."""
    row = connection.execute(
        select(callbacks.c.permit_id, callbacks.c.place).where(callbacks.c.ticket_key == key)
    ).one_or_none()
    return None if row is None else Awaited(row.permit_id, *row.place.split("/"))


@dataclass(frozen=True, slots=True)
class TakeCallback(Command[bool]):
    """Keep what a platform sent under a ticket; whether it is new. What came before in the same words is acknowledged
    again, and so is what only says that the answer comes later; neither is kept.

    Raises NotFound for a ticket that is gone, CallbackEarly, CallbackEnded where consent, permit or time have ended,
    CallbackConflict, and CallbackRefused for a nonce that came before.
    """

    key: str
    awaited: Awaited
    heard: Heard = field(repr=False)

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.awaited.permit_id)

    def decide(self, batch: Batch) -> bool | Refusal:
        row = batch.connection.execute(select(callbacks).where(callbacks.c.ticket_key == self.key)).one_or_none()
        permit = batch.permits.get(self.awaited.permit_id)
        if row is None or permit is None:
            return Refusal(NotFound(what="callback"))
        code = _stopped(batch, permit)
        if code == ConsentSuspended.code:
            return Refusal(CallbackEarly(retry_after=RESTS_SECONDS))
        if code is not None:
            self._tell(batch, row, permit, code)
            return Refusal(CallbackEnded())
        if row.expects is None:
            return Refusal(CallbackEarly(retry_after=1))
        key = batch.keys.find(permit.subject, RetentionClass.PAYLOAD)
        if key is None or not _opens(key, row.expects):
            return Refusal(CallbackEnded())
        content = key.commitment(self.key, _BODY, hashlib.sha256(self.heard.arrived.body).digest())
        other = row.content is not None and not hmac.compare_digest(row.content, content)
        if other or self.heard.ticket != _ticket(key, row).value:
            self._tell(batch, row, permit, CallbackConflict.code)
            return Refusal(CallbackConflict())
        if row.content is not None:
            return False
        if row.until <= batch.time or not self._has_a_reader(batch, permit):
            return Refusal(CallbackEnded())
        if not self._first(batch):
            return Refusal(CallbackRefused(why="replayed"))
        if self.heard.again:
            return False
        self._keep(batch, key, content)
        return True

    def _has_a_reader(self, batch: Batch, permit: PermitRow) -> bool:
        """Not where the profile was issued without waiting: its time was up before it knew what to wait for."""
        late = select(late_profiles.c.permit_id).where(late_profiles.c.permit_id == permit.id)
        return permit.outcome == OPEN or batch.connection.scalar(late) is not None

    def _first(self, batch: Batch) -> bool:
        """As connectors.ports.Nonces, for all processes."""
        nonce = hashlib.sha256(f"{self.awaited.connector}\x00{self.heard.nonce}".encode("utf-8", "replace")).hexdigest()
        mine = callback_nonces.c.nonce == nonce
        held = batch.connection.scalar(select(callback_nonces.c.until).where(mine))
        if held is not None and held > batch.time:
            return False
        until = utc_text(batch.now + timedelta(seconds=self.heard.seconds))
        batch.connection.execute(delete(callback_nonces).where(mine))
        batch.connection.execute(insert(callback_nonces).values(nonce=nonce, until=until))
        return True

    def _keep(self, batch: Batch, key: SubjectKey, content: str) -> None:
        arrived = self.heard.arrived
        said = orjson.dumps([arrived.digest.hex(), arrived.content_type, b64encode(arrived.body).decode()])
        change = {"content": content, "arrived": key.seal("callbacks", f"{self.key}/{_BODY}", said).packed()}
        batch.connection.execute(update(callbacks).where(callbacks.c.ticket_key == self.key).values(change))
        late = late_profiles.c.permit_id == self.awaited.permit_id
        batch.connection.execute(update(late_profiles).where(late).values(due=batch.time))

    def _tell(self, batch: Batch, row: Row[Any], permit: PermitRow, code: str) -> None:
        """Once for a ticket: a platform that sends it again and again does not fill the log."""
        if row.told:
            return
        about = {"permit": permit.id, "platform": self.awaited.connector, "dataset": self.awaited.dataset}
        batch.append("callback.refused", permit.lender, permit.consent_id, permit.subject, {**about, "code": code})
        batch.connection.execute(update(callbacks).where(callbacks.c.ticket_key == self.key).values(told=True))


def _stopped(batch: Batch, permit: PermitRow) -> str | None:
    """Why nothing more may be kept under a permit, or None."""
    held = batch.consents.get(permit.consent_id)
    if held is None or permit.valid_until <= batch.time:
        return "consent_expired"
    if permit.outcome not in (OPEN, ISSUED):
        return permit.outcome
    return standing(held.terms, held.state, batch.now)


def _opens(key: SubjectKey, packed: bytes) -> bool:
    return Sealed.unpacked(packed).key_version == key.version


def _opened(key: SubjectKey, row: Row[Any], what: str, packed: bytes) -> bytes:
    return key.open("callbacks", f"{row.ticket_key}/{what}", Sealed.unpacked(packed))


def _ticket(key: SubjectKey, row: Row[Any]) -> Ticket:
    value, given_at, digest = orjson.loads(_opened(key, row, _TICKET, row.expects))
    return Ticket(value, given_at, bytes.fromhex(digest))


def come(batch: Batch, permit_id: str) -> frozenset[str]:
    """The places of what came under a permit and no profile has yet."""
    waiting = (callbacks.c.permit_id == permit_id) & callbacks.c.arrived.is_not(None)
    return frozenset(batch.connection.scalars(select(callbacks.c.place).where(waiting)))


def destroy(batch: Batch, permit_id: str, places: Collection[str] | None = None) -> None:
    """What came of ``places`` (None: of all): what is left of them only knows it again."""
    mine = callbacks.c.permit_id == permit_id
    if places is not None:
        mine &= callbacks.c.place.in_(places)
    batch.connection.execute(update(callbacks).where(mine).values(arrived=None))


def forget(batch: Batch) -> None:
    """What has ended."""
    batch.connection.execute(delete(callbacks).where(callbacks.c.valid_until <= batch.time))
    batch.connection.execute(delete(callback_nonces).where(callback_nonces.c.until <= batch.time))
