"""Answers that earlier profiles brought under the very same leave, to be used again in place of a call.

The same leave is the same consent in the same version, the same lender, purpose and months; a consent is about one
enterprise. Whatever differs, nothing is found: a gateway that lends one lender's data to another would be an unlicensed
pool of credit data (征信业管理条例 7, 征信业务管理办法 4). There is no table of what could be used again: permits are
found by their consent, and what they brought is sealed with their profiles, so what was shredded is not found.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, String, and_, bindparam, literal_column, select

from consent.keys import KeySet
from consent.log.jws import unb64url
from consent.log.origins import Origin
from consent.places import floor, permits_of
from consent.profiles import profile_entry, reply_name
from consent.rows import ISSUED
from consent.storage import fetch
from consent.tables import profiles, sealed
from consent.vault import RetentionClass, Sealed, SubjectKey, Vault

MOST = 16
"""Profiles that are looked into, the newest first."""
WHOLE = ("present", "empty_confirmed")
"""States of answers that may be used again: what a failure left out is asked for again."""

_PERMITS = permits_of(select(bindparam("consent_id", type_=String)), bindparam("floor", type_=String))
_EARLIER = (
    select(_PERMITS.c.id, _PERMITS.c.subject, profiles.c.id, profiles.c.revision, profiles.c.log_index)
    .join_from(
        _PERMITS, profiles, and_(profiles.c.id == _PERMITS.c.profile_id, profiles.c.revision == _PERMITS.c.revision)
    )
    .where(
        _PERMITS.c.granted_at > bindparam("since"),
        _PERMITS.c.version == bindparam("version"),
        _PERMITS.c.lender == bindparam("lender"),
        _PERMITS.c.outcome == bindparam("outcome"),
    )
    .order_by(_PERMITS.c.granted_at.desc())
    .limit(literal_column(str(MOST)))
    .offset(literal_column("0"))
)
_SEALED = select(sealed.c.key_version, sealed.c.nonce, sealed.c.ciphertext).where(sealed.c.id == bindparam("id"))


class Leave(NamedTuple):
    """What must be the same. Months as ``2026-11``, both inside the period."""

    consent_id: str
    version: int
    lender: str
    purpose: str
    first: str
    last: str


class Way(NamedTuple):
    """One source of a profile; ``via`` is the outlet, None the platform itself."""

    platform: str
    dataset: str
    via: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier profile tells of a source, what is kept of its reply (consent.profiles.SealedSource), and where
    both come from."""

    source: Mapping[str, Any]
    reply: Mapping[str, Any] = field(repr=False)
    origin: Origin


Fits = Callable[[Way, Mapping[str, Any], Mapping[str, Any]], bool]
"""Whether the source and the reply of a Kept are what is wanted of a way."""


def earlier(
    connection: Connection, leave: Leave, since: str, wanted: frozenset[Way], fits: Fits, vault: Vault
) -> dict[Way, Kept]:
    """The newest answer for each way of ``wanted`` that permits granted after ``since`` (UTC text) brought, where it is
    whole. Raises KeysUnavailable."""
    found: dict[Way, Kept] = {}
    told = {"consent_id": leave.consent_id, "version": leave.version, "lender": leave.lender}
    rows = fetch(connection, _EARLIER, **told, since=since, floor=floor(since), outcome=ISSUED)
    keys = KeySet(vault)
    for subject in {row[1] for row in rows}:
        keys.want(subject)
    keys.load(connection)
    newest: dict[Way, str] = {}
    under = [leave.consent_id, leave.purpose, {"first": leave.first, "last": leave.last}]
    for permit_id, subject, profile_id, revision, index in rows:
        key = keys.find(subject, RetentionClass.PAYLOAD)
        entry = profile_entry(profile_id, revision)
        if key is None or (jws := _opened(connection, key, f"{entry}/profile")) is None:
            continue
        profile = orjson.loads(unb64url(jws.split(b".")[1].decode()))
        # What is sealed is asked, not the row: whoever can write into the database gets nobody else's answers by it.
        if [profile[k] for k in ("consent_id", "purpose", "period")] != under:
            continue
        for way, source in _answered(profile, wanted):
            # A late answer is newer than its permit, so the order of permits is not that of answers.
            if source["fetched_at"] <= newest.get(way, ""):
                continue
            if source["state"] not in WHOLE:
                # What is older than that is not what the platform last said.
                newest[way] = source["fetched_at"]
                found.pop(way, None)
                continue
            payload = _opened(connection, key, f"{entry}/{reply_name(way.platform, way.dataset)}")
            reply = None if payload is None else orjson.loads(payload)
            if reply is not None and fits(way, source, reply):
                newest[way] = source["fetched_at"]
                found[way] = Kept(source, reply, _origin(source, permit_id, index))
    return found


def _answered(profile: Mapping[str, Any], wanted: frozenset[Way]) -> Iterator[tuple[Way, Mapping[str, Any]]]:
    """Those of ``wanted`` that the platform answered; not what stood in for one that was silent."""
    for source in profile["sources"]:
        way = Way(source["platform"], source["dataset"], source["via"])
        again = source["origin"] is not None and source["origin"]["how"] == "reused"
        if way in wanted and source["commitment"] is not None and not (again and source["state"] == "stale"):
            yield way, source


def _origin(source: Mapping[str, Any], permit_id: str, index: int) -> Origin:
    """What was used again already is still what the first profile brought."""
    before = source["origin"]
    if before is not None and before["how"] == "reused":
        return Origin(before["how"], before["permit"], before["entry"], before["commitment"])
    return Origin("reused", permit_id, index, source["commitment"])


def _opened(connection: Connection, key: SubjectKey, place: str) -> bytes | None:
    """None where it was destroyed."""
    rows = fetch(connection, _SEALED, id=place)
    return key.open("sealed", place, Sealed(*rows[0])) if rows and rows[0][0] == key.version else None
