"""The rows that commands decide on: consents, permits and idempotency keys.

Each set is told what is wanted, reads it with one query, hands out objects that the commands of the batch change in
their turn, and says what is new or changed: one bulk statement each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Connection, String, bindparam, func, insert, select, update

from consent.keys import KeySet
from consent.places import floor, permits_of
from consent.policy import Terms, View
from consent.storage import Writing, among, fetch, listed
from consent.tables import consent_documents, consents, idempotency, permits
from consent.vault import RetentionClass, SubjectKey, Vault
from schemas.base import utc_text
from schemas.consent import ConsentDocument, ConsentState

OPEN = "open"
ISSUED = "issued"
_STATES = {state.value: state for state in ConsentState}


@lru_cache(1024)
def terms_of(document: bytes) -> Terms:
    """The terms in a stored consent document; a document never changes, so the same bytes are read once."""
    return Terms.of(ConsentDocument.model_validate_json(document))


@dataclass(slots=True)
class ConsentRow:
    id: str
    subject: str
    document: bytes
    registered_at: str
    state: ConsentState
    version: int
    uses: int
    last_permit: int | None
    """The log index of its newest permit."""
    terms: Terms
    recent: int = 0
    opened: int = 0
    """Permits that this transaction opened under it."""
    new: bool = False
    changed: bool = False

    @classmethod
    def read(cls, row: Sequence[Any], vault: Vault, key: Callable[[], SubjectKey]) -> "ConsentRow":
        """From a row of ``CONSENT_ROWS``; ``key`` gives its subject's evidence key. Raises KeysUnavailable."""
        return cls.of(row, vault.open_document(row[0], row[2], row[8], key))

    @classmethod
    def of(cls, row: Sequence[Any], document: bytes) -> "ConsentRow":
        return cls(row[0], row[1], document, row[3], _STATES[row[4]], row[5], row[6], row[7], terms_of(document))

    def view(self) -> View:
        return View(self.terms, self.state, self.uses, self.recent)


_CONSENTS = select(
    consents.c.id,
    consents.c.subject,
    consents.c.digest,
    consents.c.registered_at,
    consents.c.state,
    consents.c.version,
    consents.c.uses,
    consents.c.last_permit,
)
CONSENT_ROWS = _CONSENTS.add_columns(consent_documents.c.document).join_from(consents, consent_documents, isouter=True)
"""Consents with their sealed documents. One whose document was destroyed has none, and an empty digest."""
_WANTED = _CONSENTS.where(among(consents.c.id, "ids"))
_DOCUMENTS = select(consent_documents.c.consent_id, consent_documents.c.document).where(
    among(consent_documents.c.consent_id, "ids")
)
_ASKED = select(consents.c.id).where(among(consents.c.id, "ids"))
_PERMITS_OF = permits_of(_ASKED, bindparam("floor", type_=String))
_RECENT = select(func.count()).select_from(_PERMITS_OF).where(_PERMITS_OF.c.granted_at > bindparam("since"))
_ADD_CONSENT = insert(consents)
_ADD_DOCUMENT = insert(consent_documents)
_CHANGE_CONSENT = (
    update(consents)
    .where(consents.c.id == bindparam("id"))
    .values(
        state=bindparam("state"),
        version=bindparam("version"),
        uses=bindparam("uses"),
        last_permit=bindparam("last_permit"),
    )
)


def _recent(connection: Connection, row: ConsentRow, now: datetime, days: int) -> int:
    """Permits of the last ``days`` days, those of the consents that this one amends among them."""
    ids = listed([row.id, *row.terms.grant.amends])
    since = utc_text(now - timedelta(days=days))
    return connection.scalar(_RECENT, {"ids": ids, "since": since, "floor": floor(since)}) or 0


class ConsentSet:
    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._found: list[tuple[Any, ...]] = []
        self._rows: dict[str, ConsentRow] = {}
        self._counted: dict[tuple[str, int], int] = {}
        self.destroyed: set[str] = set()
        """The ids of those wanted whose document is gone."""

    def want(self, consent_id: str) -> None:
        self._wanted.add(consent_id)

    def want_count(self, consent_id: str, days: int) -> None:
        """Also how many permits the consent, and those that it amends, had in the last ``days`` days."""
        self._wanted.add(consent_id)
        self._counted[consent_id, days] = 0

    def count(self, consent_id: str, days: int) -> int:
        return self._counted[consent_id, days] + self._rows[consent_id].opened

    def load(self, connection: Connection) -> list[str]:
        """Read what was wanted; answers with the subjects whose keys ``open`` needs."""
        self._found = fetch(connection, _WANTED, ids=listed(self._wanted)) if self._wanted else []
        return [row[1] for row in self._found]

    def open(self, connection: Connection, vault: Vault, keys: KeySet, now: datetime) -> None:
        """Open what was read, from what is stored only where it is not held open. Raises KeysUnavailable."""
        documents = {row[0]: vault.document(row[0], row[2]) for row in self._found if row[2]}
        closed = [consent_id for consent_id, document in documents.items() if document is None]
        stored = dict(fetch(connection, _DOCUMENTS, ids=listed(closed))) if closed else {}
        for row in self._found:
            if not row[2]:
                self.destroyed.add(row[0])  # At the end of its retention: there is nothing to decide on.
                continue
            document = documents[row[0]]
            if document is None:
                key = partial(keys.existing, row[1], RetentionClass.EVIDENCE)
                document = vault.open_document(row[0], row[2], stored.get(row[0]), key)
            held = ConsentRow.of(row, document)
            if frequency := held.terms.grant.frequency:
                held.recent = _recent(connection, held, now, frequency.days)
            self._rows[held.id] = held
        for consent_id, days in self._counted:
            if counted := self._rows.get(consent_id):
                self._counted[consent_id, days] = _recent(connection, counted, now, days)

    def get(self, consent_id: str) -> ConsentRow | None:
        return self._rows.get(consent_id)

    def registered(self) -> set[str]:
        """The subjects of the consents that this transaction registers."""
        return {row.subject for row in self._rows.values() if row.new}

    def add(self, row: ConsentRow) -> None:
        row.new = True
        self._rows[row.id] = row

    def writes(self, vault: Vault, keys: KeySet) -> list[Writing]:
        rows = self._rows.values()
        new: list[dict[str, object]] = []
        documents: list[dict[str, object]] = []
        for r in rows:
            if not r.new:
                continue
            key = keys.existing(r.subject, RetentionClass.EVIDENCE)
            packed, digest = vault.seal_document(r.id, r.document, key)
            documents.append({"consent_id": r.id, "document": packed})
            new.append(
                {
                    "id": r.id,
                    "grantee": r.terms.grant.grantee,
                    "subject": r.subject,
                    "digest": digest,
                    "registered_at": r.registered_at,
                    "valid_to": utc_text(r.terms.valid_to),
                    "retention_days": r.terms.grant.retention_days,
                    "state": r.state.value,
                    "version": r.version,
                    "uses": r.uses,
                    "last_permit": r.last_permit,
                }
            )
        changed = [r for r in rows if r.changed and not r.new]
        return [(_ADD_CONSENT, new), (_ADD_DOCUMENT, documents), (_CHANGE_CONSENT, changed)]


@dataclass(slots=True)
class PermitRow:
    id: str
    consent_id: str
    version: int
    lender: str
    subject: str
    granted_at: str
    valid_until: str
    log_index: int
    before: int | None
    """The log index of the permit before it under the same consent."""
    outcome: str = OPEN
    closed_at: str | None = None
    profile_id: str | None = None
    revision: int = 0
    new: bool = False
    changed: bool = False

    def close(self, outcome: str, at: str) -> None:
        self.outcome, self.closed_at, self.changed = outcome, at, True


@dataclass(slots=True)
class KeyRow:
    """An idempotency key of a lender, and the permit it stands for."""

    key: str
    lender: str
    digest: bytes
    permit_id: str
    expires: str
    new: bool = False
    changed: bool = False


_PERMIT_COLUMNS = (
    "id",
    "consent_id",
    "version",
    "lender",
    "subject",
    "granted_at",
    "valid_until",
    "log_index",
    "before",
    "outcome",
    "closed_at",
    "profile_id",
    "revision",
)
_PERMIT_ROWS = select(*(permits.c[name] for name in _PERMIT_COLUMNS))
_PERMITS = _PERMIT_ROWS.where(among(permits.c.id, "ids"))
_OVERDUE = (
    _PERMIT_ROWS.where(permits.c.outcome == OPEN, permits.c.valid_until <= bindparam("now"))
    .order_by(permits.c.valid_until)
    .limit(bindparam("most"))
)
_ADD_PERMIT = insert(permits)
_CHANGE_PERMIT = (
    update(permits)
    .where(permits.c.id == bindparam("id"))
    .values(
        outcome=bindparam("outcome"),
        closed_at=bindparam("closed_at"),
        profile_id=bindparam("profile_id"),
        revision=bindparam("revision"),
    )
)
_KEY_COLUMNS = ("key", "lender", "digest", "permit_id", "expires")
_KEYS = select(*(idempotency.c[name] for name in _KEY_COLUMNS)).where(among(idempotency.c.key, "keys"))
_ADD_KEY = insert(idempotency)
_CHANGE_KEY = (
    update(idempotency)
    .where(idempotency.c.key == bindparam("key"), idempotency.c.lender == bindparam("lender"))
    .values(digest=bindparam("digest"), permit_id=bindparam("permit_id"), expires=bindparam("expires"))
)


class PermitSet:
    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._wanted_keys: set[str] = set()
        self._most_overdue = 0
        self._rows: dict[str, PermitRow] = {}
        self._keys: dict[tuple[str, str], KeyRow] = {}
        self.overdue: list[PermitRow] = []

    def want(self, permit_id: str) -> None:
        self._wanted.add(permit_id)

    def want_key(self, key: str) -> None:
        self._wanted_keys.add(key)

    def want_overdue(self, most: int) -> None:
        """Open permits past their validity, oldest first."""
        self._most_overdue = most

    def load(self, connection: Connection, now: str) -> list[PermitRow]:
        """Read what was wanted and answer with it, except the overdue: closing them takes nothing of their consents."""
        if self._wanted_keys:
            for row in fetch(connection, _KEYS, keys=listed(self._wanted_keys)):
                known = KeyRow(*row)
                self._keys[known.lender, known.key] = known
                self._wanted.add(known.permit_id)
        if self._wanted:
            for row in fetch(connection, _PERMITS, ids=listed(self._wanted)):
                self._rows[row[0]] = PermitRow(*row)
        found = list(self._rows.values())
        if self._most_overdue:
            for row in connection.execute(_OVERDUE, {"now": now, "most": self._most_overdue}):
                self.overdue.append(self._rows.setdefault(row[0], PermitRow(*row)))
        return found

    def get(self, permit_id: str) -> PermitRow | None:
        return self._rows.get(permit_id)

    def held(self) -> list[PermitRow]:
        """All that were read or opened in this transaction."""
        return list(self._rows.values())

    def key(self, lender: str, key: str) -> KeyRow | None:
        return self._keys.get((lender, key))

    def add(self, row: PermitRow) -> None:
        row.new = True
        self._rows[row.id] = row

    def set_key(self, row: KeyRow) -> None:
        known = self._keys.get((row.lender, row.key))
        row.new = known is None or known.new
        row.changed = not row.new
        self._keys[row.lender, row.key] = row

    def writes(self) -> list[Writing]:
        rows, keys = self._rows.values(), self._keys.values()
        return [
            (_ADD_PERMIT, [r for r in rows if r.new]),
            (_CHANGE_PERMIT, [r for r in rows if r.changed and not r.new]),
            (_ADD_KEY, [k for k in keys if k.new]),
            (_CHANGE_KEY, [k for k in keys if k.changed]),
        ]
