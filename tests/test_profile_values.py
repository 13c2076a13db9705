"""Headline values and indicators: gateway.profile.normalise and gateway.profile.indicators."""

import json
from typing import Any

import pytest

from connectors.base import Found, Row
from gateway.profile.crosschecks import cross_check
from gateway.profile.indicators import INDICATORS, indicators
from gateway.profile.measures import figures
from gateway.profile.normalise import RULES, normalise
from schemas.errors import UpstreamTimeout
from schemas.profile import Indicator, Value
from schemas.records import CATALOGUE
from tests.profiles import POLICY, clean, fund, gathered, income_tax, insured, invoices, material_of, reply, vat


def values(firm: Any) -> dict[str, dict[str, Any]]:
    given_ = material_of(firm)
    found = normalise(given_, figures(given_))
    for section in found.values():
        for one in section.values():
            Value.model_validate_json(json.dumps(one))
    return found


def derived(firm: Any) -> dict[str, dict[str, Any]]:
    given_ = material_of(firm)
    numbers = figures(given_)
    found = indicators(given_, numbers, cross_check(given_, numbers, POLICY).doubtful)
    for one in found:
        Indicator.model_validate_json(json.dumps(one))
    return {one["name"]: one for one in found}


def without(firm: dict[str, list[Row]], dataset: str, field: str) -> dict[str, list[Row]]:
    return {**firm, dataset: [{k: v for k, v in row.items() if k != field} for row in firm[dataset]]}


# --- values


def test_every_rule_is_about_a_data_set_and_fields_of_the_catalogue() -> None:
    for dataset, rules in RULES.items():
        known = set(CATALOGUE[dataset].fields)
        for rule in rules:
            assert {getattr(rule, key) for key in ("field", "by") if hasattr(rule, key)} <= known


def test_the_clean_firm_has_its_headline_values() -> None:
    found = {f"{d}.{n}": v["value"] for d, section in values(clean()).items() for n, v in section.items()}
    assert found["registration.registered_capital"] == "5000000"
    assert found["shareholders.subscribed_total"] == "5000000"
    assert found["social_insurance.persons_latest"] == 40
    assert found["social_insurance.persons_average_12m"] == "40.00"
    assert found["social_insurance.base_average"] == "10000.00"
    assert found["provident_fund.amount_latest"] == "50400.00"
    assert found["mortgages.secured_total"] == "6000000"
    assert found["mortgages.current"] == 1
    assert found["tax_returns.revenue_12m"] == "12000000.00"
    assert found["tax_returns.revenue_last_year"] == "12000000.00"
    assert found["invoices.sales_12m"] == "12000000.00"
    assert found["tax_credit.grade"] == "A"
    assert found["credit_lists.red"] == 1


def test_a_value_names_its_record_and_a_total_its_source() -> None:
    found = values(clean())
    assert found["tax_credit"]["grade"] == {
        "value": "A",
        "unit": None,
        "period": "2025",
        "sources": ["sh-tax/tax_credit#0"],
    }
    assert found["mortgages"]["secured_total"]["sources"] == ["sh-housing/mortgages"]
    assert found["social_insurance"]["persons_latest"]["sources"] == ["sh-hrss/social_insurance#46"]


def test_a_total_over_records_that_lack_the_figure_is_left_out() -> None:
    found = values(clean())["shareholders"]
    assert "paid_in_total" not in found
    assert found["count"]["value"] == 2


def test_a_confirmed_absence_counts_zero_and_a_failure_counts_nothing() -> None:
    assert values({"seizures": []})["seizures"]["current"]["value"] == 0
    assert values({"seizures": UpstreamTimeout()}) == {}


def test_an_incomplete_answer_gives_its_latest_values_and_no_totals() -> None:
    firm = {
        "mortgages": reply(clean()["mortgages"], found=Found.PARTIAL),
        "tax_credit": reply(clean()["tax_credit"], found=Found.PARTIAL),
    }
    found = values(firm)
    assert found["mortgages"] == {}
    assert found["tax_credit"]["grade"]["value"] == "A"


@pytest.mark.parametrize(
    ("dataset", "rows", "name", "expected"),
    [
        ("abnormal_list", [{"listed_on": "2025-01-01"}, {"removed_on": "2026-01-01"}], "listed_now", 1),
        ("credit_lists", [{"kind": "black"}, {"kind": "black", "removed_on": "2026-01-01"}], "black", 1),
        ("permits", [{}, {"valid_to": "2026-11-24"}, {"valid_to": "2026-11-23"}], "valid", 2),
        ("judicial", [{"kind": "enforcement"}, {"kind": "enforcement", "closed": True}], "enforcement_open", 1),
        ("receivables", [{"amount": "5", "state": "settled"}, {"amount": "7"}], "amount_unsettled", "7"),
        ("vouchers", [{"amount": "9", "state": "split"}, {"amount": "4", "state": "held"}], "amount_held", "4"),
        ("internal_lists", [{"kind": "white"}, {"kind": "black"}], "black", 1),
        ("guarantees", [{"state": "released"}, {"state": "active"}, {}], "active", 2),
        ("tax_arrears", [{"amount": "1.50"}, {"amount": "2"}], "amount_total", "3.50"),
        ("annual_report", [{"year": 2025}, {"year": 2024, "staff": 9}, {"year": 2023, "staff": 8}], "staff", 9),
    ],
)
def test_counts_and_totals_run_over_what_stands(dataset: str, rows: list[Row], name: str, expected: object) -> None:
    found = values([gathered(dataset, rows, "sh-test")])
    assert found[dataset][name]["value"] == expected


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_records_of_one_time_the_order_does_not_decide(order: int) -> None:
    rows: list[Row] = [{"year": 2025, "staff": 9}, {"year": 2025, "staff": 8}]
    assert values({"annual_report": rows[::order]})["annual_report"]["staff"]["value"] == 9


@pytest.mark.parametrize(
    "rows",
    [
        [{"month": "2026-10", "kind": "medical", "persons": 4, "base": "1"}],
        [{"month": "2026-10", "kind": "pension", "persons": 4}],
        [{"month": "2026-10", "kind": "pension", "persons": 0, "base": "0"}],
        [{"month": "2026-10", "kind": "pension", "base": "40000"}],
    ],
    ids=["no pension", "no base", "nobody", "no persons"],
)
def test_an_average_base_needs_persons_and_their_base(rows: list[Row]) -> None:
    assert "base_average" not in values({"social_insurance": rows})["social_insurance"]


def test_sums_of_twelve_months_need_twelve_months() -> None:
    found = values({"tax_returns": vat(count=11), "invoices": invoices(count=11), "provident_fund": fund(count=11)})
    assert found["tax_returns"] == {}
    assert found["invoices"] == {}
    assert "persons_average_12m" not in found["provident_fund"]


def test_values_come_from_the_source_the_section_goes_by_and_are_never_averaged() -> None:
    """Of two that are equally complete and recent, the first by name."""
    several = [gathered("social_insurance", insured(40)), gathered("social_insurance", insured(10), "a-copy")]
    assert values(several)["social_insurance"]["persons_latest"]["value"] == 10
    assert values(several) == values(several[::-1])


# --- indicators


def test_the_clean_firm_has_every_indicator() -> None:
    found = derived(clean())
    assert {name: one["value"] for name, one in found.items()} == {
        "age_years": 9,
        "enterprise_size": "small",
        "staff_trend_12m": "0.0000",
        "insured_months_unbroken": 24,
        "fund_coverage": "0.9000",
        "revenue_trend_12m": "0.0000",
        "vat_burden_12m": "0.0300",
        "encumbrance_ratio": "0.6000",
        "litigation_open": 0,
        "liabilities_to_assets": "0.4000",
    }
    assert all(one["sources"] for one in found.values())


def test_without_any_answer_every_indicator_is_unknown_and_says_what_it_lacks() -> None:
    found = derived({dataset: UpstreamTimeout() for dataset in clean()})
    assert len(found) == len(INDICATORS)
    for one in found.values():
        assert (one["value"], one["sources"]) == (None, [])
        assert "未知" in one["message"]["zh"]
        assert "unknown" in one["message"]["en"]


def test_the_age_counts_full_years() -> None:
    for day, years in (("2016-11-24", 10), ("2016-11-25", 9), ("2026-11-24", 0)):
        firm = {"registration": [{"established": day}]}
        assert derived(firm)["age_years"]["value"] == years
    assert derived({"registration": [{"name": "x"}]})["age_years"]["value"] is None


def test_the_size_falls_back_to_insured_persons_and_vat_sales() -> None:
    firm = {k: v for k, v in clean().items() if k in ("registration", "social_insurance", "tax_returns")}
    found = derived(firm)["enterprise_size"]
    assert found["value"] == "small"
    assert found["sources"] == ["sh-registry/registration#0", "sh-hrss/social_insurance#46", "sh-tax/tax_returns"]


def test_the_size_is_unknown_when_its_row_needs_what_nobody_gave() -> None:
    assert derived({"registration": clean()["registration"]})["enterprise_size"]["value"] is None
    assert derived({**clean(), "registration": [{"industry_code": "6810"}]})["enterprise_size"]["value"] is None
    firm = {"registration": clean()["registration"], "social_insurance": insured(), "tax_returns": vat(count=3)}
    assert derived(firm)["enterprise_size"]["value"] is None


def test_the_letter_before_an_industry_code_is_dropped() -> None:
    firm = {**clean(), "registration": [{**clean()["registration"][0], "industry_code": "C3484"}]}
    assert derived(firm)["enterprise_size"]["value"] == "small"


def test_a_trend_needs_the_same_month_a_year_before() -> None:
    assert derived({"social_insurance": insured(count=12)})["staff_trend_12m"]["value"] is None
    rows = insured(50, 12) + [{**row, "persons": 40} for row in insured(40, 24)[:24]]
    assert derived({"social_insurance": rows})["staff_trend_12m"]["value"] == "0.2500"
    nobody = insured(50, 12) + [{**row, "persons": 0} for row in insured(40, 24)[:24]]
    assert derived({"social_insurance": nobody})["staff_trend_12m"]["value"] is None


def test_a_gap_or_a_month_with_nobody_ends_the_unbroken_months() -> None:
    gap = [row for row in insured() if row["month"] != "2026-05"]
    empty = [{**row, "persons": 0} if row["month"] == "2026-05" else row for row in insured()]
    for rows in (gap, empty):
        assert derived({"social_insurance": rows})["insured_months_unbroken"]["value"] == 5


def test_fund_coverage_needs_both_and_a_common_month_with_somebody_insured() -> None:
    assert derived({"social_insurance": insured()})["fund_coverage"]["value"] is None
    late = [{"month": "2020-01", "persons": 3}]
    assert derived({"social_insurance": insured(), "provident_fund": late})["fund_coverage"]["value"] is None
    assert derived({"social_insurance": insured(0), "provident_fund": fund()})["fund_coverage"]["value"] is None


def test_the_revenue_trend_needs_two_years_without_a_gap_and_something_sold_in_the_first() -> None:
    assert derived({"tax_returns": vat(count=23)})["revenue_trend_12m"]["value"] is None
    assert derived({"tax_returns": vat("0")})["revenue_trend_12m"]["value"] is None
    assert derived({"tax_returns": vat("0")})["vat_burden_12m"]["value"] is None
    assert derived(without({"tax_returns": vat()}, "tax_returns", "payable"))["vat_burden_12m"]["value"] is None


def test_amounts_whose_unit_is_in_doubt_give_no_indicator() -> None:
    firm = {"registration": clean()["registration"], "tax_returns": vat(), "invoices": invoices("100.00", "0")}
    found = derived(firm)
    for name in ("revenue_trend_12m", "vat_burden_12m"):
        assert found[name]["value"] is None
        assert "计量单位" in found[name]["message"]["zh"]
    assert found["enterprise_size"]["value"] is None
    mortgaged = {k: v for k, v in clean().items() if k in ("real_estate", "mortgages")}
    mortgaged["mortgages"] = [{**mortgaged["mortgages"][0], "secured_amount": "600"}]
    assert "计量单位" in derived(mortgaged)["encumbrance_ratio"]["message"]["zh"]


def test_the_encumbrance_needs_every_value_and_every_claim() -> None:
    firm = {k: v for k, v in clean().items() if k in ("real_estate", "mortgages")}
    assert derived(without(firm, "real_estate", "assessed_value"))["encumbrance_ratio"]["value"] is None
    assert derived(without(firm, "mortgages", "secured_amount"))["encumbrance_ratio"]["value"] is None
    assert derived({"real_estate": firm["real_estate"]})["encumbrance_ratio"]["value"] is None
    assert derived({"real_estate": list[Row](), "mortgages": list[Row]()})["encumbrance_ratio"]["value"] is None
    assert derived({**firm, "mortgages": list[Row]()})["encumbrance_ratio"]["value"] == "0.0000"


def test_open_cases_are_counted_once_and_never_from_half_an_answer() -> None:
    cases: list[Row] = [
        {"kind": "judgment", "case_number": "1", "role": "defendant"},
        {"kind": "enforcement", "case_number": "1"},
        {"kind": "judgment", "case_number": "2", "role": "plaintiff"},
        {"kind": "judgment", "case_number": "3", "closed": True},
    ]
    assert derived({"judicial": cases})["litigation_open"]["value"] == 1
    assert derived({"judicial": reply(cases, found=Found.PARTIAL)})["litigation_open"]["value"] is None


def test_liabilities_to_assets_come_from_one_report_with_assets() -> None:
    reports: list[Row] = [
        {"year": 2024, "total_assets": "100", "total_liabilities": "50"},
        {"year": 2025, "total_assets": "100"},
    ]
    found = derived({"annual_report": reports})["liabilities_to_assets"]
    assert (found["value"], found["period"]) == ("0.5000", "2024")
    nothing: list[Row] = [{"year": 2024, "total_assets": "0", "total_liabilities": "50"}]
    assert derived({"annual_report": nothing})["liabilities_to_assets"]["value"] is None


def test_a_ratio_beyond_reason_is_unknown() -> None:
    absurd: list[Row] = [{"year": 2024, "total_assets": "0.00000001", "total_liabilities": "999999999999999999"}]
    found = derived({"annual_report": absurd})["liabilities_to_assets"]
    assert found["value"] is None
    assert "合理" in found["message"]["zh"]


def test_income_tax_alone_gives_no_vat_indicator() -> None:
    found = derived({"tax_returns": [income_tax()]})
    assert (found["revenue_trend_12m"]["value"], found["vat_burden_12m"]["value"]) == (None, None)
