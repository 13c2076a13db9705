"""What goes when, and why: the end of a consent, the days of its class, and nothing earlier or under a hold.

Keys are per (subject, class), so a subject's payload goes when the last of its consents lets it go, and the evidence of
its consents when the last of them has been kept long enough. A request for a consent counts from the day it expired.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, literal_column, or_, select

from consent.batch import Batch, Command, Refusal
from consent.holds import held_subjects
from consent.safe import Safe
from consent.shredding import Reason, Shred, Shredding
from consent.storage import among, fetch, listed
from consent.tables import consent_requests, consent_status, consents, subject_keys
from consent.vault import RetentionClass
from schemas.base import utc_text
from schemas.consent import ConsentState

PAGE = 1000
EVIDENCE_DAYS = 1095
"""At least: PIPL 56 and 网络数据安全管理条例 12 ask for three years."""


@dataclass(frozen=True, slots=True)
class Rule:
    days: int
    reason: Reason
    basis: str


@dataclass(frozen=True, slots=True)
class Rules:
    """``payload`` and ``evidence`` count from the end of a consent, ``withdrawn`` from its withdrawal in place of
    ``payload``. A consent that agreed to fewer days than ``payload`` has its own."""

    payload: Rule = Rule(1825, Reason.RETENTION_ENDED, "个人信息保护法第19条、第47条第1款第2项；征信业管理条例第16条")
    withdrawn: Rule = Rule(30, Reason.WITHDRAWN, "个人信息保护法第15条、第47条第1款第3项")
    evidence: Rule = Rule(EVIDENCE_DAYS, Reason.RETENTION_ENDED, "个人信息保护法第56条；网络数据安全管理条例第12条")


@dataclass(frozen=True, slots=True)
class Due:
    """The key of (subject, class) goes on ``at`` (UTC text) by ``rule``, unless ``held``."""

    subject: str
    retention: RetentionClass
    at: str
    rule: Rule
    held: bool
    consents: tuple[str, ...]


_CONSENTS = (
    select(
        consents.c.subject,
        consents.c.id,
        consents.c.valid_to,
        consents.c.retention_days,
        consents.c.state,
        consent_status.c.at,
    )
    .join_from(
        consents,
        consent_status,
        and_(consent_status.c.consent_id == consents.c.id, consent_status.c.version == consents.c.version),
    )
    .where(among(consents.c.subject, "subjects"))
    .order_by(consents.c.subject, consents.c.id)
)
_REQUESTS = (
    select(consent_requests.c.subject, func.max(consent_requests.c.expires_at))
    .where(among(consent_requests.c.subject, "subjects"))
    .group_by(consent_requests.c.subject)
)
_SUBJECTS = (
    select(subject_keys.c.subject)
    .where(
        subject_keys.c.subject > bindparam("after"),
        or_(
            subject_keys.c.subject.in_(select(consents.c.subject)),
            subject_keys.c.subject.in_(select(consent_requests.c.subject)),
        ),
    )
    .group_by(subject_keys.c.subject)
    .order_by(subject_keys.c.subject)
    .limit(literal_column(str(PAGE)))
    .offset(literal_column("0"))
)
_LIVING = select(subject_keys.c.subject, subject_keys.c["class"]).where(
    func.length(subject_keys.c.wrapped) > literal_column("0"), among(subject_keys.c.subject, "subjects")
)


def schedule(connection: Connection, rules: Rules, after: str = "") -> tuple[list[Due], str | None]:
    """What the subjects behind ``after`` have to lose, at most ``PAGE`` of them, and the subject to go on from."""
    subjects = [subject for (subject,) in fetch(connection, _SUBJECTS, after=after)]
    if not subjects:
        return [], None
    return _dues(connection, rules, subjects), subjects[-1]


def _dues(connection: Connection, rules: Rules, subjects: Sequence[str]) -> list[Due]:
    names = listed(subjects)
    living = {(subject, kind) for subject, kind in fetch(connection, _LIVING, subjects=names)}
    held = held_subjects(connection, subjects)
    given = {s: list(group) for s, group in groupby(fetch(connection, _CONSENTS, subjects=names), lambda row: row[0])}
    asked = dict(fetch(connection, _REQUESTS, subjects=names))
    found: list[Due] = []
    for subject in subjects:
        found += _of(subject, given.get(subject, []), asked.get(subject), rules, subject in held)
    return [due for due in found if (due.subject, due.retention.value) in living]


def _of(subject: str, rows: list[tuple[Any, ...]], asked: str | None, rules: Rules, held: bool) -> Iterator[Due]:
    ids = tuple(row[1] for row in rows)
    ends = [_end(*row[2:]) for row in rows] + ([asked] if asked else [])
    # Where no consent came of a request, nothing was fetched.
    payload = [_payload(rules, *row[2:]) for row in rows] or [(max(ends), rules.payload)]
    at, rule = max(payload, key=lambda one: one[0])
    yield Due(subject, RetentionClass.PAYLOAD, at, rule, held, ids)
    # The proof of a consent outlives what was fetched under it.
    proof = max(_plus(max(ends), rules.evidence.days), at)
    yield Due(subject, RetentionClass.EVIDENCE, proof, rules.evidence, held, ids)


def _end(valid_to: str, _days: int, state: str, changed_at: str) -> str:
    return min(valid_to, changed_at) if state == ConsentState.REVOKED else valid_to


def _payload(rules: Rules, valid_to: str, days: int, state: str, changed_at: str) -> tuple[str, Rule]:
    end = _end(valid_to, days, state, changed_at)
    agreed = _plus(end, min(days, rules.payload.days)), rules.payload
    if state == ConsentState.REVOKED:
        return min(agreed, (_plus(end, rules.withdrawn.days), rules.withdrawn), key=lambda one: one[0])
    return agreed


def _plus(moment: str, days: int) -> str:
    return utc_text(datetime.fromisoformat(moment) + timedelta(days=days))


def by_rule(dues: list[Due], now: datetime) -> Mapping[Rule, list[Due]]:
    """Those that are due now and under no hold."""
    time, found = utc_text(now), dict[Rule, list[Due]]()
    for due in dues:
        if due.at <= time and not due.held:
            found.setdefault(due.rule, []).append(due)
    return found


@dataclass(frozen=True, slots=True)
class ShredDue(Command[list[Shredding]]):
    """Destroy what is due by one rule, at most ``MOST`` keys, as far as it still is when its turn comes: a consent, a
    request or a hold may have come since the schedule was read."""

    dues: tuple[Due, ...]
    rules: Rules
    actor: str
    safe: Safe

    def _shred(self, dues: Sequence[Due]) -> Shred:
        rule = self.dues[0].rule
        targets = tuple((due.subject, due.retention) for due in dues)
        return Shred(targets, rule.reason, rule.basis, self.actor, self.safe)

    def needs(self, batch: Batch) -> None:
        self._shred(self.dues).needs(batch)

    def decide(self, batch: Batch) -> list[Shredding]:
        subjects = {due.subject for due in self.dues} - batch.consents.registered() - batch.requests.opened()
        now = by_rule(_dues(batch.connection, self.rules, sorted(subjects)), batch.now).get(self.dues[0].rule, [])
        still = {(due.subject, due.retention) for due in now}
        left = [due for due in self.dues if (due.subject, due.retention) in still]
        done = self._shred(left).decide(batch) if left else []
        return [] if isinstance(done, Refusal) else done
