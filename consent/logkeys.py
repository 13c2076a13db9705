"""Change the key of the log: the statement of both keys becomes an entry, and the head that covers it is the first that
the new key signs."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from consent.batch import Batch, Command, Refusal
from consent.log.note import NoteError
from consent.log.rotation import EVENT, Rotation, Succession
from consent.reads import rotations
from schemas.errors import InvalidRequest, LogBroken


def succession(connection: Connection) -> Succession:
    """The keys that the log has had. Raises LogBroken for a rotation that does not hold."""
    keys = Succession()
    try:
        for held in rotations(connection):
            keys.add(held.index, held.entry)
    except (NoteError, ValueError):
        raise LogBroken(at="rotation") from None
    return keys


@dataclass(frozen=True, slots=True)
class RotateLogKey(Command[Rotation]):
    """From this entry on ``new_key`` signs. Refuses a key that the log has had, and a second one in the same moment."""

    actor: str
    new_key: Ed25519PrivateKey = field(repr=False)

    def decide(self, batch: Batch) -> Rotation | Refusal:
        page = batch.page
        rotation = page.rotation(self.new_key)
        if rotation is None or rotation.new.key in {
            vkey.key for vkey in (rotation.old, *succession(batch.connection).keys)
        }:
            return Refusal(InvalidRequest(at="key", mend="a key that this log has not had"))
        statement = page.rotate(rotation, self.new_key)
        batch.append(EVENT, self.actor, None, None, {"statement": statement})
        return rotation
