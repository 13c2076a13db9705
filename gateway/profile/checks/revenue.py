"""revenue: VAT sales, income-tax revenue, invoices net of red ones and the annual report, over the same months.

Amounts are without tax. Each measure is held against the best one with which it has common months.
"""

from decimal import Decimal
from typing import NamedTuple

from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    NOT_COMPARABLE,
    SERIOUS,
    WARNING,
    Dict,
    finding,
    stated,
    took_of_two,
    unknown,
)
from gateway.profile.checks.unit import Pair, Side, is_unit_error
from gateway.profile.measures import Figures, Flow, common_window, period_text
from gateway.profile.policy import CheckPolicy

TITLES = {
    "vat": ("增值税申报销售额", "VAT sales"),
    "income_tax": ("企业所得税申报收入", "income-tax revenue"),
    "invoices": ("净开票金额", "invoices net of red ones"),
    "report": ("年报营业收入", "revenue in the annual report"),
}
# Filed under legal liability and monthly first; the firm's own statement last.
PRECEDENCE = ("vat", "income_tax", "invoices", "report")


class Compared(NamedTuple):
    """Two flows, and their amounts over the months both cover; None where there are no such months."""

    a: Flow
    b: Flow
    pair: Pair | None


def comparisons(figures: Figures, policy: CheckPolicy) -> list[Compared]:
    found: list[Compared] = []
    present = [name for name in PRECEDENCE if name in figures.flows]
    for number, name in enumerate(present):
        flow = figures.flows[name][0]
        tries = [_compared(figures.flows[better][0], flow, policy) for better in present[:number]]
        found += [next((t for t in tries if t.pair), tries[0])] if tries else []
    for name in present:
        first, *others = figures.flows[name]
        found += [_compared(first, other, policy) for other in others]
    return found


def _compared(a: Flow, b: Flow, policy: CheckPolicy) -> Compared:
    common = common_window(a, b, policy.revenue_months)
    if common is None:
        return Compared(a, b, None)
    period = period_text(*common.span)
    left = Side(a.measure, a.answer.dataset, a.ref(common.span), common.left, period)
    right = Side(b.measure, b.answer.dataset, b.ref(common.span), common.right, period)
    return Compared(a, b, Pair(left, right, policy.unit_low, policy.unit_high))


def check(compared: list[Compared], figures: Figures, policy: CheckPolicy) -> list[Dict]:
    if compared:
        return [_finding(one, policy) for one in compared]
    single = [several[0] for name, several in figures.flows.items() if name in TITLES]
    values = []
    for flow in single:
        span = max(flow.spans, key=lambda s: (s[1], -s[0]))
        values.append(stated(flow.ref(span), flow.spans[span][0], "元", period_text(*span)))
    return [
        unknown(
            "revenue",
            [flow.answer.dataset for flow in single] or ["tax_returns", "invoices", "annual_report"],
            "收入来源不足两个，无法比对；缺失不等于零。",
            "Fewer than two sources of revenue; a missing one is unknown, not zero.",
            values,
        )
    ]


def _finding(one: Compared, policy: CheckPolicy) -> Dict:
    sections = (one.a.answer.dataset, one.b.answer.dataset)
    zh = f"{TITLES[one.a.measure][0]}与{TITLES[one.b.measure][0]}"
    en = f"{TITLES[one.a.measure][1]} and {TITLES[one.b.measure][1]}"
    tolerance = (
        f"difference / larger <= {policy.revenue_warning}, serious > {policy.revenue_serious} (policy {policy.version})"
    )
    if one.pair is None:
        values = [stated(flow.answer.source, None, "元") for flow in (one.a, one.b)]
        return finding(
            "revenue",
            NOT_COMPARABLE,
            INFO,
            sections,
            values,
            f"{zh}没有足够的共同期间（至少{policy.revenue_months}个月）。",
            f"The {en} have no common period of at least {policy.revenue_months} months.",
            tolerance=tolerance,
        )
    left, right = one.pair.left, one.pair.right
    values = [stated(side.ref, side.amount, "元", side.period) for side in (left, right)]
    if is_unit_error(one.pair, policy):
        return finding(
            "revenue",
            NOT_COMPARABLE,
            INFO,
            sections,
            values,
            f"{zh}的计量单位存疑，不作比较，也不取平均。",
            f"The units of {en} are in doubt: not compared and never averaged.",
            tolerance=tolerance,
        )
    larger = max(abs(left.amount), abs(right.amount))
    apart = abs(left.amount - right.amount) / larger if larger else Decimal(0)
    taken = took_of_two(
        one.a.answer,
        one.b.answer,
        left.ref,
        "纳税申报负有法律责任，优先于开票汇总与企业自报；同类来源取较完整、较新者。",
        "A tax return is filed under legal liability and goes before invoices and the firm's own report;"
        " of two sources of one kind the more complete and recent one is taken.",
    )
    if apart > policy.revenue_warning:
        percent = f"{apart * 100:.1f}%"
        return finding(
            "revenue",
            CONFLICT,
            SERIOUS if apart > policy.revenue_serious else WARNING,
            sections,
            values,
            f"同一期间{zh}相差{percent}（以较大者为分母）。",
            f"Over the same period the {en} differ by {percent} of the larger one.",
            tolerance=tolerance,
            taken=taken,
        )
    return finding(
        "revenue",
        CONSISTENT,
        INFO,
        sections,
        values,
        f"同一期间{zh}相符。",
        f"Over the same period the {en} agree.",
        tolerance=tolerance,
        taken=taken,
    )
