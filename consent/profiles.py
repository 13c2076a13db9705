"""Issuing profiles, and the other events that are only recorded."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select

from consent.batch import After, Batch, Command, Refusal
from consent.ledger import Head
from consent.log.merkle import Growth
from consent.log.origins import Origin
from consent.policy import standing
from consent.rows import ISSUED, OPEN, PermitRow
from consent.sealing import seal, sealed_list
from consent.storage import fetch
from consent.tables import profiles, sealed
from consent.vault import RetentionClass
from schemas.base import Json
from schemas.canonical import canonical
from schemas.errors import CONSENT_ERRORS, ConsentConflict, NotFound

_SEALED_UNDER = select(sealed.c.key_version).where(sealed.c.id == bindparam("place"))


def profile_entry(profile_id: str, revision: int) -> str:
    """The id of the log entry that will hold a profile: payload commitments are made under it beforehand."""
    return f"{profile_id}.{revision}"


def reply_name(platform: str, dataset: str) -> str:
    """The payload name of what is kept of one source's reply."""
    return f"reply/{platform}/{dataset}"


@dataclass(frozen=True, slots=True)
class SealedSource:
    """What is kept of one source's reply: JSON with the ``digest`` of the raw bytes, the ``fields`` that were asked for
    (in order) and the filtered ``records``."""

    platform: str
    dataset: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one source ended; ``commitment`` (hex) is the one that the profile shows, to the payload of SealedSource.
    ``origin`` says where an answer came from that no call under this permit brought."""

    platform: str
    dataset: str
    state: str
    reason: str | None
    commitment: str | None
    origin: Origin | None = None

    def listed(self) -> list[Json]:
        """As the entry has it."""
        told: list[Json] = [self.platform, self.dataset, self.state, self.reason, self.commitment]
        return told if self.origin is None else [*told, list(self.origin)]


@dataclass(frozen=True, slots=True)
class Issued:
    """Where a released profile stands: entry ``index`` in the tree of ``size`` that ``checkpoint`` signs.

    ``proof`` is the inclusion proof (RFC 6962 section 2.1.1), base64, leaf to root; ``entry`` the canonical bytes.
    """

    index: int
    size: int
    checkpoint: str
    proof: tuple[str, ...]
    entry: bytes


@dataclass(frozen=True, slots=True)
class IssueProfile(Command[Issued]):
    """Seal a signed profile with its records, log it and close its permit; only then may it be released.

    ``revision`` is 1, or one more than the newest where a late answer came within the permit's validity. A consent
    that no longer holds closes the permit and withholds the profile: the ConsentError is raised. Raises NotFound and
    ConsentConflict for a permit that does not exist or is not open to this revision.
    """

    permit_id: str
    profile_id: str
    revision: int
    jws: bytes = field(repr=False)
    records: tuple[SealedSource, ...]
    outcomes: tuple[Outcome, ...]

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    def decide(self, batch: Batch) -> Issued | Refusal | After[Issued]:
        row = batch.permits.get(self.permit_id)
        if row is None:
            return Refusal(NotFound(what="permit"))
        next_revision = row.outcome == ISSUED and row.profile_id == self.profile_id
        if not (row.outcome == OPEN or next_revision) or self.revision != row.revision + 1:
            return Refusal(ConsentConflict(what="permit", state=row.outcome))
        if next_revision and self._destroyed(batch, row):
            return Refusal(ConsentConflict(what="permit", state="shredded"))
        if code := self._stopped(batch, row):
            if row.outcome == OPEN:
                row.close(code, batch.time)
            batch.append(
                "profile.withheld",
                row.lender,
                row.consent_id,
                row.subject,
                {"permit": row.id, "profile": self.profile_id, "code": code},
            )
            return Refusal(CONSENT_ERRORS[code]())
        return self._issue(batch, row)

    def _destroyed(self, batch: Batch, row: PermitRow) -> bool:
        """Whether the revision before this one was shredded: a late answer brings nothing of it back."""
        before = fetch(batch.connection, _SEALED_UNDER, place=f"{profile_entry(self.profile_id, row.revision)}/profile")
        key = batch.keys.find(row.subject, RetentionClass.PAYLOAD)
        return bool(row.revision) and (key is None or not before or before[0][0] != key.version)

    def _stopped(self, batch: Batch, row: PermitRow) -> str | None:
        held = batch.consents.get(row.consent_id)
        assert held is not None  # noqa: S101 - a foreign key, and loaded with the permit
        if batch.time >= row.valid_until:
            return "consent_expired"
        return standing(held.terms, held.state, batch.now)

    def _issue(self, batch: Batch, row: PermitRow) -> After[Issued]:
        entry_id = profile_entry(self.profile_id, self.revision)
        key = batch.keys.get(row.subject, RetentionClass.PAYLOAD)
        for source in self.records:
            name = reply_name(source.platform, source.dataset)
            seal(batch, key, entry_id, name, "reply", source.payload)
        listed = canonical([outcome.listed() for outcome in self.outcomes])
        index, entry = batch.append(
            "profile.issued",
            row.lender,
            row.consent_id,
            row.subject,
            {
                "permit": row.id,
                "profile": self.profile_id,
                "revision": self.revision,
                "commitment": seal(batch, key, entry_id, "profile", "profile", self.jws),
                "sources": sealed_list(batch, key, entry_id, "sources", listed),
            },
            id=entry_id,
        )
        batch.insert(
            profiles,
            {
                "id": self.profile_id,
                "revision": self.revision,
                "permit_id": row.id,
                "lender": row.lender,
                "consent_id": row.consent_id,
                "subject": row.subject,
                "log_index": index,
                "issued_at": batch.time,
            },
        )
        row.close(ISSUED, batch.time)
        row.profile_id, row.revision = self.profile_id, self.revision

        def issued(head: Head, growth: Growth) -> Issued:
            proof = tuple(base64.b64encode(node).decode() for node in growth.inclusion(index))
            return Issued(index, head.size, head.checkpoint, proof, entry)

        return After(issued)


def access_refused(actor: str, code: str, operation: str, consent_id: str | None) -> "RecordEvent":
    """Somebody asked for what is not theirs; ``consent_id`` only where the object exists and hangs on that consent."""
    return RecordEvent("access.refused", actor, consent_id, None, {"code": code, "operation": operation})


@dataclass(frozen=True, slots=True)
class RecordEvent(Command[int]):
    """Append one event of schemas.events that changes nothing else; answers with its index.

    ``subject`` is a pseudonym. Raises InvalidValue for fields that are not the event's.
    """

    event: str
    actor: str
    consent: str | None
    subject: str | None
    data: Mapping[str, Json]

    def decide(self, batch: Batch) -> int:
        return batch.append(self.event, self.actor, self.consent, self.subject, self.data)[0]
