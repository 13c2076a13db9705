"""The log inside the database: entries, full-tile roots and the signed head, all written in the caller's transaction.

The head row is read inside the transaction, so several processes share one log and there are never two heads of one
size. Beside the leaf hashes the root over every full tile of 256 is kept, so that any proof (RFC 6962 section 2.1)
takes a few short reads whatever the size.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, bindparam, func, insert, select, update

from consent.log.merkle import EMPTY_ROOT, CompactRange, Growth, ProofError, leaf_hash, root_of
from consent.log.note import Checkpoint, NoteError, Vkey, open_checkpoint, sign_checkpoint
from consent.log.rotation import Rotation
from consent.storage import Writing, fetch, write_all
from consent.tables import log_entries, log_head, log_tiles
from schemas.errors import LogBroken
from schemas.events import EntryValue, entry_bytes

TILE = 256

_HEAD = select(log_head.c.origin, log_head.c.size, log_head.c.root, log_head.c.range, log_head.c.checkpoint)
_ADD_ENTRY = insert(log_entries)
_ADD_TILE = insert(log_tiles)
_SET_HEAD = update(log_head).values({name: bindparam(name) for name in ("size", "root", "range", "checkpoint")})
_LEAVES = (
    select(log_entries.c.leaf)
    .where(log_entries.c.position >= bindparam("start"), log_entries.c.position < bindparam("stop"))
    .order_by(log_entries.c.position)
)
_TILES = (
    select(log_tiles.c.hash)
    .where(
        log_tiles.c.level == bindparam("tier"),
        log_tiles.c.number >= bindparam("start"),
        log_tiles.c.number < bindparam("stop"),
    )
    .order_by(log_tiles.c.number)
)


@dataclass(frozen=True, slots=True)
class Head:
    """A committed tree head and its signed checkpoint."""

    size: int
    root: bytes
    checkpoint: str


def nodes(connection: Connection, tier: int, start: int, stop: int) -> list[bytes]:
    """Hashes ``start`` to ``stop`` of tree level ``8 * tier``. Raises LogBroken when one is missing."""
    found: list[bytes] = list(
        connection.scalars(_LEAVES, {"start": start, "stop": stop})
        if tier == 0
        else connection.scalars(_TILES, {"tier": tier, "start": start, "stop": stop})
    )
    if len(found) != stop - start:
        raise LogBroken(at="hashes", level=8 * tier, first=start)
    return found


def hash_at(connection: Connection, level: int, index: int) -> bytes:
    """The complete node (level, index) of the tree, as consent.log.merkle asks for it."""
    tier, within = divmod(level, 8)
    return root_of(nodes(connection, tier, index << within, (index + 1) << within))


def root_at(connection: Connection, size: int) -> bytes:
    """The root the tree had at ``size``, from what is stored."""
    hashes, covered = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            hashes.append(hash_at(connection, level, covered >> level))
            covered += 1 << level
    return CompactRange(size, tuple(hashes)).root()


class _Stored(NamedTuple):
    origin: str
    size: int
    root: bytes
    range: bytes
    checkpoint: str


def _head_row(connection: Connection) -> _Stored:
    rows = fetch(connection, _HEAD)
    if not rows:
        raise LogBroken(at="head")
    return _Stored(*rows[0])


def read_head(connection: Connection) -> Head:
    """Raises LogBroken where there is none."""
    row = _head_row(connection)
    return Head(row.size, row.root, row.checkpoint)


class Ledger:
    """What signs: the origin and the key. Remembers the last range, used only while the stored head still matches.

    ``other_keys`` is asked when a stored head was not signed by ``key``: another process may have changed the key.
    """

    def __init__(
        self,
        origin: str,
        key: Ed25519PrivateKey,
        other_keys: Callable[[], Sequence[Ed25519PrivateKey]] = tuple,
    ) -> None:
        self.origin = origin
        self.key = key
        self._other_keys = other_keys
        self._range = CompactRange()
        self._next_key: Ed25519PrivateKey | None = None

    @property
    def vkey(self) -> Vkey:
        return Vkey.of(self.origin, self.key)

    def sign(self, size: int, root: bytes, key: Ed25519PrivateKey | None = None) -> str:
        return sign_checkpoint(Checkpoint(self.origin, size, root), self.origin, key or self.key)

    def named(self, origin: str) -> "Ledger":
        """The same keys for the log of another origin."""
        return Ledger(origin, self.key, self._other_keys)

    def create(self, connection: Connection) -> None:
        """Write the empty head where there is none yet."""
        if connection.execute(_HEAD).one_or_none() is None:
            connection.execute(
                insert(log_head).values(
                    one=1,
                    origin=self.origin,
                    size=0,
                    root=EMPTY_ROOT,
                    range=CompactRange().to_bytes(),
                    checkpoint=self.sign(0, EMPTY_ROOT),
                )
            )

    def check(self, connection: Connection, known: Head | None, vkeys: Sequence[Vkey] = ()) -> Head:
        """The stored head, after holding it against its range, its signature, the entries and the last known head.
        ``vkeys`` may have signed it too.

        Raises LogBroken: nothing may be signed on top of what does not hold together.
        """
        row = _head_row(connection)
        try:
            tree = CompactRange.from_bytes(row.range)
            checkpoint = self._opened(row.checkpoint, vkeys)
        except (ProofError, NoteError):
            raise LogBroken(at="head") from None
        if (tree.size, tree.root()) != (row.size, row.root):
            raise LogBroken(at="range")
        if checkpoint != Checkpoint(self.origin, row.size, row.root):
            raise LogBroken(at="checkpoint")
        last = connection.scalar(select(func.max(log_entries.c.position)))
        if row.size != (0 if last is None else last + 1):
            raise LogBroken(at="entries", size=row.size)
        if known is not None and not self.has(connection, known):
            raise LogBroken(at="head", known=known.size, size=row.size)
        return Head(row.size, row.root, row.checkpoint)

    def has(self, connection: Connection, head: Head) -> bool:
        """Whether the stored log has come to ``head``, or went on from it."""
        return _head_row(connection).size >= head.size and root_at(connection, head.size) == head.root

    def _opened(self, note: str, vkeys: Sequence[Vkey]) -> Checkpoint:
        try:
            return open_checkpoint(note, [self.vkey, *vkeys])[0]
        except NoteError:
            for key in self._other_keys():
                with suppress(NoteError):
                    checkpoint, _ = open_checkpoint(note, [Vkey.of(self.origin, key)])
                    self.key = key
                    return checkpoint
            raise

    def open(self, connection: Connection) -> "Page":
        """Raises LogBroken where the stored head is neither the last one known nor continues it."""
        self._next_key = None
        row = _head_row(connection)
        tree, head = self._range, Head(row.size, row.root, row.checkpoint)
        if tree.size != row.size or tree.root() != row.root:
            # Another process went on from there, or somebody put an older state in place: that must not be signed on.
            self.check(connection, Head(tree.size, tree.root(), ""))
            tree = CompactRange.from_bytes(row.range)
        return Page(self, connection, tree, head)

    def change_key(self, key: Ed25519PrivateKey) -> None:
        """Sign with this key once the transaction that signed its first head was committed."""
        self._next_key = key

    def remember(self, tree: CompactRange) -> None:
        """Keep the range, and the key, of a commit that succeeded."""
        self._range = tree
        self.key, self._next_key = self._next_key or self.key, None


class Page:
    """The entries that one transaction appends."""

    def __init__(self, ledger: Ledger, connection: Connection, tree: CompactRange, head: Head) -> None:
        self._ledger = ledger
        self._connection = connection
        self._tree = tree
        self._head = head
        self._rows: list[dict[str, object]] = []
        self._leaves: list[bytes] = []
        self._new_key: Ed25519PrivateKey | None = None

    @property
    def size(self) -> int:
        """Of the committed log, without what this transaction appends."""
        return self._tree.size

    def rotation(self, new_key: Ed25519PrivateKey) -> Rotation | None:
        """The key change that the next entry would state; None where this transaction states one already."""
        if self._new_key:
            return None
        index = self._tree.size + len(self._leaves)
        origin = self._ledger.origin
        return Rotation(origin, index, self._ledger.vkey, Vkey.of(origin, new_key))

    def rotate(self, rotation: Rotation, new_key: Ed25519PrivateKey) -> str:
        """Sign this transaction's head with the new key; answers with the statement for the next entry."""
        self._new_key = new_key
        return rotation.sign(self._ledger.key, new_key)

    def append(
        self,
        event: str,
        *,
        id: str,
        time: str,
        actor: str,
        consent: str | None,
        subject: str | None,
        data: Mapping[str, EntryValue],
    ) -> tuple[int, bytes]:
        """The index and canonical bytes of a new entry."""
        entry = entry_bytes(event, id=id, time=time, actor=actor, consent=consent, subject=subject, data=data)
        leaf = leaf_hash(entry)
        index = self._tree.size + len(self._leaves)
        self._leaves.append(leaf)
        self._rows.append(
            {
                "position": index,
                "id": id,
                "event": event,
                "time": time,
                "actor": actor,
                "consent": consent,
                "subject": subject,
                "entry": entry,
                "leaf": leaf,
            }
        )
        return index, entry

    def write(self, beside: Sequence[Writing] = ()) -> tuple[Head, Growth]:
        """Store what is to be written ``beside`` the log, then the entries, and sign and store the one head of this
        transaction; no new head where no entry came."""
        growth = self._tree.extend(self._leaves)
        if not self._rows:
            write_all(self._connection, beside)
            return self._head, growth
        if self._new_key:
            self._ledger.change_key(self._new_key)
        checkpoint = self._ledger.sign(growth.size, growth.root, self._new_key)
        head = {"size": growth.size, "root": growth.root, "range": growth.range.to_bytes(), "checkpoint": checkpoint}
        log: list[Writing] = [(_ADD_ENTRY, self._rows), (_ADD_TILE, self._tiles()), (_SET_HEAD, [head])]
        write_all(self._connection, [*beside, *log])
        return Head(growth.size, growth.root, checkpoint), growth

    def _tiles(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        tier, first, made = 0, self._tree.size, self._leaves
        while (start := first // TILE) < (stop := (first + len(made)) // TILE):
            below = nodes(self._connection, tier, start * TILE, first) + made
            roots = [root_of(below[n * TILE : (n + 1) * TILE]) for n in range(stop - start)]
            tier, first, made = tier + 1, start, roots
            rows += [{"level": tier, "number": start + n, "hash": root} for n, root in enumerate(roots)]
        return rows
