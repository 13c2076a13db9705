"""Looking for entries of the log: by enterprise, consent, actor, officer, event, outcome, platform and time.

One call reads at most ``SCAN`` rows. Consent and subject are found by consent.places, an actor by an index; an event
other than the two that nearly every entry is of has ``log_rare_events``; a time becomes a range of indexes by
bisection. What is left (officer, outcome, platform, the two frequent events) is looked at row by row; the caller goes
on where the call ended.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, bindparam, literal, select

from consent.keys import KeySet
from consent.places import CLOCK_STEP, FREQUENT, RARE, about_consents, about_subject
from consent.reads import LogEntry
from consent.rows import CONSENT_ROWS, ConsentRow
from consent.storage import among, listed
from consent.tables import consents, log_entries, sealed
from consent.vault import RetentionClass, Sealed, Vault
from schemas.base import utc_text
from schemas.consent import Enterprise
from schemas.errors import KeysUnavailable

SCAN = 5000
_COLUMNS = log_entries.c
_TIME = select(_COLUMNS.time).where(_COLUMNS.position == bindparam("index"))
_LISTS = ("items", "sources")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What entries must meet, all of it. ``since`` and ``until`` are UTC text as entries have it, the end open."""

    subject: str | None = None
    consent: str | None = None
    actor: str | None = None
    officer: str | None = None
    """The pseudonym; only the lender's own entries can hold it, so ``actor`` bounds what is read."""
    event: str | None = None
    outcome: str | None = None
    """The entry's ``code``."""
    platform: str | None = None
    since: str | None = None
    until: str | None = None

    def given(self) -> dict[str, str]:
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """``next`` is where to go on, None at the end. ``unreadable`` entries may or may not name the platform: the list
    that would say so was destroyed."""

    entries: list[LogEntry]
    next: int | None
    unreadable: int


def search(connection: Connection, vault: Vault, conditions: Conditions, start: int, stop: int, limit: int) -> Found:
    """At most ``limit`` entries from index ``start`` up to ``stop``, in order."""
    first, end = _bounds(connection, conditions, start, stop)
    query = select(_COLUMNS.position, _COLUMNS.entry).where(_COLUMNS.position >= first, _COLUMNS.position < end)
    if conditions.subject is not None:
        query = query.where(_COLUMNS.position.in_(about_subject(literal(conditions.subject))))
    if conditions.consent is not None:
        query = query.where(_COLUMNS.position.in_(about_consents(select(literal(conditions.consent)))))
    if conditions.actor is not None:
        query = query.where(_COLUMNS.actor == conditions.actor)
    if conditions.event is not None and conditions.event not in FREQUENT:
        query = query.where(_COLUMNS.event == conditions.event, RARE)
    rows = connection.execute(query.order_by(_COLUMNS.position).limit(SCAN)).all()
    read = [(LogEntry(*row), orjson.loads(row.entry)) for row in rows]
    met = [(held, entry) for held, entry in read if _meets(entry, conditions)]
    unreadable = 0
    if conditions.platform is not None:
        met, unreadable = _of_platform(connection, vault, met, conditions.platform)
    entries = [held for held, _ in met]
    if len(entries) > limit:
        return Found(entries[:limit], entries[limit].index, unreadable)
    return Found(entries, rows[-1].position + 1 if len(rows) == SCAN else None, unreadable)


def _meets(entry: dict[str, Any], wanted: Conditions) -> bool:
    time = entry["time"]
    return (
        wanted.event in (None, entry["event"])
        and wanted.outcome in (None, entry.get("code"))
        and wanted.officer in (None, entry.get("officer"))
        and (wanted.since is None or time >= wanted.since)
        and (wanted.until is None or time < wanted.until)
    )


def _bounds(connection: Connection, conditions: Conditions, start: int, stop: int) -> tuple[int, int]:
    """The indexes between which every entry of the time asked stands."""

    def bisected(moment: str) -> int:
        low, high = start, stop
        while low < high:
            middle = (low + high) // 2
            time = connection.scalar(_TIME, {"index": middle})
            low, high = (low, middle) if time is None or time >= moment else (middle + 1, high)
        return low

    # Where times go back by at most CLOCK_STEP, an index whose entry is older than the moment by that much has only
    # older entries before it.
    first = start if conditions.since is None else bisected(_moved(conditions.since, -CLOCK_STEP))
    end = stop if conditions.until is None else bisected(_moved(conditions.until, CLOCK_STEP))
    return first, end


def _moved(moment: str, by: timedelta) -> str:
    return utc_text(datetime.fromisoformat(moment) + by)


_Read = tuple[LogEntry, dict[str, Any]]


def _of_platform(connection: Connection, vault: Vault, met: list[_Read], platform: str) -> tuple[list[_Read], int]:
    told = [(one, name) for one in met for name in _LISTS if isinstance(one[1].get(name), list | str)]
    opened = _opened(connection, vault, [one[1] for one, name in told if isinstance(one[1][name], str)])
    kept, unreadable = [], 0
    for one, name in told:
        entry = one[1]
        items = opened.get(f"{entry['id']}/{name}") if isinstance(entry[name], str) else entry[name]
        if items is None:
            unreadable += 1
        elif any(item[0] == platform or (name == "items" and item[4:] == [platform]) for item in items):
            kept.append(one)
    return kept, unreadable


def _opened(connection: Connection, vault: Vault, entries: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """The lists that were too large for their entries, by the id of the sealed payload; without those destroyed."""
    places = {f"{e['id']}/{name}": e["subject"] for e in entries for name in _LISTS if isinstance(e.get(name), str)}
    if not places:
        return {}
    columns = sealed.c
    query = select(columns.id, columns.key_version, columns.nonce, columns.ciphertext).where(among(columns.id, "ids"))
    rows = connection.execute(query, {"ids": listed(places)}).all()
    keys = KeySet(vault)
    for subject in places.values():
        keys.want(subject)
    keys.load(connection)
    found: dict[str, list[Any]] = {}
    for place, *stored in rows:
        try:
            key = keys.existing(places[place], RetentionClass.PAYLOAD)
            found[place] = orjson.loads(key.open("sealed", place, Sealed(*stored)))
        except KeysUnavailable:
            continue
    return found


def _documents(connection: Connection, vault: Vault, where: ColumnElement[bool], **values: object) -> list[ConsentRow]:
    """Consents, as far as their documents open."""
    rows = connection.execute(CONSENT_ROWS.where(where), values).all()
    keys = KeySet(vault)
    for row in rows:
        keys.want(row.subject)
    keys.load(connection)
    opened = []
    for row in rows:
        try:
            opened.append(ConsentRow.read(row, vault, partial(keys.existing, row.subject, RetentionClass.EVIDENCE)))
        except KeysUnavailable:
            continue
    return opened


def enterprise_of(connection: Connection, vault: Vault, subject: str) -> Enterprise | None:
    """Who is behind a pseudonym, as one of its consents says; None where none tells."""
    found = _documents(connection, vault, consents.c.subject == subject)
    return found[0].terms.grant.subject if found else None


def applications(connection: Connection, vault: Vault, ids: Collection[str]) -> dict[str, str]:
    """By consent id what the consent was given for; without those whose documents were destroyed."""
    found = _documents(connection, vault, among(consents.c.id, "ids"), ids=listed(ids))
    return {row.id: row.terms.grant.application for row in found}
