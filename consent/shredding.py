"""Destroying a subject's data so that the proof of what happened stays.

What is destroyed is the key of one (subject, retention class) and everything sealed under it; the log keeps its
entries, which commit to the content and say nothing of it. The wrapped key survives in write-ahead logs, dead rows and
backups, so until the key-encryption key of its epoch is destroyed too (consent.epochs) the state is ``shred_pending``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    update,
)

from consent.batch import Batch, Command, Refusal
from consent.holds import held_subjects
from consent.keys import read_ring
from consent.permits import close
from consent.places import RARE
from consent.rows import OPEN
from consent.safe import Safe, Tombstone, newest_stones
from consent.storage import among, execute_many, fetch, listed
from consent.tables import (
    consent_documents,
    consent_status,
    consents,
    keyring,
    log_entries,
    permits,
    sealed,
    subject_keys,
)
from consent.vault import RetentionClass
from schemas.base import Json
from schemas.errors import InvalidValue, NotFound, UnderHold

MOST = 256
"""Keys that one command destroys."""
SHREDDED = "shredded"
PENDING = "shred_pending"
PART = "part.granted"
"""The entry of a person's part names person and consent."""


class Reason(StrEnum):
    """Why, after PIPL 47."""

    PURPOSE_MET = "purpose_met"
    """The purpose was reached, cannot be reached, or needs the data no longer."""
    RETENTION_ENDED = "retention_ended"
    WITHDRAWN = "withdrawn"
    UNLAWFUL = "unlawful"
    """It was processed against the law or what was agreed."""
    REQUESTED = "requested"
    """Another case that law or regulation provides for."""


_SOME = func.length(subject_keys.c.wrapped) > literal_column("0")
_NONE = func.length(subject_keys.c.wrapped) == literal_column("0")
_NOTHING: BindParameter[bytes] = bindparam("nothing")
_EPOCH: BindParameter[int] = bindparam("in_epoch", type_=Integer)
_OLDEST: BindParameter[int] = bindparam("oldest", type_=Integer)
_DESTROY_KEY = (
    update(subject_keys)
    .where(
        subject_keys.c.subject == bindparam("of_subject"),
        subject_keys.c["class"] == bindparam("of_class"),
        subject_keys.c.version <= bindparam("up_to"),
        _SOME,
    )
    # In a backup from an epoch that is over, its own epoch was the last that could open it.
    .values(wrapped=_NOTHING, epoch=case((subject_keys.c.epoch < _OLDEST, subject_keys.c.epoch), else_=_EPOCH))
)
_DELETE_SEALED = delete(sealed).where(
    sealed.c.subject == bindparam("of_subject"),
    sealed.c["class"] == bindparam("of_class"),
    sealed.c.key_version <= bindparam("up_to"),
)
_CONSENTS_OF = select(consents.c.id).where(among(consents.c.subject, "subjects"))
_EMPTY_CONSENT = update(consents).where(consents.c.id == bindparam("of_consent")).values(digest=_NOTHING)
_DELETE_DOCUMENT = delete(consent_documents).where(consent_documents.c.consent_id == bindparam("of_consent"))
_EMPTY_REASONS = (
    update(consent_status)
    .where(consent_status.c.consent_id == bindparam("of_consent"))
    .values(reason=bindparam("no_reason"))
)
_COUNT = update(keyring).values(shreddings=keyring.c.shreddings + literal_column("1"))
_OPEN_PERMITS = select(permits.c.id).where(
    permits.c.outcome == bindparam("outcome"), among(permits.c.subject, "subjects")
)
_PERSONS = (
    select(log_entries.c.subject)
    .join_from(consents, log_entries, log_entries.c.consent == consents.c.id)
    .where(log_entries.c.event == bindparam("event"), RARE, among(consents.c.subject, "subjects"))
    .distinct()
    .order_by(log_entries.c.subject)
)
_LIVING = select(subject_keys.c.subject, subject_keys.c["class"], subject_keys.c.version).where(
    _SOME, among(subject_keys.c.subject, "subjects")
)
_DESTROYED = (
    select(subject_keys.c.epoch)
    .where(subject_keys.c.subject == bindparam("subject"), subject_keys.c["class"] == bindparam("class"), _NONE)
    .order_by(subject_keys.c.version.desc())
)


def shred_state(connection: Connection, subject: str, retention: RetentionClass) -> str | None:
    """What became of keys of this class that were destroyed; None where none was."""
    found = fetch(connection, _DESTROYED, **{"subject": subject, "class": retention.value})
    if not found:
        return None
    return SHREDDED if found[0][0] < read_ring(connection).oldest else PENDING


@dataclass(frozen=True, slots=True)
class Shredding:
    """A key that was destroyed now, and its state: pending, until its epoch ends."""

    subject: str
    retention: RetentionClass
    log_index: int
    state: str = PENDING


@dataclass(frozen=True, slots=True)
class Shred(Command[list[Shredding]]):
    """Destroy keys, and what is sealed under them, for one reason. Permits open on such a subject are closed. With the
    evidence of an enterprise go the parts of the persons in its consents, which are sealed under keys of their own.

    Answers with those that had anything to destroy. ``basis`` is the legal basis, in the log as it is: the name of a
    law, never of a person. Raises UnderHold, and NotFound where no subject is known; then nothing is destroyed.
    """

    targets: tuple[tuple[str, RetentionClass], ...]
    """(subject pseudonym, class), at most ``MOST``."""
    reason: Reason
    basis: str
    actor: str
    safe: Safe

    def __post_init__(self) -> None:
        if not 0 < len(self.targets) <= MOST or not 0 < len(self.basis) <= 200:
            raise InvalidValue(what="shredding")

    def needs(self, batch: Batch) -> None:
        subjects = {subject for subject, _ in self._all(batch.connection)}
        for subject in subjects:
            batch.keys.want(subject)
        for (permit_id,) in fetch(batch.connection, _OPEN_PERMITS, outcome=OPEN, subjects=listed(subjects)):
            batch.permits.want(permit_id)

    def decide(self, batch: Batch) -> list[Shredding] | Refusal:
        if held_subjects(batch.connection, {subject for subject, _ in self.targets}):
            return Refusal(UnderHold())
        stones = []
        for subject, retention in self._all(batch.connection):
            if key := batch.keys.find(subject, retention):
                stones.append(Tombstone(subject, retention.value, key.version, self.reason.value, self.basis))
        if not stones:
            return Refusal(NotFound(what="subject"))
        subjects = {stone.subject for stone in stones}
        for row in batch.permits.held():
            if row.outcome == OPEN and row.subject in subjects:
                close(batch, row, SHREDDED)
        # On disk outside the database before the commit: what was acknowledged as destroyed stays so after a restore.
        batch.finally_run(lambda _: self.safe.bury(stones))
        return destroy(batch, stones, self.actor)

    def _all(self, connection: Connection) -> list[tuple[str, RetentionClass]]:
        whose = {subject for subject, retention in self.targets if retention is RetentionClass.EVIDENCE}
        persons = fetch(connection, _PERSONS, event=PART, subjects=listed(whose)) if whose else []
        return [*self.targets, *((person, retention) for (person,) in persons for retention in RetentionClass)]


def destroy(batch: Batch, stones: Sequence[Tombstone], actor: str) -> list[Shredding]:
    """Log it, and destroy in the database what the tombstones name."""
    done = []
    for stone in stones:
        retention = RetentionClass(stone.retention)
        batch.keys.drop(stone.subject, retention)
        data: dict[str, Json] = {"class": stone.retention, "version": stone.version}
        data |= {"reason": stone.reason, "basis": stone.basis}
        index, _ = batch.append("subject.shredded", actor, None, stone.subject, data)
        done.append(Shredding(stone.subject, retention, index))

    evidence = [stone.subject for stone in stones if stone.retention == RetentionClass.EVIDENCE]
    # Those of now: one that is registered later in this transaction is sealed under a new key.
    emptied = [
        {"of_consent": consent_id, "nothing": b"", "no_reason": None}
        for (consent_id,) in fetch(batch.connection, _CONSENTS_OF, subjects=listed(evidence))
    ]

    def run(connection: Connection) -> None:
        ring = read_ring(connection)
        fixed = {"in_epoch": ring.epoch, "oldest": ring.oldest, "nothing": b""}
        rows = [{"of_subject": s.subject, "of_class": s.retention, "up_to": s.version, **fixed} for s in stones]
        execute_many(connection, _DESTROY_KEY, rows)
        execute_many(connection, _DELETE_SEALED, rows)
        execute_many(connection, _EMPTY_CONSENT, emptied)
        execute_many(connection, _DELETE_DOCUMENT, emptied)
        execute_many(connection, _EMPTY_REASONS, emptied)
        connection.execute(_COUNT)

    batch.finally_run(run)
    return done


@dataclass(frozen=True, slots=True)
class BuryAgain(Command[int]):
    """Destroy what the tombstones name and the database still holds: it was put back from an older backup, or a
    shredding was interrupted. Under a hold it waits for the first opening after its release. Answers how many keys.
    Raises ConfigurationError where they cannot be read."""

    safe: Safe
    actor: str

    def decide(self, batch: Batch) -> int:
        newest = newest_stones(self.safe.tombstones())
        subjects = sorted({subject for subject, _ in newest})
        living = set()
        for first in range(0, len(subjects), MOST):
            part = listed(subjects[first : first + MOST])
            for subject, kind, version in fetch(batch.connection, _LIVING, subjects=part):
                stone = newest.get((subject, kind))
                if stone is not None and version <= stone.version:
                    living.add(stone)
        held = held_subjects(batch.connection, {stone.subject for stone in living})
        living = {stone for stone in living if stone.subject not in held}
        if living:
            destroy(batch, sorted(living, key=lambda s: (s.subject, s.retention)), self.actor)
        return len(living)
