"""Found entries in one file that proves itself: the rows, and under a signed checkpoint an inclusion proof (RFC 9162
section 2.1.3) for each of them and for the entry ``log.exported``, which says what the file is and what it was to hold.
"""

import base64
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from consent.log.merkle import ProofError, leaf_hash, verify_inclusion
from consent.log.note import Checkpoint, NoteError, Vkey, open_checkpoint
from consent.log.tiles import MAX_BUNDLE, MAX_TEXT, WIDTH, Folder, TileError, read_bundle, tile_path
from consent.reads import LogEntry, Proven
from gateway.audit.masks import RULE, masked
from gateway.audit.tables import Form, Row, written
from schemas.errors import LogBroken

PROOF = "proof.json"
EVENT = "log.exported"
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of the files in the archive: the format's earliest, so that nothing in it depends on the clock."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows as a file, ``mask``: by which rule they are shortened, 0 where they are whole."""

    name: str
    body: bytes
    mask: int

    @property
    def sha256(self) -> str:
        return sha256(self.body).hexdigest()


def sheet(entries: Sequence[LogEntry], form: Form, *, mask: bool) -> Sheet:
    """Raises ConfigurationError where a workbook cannot be written here."""
    read = [(one.index, orjson.loads(one.entry)) for one in entries]
    rule = RULE if mask else 0
    return Sheet(f"entries.{form}", written(_shown(read, rule), form), rule)


def _shown(rows: Sequence[Row], rule: int) -> list[Row]:
    return [(index, masked(entry) if rule else entry) for index, entry in rows]


def archive(made: Sheet, entries: Sequence[LogEntry], proven: Proven) -> bytes:
    """The last of ``entries`` is that of the export itself; it is whole even where the others are masked."""
    placed = [
        {"index": one.index, "leaf": _text(leaf), "proof": [_text(node) for node in path]}
        for one, leaf, path in zip(entries, proven.leaves, proven.paths, strict=True)
    ]
    whole = [{**row, "entry": one.entry.decode()} for row, one in zip(placed, entries, strict=True)]
    proof = {
        "file": made.name,
        "checkpoint": proven.checkpoint,
        "export": whole[-1],
        "entries": placed[:-1] if made.mask else whole[:-1],
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, body in ((made.name, made.body), (PROOF, orjson.dumps(proof, option=orjson.OPT_INDENT_2))):
            packed.writestr(zipfile.ZipInfo(name, _TIME), body, zipfile.ZIP_DEFLATED)
    return held.getvalue()


@dataclass(frozen=True, slots=True)
class Checked:
    """``export`` is what the log says of the file; ``entries`` are in the log of ``size`` entries. ``remade`` is False
    where the rows are masked and could not be made again: then they are what the gateway wrote, and no more is shown.
    """

    export: Mapping[str, Any]
    entries: int
    size: int
    remade: bool


Whole = Callable[[int], bytes]
"""The entry at an index, from elsewhere."""


def check(data: bytes, vkeys: Sequence[Vkey], whole: Whole | None = None) -> Checked:
    """Raises LogBroken with the first thing that does not hold. ``whole`` serves to make masked rows again."""
    at = "archive"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            proof = orjson.loads(packed.read(PROOF))
            body = packed.read(proof["file"])
        at = "checkpoint"
        head, _signers = open_checkpoint(proof["checkpoint"], vkeys)
        at = "export"
        _prove(proof["export"], head, own := proof["export"]["entry"].encode())
        told = orjson.loads(own)
        if told["event"] != EVENT:
            raise LogBroken(at=at)
        at = "sha256"
        if sha256(body).hexdigest() != told["digest"]:
            raise LogBroken(at=at)
        rows: list[Row] = []
        for row in proof["entries"]:
            at = f"entry {int(row['index'])}"
            held = row["entry"].encode() if not told["masked"] else whole(row["index"]) if whole else None
            _prove(row, head, held)
            if held is not None:
                rows.append((row["index"], orjson.loads(held)))
        at = "range"
        if not _as_told(told, [row["index"] for row in proof["entries"]]):
            raise LogBroken(at=at)
        remade = not told["masked"] or whole is not None
        at = proof["file"]
        if remade and (told["masked"] not in (0, RULE) or _again(rows, at, told["masked"]) != body):
            raise LogBroken(at=at)
        return Checked(told, len(proof["entries"]), head.size, remade)
    except (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, NoteError, ProofError, OSError):
        raise LogBroken(at=at) from None


def _again(rows: Sequence[Row], name: str, rule: int) -> bytes:
    form: Any = name.removeprefix("entries.")
    return written(_shown(rows, rule), form)


def _prove(row: Mapping[str, Any], head: Checkpoint, held: bytes | None) -> None:
    """That ``held`` is in the log where the row says; without it only that the row's hash is. Raises ProofError."""
    leaf = _bytes(row["leaf"])
    verify_inclusion(row["index"], head.size, leaf, [_bytes(node) for node in row["proof"]], head.root)
    if held is not None and leaf_hash(held) != leaf:
        raise ProofError


def _as_told(told: Mapping[str, Any], indexes: Sequence[int]) -> bool:
    """As many entries as the log says, in order, from the range that was searched: all of it without a condition."""
    every = range(told["first"], told["end"])
    if not told["by"]:
        return list(indexes) == list(every) and told["count"] == len(indexes)
    ordered = sorted(set(indexes)) == list(indexes)
    return ordered and len(indexes) == told["count"] and all(index in every for index in indexes)


def exported_log(directory: Path, vkeys: Sequence[Vkey]) -> Whole:
    """The entries of a log that ``xinqiao log export`` wrote. Raises LogBroken where it cannot be read, also later."""
    folder = Folder(directory)

    @cache
    def block(number: int) -> list[bytes]:
        try:
            head, _signers = open_checkpoint(folder.read("checkpoint", MAX_TEXT).decode(), vkeys)
            path = tile_path("entries", number, min(WIDTH, head.size - number * WIDTH))
            return list(read_bundle(path, folder.read(path, MAX_BUNDLE)))
        except (TileError, NoteError, ValueError):
            raise LogBroken(at="log") from None

    return lambda index: block(index // WIDTH)[index % WIDTH]


def _text(node: bytes) -> str:
    return base64.b64encode(node).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
