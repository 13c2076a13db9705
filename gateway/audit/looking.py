"""What an auditor does: look for entries, take them away, see one whole. Each is an entry of the log itself."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from consent.ledger import read_head
from consent.profiles import RecordEvent
from consent.reads import LogEntry
from consent.search import Conditions
from consent.unmask import UnmaskEntry
from gateway.audit.anomalies import Finding, anomalies
from gateway.audit.export import EVENT, archive, sheet
from gateway.audit.tables import Form
from gateway.services import Services
from schemas.base import Json
from schemas.canonical import canonical
from schemas.consent import Enterprise
from schemas.errors import InvalidRequest, NotFound

REPORTED = 100_000
"""Entries that a report of anomalies looks at, at most."""
EXPORTED = 10_000
"""Entries that one file takes."""


@dataclass(frozen=True, slots=True)
class Search:
    """Entries from ``start`` up to ``stop`` that meet the conditions. Where a search goes on, ``stop`` stays what it
    was at its beginning: it does not come upon the entries that tell of itself."""

    conditions: Conditions
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Page:
    """``next`` is where the search goes on, None at its end; ``unreadable`` as in consent.search.Found."""

    entries: list[LogEntry]
    next: int | None
    unreadable: int


def _said(conditions: Conditions) -> dict[str, Json]:
    """What an entry tells of the conditions. A plain digest is safe: an enterprise is in it as its pseudonym."""
    given = conditions.given()
    return {"by": [*sorted(given)], "filter": sha256(canonical(given)).hexdigest()}


async def look(services: Services, actor: str, search: Search, limit: int) -> Page:
    """One page; the reading is logged before it is given."""
    evidence = services.evidence
    found = await evidence.search(search.conditions, search.start, search.stop, limit)
    end = found.next if found.next is not None else search.stop
    await _searched(services, actor, search, len(found.entries), end)
    return Page(found.entries, found.next, found.unreadable)


async def newest(services: Services, actor: str, search: Search, last: int) -> list[LogEntry]:
    """The newest ``last`` entries that meet the conditions, in order; logged before they are given."""
    evidence = services.evidence
    # Without a condition no entry can be passed over.
    at: int | None = search.start if search.conditions.given() else max(search.start, search.stop - last)
    kept: deque[LogEntry] = deque(maxlen=last)
    while at is not None:
        found = await evidence.search(search.conditions, at, search.stop, last)
        kept.extend(found.entries)
        at = found.next
    await _searched(services, actor, search, len(kept), search.stop)
    return [*kept]


async def _searched(services: Services, actor: str, search: Search, count: int, end: int) -> None:
    data = {**_said(search.conditions), "count": count, "first": search.start, "last": max(end - 1, 0)}
    await services.evidence.submit(RecordEvent("log.searched", actor, None, None, data))


async def take(services: Services, actor: str, search: Search, form: Form, *, mask: bool) -> bytes:
    """The archive of gateway.audit.export with at most ``EXPORTED`` entries; logged before it is given."""
    evidence = services.evidence
    entries: list[LogEntry] = []
    at: int | None = search.start
    while at is not None and len(entries) < EXPORTED:
        found = await evidence.search(search.conditions, at, search.stop, EXPORTED - len(entries))
        entries += found.entries
        at = found.next
    made = sheet(entries, form, mask=mask)
    data: dict[str, Json] = {
        **_said(search.conditions),
        "count": len(entries),
        "first": search.start,
        "end": search.stop if at is None else at,
        "complete": at is None,
        "digest": made.sha256,
        "masked": made.mask,
    }
    own = await evidence.submit(RecordEvent(EVENT, actor, None, None, data))
    entries += await evidence.entries(own, own + 1)
    return archive(made, entries, await evidence.proofs([one.index for one in entries]))


async def report(services: Services, actor: str, last: int) -> list[Finding]:
    """Anomalies in the newest ``last`` entries. The reading is logged like a search without conditions."""
    evidence = services.evidence
    size = (await evidence.read(read_head)).size
    start = max(0, size - last)
    read = [(one.index, orjson.loads(one.entry)) for one in await evidence.entries(start, size)]
    used = {entry["consent"] for _, entry in read if entry["event"] == "permit.granted"}
    await _searched(services, actor, Search(Conditions(), start, size), len(read), size)
    return anomalies(read, await evidence.applications(used), services.settings.anomalies)


@dataclass(frozen=True, slots=True)
class Whole:
    """An entry as it stands in the log, and whom it is about."""

    index: int
    entry: Mapping[str, Any]
    enterprise: Enterprise | None


async def unmask(services: Services, actor: str, index: int, reason: str) -> Whole:
    """Raises NotFound, InvalidRequest for an entry about no enterprise, and KeysUnavailable where its data is gone."""
    evidence = services.evidence
    found = await evidence.entries(index, index + 1) if index < (await evidence.read(read_head)).size else []
    if not found:
        raise NotFound(what="entry")
    entry = orjson.loads(found[0].entry)
    if entry["subject"] is None:
        raise InvalidRequest(at="index", mend="an entry about an enterprise")
    await evidence.submit(UnmaskEntry(index, entry["subject"], actor, reason))
    return Whole(index, entry, await evidence.enterprise(entry["subject"]))
