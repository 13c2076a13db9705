"""The stored keys of subjects, as a transaction or a read needs them."""

from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from consent.storage import Writing, among, fetch, listed
from consent.tables import keyring, subject_keys
from consent.vault import RetentionClass, SubjectKey, Vault
from schemas.errors import KeysUnavailable

_RING = select(keyring.c.epoch, keyring.c.oldest, keyring.c.opened_at, keyring.c.shreddings)
_SUBJECT_KEYS = (
    select(
        subject_keys.c.subject,
        subject_keys.c["class"],
        subject_keys.c.version,
        subject_keys.c.epoch,
        subject_keys.c.wrapped,
    )
    .where(among(subject_keys.c.subject, "subjects"))
    .order_by(subject_keys.c.version)
)
ADD_SUBJECT_KEY = insert(subject_keys)


class Ring(NamedTuple):
    """Where the key-encryption keys stand: the epoch that wraps now, the oldest whose key exists, and how often subject
    keys were destroyed."""

    epoch: int
    oldest: int
    opened_at: str
    shreddings: int


def read_ring(connection: Connection) -> Ring:
    return Ring(*fetch(connection, _RING)[0])


def key_row(key: SubjectKey, epoch: int, wrapped: bytes) -> dict[str, object]:
    return {
        "subject": key.subject,
        "class": key.retention.value,
        "version": key.version,
        "epoch": epoch,
        "wrapped": wrapped,
    }


class KeySet:
    """The keys of subjects; one of a class that a subject has not, or no longer, is made when it is first asked for."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._wanted: set[str] = set()
        self._keys: dict[str, dict[RetentionClass, SubjectKey]] = {}
        self._destroyed: dict[tuple[str, RetentionClass], int] = {}
        self._rows: list[dict[str, object]] = []
        self.ring = Ring(0, 0, "", 0)

    def want(self, subject: str) -> None:
        self._wanted.add(subject)

    def load(self, connection: Connection) -> None:
        """Raises KeysUnavailable under another key-encryption key."""
        if not self._wanted:
            return
        self.ring = read_ring(connection)
        self._vault.see(self.ring.shreddings)
        # Another process may have ended epochs: what it destroyed is not kept here.
        self._vault.forget_epochs(self.ring.oldest)
        missing = []
        for subject in self._wanted:
            cached = self._vault.cached(subject)
            self._keys[subject] = dict(cached) if cached else {}
            if not cached:
                missing.append(subject)
        if not missing:
            return
        for subject, retention, version, epoch, wrapped in fetch(connection, _SUBJECT_KEYS, subjects=listed(missing)):
            kind = RetentionClass(retention)
            if wrapped:
                self._keys[subject][kind] = self._vault.unwrap(subject, kind, version, epoch, wrapped)
            else:
                self._destroyed[subject, kind] = version
        for subject in missing:
            # Only a full set: what is not in the cache is taken for not existing.
            if len(self._keys[subject]) == len(RetentionClass):
                self._vault.remember(subject, dict(self._keys[subject]), self.ring.shreddings)

    def get(self, subject: str, retention: RetentionClass) -> SubjectKey:
        """Raises KeysUnavailable where a new one cannot be wrapped."""
        key = self._keys[subject].get(retention)
        if key is None:
            version, epoch = self._destroyed.get((subject, retention), 0) + 1, self.ring.epoch
            key, wrapped = self._vault.new_key(subject, retention, version, epoch)
            self._keys[subject][retention] = key
            self._rows.append(key_row(key, epoch, wrapped))
        return key

    def drop(self, subject: str, retention: RetentionClass) -> None:
        """It is being destroyed in this transaction: whoever asks for it after this gets a new one."""
        if subject in self._keys and (key := self._keys[subject].pop(retention, None)):
            self._destroyed[subject, retention] = key.version

    def existing(self, subject: str, retention: RetentionClass) -> SubjectKey:
        """The key as it was loaded. Raises KeysUnavailable where there is none, or no longer."""
        key = self._keys[subject].get(retention)
        if key is None:
            raise KeysUnavailable(what="subject key")
        return key

    def find(self, subject: str, retention: RetentionClass) -> SubjectKey | None:
        """The key as it was loaded; None where there is none, or no longer."""
        return self._keys[subject].get(retention)

    def writes(self) -> list[Writing]:
        return [(ADD_SUBJECT_KEY, self._rows)]

    def keep(self) -> None:
        """After the commit, never before: hold what was made for whoever asks next, as if it had been read."""
        for subject in {str(row["subject"]) for row in self._rows}:
            keys = self._keys[subject]
            if len(keys) == len(RetentionClass):
                self._vault.remember(subject, dict(keys), self.ring.shreddings)
