"""What the sources gave, laid out for the rules: answers by data set, in an order that no arrival can change."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from connectors.base import Found, Row
from gateway.profile.collect import Gathered
from gateway.profile.policy import CheckPolicy
from schemas.base import Json
from schemas.profile import State
from schemas.records import CATALOGUE

RANK: Mapping[State, int] = {
    state: rank
    for rank, state in enumerate(
        (
            State.PRESENT,
            State.PARTIAL,
            State.STALE,
            State.EMPTY_CONFIRMED,
            State.PENDING,
            State.UNAVAILABLE,
            State.DENIED,
        )
    )
}
"""Strongest first: several sources of one section show the strongest state."""

_SILENT = {"upstream_denied": State.DENIED, "upstream_pending": State.PENDING}
_PLACE = {name: place for place, name in enumerate(CATALOGUE)}
MONTHLY = ("social_insurance", "provident_fund")
"""Data sets that have a row for every month, so that a month missing between two others is a gap."""


def strength(state: State, weight: int, as_of: date | None, platform: str) -> tuple[int, int, int, str]:
    """By this the sources of one data set are ordered, the one that is believed first: the strongest state, because the
    section shows it; then the operator's weight; then the most recent; then a name, so that the order of arrival
    cannot decide."""
    return RANK[state], -weight, -(as_of or date.min).toordinal(), platform


class Answer(NamedTuple):
    """One source that answered: found something, or confirmed that it holds no record."""

    source: str
    platform: str
    dataset: str
    state: State
    rows: Sequence[Row]
    as_of: date | None
    gaps: tuple[str, ...]
    """Months missing between the first and the last month given."""
    withheld: frozenset[str] = frozenset()
    """As in gateway.profile.plan.Item, like the next two."""
    weight: int = 1
    fresh_days: int | None = None

    @property
    def whole(self) -> bool:
        """Whether sums over the rows are sums over everything the source holds."""
        return self.state is not State.PARTIAL

    def knows(self, *fields: str) -> bool:
        """Whether a field missing in a row says something: it does not where the consent withholds the field."""
        return not self.rows or self.withheld.isdisjoint(fields)

    def ref(self, number: int) -> str:
        """The reference of the ``number``-th record, counted from 0."""
        return f"{self.source}#{number}"


class Material(NamedTuple):
    """``answers`` holds, per data set that was answered, its sources: the one to go by first."""

    uscc: str
    name: str
    former: tuple[str, ...]
    known: tuple[str, ...]
    """Registered and former names: a source that uses one of them means this enterprise too."""
    declared: Mapping[str, Json]
    today: date
    asked: frozenset[str]
    answers: Mapping[str, tuple[Answer, ...]]

    def of(self, dataset: str) -> tuple[Answer, ...]:
        return self.answers.get(dataset, ())


@lru_cache(4096)
def month_number(text: str) -> int:
    """``2026-09`` or a day in it as months since year 0, so that months can be counted."""
    return int(text[:4]) * 12 + int(text[5:7]) - 1


def month_text(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def inner_gaps(rows: Sequence[Row]) -> tuple[str, ...]:
    numbers = {month_number(str(month)) for month in {row.get("month") for row in rows} if month is not None}
    if len(numbers) < 2:
        return ()
    low, high = min(numbers), max(numbers)
    if high - low + 1 == len(numbers):
        return ()
    return tuple(month_text(n) for n in range(low, high + 1) if n not in numbers)


def state_of(gathered: Gathered, gaps: tuple[str, ...], limit: int, today: date) -> tuple[State, str | None]:
    """The state of one source and the reason for it. ``limit`` is how many days old an answer may be."""
    reply = gathered.reply
    if reply is None:
        code = "connector_fault" if gathered.error is None else gathered.error.code
        return _SILENT.get(code, State.UNAVAILABLE), code
    if gathered.error is not None:
        # The source was silent: what it said before is older than what was asked for.
        return State.STALE, gathered.error.code
    if reply.found is Found.ABSENT:
        return State.EMPTY_CONFIRMED, None
    if not reply.records:
        # «Found» without a row says neither what was found nor that there is nothing.
        return State.UNAVAILABLE, "upstream_unrecognised"
    if reply.found is Found.PARTIAL:
        return State.PARTIAL, "pages_missing"
    if gaps:
        return State.PARTIAL, "months_missing"
    if reply.as_of is not None and (today - reply.as_of).days > limit:
        return State.STALE, "older_than_asked"
    return State.PRESENT, None


class SourceState(NamedTuple):
    gathered: Gathered
    state: State
    reason: str | None
    gaps: tuple[str, ...]


def states(gathered: Sequence[Gathered], policy: CheckPolicy, max_age: int | None, today: date) -> list[SourceState]:
    """Each source's state, in catalogue order, then by platform: never in order of arrival."""
    result = []
    for one in sorted(gathered, key=lambda g: (_PLACE[g.item.dataset], g.item.platform)):
        # Months that our own failed calls left out say nothing about the source.
        whole = one.reply is not None and one.reply.found is Found.FOUND
        gaps = inner_gaps(one.reply.records) if one.reply and whole and one.item.dataset in MONTHLY else ()
        limit = policy.fresh_for(one.item.dataset, max_age, one.item.fresh_days)
        result.append(SourceState(one, *state_of(one, gaps, limit, today), gaps))
    return result


def material(
    found: Sequence[SourceState],
    asked: frozenset[str],
    uscc: str,
    name: str,
    declared: Mapping[str, Json],
    today: date,
) -> Material:
    answers: dict[str, list[Answer]] = {}
    for one in found:
        reply, item = one.gathered.reply, one.gathered.item
        if reply is None or one.state is State.UNAVAILABLE:
            continue
        rows = () if reply.found is Found.ABSENT else reply.records
        answer = Answer(
            item.source,
            item.platform,
            item.dataset,
            one.state,
            rows,
            reply.as_of,
            one.gaps,
            item.withheld,
            item.weight,
            item.fresh_days,
        )
        answers.setdefault(item.dataset, []).append(answer)
    for several in answers.values():
        if len(several) > 1:
            several.sort(key=lambda a: strength(a.state, a.weight, a.as_of, a.platform))
    former: list[str] = []
    registered: list[str] = []
    for registration in answers.get("registration", ()):
        for row in registration.rows:
            names = row.get("former_names")
            former += [str(n) for n in names] if isinstance(names, list) else []
            registered += [str(row["name"])] if "name" in row else []
    ordered = {dataset: tuple(several) for dataset, several in answers.items()}
    known = (*registered, *former)
    return Material(uscc, name, tuple(former), known, declared, today, asked, ordered)
