"""The stored keys of subjects, as a transaction or a read needs them."""

from sqlalchemy import Connection, insert, select

from consent.storage import among, execute_many, fetch, listed
from consent.tables import subject_keys
from consent.vault import EPOCH, RetentionClass, SubjectKey, Vault
from schemas.errors import KeysUnavailable

_SUBJECT_KEYS = select(
    subject_keys.c.subject,
    subject_keys.c["class"],
    subject_keys.c.version,
    subject_keys.c.epoch,
    subject_keys.c.wrapped,
).where(among(subject_keys.c.subject, "subjects"))
ADD_SUBJECT_KEY = insert(subject_keys)


def key_row(key: SubjectKey, wrapped: bytes) -> dict[str, object]:
    return {
        "subject": key.subject,
        "class": key.retention.value,
        "version": key.version,
        "epoch": EPOCH,
        "wrapped": wrapped,
    }


class KeySet:
    """The keys of subjects; one of a class that a subject has not yet is made when it is first asked for."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._wanted: set[str] = set()
        self._keys: dict[str, dict[RetentionClass, SubjectKey]] = {}
        self._rows: list[dict[str, object]] = []

    def want(self, subject: str) -> None:
        self._wanted.add(subject)

    def load(self, connection: Connection) -> None:
        """Raises KeysUnavailable under another key-encryption key."""
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
            self._keys[subject][kind] = self._vault.unwrap(subject, kind, version, epoch, wrapped)
        for subject in missing:
            # Only a full set: what is not in the cache is taken for not existing.
            if len(self._keys[subject]) == len(RetentionClass):
                self._vault.remember(subject, dict(self._keys[subject]))

    def get(self, subject: str, retention: RetentionClass) -> SubjectKey:
        key = self._keys[subject].get(retention)
        if key is None:
            key, wrapped = self._vault.new_key(subject, retention)
            self._keys[subject][retention] = key
            self._rows.append(key_row(key, wrapped))
        return key

    def existing(self, subject: str, retention: RetentionClass) -> SubjectKey:
        """The key as it was loaded. Raises KeysUnavailable where there is none, or no longer."""
        key = self._keys[subject].get(retention)
        if key is None:
            raise KeysUnavailable(what="subject key")
        return key

    def find(self, subject: str, retention: RetentionClass) -> SubjectKey | None:
        """The key as it was loaded; None where there is none, or no longer."""
        return self._keys[subject].get(retention)

    def write(self, connection: Connection) -> None:
        execute_many(connection, ADD_SUBJECT_KEY, self._rows)
