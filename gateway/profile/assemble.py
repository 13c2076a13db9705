"""The one profile, as the dict that schemas.profile.Profile describes; the JWS is made of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.base import Row, Subject
from gateway.profile.checks.base import CONFLICT, Dict
from gateway.profile.collect import Gathered
from gateway.profile.crosschecks import cross_check
from gateway.profile.indicators import indicators
from gateway.profile.material import SourceState, material, states, strength
from gateway.profile.measures import figures
from gateway.profile.normalise import Values, normalise
from gateway.profile.plan import Plan, YearMonth
from gateway.profile.policy import CheckPolicy
from gateway.profile.sound import sound
from schemas.base import Json, utc_text
from schemas.errors import ConnectorFault, InvalidValue
from schemas.profile import SCHEMA_VERSION, State
from schemas.records import CATALOGUE

ANSWERED = (State.PRESENT, State.STALE, State.EMPTY_CONFIRMED)
_SHANGHAI = timedelta(hours=8)  # without daylight saving since 1991, so «today» needs no zone data


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, and under which consent: the profile's head. ``declared`` has the shape of
    schemas.profile.Declared, without the keys that were not declared. ``max_age`` is in days; ``require`` names the
    data sets without which the profile is not complete (None: all that were asked for)."""

    profile_id: str
    revision: int
    subject: Subject
    consent_id: str
    consent_assurance: str
    purpose: str
    requested_at: datetime
    declared: Mapping[str, Json] = field(default_factory=dict)
    max_age: int | None = None
    require: frozenset[str] | None = None


def assemble(
    request: Request,
    plan: Plan,
    gathered: Sequence[Gathered],
    issued_at: datetime,
    policy: CheckPolicy,
    commit: Callable[[Gathered], str],
) -> dict[str, Any]:
    """Check, normalise and lay out. ``commit`` gives the commitment (hex) to a reply that was kept.

    A source whose records no rule can read becomes a ConnectorFault and does not hurt the others. Every data set of
    the catalogue is in ``sections``. With several sources a section holds the records of all of them, in the order of
    ``sources``, where ``records`` says how many are whose.
    """
    try:
        return _assemble(request, plan, gathered, issued_at, policy, commit)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, InvalidValue):
        return _assemble(request, plan, [_isolated(one) for one in gathered], issued_at, policy, commit)


def _isolated(one: Gathered) -> Gathered:
    fine = one.reply is None or sound(one.reply, one.item)
    return one if fine else replace(one, reply=None, error=ConnectorFault())


def _assemble(
    request: Request,
    plan: Plan,
    gathered: Sequence[Gathered],
    issued_at: datetime,
    policy: CheckPolicy,
    commit: Callable[[Gathered], str],
) -> dict[str, Any]:
    today = (issued_at + _SHANGHAI - (issued_at.utcoffset() or timedelta())).date()
    found = states(gathered, policy, request.max_age, today)
    subject = request.subject
    given = material(found, plan.asked, subject.uscc, subject.name, request.declared, today)
    numbers = figures(given)
    checked = cross_check(given, numbers, policy, request.max_age)
    values = normalise(given, numbers)
    sections = _sections(plan, found, values, checked.findings)
    return {
        "id": request.profile_id,
        "revision": request.revision,
        "schema_version": SCHEMA_VERSION,
        "subject": {"uscc": subject.uscc, "name": subject.name},
        "consent_id": request.consent_id,
        "consent_assurance": request.consent_assurance,
        "purpose": request.purpose,
        "period": {"first": _month(plan.first), "last": _month(plan.last)},
        "declared": dict(request.declared) or None,
        "requested_at": utc_text(request.requested_at),
        "issued_at": utc_text(issued_at),
        "completeness": _completeness(plan, found, sections, request.require),
        "sections": sections,
        "findings": checked.findings,
        "indicators": indicators(given, numbers, checked.doubtful),
        "sources": [_source(one, commit) for one in found],
    }


def _month(month: YearMonth) -> str:
    return f"{month[0]:04d}-{month[1]:02d}"


def _rows(one: SourceState) -> Sequence[Row]:
    reply = one.gathered.reply
    return () if reply is None or one.state not in _WITH_ROWS else reply.records


_WITH_ROWS = (State.PRESENT, State.PARTIAL, State.STALE)


def _sections(
    plan: Plan, found: Sequence[SourceState], values: Mapping[str, Values], findings: Sequence[Dict]
) -> dict[str, dict[str, Any]]:
    flags: dict[str, set[str]] = {}
    for finding in findings:
        if finding["outcome"] == CONFLICT and finding["rule"] != "freshness":
            flag = "unit_conflict" if finding["rule"] == "unit" else "conflict"
            for section in finding["sections"]:
                flags.setdefault(section, set()).add(flag)
    by_dataset: dict[str, list[SourceState]] = {}
    for one in found:
        by_dataset.setdefault(one.gathered.item.dataset, []).append(one)
        if one.gaps:
            flags.setdefault(one.gathered.item.dataset, set()).add("gap")
    sections: dict[str, dict[str, Any]] = {}
    for name in CATALOGUE:
        sources = by_dataset.get(name)
        if sources is None:
            state, reason = plan.absent[name]
            sections[name] = _section(state, reason)
            continue
        best = min(sources, key=_strength)
        reply = best.gathered.reply
        sections[name] = _section(
            best.state,
            best.reason,
            as_of=None if reply is None or reply.as_of is None else reply.as_of.isoformat(),
            flags=sorted(flags.get(name, ())),
            values=values.get(name),
            records=[row for one in sources for row in _rows(one)],
        )
    return sections


def _strength(one: SourceState) -> tuple[int, int, int, str]:
    """The section goes by the source its values came from."""
    reply, item = one.gathered.reply, one.gathered.item
    return strength(one.state, item.weight, None if reply is None else reply.as_of, item.platform)


def _section(
    state: State,
    reason: str | None,
    *,
    as_of: str | None = None,
    flags: Sequence[str] = (),
    values: Values | None = None,
    records: Sequence[Row] = (),
) -> dict[str, Any]:
    return {
        "state": state.value,
        "flags": list(flags),
        "reason": reason,
        "as_of": as_of,
        "values": values or {},
        "records": list(records),
    }


def _completeness(
    plan: Plan,
    found: Sequence[SourceState],
    sections: Mapping[str, Mapping[str, Any]],
    require: frozenset[str] | None,
) -> dict[str, Any]:
    # What one source confirmed, another that did not answer may contradict.
    # One that stood in for it has answered for it.
    unanswered = [one for one in found if one.state not in ANSWERED]
    stood_in = {one.gathered.item.dataset for one in found if one.gathered.item.fallback and one.state in ANSWERED}
    silent = {
        one.gathered.item.dataset: one.reason or one.state.value
        for one in unanswered
        if one.gathered.item.dataset not in stood_in
    }
    missing = {
        name: silent.get(name) or section["reason"] or section["state"]
        for name, section in sections.items()
        if name in plan.asked and (name in silent or section["state"] not in ANSWERED)
    }
    if require is None:
        asked_of = {one.gathered.item.dataset for one in found}
        needed = {one.gathered.item.dataset for one in unanswered if not one.gathered.item.optional}
        require = frozenset(name for name in plan.asked if name in needed or name not in asked_of)
    return {
        "asked": len(plan.asked),
        "answered": len(plan.asked) - len(missing),
        "complete": missing.keys().isdisjoint(require),
        "missing": missing,
    }


def _source(one: SourceState, commit: Callable[[Gathered], str]) -> dict[str, Any]:
    gathered, reply = one.gathered, one.gathered.reply
    return {
        "platform": gathered.item.platform,
        "dataset": gathered.item.dataset,
        "via": gathered.item.outlet,
        "state": one.state.value,
        "reason": one.reason,
        "connector_version": gathered.connector_version,
        "assurance": gathered.assurance,
        "fetched_at": None if reply is None else utc_text(reply.fetched_at),
        "as_of": None if reply is None or reply.as_of is None else reply.as_of.isoformat(),
        "next_attempt_at": None if gathered.error is None else gathered.error.details.get("next_attempt_at"),
        "latency_ms": gathered.latency_ms,
        "attempts": gathered.attempts,
        "timeline": [
            {"at": utc_text(datetime.fromtimestamp(t.at, UTC)), "what": t.what, "outcome": t.outcome, "times": t.times}
            for t in gathered.tries
        ],
        "records": len(_rows(one)),
        "repairs": [] if reply is None else list(reply.repairs),
        "commitment": None if reply is None else commit(gathered),
        "origin": None if reply is None or gathered.origin is None else gathered.origin._asdict(),
    }
