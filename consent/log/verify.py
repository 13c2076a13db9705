"""The stand-alone verifier of an exported log, or of an evidence bundle (consent.log.bundle):
``python -m consent.log.verify DIR [--vkey FILE] [--witness FILE] [--checkpoint FILE]``
``python -m consent.log.verify --bundle FILE [--vkey FILE] [--witness FILE] [--jwks FILE]``.

Needs Python and ``cryptography``, and nothing of ours but this folder. It reads the layout of ``consent.log.tiles``,
hashes every entry again (RFC 6962 section 2.1), and holds the result against every stored tile and the signed root.

The signed root is the judge of whatever disagrees. Entries that give the signed root are right, so a tile that differs
from them is wrong; where the level-0 tiles give it, the entry that differs from its hash is wrong; where neither
does, both are named. Trust comes from outside: with ``--vkey`` one of those keys must have signed the checkpoint, or
have handed over, by a statement in the log, to the key that did; without it the export can only be consistent in
itself. With ``--witness`` one of those witnesses must have co-signed it. An older checkpoint must be the head of a
prefix of this log; if it is not, both signed heads are shown, which together prove that the log broke its promise.

Exit status: 0 intact, 1 broken, 2 wrong use.
"""

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from consent.log.bundle import BundleReport, verify_bundle
from consent.log.entry import EntryError, all_canonical, check_entry
from consent.log.merkle import EMPTY_ROOT, HASH_SIZE, CompactRange, root_of
from consent.log.note import COSIGNATURE, ED25519, Checkpoint, Note, NoteError, Vkey, parse_vkeys
from consent.log.report import Problem, Report
from consent.log.rotation import MARK, Succession
from consent.log.stamps import read_stamp, stamped_sizes
from consent.log.tiles import (
    MAX_BUNDLE,
    MAX_TEXT,
    MAX_TILE,
    WIDTH,
    Files,
    Folder,
    TileError,
    read_bundle,
    stamp_paths,
    tile_path,
    upper_tiles,
)
from consent.log.trust import Broken, Head, Older, check_history, cosigners, open_head, signers


def verify_export(
    directory: Path,
    vkeys: Sequence[Vkey] = (),
    old_checkpoint: str | None = None,
    witnesses: Sequence[Vkey] = (),
) -> Report:
    """Verify an exported folder. ``vkeys``: trusted keys from elsewhere; ``old_checkpoint``: a remembered signed head;
    ``witnesses``: keys of witnesses, one of which must have co-signed.

    Never raises for what is in the folder or in the remembered head: that is in the report.
    """
    return verify_files(Folder(directory), vkeys, old_checkpoint, witnesses)


def verify_files(
    files: Files,
    vkeys: Sequence[Vkey] = (),
    old_checkpoint: str | None = None,
    witnesses: Sequence[Vkey] = (),
) -> Report:
    head: Head | None = None
    try:
        head = open_head(files.read("vkey", MAX_TEXT), files.read("checkpoint", MAX_TEXT))
        older = [] if old_checkpoint is None else [Older("remembered", "checkpoint", old_checkpoint)]
        by_witnesses = cosigners(head, witnesses)
        paths = files.paths()
        stamped = stamped_sizes(paths)
        known = {"checkpoint", "vkey"}.union(*map(stamp_paths, stamped))
        prefixes = {*stamped, *(old.checkpoint().size for old in older)}
        walk = _Walk(files, paths - known, head.checkpoint.size, prefixes)
        walk.judge(head.checkpoint.root)
        keys = walk.succession()
        by = signers(head, keys, vkeys)
        for old in chain(older, (read_stamp(files, size) for size in stamped)):
            root = walk.prefix_roots.get(old.checkpoint().size, EMPTY_ROOT)
            check_history(old, root, head, keys, vkeys)
        return Report(
            None,
            head.checkpoint,
            tuple(vkey.label() for vkey in by),
            bool(vkeys),
            head.checkpoint.size,
            cosigners=tuple((vkey.label(), time) for vkey, time in by_witnesses),
            rotations=tuple((r.index, r.old.label(), r.new.label()) for r in keys.rotations),
            stamped=stamped,
        )
    except TileError as err:
        found = Broken(Problem("file", err.path, err.problem))
    except Broken as err:
        found = err
    if head is None:
        return Report(found.problem)
    heads = (old_checkpoint or "", head.text) if found.problem.kind == "history" else ()
    return Report(found.problem, head.checkpoint, intact=found.intact, heads=heads)


def hashed(path: str, data: bytes) -> tuple[list[bytes], list[bytes], bytes, bool]:
    """The entries of a bundle, their hashes, the root of these, and whether it ends where its last entry does."""
    entries: list[bytes] = []
    whole = True
    try:
        entries.extend(read_bundle(path, data))
    except TileError:
        whole = False
    hashes = [sha256(b"\x00" + entry).digest() for entry in entries]
    return entries, hashes, root_of(hashes), whole


class _Walk:
    """One pass over the entries and level-0 tiles: keeps one hash per 256 entries and the first of each problem.

    ``unread``: the files that it should come by. ``prefix_roots``: the roots of the first so many entries, by their
    number, once these have been passed.
    """

    def __init__(self, files: Files, unread: set[str], size: int, prefixes: Collection[int]) -> None:
        self._files = files
        self._unread = unread
        self._size = size
        self._ahead = sorted({n for n in prefixes if n > 0}, reverse=True)
        self._passed = CompactRange()
        self._by_entries: list[bytes] = []
        self._by_tiles: list[bytes] = []
        self._bad_entry: Problem | None = None
        self._bad_tile: Problem | None = None
        self._malformed: list[Problem] = []
        self._marked: list[tuple[int, str, bytes]] = []
        self.prefix_roots: dict[int, bytes] = {}

    def _read(self, path: str, limit: int) -> bytes:
        self._unread.discard(path)
        return self._files.read(path, limit)

    def _tile(self, level: int, index: int, width: int) -> tuple[str, bytes]:
        path = tile_path(level, index, width)
        data = self._read(path, MAX_TILE)
        if len(data) != width * HASH_SIZE:
            raise TileError(path, f"{len(data)} bytes long, not {width * HASH_SIZE}")
        return path, data

    def _block(self, start: int, width: int) -> None:
        path = tile_path("entries", start // WIDTH, width)
        data = self._read(path, MAX_BUNDLE)
        tile, stored = self._tile(0, start // WIDTH, width)
        entries, hashes, root, whole = hashed(path, data)
        while self._ahead and self._ahead[-1] <= start + width:
            prefix = self._ahead.pop()
            self.prefix_roots[prefix] = self._passed.extend([root_of(hashes[: prefix - start])]).root
        if self._ahead:
            self._passed = self._passed.extend([root]).range
        self._by_entries.append(root)
        if whole and b"".join(hashes) == stored:
            self._by_tiles.append(self._by_entries[-1])
            if not self._malformed and not all_canonical(entries):
                flaws = ((index, _flaw(entry)) for index, entry in enumerate(entries, start))
                self._malformed = [Problem("entry", path, text, index, index) for index, text in flaws if text]
            if MARK in data:
                self._marked += [(index, path, entry) for index, entry in enumerate(entries, start) if MARK in entry]
            return
        named = [stored[at : at + HASH_SIZE] for at in range(0, len(stored), HASH_SIZE)]
        self._by_tiles.append(root_of(named))
        if not self._bad_entry:
            self._disagree(path, tile, start, named, hashes)

    def _disagree(self, path: str, tile: str, start: int, named: list[bytes], hashes: list[bytes]) -> None:
        differ = [at for at, (ours, theirs) in enumerate(zip(hashes, named, strict=False)) if ours != theirs]
        if not differ and len(hashes) >= len(named):
            raise TileError(path, "goes on after its last entry")
        bad = start + (differ[0] if differ else len(hashes))
        text = f"does not give its hash in {tile}" if differ else "cut short or missing"
        self._bad_entry = Problem("entry", path, text, bad, bad)
        text = f"its hash of entry {bad} is wrong"
        self._bad_tile = Problem("tile", tile, text, start, start + len(named) - 1)

    def _upper_tile(self) -> Problem | None:
        """The first tile above level 0 that is not what the entries give."""
        for level, index, ours in upper_tiles(self._by_entries[: self._size // WIDTH]):
            width = len(ours) // HASH_SIZE
            path, stored = self._tile(level, index, width)
            if stored != ours:
                span = WIDTH**level
                first = index * WIDTH * span
                return Problem("tile", path, "not the hashes of the entries below", first, first + width * span - 1)
        return None

    def succession(self) -> Succession:
        """The keys that the entries name; after ``judge`` passed them all."""
        keys = Succession()
        for index, path, entry in self._marked:
            try:
                keys.add(index, entry)
            except NoteError as err:
                raise Broken(Problem("entry", path, str(err), index, index), self._size) from None
        return keys

    def judge(self, root: bytes) -> None:
        """Read everything; raise for the first problem, in the light of the signed root."""
        for start in range(0, self._size, WIDTH):
            self._block(start, min(WIDTH, self._size - start))
        problem, intact = self._bad_entry, 0
        if root_of(self._by_entries) == root:
            problem, intact = self._bad_tile or self._upper_tile() or next(iter(self._malformed), None), self._size
        elif problem and root_of(self._by_tiles) == root:
            intact = problem.first or 0
        elif problem:
            problem = replace(problem, text=f"{problem.text}, and the signed root vouches for neither")
        else:
            text = "signs another root than the entries give"
            problem = self._upper_tile() or Problem("checkpoint", "checkpoint", text)
        if problem is None and self._unread:
            problem = Problem("file", min(self._unread), "does not belong to this export")
        if problem:
            raise Broken(problem, intact)


def _flaw(entry: bytes) -> str | None:
    try:
        check_entry(entry)
    except EntryError as err:
        return str(err)
    return None


def _bytes_of(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:
        raise argparse.ArgumentTypeError("not readable") from None


def _vkey_file(file: str, kind: bytes = ED25519) -> tuple[Vkey, ...]:
    try:
        vkeys = parse_vkeys(_bytes_of(file))
    except NoteError as err:
        raise argparse.ArgumentTypeError(str(err)) from None
    if any(vkey.kind != kind for vkey in vkeys):
        raise argparse.ArgumentTypeError("keys of logs belong to --vkey, keys of witnesses to --witness")
    return vkeys


def _witness_file(file: str) -> tuple[Vkey, ...]:
    return _vkey_file(file, COSIGNATURE)


def _checkpoint_file(file: str) -> str:
    try:
        text = _bytes_of(file).decode()
        Checkpoint.parse(Note.parse(text).text)
    except (UnicodeDecodeError, NoteError):
        raise argparse.ArgumentTypeError("not a signed checkpoint") from None
    return text


def _jwks_file(file: str) -> dict[str, Any]:
    try:
        jwks: dict[str, Any] = json.loads(_bytes_of(file))
        if all(type(key["x"]) is str for key in jwks["keys"]):
            return jwks
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise argparse.ArgumentTypeError("not a JWKS of Ed25519 keys")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m consent.log.verify", description="Verify an exported log or an evidence bundle."
    )
    parser.add_argument("directory", type=Path, metavar="DIR", nargs="?", help="the exported folder")
    parser.add_argument("--bundle", type=_bytes_of, metavar="FILE", help="an evidence bundle, in place of DIR")
    parser.add_argument("--jwks", type=_jwks_file, metavar="FILE", help="keys of the gateway that signed its profile")
    parser.add_argument("--vkey", type=_vkey_file, default=(), metavar="FILE", help="keys that you trust, one a line")
    parser.add_argument(
        "--witness", type=_witness_file, default=(), metavar="FILE", help="witnesses, one of which must have co-signed"
    )
    parser.add_argument("--checkpoint", type=_checkpoint_file, metavar="FILE", help="a signed head you remember")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    given = parser.parse_args(arguments)
    if (given.directory is None) == (given.bundle is None):
        parser.error("either DIR or --bundle is required")
    report: Report | BundleReport
    if given.bundle is not None:
        if given.checkpoint is not None:
            parser.error("--checkpoint belongs to DIR: a bundle does not hold the whole log")
        report = verify_bundle(given.bundle, given.vkey, given.jwks, given.witness)
    else:
        if given.jwks is not None or not given.directory.is_dir():
            parser.error("--jwks belongs to --bundle" if given.jwks is not None else "DIR is not a folder")
        report = verify_export(given.directory, given.vkey, given.checkpoint, given.witness)
    text = report.as_json() + "\n" if given.json else report.text()
    # A terminal that cannot show a character must not turn a verdict into a traceback.
    sys.stdout.write(text.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
