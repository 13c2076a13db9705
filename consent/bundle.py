"""Gathering an evidence bundle from the database (the file's form and its verification: consent.log.bundle).

A bundle discloses the key of each of its own payloads and no other key: whoever holds it can open these commitments and
confirm no guess about any other entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from consent.cosignatures import signed_head
from consent.keys import KeySet
from consent.ledger import hash_at
from consent.log.bundle import Item, write_bundle
from consent.log.chain import ABOUT_CONSENT, ABOUT_PERMIT, ABOUT_PROFILE, ISSUED, Unfit, commitments
from consent.log.merkle import inclusion_proof
from consent.log.note import Checkpoint, Note, Vkey
from consent.log.origins import reused
from consent.log.rotation import EVENT as ROTATED
from consent.log.trust import Broken
from consent.reads import entries_about, rotations
from consent.rows import CONSENT_ROWS
from consent.sealing import status_record
from consent.tables import consent_status, consents, profiles, sealed
from consent.vault import RetentionClass, Sealed, SubjectKey, Vault
from schemas.errors import LogBroken

_PROFILE = (
    select(profiles.c.lender, profiles.c.consent_id, profiles.c.subject, profiles.c.permit_id, profiles.c.revision)
    .where(profiles.c.id == bindparam("id"))
    .order_by(profiles.c.revision.desc())
    .limit(1)
)
_SEALED = select(sealed).where(sealed.c.id == bindparam("id"))
_DOCUMENT = CONSENT_ROWS.where(consents.c.id == bindparam("id"))
_STATUS = (
    select(consent_status, consents.c.subject)
    .join_from(consent_status, consents)
    .where(consent_status.c.consent_id == bindparam("id"), consent_status.c.version == bindparam("version"))
)


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """Whose a profile is; its content may have been destroyed."""

    lender: str
    consent_id: str
    subject: str
    permit_id: str
    revision: int


def profile_row(connection: Connection, profile_id: str) -> ProfileRow | None:
    """The newest revision."""
    row = connection.execute(_PROFILE, {"id": profile_id}).one_or_none()
    return None if row is None else ProfileRow(*row)


def bundle(
    connection: Connection, profile_id: str, row: ProfileRow, vault: Vault, log_key: Vkey, jwks: Mapping[str, Any]
) -> bytes:
    """``jwks``: the public keys that sign profiles, or did. Raises KeysUnavailable, and LogBroken where what is stored
    is not what the log says: evidence that its own verifier would refuse is not handed out."""
    head = signed_head(connection)
    size = Checkpoint.parse(Note.parse(head.plain).text).size
    payloads = _Payloads(connection, vault)
    items = []
    try:
        every = [*entries_about(connection, row.consent_id), *rotations(connection)]
        told = [(held, orjson.loads(held.entry)) for held in sorted(every, key=lambda one: one.index)]
        origins = {
            index
            for _, entry in told
            if entry["event"] == ISSUED and entry["profile"] == profile_id
            for index in payloads.origins(entry)
        }
        for held, entry in told:
            mine = _belongs(entry, profile_id, row.permit_id)
            if held.index < size and (mine or held.index in origins):
                proof = inclusion_proof(held.index, size, lambda level, n: hash_at(connection, level, n))
                items.append(Item(held.index, held.entry, proof, payloads.of(entry)))
        return write_bundle(head.note, [log_key.text(), *head.lines], jwks, items)
    except Unfit as err:
        raise LogBroken(at=err.path) from None
    except Broken as err:
        raise LogBroken(at=err.problem.path) from None


def _belongs(entry: Mapping[str, Any], profile_id: str, permit_id: str) -> bool:
    event = entry["event"]
    return (
        event == ROTATED
        or event in ABOUT_CONSENT
        or (event in ABOUT_PERMIT and entry["permit"] == permit_id)
        or (event in ABOUT_PROFILE and entry["profile"] == profile_id)
    )


class _Payloads:
    """Key and content of what entries commit to; None for what was destroyed: no key opens it any more."""

    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._keys = KeySet(vault)

    def origins(self, entry: Mapping[str, Any]) -> list[int | None]:
        """The entries of earlier profiles whose answers this one uses again."""
        sources = entry["sources"]
        if isinstance(sources, str):
            held = self.of(entry)["sources"]
            sources = [] if held is None else orjson.loads(held[1])
        return [origin.entry for _, _, origin in reused(sources)]

    def of(self, entry: Mapping[str, Any]) -> dict[str, tuple[bytes, bytes] | None]:
        if (subject := entry["subject"]) is None:
            return {}
        self._keys.want(subject)
        self._keys.load(self._connection)
        found: dict[str, tuple[bytes, bytes] | None] = {}

        def payload(name: str) -> bytes | None:
            found[name] = self._open(entry, name)
            return None if (held := found[name]) is None else held[1]

        for name, _ in commitments(entry, payload):
            payload(name)
        return found

    def _open(self, entry: Mapping[str, Any], name: str) -> tuple[bytes, bytes] | None:
        if name in ("consent", "status"):
            key = self._keys.find(entry["subject"], RetentionClass.EVIDENCE)
            plain = None if key is None else self._plain(entry, name, key)
            return None if key is None or plain is None else (key.payload_key(entry["id"], name), plain)
        place = f"{entry['id']}/{name}"
        row = self._connection.execute(_SEALED, {"id": place}).one_or_none()
        if row is None:
            return None
        key = self._keys.find(entry["subject"], RetentionClass(row._mapping["class"]))
        if key is None or key.version != row.key_version:
            return None
        content = key.open("sealed", place, Sealed(row.key_version, row.nonce, row.ciphertext))
        return key.payload_key(entry["id"], name), content

    def _plain(self, entry: Mapping[str, Any], name: str, key: SubjectKey) -> bytes | None:
        """None where it was destroyed, also where a later consent of the enterprise has given it a new key."""
        consent_id = entry["consent"]
        if name == "consent":
            row = self._connection.execute(_DOCUMENT, {"id": consent_id}).one()
            if not row.digest:
                return None
            return self._vault.open_document(consent_id, row.digest, row.document, lambda: key)
        status = self._connection.execute(_STATUS, {"id": consent_id, "version": entry["version"]}).one()
        return None if status.reason is None else status_record(self._keys, status)
