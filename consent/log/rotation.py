"""How a log goes on under another key: a statement that both keys sign, kept as an entry of the log itself.

The statement is a signed note (https://c2sp.org/signed-note) of five lines: a header, the origin, the index of the
entry that holds it, the old key and the new one (verifier keys). The old key signs no head that covers this entry, the
new key every head from there on. Both sign, so neither can be named by somebody who does not hold it.

A new key of another name says that the log goes on under that name as its origin: its database was lost or put back
from a backup, and it must not sign a second head of one size under the name that it had. Only there the old key may be
one that no entry before names, for the entry that named it may be among those that were lost.
"""

import json
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.note import ED25519, Note, NoteError, Vkey, sign_note

EVENT = "log.rekeyed"
MARK = f'"event":"{EVENT}"'.encode()
"""Every canonical entry of a rotation contains it; what contains it need not be one."""

_HEADER = "xinqiao/log-key-rotation/v1"
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Rotation:
    """From entry ``index`` of the log ``origin`` on, ``new`` signs in place of ``old``."""

    origin: str
    index: int
    old: Vkey
    new: Vkey

    def text(self) -> str:
        return f"{_HEADER}\n{self.origin}\n{self.index}\n{self.old.text()}\n{self.new.text()}\n"

    def sign(self, old_key: Ed25519PrivateKey, new_key: Ed25519PrivateKey) -> str:
        """The statement as a note, which ``open`` reads."""
        note = sign_note(self.text(), self.old.name, old_key)
        return note + sign_note(self.text(), self.new.name, new_key).rpartition("\n\n")[2]

    @classmethod
    def open(cls, note: str) -> "Rotation":
        """Raises ``NoteError`` unless it is a statement signed by both keys, the old one first."""
        parsed = Note.parse(note)
        header, *rest = parsed.text.split("\n")
        if header != _HEADER or len(rest) != 5 or not _INDEX.fullmatch(rest[1]):
            raise NoteError("not a statement of a key rotation")
        rotation = cls(rest[0], int(rest[1]), Vkey.parse(rest[2]), Vkey.parse(rest[3]))
        keys = (rotation.old, rotation.new)
        if rotation.old == rotation.new or any(vkey.kind != ED25519 for vkey in keys):
            raise NoteError("a rotation is from one log key to another")
        if parsed.signers(keys) != keys or len(parsed.signatures) != 2:
            raise NoteError("a rotation is signed by both keys, the old one first")
        return rotation


class Succession:
    """The keys of one log in their order, from the rotations in its entries."""

    def __init__(self) -> None:
        self._until: dict[Vkey, int] = {}
        self._replaced: set[bytes] = set()
        self._linked = 0
        self.rotations: list[Rotation] = []

    def add(self, index: int, entry: bytes) -> None:
        """Take in a canonical entry that contains ``MARK``. Raises ``NoteError`` where its statement does not hold."""
        value = json.loads(entry)
        if value.get("event") != EVENT:
            return
        if type(statement := value.get("statement")) is not str:
            raise NoteError("a rotation without its statement")
        rotation = Rotation.open(statement)
        if rotation.index != index or rotation.old.name != rotation.origin:
            raise NoteError("a statement of another place or another log")
        if not {rotation.old.key, rotation.new.key}.isdisjoint(self._replaced):
            raise NoteError("a rotation from or to a key that had been replaced")
        if self.last not in (None, rotation.old):
            if rotation.new.name == rotation.origin or self.last.name != rotation.origin:
                raise NoteError("a rotation from a key that the log had not gone on with")
            self._linked = len(self.rotations)
        if rotation.old.key != rotation.new.key:
            self._replaced.add(rotation.old.key)
        self._until[rotation.old] = index
        self.rotations.append(rotation)

    @property
    def last(self) -> Vkey | None:
        """The key that signs now; None where the log never changed it."""
        return self.rotations[-1].new if self.rotations else None

    @property
    def keys(self) -> tuple[Vkey, ...]:
        """Every key that a rotation names, oldest first."""
        return tuple(dict.fromkeys(vkey for one in self.rotations for vkey in (one.old, one.new)))

    @property
    def linked(self) -> tuple[Vkey, ...]:
        """Those from which one statement after the other leads to the last."""
        return tuple(dict.fromkeys(vkey for one in self.rotations[self._linked :] for vkey in (one.old, one.new)))

    def ended(self, origin: str) -> int | None:
        """How many entries the log had when it went on under another name than ``origin``; None where it did not."""
        return next((one.index for one in self.rotations if one.origin == origin != one.new.name), None)

    def limit(self, vkey: Vkey) -> int | None:
        """The largest size that a replaced key may sign; None for any other key."""
        return self._until.get(vkey)
