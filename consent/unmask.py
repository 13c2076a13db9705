"""Reading one entry whole: an act of its own, with a reason that is kept."""

import os
from dataclasses import dataclass, field

from consent.batch import Batch, Command, Refusal
from consent.sealing import seal
from consent.vault import RetentionClass
from schemas.base import Json
from schemas.errors import KeysUnavailable


@dataclass(frozen=True, slots=True)
class UnmaskEntry(Command[int]):
    """Log that ``actor`` reads entry ``index``, which is about ``subject`` (a pseudonym); answers with the index of the
    entry that says so. The reason is the reader's own words and may name somebody: it is sealed under the subject's
    evidence key. Raises KeysUnavailable where that was destroyed: then there is nothing left to see either.
    """

    index: int
    subject: str
    actor: str
    reason: str = field(repr=False)

    def needs(self, batch: Batch) -> None:
        batch.keys.want(self.subject)

    def decide(self, batch: Batch) -> int | Refusal:
        key = batch.keys.find(self.subject, RetentionClass.EVIDENCE)
        if key is None:
            return Refusal(KeysUnavailable(what="subject key"))
        entry_id = os.urandom(16).hex()
        commitment = seal(batch, key, entry_id, "reason", "reason", self.reason.encode())
        data: dict[str, Json] = {"index": self.index, "commitment": commitment}
        return batch.append("log.unmasked", self.actor, None, self.subject, data, id=entry_id)[0]
