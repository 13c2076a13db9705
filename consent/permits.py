"""Permits: counted uses of a consent.

A use is a permit, not a call: retries and late answers within the permit's validity are the same use. One commit holds
the counted use, the idempotency row and the log entry; without it no platform is called.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete

from consent.batch import Batch, Command, Refusal
from consent.policy import CACHED, Ask, Granted, PermitItem, Refused, YearMonth, decide
from consent.rows import ISSUED, OPEN, ConsentRow, KeyRow, PermitRow
from consent.sealing import sealed_list
from consent.tables import idempotency
from consent.vault import RetentionClass, SubjectKey
from schemas.base import utc_text
from schemas.canonical import canonical
from schemas.consent import ConsentDocument
from schemas.errors import CONSENT_ERRORS, IdempotencyMismatch, IdempotencyRunning, NotFound
from schemas.events import EntryValue

OUTCOME_UNKNOWN = "outcome_unknown"
SWEEP = 256
_NOBODY: frozenset[str] = frozenset()

_FORGET_KEYS = delete(idempotency).where(idempotency.c.expires <= bindparam("now"))


class Agreed(NamedTuple):
    """The consent that a permit was opened under, as it stood then; ``uses`` counts this one."""

    id: str
    grant: ConsentDocument
    uses: int
    version: int


class Permit(NamedTuple):
    """Leave to ask platforms for ``items`` until ``valid_until``.

    ``replay`` is the id of the profile that this idempotency key already has; then ``items`` is empty and nothing may
    be asked. ``checked_at`` (monotonic seconds) is when the consent was last known to be good. ``key`` commits to
    payloads under the subject's payload key.
    """

    id: str
    consent: Agreed
    items: tuple[PermitItem, ...]
    valid_until: datetime
    log_index: int
    granted_at: datetime
    replay: str | None
    checked_at: float
    key: SubjectKey


@dataclass(frozen=True, slots=True)
class OpenPermit(Command[Permit]):
    """Count one use, or say why not. Months are (year, month), both inside the period.

    ``request_digest`` tells whether an idempotency key came with the same request. A key whose request failed gets
    its own permit back while that is valid; a refused request leaves no key behind.
    Raises ConsentError, IdempotencyMismatch or IdempotencyRunning.
    """

    permit_id: str
    lender: str
    idempotency_key: str | None
    request_digest: bytes
    consent_id: str
    subject_uscc: str
    subject_name: str
    purpose: str
    items: tuple[PermitItem, ...]
    first: YearMonth
    last: YearMonth
    persons: tuple[tuple[str, str], ...] = ()
    """(role, ref) of the persons who are asked about beside the enterprise."""
    officer: str | None = None
    """Who of the lender asks, by the lender's own staff reference; the log holds a pseudonym."""

    def needs(self, batch: Batch) -> None:
        batch.consents.want(self.consent_id)
        if self.idempotency_key is not None:
            batch.permits.want_key(self.idempotency_key)

    def decide(self, batch: Batch) -> Permit | Refusal:
        earlier = None
        if self.idempotency_key is not None:
            known = batch.permits.key(self.lender, self.idempotency_key)
            if known is not None and known.expires > batch.time:
                if known.digest != self.request_digest:
                    return Refusal(IdempotencyMismatch())
                earlier = batch.permits.get(known.permit_id)
        if earlier is not None:
            if earlier.outcome == ISSUED:
                return self._permit(batch, earlier, (), earlier.profile_id)
            if earlier.valid_until <= batch.time or earlier.outcome == OUTCOME_UNKNOWN:
                earlier = None
            elif earlier.outcome == OPEN:
                return Refusal(IdempotencyRunning())
        held = batch.consents.get(self.consent_id)
        ask = Ask(
            self.lender,
            self.subject_uscc,
            self.subject_name,
            self.purpose,
            self.items,
            self.first,
            self.last,
            frozenset(batch.vault.person(self.subject_uscc, *whom) for whom in self.persons)
            if self.persons
            else _NOBODY,
        )
        decision = decide(held.view() if held else None, ask, batch.now, counted=earlier is None)
        if isinstance(decision, Refused) or held is None:
            return self._refuse(batch, held, decision)
        row = self._open(batch, held, decision) if earlier is None else self._resume(batch, earlier, decision)
        return self._permit(batch, row, decision.items, None)

    def _refuse(self, batch: Batch, held: ConsentRow | None, decision: Refused | Granted) -> Refusal:
        assert isinstance(decision, Refused)  # noqa: S101 - without a consent the policy only refuses
        batch.append(
            "permit.refused",
            self.lender,
            # An id that names no consent is the caller's own text and stays out of the log.
            held.id if held else None,
            batch.vault.pseudonym(self.subject_uscc),
            {
                "code": decision.code,
                "purpose": self.purpose,
                "items": len(self.items),
                "officer": self._officer(batch),
            },
        )
        return Refusal(CONSENT_ERRORS[decision.code](**decision.details))

    def _open(self, batch: Batch, held: ConsentRow, decision: Granted) -> PermitRow:
        held.uses, held.recent, held.opened, held.changed = held.uses + 1, held.recent + 1, held.opened + 1, True
        ends_first = held.terms.valid_to < batch.permit_end
        valid_until = utc_text(held.terms.valid_to) if ends_first else batch.permit_end_time
        key = batch.keys.get(held.subject, RetentionClass.PAYLOAD)
        index, _ = batch.append(
            "permit.granted",
            self.lender,
            held.id,
            held.subject,
            {
                "permit": self.permit_id,
                "version": held.version,
                "use": held.uses,
                "purpose": self.purpose,
                "assurance": held.terms.grant.assurance.value,
                "valid_until": valid_until,
                **self._asked(batch, key, self.permit_id, decision),
            },
            id=self.permit_id,
        )
        row = PermitRow(
            self.permit_id,
            held.id,
            held.version,
            self.lender,
            held.subject,
            batch.time,
            valid_until,
            index,
            held.last_permit,
        )
        held.last_permit = index
        batch.permits.add(row)
        if self.idempotency_key is not None:
            batch.permits.set_key(
                KeyRow(self.idempotency_key, self.lender, self.request_digest, self.permit_id, batch.key_end_time)
            )
        return row

    def _resume(self, batch: Batch, row: PermitRow, decision: Granted) -> PermitRow:
        row.outcome, row.closed_at, row.changed = OPEN, None, True
        # Months pass and connectors come and go between two tries: what may be asked now is named again.
        entry_id = os.urandom(16).hex()
        key = batch.keys.get(row.subject, RetentionClass.PAYLOAD)
        asked = self._asked(batch, key, entry_id, decision)
        batch.append(
            "permit.resumed", self.lender, row.consent_id, row.subject, {"permit": row.id, **asked}, id=entry_id
        )
        return row

    def _asked(self, batch: Batch, key: SubjectKey, entry_id: str, decision: Granted) -> dict[str, EntryValue]:
        return {
            "officer": self._officer(batch),
            "first": _month(self.first),
            "last": _month(self.last),
            "items": sealed_list(batch, key, entry_id, "items", _listed(decision.items)),
        }

    def _officer(self, batch: Batch) -> str | None:
        return None if self.officer is None else batch.vault.officer(self.lender, self.officer)

    def _permit(self, batch: Batch, row: PermitRow, items: tuple[PermitItem, ...], replay: str | None) -> Permit:
        held = batch.consents.get(row.consent_id)
        assert held is not None  # noqa: S101 - a foreign key, and loaded with the permit
        return Permit(
            row.id,
            Agreed(held.id, held.terms.grant, held.uses, held.version),
            items,
            datetime.fromisoformat(row.valid_until),
            row.log_index,
            datetime.fromisoformat(row.granted_at),
            replay,
            batch.began,
            batch.keys.get(row.subject, RetentionClass.PAYLOAD),
        )


@lru_cache(CACHED)
def _listed(items: tuple[PermitItem, ...]) -> bytes:
    """As canonical JSON, in one order for equal items."""
    return canonical(
        [
            [item.platform, item.dataset, sorted(item.fields), *_longer(item)]
            for item in sorted(items, key=lambda i: (i.platform, i.dataset, i.person or "", i.outlet or ""))
        ]
    )


def _longer(item: PermitItem) -> tuple[str | None, ...]:
    if item.outlet:
        return item.person, item.outlet
    return (item.person,) if item.person else ()


def _month(month: YearMonth) -> str:
    return f"{month[0]:04}-{month[1]:02}"


def close(batch: Batch, row: PermitRow, code: str) -> None:
    """End an open permit without a profile."""
    row.close(code, batch.time)
    batch.append("permit.closed", row.lender, row.consent_id, row.subject, {"permit": row.id, "code": code})


@dataclass(frozen=True, slots=True)
class CloseFailed(Command[None]):
    """The request failed after its permit; ``code`` is the error's. Closing what is closed changes nothing.

    Raises NotFound.
    """

    permit_id: str
    code: str

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    def decide(self, batch: Batch) -> Refusal | None:
        row = batch.permits.get(self.permit_id)
        if row is None:
            return Refusal(NotFound(what="permit"))
        if row.outcome == OPEN:
            close(batch, row, self.code)
        return None


@dataclass(frozen=True, slots=True)
class Sweep(Command[int]):
    """Close permits that nobody closed within their validity (at most ``SWEEP``), and forget expired keys.

    Answers how many permits were closed.
    """

    def needs(self, batch: Batch) -> None:
        batch.permits.want_overdue(SWEEP)

    def decide(self, batch: Batch) -> int:
        orphans = [row for row in batch.permits.overdue if row.outcome == OPEN]
        for row in orphans:
            close(batch, row, OUTCOME_UNKNOWN)
        now = batch.time

        def forget(connection: Connection) -> None:
            connection.execute(_FORGET_KEYS, {"now": now})

        batch.finally_run(forget)
        return len(orphans)
