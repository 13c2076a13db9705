"""One truth per enterprise: reproducible, in the shape of the canonical records, with labels that hold."""

import json
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox import facts, series
from connectors.sandbox.conflicts import CONFLICTS, NOISE, RULES
from connectors.sandbox.population import Enterprise, Role, enterprise
from connectors.sandbox.series import month_of, month_text
from connectors.sandbox.views import PLATFORM_OF, declared, labels, truth, view
from schemas.identifiers import NameMatch, compare_names
from schemas.profile import Declared
from schemas.records import CATALOGUE

TODAY = date(2026, 11, 24)
NOW = month_of(TODAY)
numbers = st.integers(0, 5000)


def population(count: int = 3000) -> list[Enterprise]:
    return [enterprise(1, n, TODAY) for n in range(count)]


EVERYONE = population()


def with_conflict(name: str) -> list[Enterprise]:
    found = [e for e in EVERYONE if e.conflict == name]
    assert len(found) >= 10
    return found


def with_noise(name: str) -> list[Enterprise]:
    found = [e for e in EVERYONE if name in e.noise]
    assert len(found) >= 10
    return found


def pension(e: Enterprise) -> dict[object, int]:
    return {
        r["month"]: int(str(r["persons"])) for r in view(e, "social_insurance", NOW - 23, NOW) if r["kind"] == "pension"
    }


def fund(e: Enterprise) -> dict[object, int]:
    return {r["month"]: int(str(r["persons"])) for r in view(e, "provident_fund", NOW - 23, NOW)}


def total(e: Enterprise, dataset: str, field: str, **where: object) -> Decimal:
    rows = [r for r in view(e, dataset, NOW - 23, NOW) if all(r[k] == v for k, v in where.items())]
    return sum((Decimal(str(r[field])) for r in rows), Decimal(0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), numbers, st.dates(date(2024, 1, 1), date(2029, 12, 31)))
def test_every_data_set_has_the_shape_of_its_canonical_record(seed: int, n: int, today: date) -> None:
    found = truth(enterprise(seed, n, today))
    assert set(found["datasets"]) == set(PLATFORM_OF)
    for dataset, rows in found["datasets"].items():
        for row in rows:
            CATALOGUE[dataset].model.model_validate_json(json.dumps(row))
    Declared.model_validate(found["declared"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), numbers)
def test_the_same_question_has_the_same_answer(seed: int, n: int) -> None:
    assert truth(enterprise(seed, n, TODAY)) == truth(enterprise(seed, n, TODAY))


@settings(max_examples=30, deadline=None)
@given(numbers, st.integers(1, 30))
def test_months_do_not_change_when_time_goes_on(n: int, days: int) -> None:
    before = enterprise(1, n, TODAY)
    after = enterprise(1, n, date.fromordinal(TODAY.toordinal() + days))
    first, last = NOW - 20, NOW - 12
    for dataset in ("social_insurance", "provident_fund", "invoices"):
        assert view(before, dataset, first, last) == view(after, dataset, first, last)


def test_another_seed_is_another_population() -> None:
    assert truth(enterprise(1, 50, TODAY))["datasets"] != truth(enterprise(2, 50, TODAY))["datasets"]


def test_about_one_in_five_has_a_planted_conflict_and_every_kind_occurs() -> None:
    kinds = Counter(e.conflict for e in EVERYONE)
    assert 0.17 < 1 - kinds[None] / len(EVERYONE) < 0.23
    assert set(kinds) - {None} == set(CONFLICTS)


def test_every_noise_occurs_and_none_beside_a_conflict_of_its_own_rule() -> None:
    assert {x for e in EVERYONE for x in e.noise} == set(NOISE)
    together = {(x, CONFLICTS[e.conflict].rule) for e in EVERYONE if e.conflict for x in e.noise}
    assert not together & {
        ("agency-staff", "headcount"),
        ("brackets", "identity"),
        ("declared-enforcement", "judicial"),
    }


def test_labels_name_the_rule_that_must_speak_and_those_that_must_not() -> None:
    for e in EVERYONE:
        label = labels(e)
        planted = CONFLICTS[e.conflict] if e.conflict else None
        assert label["expected"] == ({planted.rule: "conflict"} if planted else {})
        tolerated = set(planted.tolerated) if planted else set()
        assert {*label["clean"], *label["expected"], *tolerated} == set(RULES)
        assert not set(label["clean"]) & ({*label["expected"]} | tolerated)


def test_without_a_headcount_conflict_the_sources_agree_as_the_rules_allow() -> None:
    for e in EVERYONE[:400]:
        if e.conflict and "headcount" in (CONFLICTS[e.conflict].rule, *CONFLICTS[e.conflict].tolerated):
            continue
        insured, paid = pension(e), fund(e)
        common = max(insured.keys() & paid.keys())
        assert 0.5 <= paid[common] / insured[common] <= 1.2
        report = view(e, "annual_report", 0, 0)[-1]
        december = insured[f"{report['year']}-12"]
        assert report["staff"] == december


def test_graded_conflicts_run_from_slight_to_gross_and_others_have_no_degree() -> None:
    for name, conflict in CONFLICTS.items():
        degrees = {e.degree for e in with_conflict(name)}
        low, high = conflict.degrees
        assert degrees == {0} if high == 0 else low <= min(degrees) < max(degrees) <= high


def test_planted_headcount_conflicts_have_their_degree() -> None:
    for e in with_conflict("headcount-fund"):
        insured, paid = pension(e), fund(e)
        common = max(insured.keys() & paid.keys())
        assert paid[common] == max(insured[common] * e.degree // 100, 1)
        assert insured[common] - paid[common] >= 5
    for e in with_conflict("headcount-annual-report"):
        report = view(e, "annual_report", 0, 0)[-1]
        assert int(str(report["staff"])) == int(str(report["insured_staff"])) * e.degree // 100
    for e in with_conflict("headcount-income-tax"):
        taxed = {str(r["period_to"])[:7]: r["persons"] for r in view(e, "tax_returns", NOW - 6, NOW) if r["persons"]}
        insured = pension(e)
        month = max(taxed.keys() & insured.keys())
        assert insured[month] * 0.2 < int(str(taxed[month])) < insured[month] * 0.9


def net_invoices(e: Enterprise) -> Decimal:
    sides = [total(e, "invoices", field, direction="sales") for field in ("amount", "red_amount")]
    return sides[0] - sides[1]


def declared_sales(e: Enterprise) -> Decimal:
    best: dict[object, tuple[object, Decimal]] = {}
    for r in view(e, "tax_returns", NOW - 23, NOW):
        if r["tax"] == "vat" and not r["void"]:
            best[r["period_from"]] = max(
                best.get(r["period_from"], (date.min, Decimal(0))), (r["filed_on"], Decimal(str(r["sales"])))
            )
    return sum((sales for _, sales in best.values()), Decimal(0))


def test_net_invoices_follow_the_declared_sales_unless_planted() -> None:
    for e in EVERYONE[:100]:
        if e.conflict != "revenue-invoices":
            assert Decimal("0.97") <= net_invoices(e) / declared_sales(e) <= 1
    for e in with_conflict("revenue-invoices"):
        assert abs(net_invoices(e) / declared_sales(e) - Decimal(e.degree) / 100) < Decimal("0.001")


def test_the_annual_report_follows_the_taxed_revenue_of_its_year_unless_planted() -> None:
    for e in EVERYONE[:300] + with_conflict("revenue-annual-report"):
        report = view(e, "annual_report", 0, 0)[-1]
        year = int(str(report["year"]))
        returns = view(e, "tax_returns", year * 12, year * 12 + 11)
        taxed = sum((Decimal(str(r["sales"])) for r in returns if r["tax"] == "income_tax"), Decimal(0))
        ratio = Decimal(str(report["revenue"])) / taxed
        if e.conflict == "revenue-annual-report":
            assert abs(ratio - Decimal(e.degree) / 100) < Decimal("0.001")
        else:
            assert Decimal("0.999") < ratio <= 1


def test_income_tax_returns_of_quarters_add_up_to_the_monthly_sales() -> None:
    e = next(x for x in EVERYONE if not x.noise and not x.conflict)
    returns = view(e, "tax_returns", 2025 * 12, 2025 * 12 + 11)
    by_tax = {
        tax: sum((Decimal(str(r["sales"])) for r in returns if r["tax"] == tax), Decimal(0))
        for tax in ("vat", "income_tax")
    }
    assert by_tax["vat"] == by_tax["income_tax"]
    assert sum(r["tax"] == "income_tax" for r in returns) == 4


def test_a_quarter_that_is_only_partly_asked_for_is_not_given() -> None:
    e = EVERYONE[0]
    taxes = Counter(str(r["tax"]) for r in view(e, "tax_returns", 2025 * 12 + 1, 2025 * 12 + 5))
    assert taxes["income_tax"] == 1
    assert taxes["vat"] == 5


def test_platforms_lag_by_their_own_months_and_look_back_no_further_than_three_years() -> None:
    e = EVERYONE[0]
    newest = {d: str(view(e, d, 0, NOW + 5)[-1]["month"]) for d in ("social_insurance", "provident_fund", "invoices")}
    assert newest == {"social_insurance": "2026-10", "provident_fund": "2026-09", "invoices": "2026-10"}
    assert view(e, "social_insurance", 0, NOW)[0]["month"] == month_text(NOW - series.HISTORY)


def test_stale_sources_end_long_ago() -> None:
    for e in with_conflict("stale-insurance"):
        assert view(e, "social_insurance", 0, NOW)[-1]["month"] == month_text(NOW - e.degree)
    for e in with_conflict("stale-fund"):
        assert view(e, "provident_fund", 0, NOW)[-1]["month"] == month_text(NOW - e.degree)
        assert series.booked_until(e) == series.last_day(NOW - e.degree + 1)
    assert series.booked_until(EVERYONE[0]) == TODAY


def test_capital_is_what_the_shareholders_subscribed_unless_the_unit_is_wrong() -> None:
    for e in EVERYONE[:300] + with_conflict("unit-capital"):
        factor = 10_000 if e.conflict == "unit-capital" else 1
        capital = Decimal(str(view(e, "registration", 0, 0)[0]["registered_capital"]))
        assert capital == total(e, "shareholders", "subscribed") * factor


def test_mortgages_in_force_stay_below_the_value_unless_the_unit_is_wrong() -> None:
    for e in EVERYONE[:500] + with_conflict("unit-mortgage"):
        values = {r["unit_number"]: Decimal(str(r["assessed_value"])) for r in view(e, "real_estate", 0, 0)}
        for row in view(e, "mortgages", 0, 0):
            share = Decimal(str(row["secured_amount"])) / values[row["unit_number"]]
            if e.conflict == "unit-mortgage":
                assert Decimal("0.8") <= share / 10_000 <= Decimal("1.2")
            else:
                assert share < 1


def test_declared_mortgages_are_those_in_force_unless_hidden() -> None:
    for e in EVERYONE[:500]:
        says = declared(e)
        if says and e.conflict not in ("hidden-mortgage", "unit-mortgage"):
            assert Decimal(says["mortgage_amount"]) == total(e, "mortgages", "secured_amount", current=True)
    for e in with_conflict("hidden-mortgage"):
        assert declared(e)["mortgage_amount"] == "0.00"
        assert total(e, "mortgages", "secured_amount", current=True) > 0


def test_some_firms_declare_nothing_but_never_one_with_a_planted_conflict() -> None:
    silent = [e for e in EVERYONE if declared(e) == {}]
    assert silent
    assert {e.conflict for e in silent} == {None}


def test_declared_guarantees_are_the_outstanding_ones_it_gave() -> None:
    giving = [e for e in EVERYONE if e.counts["guarantor"] and e.declares]
    assert giving
    for e in giving:
        assert Decimal(declared(e)["guarantee_amount"]) == total(e, "guarantees", "outstanding", role="guarantor")
        assert view(e, "annual_report", 0, 0)[-1]["has_external_guarantee"] is True


def open_cases(e: Enterprise) -> int:
    return sum(r["kind"] != "judgment" for r in view(e, "judicial", 0, 0))


def test_declared_cases_are_those_of_the_court_unless_planted() -> None:
    for e in EVERYONE:
        if e.declares and e.conflict not in ("undeclared-enforcement", "dishonest-debtor"):
            assert declared(e)["judicial_cases"] == open_cases(e)
    for e in with_conflict("undeclared-enforcement") + with_conflict("dishonest-debtor"):
        assert declared(e)["judicial_cases"] == 0
        assert open_cases(e) == 1


def test_only_dishonest_debtors_stand_on_a_black_list_now() -> None:
    for e in EVERYONE:
        listed = [r for r in view(e, "credit_lists", 0, 0) if r["kind"] == "black" and r["removed_on"] is None]
        assert bool(listed) == (e.conflict == "dishonest-debtor")


def test_the_owner_of_a_property_is_the_firm_unless_planted() -> None:
    for e in EVERYONE:
        owners = {r["owner_uscc"] for r in view(e, "real_estate", 0, 0)}
        assert owners <= ({e.uscc} if e.conflict != "property-owner" else owners - {e.uscc})
    assert all(view(e, "real_estate", 0, 0) for e in with_conflict("property-owner"))


def test_the_lender_asks_under_a_name_that_is_right_unless_planted() -> None:
    for e in EVERYONE:
        row = view(e, "registration", 0, 0)[0]
        former = row["former_names"]
        match = compare_names(e.asked_name, str(row["name"]), former if isinstance(former, list) else [])
        if e.conflict == "identity-name":
            assert match is NameMatch.DIFFERENT
        else:
            assert match is (NameMatch.FORMER if "former-name" in e.noise else NameMatch.SAME)
    assert all("(沙箱)" in e.asked_name for e in with_noise("brackets"))


def test_representatives_differ_for_long_only_when_planted() -> None:
    for e in EVERYONE:
        row = view(e, "registration", 0, 0)[0]
        listed = next(r["name"] for r in view(e, "key_persons", 0, 0) if r["is_representative"])
        since = date.fromisoformat(str(row["representative_since"]))
        if e.conflict == "identity-representative":
            assert listed != row["legal_representative"]
            assert (TODAY - since).days > 30
        elif "new-representative" in e.noise:
            assert listed != row["legal_representative"]
            assert (TODAY - since).days <= 30
        else:
            assert listed == row["legal_representative"]


@pytest.mark.parametrize("noise", ["corrected-return", "void-return"])
def test_a_corrected_or_void_return_changes_no_total(noise: str) -> None:
    for e in with_noise(noise):
        returns = [r for r in view(e, "tax_returns", NOW - 23, NOW) if r["tax"] == "vat"]
        assert len(returns) == len({r["period_from"] for r in returns}) + 1
        assert declared_sales(e) == sum((series.yuan(series.revenue(e, m)) for m in range(NOW - 23, NOW)), Decimal(0))


def test_history_mortgages_are_history() -> None:
    for e in with_noise("history-mortgage"):
        history, *standing = [r["current"] for r in view(e, "mortgages", 0, 0)]
        assert history is False
        assert set(standing) <= {True}


def test_agency_staff_leaves_eight_in_ten_in_the_fund() -> None:
    for e in with_noise("agency-staff"):
        insured, paid = pension(e), fund(e)
        common = max(insured.keys() & paid.keys())
        assert paid[common] == max(insured[common] * 8 // 10, 1)


def test_some_firms_fill_more_than_one_page_of_every_paged_list() -> None:
    longest = {
        d: max(len(view(e, d, NOW - 23, NOW)) for e in EVERYONE[:200])
        for d in ("social_insurance", "real_estate", "tax_returns", "judicial", "permits", "receivables", "guarantees")
    }
    assert all(
        longest[d] > page
        for d, page in (
            ("social_insurance", 100), ("real_estate", 20), ("tax_returns", 20), ("judicial", 10),
            ("permits", 10), ("receivables", 5), ("guarantees", 5),
        )
    )  # fmt: skip


def test_early_in_the_year_last_years_report_and_grade_are_not_out_yet() -> None:
    e = enterprise(1, 40, date(2026, 3, 1))
    assert [r["year"] for r in view(e, "annual_report", 0, 0)] == [2023, 2024]
    assert [r["year"] for r in view(e, "tax_credit", 0, 0)] == [2023, 2024]


def test_a_role_fixes_the_conflict_and_fills_most_data_sets() -> None:
    e = enterprise(1, 3, TODAY, Role("unit-capital"))
    assert (e.conflict, e.noise, e.declares) == ("unit-capital", frozenset(), True)
    assert sum(bool(rows) for rows in truth(e)["datasets"].values()) >= 12


def test_arrears_and_seizures_fit_the_rest() -> None:
    owing = [e for e in EVERYONE if e.counts["arrears"]]
    assert owing
    assert {r["grade"] for e in owing for r in facts.tax_credit(e)} == {"C"}
    lifted = [r for e in EVERYONE for r in facts.seizures(e)]
    assert lifted
    assert {r["current"] for r in lifted} == {False}
