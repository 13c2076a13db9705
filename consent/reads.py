"""What can be read back: consents, profiles, entries and proofs. Plain functions on a reading connection."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, String, and_, bindparam, func, select

from consent.consents import consent_of
from consent.keys import KeySet
from consent.ledger import hash_at, nodes, read_head
from consent.log.merkle import ProofError, consistency_proof, inclusion_proof
from consent.log.note import Checkpoint, Note
from consent.log.rotation import EVENT as ROTATED
from consent.log.tiles import WIDTH, Stamp, tile_path
from consent.places import about_consents
from consent.policy import shown_state, standing
from consent.profiles import Issued, profile_entry
from consent.rows import CONSENT_ROWS, ConsentRow
from consent.sealing import reason_of
from consent.shredding import shred_state
from consent.tables import consent_status, consents, log_entries, profiles, sealed, subject_keys
from consent.timestamps import timestamps
from consent.vault import RetentionClass, Sealed, SubjectKey, Vault
from schemas.consent import Consent, ConsentState, StatusChange
from schemas.errors import InvalidRequest, KeysUnavailable, LogBroken

PAGE = 4096


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile as it was issued."""

    id: str
    revision: int
    lender: str
    consent_id: str
    subject: str
    log_index: int
    issued_at: str
    jws: bytes = field(repr=False)
    """Empty where the content was destroyed."""
    shredded: str | None = None
    """``shred_pending`` or ``shredded`` then."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    index: int
    entry: bytes


POINT = (
    CONSENT_ROWS.add_columns(subject_keys.c.version, subject_keys.c.epoch, subject_keys.c.wrapped)
    .join_from(
        consents,
        subject_keys,
        and_(subject_keys.c.subject == consents.c.subject, subject_keys.c["class"] == bindparam("class")),
        isouter=True,
    )
    .where(consents.c.id == bindparam("id"))
    .order_by(subject_keys.c.version.desc())
)
"""A consent and its subject's newest key of ``class``, for Store.point: no more is asked before a call is sent."""
_HISTORY = (
    select(consent_status, consents.c.subject)
    .join_from(consent_status, consents)
    .where(consent_status.c.consent_id.in_(bindparam("ids", expanding=True)))
    .order_by(consent_status.c.log_index)
)
_STATUS_INDEX = select(func.max(consent_status.c.log_index)).where(consent_status.c.consent_id == bindparam("id"))
_PROFILE = (
    select(
        profiles.c.id,
        profiles.c.revision,
        profiles.c.lender,
        profiles.c.consent_id,
        profiles.c.subject,
        profiles.c.log_index,
        profiles.c.issued_at,
    )
    .where(profiles.c.id == bindparam("id"))
    .order_by(profiles.c.revision.desc())
    .limit(1)
)
_SEALED = select(sealed.c.key_version, sealed.c.nonce, sealed.c.ciphertext).where(sealed.c.id == bindparam("id"))
_ENTRIES = select(log_entries.c.position, log_entries.c.entry).order_by(log_entries.c.position)
_ABOUT = _ENTRIES.where(log_entries.c.position.in_(about_consents(select(bindparam("consent", type_=String)))))
# As a literal: only then is it plain to the database that the index of rotations serves.
_ROTATIONS = _ENTRIES.where(log_entries.c.event == bindparam("event", ROTATED, literal_execute=True))


def _shown(held: ConsentRow, now: datetime) -> Consent:
    return consent_of(held, shown_state(held.terms, held.state, held.uses, now))


def _held(row: Sequence[Any], vault: Vault) -> ConsentRow:
    subject, stored = row[1], row[-3:]

    def key() -> SubjectKey:
        cached = vault.cached(subject)
        # Another process may have destroyed what is held here, and made a new one.
        if cached is not None and cached[RetentionClass.EVIDENCE].version == stored[0]:
            return cached[RetentionClass.EVIDENCE]
        if stored[0] is None:
            raise KeysUnavailable(what="subject key")
        return vault.unwrap(subject, RetentionClass.EVIDENCE, *stored)

    return ConsentRow.read(row, vault, key)


def consent(row: Sequence[Any] | None, vault: Vault, now: datetime) -> Consent | None:
    """What a row of ``POINT`` holds; None also where its document was destroyed. Raises KeysUnavailable."""
    return None if row is None or not row[2] else _shown(_held(row, vault), now)


def consent_standing(row: Sequence[Any] | None, vault: Vault, now: datetime) -> str | None:
    """The refusal code of what stops the consent in a row of ``POINT`` now, or None. Raises KeysUnavailable."""
    if row is None or not row[2]:
        return "consent_missing"
    held = _held(row, vault)
    return standing(held.terms, held.state, now)


def consents_of(connection: Connection, lender: str | None, vault: Vault, now: datetime) -> list[Consent]:
    """All consents given to a lender (None: to any), oldest first. Raises KeysUnavailable."""
    query = CONSENT_ROWS if lender is None else CONSENT_ROWS.where(consents.c.grantee == lender)
    found = connection.execute(query.order_by(consents.c.registered_at, consents.c.id))
    rows = [row for row in found if row.digest]
    keys = KeySet(vault)
    for row in rows:
        keys.want(row.subject)
    keys.load(connection)
    evidence = RetentionClass.EVIDENCE
    return [_shown(ConsentRow.read(row, vault, partial(keys.existing, row.subject, evidence)), now) for row in rows]


def consent_history(connection: Connection, consent_ids: list[str], vault: Vault) -> list[StatusChange]:
    """Every status the consents were given, oldest first. Raises KeysUnavailable."""
    rows = connection.execute(_HISTORY, {"ids": consent_ids}).all()
    keys = KeySet(vault)
    for row in rows:
        keys.want(row.subject)
    keys.load(connection)
    return [
        StatusChange(
            consent_id=row.consent_id,
            state=ConsentState(row.state),
            at=row.at,
            actor=row.actor,
            reason=reason_of(keys, row),
        )
        for row in rows
    ]


def status_index(connection: Connection, consent_id: str) -> int:
    """The place in the log of the newest status of a consent that exists."""
    return int(connection.execute(_STATUS_INDEX, {"id": consent_id}).scalar_one())


def profile(connection: Connection, profile_id: str, vault: Vault) -> StoredProfile | None:
    """The newest revision, opened. Raises KeysUnavailable."""
    row = connection.execute(_PROFILE, {"id": profile_id}).one_or_none()
    if row is None:
        return None
    place = f"{profile_entry(row.id, row.revision)}/profile"
    stored = connection.execute(_SEALED, {"id": place}).one_or_none()
    if stored is None and (state := shred_state(connection, row.subject, RetentionClass.PAYLOAD)):
        return StoredProfile(*row, jws=b"", shredded=state)
    if stored is None:
        raise LogBroken(at=place)
    keys = KeySet(vault)
    keys.want(row.subject)
    keys.load(connection)
    jws = keys.existing(row.subject, RetentionClass.PAYLOAD).open("sealed", place, Sealed(*stored))
    return StoredProfile(*row, jws=jws)


def entries(connection: Connection, start: int, stop: int) -> list[LogEntry]:
    """Entries ``start`` up to ``stop``, as far as there are any."""
    query = _ENTRIES.where(log_entries.c.position >= start, log_entries.c.position < stop)
    return [LogEntry(*row) for row in connection.execute(query)]


def entries_about(connection: Connection, consent_id: str) -> list[LogEntry]:
    """Every entry that names a consent: who asked, when, for what, and what came of it (征信业管理条例 22)."""
    return [LogEntry(*row) for row in connection.execute(_ABOUT, {"consent": consent_id})]


def rotations(connection: Connection) -> list[LogEntry]:
    """Every entry by which the log changed its key, in order."""
    return [LogEntry(*row) for row in connection.execute(_ROTATIONS)]


def _size(connection: Connection, size: int) -> int:
    if size > read_head(connection).size:
        raise InvalidRequest(at="size", mend="at most the log's size")
    return size


def inclusion(connection: Connection, index: int, size: int) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.1. Raises InvalidRequest unless index < size <= the log's size."""
    try:
        return inclusion_proof(index, _size(connection, size), lambda level, n: hash_at(connection, level, n))
    except ProofError:
        raise InvalidRequest(at="index", mend="0 <= index < size") from None


def consistency(connection: Connection, old: int, new: int) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.2. Raises InvalidRequest unless 0 < old <= new <= the log's size."""
    try:
        return consistency_proof(old, _size(connection, new), lambda level, n: hash_at(connection, level, n))
    except ProofError:
        raise InvalidRequest(at="from", mend="0 < from <= to") from None


def place(connection: Connection, index: int) -> Issued:
    """Where entry ``index`` stands under the newest checkpoint. Raises InvalidRequest when there is none."""
    head = read_head(connection)
    proof = inclusion(connection, index, head.size)
    (found,) = entries(connection, index, index + 1)
    text = tuple(base64.b64encode(node).decode() for node in proof)
    return Issued(index, head.size, head.checkpoint, text, found.entry)


@dataclass(frozen=True, slots=True)
class Proven:
    """Inclusion proofs of some entries, in the order asked, under one checkpoint of ``size``."""

    size: int
    checkpoint: str
    leaves: list[bytes]
    paths: list[tuple[bytes, ...]]


def proofs(connection: Connection, indexes: Sequence[int]) -> Proven:
    """RFC 6962 section 2.1.1 for many entries at once: what their paths share is read once. Each index is in the
    log."""
    head = read_head(connection)
    node = cache(partial(hash_at, connection))
    paths = [inclusion_proof(index, head.size, node) for index in indexes]
    return Proven(head.size, head.checkpoint, [node(0, index) for index in indexes], paths)


_TILE = re.compile(r"([0-9]|[1-5][0-9])/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def tile(connection: Connection, path: str) -> bytes | None:
    """The hash tile at ``L/N[.p/W]`` (C2SP tlog-tiles); None where the log has none there."""
    match = _TILE.fullmatch(path)
    if match is None:
        return None
    level, width = int(match[1]), int(match[4] or WIDTH)
    number = int(match[2].replace("x", "").replace("/", "") + match[3])
    held = read_head(connection).size >> 8 * level
    if f"tile/{path}" != tile_path(level, number, width) or number * WIDTH + width > held:
        return None
    return b"".join(nodes(connection, level, number * WIDTH, number * WIDTH + width))


def _entry_bytes(connection: Connection, start: int, stop: int) -> list[bytes]:
    return [e.entry for e in entries(connection, start, stop)]


def _leaves(connection: Connection, start: int, stop: int) -> list[bytes]:
    return nodes(connection, 0, start, stop)


T = TypeVar("T")


class ReadPage(Protocol):
    """Store.read."""

    def __call__(self, read: Callable[[Connection, int, int], list[T]], start: int, stop: int, /) -> list[T]: ...


class LogSource:
    """The log for consent.log.tiles.export: everything up to a head. ``vkeys`` signed it, in the order of its lines."""

    def __init__(self, read: ReadPage, checkpoint: str, vkeys: Iterable[str]) -> None:
        self._read = read
        self._checkpoint = checkpoint
        self._vkeys = tuple(vkeys)

    def checkpoint_text(self) -> str:
        return self._checkpoint

    def vkeys(self) -> Iterable[str]:
        return self._vkeys

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        for first in range(start, stop, PAGE):
            # Given back before anything is handed out: whoever asks may stop in the middle.
            yield from self._read(_entry_bytes, first, min(first + PAGE, stop))

    def leaf_hashes(self, start: int, stop: int) -> Iterator[bytes]:
        for first in range(start, stop, PAGE):
            yield from self._read(_leaves, first, min(first + PAGE, stop))

    def stamps(self) -> Iterator[Stamp]:
        size, page = Checkpoint.parse(Note.parse(self._checkpoint).text).size, [Stamp(0, "", b"")]
        while page := self._read(timestamps, page[-1].size, size):
            yield from page
