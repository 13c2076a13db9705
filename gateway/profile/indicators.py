"""Derived indicators: documented (docs/profile.md), versioned, each with the sources it was derived from. Pure.

An indicator whose input is unknown, or whose unit is in doubt, is None with a message that says why.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from gateway.profile.material import Material, month_text
from gateway.profile.measures import Figures, period_text, sum_of
from gateway.profile.normalise import last_full_year, latest
from schemas.amounts import decimal_text
from schemas.size import enterprise_size

INDICATOR_VERSION = "1"


class Input(NamedTuple):
    material: Material
    figures: Figures
    doubtful: frozenset[str]


class Derived(NamedTuple):
    """A Decimal is a ratio, shown with four places."""

    value: str | int | Decimal
    period: str | None
    sources: tuple[str, ...]


Unknown = str
"""The Chinese name of the missing input; ``_ENGLISH`` has it in English."""
_BEYOND = "合理的数值"
_ENGLISH = {
    "成立日期": "date of establishment",
    "行业代码": "industry code",
    "该行业划型所需指标": "a measure that the industry's row needs",
    "参保人数": "persons in pension insurance",
    "十二个月前的参保人数": "persons in pension insurance twelve months before",
    "公积金缴存人数": "persons in the provident fund",
    "共同月份": "a common month",
    "连续二十四个月的增值税销售额": "VAT sales of 24 months without a gap",
    "十二个月的增值税销售额与应纳税额": "VAT sales and VAT payable of 12 months",
    "完整的不动产评估价值": "assessed values of all real estate",
    "完整的抵押金额": "secured claims of all mortgages",
    "完整的司法记录": "complete court records",
    "年报资产与负债": "assets and liabilities of one annual report",
    "计量单位": "the unit, which is in doubt",
    _BEYOND: "figures within reason",
}

_FOUR = Decimal("0.0001")
_LARGEST = Decimal(10) ** 9
_WAN = Decimal(10000)


def _age(given: Input) -> Derived | Unknown:
    for answer in given.material.of("registration")[:1]:
        if answer.rows and "established" in answer.rows[0]:
            born, today = date.fromisoformat(str(answer.rows[0]["established"])), given.material.today
            years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
            return Derived(years, today.isoformat(), (answer.ref(0),))
    return "成立日期"


def _size(given: Input) -> Derived | Unknown:
    material, figures = given.material, given.figures
    registration = next((a for a in material.of("registration") if a.rows and "industry_code" in a.rows[0]), None)
    if registration is None:
        return "行业代码"
    staff: int | None = None
    revenue: Decimal | None = None
    assets: Decimal | None = None
    sources = [registration.ref(0)]
    report = next(iter(material.of("annual_report")), None)
    if report is not None and (found := latest(report, "total_assets", "year")) is not None:
        assets = Decimal(str(found[0]["total_assets"])) / _WAN
        sources.append(report.ref(found[1]))
    for measure in ("staff", "insured"):
        if measure in figures.heads:
            heads = figures.heads[measure][0]
            newest = max(heads.months)
            staff = heads.months[newest][0]
            sources.append(heads.ref(newest))
            break
    for flow_name in ("report", "vat"):
        if flow_name in given.doubtful or flow_name not in figures.flows:
            continue
        flow = figures.flows[flow_name][0]
        year = last_full_year(flow)
        total = None if year is None else flow.total(year * 12, year * 12 + 11)
        if total is not None:
            revenue = total / _WAN
            sources.append(flow.answer.source)
            break
    size = enterprise_size(
        str(registration.rows[0]["industry_code"]).lstrip("ABCDEFGHIJKLMNOPQRST"), staff, revenue, assets
    )
    return "该行业划型所需指标" if size is None else Derived(size.value, None, tuple(dict.fromkeys(sources)))


def _staff_trend(given: Input) -> Derived | Unknown:
    if "insured" not in given.figures.heads:
        return "参保人数"
    heads = given.figures.heads["insured"][0]
    months, last = heads.months, max(heads.months)
    if last - 12 not in months or months[last - 12][0] == 0:
        return "十二个月前的参保人数"
    change = Decimal(months[last][0]) / months[last - 12][0] - 1
    return Derived(change, period_text(last - 12, last), (heads.ref(last - 12), heads.ref(last)))


def _insured_months(given: Input) -> Derived | Unknown:
    if "insured" not in given.figures.heads:
        return "参保人数"
    heads = given.figures.heads["insured"][0]
    last = month = max(heads.months)
    while month in heads.months and heads.months[month][0] > 0:
        month -= 1
    return Derived(last - month, month_text(last), (heads.answer.source,))


def _fund_coverage(given: Input) -> Derived | Unknown:
    heads = given.figures.heads
    if "insured" not in heads:
        return "参保人数"
    if "fund" not in heads:
        return "公积金缴存人数"
    insured, fund = heads["insured"][0], heads["fund"][0]
    common = [month for month in insured.months.keys() & fund.months.keys() if insured.months[month][0]]
    if not common:
        return "共同月份"
    month = max(common)
    ratio = Decimal(fund.months[month][0]) / insured.months[month][0]
    return Derived(ratio, month_text(month), (fund.ref(month), insured.ref(month)))


def _revenue_trend(given: Input) -> Derived | Unknown:
    if "vat" in given.doubtful:
        return "计量单位"
    if "vat" in given.figures.flows:
        flow = given.figures.flows["vat"][0]
        end = flow.last
        now, before = flow.total(end - 11, end), flow.total(end - 23, end - 12)
        if now is not None and before:
            return Derived(now / before - 1, period_text(end - 23, end), (flow.answer.source,))
    return "连续二十四个月的增值税销售额"


def _tax_burden(given: Input) -> Derived | Unknown:
    if "vat" in given.doubtful:
        return "计量单位"
    flows = given.figures.flows
    if "vat" in flows and "vat_payable" in flows:
        sales, payable = flows["vat"][0], flows["vat_payable"][0]
        end = sales.last
        sold, paid = sales.total(end - 11, end), payable.total(end - 11, end)
        if sold and paid is not None:
            return Derived(paid / sold, period_text(end - 11, end), (sales.answer.source,))
    return "十二个月的增值税销售额与应纳税额"


def _encumbrance(given: Input) -> Derived | Unknown:
    if given.doubtful & {"secured", "assessed"}:
        return "计量单位"
    totals: list[tuple[Decimal, str]] = []
    for dataset, field, missing in (
        ("real_estate", "assessed_value", "完整的不动产评估价值"),
        ("mortgages", "secured_amount", "完整的抵押金额"),
    ):
        answers = given.material.of(dataset)
        rows = [row for row in answers[0].rows if row.get("current") is not False] if answers else []
        total = sum_of(rows, field) if answers and answers[0].whole and answers[0].knows("current") else None
        if total is None:
            return missing
        totals.append((total, answers[0].source))
    (assessed, estate), (secured, mortgages) = totals
    return Derived(secured / assessed, None, (mortgages, estate)) if assessed else "完整的不动产评估价值"


def _litigation(given: Input) -> Derived | Unknown:
    courts = given.material.of("judicial")
    if not courts or not courts[0].whole or not courts[0].knows("case_number", "role", "closed"):
        return "完整的司法记录"
    cases = {
        str(row.get("case_number", number))
        for number, row in enumerate(courts[0].rows)
        if row.get("role") != "plaintiff" and row.get("closed") is not True
    }
    return Derived(len(cases), None, (courts[0].source,))


def _leverage(given: Input) -> Derived | Unknown:
    for report in given.material.of("annual_report")[:1]:
        whole = [
            (str(row["year"]), number)
            for number, row in enumerate(report.rows)
            if "year" in row and "total_assets" in row and "total_liabilities" in row
        ]
        if whole:
            year, number = max(whole)
            row = report.rows[number]
            assets = Decimal(str(row["total_assets"]))
            if assets > 0:
                return Derived(Decimal(str(row["total_liabilities"])) / assets, year, (report.ref(number),))
    return "年报资产与负债"


class Indicator(NamedTuple):
    name: str
    unit: str | None
    zh: str
    en: str
    derive: Callable[[Input], Derived | Unknown]


INDICATORS = (
    Indicator("age_years", "年", "成立至今的整年数", "Full years since establishment", _age),
    Indicator("enterprise_size", None, "企业规模（工信部联企业〔2011〕300号）", "Enterprise size (2011/300)", _size),
    Indicator(
        "staff_trend_12m",
        "1",
        "养老保险参保人数较十二个月前的变化",
        "Change of persons in pension insurance over 12 months",
        _staff_trend,
    ),
    Indicator(
        "insured_months_unbroken",
        "月",
        "截至最近月份连续参保月数（仅在所查期间内）",
        "Months insured without a gap up to the latest one, inside the period asked",
        _insured_months,
    ),
    Indicator(
        "fund_coverage",
        "1",
        "公积金缴存人数与养老保险参保人数之比",
        "Persons in the provident fund to persons in pension insurance",
        _fund_coverage,
    ),
    Indicator(
        "revenue_trend_12m",
        "1",
        "近十二个月增值税销售额较前十二个月的变化",
        "VAT sales of the last 12 months against the 12 before",
        _revenue_trend,
    ),
    Indicator(
        "vat_burden_12m",
        "1",
        "近十二个月增值税应纳税额与销售额之比",
        "VAT payable to VAT sales over the last 12 months",
        _tax_burden,
    ),
    Indicator(
        "encumbrance_ratio",
        "1",
        "现行抵押所担保债权与不动产评估价值之比",
        "Claims secured by current mortgages to assessed value of real estate",
        _encumbrance,
    ),
    Indicator(
        "litigation_open",
        "件",
        "企业非原告的未结司法案件数",
        "Open court cases in which the enterprise is not the plaintiff",
        _litigation,
    ),
    Indicator("liabilities_to_assets", "1", "最近年报资产负债率", "Liabilities to assets, latest report", _leverage),
)


def indicators(material: Material, figures: Figures, doubtful: frozenset[str]) -> list[dict[str, Any]]:
    """Every indicator, in the shape of schemas.profile.Indicator."""
    given = Input(material, figures, doubtful)
    result = []
    for one in INDICATORS:
        derived = one.derive(given)
        if isinstance(derived, Derived) and isinstance(derived.value, Decimal):
            ratio = derived.value
            derived = _BEYOND if abs(ratio) > _LARGEST else derived._replace(value=decimal_text(ratio.quantize(_FOUR)))
        if isinstance(derived, Derived):
            value, period, sources = derived
            message = {"zh": f"{one.zh}。", "en": f"{one.en}."}
        else:
            value, period, sources = None, None, ()
            message = {
                "zh": f"{one.zh}：未知，缺少{derived}。",
                "en": f"{one.en}: unknown, for want of {_ENGLISH[derived]}.",
            }
        result.append(
            {
                "name": one.name,
                "version": INDICATOR_VERSION,
                "value": value,
                "unit": one.unit,
                "period": period,
                "sources": list(sources),
                "message": message,
            }
        )
    return result
