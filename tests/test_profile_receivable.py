"""gateway.profile.checks.receivable and .trade: one receivable in two places, split vouchers, core companies."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Found, Row
from gateway.profile.collect import Gathered
from gateway.profile.crosschecks import cross_check
from gateway.profile.measures import figures
from tests.profiles import POLICY, gathered, material_of, months, reply, vat

ONE: Row = {"number": "r-1", "amount": "1000.00", "debtor_uscc": "91990000MA0000025R", "due_on": "2027-01-31"}
FACTOR, BANK = "虚构商业保理有限公司", "虚构银行股份有限公司"


def found(several: list[Gathered], rule: str = "receivable") -> list[dict[str, Any]]:
    given_ = material_of(several)
    return [f for f in cross_check(given_, figures(given_), POLICY).findings if f["rule"] == rule]


def two(left: list[Row], right: list[Row], vouchers: list[Row] | None = None) -> list[dict[str, Any]]:
    several = [gathered("receivables", left, "ccrc-receivables"), gathered("receivables", right, "core-enterprise")]
    return found([*several, *([gathered("vouchers", vouchers)] if vouchers is not None else [])])


def withholding(one: Gathered, *fields: str) -> Gathered:
    return replace(one, item=replace(one.item, fields=one.item.fields - set(fields), withheld=frozenset(fields)))


def outcomes(findings: list[dict[str, Any]]) -> list[str]:
    return [f["outcome"] for f in findings]


def test_without_a_source_nothing_is_known() -> None:
    assert outcomes(found([])) == ["unknown", "unknown"]


def test_one_source_alone_is_unknown_and_no_record_in_it_is_no_proof() -> None:
    assert outcomes(found([gathered("receivables", [ONE])])) == ["unknown", "unknown"]
    assert outcomes(found([gathered("receivables", [])])) == ["unknown", "unknown"]


def test_a_receivable_that_both_know_alike_agrees() -> None:
    same, financed = two([ONE, {"number": "r-2", "amount": "1"}], [ONE])
    assert (same["outcome"], financed["outcome"]) == ("consistent", "consistent")
    assert [v["value"] for v in same["values"]] == ["1000.00", "1000.00"]
    assert [v["source"] for v in same["values"]] == ["ccrc-receivables/receivables#0", "core-enterprise/receivables#0"]


def test_sources_that_share_no_number_say_nothing_about_each_other() -> None:
    assert outcomes(two([ONE], [{**ONE, "number": "r-2", "amount": "9"}])) == ["unknown", "consistent"]


@pytest.mark.parametrize(
    ("change", "unit"),
    [
        ({"amount": "1060.00"}, "元"),
        ({"debtor_uscc": "91990000MA0000017Y"}, None),
        ({"due_on": "2027-02-28"}, None),
    ],
)
def test_another_amount_debtor_or_due_date_is_a_serious_conflict_and_the_lower_amount_is_taken(
    change: dict[str, str], unit: str | None
) -> None:
    same, _ = two([ONE], [{**ONE, **change}])
    assert (same["outcome"], same["severity"]) == ("conflict", "serious")
    assert {v["unit"] for v in same["values"]} == {unit}
    assert same["taken"]["source"] == "ccrc-receivables/receivables#0"


@pytest.mark.parametrize("change", [{"amount": "1050.00"}, {"due_on": None}, {"debtor_uscc": None, "amount": None}])
def test_a_small_difference_or_a_field_that_one_lacks_contradicts_nothing(change: dict[str, Any]) -> None:
    right = {k: v for k, v in {**ONE, **change}.items() if v is not None}
    assert outcomes(two([ONE], [right]))[0] == "consistent"


def pledged(financier: str | None, **more: Any) -> Row:
    row = {**ONE, "pledged": True, "financier": financier, **more}
    return {k: v for k, v in row.items() if v is not None}


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (pledged(FACTOR), pledged(BANK), "conflict"),
        (pledged(FACTOR), {**ONE, "state": "financed", "financier": BANK}, "conflict"),
        (pledged(FACTOR), pledged(FACTOR), "consistent"),
        (pledged(FACTOR), ONE, "consistent"),
        (pledged(FACTOR), pledged(None), "not_comparable"),
        (pledged(FACTOR), pledged("虚构*****公司"), "not_comparable"),
    ],
)
def test_one_receivable_of_two_financiers_is_pledged_twice(left: Row, right: Row, outcome: str) -> None:
    _, financed = two([left], [right])
    assert financed["outcome"] == outcome
    if outcome == "conflict":
        assert [v["value"] for v in financed["values"]] == [FACTOR, BANK]
        assert financed["severity"] == "serious"


def voucher(number: str, amount: str, **more: Any) -> Row:
    return {"number": number, "amount": amount, **more}


def test_a_receivable_that_a_financed_voucher_pays_may_not_be_pledged_to_another() -> None:
    paid = [voucher("v-1", "1000.00", state="financed", financier=BANK, receivable="r-1")]
    several = [gathered("receivables", [pledged(FACTOR)]), gathered("vouchers", paid)]
    assert [f["outcome"] for f in found(several)][:2] == ["unknown", "conflict"]
    several[0] = gathered("receivables", [pledged(BANK)])
    assert [f["outcome"] for f in found(several)][:2] == ["unknown", "consistent"]


def test_the_parts_of_one_voucher_may_have_several_financiers() -> None:
    parts = [
        voucher("v", "100", state="split", receivable="r-1"),
        voucher("v-1", "60", parent="v", state="financed", financier=BANK, receivable="r-1"),
        voucher("v-2", "40", parent="v", state="financed", financier=FACTOR, receivable="r-1"),
    ]
    assert outcomes(two([ONE], [], parts)) == ["unknown", "consistent", "consistent"]


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [
        (["60", "40"], "consistent"),
        (["60"], "consistent"),  # the other parts may be other people's to see
        (["60", "40.01"], "conflict"),
        (["60", "41", None], "conflict"),
        (["60", None], "consistent"),
    ],
)
def test_the_parts_of_a_voucher_never_exceed_it(parts: list[str | None], outcome: str) -> None:
    rows = [voucher("v", "100", state="split")]
    for number, amount in enumerate(parts):
        row = voucher(f"v-{number}", str(amount), parent="v")
        rows.append(row if amount is not None else {k: v for k, v in row.items() if k != "amount"})
    (split,) = [f for f in found([gathered("vouchers", rows)]) if f["sections"] == ["vouchers"]]
    assert split["outcome"] == outcome
    if outcome == "conflict":
        assert split["taken"]["source"] == "yunlian/vouchers#0"


def test_vouchers_that_were_not_split_or_whose_parent_is_not_shown_are_unknown() -> None:
    rows = [voucher("v-1", "60", parent="v"), voucher("w", "1")]
    (split,) = [f for f in found([gathered("vouchers", rows)]) if f["sections"] == ["vouchers"]]
    assert split["outcome"] == "unknown"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**9), st.lists(st.integers(1, 10**6), max_size=8))
def test_a_lawful_split_never_conflicts_and_one_fen_more_always_does(rest: int, parts: list[int]) -> None:
    whole = sum(parts) + rest

    def outcome(amounts: list[int]) -> str:
        rows = [voucher("v", f"{whole // 100}.{whole % 100:02d}")]
        rows += [voucher(f"v-{n}", f"{a // 100}.{a % 100:02d}", parent="v") for n, a in enumerate(amounts)]
        (split,) = [f for f in found([gathered("vouchers", rows)]) if f["sections"] == ["vouchers"]]
        return str(split["outcome"])

    assert outcome([*parts, rest]) == "consistent"
    assert outcome([*parts, rest + 1]) == "conflict"


def test_of_two_records_of_one_number_the_order_does_not_decide() -> None:
    other = {**ONE, "amount": "2000.00"}
    a, b = two([ONE, other], [ONE]), two([other, ONE], [ONE])
    assert [v["value"] for v in a[0]["values"]] == [v["value"] for v in b[0]["values"]]
    assert outcomes(a) == outcomes(b)


def test_pages_that_are_missing_may_hold_the_other_pledge() -> None:
    several = [
        gathered("receivables", [pledged(FACTOR)], "ccrc-receivables"),
        gathered("receivables", reply([ONE], found=Found.PARTIAL), "core-enterprise"),
    ]
    assert outcomes(found(several)) == ["consistent", "unknown"]


def test_what_the_consent_withholds_is_unknown() -> None:
    several = [
        withholding(gathered("receivables", [{"number": "r-1"}], "ccrc-receivables"), "amount", "pledged"),
        gathered("receivables", [pledged(BANK)], "core-enterprise"),
        withholding(gathered("vouchers", [voucher("v", "1"), voucher("w", "2")]), "parent", "state"),
    ]
    assert outcomes(found(several)) == ["unknown", "unknown", "unknown"]


# --- a core company's books


def trade(side: str, purchases: str | None, count: int = 12) -> Gathered:
    rows: list[Row] = [{"month": m, "side": side} for m in months(count)]
    return gathered("core_trade", [r if purchases is None else {**r, "purchases": purchases} for r in rows])


def bound(core: Gathered, *others: Gathered) -> list[tuple[str, str]]:
    findings = [f for f in found([core, *others], "revenue") if "core_trade" in f["sections"]]
    return [(f["outcome"], f["severity"]) for f in findings]


BOUGHT: list[Row] = [{"month": m, "direction": "purchases", "amount": "600000", "red_amount": "0"} for m in months(24)]


@pytest.mark.parametrize(
    ("purchases", "expected"),
    [
        ("300000.00", ("consistent", "info")),
        ("1200000.00", ("consistent", "info")),
        ("1250000.00", ("conflict", "warning")),
        ("1400000.00", ("conflict", "serious")),
    ],
)
def test_a_core_company_cannot_have_bought_more_than_was_sold_in_all(purchases: str, expected: tuple[str, str]) -> None:
    assert bound(trade("upstream", purchases), gathered("tax_returns", vat())) == [expected]


@pytest.mark.parametrize(("purchases", "outcome"), [("500000", "consistent"), ("900000", "conflict")])
def test_a_dealer_cannot_have_bought_more_of_it_than_its_invoices_show(purchases: str, outcome: str) -> None:
    ((found_, _),) = bound(trade("downstream", purchases), gathered("invoices", BOUGHT))
    assert found_ == outcome


def test_without_both_figures_nothing_is_bounded() -> None:
    assert bound(trade("upstream", "1")) == []
    assert bound(trade("upstream", None), gathered("tax_returns", vat())) == []
    assert bound(trade("sideways", "1"), gathered("tax_returns", vat())) == []


def test_too_few_common_months_are_not_comparable() -> None:
    assert bound(trade("upstream", "9999999", 2), gathered("tax_returns", vat())) == [("not_comparable", "info")]


def test_purchases_of_several_core_companies_add_up_and_a_month_that_one_lacks_is_left_out() -> None:
    rows: list[Row] = [
        {"month": m, "side": "upstream", "core_enterprise": c, "purchases": "700000"} for m in months(6) for c in "ab"
    ]
    del rows[0]["purchases"]
    core = gathered("core_trade", rows)
    assert bound(core, gathered("tax_returns", vat())) == [("conflict", "serious")]
    upstream = figures(material_of([core])).flows["core_upstream"][0]
    assert len(upstream.spans) == 5


def test_a_confirmed_absence_bounds_nothing() -> None:
    core = gathered("core_trade", reply([], found=Found.ABSENT))
    assert bound(core, gathered("tax_returns", vat())) == []
