"""The log as files: https://c2sp.org/tlog-tiles, with the checkpoint and the keys that signed it beside the tiles.

    checkpoint              the signed head
    vkey                    its verifier keys, one a line, in the order of the signature lines: these and no others
    tile/L/N[.p/W]          W (256 when full) hashes of level 8·L, 32 bytes each
    tile/entries/N[.p/W]    the entries under ``tile/0/N``, each after its length in two bytes, big-endian
    timestamp/SIZE.…        stamped heads, where there are any (consent.log.stamps)

``export`` writes what the log holds and judges nothing: a log that was tampered with exports as it is, and
``consent.log.verify`` says where. The checkpoint is written last, so an export that was cut short has none and fails.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from consent.log.entry import MAX_ENTRY
from consent.log.merkle import HASH_SIZE, root_of
from consent.log.note import Checkpoint, Note

WIDTH = 256
MAX_BUNDLE = WIDTH * (2 + MAX_ENTRY)
MAX_TILE = WIDTH * HASH_SIZE
MAX_TEXT = 65536
MAX_STAMP = 65536


class TileError(Exception):
    """``path`` is missing, unreadable or not what the layout asks for."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Stamp:
    """A head of ``size`` entries as the log signed it, and an authority's reply for it (RFC 3161, DER)."""

    size: int
    head: str
    reply: bytes


class Files(Protocol):
    """Where exported files are; both raise ``TileError``."""

    def paths(self) -> set[str]: ...
    def read(self, path: str, limit: int) -> bytes: ...


class Source(Protocol):
    """A log that can be exported. All five answer for one and the same head."""

    def checkpoint_text(self) -> str: ...
    def vkeys(self) -> Iterable[str]: ...
    def entries(self, start: int, stop: int) -> Iterable[bytes]: ...
    def leaf_hashes(self, start: int, stop: int) -> Iterable[bytes]: ...
    def stamps(self) -> Iterable[Stamp]: ...


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """``level`` is a tile level or ``"entries"``."""
    name = f"{index % 1000:03}"
    while index := index // 1000:
        name = f"x{index % 1000:03}/{name}"
    return f"tile/{level}/{name}" if width == WIDTH else f"tile/{level}/{name}.p/{width}"


def stamp_paths(size: int) -> tuple[str, str]:
    """The files of a stamped head and of the authority's reply."""
    return f"timestamp/{size}.checkpoint", f"timestamp/{size}.tsr"


def bundle(entries: Iterable[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def read_bundle(path: str, data: bytes) -> Iterator[bytes]:
    """The entries of a bundle, one by one; raises ``TileError`` where it ends inside an entry."""
    at, end = 0, len(data)
    while at < end:
        start = at + 2
        at = start + (data[start - 2] << 8 | data[start - 1]) if start <= end else end + 1
        if at > end:
            raise TileError(path, "truncated")
        yield data[start:at]


def upper_tiles(blocks: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """From the roots of the full level-0 tiles: ``(level, index, hashes joined)`` of every tile above them."""
    level, nodes = 1, blocks
    while nodes:
        tiles = [nodes[at : at + WIDTH] for at in range(0, len(nodes), WIDTH)]
        for index, tile in enumerate(tiles):
            yield level, index, b"".join(tile)
        level, nodes = level + 1, [root_of(tile) for tile in tiles if len(tile) == WIDTH]


def export(source: Source, directory: Path) -> None:
    """Write the whole log below ``directory``, which must be absent or empty (``TileError`` otherwise).

    A source that gives fewer entries or hashes than its checkpoint says raises ``TileError`` as well.
    """
    note = source.checkpoint_text()
    size = Checkpoint.parse(Note.parse(note).text).size
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise TileError(".", "the folder is not empty")
    entries = iter(source.entries(0, size))
    hashes = iter(source.leaf_hashes(0, size))
    blocks = []
    for start in range(0, size, WIDTH):
        width = min(WIDTH, size - start)
        index = start // WIDTH
        block, leaves = list(islice(entries, width)), list(islice(hashes, width))
        path = tile_path("entries", index, width)
        if len(block) != width or len(leaves) != width:
            raise TileError(path, "the log holds fewer entries than its checkpoint says")
        if max(map(len, block)) > MAX_ENTRY:
            raise TileError(path, "the log holds an entry larger than an entry can be")
        _write(directory / path, bundle(block))
        _write(directory / tile_path(0, index, width), b"".join(leaves))
        if width == WIDTH:
            blocks.append(root_of(leaves))
    for level, index, data in upper_tiles(blocks):
        _write(directory / tile_path(level, index, len(data) // HASH_SIZE), data)
    for stamp in source.stamps():
        for path, data in zip(stamp_paths(stamp.size), (stamp.head.encode(), stamp.reply), strict=True):
            _write(directory / path, data)
    _write(directory / "vkey", "".join(f"{vkey}\n" for vkey in source.vkeys()).encode())
    _write(directory / "checkpoint", note.encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class Folder:
    """An exported folder, read with nothing taken on trust: regular files only, none larger than it may be."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def paths(self) -> set[str]:
        """Every file below the folder, links and other oddities included."""
        found = set()
        pending = [self._directory]
        while pending:
            folder = pending.pop()
            try:
                for child in folder.iterdir():
                    if child.is_dir() and not child.is_symlink():
                        pending.append(child)
                    else:
                        found.add(child.relative_to(self._directory).as_posix())
            except OSError:
                raise TileError(folder.relative_to(self._directory).as_posix(), "unreadable") from None
        return found

    def read(self, path: str, limit: int) -> bytes:
        file = self._directory / path
        try:
            if file.is_symlink() or not file.is_file():
                raise TileError(path, "missing, or not a regular file")
            with file.open("rb") as stream:
                data = stream.read(limit + 1)
        except OSError:
            raise TileError(path, "unreadable") from None
        if len(data) > limit:
            raise TileError(path, "larger than such a file can be")
        return data
