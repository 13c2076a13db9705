"""What a connector is asked and what it answers. Bytes and platform dialects end here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from connectors.ports import Guard
from schemas.base import Json

Row = dict[str, Json]
"""One canonical record: fields of schemas.records in canonical text form; absent fields are not in it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The enterprise that is asked about."""

    uscc: str
    name: str
    registration_number: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One data set about one subject. Months are ``(year, month)``, both inside the period. ``use`` names the permit:
    what is kept for later is kept under it; without one nobody will come back for a late answer."""

    subject: Subject
    dataset: str
    fields: frozenset[str]
    first: tuple[int, int]
    last: tuple[int, int]
    use: str | None = None


class Found(StrEnum):
    FOUND = "found"
    ABSENT = "confirmed_absent"
    PARTIAL = "partial"  # some pages or months could not be had


@dataclass(frozen=True, slots=True)
class Reply:
    """A source's answer. A source that gives none raises schemas.errors.UpstreamError instead."""

    found: Found
    records: tuple[Row, ...]
    as_of: date | None
    fetched_at: datetime
    attempts: int
    raw_digest: bytes
    """SHA-256 over the SHA-256 digests of all raw reply bodies in order."""
    signature_held: bool | None
    """None where the dialect does not sign its replies."""
    repairs: tuple[str, ...] = ()
    """What the rules of data.md §1 mended, e.g. ``uscc: trailing blank``."""
    drift: Mapping[str, int] = field(default_factory=dict)
    """Unknown fields seen, by path: kept out, counted."""


class Try(NamedTuple):
    """Attempts at one step that ended alike, one after the other. ``at``: Unix seconds of the first; ``what``: ``ask``,
    of a ticket ``submit`` and ``poll``, of a callback ``submit`` and ``callback``; ``outcome``: ``answered``,
    ``pending``, ``no_record``, or the error's code.
    """

    at: float
    what: str
    outcome: str
    times: int = 1


TRIES = 50


def joined(tries: Iterable[Try]) -> list[Try]:
    """Neighbours that ended alike are one; of more than ``TRIES``, the first and the last half."""
    made: list[Try] = []
    for one in tries:
        if made and made[-1][1:3] == one[1:3]:
            made[-1] = made[-1]._replace(times=made[-1].times + one.times)
        else:
            made.append(one)
    return made if len(made) <= TRIES else made[: TRIES // 2] + made[-TRIES // 2 :]


@dataclass(slots=True)
class Progress:
    """Filled while a fetch runs, so that a failure too can say how often and how it was tried."""

    attempts: int = 0
    calls: int = 0
    tries: list[Try] = field(default_factory=list)


class Connector(Protocol):
    """One platform. Instances are shared by all requests and hold no request's state."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> str:
        """Manifest version and the first 12 hex digits of the manifest's digest."""

    @property
    def names(self) -> Mapping[str, str]:
        """What people are shown, by language: zh and en."""

    @property
    def assurance(self) -> str: ...

    @property
    def datasets(self) -> Mapping[str, frozenset[str]]:
        """Data sets offered, each with the canonical fields it can give."""

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        """Ask the platform. ``deadline`` is on the event loop's monotonic clock.

        Raises schemas.errors.UpstreamError, or schemas.errors.ConsentError when the guard stops a send.
        """
