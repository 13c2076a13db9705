"""What witnesses co-signed: the newest signature line of each, kept beside the head that it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from consent.batch import Batch, Command
from consent.ledger import read_head
from consent.log.note import Checkpoint, Note, NoteError, Vkey
from consent.tables import log_cosignatures


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint as the log signed it, and the signature lines of its witnesses by their verifier keys."""

    plain: str
    lines: Mapping[str, str]

    @property
    def note(self) -> str:
        return self.plain + "".join(self.lines.values())


@dataclass(frozen=True, slots=True)
class StoreCosignature(Command[None]):
    """Keep a witness's line, in place of its older one. The caller has verified it."""

    checkpoint: Checkpoint
    witness: Vkey
    line: str

    def decide(self, batch: Batch) -> None:
        batch.finally_run(self._write)

    def _write(self, connection: Connection) -> None:
        name = self.witness.text()
        row = {"witness": name, "size": self.checkpoint.size, "root": self.checkpoint.root, "line": self.line}
        connection.execute(delete(log_cosignatures).where(log_cosignatures.c.witness == name))
        connection.execute(insert(log_cosignatures).values(row))


def signed_head(connection: Connection) -> SignedHead:
    """The newest head, with every co-signature that is kept for it and holds."""
    head = read_head(connection)
    rows = select(log_cosignatures.c.witness, log_cosignatures.c.line).where(
        log_cosignatures.c.size == head.size, log_cosignatures.c.root == head.root
    )
    found = connection.execute(rows.order_by(log_cosignatures.c.witness))
    # Only a row that was changed in the file does not hold: one bad line would spoil the whole note.
    return SignedHead(head.checkpoint, {w: line for w, line in found if _holds(head.checkpoint + line, w)})


def _holds(note: str, witness: str) -> bool:
    try:
        parsed = Note.parse(note)
        return len(parsed.signatures) == 2 and bool(parsed.cosigners([Vkey.parse(witness)]))
    except NoteError:
        return False
