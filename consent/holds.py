"""Legal hold: while one stands on a consent, nothing of its enterprise is destroyed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import Connection, bindparam, insert, select, update

from consent.batch import Batch, Command, Refusal
from consent.sealing import seal
from consent.storage import among, execute_many, fetch, listed
from consent.tables import holds
from consent.vault import RetentionClass
from schemas.errors import ConsentConflict, ConsentMissing

_HELD = select(holds.c.subject).where(holds.c.released_at.is_(None), among(holds.c.subject, "subjects")).distinct()
_STANDING = select(holds.c.id).where(holds.c.consent_id == bindparam("consent"), holds.c.released_at.is_(None))
_ALL = select(holds.c.consent_id).where(holds.c.released_at.is_(None)).order_by(holds.c.consent_id)
_ADD = insert(holds)
_RELEASE = update(holds).where(holds.c.id == bindparam("key")).values(released_at=bindparam("at"))


def held_subjects(connection: Connection, subjects: Iterable[str]) -> set[str]:
    return {subject for (subject,) in fetch(connection, _HELD, subjects=listed(subjects))}


def held_consents(connection: Connection) -> list[str]:
    """The consents on which a hold stands."""
    return [consent_id for (consent_id,) in fetch(connection, _ALL)]


@dataclass(frozen=True, slots=True)
class PlaceHold(Command[str]):
    """Freeze deletion for the enterprise of a consent; answers with the hold's id. The reason is sealed under the
    evidence key, which is frozen too. Raises ConsentMissing, and ConsentConflict where a hold stands already."""

    consent_id: str
    actor: str
    reason: str = field(repr=False)

    def needs(self, batch: Batch) -> None:
        batch.consents.want(self.consent_id)

    def decide(self, batch: Batch) -> str | Refusal:
        row = batch.consents.get(self.consent_id)
        if row is None:
            return Refusal(ConsentMissing())
        if fetch(batch.connection, _STANDING, consent=row.id):
            return Refusal(ConsentConflict(what="hold"))
        hold = uuid4().hex
        key = batch.keys.get(row.subject, RetentionClass.EVIDENCE)
        commitment = seal(batch, key, hold, "hold", "hold", self.reason.encode())
        index, _ = batch.append("hold.placed", self.actor, row.id, row.subject, {"commitment": commitment}, id=hold)
        added = {
            "id": hold,
            "consent_id": row.id,
            "subject": row.subject,
            "placed_at": batch.time,
            "released_at": None,
            "log_index": index,
        }
        # At once: a shredding behind it in the same transaction must find it.
        execute_many(batch.connection, _ADD, [added])
        return hold


@dataclass(frozen=True, slots=True)
class ReleaseHold(Command[str]):
    """Let deletion go on; answers with the hold's id. Raises ConsentMissing, and ConsentConflict where none stands."""

    consent_id: str
    actor: str

    def needs(self, batch: Batch) -> None:
        batch.consents.want(self.consent_id)

    def decide(self, batch: Batch) -> str | Refusal:
        row = batch.consents.get(self.consent_id)
        if row is None:
            return Refusal(ConsentMissing())
        standing = fetch(batch.connection, _STANDING, consent=row.id)
        if not standing:
            return Refusal(ConsentConflict(what="hold"))
        hold: str = standing[0][0]
        batch.append("hold.released", self.actor, row.id, row.subject, {"hold": hold})
        execute_many(batch.connection, _RELEASE, [{"key": hold, "at": batch.time}])
        return hold
