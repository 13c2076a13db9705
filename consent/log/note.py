"""Signed notes, checkpoints and cosignatures: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint and
https://c2sp.org/tlog-cosignature, all Ed25519: a log signs with type 0x01, a witness co-signs with type 0x04.

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
COSIGNATURE = b"\x04"
TIME_SIZE = 8
MAX_SIZE = 2**63 - 1
MAX_SIGNATURES = 64

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
_NOT_IN_NAME = re.compile(r"[+\s\x00-\x1f]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(Exception):
    """Not a note, not a checkpoint, or not signed by a key we know."""


def unbase64(text: str) -> bytes:
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
        checkpoint = cls(lines[0], int(lines[1]), unbase64(lines[2]))
        checkpoint.text()
        return checkpoint


@dataclass(frozen=True, slots=True)
class Vkey:
    """A verifier key, ``NAME+KEYID+BASE64(type || key)``: who signs, the 32 bytes of the Ed25519 public key, and as
    what: a log (``ED25519``) or a witness (``COSIGNATURE``)."""

    name: str
    key: bytes
    kind: bytes = ED25519

    @classmethod
    def of(cls, name: str, private_key: Ed25519PrivateKey, kind: bytes = ED25519) -> "Vkey":
        _check_name(name)
        return cls(name, private_key.public_key().public_bytes_raw(), kind)

    @classmethod
    def parse(cls, text: str) -> "Vkey":
        match = _VKEY.fullmatch(text)
        if not match:
            raise NoteError("a verifier key is NAME+KEYID+BASE64")
        name, key_id, encoded = match.groups()
        _check_name(name)
        data = unbase64(encoded)
        vkey = cls(name, data[1:], data[:1])
        if vkey.kind not in (ED25519, COSIGNATURE) or vkey.key_id.hex() != key_id:
            raise NoteError("the verifier key is not an Ed25519 key with this key id")
        return vkey

    @property
    def key_id(self) -> bytes:
        return sha256(_encoded(self.name) + b"\n" + self.kind + self.key).digest()[:4]

    def text(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.kind + self.key).decode()}"

    def label(self) -> str:
        """Name and key id: what a signature line shows, and enough to tell two keys of one name apart."""
        return f"{self.name}+{self.key_id.hex()}"

    def verify(self, signature: bytes, text: str) -> None:
        """Raises ``NoteError`` unless this key made the signature (as its line holds it) over the text of a note."""
        message = _encoded(text)
        if self.kind == COSIGNATURE:
            time, signature = int.from_bytes(signature[:TIME_SIZE], "big"), signature[TIME_SIZE:]
            message = cosigned(text, time)
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise NoteError("a signature does not verify") from None


def parse_vkeys(data: bytes) -> tuple[Vkey, ...]:
    """A file of verifier keys, one a line, each line ended; ``NoteError`` otherwise, or when there is none."""
    try:
        *lines, rest = data.decode().split("\n")
    except UnicodeDecodeError:
        raise NoteError("not UTF-8") from None
    if rest or not lines:
        raise NoteError("verifier keys stand one a line")
    return tuple(map(Vkey.parse, lines))


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
        found = tuple(self._verified(vkeys))
        if not found:
            raise NoteError("no known key signed this note")
        return found

    def cosigners(self, witnesses: Sequence[Vkey]) -> tuple[tuple[Vkey, int], ...]:
        """The known witnesses that co-signed, none being no error, and when (POSIX seconds); a bad signature raises."""
        verified = self._verified([vkey for vkey in witnesses if vkey.kind == COSIGNATURE])
        return tuple((vkey, int.from_bytes(line.signature[:TIME_SIZE], "big")) for vkey, line in verified.items())

    def _verified(self, vkeys: Sequence[Vkey]) -> dict[Vkey, Signature]:
        known = {(vkey.name, vkey.key_id): vkey for vkey in vkeys}
        found: dict[Vkey, Signature] = {}
        for line in self.signatures:
            vkey = known.get((line.name, line.key_id))
            if vkey is not None:
                vkey.verify(line.signature, self.text)
                found[vkey] = line
        return found


def cosigned(text: str, time: int) -> bytes:
    """What a witness signs: a header, the time in POSIX seconds, and the text of the checkpoint."""
    if time > MAX_SIZE:
        raise NoteError("the time of a cosignature is below 2^63")
    return b"cosignature/v1\ntime %d\n%b" % (time, _encoded(text))


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—":
        raise NoteError("a signature line begins with an em dash")
    _check_name(name)
    data = unbase64(encoded)
    if len(data) < 5:
        raise NoteError("a signature has a key id and at least one byte")
    return Signature(name, data[:4], data[4:])


def sign_note(text: str, name: str, private_key: Ed25519PrivateKey) -> str:
    """``text`` must end with a newline."""
    vkey = Vkey.of(name, private_key)
    return f"{text}\n{Signature(name, vkey.key_id, private_key.sign(_encoded(text))).line()}"


def cosign(text: str, name: str, private_key: Ed25519PrivateKey, time: int) -> str:
    """The signature line of a witness for the text of a checkpoint; ``time`` in POSIX seconds."""
    signature = time.to_bytes(TIME_SIZE, "big") + private_key.sign(cosigned(text, time))
    return Signature(name, Vkey.of(name, private_key, COSIGNATURE).key_id, signature).line()


def sign_checkpoint(checkpoint: Checkpoint, name: str, private_key: Ed25519PrivateKey) -> str:
    """The signed note. The caller has stored this head durably first, and never signs two roots for one size."""
    return sign_note(checkpoint.text(), name, private_key)


def open_checkpoint(note: str, vkeys: Sequence[Vkey]) -> tuple[Checkpoint, tuple[Vkey, ...]]:
    """The checkpoint and the known keys that signed it."""
    parsed = Note.parse(note)
    signers = parsed.signers(vkeys)
    return Checkpoint.parse(parsed.text), signers
