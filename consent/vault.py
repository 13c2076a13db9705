"""Keys, sealed payloads, pseudonyms and commitments.

Per (subject, retention class) there is one random secret of 32 bytes, wrapped by the key-encryption key with
AES-256-GCM (NIST SP 800-38D). From it HKDF (RFC 5869, SHA-256) derives a sealing key and, apart from it, a commit key:
destroying the one row destroys both. A commitment is

    k = HKDF(commit key, info = entry id || 0x00 || payload name)
    C = HMAC-SHA256(k, domain || SHA-256(payload))

so that whoever is given one ``k`` can check one payload and guess no other. Plain digests of replies are never
published: what has few possible values can be guessed from its digest.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.log.commitment import commit
from schemas.canonical import canonical
from schemas.errors import ConfigurationError, KeysUnavailable

KEY_SIZE = 32
NONCE_SIZE = 12
_SUBJECT_DOMAIN = b"xinqiao/subject/v1\x00"
_CONSENT_DOMAIN = b"xinqiao/consent/v1\x00"
_PERSON_DOMAIN = b"xinqiao/person/v1\x00"
_OFFICER_DOMAIN = b"xinqiao/officer/v1\x00"
_PART_DOMAIN = b"xinqiao/part/v1\x00"


class RetentionClass(StrEnum):
    """What is kept for the same time under the same key, so that it can be destroyed alone."""

    PAYLOAD = "payload"
    """Profiles and records."""
    EVIDENCE = "evidence"
    """The proof of consent, kept longer than what was fetched under it."""


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes: one extract and the first block of expand."""
    return _expand(_extract(secret), info)


def _extract(secret: bytes) -> bytes:
    return hmac.digest(bytes(32), secret, "sha256")


def _expand(prk: bytes, info: bytes) -> bytes:
    return hmac.digest(prk, info + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class Sealed:
    """One payload as it is stored."""

    key_version: int
    nonce: bytes
    ciphertext: bytes

    def packed(self) -> bytes:
        """In one column: key version (4 bytes, big-endian), nonce, ciphertext."""
        return self.key_version.to_bytes(4) + self.nonce + self.ciphertext

    @classmethod
    def unpacked(cls, data: bytes) -> "Sealed":
        return cls(int.from_bytes(data[:4]), data[4 : 4 + NONCE_SIZE], data[4 + NONCE_SIZE :])


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The unwrapped key of one (subject, retention class). Its secrets are in no ``repr``."""

    subject: str
    retention: RetentionClass
    version: int
    _seal: AESGCM = field(repr=False)
    _commit: bytes = field(repr=False)

    @classmethod
    def of(cls, subject: str, retention: RetentionClass, version: int, secret: bytes) -> "SubjectKey":
        # The extract step of every later derivation is done here, once.
        commit = _extract(hkdf(secret, b"commit"))
        return cls(subject, retention, version, AESGCM(hkdf(secret, b"seal")), commit)

    def payload_key(self, entry_id: str, name: str) -> bytes:
        """The ``k`` of one payload: who is given it can check that payload and no other."""
        return _expand(self._commit, f"{entry_id}\x00{name}".encode())

    def commitment(self, entry_id: str, name: str, digest: bytes) -> str:
        """Hex commitment to a payload whose SHA-256 is ``digest``, under its log entry and payload name."""
        return commit(self.payload_key(entry_id, name), digest)

    def _bound(self, table: str, row: str) -> bytes:
        # A sealed payload moved to another table, row, subject, class or key version does not open.
        return canonical([table, row, self.subject, self.retention.value, self.version])

    def seal(self, table: str, row: str, payload: bytes) -> Sealed:
        nonce = secrets.token_bytes(NONCE_SIZE)
        return Sealed(self.version, nonce, self._seal.encrypt(nonce, payload, self._bound(table, row)))

    def open(self, table: str, row: str, sealed: Sealed) -> bytes:
        """Raises KeysUnavailable when the payload, its place or the key is another."""
        try:
            return self._seal.decrypt(sealed.nonce, sealed.ciphertext, self._bound(table, row))
        except (InvalidTag, ValueError):
            raise KeysUnavailable(what="sealed payload") from None


SubjectKeys = Mapping[RetentionClass, SubjectKey]


class Keks(Protocol):
    """Where the key-encryption keys are: consent.safe.Safe."""

    def kek(self, epoch: int) -> bytes:
        """32 bytes. Raises KeysUnavailable."""


class Vault:
    """Wraps and unwraps subject keys under the key-encryption key of an epoch; holds those of ``CACHED`` subjects
    unwrapped, as long as nothing was shredded: ``see`` is told how often that has happened."""

    CACHED = 8192
    DOCUMENTS = 1024
    """Consent documents that are held open."""

    def __init__(self, keks: Keks, pseudonym_key: bytes) -> None:
        if len(pseudonym_key) != KEY_SIZE:
            raise ConfigurationError(what="pseudonym key", bytes=KEY_SIZE)
        self._keks = keks
        self._opened: dict[int, AESGCM] = {}
        self._pseudonym_key = pseudonym_key
        self._shreddings = 0
        self._unwrapped: OrderedDict[str, SubjectKeys] = OrderedDict()
        self._documents: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        self._lock = Lock()
        # Bound per instance: two vaults have two keys.
        self.pseudonym = lru_cache(self.CACHED)(
            lambda uscc: hmac.digest(pseudonym_key, _SUBJECT_DOMAIN + uscc.encode(), "sha256").hex()[:32]
        )
        self.officer = lru_cache(self.CACHED)(
            lambda lender, reference: self._keyed(_OFFICER_DOMAIN, canonical([lender, reference]))[:32]
        )

    def consent_id(self, document: bytes) -> str:
        """The same document has the same id; keyed, since ids are in the log and a document can be guessed."""
        return "c" + self._keyed(_CONSENT_DOMAIN, document)[:30]

    def person(self, uscc: str, role: str, ref: str) -> str:
        """The pseudonym of a person beside an enterprise; the same person beside another one has another."""
        return self._keyed(_PERSON_DOMAIN, canonical([uscc, role, ref]))[:32]

    def part(self, document: bytes) -> str:
        """Tells whether two parts of a person are the same one, to whom has the key."""
        return self._keyed(_PART_DOMAIN, document)

    def _keyed(self, domain: bytes, content: bytes) -> str:
        return hmac.digest(self._pseudonym_key, domain + content, "sha256").hex()

    def _kek(self, epoch: int) -> AESGCM:
        if (opened := self._opened.get(epoch)) is None:
            # Two threads may both read it: the same key.
            opened = self._opened[epoch] = AESGCM(self._keks.kek(epoch))
        return opened

    def wrap(self, subject: str, retention: RetentionClass, version: int, epoch: int, secret: bytes) -> bytes:
        """The wrapped form for subject_keys. Raises KeysUnavailable where the epoch's key is not at hand."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return nonce + self._kek(epoch).encrypt(nonce, secret, _wrap_bound(subject, retention, version, epoch))

    def new_key(self, subject: str, retention: RetentionClass, version: int, epoch: int) -> tuple[SubjectKey, bytes]:
        """A fresh key and its wrapped form. Raises KeysUnavailable."""
        secret = secrets.token_bytes(KEY_SIZE)
        wrapped = self.wrap(subject, retention, version, epoch, secret)
        return SubjectKey.of(subject, retention, version, secret), wrapped

    def secret(self, subject: str, retention: RetentionClass, version: int, epoch: int, wrapped: bytes) -> bytes:
        """Raises KeysUnavailable under another key-encryption key or for a changed row."""
        bound = _wrap_bound(subject, retention, version, epoch)
        try:
            return self._kek(epoch).decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], bound)
        except (InvalidTag, ValueError):
            raise KeysUnavailable(what="subject key") from None

    def unwrap(self, subject: str, retention: RetentionClass, version: int, epoch: int, wrapped: bytes) -> SubjectKey:
        """Raises KeysUnavailable under another key-encryption key or for a changed row."""
        return SubjectKey.of(subject, retention, version, self.secret(subject, retention, version, epoch, wrapped))

    def see(self, shreddings: int) -> None:
        """``shreddings`` is what the transaction found: where it is more than was known, everything held is dropped."""
        with self._lock:
            if shreddings > self._shreddings:
                self._shreddings = shreddings
                self._unwrapped.clear()
                self._documents.clear()

    def forget_epochs(self, below: int) -> None:
        for epoch in [e for e in list(self._opened) if e < below]:
            self._opened.pop(epoch, None)

    def remember(self, subject: str, keys: SubjectKeys, shreddings: int) -> None:
        """Not what a read found before the newest shredding."""
        with self._lock:
            if shreddings != self._shreddings:
                return
            self._unwrapped[subject] = keys
            if len(self._unwrapped) > self.CACHED:
                self._unwrapped.popitem(last=False)

    def cached(self, subject: str) -> SubjectKeys | None:
        return self._unwrapped.get(subject)

    def seal_document(self, consent_id: str, document: bytes, key: SubjectKey) -> tuple[bytes, bytes]:
        """A consent's document as it is stored, and the digest that its row holds."""
        packed = key.seal("consents", consent_id, document).packed()
        digest = hashlib.sha256(packed).digest()
        self._hold(consent_id, digest, document)
        return packed, digest

    def document(self, consent_id: str, digest: bytes) -> bytes | None:
        """The document of a consent where the one with the ``digest`` in its row is held open. What a transaction
        sealed and did not commit has a digest that no row has."""
        known = self._documents.get(consent_id)
        return known[1] if known is not None and known[0] == digest else None

    def open_document(
        self, consent_id: str, digest: bytes, packed: bytes | None, key: Callable[[], SubjectKey]
    ) -> bytes:
        """The same from what is stored, opened where it is not held; ``key`` is asked only then. Raises
        KeysUnavailable, also where what is stored is not what the row says."""
        if packed is None or hashlib.sha256(packed).digest() != digest:
            raise KeysUnavailable(what="sealed payload")
        known = self.document(consent_id, digest)
        if known is not None:
            return known
        document = key().open("consents", consent_id, Sealed.unpacked(packed))
        self._hold(consent_id, digest, document)
        return document

    def _hold(self, consent_id: str, digest: bytes, document: bytes) -> None:
        with self._lock:
            self._documents[consent_id] = (digest, document)
            if len(self._documents) > self.DOCUMENTS:
                self._documents.popitem(last=False)


def _wrap_bound(subject: str, retention: RetentionClass, version: int, epoch: int) -> bytes:
    return canonical(["subject_keys", subject, retention.value, version, epoch])
