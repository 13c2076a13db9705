"""Do the rows still say what the log says?

The log cannot be changed unseen, but decisions are made on rows. Whoever can write the file could raise the uses of a
consent, set a withdrawn one active again or give a profile to another lender, and the log would stay intact. Here every
consent, status, permit, profile and sealed payload is held against the entries. Worth something only together with
``consent.log.verify``, which says whether the entries themselves are the ones that were signed.

Keeps a few values in memory per consent, permit and profile. Idempotency keys are not in the log and not checked.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, select

from consent.keys import KeySet
from consent.profiles import reply_name
from consent.rows import ISSUED, OPEN, terms_of
from consent.sealing import status_record
from consent.tables import (
    consent_documents,
    consent_requests,
    consent_status,
    consent_texts,
    consents,
    holds,
    log_entries,
    permits,
    profiles,
    sealed,
)
from consent.vault import RetentionClass, Sealed, SubjectKey, Vault
from schemas.base import Json, utc_text
from schemas.consent import ConsentState
from schemas.errors import KeysUnavailable

_STATES = {
    "consent.granted": ConsentState.ACTIVE,
    "consent.revoked": ConsentState.REVOKED,
    "consent.suspended": ConsentState.SUSPENDED,
    "consent.resumed": ConsentState.ACTIVE,
    "consent.superseded": ConsentState.SUPERSEDED,
}
_DOCUMENTS = select(
    consents.c.id,
    consents.c.subject,
    consents.c.grantee,
    consents.c.valid_to,
    consents.c.retention_days,
    consents.c.digest,
    consent_documents.c.document,
).join_from(consents, consent_documents, isouter=True)
_CHANGES = (
    select(consent_status, consents.c.subject)
    .join_from(consent_status, consents, isouter=True)
    .where(consent_status.c.version > 1)
)
Values = dict[str, Json]
Ids = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Row ``id`` of ``table`` and the column that is not what the log says, or «missing», «not in the log»."""

    table: str
    id: str
    what: str


@dataclass(slots=True)
class _Told:
    """What the entries say each row should hold, by table and primary key."""

    consents: dict[Ids, Values] = field(default_factory=dict)
    statuses: dict[Ids, Values] = field(default_factory=dict)
    permits: dict[Ids, Values] = field(default_factory=dict)
    profiles: dict[Ids, Values] = field(default_factory=dict)
    requests: dict[Ids, Values] = field(default_factory=dict)
    texts: dict[Ids, Values] = field(default_factory=dict)
    commitments: dict[str, str] = field(default_factory=dict)
    """Of consents and statuses by entry id, of sealed payloads by their id."""
    holds: dict[Ids, Values] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)
    """What commitments were to, before the key was destroyed."""
    _owned: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def _commit(self, entry: Mapping[str, Any], id: str, commitment: str) -> None:
        self.commitments[id] = commitment
        name = id.partition("/")[2]
        payload = name in ("profile", "items", "sources") or name.startswith("reply/")
        kind = RetentionClass.PAYLOAD if payload else RetentionClass.EVIDENCE
        self._owned.setdefault((entry["subject"], kind.value), []).append(id)

    def _shredded(self, entry: Mapping[str, Any]) -> None:
        for id in self._owned.pop((entry["subject"], entry["class"]), ()):
            del self.commitments[id]
            self.destroyed.add(id)

    def hear(self, index: int, entry: dict[str, Any]) -> None:
        event, time, actor = entry["event"], entry["time"], entry["actor"]
        same: Values = {"consent_id": entry["consent"], "subject": entry["subject"]}
        if event in _STATES:
            self._state(index, entry)
        elif event == "permit.granted":
            held = self.consents[(entry["consent"],)]
            before = held["last_permit"]
            held.update(uses=entry["use"], last_permit=index)
            self.permits[(entry["permit"],)] = {
                **same,
                "version": entry["version"],
                "lender": actor,
                "granted_at": time,
                "valid_until": entry["valid_until"],
                "log_index": index,
                "before": before,
                "outcome": OPEN,
                "closed_at": None,
                "profile_id": None,
                "revision": 0,
            }
        elif event == "permit.resumed":
            self.permits[(entry["permit"],)].update(outcome=OPEN, closed_at=None)
        elif event == "permit.closed" or event == "profile.withheld":
            permit = self.permits[(entry["permit"],)]
            # A later revision that was withheld leaves the one before it standing.
            if permit["outcome"] == OPEN:
                permit.update(outcome=entry["code"], closed_at=time)
        elif event == "profile.issued":
            of = {"profile_id": entry["profile"], "revision": entry["revision"]}
            self.permits[(entry["permit"],)].update(of, outcome=ISSUED, closed_at=time)
            self.profiles[entry["profile"], entry["revision"]] = {
                **same,
                "permit_id": entry["permit"],
                "lender": actor,
                "log_index": index,
                "issued_at": time,
            }
            self._commit(entry, f"{entry['id']}/profile", entry["commitment"])
            if not isinstance(entry["sources"], str):
                for id, commitment in _replies(entry["id"], entry["sources"]).items():
                    self._commit(entry, id, commitment)
        elif event == "text.registered":
            held = {"sha256": entry["digest"], "registered_at": time, "log_index": index}
            self.texts[(entry["text"],)] = held
        elif event == "part.granted":
            self._commit(entry, f"{entry['id']}/part", entry["commitment"])
        elif event == "subject.shredded":
            self._shredded(entry)
        elif event == "hold.placed":
            self.holds[(entry["id"],)] = {**same, "placed_at": time, "released_at": None, "log_index": index}
            self._commit(entry, f"{entry['id']}/hold", entry["commitment"])
        elif event == "hold.released":
            self.holds[(entry["hold"],)]["released_at"] = time
        elif event.startswith("request."):
            self._request(index, entry)
        elif event == "log.unmasked":
            self._commit(entry, f"{entry['id']}/reason", entry["commitment"])
        for name in ("items", "sources"):
            if isinstance(entry.get(name), str):
                self._commit(entry, f"{entry['id']}/{name}", entry[name])

    def _request(self, index: int, entry: dict[str, Any]) -> None:
        ids = (entry["request"],)
        if entry["event"] == "request.opened":
            self.requests[ids] = {
                "lender": entry["actor"],
                "subject": entry["subject"],
                "state": "open",
                "expires_at": entry["expires"],
                "consent_id": None,
                "log_index": index,
            }
            self._commit(entry, f"{entry['id']}/asked", entry["commitment"])
        elif entry["event"] != "request.refused":
            self.requests[ids].update(state=entry["event"].partition(".")[2], consent_id=entry["consent"])
        if entry["event"] == "request.given":
            self._commit(entry, f"{entry['id']}/act", entry["commitment"])

    def _state(self, index: int, entry: dict[str, Any]) -> None:
        consent, state = entry["consent"], _STATES[entry["event"]].value
        first: Values = {"subject": entry["subject"], "registered_at": entry["time"], "uses": 0, "last_permit": None}
        held = self.consents.setdefault((consent,), first)
        held.update(state=state, version=entry["version"])
        self.statuses[consent, entry["version"]] = {
            "state": state,
            "at": entry["time"],
            "actor": entry["actor"],
            "log_index": index,
        }
        self._commit(entry, entry["id"], entry["commitment"])


def _replies(entry_id: str, sources: list[Any]) -> dict[str, str]:
    """The commitments to replies in the list of a profile's sources."""
    return {
        f"{entry_id}/{reply_name(platform, dataset)}": commitment
        for platform, dataset, _, _, commitment, *_ in sources
        if commitment is not None
    }


def audit(connection: Connection, vault: Vault) -> list[Flaw]:
    """Every row that differs from the log, in one snapshot of the file; none where all is well."""
    told = _Told()
    flaws = list(_listen(connection, told))
    for table, expected in (
        (consents, told.consents),
        (consent_status, told.statuses),
        (permits, told.permits),
        (profiles, told.profiles),
        (consent_requests, told.requests),
        (holds, told.holds),
        (consent_texts, told.texts),
    ):
        flaws += _compare(connection, table, expected)
    return [*flaws, *_payloads(connection, told, _Keys(connection, vault))]


def _listen(connection: Connection, told: _Told) -> Iterator[Flaw]:
    for row in connection.execute(select(log_entries).order_by(log_entries.c.position)):
        try:
            entry = orjson.loads(row.entry)
            for column in ("id", "event", "time", "actor", "consent", "subject"):
                if entry[column] != getattr(row, column):
                    yield Flaw("log_entries", str(row.position), column)
            if entry["event"] == "consent.granted" and (entry["consent"],) in told.consents:
                yield Flaw("log_entries", str(row.position), "consent granted twice")
            told.hear(row.position, entry)
        except (ValueError, LookupError, TypeError):
            yield Flaw("log_entries", str(row.position), "not an entry of ours")


def _compare(connection: Connection, table: Any, expected: dict[Ids, Values]) -> Iterator[Flaw]:
    key = [column.name for column in table.primary_key]
    missing = dict(expected)
    for row in connection.execute(select(table)):
        found = row._mapping
        ids = tuple(found[name] for name in key)
        name = ".".join(map(str, ids))
        values = missing.pop(ids, None)
        if values is None:
            yield Flaw(table.name, name, "not in the log")
            continue
        yield from (Flaw(table.name, name, column) for column, value in values.items() if found[column] != value)
    yield from (Flaw(table.name, ".".join(map(str, ids)), "missing") for ids in missing)


class _Keys:
    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault

    def _set(self, subject: str) -> KeySet:
        keys = KeySet(self._vault)
        keys.want(subject)
        keys.load(self._connection)
        return keys

    def of(self, subject: str, retention: RetentionClass) -> SubjectKey:
        """Raises KeysUnavailable."""
        return self._set(subject).existing(subject, retention)

    def document(self, row: Any) -> bytes | None:
        """None where it does not open, or is not the one that its consent's row names."""
        try:
            key = self.of(row.subject, RetentionClass.EVIDENCE)
            if hashlib.sha256(row.document).digest() != row.digest:
                return None
            return key.open("consents", row.id, Sealed.unpacked(row.document))
        except (KeysUnavailable, TypeError):
            return None

    def status(self, row: Any) -> bytes | None:
        """The record of a change; None where its reason does not open."""
        try:
            return status_record(self._set(row.subject), row)
        except (KeysUnavailable, ValueError, TypeError):
            return None

    def holds(self, subject: str, entry_id: str, name: str, payload: bytes, told: dict[str, str]) -> bool:
        """Whether the payload is what its entry commits to; takes that commitment out of ``told``."""
        digest = hashlib.sha256(payload).digest()
        try:
            made = self.of(subject, RetentionClass.EVIDENCE).commitment(entry_id, name, digest)
        except KeysUnavailable:
            return False
        return made == told.pop(entry_id, None)


def _payloads(connection: Connection, told: _Told, keys: _Keys) -> Iterator[Flaw]:
    """Documents, reasons and sealed payloads under their commitments."""
    missing = dict(told.commitments)
    for row in connection.execute(_DOCUMENTS):
        if f"{row.id}.1" in told.destroyed and not row.digest and row.document is None:
            continue
        document = keys.document(row)
        if document is None or not keys.holds(row.subject, f"{row.id}.1", "consent", document, missing):
            yield Flaw("consents", row.id, "document")
        else:
            terms = terms_of(document)
            meant = {"grantee": terms.grant.grantee, "retention_days": terms.grant.retention_days}
            meant["valid_to"] = utc_text(terms.valid_to)
            yield from (Flaw("consents", row.id, name) for name, value in meant.items() if row._mapping[name] != value)
    for row in connection.execute(_CHANGES):
        entry_id = f"{row.consent_id}.{row.version}"
        if entry_id in told.destroyed and row.reason is None:
            continue
        record = keys.status(row)
        if record is None or not keys.holds(row.subject, entry_id, "status", record, missing):
            yield Flaw("consent_status", entry_id, "reason")
    for row in connection.execute(select(consent_texts)):
        if hashlib.sha256(row.content).hexdigest() != row.sha256:
            yield Flaw("consent_texts", row.name, "content")
    # The lists first: they name the commitments to the replies.
    for row in connection.execute(select(sealed).order_by(sealed.c.kind != "sources", sealed.c.id)):
        payload = _opened(keys, row, missing.pop(row.id, row.commitment))
        if payload is None:
            yield Flaw("sealed", row.id, "payload")
        elif row.kind == "sources":
            missing |= _replies(row.id.partition("/")[0], orjson.loads(payload))
    yield from (Flaw("sealed", name, "missing") for name in missing if "/" in name)


def _opened(keys: _Keys, row: Any, commitment: str) -> bytes | None:
    try:
        key = keys.of(row.subject, RetentionClass(row._mapping["class"]))
        payload = key.open("sealed", row.id, Sealed(row.key_version, row.nonce, row.ciphertext))
    except (KeysUnavailable, ValueError):
        return None
    entry_id, _, name = row.id.partition("/")
    made = key.commitment(entry_id, name, hashlib.sha256(payload).digest())
    return payload if {commitment, row.commitment} == {made} else None
