"""Who signed an exported head, who among them is trusted, and whether a remembered head is one of its past."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consent.log.note import ED25519, Checkpoint, Note, NoteError, Vkey, parse_vkeys
from consent.log.report import Problem
from consent.log.rotation import Succession


class Broken(Exception):
    """What is wrong with an export; ``intact``: how many leading entries its signed root still vouches for."""

    def __init__(self, problem: Problem, intact: int = 0) -> None:
        self.problem, self.intact = problem, intact


def _wrong_head(text: str) -> Broken:
    return Broken(Problem("checkpoint", "checkpoint", text))


@dataclass(frozen=True, slots=True)
class Head:
    """An exported checkpoint whose every signature holds; ``vkeys`` are the log keys among those that signed."""

    text: str
    note: Note
    checkpoint: Checkpoint
    vkeys: tuple[Vkey, ...]


def open_head(keys: bytes, checkpoint: bytes) -> Head:
    """From the files ``vkey`` and ``checkpoint``. Raises ``Broken``."""
    try:
        vkeys = parse_vkeys(keys)
    except NoteError as err:
        raise Broken(Problem("vkey", "vkey", str(err))) from None
    try:
        text = checkpoint.decode()
        note = Note.parse(text)
        # One signature a key and one key a signature, in order: so no line of either file is there for nothing.
        if note.signers(vkeys) != vkeys or len(note.signatures) != len(vkeys):
            raise NoteError("the keys in vkey are not the ones that signed")
        signers = tuple(vkey for vkey in vkeys if vkey.kind == ED25519)
        if not signers:
            raise NoteError("signed by witnesses alone")
        return Head(text, note, Checkpoint.parse(note.text), signers)
    except UnicodeDecodeError:
        raise _wrong_head("not UTF-8") from None
    except NoteError as err:
        raise _wrong_head(str(err)) from None


def signers(head: Head, keys: Succession, trusted: Sequence[Vkey]) -> tuple[Vkey, ...]:
    """The log keys that vouch for the head: the trusted ones among those that signed, or the key that a trusted one
    handed over to by a statement in the log; all of them where no key is trusted. Raises ``Broken``."""
    for vkey in head.vkeys:
        if (limit := keys.limit(vkey)) is not None:
            raise _wrong_head(f"signed by {vkey.label()}, a key that was replaced at entry {limit}")
    if keys.last and (keys.last not in head.vkeys or keys.last.name != head.checkpoint.origin):
        raise _wrong_head(f"not signed by {keys.last.label()}, the key that the log went on with")
    if not trusted:
        return head.vkeys
    found = tuple(vkey for vkey in head.vkeys if vkey in trusted)
    if not found and keys.last and not set(trusted).isdisjoint(keys.linked):
        found = (keys.last,)
    if not found:
        raise _wrong_head("no trusted key signed this checkpoint")
    return found


def cosigners(head: Head, witnesses: Sequence[Vkey]) -> tuple[tuple[Vkey, int], ...]:
    """The known witnesses that co-signed the head, and when; at least one where any are known. Raises ``Broken``."""
    found = head.note.cosigners(witnesses)
    if witnesses and not found:
        raise _wrong_head("no known witness co-signed this checkpoint")
    return found


@dataclass(frozen=True, slots=True)
class Older:
    """A signed head that should be one of the log's past, not yet held against anything."""

    how: Literal["remembered", "stamped"]
    path: str
    """Of the file that is to blame where it is not."""
    note: str

    def wrong(self, text: str) -> Broken:
        return Broken(Problem("history" if self.how == "remembered" else "timestamp", self.path, text))

    def checkpoint(self) -> Checkpoint:
        """Raises ``Broken`` where the note is none of a checkpoint."""
        try:
            return Checkpoint.parse(Note.parse(self.note).text)
        except NoteError as err:
            raise self.wrong(f"the {self.how} checkpoint: {err}") from None


def check_history(older: Older, prefix_root: bytes, head: Head, keys: Succession, trusted: Sequence[Vkey]) -> None:
    """Raises ``Broken`` unless the older head was signed by this log and is the head of its first entries.

    ``prefix_root`` is the root of as many leading entries as the older head covers.
    """
    old = older.checkpoint()
    try:
        by = Note.parse(older.note).signers([*(trusted or head.vkeys), *keys.keys])
    except NoteError as err:
        raise older.wrong(f"the {older.how} checkpoint: {err}") from None
    size = head.checkpoint.size if old.origin == head.checkpoint.origin else keys.ended(old.origin)
    if size is None:
        raise older.wrong(f"the {older.how} checkpoint is of another log")
    if old.size > size:
        now = "has" if old.origin == head.checkpoint.origin else "went on under another name with"
        raise older.wrong(f"rolled back or cut off: it was {older.how} with {old.size} entries and {now} {size}")
    if old.root != prefix_root:
        raise older.wrong(f"rewritten: its first {old.size} entries are not those of the {older.how} checkpoint")
    for vkey in by:
        if (limit := keys.limit(vkey)) is not None and old.size > limit:
            text = f"the {older.how} checkpoint: signed by {vkey.label()}, a key that was replaced at entry {limit}"
            raise older.wrong(text)
