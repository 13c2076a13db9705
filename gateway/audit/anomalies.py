"""What in a stretch of the log deserves a second look. Pure functions over entries; no finding says who did wrong.

Each rule counts what happened against a threshold of the settings. Findings name who acted and which entries to read
first, and say in both languages what was seen and what to ask.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from consent.policy import SHANGHAI
from gateway.settings import Anomalies

Row = tuple[int, Mapping[str, Any]]
"""Index and entry."""

NAMED = 20
"""Indexes that a finding names at most."""
_HOUR = timedelta(hours=1)
_REFUSED = ("permit.refused", "access.refused")
# Refusals after which the enterprise's answer was no, or was none.
_NO = frozenset({"consent_missing", "consent_revoked", "consent_suspended", "consent_subject_mismatch"})
_LETTERS_OR_DIGITS = 2
"""An application number has at least so many of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``count`` is how many entries it rests on, ``indexes`` the first ``NAMED`` of them."""

    rule: str
    actor: str
    count: int
    indexes: tuple[int, ...]
    zh: str
    en: str
    officer: str | None = None
    """The pseudonym of the one officer whom it is about; None where the whole client passed the threshold."""


def anomalies(rows: Sequence[Row], applications: Mapping[str, str], limits: Anomalies) -> list[Finding]:
    """Findings in ``rows`` (in the order of the log), by rule and actor. ``applications`` says by consent id what a
    consent was given for; a consent that is not in it is not judged by it."""
    found = [
        *_after_no(rows, limits),
        *_odd_hours(rows, limits),
        *_enumeration(rows, limits),
        *_bursts(rows, limits),
        *_limited(rows),
        *_applications(rows, applications, limits),
        *_unmasking(rows, limits),
    ]
    return sorted(found, key=lambda one: (one.rule, one.actor, one.officer or "", one.indexes))


def _finding(rule: str, actor: str, indexes: Iterable[int], zh: str, en: str) -> Finding:
    every = sorted(set(indexes))
    return Finding(rule, actor, len(every), tuple(every[:NAMED]), zh, en)


_Who = tuple[str, str | None]
"""A client, or one officer of it."""


def _whose(entry: Mapping[str, Any]) -> Iterator[_Who]:
    """An officer's act counts for the client too: what nobody did alone many may have done together."""
    yield entry["actor"], None
    if (officer := entry.get("officer")) is not None:
        yield entry["actor"], officer


def _time(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["time"])


def _after_no(rows: Sequence[Row], limits: Anomalies) -> Iterator[Finding]:
    """A lender was told no about an enterprise, and soon after used another consent of it."""
    within = timedelta(days=limits.after_refusal_days)
    asked: dict[str, str] = {}
    told: dict[tuple[str, str], tuple[datetime, str | None]] = {}
    used: dict[str, list[int]] = defaultdict(list)
    for index, entry in rows:
        event, subject, consent = entry["event"], entry["subject"], entry["consent"]
        if event == "request.opened":
            asked[entry["request"]] = entry["actor"]
        elif event == "request.declined" and entry["request"] in asked:
            told[asked[entry["request"]], subject] = _time(entry), None
        elif event == "permit.refused" and entry["code"] in _NO:
            told[entry["actor"], subject] = _time(entry), consent
        elif event == "permit.granted" and (no := told.get((entry["actor"], subject))) is not None:
            at, refused = no
            if consent != refused and _time(entry) - at <= within:
                used[entry["actor"]].append(index)
    for actor, indexes in used.items():
        yield _finding(
            "use_after_refusal",
            actor,
            indexes,
            f"企业拒绝、撤回或无有效授权后 {limits.after_refusal_days} 天内，又凭另一份授权查询了该企业。"
            "请核对后一份授权的来源。",
            f"Used another consent of an enterprise within {limits.after_refusal_days} days of a refusal, a withdrawal "
            "or a query without a valid consent. Ask how the later consent was obtained.",
        )


def _odd_hours(rows: Sequence[Row], limits: Anomalies) -> Iterator[Finding]:
    odd: dict[_Who, list[int]] = defaultdict(list)
    for index, entry in rows:
        if entry["event"] == "permit.granted":
            hour = _time(entry).astimezone(SHANGHAI).hour
            if not limits.day_begins <= hour < limits.day_ends:
                for who in _whose(entry):
                    odd[who].append(index)
    for (actor, officer), indexes in odd.items():
        if len(indexes) >= limits.odd_hour_uses:
            one = _finding(
                "odd_hours",
                actor,
                indexes,
                f"在 {limits.day_begins} 时至 {limits.day_ends} 时（北京时间）以外查询。"
                "请核对是否为批量作业或值班人员。",
                f"Queries outside {limits.day_begins}:00 to {limits.day_ends}:00 in China. Ask whether it was a batch "
                "job or staff on duty.",
            )
            yield replace(one, officer=officer)


_Event = tuple[int, datetime, str]
"""Index, time, and what must differ for two to count as two."""


def _crowded(events: Sequence[_Event], length: timedelta, least: int) -> set[int]:
    """Indexes of the events in any stretch of ``length`` that holds at least ``least`` different ones."""
    kinds: Counter[str] = Counter()
    crowded: set[int] = set()
    left = told = 0
    for right, (_, time, kind) in enumerate(events):
        kinds[kind] += 1
        while time - events[left][1] > length:
            gone = events[left][2]
            kinds[gone] -= 1
            if not kinds[gone]:
                del kinds[gone]
            left += 1
        if len(kinds) >= least:
            crowded |= {index for index, _, _ in events[max(left, told) : right + 1]}
            told = right + 1
    return crowded


def _enumeration(rows: Sequence[Row], limits: Anomalies) -> Iterator[Finding]:
    refused: dict[_Who, list[_Event]] = defaultdict(list)
    for index, entry in rows:
        if entry["event"] == "permit.refused":
            for who in _whose(entry):
                refused[who].append((index, _time(entry), entry["subject"]))
    for (actor, officer), events in refused.items():
        seen = _crowded(events, _HOUR, limits.enterprises_refused_per_hour)
        if seen:
            one = _finding(
                "enumeration",
                actor,
                seen,
                f"一小时内有至少 {limits.enterprises_refused_per_hour} 家企业的查询被拒。"
                "请核对是否在逐个试探信用代码。",
                f"Refused for at least {limits.enterprises_refused_per_hour} enterprises within an hour. Ask whether "
                "credit codes were being tried one after another.",
            )
            yield replace(one, officer=officer)


def _each(rows: Sequence[Row], events: Sequence[str]) -> dict[str, list[_Event]]:
    """By actor, every such entry counting as one."""
    held: dict[str, list[_Event]] = defaultdict(list)
    for index, entry in rows:
        if entry["event"] in events:
            held[entry["actor"]].append((index, _time(entry), str(index)))
    return held


def _bursts(rows: Sequence[Row], limits: Anomalies) -> Iterator[Finding]:
    for actor, events in _each(rows, _REFUSED).items():
        seen = _crowded(events, timedelta(minutes=10), limits.refusals_in_ten_minutes)
        if seen:
            yield _finding(
                "refusal_burst",
                actor,
                seen,
                f"十分钟内至少 {limits.refusals_in_ten_minutes} 次被拒。请核对对方系统是否配置有误。",
                f"Refused at least {limits.refusals_in_ten_minutes} times within ten minutes. Ask whether its system "
                "is set up wrongly.",
            )


def _limited(rows: Sequence[Row]) -> Iterator[Finding]:
    """``count`` is of requests that were not looked at: the entries stand for many."""
    held: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, entry in rows:
        if entry["event"] == "access.limited":
            held[entry["actor"]].append((index, entry["count"]))
    for actor, told in held.items():
        one = _finding(
            "limited",
            actor,
            [index for index, _ in told],
            "被拒次数过多而受限流；数目为未处理的请求数。请核对缘由。",
            "Was made to wait because it was refused too often; the count is of requests not looked at. Ask why.",
        )
        yield replace(one, count=sum(count for _, count in told))


def _applications(rows: Sequence[Row], applications: Mapping[str, str], limits: Anomalies) -> Iterator[Finding]:
    none: dict[str, list[int]] = defaultdict(list)
    shared: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for index, entry in rows:
        if entry["event"] != "permit.granted" or (number := applications.get(entry["consent"])) is None:
            continue
        if sum(character.isalnum() for character in number) < _LETTERS_OR_DIGITS:
            none[entry["actor"]].append(index)
        else:
            shared[entry["actor"], number].append((index, entry["subject"]))
    for actor, indexes in none.items():
        yield _finding(
            "no_application",
            actor,
            indexes,
            "查询所依据的授权没有填写贷款申请编号。请要求补充对应的申请。",
            "The consent names no loan application. Ask which one the query belongs to.",
        )
    for (actor, _), uses in shared.items():
        if len({subject for _, subject in uses}) >= limits.enterprises_per_application:
            yield _finding(
                "shared_application",
                actor,
                [index for index, _ in uses],
                f"至少 {limits.enterprises_per_application} 家企业的授权使用同一申请编号。请核对是否为真实的贷款申请。",
                f"One application number stands in the consents of at least {limits.enterprises_per_application} "
                "enterprises. Ask whether it is that of a real application.",
            )


def _unmasking(rows: Sequence[Row], limits: Anomalies) -> Iterator[Finding]:
    for actor, events in _each(rows, ("log.unmasked",)).items():
        many = _crowded(events, timedelta(days=1), limits.unmasked_per_day)
        if many:
            yield _finding(
                "unmasking",
                actor,
                many,
                f"一天内至少 {limits.unmasked_per_day} 次查看完整条目。请核对所填理由。",
                f"Saw at least {limits.unmasked_per_day} entries whole within a day. Read the reasons given.",
            )
