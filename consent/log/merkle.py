"""The Merkle tree of the log: RFC 6962 section 2.1 (the same tree as RFC 9162 section 2.1), over SHA-256.

Hashes are 32 raw bytes. A node is named by its level and its index in that level: level 0 holds the leaf hashes, and
node (level, index) covers leaves ``index << level`` up to ``(index + 1) << level``. A node is complete when all of
them exist; a complete node never changes again, so a ``CompactRange`` (the complete nodes along the right edge) is all
that is needed to grow the tree and to prove what has just been appended.

Everything here is pure. Whatever is wrong with a proof, its sizes or the hashes in it, the answer is a ``ProofError``.
The empty tree proves nothing: it includes no entry, and "consistent with the empty tree" says nothing about anybody's
log, so size 0 is refused by both proofs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256().digest()

HashAt = Callable[[int, int], bytes]


class ProofError(Exception):
    """A proof does not hold, or cannot be made from what was given."""


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes, in order; ``EMPTY_ROOT`` over none."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        # A node without a right sibling moves up as it is: the same tree as the recursive split in the RFC.
        alone = level[-1:] if len(level) % 2 else []
        level = _parents(level) + alone
    return level[0]


def _parents(level: Sequence[bytes]) -> list[bytes]:
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]


@dataclass(frozen=True, slots=True)
class CompactRange:
    """A tree of ``size`` leaves as the hashes of its complete subtrees, left (largest) to right (smallest)."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """The size in 8 bytes, big-endian, then the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> "CompactRange":
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + HASH_SIZE * size.bit_count():
            raise ProofError("a compact range holds one hash for each bit set in its size")
        return cls(size, tuple(data[at : at + HASH_SIZE] for at in range(8, len(data), HASH_SIZE)))

    def root(self) -> bytes:
        return _folded(reversed(self.hashes)) if self.hashes else EMPTY_ROOT

    def extend(self, leaf_hashes: Sequence[bytes]) -> "Growth":
        """The tree after appending these leaf hashes; keeps what is needed to prove each of them."""
        if not leaf_hashes:
            return Growth(self, self.root(), self.size)
        size = self.size + len(leaf_hashes)
        old = list(self.hashes)
        levels: list[list[bytes]] = []
        edges: list[bytes] = []
        made = list(leaf_hashes)
        edge = made[-1]
        kept: list[bytes] = []
        for height in range(size.bit_length()):
            # The old complete node of this level, where there is one, is the left sibling of the first new one.
            level = [old.pop(), *made] if self.size >> height & 1 else made
            levels.append(level)
            edges.append(edge)
            if size >> height & 1:
                kept.append(level[-1])
            last = size - 1 >> height
            if last & 1:
                edge = node_hash(level[last - 1 - _base(self.size, height)], edge)
            made = _parents(level)
        return Growth(CompactRange(size, tuple(reversed(kept))), edge, self.size, levels, edges)


def _base(size: int, height: int) -> int:
    """Where a growth from ``size`` begins to hold nodes at this level."""
    return (size >> height) - (size >> height & 1)


def _folded(right_to_left: Iterator[bytes]) -> bytes:
    root = next(right_to_left)
    for left in right_to_left:
        root = node_hash(left, root)
    return root


@dataclass(frozen=True, slots=True)
class Growth:
    """A tree that has just grown from ``old_size`` leaves to ``range.size``, with its new root."""

    range: CompactRange
    root: bytes
    old_size: int
    _levels: list[list[bytes]] = field(default_factory=list, repr=False)
    _edges: list[bytes] = field(default_factory=list, repr=False)

    @property
    def size(self) -> int:
        return self.range.size

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The inclusion proof, in the new tree, of a leaf that this growth appended (RFC 6962 section 2.1.1)."""
        if not self.old_size <= index < self.range.size:
            raise ProofError("only leaves of this batch can be proven from it")
        last = self.range.size - 1
        proof = []
        for height, level in enumerate(self._levels):
            node, edge = index >> height, last >> height
            sibling = node ^ 1
            if sibling == edge:
                proof.append(self._edges[height])
            elif sibling < edge:
                proof.append(level[sibling - _base(self.old_size, height)])
        return tuple(proof)


def _edge_hash(height: int, size: int, hash_at: HashAt) -> bytes:
    """The last node of a level, complete or not."""
    if not size & (1 << height) - 1:
        return hash_at(height, (size >> height) - 1)
    return _folded(hash_at(low, (size >> low) - 1) for low in range(height) if size >> low & 1)


def _path(height: int, index: int, size: int, hash_at: HashAt) -> Iterator[bytes]:
    """The siblings on the way from a complete node up to the root."""
    while (edge := size - 1 >> height) > 0:
        sibling = index ^ 1
        if sibling == edge:
            yield _edge_hash(height, size, hash_at)
        elif sibling < edge:
            yield hash_at(height, sibling)
        height, index = height + 1, index >> 1


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.1. ``hash_at(level, index)`` answers for complete nodes only and is asked for no others."""
    if not 0 <= index < size:
        raise ProofError("no such leaf in a tree of this size")
    return tuple(_path(0, index, size, hash_at))


def consistency_proof(old: int, new: int, hash_at: HashAt) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.2: that the first ``old`` leaves of the tree of ``new`` are the tree of ``old``.

    ``old == new`` needs no hashes; ``old == 0`` is refused.
    """
    if not 0 < old <= new:
        raise ProofError("a consistency proof needs 0 < old <= new")
    if old == new:
        return ()
    height = (old & -old).bit_length() - 1
    index = (old >> height) - 1
    # A perfect old tree is itself the first node, and its verifier already holds that hash: the old root.
    start = () if index == 0 else (hash_at(height, index),)
    return (*start, *_path(height, index, new, hash_at))


def _checked(numbers: Sequence[int], hashes: Sequence[bytes]) -> None:
    if any(type(n) is not int for n in numbers):
        raise ProofError("indexes and sizes are integers")
    if any(type(h) is not bytes or len(h) != HASH_SIZE for h in hashes):
        raise ProofError("a hash is 32 bytes")


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2: the leaf hash is number ``index`` of the tree of ``size`` with this root.

    A tree of one leaf has the empty proof; an empty tree includes nothing. Raises ``ProofError``.
    """
    _checked((index, size), (leaf, root, *proof))
    if not 0 <= index < size:
        raise ProofError("no such leaf in a tree of this size")
    if _climb(index, size - 1, (leaf,), proof) != (root,):
        raise ProofError("the inclusion proof leads to another root")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """RFC 9162 section 2.1.4.2: the tree of ``new`` begins with the tree of ``old``.

    Equal sizes have the empty proof and equal roots; ``old == 0`` is refused. Raises ``ProofError``.
    """
    _checked((old, new), (old_root, new_root, *proof))
    if not 0 < old <= new:
        raise ProofError("a consistency proof needs 0 < old <= new")
    if old == new:
        if proof or old_root != new_root:
            raise ProofError("two trees of one size have one root and need no proof")
        return
    height = (old & -old).bit_length() - 1
    index = (old >> height) - 1
    path = list(proof)
    if index == 0:
        start = old_root
    elif path:
        start = path.pop(0)
    else:
        raise ProofError("the consistency proof is empty")
    if _climb(index, new - 1 >> height, (start, start), path) != (old_root, new_root):
        raise ProofError("the consistency proof leads to other roots")


def _climb(index: int, last: int, nodes: tuple[bytes, ...], path: Sequence[bytes]) -> tuple[bytes, ...]:
    """Fold a path onto nodes that begin as one; only the last of them takes what stands to the right of it.

    With two nodes the first ends as the root of the tree that ended here, the last as the root of the grown one.
    """
    for sibling in path:
        # A node that is the last of its level and a left one has no sibling: it moves up as it is.
        while index == last and not index & 1 and last:
            index, last = index >> 1, last >> 1
        if not last:
            raise ProofError("the proof is too long")
        if index & 1:
            nodes = tuple(node_hash(sibling, node) for node in nodes)
        else:
            nodes = (*nodes[:-1], node_hash(nodes[-1], sibling))
        index, last = index >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return nodes
