"""Found entries in one file that proves itself: the rows, their SHA-256, a signed checkpoint and an inclusion proof
(RFC 9162 section 2.1.3) for every row."""

import base64
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from consent.log.merkle import ProofError, leaf_hash, verify_inclusion
from consent.log.note import NoteError, Vkey, open_checkpoint
from consent.reads import LogEntry, Proven
from gateway.audit.masks import masked
from gateway.audit.tables import Form, Row, written
from schemas.errors import LogBroken

PROOF = "proof.json"
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of the files in the archive: the format's earliest, so that nothing in it depends on the clock."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows as a file. ``masked`` rows are shortened, so their bytes can no longer be held against the log's."""

    name: str
    body: bytes
    masked: bool

    @property
    def sha256(self) -> str:
        return sha256(self.body).hexdigest()


def sheet(entries: Sequence[LogEntry], form: Form, *, mask: bool) -> Sheet:
    """Raises ConfigurationError where a workbook cannot be written here."""
    read = [(one.index, orjson.loads(one.entry)) for one in entries]
    rows: list[Row] = [(index, masked(entry) if mask else entry) for index, entry in read]
    return Sheet(f"entries.{form}", written(rows, form), mask)


def archive(made: Sheet, entries: Sequence[LogEntry], proven: Proven, *, complete: bool) -> bytes:
    """``complete`` is False where more was found than a file takes."""
    rows: list[dict[str, Any]] = []
    for one, leaf, path in zip(entries, proven.leaves, proven.paths, strict=True):
        row = {"index": one.index, "leaf": _text(leaf), "proof": [_text(node) for node in path]}
        rows.append(row if made.masked else {**row, "entry": one.entry.decode()})
    proof = {
        "file": made.name,
        "sha256": made.sha256,
        "masked": made.masked,
        "complete": complete,
        "checkpoint": proven.checkpoint,
        "entries": rows,
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, body in ((made.name, made.body), (PROOF, orjson.dumps(proof, option=orjson.OPT_INDENT_2))):
            packed.writestr(zipfile.ZipInfo(name, _TIME), body, zipfile.ZIP_DEFLATED)
    return held.getvalue()


@dataclass(frozen=True, slots=True)
class Checked:
    """How many entries stand in the log of ``size`` entries; where ``masked``, only that their leaves do."""

    entries: int
    size: int
    masked: bool


def check(data: bytes, vkeys: Sequence[Vkey]) -> Checked:
    """Raises LogBroken with the first thing that does not hold."""
    at = "archive"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            proof = orjson.loads(packed.read(PROOF))
            body = packed.read(proof["file"])
        at = "sha256"
        if sha256(body).hexdigest() != proof["sha256"]:
            raise LogBroken(at=at)
        at = "checkpoint"
        head, _signers = open_checkpoint(proof["checkpoint"], vkeys)
        rows: list[Row] = []
        for row in proof["entries"]:
            at = f"entry {int(row['index'])}"
            leaf = _bytes(row["leaf"])
            verify_inclusion(row["index"], head.size, leaf, [_bytes(node) for node in row["proof"]], head.root)
            if not proof["masked"]:
                if leaf_hash(row["entry"].encode()) != leaf:
                    raise LogBroken(at=at)
                rows.append((row["index"], orjson.loads(row["entry"])))
        at = proof["file"]
        if not proof["masked"] and written(rows, at.removeprefix("entries.")) != body:
            raise LogBroken(at=at)
        return Checked(len(proof["entries"]), head.size, bool(proof["masked"]))
    except (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, NoteError, ProofError, OSError):
        raise LogBroken(at=at) from None


def _text(node: bytes) -> str:
    return base64.b64encode(node).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
