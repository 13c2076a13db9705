"""The report of anomalies: each rule speaks from its threshold on, not before, and never for somebody else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.anomalies import NAMED, Finding, anomalies
from gateway.settings import Anomalies
from schemas.base import utc_text

NOON = datetime(2026, 11, 24, 4, tzinfo=UTC)
"""Twelve o'clock in Shanghai."""
LIMITS = Anomalies()


def entry(event: str, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    time = utc_text(NOON + timedelta(minutes=minutes))
    return {"event": event, "time": time, "actor": "bank-a", "consent": None, "subject": None, **fields}


def found(entries: list[dict[str, Any]], applications: dict[str, str] | None = None) -> list[Finding]:
    return anomalies(list(enumerate(entries)), applications or {}, LIMITS)


def rules(entries: list[dict[str, Any]], applications: dict[str, str] | None = None) -> list[tuple[str, str, int]]:
    return [(one.rule, one.actor, one.count) for one in found(entries, applications)]


def granted(minutes: float = 0, **fields: Any) -> dict[str, Any]:
    return entry("permit.granted", minutes, **{"consent": "c1", "subject": "s1", **fields})


def refused(minutes: float = 0, **fields: Any) -> dict[str, Any]:
    return entry("permit.refused", minutes, **{"subject": "s1", "code": "consent_expired", **fields})


DAY = 24 * 60


@pytest.mark.parametrize(
    "code", ["consent_missing", "consent_revoked", "consent_suspended", "consent_subject_mismatch"]
)
def test_a_use_under_another_consent_soon_after_a_no_is_told(code: str) -> None:
    no = refused(code=code, consent="c0")
    assert rules([no, granted(DAY)]) == [("use_after_refusal", "bank-a", 1)]
    assert rules([no, granted(30 * DAY)]) == [("use_after_refusal", "bank-a", 1)]
    assert rules([no, granted(30 * DAY + 1)]) == []
    assert rules([no, granted(DAY, consent="c0")]) == []
    assert rules([no, granted(DAY, subject="s2")]) == []
    assert rules([no, granted(DAY, actor="bank-b")]) == []
    assert rules([granted(), no]) == []


def test_a_refusal_for_a_limit_of_the_consent_is_no_no() -> None:
    assert rules([refused(code="consent_exhausted", consent="c0"), granted(DAY)]) == []


def test_a_use_after_the_enterprise_declined_the_lenders_request_is_told() -> None:
    opened = entry("request.opened", request="r1", subject="s1")
    declined = entry("request.declined", 1, request="r1", actor="enterprise", subject="s1")
    assert rules([opened, declined, granted(DAY)]) == [("use_after_refusal", "bank-a", 1)]
    assert rules([opened, declined, granted(DAY, actor="bank-b")]) == []
    assert rules([declined, granted(DAY)]) == []


@pytest.mark.parametrize(
    ("hour", "odd"), [(6, True), (7, False), (12, False), (21, False), (22, True), (23, True), (0, True)]
)
def test_hours_are_those_of_shanghai(hour: int, odd: bool) -> None:
    minutes = (hour - 12) * 60 + 59
    assert rules([granted(minutes)] * 5) == ([("odd_hours", "bank-a", 5)] if odd else [])
    assert rules([granted(minutes)] * 4) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 15)), max_size=60))
def test_enumeration_is_told_exactly_where_an_hour_holds_so_many_refused_enterprises(
    tries: list[tuple[int, int]],
) -> None:
    tries.sort()
    entries = [refused(minute, subject=f"s{which}") for minute, which in tries]
    within = {
        n
        for last, (end, _) in enumerate(tries)
        if len({s for m, s in tries[: last + 1] if end - m <= 60}) >= LIMITS.enterprises_refused_per_hour
        for n, (m, _) in enumerate(tries[: last + 1])
        if end - m <= 60
    }
    told = [one for one in found(entries) if one.rule == "enumeration"]
    assert [one.count for one in told] == ([len(within)] if within else [])
    assert all(set(one.indexes) == set(sorted(within)[:NAMED]) for one in told)


def test_an_officer_who_passed_the_threshold_alone_is_told_beside_the_client() -> None:
    def who(entries: list[dict[str, Any]]) -> list[tuple[str, str | None, int]]:
        return [(one.rule, one.officer, one.count) for one in found(entries)]

    late = [granted(12 * 60, officer="o1") for _ in range(5)]
    assert who(late) == [("odd_hours", None, 5), ("odd_hours", "o1", 5)]
    assert who([*late[:4], granted(12 * 60, officer="o2")]) == [("odd_hours", None, 5)]
    least = LIMITS.enterprises_refused_per_hour
    tries = [refused(n / 20, subject=f"s{n}", officer="o1") for n in range(least)]
    assert who(tries)[:2] == [("enumeration", None, least), ("enumeration", "o1", least)]
    shared = [{**one, "officer": f"o{n % 2}"} for n, one in enumerate(tries)]
    assert [one for one in who(shared) if one[0] == "enumeration"] == [("enumeration", None, least)]
    assert who([{**one, "actor": f"bank-{n % 2}"} for n, one in enumerate(late)]) == []


def test_many_refusals_in_ten_minutes_are_told_for_the_one_who_had_them() -> None:
    mine = [entry("access.refused", n / 10, code="not_found") for n in range(30)]
    assert rules(mine) == [("refusal_burst", "bank-a", 30)]
    assert rules(mine[:29]) == []
    assert rules([entry("access.refused", n, code="not_found") for n in range(30)]) == []
    assert rules([{**one, "actor": f"bank-{n % 2}"} for n, one in enumerate(mine)]) == []


def test_who_had_to_wait_is_told_with_the_number_of_requests_that_were_not_looked_at() -> None:
    assert rules([entry("access.limited", count=1), entry("access.limited", 1, count=900)]) == [
        ("limited", "bank-a", 901)
    ]


@pytest.mark.parametrize(
    ("number", "told"), [("-", True), ("无", True), ("……", True), ("0", True), ("LN-1", False), ("贷款申请一号", False)]
)
def test_a_use_without_the_number_of_an_application_is_told(number: str, told: bool) -> None:
    assert rules([granted()], {"c1": number}) == ([("no_application", "bank-a", 1)] if told else [])


def test_a_consent_whose_document_is_gone_is_not_judged_by_its_application() -> None:
    assert rules([granted()], {}) == []


def test_one_application_for_many_enterprises_is_told() -> None:
    uses = [granted(consent=f"c{n}", subject=f"s{n}") for n in range(3)]
    same = {f"c{n}": "LN-1" for n in range(3)}
    assert rules(uses, same) == [("shared_application", "bank-a", 3)]
    assert rules(uses[:2], same) == []
    assert rules([*uses[:2], granted(consent="c2", subject="s1")], same) == []
    assert rules(uses, {**same, "c2": "LN-2"}) == []


def test_an_auditor_who_sees_much_whole_is_told_too() -> None:
    seen = [entry("log.unmasked", n, actor="the-auditor", index=n) for n in range(20)]
    assert rules(seen) == [("unmasking", "the-auditor", 20)]
    assert rules(seen[:19]) == []
    assert rules([*seen[:19], entry("log.unmasked", 2 * DAY, actor="the-auditor", index=1)]) == []


def test_a_finding_names_a_bounded_number_of_entries() -> None:
    (one,) = found([granted(12 * 60)] * 50)
    assert (one.count, one.indexes) == (50, tuple(range(NAMED)))


EVENT = st.sampled_from(["permit.granted", "permit.refused", "access.refused", "log.unmasked", "profile.read"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(EVENT, st.integers(0, 3000), st.sampled_from(["bank-a", "bank-b"])), max_size=80))
def test_what_one_client_does_changes_no_finding_about_another(steps: list[tuple[str, int, str]]) -> None:
    entries = [
        entry(event, minute, actor=actor, subject=f"s{minute % 7}", consent=f"c{minute % 5}", code="consent_revoked")
        for event, minute, actor in sorted(steps, key=lambda step: step[1])
    ]
    rows = list(enumerate(entries))
    together = [one for one in anomalies(rows, {}, LIMITS) if one.actor == "bank-a"]
    assert together == anomalies([row for row in rows if row[1]["actor"] == "bank-a"], {}, LIMITS)


def test_every_message_is_in_both_languages_and_accuses_nobody() -> None:
    entries = [
        *[refused(n / 20, subject=f"s{n}", code="consent_revoked", consent="c0") for n in range(40)],
        *[granted(12 * 60 + n, subject=f"s{n}", consent=f"c{n}") for n in range(1, 9)],
        entry("access.limited", count=1),
        *[entry("log.unmasked", index=n) for n in range(20)],
    ]
    told = found(entries, {**{f"c{n}": "LN-1" for n in range(1, 8)}, "c8": "-"})
    assert {one.rule for one in told} == {
        "use_after_refusal", "odd_hours", "enumeration", "refusal_burst", "limited", "no_application",
        "shared_application", "unmasking",
    }  # fmt: skip
    for one in told:
        assert "请" in one.zh
        assert "Ask" in one.en or "Read" in one.en
        assert not any(word in one.zh + one.en for word in ("违规", "违法", "illegal", "fraud", "violat", "guilt"))
