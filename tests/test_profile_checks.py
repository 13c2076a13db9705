"""The cross-checks: gateway.profile.crosschecks and the rules under gateway.profile.checks."""

import json
import random
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Found, Row
from connectors.sandbox.conflicts import CONFLICTS, RULES
from connectors.sandbox.population import enterprise
from connectors.sandbox.views import PLATFORM_OF, truth
from gateway.profile.collect import Gathered
from gateway.profile.crosschecks import Checked, cross_check
from gateway.profile.material import Material, material, states
from gateway.profile.measures import figures
from schemas.errors import UpstreamTimeout
from schemas.profile import Finding
from tests.profiles import (
    DECLARED,
    NAME,
    OTHER_USCC,
    POLICY,
    TODAY,
    all_gathered,
    clean,
    fund,
    gathered,
    income_tax,
    insured,
    invoices,
    material_of,
    reply,
    vat,
)


def checked(given_: Material, max_age: int | None = None) -> Checked:
    return cross_check(given_, figures(given_), POLICY, max_age)


def findings(firm: Any, rule: str, declared: Any = DECLARED) -> list[dict[str, Any]]:
    return [f for f in checked(material_of(firm, declared)).findings if f["rule"] == rule]


def outcomes(firm: Any, rule: str, declared: Any = DECLARED) -> list[tuple[str, str]]:
    return [(f["outcome"], f["severity"]) for f in findings(firm, rule, declared)]


def conflict(firm: Any, rule: str, declared: Any = DECLARED) -> dict[str, Any]:
    """The only conflict of the rule."""
    (found,) = [f for f in findings(firm, rule, declared) if f["outcome"] == "conflict"]
    return found


def changed(dataset: str, **fields: Any) -> dict[str, list[Row]]:
    """The clean firm with other fields in the first record of a data set; None takes a field away."""
    firm = clean()
    first = {k: v for k, v in {**firm[dataset][0], **fields}.items() if v is not None}
    return {**firm, dataset: [first, *firm[dataset][1:]]}


def test_sources_that_agree_give_only_consistent_findings_and_every_rule_speaks() -> None:
    found = checked(material_of(clean())).findings
    # Receivables it has none to compare.
    assert {f["outcome"] for f in found if f["rule"] != "receivable"} == {"consistent"}
    assert {f["rule"] for f in found} == set(RULES)


def test_where_nothing_was_answered_every_rule_says_unknown_and_nothing_is_zero() -> None:
    firm = {dataset: UpstreamTimeout() for dataset in clean()}
    found = checked(material_of(firm, {})).findings
    assert {f["rule"] for f in found} == set(RULES)
    assert {f["outcome"] for f in found} == {"unknown"}
    assert all(v["value"] not in (0, "0", False) for f in found for v in f["values"])
    assert all(f["taken"] is None for f in found)


def test_where_every_platform_confirms_that_it_holds_nothing_there_is_no_conflict() -> None:
    found = checked(material_of({dataset: [] for dataset in clean()}, {})).findings
    assert "conflict" not in {f["outcome"] for f in found}
    assert {f["rule"] for f in found} == set(RULES)


def test_every_finding_has_the_published_shape() -> None:
    for firm in (clean(), changed("registration", name="别家公司", registered_capital="500")):
        for found in checked(material_of(firm)).findings:
            Finding.model_validate_json(json.dumps(found))


# --- identity


def test_the_asked_name_may_be_a_former_name_and_brackets_may_be_half_width() -> None:
    firm = changed(
        "registration", name="虚构禾川智造(测试)有限公司", former_names=[NAME.replace("（", "(").replace("）", ")")]
    )
    assert {o for o, _ in outcomes(firm, "identity")} == {"consistent"}


def test_another_name_is_a_serious_conflict_and_the_register_is_taken() -> None:
    found = conflict(changed("registration", name="虚构别家（测试）有限公司", former_names=None), "identity")
    assert found["severity"] == "serious"
    assert [v["value"] for v in found["values"]] == ["虚构别家（测试）有限公司", NAME]
    assert found["taken"]["source"] == "sh-registry/registration#0"


def test_a_masked_name_proves_nothing() -> None:
    firm = changed("registration", name="虚构禾川****（测试）有限公司", former_names=None)
    assert ("not_comparable", "info") in outcomes(firm, "identity")


def test_another_code_is_a_serious_conflict() -> None:
    assert conflict(changed("registration", uscc=OTHER_USCC), "identity")["severity"] == "serious"


def test_fields_that_the_consent_left_out_are_not_compared() -> None:
    firm = changed("registration", uscc=None, name=None, legal_representative=None, former_names=None)
    assert outcomes(firm, "identity") == [("unknown", "info")]


def test_two_representatives_are_a_conflict() -> None:
    found = conflict(changed("registration", legal_representative="构一二"), "identity")
    assert (found["severity"], found["sections"]) == ("warning", ["registration", "key_persons"])


@pytest.mark.parametrize(("days", "outcome"), [(0, "consistent"), (30, "consistent"), (31, "conflict")])
def test_a_change_of_representative_may_lag_thirty_days_behind(days: int, outcome: str) -> None:
    since = date.fromordinal(date(2026, 11, 20).toordinal() - days).isoformat()
    firm = changed("registration", legal_representative="构一二", representative_since=since)
    (found,) = [f for f in findings(firm, "identity") if f["sections"] == ["registration", "key_persons"]]
    assert found["outcome"] == outcome


def test_a_same_unmasked_representative_agrees() -> None:
    firm = changed("key_persons", name="虚某某")
    assert {o for o, _ in outcomes(firm, "identity")} == {"consistent"}


def test_a_court_record_about_another_party_is_a_conflict_and_one_under_the_registered_name_is_not() -> None:
    court = [
        {"kind": "judgment", "case_number": f"{n}", "name": name, "role": "plaintiff"}
        for n, name in enumerate([NAME, NAME, "虚构禾川机械（测试）有限公司", "虚构别家（测试）有限公司"])
    ]
    found = conflict({**clean(), "judicial": court}, "identity")
    assert found["values"][0] == {
        "source": "sh-court/judicial#3",
        "value": "虚构别家（测试）有限公司",
        "unit": None,
        "period": None,
    }
    assert {o for o, _ in outcomes({**clean(), "judicial": court[:3]}, "identity")} == {"consistent"}


def two_registrations(**fields: Any) -> list[Gathered]:
    firm = clean()
    second = {k: v for k, v in {**firm["registration"][0], **fields}.items() if v is not None}
    return [*all_gathered(firm), gathered("registration", [second], "sh-ywtb")]


def test_two_registers_are_compared_in_name_representative_and_address() -> None:
    assert {o for o, _ in outcomes(two_registrations(), "identity")} == {"consistent"}
    assert conflict(two_registrations(legal_representative="构一二"), "identity")["severity"] == "warning"
    assert {o for o, _ in outcomes(two_registrations(legal_representative=None), "identity")} == {"consistent"}


@pytest.mark.parametrize(("other", "outcome"), [("虚构路 1 号", "consistent"), ("虚构路2号", "conflict")])
def test_addresses_of_two_registers_are_compared_without_blanks(other: str, outcome: str) -> None:
    firm = changed("registration", address="虚构路1号")
    several = [
        *all_gathered(firm),
        gathered("registration", [{**firm["registration"][0], "address": other}], "sh-ywtb"),
    ]
    found = [f for f in findings(several, "identity") if f["values"][0]["value"] == "虚构路1号"]
    assert [f["outcome"] for f in found] == [outcome]


# --- headcount


@pytest.mark.parametrize(
    ("persons", "outcome"),
    [(20, "consistent"), (19, "conflict"), (48, "consistent"), (49, "conflict"), (32, "consistent")],
)
def test_fund_to_insurance_is_a_conflict_below_a_half_and_above_one_and_a_fifth(persons: int, outcome: str) -> None:
    firm = {"social_insurance": insured(40), "provident_fund": fund(persons)}
    (found,) = findings(firm, "headcount")
    assert found["outcome"] == outcome
    assert [v["value"] for v in found["values"]] == [persons, 40]
    assert found["taken"]["source"].startswith("sh-hrss/social_insurance#")


@pytest.mark.parametrize(("persons", "outcome"), [(1, "consistent"), (0, "conflict")])
def test_a_difference_below_five_is_no_conflict(persons: int, outcome: str) -> None:
    firm = {"social_insurance": insured(5), "provident_fund": fund(persons)}
    assert findings(firm, "headcount")[0]["outcome"] == outcome


def test_nobody_insured_beside_many_in_the_fund_is_a_conflict_and_divides_by_nothing() -> None:
    assert conflict({"social_insurance": insured(0), "provident_fund": fund(5)}, "headcount")
    assert outcomes({"social_insurance": insured(0), "provident_fund": fund(0)}, "headcount") == [
        ("consistent", "info")
    ]


def test_the_latest_common_month_is_compared_although_the_fund_runs_behind() -> None:
    (found,) = findings({"social_insurance": insured(), "provident_fund": fund()}, "headcount")
    assert {v["period"] for v in found["values"]} == {"2026-09"}


def test_without_a_common_month_they_cannot_be_compared() -> None:
    late = [{"month": "2020-01", "persons": 3}]
    assert outcomes({"social_insurance": insured(), "provident_fund": late}, "headcount") == [
        ("not_comparable", "info")
    ]


def test_one_source_alone_is_unknown_and_is_shown() -> None:
    (found,) = findings({"social_insurance": insured(), "provident_fund": UpstreamTimeout()}, "headcount")
    assert (found["outcome"], found["values"][0]["value"]) == ("unknown", 40)


def test_the_annual_report_is_compared_in_december_of_its_year() -> None:
    report = [{"year": 2025, "staff": 96, "insured_staff": 40}]
    found = conflict({"social_insurance": insured(), "annual_report": report}, "headcount")
    assert [v["value"] for v in found["values"]] == [40, 96]
    assert {v["period"] for v in found["values"]} == {"2025-12"}


def test_income_tax_persons_are_compared_and_without_insurance_the_fund_stands_in() -> None:
    taxed: list[Row] = [
        {"tax": "individual_income_tax", "period_from": "2026-09-01", "period_to": "2026-09-30", "persons": 12}
    ]
    assert conflict({"social_insurance": insured(), "tax_returns": taxed}, "headcount")["values"][1]["value"] == 12
    found = conflict({"provident_fund": fund(), "tax_returns": taxed}, "headcount")
    assert found["taken"]["source"].startswith("sh-hpf/")


def test_two_sources_of_one_count_are_compared_with_each_other() -> None:
    several = [gathered("social_insurance", insured(40)), gathered("social_insurance", insured(10), "sh-ywtb")]
    assert conflict(several, "headcount")["sections"] == ["social_insurance"]


# --- revenue


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("1000000.00", ("consistent", "info")),
        ("800000.00", ("consistent", "info")),
        ("799999.00", ("conflict", "warning")),
        ("700000.00", ("conflict", "warning")),
        ("699999.00", ("conflict", "serious")),
        ("0.00", ("conflict", "serious")),
    ],
)
def test_invoices_against_vat_warn_beyond_a_fifth_and_are_serious_beyond_three_tenths(
    amount: str, expected: tuple[str, str]
) -> None:
    firm = {"tax_returns": vat(), "invoices": invoices(amount, "0.00")}
    (found,) = findings(firm, "revenue")
    assert (found["outcome"], found["severity"]) == expected
    assert {v["period"] for v in found["values"]} == {"2025-11..2026-10"}
    assert found["taken"]["source"] == "sh-tax/tax_returns"


def test_red_invoices_are_taken_off() -> None:
    firm = {"tax_returns": vat(), "invoices": invoices("2000000.00", "1000000.00")}
    assert outcomes(firm, "revenue") == [("consistent", "info")]


def test_income_tax_and_annual_report_are_compared_over_the_same_year() -> None:
    firm = {"tax_returns": [income_tax("10000000.00")], "annual_report": [{"year": 2025, "revenue": "20000000"}]}
    found = conflict(firm, "revenue")
    assert {v["period"] for v in found["values"]} == {"2025-01..2025-12"}
    assert [v["source"] for v in found["values"]] == ["sh-tax/tax_returns#0", "sh-registry/annual_report#0"]


def test_another_year_cannot_be_compared() -> None:
    firm = {"tax_returns": [income_tax(year=2025)], "annual_report": [{"year": 2024, "revenue": "20000000"}]}
    (found,) = findings(firm, "revenue")
    assert found["outcome"] == "not_comparable"
    assert [v["value"] for v in found["values"]] == [None, None]


def test_two_months_are_too_few_to_compare() -> None:
    firm = {"tax_returns": vat(count=2), "invoices": invoices("1.00", "0.00")}
    assert outcomes(firm, "revenue") == [("not_comparable", "info")]


def test_one_source_alone_is_unknown_and_shows_its_latest_amount() -> None:
    (found,) = findings({"tax_returns": vat(), "invoices": UpstreamTimeout()}, "revenue")
    assert found["outcome"] == "unknown"
    assert found["values"][0] == {
        "source": "sh-tax/tax_returns#23",
        "value": "1000000.00",
        "unit": "元",
        "period": "2026-10",
    }


def test_a_correction_replaces_its_return_and_a_void_one_is_dropped() -> None:
    returns = vat()
    wrong = {**returns[-1], "sales": "9000000.00"}
    firm = {
        "tax_returns": [*returns[:-1], wrong, {**returns[-1], "correction": True}, {**wrong, "void": True}],
        "invoices": invoices(),
    }
    assert outcomes(firm, "revenue") == [("consistent", "info")]


def test_nothing_sold_on_either_side_agrees() -> None:
    firm = {"tax_returns": vat("0.00"), "invoices": invoices("0.00", "0.00")}
    assert outcomes(firm, "revenue") == [("consistent", "info")]


def test_two_sources_of_one_measure_are_compared_with_each_other() -> None:
    several = [gathered("tax_returns", vat()), gathered("tax_returns", vat("500000.00"), "sh-ywtb")]
    assert conflict(several, "revenue")["severity"] == "serious"


# --- unit


@pytest.mark.parametrize(
    ("amount", "unit"),
    [
        ("100.00", True),
        ("125.00", True),
        ("125.01", False),
        ("83.34", True),
        ("83.33", False),
        ("10000000000.00", True),
        ("12500000000.00", True),
        ("12500000000.12", False),
        ("8000000000.00", False),
        ("8340000000.00", True),
    ],
)
def test_amounts_about_ten_thousand_times_apart_are_a_unit_conflict_and_are_not_compared(
    amount: str, unit: bool
) -> None:
    """The band is 0.8 to 1.2 times 10^4, taken of VAT sales to invoices: here 1,000,000 to the amount."""
    firm = {"tax_returns": vat(), "invoices": invoices(amount, "0")}
    assert outcomes(firm, "unit") == ([("conflict", "serious")] if unit else [("consistent", "info")])
    assert outcomes(firm, "revenue") == ([("not_comparable", "info")] if unit else [("conflict", "serious")])


def test_the_unit_of_a_measure_that_a_third_source_bears_out_is_not_in_doubt() -> None:
    report = [{"year": 2025, "revenue": "1200"}]
    given_ = material_of({"tax_returns": vat(), "invoices": invoices(), "annual_report": report})
    assert checked(given_).doubtful == {"report"}
    assert checked(material_of({"tax_returns": vat(), "annual_report": report})).doubtful == {"vat", "report"}


def test_capital_is_held_against_what_the_shareholders_subscribed() -> None:
    found = conflict(changed("registration", registered_capital="500"), "unit")
    assert [v["value"] for v in found["values"]] == ["500", "5000000"]
    assert found["taken"] is None


def test_capital_of_two_registers_is_compared_even_without_shareholders() -> None:
    several = [g for g in two_registrations(registered_capital="500") if g.item.dataset == "registration"]
    assert conflict(several, "unit")["sections"] == ["registration"]


def test_a_shareholder_without_an_amount_leaves_the_sum_unknown() -> None:
    firm = {k: v for k, v in changed("shareholders", subscribed=None).items() if k in ("registration", "shareholders")}
    assert outcomes(firm, "unit") == [("unknown", "info")]


@pytest.mark.parametrize("secured", ["600", "60000000000"])
def test_a_secured_claim_ten_thousand_times_off_the_assessed_value_is_a_unit_conflict(secured: str) -> None:
    firm = changed("mortgages", secured_amount=secured)
    found = conflict({**firm, "shareholders": []}, "unit", {})
    assert found["sections"] == ["mortgages", "real_estate"]
    assert "0.1..3" in found["tolerance"]
    assert ("not_comparable", "info") in outcomes(firm, "property")


def test_several_mortgages_of_one_unit_add_up_before_they_are_compared() -> None:
    firm = clean()
    firm["mortgages"].append({**firm["mortgages"][0], "secured_amount": "1000000"})
    assert {o for o, _ in outcomes(firm, "unit")} == {"consistent"}


def test_a_declaration_ten_thousand_times_off_is_a_unit_conflict() -> None:
    declared = {"mortgage_amount": "600", "judicial_cases": 0}
    assert conflict(clean(), "unit", declared)["values"][1]["source"] == "declared/mortgage_amount"


# --- property


def test_another_owner_is_a_serious_conflict() -> None:
    for fields in (
        {"owner_uscc": OTHER_USCC},
        {"owner_uscc": None, "owner": "虚构别家（测试）有限公司"},
        {"owner_uscc": OTHER_USCC, "owner": None},
    ):
        assert conflict(changed("real_estate", **fields), "property")["severity"] == "serious"


@pytest.mark.parametrize("owner", ["虚构禾川机械(测试)有限公司", f"某人、{NAME}", "虚构禾川****（测试）有限公司"])
def test_a_former_name_a_co_owner_and_a_masked_name_are_ours(owner: str) -> None:
    firm = changed("real_estate", owner_uscc=None, owner=owner)
    firm["real_estate"] *= 2
    assert {o for o, _ in outcomes(firm, "property")} == {"consistent"}


def test_a_record_without_an_owner_is_unknown_and_history_does_not_count() -> None:
    firm = changed("real_estate", owner_uscc=None, owner=None)
    assert ("unknown", "info") in outcomes(firm, "property")
    past = changed("real_estate", owner_uscc=OTHER_USCC, current=False)
    assert "conflict" not in {o for o, _ in outcomes(past, "property")}


@pytest.mark.parametrize(
    ("declared", "outcome"),
    [
        ("6000000", "consistent"),
        ("5714286", "consistent"),
        ("5700000", "conflict"),
        ("0", "conflict"),
        ("6300000", "consistent"),
        ("6400000", "not_comparable"),
        (None, "unknown"),
    ],
)
def test_registered_mortgages_beyond_the_declaration_are_hidden_ones(declared: str | None, outcome: str) -> None:
    answers = {"mortgage_amount": declared} if declared else {}
    (found,) = [f for f in findings(clean(), "property", answers) if f["sections"] == ["mortgages"]]
    assert found["outcome"] == outcome
    assert found["values"][0]["value"] == "6000000"


def test_no_mortgage_on_the_register_and_none_declared_agree() -> None:
    firm = {"mortgages": list[Row]()}
    (found,) = [f for f in findings(firm, "property", {"mortgage_amount": "0"}) if f["sections"] == ["mortgages"]]
    assert (found["outcome"], found["values"][0]["value"]) == ("consistent", "0")


def test_a_mortgage_without_an_amount_is_a_lower_bound() -> None:
    firm = clean()
    firm["mortgages"].append({"unit_number": "u", "current": True})
    hidden = [f for f in findings(firm, "property", {"mortgage_amount": "0"}) if f["sections"] == ["mortgages"]]
    enough = [f for f in findings(firm, "property", {"mortgage_amount": "6000000"}) if f["sections"] == ["mortgages"]]
    assert [f["outcome"] for f in hidden + enough] == ["conflict", "unknown"]


def test_an_incomplete_register_proves_nothing_but_what_it_shows() -> None:
    firm = clean()
    some: dict[str, Any] = {**firm, "mortgages": reply(firm["mortgages"], found=Found.PARTIAL)}
    some["seizures"] = reply([{"unit_number": "u", "current": False}], found=Found.PARTIAL)
    found = {f["sections"][0]: f["outcome"] for f in findings(some, "property")}
    assert (found["mortgages"], found["seizures"]) == ("unknown", "unknown")
    assert ("conflict", "serious") in outcomes(some, "property", {"mortgage_amount": "0"})


@pytest.mark.parametrize(
    ("seizure", "outcome"),
    [
        ({"current": True}, "conflict"),
        ({"current": False}, "consistent"),
        ({}, "conflict"),
        ({"seized_to": "2027-01-01"}, "conflict"),
        ({"seized_to": "2026-11-23"}, "consistent"),
    ],
)
def test_a_seizure_that_stands_is_serious(seizure: Row, outcome: str) -> None:
    firm: dict[str, list[Row]] = {**clean(), "seizures": [{"unit_number": "u", **seizure}]}
    (found,) = [f for f in findings(firm, "property") if f["sections"] == ["seizures"]]
    assert found["outcome"] == outcome


# --- judicial

HIT: Row = {"kind": "dishonest_debtor", "case_number": "(2025)虚9901执118号"}
LISTED: Row = {"kind": "black", "name": "失信被执行人"}


@pytest.mark.parametrize(
    ("court", "lists", "expected"),
    [
        ([HIT], [LISTED], ("consistent", "serious")),
        ([HIT], [], ("conflict", "serious")),
        ([], [LISTED], ("conflict", "serious")),
        ([], [], ("consistent", "info")),
        ([{**HIT, "closed": True}], [{**LISTED, "removed_on": "2026-11-24"}], ("consistent", "info")),
        ([], [{**LISTED, "removed_on": "2026-11-25"}], ("conflict", "serious")),
        ([], [{"kind": "black", "name": "重大税收违法"}], ("consistent", "info")),
        ([HIT], UpstreamTimeout(), ("unknown", "serious")),
        (UpstreamTimeout(), [LISTED], ("unknown", "serious")),
        (UpstreamTimeout(), [], ("unknown", "info")),
        ([], reply([{"kind": "red", "name": "A"}], found=Found.PARTIAL), ("unknown", "info")),
    ],
)
def test_a_hit_in_one_source_is_held_against_the_other(court: Any, lists: Any, expected: tuple[str, str]) -> None:
    firm = {"judicial": court, "credit_lists": lists}
    found, _ = findings(firm, "judicial", {})
    assert (found["outcome"], found["severity"]) == expected


@pytest.mark.parametrize(
    ("court", "declared", "outcome"),
    [
        ([HIT], 0, "conflict"),
        ([HIT], 1, "consistent"),
        ([HIT, HIT], 1, "consistent"),
        ([HIT, {"kind": "enforcement", "case_number": "2"}], 1, "conflict"),
        ([{"kind": "judgment", "case_number": "3", "role": "defendant"}], 0, "consistent"),
        ([{**HIT, "role": "plaintiff"}], 0, "consistent"),
        ([{**HIT, "closed": True}], 0, "consistent"),
        ([{"kind": "enforcement"}], 0, "conflict"),
        ([HIT], None, "unknown"),
        (UpstreamTimeout(), 0, "unknown"),
        (reply([{**HIT, "closed": True}], found=Found.PARTIAL), 0, "unknown"),
        (reply([HIT], found=Found.PARTIAL), 0, "conflict"),
    ],
)
def test_more_open_enforcement_cases_than_declared_are_a_conflict(
    court: Any, declared: int | None, outcome: str
) -> None:
    answers = {} if declared is None else {"judicial_cases": declared}
    _, found = findings({"judicial": court, "credit_lists": []}, "judicial", answers)
    assert found["outcome"] == outcome


# --- freshness


def test_an_old_answer_is_stale_by_policy_or_by_what_the_lender_asked() -> None:
    firm = {
        "registration": reply(clean()["registration"], date(2026, 10, 24)),
        "judicial": reply([], date(2026, 11, 20)),
    }
    by_policy = [f for f in checked(material_of(firm)).findings if f["rule"] == "freshness"]
    assert [f["outcome"] for f in by_policy] == ["consistent"]
    asked = [f for f in checked(material_of(firm, max_age=30), 30).findings if f["rule"] == "freshness"]
    assert [(f["outcome"], f["sections"]) for f in asked] == [
        ("conflict", ["registration"]),
        ("consistent", ["judicial"]),
    ]
    assert [v["value"] for v in asked[0]["values"]] == ["2026-10-24", "2026-10-25"]


def test_an_answer_without_a_date_is_unknown() -> None:
    (found,) = findings({"judicial": reply([], None)}, "freshness")
    assert (found["outcome"], found["sections"]) == ("unknown", ["judicial"])


def test_a_month_missing_between_two_others_is_a_gap() -> None:
    rows = [row for row in fund() if row["month"] not in ("2026-03", "2026-04")]
    found = conflict({"provident_fund": rows}, "freshness")
    assert found["values"][0] == {
        "source": "sh-hpf/provident_fund",
        "value": 2,
        "unit": "月",
        "period": "2026-03..2026-04",
    }


# --- all of them


def severe() -> list[Gathered]:
    """A firm with several sources per data set that contradict each other."""
    firm = clean()
    return [
        *all_gathered(firm),
        gathered("registration", [{**firm["registration"][0], "legal_representative": "构一二"}], "sh-ywtb"),
        gathered("social_insurance", insured(12), "sh-ywtb"),
        gathered("provident_fund", fund(90), "district-a"),
        gathered("tax_returns", vat("100.00"), "sh-ywtb"),
        gathered("mortgages", [{"unit_number": "u", "secured_amount": "9", "current": True}], "sh-ywtb"),
        gathered("judicial", [HIT], "sh-ywtb"),
        gathered("credit_lists", UpstreamTimeout(), "sh-ywtb"),
        gathered("receivables", [{"number": "1", "amount": "5", "pledged": True, "financier": "甲"}], "ccrc"),
        gathered("receivables", [{"number": "1", "amount": "9", "pledged": True, "financier": "乙"}], "core"),
        gathered(
            "vouchers", [{"number": "v", "amount": "1"}, {"number": "w", "amount": "2", "parent": "v"}], "yunlian"
        ),
        gathered(
            "core_trade", [{"month": r["month"], "side": "upstream", "purchases": "2000000"} for r in insured(36)]
        ),
    ]


def test_the_contradicting_firm_has_conflicts_in_most_rules() -> None:
    assert len({f["rule"] for f in checked(material_of(severe())).findings if f["outcome"] == "conflict"}) >= 4


@given(order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_sources_never_changes_the_result(order: random.Random) -> None:
    several = severe()
    expected = checked(material_of(several))
    order.shuffle(several)
    assert checked(material_of(several)) == expected


@given(order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_records_never_changes_outcomes_or_values(order: random.Random) -> None:
    firm = clean()
    firm["tax_returns"].append({**firm["tax_returns"][3], "sales": "5.00", "correction": True})

    def essence(rows: Any) -> list[Any]:
        found = checked(material_of(rows)).findings
        return [(f["rule"], f["outcome"], [(v["value"], v["period"]) for v in f["values"]]) for f in found]

    expected = essence(firm)
    shuffled = {dataset: order.sample(rows, len(rows)) for dataset, rows in firm.items()}
    assert essence(shuffled) == expected


WITHIN_TOLERANCE = {
    "headcount-fund": range(50, 60),
    "headcount-annual-report": range(180, 203),
    "headcount-income-tax": range(78, 85),
    "revenue-invoices": range(79, 85),
    "revenue-annual-report": range(115, 127),
    "revenue-core-purchases": range(105, 121),
    "receivable-amount": range(95, 98),
    "stale-insurance": range(3, 4),
    "stale-fund": range(4, 5),
}
"""Degrees of planted conflicts (per cent, months) that the policy's tolerances may let pass."""


def test_every_planted_conflict_beyond_the_tolerances_is_found_and_nothing_else() -> None:
    """Many enterprises that the simulation plants faults and lawful oddities in, read straight from its truth."""
    seen: set[str] = set()
    for n in range(20, 400):
        told = truth(enterprise(7, n, TODAY))
        several = [gathered(d, reply(rows, _as_of(d, rows)), PLATFORM_OF[d]) for d, rows in told["datasets"].items()]
        for place, rows in told["elsewhere"].items():
            platform, _, dataset = place.partition("/")
            several.append(gathered(dataset, reply(rows), platform))
        sources = states(several, POLICY, None, TODAY)
        asked = frozenset(told["datasets"])
        given_ = material(sources, asked, told["uscc"], told["name"], told["declared"], TODAY)
        conflicts = {f["rule"] for f in checked(given_).findings if f["outcome"] == "conflict"}
        labels = told["labels"]
        if labels["degree"] not in WITHIN_TOLERANCE.get(labels["conflict"], ()):
            assert set(labels["expected"]) <= conflicts, (n, labels["conflict"], labels["degree"])
        assert conflicts.isdisjoint(labels["clean"]), (n, labels["noise"], conflicts)
        seen |= {labels["conflict"]} - {None}
    assert seen == set(CONFLICTS)


def _as_of(dataset: str, rows: list[Any]) -> date:
    """The monthly sets are as of their last month, the registers of today."""
    if dataset in ("social_insurance", "provident_fund", "invoices", "core_trade", "bank_internal") and rows:
        return date.fromisoformat(max(row["month"] for row in rows) + "-28")
    return TODAY
