"""Signed notes and checkpoints: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint, Ed25519 (type 0x01).

A note is text, an empty line, and signature lines ``— NAME BASE64(key id || signature)``. A checkpoint is a note whose
text is three lines: origin, size, root. Both are read strictly: what is parsed, written again, gives the same bytes
(base64 included), so no byte of a note can change unseen. Extension lines are refused: this log never signs any.

As the specification asks, signatures by unknown keys are skipped, one bad signature by a known key spoils the whole
note, and a note that no known key signed is refused. Every refusal is a ``NoteError``.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent.log.merkle import HASH_SIZE

ED25519 = b"\x01"
MAX_SIZE = 2**63 - 1
MAX_SIGNATURES = 64

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
_NOT_IN_NAME = re.compile(r"[+\s\x00-\x1f]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(Exception):
    """Not a note, not a checkpoint, or not signed by a key we know."""


def _unbase64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    # Padding bits that decode to nothing would be bits that nobody signed.
    if base64.b64encode(data).decode() != text:
        raise NoteError("base64 with stray bits")
    return data


def _check_name(name: str) -> None:
    if not name or _NOT_IN_NAME.search(name):
        raise NoteError("a key name has no spaces and no plus sign")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: the log's origin (one line), its size, and the 32 bytes of its root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        if not self.origin or "\n" in self.origin or _CONTROL.search(self.origin):
            raise NoteError("an origin is one line of text")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_SIZE:
            raise NoteError("a checkpoint has a size below 2^63 and a root of 32 bytes")
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0]:
            raise NoteError("a checkpoint is three lines: origin, size, root")
        if not _SIZE.fullmatch(lines[1]):
            raise NoteError("the size is a decimal number")
        checkpoint = cls(lines[0], int(lines[1]), _unbase64(lines[2]))
        checkpoint.text()
        return checkpoint


@dataclass(frozen=True, slots=True)
class Vkey:
    """A verifier key, ``NAME+KEYID+BASE64(0x01 || key)``: who signs, and the 32 bytes of the Ed25519 public key."""

    name: str
    key: bytes

    @classmethod
    def of(cls, name: str, private_key: Ed25519PrivateKey) -> "Vkey":
        _check_name(name)
        return cls(name, private_key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "Vkey":
        match = _VKEY.fullmatch(text)
        if not match:
            raise NoteError("a verifier key is NAME+KEYID+BASE64")
        name, key_id, encoded = match.groups()
        _check_name(name)
        data = _unbase64(encoded)
        vkey = cls(name, data[1:])
        if data[:1] != ED25519 or vkey.key_id.hex() != key_id:
            raise NoteError("the verifier key is not an Ed25519 key with this key id")
        return vkey

    @property
    def key_id(self) -> bytes:
        return sha256(_encoded(self.name) + b"\n" + ED25519 + self.key).digest()[:4]

    def text(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.key).decode()}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the name it claims, the key id, and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NoteError("not UTF-8") from None


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart; nothing in it is to be believed before ``signers`` has answered."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, note: str) -> "Note":
        if _CONTROL.search(note):
            raise NoteError("a note has no control characters")
        # The last empty line separates; a signature line is never empty, so the first one from the end is it.
        text, separator, tail = note.rpartition("\n\n")
        lines = tail.split("\n")
        if not separator or lines.pop():
            raise NoteError("a note is text, an empty line and signature lines")
        if not 0 < len(lines) <= MAX_SIGNATURES:
            raise NoteError("a note has 1 to 64 signatures")
        return cls(text + "\n", tuple(map(_signature, lines)))

    def signers(self, vkeys: Sequence[Vkey]) -> tuple[Vkey, ...]:
        """The known keys that signed this text, in the order of their lines, each once; a bad signature raises."""
        known = {(vkey.name, vkey.key_id): vkey for vkey in vkeys}
        message = _encoded(self.text)
        found: dict[Vkey, None] = {}
        for line in self.signatures:
            vkey = known.get((line.name, line.key_id))
            if vkey is None:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(vkey.key).verify(line.signature, message)
            except (InvalidSignature, ValueError):
                raise NoteError("a signature does not verify") from None
            found[vkey] = None
        if not found:
            raise NoteError("no known key signed this note")
        return tuple(found)


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—":
        raise NoteError("a signature line begins with an em dash")
    _check_name(name)
    data = _unbase64(encoded)
    if len(data) < 5:
        raise NoteError("a signature has a key id and at least one byte")
    return Signature(name, data[:4], data[4:])


def sign_note(text: str, name: str, private_key: Ed25519PrivateKey) -> str:
    """``text`` must end with a newline."""
    vkey = Vkey.of(name, private_key)
    return f"{text}\n{Signature(name, vkey.key_id, private_key.sign(_encoded(text))).line()}"


def sign_checkpoint(checkpoint: Checkpoint, name: str, private_key: Ed25519PrivateKey) -> str:
    """The signed note. The caller has stored this head durably first, and never signs two roots for one size."""
    return sign_note(checkpoint.text(), name, private_key)


def open_checkpoint(note: str, vkeys: Sequence[Vkey]) -> tuple[Checkpoint, tuple[Vkey, ...]]:
    """The checkpoint and the known keys that signed it."""
    parsed = Note.parse(note)
    signers = parsed.signers(vkeys)
    return Checkpoint.parse(parsed.text), signers
