"""Versioned authorisation texts: registered once, never changed, and named by consents as their ``text_version``.

A text of the id ``page`` is a form of our own authorisation page; every other text is shown as it stands, so a consent
that names it carries its very digest (PIPL 14, 17: what was agreed to is what was shown).
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection, bindparam, select

from consent.batch import Batch, Command, Refusal
from consent.tables import consent_texts
from schemas.consent import ConsentText
from schemas.errors import ConsentConflict, InvalidValue

MOST = 256 * 1024
"""Bytes of one text."""
_ID = re.compile(r"[a-z][a-z0-9]{0,39}(_[a-z0-9]{1,40}){0,4}")
_VERSION = re.compile(r"[0-9a-z][0-9a-z._]{0,31}")


@dataclass(frozen=True, slots=True)
class RegisterText(Command[ConsentText]):
    """The same text again is the same registration; another text under a name that is taken is ConsentConflict.

    Raises InvalidValue for an id or version of another form, and for a text that is empty, too long or no UTF-8.
    """

    text_id: str
    version: str
    language: Literal["zh", "en"]
    content: bytes = field(repr=False)
    actor: str

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.text_id):
            raise InvalidValue(what="text id", at="id")
        if not _VERSION.fullmatch(self.version):
            raise InvalidValue(what="text version", at="version")
        try:
            if self.content.decode().isspace() or not 0 < len(self.content) <= MOST:
                raise ValueError
        except ValueError:
            raise InvalidValue(what="text in UTF-8", at="text", most=MOST) from None

    @property
    def name(self) -> str:
        return f"{self.text_id}-{self.version}-{self.language}"

    def needs(self, batch: Batch) -> None:
        batch.texts.want(self.name)

    def decide(self, batch: Batch) -> ConsentText | Refusal:
        digest = hashlib.sha256(self.content).hexdigest()
        held = batch.texts.get(self.name)
        if held not in (None, digest):
            return Refusal(ConsentConflict(what="text"))
        made = ConsentText(name=self.name, language=self.language, sha256=digest, registered_at=batch.time)
        if held is None:
            batch.texts.add(self.name, digest)
            data = {"text": self.name, "digest": digest}
            index, _ = batch.append("text.registered", self.actor, None, None, data, id=f"text.{self.name}")
            batch.insert(consent_texts, {**made.model_dump(), "content": self.content, "log_index": index})
        return made


_TEXTS = select(
    consent_texts.c.name, consent_texts.c.language, consent_texts.c.sha256, consent_texts.c.registered_at
).order_by(consent_texts.c.log_index)
_CONTENT = select(consent_texts.c.content).where(consent_texts.c.name == bindparam("name"))


def texts(connection: Connection) -> list[ConsentText]:
    """Every registered text, oldest first."""
    return [ConsentText(**row) for row in connection.execute(_TEXTS).mappings()]


def text_of(connection: Connection, name: str) -> bytes | None:
    """The text itself."""
    content: bytes | None = connection.scalar(_CONTENT, {"name": name})
    return content
