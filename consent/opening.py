"""What happens before anything is served: what is missing is made, the keys are tried, and the log is held against the
head that lies outside the database."""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update
from sqlalchemy.exc import SQLAlchemyError

from consent.keys import key_row, read_ring
from consent.ledger import Ledger, root_at
from consent.log.note import Checkpoint, Note, NoteError, Vkey
from consent.log.rotation import EVENT as REKEYED
from consent.log.rotation import Rotation
from consent.safe import Safe
from consent.storage import Store, execute_many, fetch
from consent.tables import keyring, log_head, metadata, subject_keys
from consent.vault import RetentionClass, Vault
from schemas.base import utc_text
from schemas.errors import ConfigurationError, KeysUnavailable, LogBehind, StorageUnavailable

_CHECK_SUBJECT = "-"
"""The subject of a key that seals nothing: it shows at opening whether the key-encryption key is the right one."""
_PUT_BACK = (
    update(subject_keys)
    .where(
        subject_keys.c.subject == bindparam("of_subject"),
        subject_keys.c["class"] == bindparam("of_class"),
        subject_keys.c.version == bindparam("of_version"),
        subject_keys.c.epoch < bindparam("in_epoch"),
        func.length(subject_keys.c.wrapped) > literal_column("0"),
    )
    .values(epoch=bindparam("in_epoch"), wrapped=bindparam("kept"))
)

_STALE = (
    select(subject_keys.c.subject)
    .where(subject_keys.c.epoch < bindparam("oldest"), func.length(subject_keys.c.wrapped) > literal_column("0"))
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)


def prepare(
    store: Store,
    ledger: Ledger,
    vault: Vault,
    safe: Safe,
    now: datetime,
    *,
    tables: Callable[[Connection], None] = metadata.create_all,
    resume: bool = False,
) -> None:
    """Raises LogBehind where the database is older than the head in ``safe``; with ``resume`` a log of another origin
    goes on from it, and its first entry cites that head.

    Raises KeysUnavailable under another key-encryption key, LogBroken, ConfigurationError and StorageUnavailable.
    """
    note = safe.checkpoint()
    try:
        store.create(tables)
        with store.connect() as connection, connection.begin():
            if note is None:
                ledger.create(connection)
            elif resume:
                note = _resume(connection, ledger, note, safe, utc_text(now))
            elif not _continues(connection, note):
                raise LogBehind
            elif _anchored(note).origin != ledger.origin:
                mend = "the name that this log was made with: a log keeps it until it is lost (`xinqiao log resume`)"
                raise ConfigurationError(at="origin", mend=mend)
            _try_keys(connection, vault, safe, utc_text(now))
    except (SQLAlchemyError, sqlite3.Error, OSError):
        raise StorageUnavailable(retry_after=5) from None
    if note is not None and resume:
        safe.remember(note, ledger.vkey.text())


def _anchored(note: str) -> Checkpoint:
    try:
        return Checkpoint.parse(Note.parse(note).text)
    except NoteError:
        mend = "not a signed checkpoint; put it back from its own backup"
        raise ConfigurationError(at="keys/anchor/checkpoint", mend=mend) from None


def _continues(connection: Connection, note: str) -> bool:
    known = _anchored(note)
    head = connection.execute(select(log_head.c.origin, log_head.c.size)).one_or_none()
    if head is None or head.origin != known.origin or head.size < known.size:
        return False
    return root_at(connection, known.size) == known.root


def _resume(connection: Connection, ledger: Ledger, note: str, safe: Safe, time: str) -> str:
    known = _anchored(note)
    vkeys = [Vkey.parse(line) for line in safe.vkeys()]
    head = connection.execute(select(log_head)).one_or_none()
    origin = known.origin if head is None else head.origin
    if ledger.origin in {known.origin, *(vkey.name for vkey in vkeys)}:
        raise ConfigurationError(at="origin", mend="one that no log here has had: each ends with what was signed last")
    if origin == ledger.origin:
        # An attempt that was killed between its commit and the anchor.
        return ledger.check(connection, None).checkpoint
    if head is None:
        ledger.create(connection)
    else:
        # What the backup holds must hold together under its own origin before another one vouches for it.
        before = ledger.named(origin)
        before.check(connection, None, vkeys)
        ledger.key = before.key
        signed = ledger.sign(head.size, head.root)
        connection.execute(update(log_head).values(origin=ledger.origin, checkpoint=signed))
    page = ledger.open(connection)
    handover = Rotation(origin, page.size, Vkey.of(origin, ledger.key), ledger.vkey)
    for event, data in (
        (REKEYED, {"statement": handover.sign(ledger.key, ledger.key)}),
        ("log.resumed", {"checkpoint": note}),
    ):
        page.append(event, id=uuid4().hex, time=time, actor="operator", consent=None, subject=None, data=data)
    return page.write()[0].checkpoint


def _try_keys(connection: Connection, vault: Vault, safe: Safe, time: str) -> None:
    if connection.execute(select(keyring)).one_or_none() is None:
        epochs = safe.epochs()
        if not epochs:
            raise KeysUnavailable(what="kek.1")
        first = {"one": 1, "epoch": epochs[-1], "oldest": epochs[0], "opened_at": time, "shreddings": 0}
        connection.execute(insert(keyring).values(first))
    ring = read_ring(connection)
    oldest = min(safe.epochs(), default=ring.oldest)
    # Also from the middle of a change of epochs, when some keys were wrapped anew and others were not.
    if ring.epoch < oldest or (ring.oldest < oldest and fetch(connection, _STALE, oldest=oldest)):
        _put_back(connection, safe)
        ring = read_ring(connection)
    row = connection.execute(select(subject_keys).where(subject_keys.c.subject == _CHECK_SUBJECT)).one_or_none()
    if row is None:
        key, wrapped = vault.new_key(_CHECK_SUBJECT, RetentionClass.EVIDENCE, 1, ring.epoch)
        connection.execute(insert(subject_keys).values(key_row(key, ring.epoch, wrapped)))
    else:
        vault.unwrap(row[0], RetentionClass(row[1]), *row[2:])


def _put_back(connection: Connection, safe: Safe) -> None:
    """The backup is from an epoch whose key is destroyed: its subject keys are taken from the copy that was made when
    that epoch ended. Those that are not in it were destroyed, as their tombstones say."""
    oldest = min(safe.epochs())
    for page in safe.kept_keys():
        rows = [{"of_subject": s, "of_class": c, "of_version": v, "in_epoch": e, "kept": w} for s, c, v, e, w in page]
        execute_many(connection, _PUT_BACK, rows)
    connection.execute(update(keyring).values(epoch=max(safe.epochs()), oldest=oldest))
