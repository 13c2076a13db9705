"""Profiles with an answer still to come: remembered in the commit that issues them, and asked for again by one process.

A lease on the row says which one; it lapses where the process dies, and the next one goes on.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from consent.batch import After, Batch, Command, Refusal
from consent.permits import Agreed, Permit
from consent.profiles import Issued, IssueProfile
from consent.vault import RetentionClass, Sealed, SubjectKey
from gateway.jobs import callbacks
from gateway.jobs.tables import late_profiles, tickets
from schemas.base import utc_text

MOST = 64
"""Profiles that one look takes up."""


@dataclass(frozen=True, slots=True)
class IssuePending(Command[Issued]):
    """IssueProfile and, in the same commit, what is still to come: ``work`` from ``due`` on, or (None) nothing more.

    A profile that is withheld has nothing to come either.
    """

    issue: IssueProfile
    work: bytes | None = field(repr=False)
    due: str | None
    read: frozenset[str] = frozenset()
    """The places whose callbacks the profile has now."""

    def needs(self, batch: Batch) -> None:
        self.issue.needs(batch)

    def decide(self, batch: Batch) -> Issued | Refusal | After[Issued]:
        made = self.issue.decide(batch)
        permit_id = self.issue.permit_id
        permit = batch.permits.get(permit_id)
        batch.connection.execute(delete(late_profiles).where(_of(permit_id)))
        if permit is None or self.work is None or isinstance(made, Refusal):
            _forget(batch, permit_id)
            return made
        callbacks.destroy(batch, permit_id, self.read)
        key = batch.keys.get(permit.subject, RetentionClass.PAYLOAD)
        row = {
            "permit_id": permit_id,
            "work": key.seal("late_profiles", permit_id, self.work).packed(),
            "due": batch.time if callbacks.come(batch, permit_id) else self.due,
            "valid_until": permit.valid_until,
        }
        batch.connection.execute(insert(late_profiles).values(row))
        return made


def _of(permit_id: str) -> ColumnElement[bool]:
    return late_profiles.c.permit_id == permit_id


def _opens(key: SubjectKey, packed: bytes) -> bool:
    return Sealed.unpacked(packed).key_version == key.version


def _forget(batch: Batch, permit_id: str) -> None:
    callbacks.destroy(batch, permit_id)
    batch.connection.execute(delete(tickets).where(tickets.c.permit_id == permit_id))


def due(connection: Connection, now: str) -> list[str]:
    """The permits under which something is to be asked again and nobody does, the longest overdue first."""
    rows = select(late_profiles.c.permit_id).where(late_profiles.c.due <= now, _free(now))
    return list(connection.scalars(rows.order_by(late_profiles.c.due).limit(MOST)))


def _free(now: str) -> ColumnElement[bool]:
    return late_profiles.c.leased_until.is_(None) | (late_profiles.c.leased_until <= now)


@dataclass(frozen=True, slots=True)
class Late:
    """What to ask again, and the leave to do so. ``come``: the places whose callbacks have come."""

    permit: Permit
    work: bytes = field(repr=False)
    come: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClaimLate(Command[Late | None]):
    """For the one process that asks again, for ``seconds``. None where another one does, and where nothing more may
    come: the permit has ended, or the key of what is remembered was destroyed."""

    permit_id: str
    holder: str
    seconds: float

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    def decide(self, batch: Batch) -> Late | None:
        held = select(late_profiles).where(_of(self.permit_id), late_profiles.c.due <= batch.time, _free(batch.time))
        row = batch.connection.execute(held).one_or_none()
        permit = batch.permits.get(self.permit_id)
        if row is None or permit is None:
            return None
        consent = batch.consents.get(permit.consent_id)
        key = batch.keys.find(permit.subject, RetentionClass.PAYLOAD)
        if consent is None or key is None or not _opens(key, row.work) or permit.valid_until <= batch.time:
            batch.connection.execute(delete(late_profiles).where(_of(self.permit_id)))
            _forget(batch, self.permit_id)
            return None
        lease = {"leased_by": self.holder, "leased_until": utc_text(batch.now + timedelta(seconds=self.seconds))}
        batch.connection.execute(update(late_profiles).where(_of(self.permit_id)).values(lease))
        return Late(
            Permit(
                permit.id,
                Agreed(consent.id, consent.terms.grant, consent.uses, consent.version),
                (),
                datetime.fromisoformat(permit.valid_until),
                permit.log_index,
                datetime.fromisoformat(permit.granted_at),
                None,
                # Nothing was decided about the consent here: the guard asks before the first call.
                float("-inf"),
                key,
            ),
            key.open("late_profiles", permit.id, Sealed.unpacked(row.work)),
            callbacks.come(batch, permit.id),
        )


@dataclass(frozen=True, slots=True)
class Postpone(Command[None]):
    """Nothing new: give the lease back until ``due``, with ``work`` as it is now, or at once where a callback came
    beside those that were ``known``; nothing more comes of what was shredded."""

    permit_id: str
    holder: str
    due: str
    work: bytes = field(repr=False)
    known: frozenset[str] = frozenset()

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    def decide(self, batch: Batch) -> None:
        permit = batch.permits.get(self.permit_id)
        key = batch.keys.find(permit.subject, RetentionClass.PAYLOAD) if permit else None
        mine = _of(self.permit_id) & (late_profiles.c.leased_by == self.holder)
        kept = batch.connection.scalar(select(late_profiles.c.work).where(mine))
        if kept is None:
            return
        if key is None or not _opens(key, kept):
            # Shredded meanwhile: it is not sealed anew under the key of a later request.
            batch.connection.execute(delete(late_profiles).where(mine))
            _forget(batch, self.permit_id)
            return
        work = key.seal("late_profiles", self.permit_id, self.work).packed()
        due = self.due if callbacks.come(batch, self.permit_id) <= self.known else batch.time
        change = {"due": due, "work": work, "leased_by": None, "leased_until": None}
        batch.connection.execute(update(late_profiles).where(mine).values(change))


@dataclass(frozen=True, slots=True)
class Abandon(Command[None]):
    """Nothing more may come of it."""

    permit_id: str

    def decide(self, batch: Batch) -> None:
        batch.connection.execute(delete(late_profiles).where(_of(self.permit_id)))
        _forget(batch, self.permit_id)


@dataclass(frozen=True, slots=True)
class ReleaseLate(Command[None]):
    """A process that ends gives its leases back."""

    holder: str

    def decide(self, batch: Batch) -> None:
        held = late_profiles.c.leased_by == self.holder
        batch.connection.execute(update(late_profiles).where(held).values(leased_by=None, leased_until=None))


@dataclass(frozen=True, slots=True)
class ForgetLate(Command[None]):
    """Take away what is left of permits that have ended."""

    def decide(self, batch: Batch) -> None:
        for table in (late_profiles, tickets):
            batch.connection.execute(delete(table).where(table.c.valid_until <= batch.time))
        callbacks.forget(batch)
