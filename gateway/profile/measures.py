"""Comparable figures out of records: head counts by month, amounts by span of months. Pure.

A figure that a record lacks is unknown: the month or span is left out, it is never taken for zero.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from connectors.base import Row
from gateway.profile.material import Answer, Material, month_number, month_text

Span = tuple[int, int]
"""First and last month, both inside, as gateway.profile.material.month_number counts them."""


class Heads(NamedTuple):
    """Persons by month, each with the number of the (first) record it came from."""

    measure: str
    answer: Answer
    months: dict[int, tuple[int, int]]

    def ref(self, month: int) -> str:
        return self.answer.ref(self.months[month][1])


class Flow(NamedTuple):
    """Amounts in 元 by span of months, each with the number of the (first) record it came from.

    ``starts`` gives the ends of the spans that begin in a month, the nearest first; ``last`` is the last month;
    ``totals`` keeps what was added up before.
    """

    measure: str
    answer: Answer
    spans: dict[Span, tuple[Decimal, int]]
    starts: dict[int, list[int]]
    last: int
    totals: dict[Span, Decimal | None]

    def total(self, first: int, last: int) -> Decimal | None:
        """The amount of exactly these months; None where the spans do not tile them."""
        span = first, last
        if span not in self.totals:
            self.totals[span] = self.spans[span][0] if span in self.spans else self._sum(first, last)
        return self.totals[span]

    def _sum(self, first: int, last: int) -> Decimal | None:
        result, month = Decimal(0), first
        while month <= last:
            ends = self.starts.get(month)
            if not ends or ends[0] > last:
                return None
            result += self.spans[month, ends[0]][0]
            month = ends[0] + 1
        return _within(result)

    def ref(self, span: Span) -> str:
        """The one record of the span, or the source where several records add up to it."""
        return self.answer.ref(self.spans[span][1]) if span in self.spans else self.answer.source


class Figures(NamedTuple):
    """Every measure with its series, the source to go by first; a measure without data is not in it."""

    heads: Mapping[str, Sequence[Heads]]
    flows: Mapping[str, Sequence[Flow]]


_LIMIT = Decimal(10) ** 18
"""The canonical decimal has 18 digits before the point. A platform whose rows add up to more is not believed."""


def sum_of(rows: Sequence[Row], field: str) -> Decimal | None:
    """The sum of a decimal field; None where any row lacks it, or beyond reason. Over no rows it is zero."""
    amounts = [Decimal(str(row[field])) for row in rows if field in row]
    return _within(sum(amounts, Decimal(0))) if len(amounts) == len(rows) else None


def _within(amount: Decimal) -> Decimal | None:
    return amount if -_LIMIT < amount < _LIMIT else None


def period_text(first: int, last: int) -> str:
    return month_text(first) if first == last else f"{month_text(first)}..{month_text(last)}"


Returns = dict[str, dict[Span, tuple[Row, int]]]


def current_returns(rows: Sequence[Row]) -> Returns:
    """Returns by tax and span: void ones dropped, a correction in the place of what it corrects."""
    result: Returns = {}
    for number, row in enumerate(rows):
        start, end = row.get("period_from"), row.get("period_to")
        if row.get("void") is True or start is None or end is None:
            continue
        span = month_number(str(start)), month_number(str(end))
        if span[0] > span[1]:
            continue
        spans = result.setdefault(str(row.get("tax")), {})
        before = spans.get(span)
        if before is None or _supersedes(row, before[0]):
            spans[span] = row, number
    return result


def _supersedes(row: Row, before: Row) -> bool:
    """A correction, else the one filed later; the sales only settle a tie, so that the order of rows cannot."""
    new, old = (
        (one.get("correction") is True, str(one.get("filed_on", "")), str(one.get("sales", "")))
        for one in (row, before)
    )
    return new > old


def _flow(measure: str, answer: Answer, spans: dict[Span, tuple[Decimal, int]]) -> Flow:
    starts: dict[int, list[int]] = {}
    for first, last in sorted(spans):
        starts.setdefault(first, []).append(last)
    return Flow(measure, answer, spans, starts, max(last for _, last in spans), {})


def _monthly_sums(answer: Answer, field: str, kind: str | None = None) -> dict[int, tuple[int, int]]:
    """Counts per month over the rows of the kind; several accounts of one month add up."""
    sums: dict[int, tuple[int, int]] = {}
    unknown: set[int] = set()
    for number, row in enumerate(answer.rows):
        if "month" not in row or row.get("kind") != kind:
            continue
        month, count = month_number(str(row["month"])), row.get(field)
        if not isinstance(count, int):
            unknown.add(month)
        elif month in sums:
            sums[month] = sums[month][0] + count, sums[month][1]
        else:
            sums[month] = count, number
    for month in unknown:
        sums.pop(month, None)
    return sums


def _return_heads(returns: Returns) -> dict[int, tuple[int, int]]:
    return {
        last: (persons, number)
        for (first, last), (row, number) in returns.get("individual_income_tax", {}).items()
        if first == last and isinstance(persons := row.get("persons"), int)
    }


def _report_heads(answer: Answer, field: str) -> dict[int, tuple[int, int]]:
    return {
        year * 12 + 11: (count, number)
        for number, row in enumerate(answer.rows)
        if isinstance(year := row.get("year"), int) and isinstance(count := row.get(field), int)
    }


def _report_revenue(answer: Answer) -> dict[Span, tuple[Decimal, int]]:
    return {
        (year * 12, year * 12 + 11): (Decimal(str(row["revenue"])), number)
        for number, row in enumerate(answer.rows)
        if isinstance(year := row.get("year"), int) and "revenue" in row
    }


def _return_amounts(returns: Returns, tax: str, field: str) -> dict[Span, tuple[Decimal, int]]:
    return {
        span: (Decimal(str(row[field])), number) for span, (row, number) in returns.get(tax, {}).items() if field in row
    }


def _net_invoices(answer: Answer) -> dict[str, dict[Span, tuple[Decimal, int]]]:
    """Net amounts by direction and month; a month in which a row lacks either amount is unknown."""
    result: dict[str, dict[Span, tuple[Decimal, int]]] = {}
    unknown: set[tuple[str, Span]] = set()
    for number, row in enumerate(answer.rows):
        if "month" not in row:
            continue
        direction, month = str(row.get("direction")), month_number(str(row["month"]))
        span, amount, red = (month, month), row.get("amount"), row.get("red_amount")
        # Red invoices are given without a sign; a negative figure would add to the sales that it takes from.
        if amount is None or red is None or (less := Decimal(str(red))) < 0:
            unknown.add((direction, span))
            continue
        net = Decimal(str(amount)) - less
        spans = result.setdefault(direction, {})
        before = spans.get(span)
        spans[span] = (net, number) if before is None else (before[0] + net, before[1])
    unknown |= {(d, span) for d, spans in result.items() for span, (net, _) in spans.items() if _within(net) is None}
    for direction, span in unknown:
        result.get(direction, {}).pop(span, None)
    return result


def figures(material: Material) -> Figures:
    heads: dict[str, list[Heads]] = {}
    flows: dict[str, list[Flow]] = {}

    def head(measure: str, answer: Answer, months: dict[int, tuple[int, int]]) -> None:
        if months:
            heads.setdefault(measure, []).append(Heads(measure, answer, months))

    def flow(measure: str, answer: Answer, spans: dict[Span, tuple[Decimal, int]]) -> None:
        if spans:
            flows.setdefault(measure, []).append(_flow(measure, answer, spans))

    for answer in material.of("social_insurance"):
        head("insured", answer, _monthly_sums(answer, "persons", kind="pension"))
    for answer in material.of("provident_fund"):
        head("fund", answer, _monthly_sums(answer, "persons"))
    for answer in material.of("annual_report"):
        head("staff", answer, _report_heads(answer, "staff"))
        head("insured_reported", answer, _report_heads(answer, "insured_staff"))
        flow("report", answer, _report_revenue(answer))
    for answer in material.of("tax_returns"):
        # Without these a void return or a corrected one cannot be told from one that counts.
        told = answer.knows("void", "correction", "filed_on")
        returns = current_returns(answer.rows) if told else {}
        head("income_tax_persons", answer, _return_heads(returns))
        flow("vat", answer, _return_amounts(returns, "vat", "sales"))
        flow("vat_payable", answer, _return_amounts(returns, "vat", "payable"))
        flow("income_tax", answer, _return_amounts(returns, "income_tax", "sales"))
    for answer in material.of("invoices"):
        net = _net_invoices(answer)
        flow("invoices", answer, net.get("sales", {}))
        flow("purchases", answer, net.get("purchases", {}))
    for answer in material.of("core_trade"):
        for side in ("upstream", "downstream"):
            flow(f"core_{side}", answer, _purchases(answer, side))
    return Figures(heads, flows)


def _purchases(answer: Answer, side: str) -> dict[Span, tuple[Decimal, int]]:
    """Purchases by month with all core companies of the source; a month in which a row lacks them is unknown."""
    result: dict[Span, tuple[Decimal, int]] = {}
    unknown: set[Span] = set()
    for number, row in enumerate(answer.rows):
        if "month" not in row or row.get("side") != side:
            continue
        month = month_number(str(row["month"]))
        span = month, month
        if "purchases" not in row:
            unknown.add(span)
            continue
        amount, first = result.get(span, (Decimal(0), number))
        result[span] = amount + Decimal(str(row["purchases"])), first
    return {span: held for span, held in result.items() if span not in unknown and _within(held[0]) is not None}


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
