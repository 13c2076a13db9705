"""Payloads beside the log: sealed under the subject's key, and named in an entry by their commitment."""

import hashlib

import orjson

from consent.batch import Batch
from consent.tables import sealed
from consent.vault import SubjectKey
from schemas.base import Json
from schemas.canonical import canonical

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


def sealed_list(batch: Batch, key: SubjectKey, entry_id: str, name: str, items: list[Json]) -> list[Json] | str:
    """The list itself where an entry has room for it, else the commitment to it sealed as a payload."""
    if len(orjson.dumps(items)) <= ROOM:
        return items
    return seal(batch, key, entry_id, name, name, canonical(items))
