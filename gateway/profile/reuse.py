"""Answers that are there already: which of them stand in for a call, and which only where the platform is silent.

The lender decides by ``max_age``: without it every platform is asked. Within it an answer that is fresh by the
manifest, and of a state that it would have today too, is used in place of a call; an older one is given as ``stale``
where the platform does not answer. Consent is asked before either, and the profile counts as a use like any other.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from connectors.base import Found, Reply, Try
from connectors.engine.connector import DeclarativeConnector
from connectors.engine.plan import seconds
from consent.permits import Permit
from consent.reuse import WHOLE, Kept, Leave, Way
from gateway.profile.collect import Gathered
from gateway.profile.material import states
from gateway.profile.plan import Item, Plan
from gateway.services import Services
from schemas.base import utc_text
from schemas.errors import (
    CircuitOpen,
    DeadlineExceeded,
    Maintenance,
    QuotaExhausted,
    UpstreamBusy,
    UpstreamConnect,
    UpstreamServerError,
    UpstreamTimeout,
)
from schemas.profile import State

SILENT = (
    CircuitOpen,
    DeadlineExceeded,
    Maintenance,
    QuotaExhausted,
    UpstreamBusy,
    UpstreamConnect,
    UpstreamServerError,
    UpstreamTimeout,
)
"""The platform did not answer. Where it refused or answered something else, the older answer may be wrong too."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """``fresh`` stand in for a call, ``older`` for a platform that is silent."""

    fresh: Mapping[Item, Gathered] = field(default_factory=lambda: MappingProxyType({}))
    older: Mapping[Item, Gathered] = field(default_factory=lambda: MappingProxyType({}))


NOTHING = Earlier()


def leave_of(permit: Permit, plan: Plan, purpose: str) -> Leave:
    first, last = (f"{year:04d}-{month:02d}" for year, month in (plan.first, plan.last))
    return Leave(permit.consent.id, permit.consent.version, permit.consent.grant.grantee, purpose, first, last)


async def earlier_answers(services: Services, leave: Leave, plan: Plan, max_age: int, today: date) -> Earlier:
    """``max_age`` is in days, and counts from when an answer was fetched as well as from its as-of date. Raises
    StorageUnavailable and KeysUnavailable."""
    now = services.now()
    limits = {item: _fresh_seconds(services, item) for item in plan.items}
    items = {Way(i.platform, i.dataset, i.outlet): i for i in plan.items if limits[i] is not None}
    versions = {way: services.connectors[item.connector].version for way, item in items.items()}

    def fits(way: Way, source: Mapping[str, Any], reply: Mapping[str, Any]) -> bool:
        exact = source["connector_version"] == versions[way] and reply["fields"] == sorted(items[way].fields)
        # Fetched after now: the clock was set back meanwhile, and nobody knows how old it is.
        return exact and timedelta(0) <= now - datetime.fromisoformat(source["fetched_at"]) <= timedelta(days=max_age)

    # A permit lasts a while, and what it brought came after it was granted.
    since = now - timedelta(days=max_age, seconds=services.settings.limits.permit_seconds)
    found = await services.evidence.earlier(leave, utc_text(since), frozenset(items), fits)
    fresh: dict[Item, Gathered] = {}
    older: dict[Item, Gathered] = {}
    for way, kept in found.items():
        item = items[way]
        gathered = again(item, kept)
        (state,) = states([gathered], services.policy, max_age, today)
        age = (now - datetime.fromisoformat(kept.source["fetched_at"])).total_seconds()
        if age <= (limits[item] or 0) and state.state.value in WHOLE:
            fresh[item] = gathered
        elif kept.source["state"] == State.PRESENT.value:
            # That there was nothing then says nothing about now.
            older[item] = gathered
    return Earlier(fresh, older)


def _fresh_seconds(services: Services, item: Item) -> float | None:
    """None where nothing is used again: the connector does not say how long an answer is good, or is switched off."""
    connector = services.connectors[item.connector]
    if item.connector in services.connectors.switches.off:
        return None
    return seconds(connector.freshness[item.dataset]) if isinstance(connector, DeclarativeConnector) else None


def again(item: Item, kept: Kept) -> Gathered:
    """What it was when it was fetched, but for the time and the attempts that it did not take."""
    source, reply = kept.source, kept.reply
    absent = source["state"] == State.EMPTY_CONFIRMED.value
    answer = Reply(
        Found.ABSENT if absent else Found.FOUND,
        tuple(reply["records"]),
        None if source["as_of"] is None else date.fromisoformat(source["as_of"]),
        datetime.fromisoformat(source["fetched_at"]),
        0,
        bytes.fromhex(reply["digest"]),
        None,
        tuple(source["repairs"]),
    )
    tries = (Try(time.time(), "reuse", "no_record" if absent else "answered"),)
    return Gathered(
        item, source["connector_version"], source["assurance"], answer, None, 0, 0, tries, origin=kept.origin
    )


def with_older(gathered: Sequence[Gathered], older: Mapping[Item, Gathered]) -> tuple[Gathered, ...]:
    """The older answer beside the error, where the platform was silent. Of ways that stand in for one another one is
    enough: none where one of them answered now, else the one whose answer is the newest."""
    silent = {one.item: older[one.item] for one in gathered if one.item in older and isinstance(one.error, SILENT)}
    for dataset in {one.item.dataset for one in gathered if one.item.fallback}:
        chain = [item for item in silent if item.dataset == dataset]
        if any(one.reply is not None for one in gathered if one.item.dataset == dataset):
            newest = None
        else:
            newest = max(chain, key=lambda item: _fetched_at(silent[item]), default=None)
        for item in chain:
            if item is not newest:
                del silent[item]

    def settled(one: Gathered) -> Gathered:
        before = silent.get(one.item)
        if before is None:
            return one
        return replace(one, reply=before.reply, origin=before.origin, tries=(*one.tries, *before.tries))

    return tuple(map(settled, gathered))


def _fetched_at(one: Gathered) -> datetime:
    assert one.reply is not None  # noqa: S101 - an earlier answer is one
    return one.reply.fetched_at
