"""Exported logs to break: a small source, an export in memory, and every single-bit mutation of it.

``python -m tests.log_export 1000`` flips every bit of an export of 1,000 entries with a witness's signature
(over a million mutations).
"""

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log import verify
from consent.log.merkle import leaf_hash, root_of
from consent.log.note import COSIGNATURE, Checkpoint, Vkey, cosign, sign_checkpoint
from consent.log.report import Report
from consent.log.tiles import Stamp, TileError, export

ORIGIN = "log.example.test/invented"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
VKEY = Vkey.of(ORIGIN, KEY)
WITNESS = "witness.example.test/invented"
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
WITNESS_VKEY = Vkey.of(WITNESS, WITNESS_KEY, COSIGNATURE)
COSIGNED_AT = 1_795_500_000


def entry(index: int, **more: str) -> bytes:
    return json.dumps({"n": index, **more}, sort_keys=True, separators=(",", ":")).encode()


class Log:
    """A log of the given entries; ``hashes`` are the stored leaf hashes, where they are not those of the entries.
    ``witnessed``: the head carries the signature line of a witness too."""

    def __init__(
        self,
        entries: list[bytes],
        hashes: list[bytes] | None = None,
        key: Ed25519PrivateKey = KEY,
        origin: str = ORIGIN,
        witnessed: bool = False,
    ) -> None:
        self.stored = entries
        self.hashes = [leaf_hash(e) for e in entries] if hashes is None else hashes
        self.key = key
        self.witnessed = witnessed
        self.stamped: list[Stamp] = []
        self.head = Checkpoint(origin, len(self.hashes), root_of(self.hashes))

    @classmethod
    def of(cls, size: int, witnessed: bool = False) -> "Log":
        return cls([entry(index) for index in range(size)], witnessed=witnessed)

    def checkpoint_text(self) -> str:
        note = sign_checkpoint(self.head, self.head.origin, self.key)
        return note + (cosign(self.head.text(), WITNESS, WITNESS_KEY, COSIGNED_AT) if self.witnessed else "")

    def vkeys(self) -> list[str]:
        witnesses = [WITNESS_VKEY] if self.witnessed else []
        return [vkey.text() for vkey in (Vkey.of(self.head.origin, self.key), *witnesses)]

    def entries(self, start: int, stop: int) -> Iterable[bytes]:
        return self.stored[start:stop]

    def leaf_hashes(self, start: int, stop: int) -> Iterable[bytes]:
        return self.hashes[start:stop]

    def stamps(self) -> Iterable[Stamp]:
        return self.stamped


class Memory(dict[str, bytes]):
    """An export as a mapping of paths to bytes, behind the same two methods as a folder."""

    def paths(self) -> set[str]:
        return set(self)

    def read(self, path: str, limit: int) -> bytes:
        if path not in self:
            raise TileError(path, "missing")
        if len(self[path]) > limit:
            raise TileError(path, "too large")
        return self[path]


def exported(log: Log) -> Memory:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        export(log, root)
        return Memory({p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()})


def flips(files: Mapping[str, bytes]) -> Iterator[tuple[str, int]]:
    """Every (path, bit) of an export."""
    return ((path, bit) for path in sorted(files) for bit in range(8 * len(files[path])))


def flipped(files: Mapping[str, bytes], path: str, bit: int) -> Memory:
    data = bytearray(files[path])
    data[bit // 8] ^= 1 << bit % 8
    return Memory({**files, path: bytes(data)})


def entry_at(bundle: bytes, offset: int) -> int:
    """The place within its bundle of the entry that owns this byte, its length prefix included."""
    index = end = 0
    while (end := end + 2 + int.from_bytes(bundle[end : end + 2], "big")) <= offset:
        index += 1
    return index


def blamed(files: Mapping[str, bytes], path: str, bit: int) -> bool:
    """Whether the verifier refuses this flip and names what it hit: the entry, the tile or the file."""
    report: Report = verify.verify_files(flipped(files, path, bit))
    problem = report.problem
    if problem is None or problem.path != path:
        return False
    if path.startswith("tile/entries/"):
        number = path.removeprefix("tile/entries/").split(".")[0].replace("x", "").replace("/", "")
        return problem.kind == "entry" and problem.first == 256 * int(number) + entry_at(files[path], bit // 8)
    if path.startswith("tile/"):
        return problem.kind == "tile" and problem.first is not None
    return problem.kind == path


def _missed(work: tuple[dict[str, bytes], tuple[tuple[str, int], ...]]) -> list[tuple[str, int]]:
    files, chunk = work
    return [flip for flip in chunk if not blamed(files, *flip)]


def share_what_a_flip_leaves(replace: Callable[[object, str, object], None] = setattr) -> None:
    """One flip changes one file. What the verifier's own functions make of the bytes of the others (pure functions of
    those bytes) is worked out once per process; what was flipped is read, hashed and judged anew."""

    def of_lists(judge: Callable[[tuple[bytes, ...]], object]) -> Callable[[Sequence[bytes]], object]:
        judged = lru_cache(maxsize=64)(judge)
        return lambda items: judged(tuple(items))

    for name in ("all_canonical", "root_of"):
        replace(verify, name, of_lists(getattr(verify, name)))
    for name in ("hashed", "open_head"):
        replace(verify, name, lru_cache(maxsize=64)(getattr(verify, name)))


def main(size: int) -> int:
    # Entries of about a hundred bytes: the width that 1,000 of them need for a million bits.
    files = exported(Log([entry(index, event="x" * 85) for index in range(size)], witnessed=True))
    total = 8 * sum(map(len, files.values()))
    with multiprocessing.Pool(initializer=share_what_a_flip_leaves) as pool:
        every = flips(files)
        work = ((dict(files), chunk) for chunk in iter(lambda: tuple(islice(every, 2000)), ()))
        missed = [flip for found in pool.imap_unordered(_missed, work) for flip in found]
    print(f"{total} flips of {size} entries, {len(missed)} missed or misnamed: {missed[:10]}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
