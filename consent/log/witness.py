"""A witness of logs: it co-signs a checkpoint only where the log grew from the one it co-signed last.

The rules of https://c2sp.org/tlog-witness (``add-checkpoint``) without the HTTP around them: ``Witness`` judges the
body of a request and answers with a signature line (https://c2sp.org/tlog-cosignature), or raises ``Refusal`` with the
status to answer. What it co-signed is written and synced before the line is given out, in a folder that one process
holds, and its own signature on it is checked when it is read again.
"""

import base64
import fcntl
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.merkle import EMPTY_ROOT, HASH_SIZE, ProofError, verify_consistency
from consent.log.note import COSIGNATURE, Checkpoint, Note, NoteError, Vkey, cosign, unbase64

MAX_PROOF = 63
MAX_REQUEST = 65536
SIZE_TYPE = "text/x.tlog.size"

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


class Refusal(Exception):
    """Why a checkpoint was not co-signed: the HTTP status, and for a conflict the size that was co-signed last."""

    def __init__(self, status: int, reason: str, size: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.size = status, reason, size


class StateError(Exception):
    """The folder is held by another witness, or what is in it was not co-signed by this one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A request: the note, and the proof that it grew from the first ``old`` entries."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint

    @classmethod
    def parse(cls, body: bytes) -> "Offer":
        """Raises ``Refusal``."""
        try:
            head, separator, note = body.decode().partition("\n\n")
            first, *lines = head.split("\n")
            match = _OLD.fullmatch(first)
            if not match or not separator or len(lines) > MAX_PROOF:
                raise NoteError("a request is an old size, up to 63 hashes, an empty line and a checkpoint")
            proof = tuple(map(unbase64, lines))
            if any(len(node) != HASH_SIZE for node in proof):
                raise NoteError("a hash is 32 bytes")
            parsed = Note.parse(note)
            return cls(int(match[1]), proof, parsed, Checkpoint.parse(parsed.text))
        except UnicodeDecodeError:
            raise Refusal(400, "not UTF-8") from None
        except NoteError as err:
            raise Refusal(400, str(err)) from None


def request_body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """What a log sends: its signed checkpoint, and the consistency proof from ``old`` entries to it."""
    hashes = "".join(base64.b64encode(node).decode() + "\n" for node in proof)
    return f"old {old}\n{hashes}\n{note}".encode()


class Folder:
    """The newest co-signed checkpoint of each log, one file each. Raises ``StateError`` where another holds it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StateError("another witness holds this folder") from None

    def _file(self, origin: str) -> Path:
        return self._path / f"{sha256(origin.encode()).hexdigest()}.checkpoint"

    def read(self, origin: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return self._file(origin).read_bytes()
        return None

    def write(self, origin: str, note: str) -> None:
        """Durable when it returns; after an OSError either the old or the new one stands, whole."""
        file = self._file(origin)
        temporary = file.with_suffix(".new")
        with temporary.open("wb") as stream:
            stream.write(note.encode())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._lock)


class Witness:
    """``logs``: the verifier keys that each origin may sign with; ``clock``: POSIX seconds."""

    def __init__(
        self,
        name: str,
        key: Ed25519PrivateKey,
        logs: Mapping[str, Sequence[Vkey]],
        folder: Folder,
        clock: Callable[[], int],
    ) -> None:
        self.vkey = Vkey.of(name, key, COSIGNATURE)
        self._key = key
        self._logs = logs
        self._folder = folder
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._last = {origin: self._read(origin) for origin in logs}

    def _read(self, origin: str) -> Checkpoint:
        """The checkpoint co-signed last; the empty tree where there is none."""
        data = self._folder.read(origin)
        if data is None:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        try:
            note = Note.parse(data.decode())
            checkpoint = Checkpoint.parse(note.text)
            mine = note.cosigners([self.vkey])
        except (NoteError, UnicodeDecodeError):
            raise StateError(f"the file of {origin} is damaged") from None
        if not mine or checkpoint.origin != origin:
            raise StateError(f"the file of {origin} is not co-signed by this witness")
        return checkpoint

    def add_checkpoint(self, body: bytes) -> str:
        """The signature line for a checkpoint that grew from the last one. Raises ``Refusal``, or OSError where it
        could not be kept: then nothing was given out."""
        offer = Offer.parse(body)
        origin = offer.checkpoint.origin
        if origin not in self._logs:
            raise Refusal(404, "unknown log")
        try:
            known = {(vkey.name, vkey.key_id) for vkey in offer.note.signers(self._logs[origin])}
        except NoteError as err:
            raise Refusal(403, str(err)) from None
        with self._one_at_a_time:
            self._judge(offer, self._last[origin])
            line = cosign(offer.note.text, self.vkey.name, self._key, self._clock())
            kept = "".join(s.line() for s in offer.note.signatures if (s.name, s.key_id) in known)
            self._folder.write(origin, f"{offer.note.text}\n{kept}{line}")
            self._last[origin] = offer.checkpoint
        return line

    @staticmethod
    def _judge(offer: Offer, last: Checkpoint) -> None:
        old, new = offer.old, offer.checkpoint
        if old > new.size:
            raise Refusal(400, "the old size is larger than the checkpoint's")
        if old != last.size:
            raise Refusal(409, "another size was co-signed last", last.size)
        if old == new.size and last.root != new.root:
            raise Refusal(409, "another root was co-signed at this size", last.size)
        try:
            if old:
                verify_consistency(old, new.size, offer.proof, last.root, new.root)
            elif offer.proof:
                raise ProofError("from the empty tree there is nothing to prove")
        except ProofError as err:
            raise Refusal(422, str(err)) from None
