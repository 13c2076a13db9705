"""Comparable figures out of records: gateway.profile.measures."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Row
from gateway.profile.material import Answer, inner_gaps, month_number, month_text
from gateway.profile.measures import Flow, common_window, current_returns, figures, sum_of
from schemas.profile import State
from tests.profiles import income_tax, invoices, material_of, vat

ANSWER = Answer("p/tax_returns", "p", "tax_returns", State.PRESENT, (), None, ())


def flow(*spans: tuple[int, int, int]) -> Flow:
    starts: dict[int, list[int]] = {}
    for first, last, _ in sorted(spans):
        starts.setdefault(first, []).append(last)
    amounts = {(first, last): (Decimal(amount), n) for n, (first, last, amount) in enumerate(spans)}
    return Flow("vat", ANSWER, amounts, starts, max(last for _, last, _ in spans), {})


@given(year=st.integers(1900, 2999), month=st.integers(1, 12))
def test_months_count_through_and_back(year: int, month: int) -> None:
    text = f"{year:04d}-{month:02d}"
    assert month_text(month_number(text)) == text
    assert month_number(f"{text}-28") == month_number(text)


def test_a_total_needs_spans_that_tile_the_months_exactly() -> None:
    monthly = flow((1, 1, 10), (2, 2, 20), (3, 3, 30), (5, 5, 50))
    assert monthly.total(1, 3) == 60
    assert monthly.total(2, 2) == 20
    assert monthly.total(1, 4) is None
    assert monthly.total(4, 5) is None


def test_a_quarter_cannot_be_cut_but_can_be_added_up() -> None:
    quarters = flow((0, 2, 30), (3, 5, 40))
    assert quarters.total(0, 5) == 70
    assert quarters.total(0, 3) is None
    assert quarters.total(1, 5) is None


def test_of_cumulative_returns_the_one_of_the_whole_year_is_taken_and_not_the_sum() -> None:
    cumulative = flow((0, 2, 30), (0, 5, 70), (0, 8, 100), (0, 11, 150))
    assert cumulative.total(0, 11) == 150
    assert cumulative.ref((0, 11)) == "p/tax_returns#3"
    assert cumulative.ref((0, 1)) == "p/tax_returns"


def test_the_common_window_is_the_latest_and_then_the_longest_up_to_a_year() -> None:
    long = flow(*((month, month, 1) for month in range(30)))
    behind = flow(*((month, month, 1) for month in range(10, 28)))
    found = common_window(long, behind, 3)
    assert found is not None
    assert (found.span, found.left, found.right) == ((16, 27), Decimal(12), Decimal(12))


def test_a_window_does_not_reach_over_a_missing_month() -> None:
    holed = flow(*((month, month, 1) for month in range(12) if month != 6))
    found = common_window(holed, holed, 3)
    assert found is not None
    assert found.span == (7, 11)


def test_a_window_that_is_too_short_gives_way_to_an_earlier_one() -> None:
    a = flow((0, 11, 12), (12, 12, 1))
    assert common_window(a, a, 3) is not None
    assert common_window(a, a, 3).span == (0, 11)  # type: ignore[union-attr]
    assert common_window(a, flow((12, 12, 1)), 3) is None


@given(
    months=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 10**9)), min_size=1, max_size=31, unique_by=lambda m: m[0]
    ),
    first=st.integers(0, 30),
    length=st.integers(1, 12),
)
@settings(max_examples=200, deadline=None)
def test_a_monthly_total_is_the_sum_of_its_months_or_unknown(
    months: list[tuple[int, int]], first: int, length: int
) -> None:
    known = dict(months)
    wanted = [known.get(month) for month in range(first, first + length)]
    expected = None if None in wanted else sum(amount for amount in wanted if amount is not None)
    assert flow(*((m, m, a) for m, a in months)).total(first, first + length - 1) == expected


def test_sums_beyond_what_a_canonical_decimal_holds_are_unknown() -> None:
    huge: list[Row] = [{"amount": "999999999999999999"}, {"amount": "1"}]
    assert sum_of(huge, "amount") is None
    assert sum_of(huge[1:], "amount") == 1
    assert flow((0, 0, 10**18 - 1), (1, 1, 1)).total(0, 1) is None


def test_a_sum_with_a_missing_amount_is_unknown_and_of_nothing_is_zero() -> None:
    assert sum_of([{"amount": "1"}, {}], "amount") is None
    assert sum_of([], "amount") == 0


@pytest.mark.parametrize("order", [1, -1])
def test_the_later_filed_return_and_then_the_greater_one_stands(order: int) -> None:
    base: Row = {"tax": "vat", "period_from": "2026-01-01", "period_to": "2026-01-31"}
    rows: list[Row] = [
        {**base, "filed_on": "2026-02-10", "sales": "1"},
        {**base, "filed_on": "2026-02-12", "sales": "2"},
    ]
    tied: list[Row] = [{**base, "sales": "5"}, {**base, "sales": "4"}]
    span = (2026 * 12, 2026 * 12)
    assert current_returns(rows[::order])["vat"][span][0]["sales"] == "2"
    assert current_returns(tied[::order])["vat"][span][0]["sales"] == "5"


def test_returns_without_a_period_or_with_one_that_runs_backwards_are_left_out() -> None:
    rows: list[Row] = [
        {"tax": "vat", "period_from": "2026-01-01", "sales": "1"},
        {"tax": "vat", "period_to": "2026-01-31", "sales": "1"},
        {"tax": "vat", "period_from": "2026-02-01", "period_to": "2026-01-31", "sales": "1"},
    ]
    assert current_returns(rows) == {}


def test_several_accounts_of_a_month_add_up_and_one_without_a_number_makes_the_month_unknown() -> None:
    rows: list[Row] = [
        {"month": "2026-01", "persons": 3},
        {"month": "2026-01", "persons": 4},
        {"month": "2026-02", "persons": 3},
        {"month": "2026-02"},
        {"month": "2026-03"},
        {"persons": 9},
    ]
    (heads,) = figures(material_of({"provident_fund": rows})).heads["fund"]
    assert heads.months == {2026 * 12: (7, 0)}
    assert heads.ref(2026 * 12) == "sh-hpf/provident_fund#0"


def test_invoices_of_a_month_add_up_by_direction_and_without_red_ones_the_month_is_unknown() -> None:
    rows: list[Row] = [
        {"month": "2026-01", "direction": "sales", "amount": "10", "red_amount": "1"},
        {"month": "2026-01", "direction": "sales", "amount": "5", "red_amount": "0"},
        {"month": "2026-01", "direction": "purchases", "amount": "7", "red_amount": "0"},
        {"month": "2026-02", "direction": "sales", "amount": "10"},
        {"month": "2026-03", "direction": "other", "amount": "10"},
        {"direction": "sales", "amount": "10", "red_amount": "0"},
        {"month": "2026-04", "direction": "sales", "amount": "999999999999999999", "red_amount": "-999999999999999999"},
    ]
    found = figures(material_of({"invoices": rows})).flows
    january = (2026 * 12, 2026 * 12)
    assert {span: amount for span, (amount, _) in found["invoices"][0].spans.items()} == {january: Decimal(14)}
    assert found["purchases"][0].spans[january][0] == 7


def test_a_return_without_sales_is_no_sale_of_zero() -> None:
    rows = [*vat(count=2), {**income_tax(), "sales": "1"}]
    rows[0] = {k: v for k, v in rows[0].items() if k != "sales"}
    found = figures(material_of({"tax_returns": rows, "invoices": invoices(count=1)})).flows
    assert len(found["vat"][0].spans) == 1
    assert len(found["vat_payable"][0].spans) == 2


@pytest.mark.parametrize(
    ("given_", "gaps"),
    [
        ([], ()),
        (["2026-01"], ()),
        (["2026-03", "2026-01", "2026-02", "2026-02"], ()),
        (["2025-11", "2026-02"], ("2025-12", "2026-01")),
    ],
)
def test_gaps_lie_between_the_first_and_the_last_month(given_: list[str], gaps: tuple[str, ...]) -> None:
    assert inner_gaps([{"month": month} for month in given_] + [{}]) == gaps
