"""The registered texts that a transaction looks at, by name; consent/texts.py registers them."""

from sqlalchemy import Connection, select

from consent.storage import among, fetch, listed
from consent.tables import consent_texts

PAGE = "page"
"""Id of the texts of our own authorisation page: forms, whose places the page fills in for each enterprise."""

_DIGESTS = select(consent_texts.c.name, consent_texts.c.sha256).where(among(consent_texts.c.name, "names"))


class TextSet:
    """SHA-256 in hex of each text that was wanted and is registered."""

    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._digests: dict[str, str] = {}

    def want(self, name: str) -> None:
        self._wanted.add(name)

    def load(self, connection: Connection) -> None:
        if self._wanted:
            self._digests = dict(fetch(connection, _DIGESTS, names=listed(self._wanted)))

    def get(self, name: str) -> str | None:
        return self._digests.get(name)

    def add(self, name: str, sha256: str) -> None:
        self._digests[name] = sha256


def is_form(name: str) -> bool:
    return name.startswith(f"{PAGE}-")
