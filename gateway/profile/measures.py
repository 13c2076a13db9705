"""Comparable figures out of records: head counts by month, amounts by span of months. Pure.

A figure that a record lacks is unknown: the month or span is left out, it is never taken for zero.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from connectors.base import Row
from gateway.profile.material import Answer, Material, month_number, month_text

Span = tuple[int, int]
"""First and last month, both inside, as gateway.profile.material.month_number counts them."""


class Heads(NamedTuple):
    """Persons by month, each with the reference of the (first) record it came from."""

    measure: str
    answer: Answer
    months: dict[int, tuple[int, str]]


class Flow(NamedTuple):
    """Amounts in 元 by span of months; ``starts`` finds the spans that begin in a month, shortest first."""

    measure: str
    answer: Answer
    spans: dict[Span, tuple[Decimal, str]]
    starts: dict[int, list[int]]

    def total(self, first: int, last: int) -> Decimal | None:
        """The amount of exactly these months; None where the spans do not tile them."""
        whole = self.spans.get((first, last))
        if whole is not None:
            return whole[0]
        result, month = Decimal(0), first
        while month <= last:
            ends = self.starts.get(month)
            if not ends or ends[0] > last:
                return None
            result += self.spans[month, ends[0]][0]
            month = ends[0] + 1
        return result

    def latest_end(self) -> int:
        return max(end for _, end in self.spans)


class Figures(NamedTuple):
    """Every measure with its series, the source to go by first; a measure without data is not in it."""

    heads: Mapping[str, tuple[Heads, ...]]
    flows: Mapping[str, tuple[Flow, ...]]

    def without_empty(self) -> "Figures":
        return Figures(
            {name: several for name, several in self.heads.items() if several},
            {name: several for name, several in self.flows.items() if several},
        )


def period_text(first: int, last: int) -> str:
    return month_text(first) if first == last else f"{month_text(first)}..{month_text(last)}"


def current_returns(rows: Iterable[Row], tax: str) -> dict[Span, tuple[Row, int]]:
    """Returns of one tax by span: void ones dropped, a correction in the place of what it corrects."""
    best: dict[Span, tuple[tuple[bool, str, str], Row, int]] = {}
    for number, row in enumerate(rows):
        if row.get("tax") != tax or row.get("void") is True or "period_from" not in row or "period_to" not in row:
            continue
        span = month_number(str(row["period_from"])), month_number(str(row["period_to"]))
        # The sales only settle a tie, so that the order of rows cannot.
        rank = (row.get("correction") is True, str(row.get("filed_on", "")), str(row.get("sales", "")))
        if span[0] <= span[1] and (span not in best or best[span][0] < rank):
            best[span] = rank, row, number
    return {span: (row, number) for span, (_, row, number) in best.items()}


def _flow(measure: str, answer: Answer, spans: dict[Span, tuple[Decimal, str]]) -> Flow:
    starts: dict[int, list[int]] = {}
    for first, last in sorted(spans):
        starts.setdefault(first, []).append(last)
    return Flow(measure, answer, spans, starts)


def _monthly_sums(answer: Answer, field: str, **where: str) -> dict[int, tuple[int, str]]:
    """Counts per month over the rows that match; several accounts of one month add up."""
    sums: dict[int, tuple[int, str]] = {}
    unknown: set[int] = set()
    for number, row in enumerate(answer.rows):
        if "month" not in row or any(row.get(key) != value for key, value in where.items()):
            continue
        month, count = month_number(str(row["month"])), row.get(field)
        if not isinstance(count, int):
            unknown.add(month)
        elif month in sums:
            sums[month] = sums[month][0] + count, sums[month][1]
        else:
            sums[month] = count, answer.ref(number)
    return {month: pair for month, pair in sums.items() if month not in unknown}


def _return_heads(answer: Answer) -> dict[int, tuple[int, str]]:
    return {
        last: (persons, answer.ref(number))
        for (first, last), (row, number) in current_returns(answer.rows, "individual_income_tax").items()
        if first == last and isinstance(persons := row.get("persons"), int)
    }


def _report_heads(answer: Answer, field: str) -> dict[int, tuple[int, str]]:
    return {
        year * 12 + 11: (count, answer.ref(number))
        for number, row in enumerate(answer.rows)
        if isinstance(year := row.get("year"), int) and isinstance(count := row.get(field), int)
    }


def _report_revenue(answer: Answer) -> dict[Span, tuple[Decimal, str]]:
    return {
        (year * 12, year * 12 + 11): (Decimal(str(row["revenue"])), answer.ref(number))
        for number, row in enumerate(answer.rows)
        if isinstance(year := row.get("year"), int) and "revenue" in row
    }


def _return_amounts(answer: Answer, tax: str, field: str) -> dict[Span, tuple[Decimal, str]]:
    return {
        span: (Decimal(str(row[field])), answer.ref(number))
        for span, (row, number) in current_returns(answer.rows, tax).items()
        if field in row
    }


def _net_invoices(answer: Answer, direction: str) -> dict[Span, tuple[Decimal, str]]:
    spans: dict[Span, tuple[Decimal, str]] = {}
    unknown: set[Span] = set()
    for number, row in enumerate(answer.rows):
        if row.get("direction") != direction or "month" not in row:
            continue
        month = month_number(str(row["month"]))
        span = month, month
        if "amount" not in row or "red_amount" not in row:
            unknown.add(span)
            continue
        net = Decimal(str(row["amount"])) - Decimal(str(row["red_amount"]))
        before = spans.get(span)
        spans[span] = (net, answer.ref(number)) if before is None else (before[0] + net, before[1])
    return {span: pair for span, pair in spans.items() if span not in unknown}


def figures(material: Material) -> Figures:
    heads = {
        "insured": [(a, _monthly_sums(a, "persons", kind="pension")) for a in material.of("social_insurance")],
        "fund": [(a, _monthly_sums(a, "persons")) for a in material.of("provident_fund")],
        "staff": [(a, _report_heads(a, "staff")) for a in material.of("annual_report")],
        "insured_reported": [(a, _report_heads(a, "insured_staff")) for a in material.of("annual_report")],
        "income_tax_persons": [(a, _return_heads(a)) for a in material.of("tax_returns")],
    }
    flows = {
        "vat": [(a, _return_amounts(a, "vat", "sales")) for a in material.of("tax_returns")],
        "vat_payable": [(a, _return_amounts(a, "vat", "payable")) for a in material.of("tax_returns")],
        "income_tax": [(a, _return_amounts(a, "income_tax", "sales")) for a in material.of("tax_returns")],
        "invoices": [(a, _net_invoices(a, "sales")) for a in material.of("invoices")],
        "purchases": [(a, _net_invoices(a, "purchases")) for a in material.of("invoices")],
        "report": [(a, _report_revenue(a)) for a in material.of("annual_report")],
    }
    return Figures(
        {name: tuple(Heads(name, a, m) for a, m in every if m) for name, every in heads.items()},
        {name: tuple(_flow(name, a, s) for a, s in every if s) for name, every in flows.items()},
    ).without_empty()


class Common(NamedTuple):
    """Months that two flows both cover exactly, and what each says they amount to."""

    span: Span
    left: Decimal
    right: Decimal


def common_window(a: Flow, b: Flow, shortest: int, longest: int = 12) -> Common | None:
    """The latest common months, as many of them as there are from ``shortest`` to ``longest``."""
    starts = sorted(a.starts.keys() & b.starts.keys())
    for end in sorted({end for _, end in a.spans} & {end for _, end in b.spans}, reverse=True):
        for start in starts:
            if not end - longest < start <= end - shortest + 1:
                continue
            left, right = a.total(start, end), b.total(start, end)
            if left is not None and right is not None:
                return Common((start, end), left, right)
    return None
