"""Payloads beside the log: sealed under the subject's key, and named in an entry by their commitment."""

import hashlib
from typing import Any

import orjson
from sqlalchemy import Row

from consent.batch import Batch
from consent.keys import KeySet
from consent.tables import sealed
from consent.vault import RetentionClass, Sealed, SubjectKey
from schemas.canonical import canonical
from schemas.events import EntryValue

ROOM = 3000
"""Bytes that a list may take of an entry's 4096; everything else in an entry together stays below the rest."""


def seal(batch: Batch, key: SubjectKey, entry_id: str, name: str, kind: str, payload: bytes) -> str:
    """Store ``payload`` sealed under ``entry_id`` and ``name``; answers with its commitment in hex."""
    row = f"{entry_id}/{name}"
    closed = key.seal("sealed", row, payload)
    commitment = key.commitment(entry_id, name, hashlib.sha256(payload).digest())
    batch.insert(
        sealed,
        {
            "id": row,
            "kind": kind,
            "subject": key.subject,
            "class": key.retention.value,
            "key_version": closed.key_version,
            "nonce": closed.nonce,
            "ciphertext": closed.ciphertext,
            "commitment": commitment,
        },
    )
    return commitment


def sealed_list(batch: Batch, key: SubjectKey, entry_id: str, name: str, items: bytes) -> EntryValue:
    """The list itself, which ``items`` is in canonical form, where an entry has room for it, else the commitment to it
    sealed as a payload."""
    if len(items) <= ROOM:
        return orjson.Fragment(items)
    return seal(batch, key, entry_id, name, name, items)


def sealed_reason(key: SubjectKey, consent_id: str, version: int, reason: str) -> bytes:
    """The reason of a status as its row holds it; ``key`` is the subject's evidence key."""
    return key.seal("consent_status", f"{consent_id}.{version}", reason.encode()).packed()


def reason_of(keys: KeySet, row: Row[Any]) -> str | None:
    """The reason in a row of consent_status with its ``subject``. Raises KeysUnavailable."""
    if row.reason is None:
        return None
    key = keys.existing(row.subject, RetentionClass.EVIDENCE)
    return key.open("consent_status", f"{row.consent_id}.{row.version}", Sealed.unpacked(row.reason)).decode()


def status_record(keys: KeySet, row: Row[Any]) -> bytes:
    """What the entry of a change commits to, from such a row. Raises KeysUnavailable."""
    return status_bytes(row.state, row.at, row.actor, reason_of(keys, row), row.consent_id)


def status_bytes(state: str, at: str, actor: str, reason: str | None, consent_id: str) -> bytes:
    return canonical({"state": state, "at": at, "actor": actor, "reason": reason, "consent": consent_id})
