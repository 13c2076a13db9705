"""The whole profile: gateway.profile.assemble, held against its published schema."""

import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Found, Row
from gateway.profile.assemble import assemble
from gateway.profile.collect import Gathered
from gateway.profile.plan import Plan
from schemas.base import json_schema
from schemas.canonical import canonical
from schemas.errors import (
    CircuitOpen,
    DeadlineExceeded,
    SubjectMismatch,
    UpstreamDenied,
    UpstreamError,
    UpstreamTimeout,
)
from schemas.profile import Profile, State
from schemas.records import CATALOGUE
from tests.profiles import (
    DECLARED,
    NOW,
    POLICY,
    TODAY,
    all_gathered,
    clean,
    fund,
    gathered,
    plan_of,
    profile_of,
    reply,
    request,
)

VALIDATOR = jsonschema.Draft202012Validator(json_schema(Profile))


def valid(profile: dict[str, Any]) -> dict[str, Any]:
    VALIDATOR.validate(profile)
    Profile.model_validate_json(json.dumps(profile))
    assert json.loads(canonical(profile)) == profile
    return profile


def section(firm: Any, dataset: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = valid(profile_of(firm, **changes))["sections"][dataset]
    return found


def test_a_profile_of_a_firm_in_order_is_complete_and_has_the_published_shape() -> None:
    profile = valid(profile_of(clean()))
    assert profile["completeness"] == {"asked": 16, "answered": 16, "complete": True, "missing": {}}
    assert (profile["id"], profile["revision"], profile["schema_version"]) == ("p-1", 1, "1.0")
    assert profile["period"] == {"first": "2024-11", "last": "2026-10"}
    assert profile["declared"] == DECLARED
    assert profile["issued_at"] == "2026-11-24T06:09:40.000+00:00"


def test_every_data_set_of_the_catalogue_is_in_the_sections_always() -> None:
    for firm in (clean(), {}, {"judicial": UpstreamTimeout()}):
        assert list(profile_of(firm)["sections"]) == list(CATALOGUE)


def test_a_profile_with_nothing_answered_is_valid_and_says_so() -> None:
    profile = valid(profile_of({dataset: CircuitOpen() for dataset in clean()}, declared={}))
    assert profile["declared"] is None
    assert profile["completeness"]["answered"] == 0
    assert set(profile["completeness"]["missing"].values()) == {"circuit_open"}
    assert {f["outcome"] for f in profile["findings"]} == {"unknown"}
    assert {s["commitment"] for s in profile["sources"]} == {None}
    assert {s["fetched_at"] for s in profile["sources"]} == {None}
    assert {s["attempts"] for s in profile["sources"]} == {3}


def test_a_profile_with_nothing_planned_is_valid_too() -> None:
    profile = valid(profile_of({}))
    assert profile["sources"] == []
    assert {s["state"] for s in profile["sections"].values()} == {"not_requested"}


ROWS: list[Row] = [{"kind": "judgment", "case_number": "1"}]


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (reply(ROWS), "present", None),
        (reply(ROWS, date(2026, 10, 23)), "stale", "older_than_asked"),
        (reply(ROWS, None), "present", None),
        (reply([]), "empty_confirmed", None),
        (reply(ROWS, found=Found.PARTIAL), "partial", "pages_missing"),
        (reply([], found=Found.PARTIAL), "unavailable", "upstream_unrecognised"),
        (reply([], found=Found.FOUND), "unavailable", "upstream_unrecognised"),
        (UpstreamDenied(code="403"), "denied", "upstream_denied"),
        (UpstreamTimeout(), "unavailable", "upstream_timeout"),
        (DeadlineExceeded(), "unavailable", "deadline_exceeded"),
        (SubjectMismatch(), "unavailable", "subject_mismatch"),
    ],
)
def test_each_outcome_of_a_source_has_a_state_of_its_own(answer: Any, state: str, reason: str | None) -> None:
    profile = valid(profile_of({"judicial": answer}))
    found = profile["sections"]["judicial"]
    assert (found["state"], found["reason"]) == (state, reason)
    assert (profile["sources"][0]["state"], profile["sources"][0]["reason"]) == (state, reason)
    assert bool(found["records"]) == (state in ("present", "stale", "partial"))
    assert profile["sources"][0]["records"] == len(found["records"])
    answered = state in ("present", "stale", "empty_confirmed")
    assert profile["completeness"]["complete"] == answered
    assert profile["completeness"]["missing"] == ({} if answered else {"judicial": reason})


def test_months_missing_inside_make_a_section_partial_and_flag_the_gap() -> None:
    rows = [row for row in fund() if row["month"] != "2026-03"]
    found = section({"provident_fund": rows}, "provident_fund")
    assert (found["state"], found["reason"], found["flags"]) == ("partial", "months_missing", ["gap"])


def test_months_that_our_own_failed_calls_left_out_are_unknown_and_no_fault_of_the_source() -> None:
    rows = [row for row in fund() if row["month"] not in ("2026-03", "2026-09", "2026-10")]
    profile = profile_of({"provident_fund": reply(rows, date(2026, 8, 31), found=Found.PARTIAL)})
    found = profile["sections"]["provident_fund"]
    assert (found["state"], found["reason"], found["flags"]) == ("partial", "pages_missing", [])
    outcomes = {f["outcome"] for f in profile["findings"] if f["rule"] == "freshness"}
    assert outcomes == {"unknown"}


def test_what_the_lender_asks_for_may_be_stricter_than_the_policy_and_never_laxer() -> None:
    rows = reply(ROWS, date(2026, 11, 14))
    assert section({"judicial": rows}, "judicial", max_age=9)["state"] == "stale"
    assert section({"judicial": rows}, "judicial", max_age=10)["state"] == "present"
    old = reply(ROWS, date(2026, 10, 23))
    assert section({"judicial": old}, "judicial", max_age=365)["state"] == "stale"


def test_today_is_the_day_in_shanghai() -> None:
    gathering = all_gathered({"judicial": reply(ROWS, date(2026, 10, 25))})
    for issued, state in (
        (datetime(2026, 11, 25, 15, 59, tzinfo=UTC), "present"),
        (datetime(2026, 11, 25, 16, 0, tzinfo=UTC), "stale"),
        (datetime(2026, 11, 26, 1, 0, tzinfo=timezone(timedelta(hours=9))), "stale"),
    ):
        profile = assemble(request(), plan_of(gathering), gathering, issued, POLICY, lambda one: "ab" * 32)
        assert profile["sections"]["judicial"]["state"] == state


def test_several_sources_show_the_strongest_state_and_each_its_own() -> None:
    several = [
        gathered("judicial", UpstreamTimeout(), "a-court"),
        gathered("judicial", reply(ROWS), "b-court"),
        gathered("judicial", reply([]), "c-court"),
        gathered("judicial", reply([*ROWS, *ROWS], date(2026, 1, 1)), "d-court"),
    ]
    profile = valid(profile_of(several))
    assert profile["sections"]["judicial"]["state"] == "present"
    assert [(s["platform"], s["state"], s["records"]) for s in profile["sources"]] == [
        ("a-court", "unavailable", 0),
        ("b-court", "present", 1),
        ("c-court", "empty_confirmed", 0),
        ("d-court", "stale", 2),
    ]
    assert len(profile["sections"]["judicial"]["records"]) == 3


def test_of_two_failures_the_one_that_may_pass_is_shown() -> None:
    several = [gathered("judicial", UpstreamDenied(), "a-court"), gathered("judicial", UpstreamTimeout(), "b-court")]
    assert section(several, "judicial")["state"] == "unavailable"


def test_the_section_goes_by_the_source_its_values_came_from() -> None:
    several = [
        gathered("tax_credit", reply([{"year": 2024, "grade": "B"}], date(2026, 11, 1)), "a-tax"),
        gathered("tax_credit", reply([{"year": 2025, "grade": "A"}], date(2026, 11, 20)), "b-tax"),
    ]
    found = section(several, "tax_credit")
    assert found["as_of"] == "2026-11-20"
    assert found["values"]["grade"]["sources"] == ["b-tax/tax_credit#0"]


def test_conflicts_are_flagged_on_their_sections_and_units_by_a_flag_of_their_own() -> None:
    firm = clean()
    firm["registration"][0]["registered_capital"] = "500"
    firm["provident_fund"] = fund(3)
    sections = valid(profile_of(firm))["sections"]
    assert sections["registration"]["flags"] == ["unit_conflict"]
    assert sections["shareholders"]["flags"] == ["unit_conflict"]
    assert sections["provident_fund"]["flags"] == ["conflict"]
    assert sections["registration"]["values"]["registered_capital"]["value"] == "500"


def test_each_kept_reply_has_the_commitment_of_its_own() -> None:
    def commit(one: Gathered) -> str:
        return {"judicial": "aa", "mortgages": "bb"}[one.item.dataset] * 32

    gathering = all_gathered({"judicial": ROWS, "mortgages": list[Row](), "seizures": UpstreamTimeout()})
    profile = assemble(request(), plan_of(gathering), gathering, NOW, POLICY, commit)
    assert {s["dataset"]: s["commitment"] for s in valid(profile)["sources"]} == {
        "judicial": "aa" * 32,
        "mortgages": "bb" * 32,
        "seizures": None,
    }


def test_repairs_of_a_source_are_shown() -> None:
    mended = reply(clean()["registration"])
    object.__setattr__(mended, "repairs", ("uscc: trailing blank",))
    profile = valid(profile_of({"registration": mended}))
    assert profile["sources"][0]["repairs"] == ["uscc: trailing blank"]


def test_what_was_asked_and_could_not_be_planned_is_missing_with_its_reason() -> None:
    absent: dict[str, tuple[State, str | None]] = dict.fromkeys(CATALOGUE, (State.NOT_REQUESTED, None))
    absent["invoices"] = (State.OUT_OF_SCOPE, "consent_out_of_scope")
    absent["vouchers"] = (State.UNAVAILABLE, "no_connector")
    planned = Plan((), frozenset({"invoices", "vouchers"}), absent, (2024, 11), (2026, 10))
    profile = valid(assemble(request(), planned, [], NOW, POLICY, lambda one: "ab" * 32))
    assert profile["completeness"] == {
        "asked": 2,
        "answered": 0,
        "complete": False,
        "missing": {"invoices": "consent_out_of_scope", "vouchers": "no_connector"},
    }


@pytest.mark.parametrize(
    ("require", "complete"), [(None, False), (frozenset({"judicial"}), True), (frozenset({"seizures"}), False)]
)
def test_a_profile_is_complete_when_what_was_required_was_answered(
    require: frozenset[str] | None, complete: bool
) -> None:
    profile = valid(profile_of({"judicial": ROWS, "seizures": UpstreamTimeout()}, require=require))
    assert profile["completeness"]["complete"] is complete
    assert profile["completeness"]["missing"] == {"seizures": "upstream_timeout"}


def behind(one: Gathered, **item: Any) -> Gathered:
    return replace(one, item=replace(one.item, **item))


def test_a_source_that_stood_in_for_another_has_answered_for_it_and_the_outlet_is_named() -> None:
    several = [
        gathered("judicial", UpstreamTimeout(), "sh-court"),
        behind(gathered("judicial", ROWS, "sh-court"), outlet="sh-ywtb", fallback=True),
    ]
    profile = valid(profile_of(several))
    assert profile["completeness"] == {"asked": 1, "answered": 1, "complete": True, "missing": {}}
    assert profile["sections"]["judicial"]["state"] == "present"
    assert [(s["platform"], s["via"], s["state"]) for s in profile["sources"]] == [
        ("sh-court", None, "unavailable"),
        ("sh-court", "sh-ywtb", "present"),
    ]


def test_a_chain_in_which_nobody_answered_is_missing() -> None:
    several = [
        gathered("judicial", UpstreamTimeout(), "sh-court"),
        behind(gathered("judicial", UpstreamDenied(), "sh-court"), outlet="sh-ywtb", fallback=True),
    ]
    profile = valid(profile_of(several))
    assert not profile["completeness"]["complete"]
    assert profile["completeness"]["missing"].keys() == {"judicial"}


@pytest.mark.parametrize(("require", "complete"), [(None, True), (frozenset({"honours"}), False)])
def test_an_optional_platform_may_be_silent_unless_the_lender_requires_its_data(
    require: frozenset[str] | None, complete: bool
) -> None:
    several = [
        gathered("judicial", ROWS),
        behind(gathered("honours", UpstreamTimeout(), "acfic-sh"), optional=True),
    ]
    profile = valid(profile_of(several, require=require))
    assert profile["completeness"] == {
        "asked": 2,
        "answered": 1,
        "complete": complete,
        "missing": {"honours": "upstream_timeout"},
    }


def test_every_reference_points_at_a_source_a_record_or_a_name_of_ours() -> None:
    profile = profile_of(clean())
    counts = {f"{s['platform']}/{s['dataset']}": s["records"] for s in profile["sources"]}
    references = [
        *(ref for s in profile["sections"].values() for v in s["values"].values() for ref in v["sources"]),
        *(ref for i in profile["indicators"] for ref in i["sources"]),
        *(v["source"] for f in profile["findings"] for v in f["values"]),
    ]
    assert len(references) > 50
    for reference in references:
        source, _, number = reference.partition("#")
        if source.partition("/")[0] in ("declared", "policy", "none"):
            continue
        assert source in counts
        assert not number or int(number) < counts[source]


@pytest.mark.parametrize(
    "record",
    [
        {"month": "October", "persons": 4},
        {"month": 202610, "persons": 4},
        {"month": None, "persons": 4},
        {"month": "2026-10", "persons": 4, "amount": "much"},
        {"month": "2026-10", "persons": 4, "amount": object()},
    ],
    ids=["no month", "a number for a month", "null", "no decimal", "no JSON"],
)
def test_records_that_no_rule_can_read_are_their_connector_s_fault_and_hurt_no_other_source(record: Row) -> None:
    """A connector with code of its own may give what the catalogue does not know."""
    broken = [{"month": "2026-10", "kind": "pension", "persons": 4, "base": "much"}]
    firm = {"provident_fund": [record, *fund()], "social_insurance": broken, "judicial": ROWS}
    gathering = [*all_gathered(firm), gathered("seizures", UpstreamTimeout())]
    profile = valid(assemble(request(), plan_of(gathering), gathering, NOW, POLICY, lambda one: "ab" * 32))
    assert {name: s["reason"] for name, s in profile["sections"].items() if s["state"] == "unavailable"} == {
        "provident_fund": "connector_fault",
        "social_insurance": "connector_fault",
        "seizures": "upstream_timeout",
    }
    assert profile["sections"]["judicial"]["state"] == "present"


def test_a_required_field_that_the_consent_left_out_is_no_fault() -> None:
    firm = {"provident_fund": [{"persons": 4}], "social_insurance": [{"month": "x", "kind": "pension"}]}
    profile = valid(profile_of(firm))
    assert profile["sections"]["provident_fund"]["state"] == "present"
    assert profile["sections"]["social_insurance"]["reason"] == "connector_fault"


def test_a_defect_that_no_record_explains_is_not_hidden() -> None:
    def commit(one: Gathered) -> str:
        raise ValueError("ours")

    gathering = all_gathered({"judicial": ROWS})
    with pytest.raises(ValueError, match="ours"):
        assemble(request(), plan_of(gathering), gathering, NOW, POLICY, commit)


OUTCOMES = st.sampled_from(["answer", "empty", "partial", "timeout", "denied", "fault", "old"])


def _as(outcome: str, rows: list[Row]) -> Any:
    errors: dict[str, UpstreamError] = {"timeout": UpstreamTimeout(), "denied": UpstreamDenied()}
    if outcome in errors:
        return errors[outcome]
    if outcome == "fault":
        return CircuitOpen()
    if outcome == "partial":
        return reply(rows, found=Found.PARTIAL) if rows else reply(rows)
    return reply([] if outcome == "empty" else rows, date(2024, 1, 1) if outcome == "old" else TODAY)


@given(drawn=st.lists(OUTCOMES, min_size=32, max_size=32), order=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_whatever_the_sources_do_the_profile_is_valid_and_their_order_does_not_matter(
    drawn: list[str], order: random.Random
) -> None:
    several = [
        gathered(dataset, _as(drawn[2 * n + copy], rows), None if copy == 0 else "a-copy")
        for n, (dataset, rows) in enumerate(clean().items())
        for copy in (0, 1)
    ]
    expected = valid(profile_of(several))
    shuffled = order.sample(several, len(several))
    planned = plan_of(several)
    again = assemble(request(), planned, shuffled, NOW, POLICY, lambda one: "ab" * 32)
    assert canonical(again) == canonical(expected)
