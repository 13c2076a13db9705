"""headcount: persons of one month in social insurance, provident fund, annual report and income-tax returns."""

from decimal import Decimal

from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    NOT_COMPARABLE,
    WARNING,
    Dict,
    finding,
    stated,
    took_of_two,
    unknown,
)
from gateway.profile.material import month_text
from gateway.profile.measures import Figures, Heads
from gateway.profile.policy import CheckPolicy

TITLES = {
    "insured": ("养老保险参保人数", "persons in pension insurance"),
    "fund": ("公积金缴存人数", "persons in the provident fund"),
    "staff": ("年报从业人数", "staff in the annual report"),
    "insured_reported": ("年报自报参保人数", "insured staff as declared in the annual report"),
    "income_tax_persons": ("个税申报人数", "persons in the individual income-tax return"),
}
# Numerator first. Normally fund <= insured <= staff and persons taxed, since each is paid for a subset of the next.
PAIRS = (
    ("fund", "insured"),
    ("insured", "staff"),
    ("insured_reported", "insured"),
    ("insured", "income_tax_persons"),
)
WITHOUT_INSURED = (("fund", "staff"), ("fund", "income_tax_persons"))
# Paid month by month for named persons first; the firm's own statement last.
PRECEDENCE = ("insured", "fund", "income_tax_persons", "insured_reported", "staff")


def check(figures: Figures, policy: CheckPolicy) -> list[Dict]:
    heads = figures.heads
    tolerance = (
        f"{policy.headcount_low}..{policy.headcount_high} or difference < {policy.headcount_difference}"
        f" (policy {policy.version})"
    )
    found: list[Dict] = []
    for numerator, denominator in PAIRS if "insured" in heads else WITHOUT_INSURED:
        if numerator in heads and denominator in heads:
            found.append(_compare(heads[numerator][0], heads[denominator][0], policy, tolerance))
    for several in heads.values():
        found += [_compare(other, several[0], policy, tolerance) for other in several[1:]]
    if found:
        return found
    values = [_latest(several[0]) for several in heads.values()]
    sections = [several[0].answer.dataset for several in heads.values()] or ["social_insurance", "provident_fund"]
    return [
        unknown(
            "headcount",
            sections,
            "人数来源不足两个，无法比对；缺失不等于零。",
            "Fewer than two sources of a head count; a missing one is unknown, not zero.",
            values,
        )
    ]


def _latest(heads: Heads) -> Dict:
    month = max(heads.months)
    return stated(heads.ref(month), heads.months[month][0], "人", month_text(month))


def _compare(a: Heads, b: Heads, policy: CheckPolicy, tolerance: str) -> Dict:
    sections = (a.answer.dataset, b.answer.dataset)
    title_zh = f"{TITLES[a.measure][0]}与{TITLES[b.measure][0]}"
    title_en = f"{TITLES[a.measure][1]} and {TITLES[b.measure][1]}"
    common = a.months.keys() & b.months.keys()
    if not common:
        return finding(
            "headcount",
            NOT_COMPARABLE,
            INFO,
            sections,
            [_latest(a), _latest(b)],
            f"{title_zh}没有共同月份。",
            f"No common month of {title_en}.",
            tolerance=tolerance,
        )
    month = max(common)
    count_a, count_b, ref_a, ref_b = a.months[month][0], b.months[month][0], a.ref(month), b.ref(month)
    values = [stated(ref_a, count_a, "人", month_text(month)), stated(ref_b, count_b, "人", month_text(month))]
    apart = abs(count_a - count_b) >= policy.headcount_difference
    inside = count_b > 0 and policy.headcount_low <= Decimal(count_a) / count_b <= policy.headcount_high
    prefer_a = PRECEDENCE.index(a.measure) < PRECEDENCE.index(b.measure)
    taken = took_of_two(
        a.answer if prefer_a else b.answer,
        b.answer if prefer_a else a.answer,
        ref_a if prefer_a else ref_b,
        "按月实缴、对应到人的来源优先，其次为新近、完整的来源。",
        "A source paid monthly for named persons goes first, then the more complete and recent one.",
    )
    if apart and not inside:
        return finding(
            "headcount",
            CONFLICT,
            WARNING,
            sections,
            values,
            f"{title_zh}相差超出容差；可能的合法原因：劳务派遣、退休返聘、实习、新入职、分支机构。",
            f"The {title_en} differ beyond the tolerance; lawful causes may be agency staff, retired or trainee staff,"
            " new hires, branches.",
            tolerance=tolerance,
            taken=taken,
        )
    return finding(
        "headcount",
        CONSISTENT,
        INFO,
        sections,
        values,
        f"{title_zh}相符。",
        f"The {title_en} agree.",
        tolerance=tolerance,
        taken=taken,
    )
