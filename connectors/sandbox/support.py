"""Honours, the support of districts, and what the bank itself knows of those who are its customers."""

from decimal import Decimal

from connectors.sandbox.population import Enterprise
from connectors.sandbox.series import TAX_LAG, Row, before, month_text, months_of, revenue, yuan

DISTRICTS = (
    "huangpu", "xuhui", "changning", "jingan", "putuo", "hongkou", "yangpu", "minhang", "baoshan", "jiading",
    "jinshan", "songjiang", "qingpu", "fengxian", "chongming",
)  # fmt: skip
"""Districts with a platform of their own; 浦东新区 has a larger one."""

CUSTOMERS = 64
"""The first enterprises have an account with the bank that asks; of the others it knows nothing."""

_SCENARIOS = 10


def home(e: Enterprise) -> str:
    """The platform of the district where the firm sits; the named scenarios all sit in the first."""
    return f"district-{DISTRICTS[0 if e.n < _SCENARIOS else e.n % len(DISTRICTS)]}"


def honours(e: Enterprise) -> list[Row]:
    kinds = (("membership", "会员企业", 2), ("honour", "优秀民营企业", 4), ("recommendation", "融资推荐企业", 8))
    return [
        {
            "name": f"虚构{name}",
            "kind": kind,
            "authority": "虚构市工商业联合会",
            "granted_on": before(e, 400 + i),
            "valid_to": None if kind == "membership" else before(e, -600 + i),
        }
        for i, (kind, name, every) in enumerate(kinds)
        if e.n % every == 0
    ]


def _support(e: Enterprise, kind: str, name: str, amount: int | None, result: str | None) -> Row:
    return {
        "name": name,
        "kind": kind,
        "amount": None if amount is None else yuan(amount),
        "authority": "虚构区发展改革委",
        "granted_on": before(e, 260),
        "result": result,
    }


def pudong_support(e: Enterprise) -> list[Row]:
    if e.n % 4 > 1:
        return []
    return [
        _support(e, "evaluation", "虚构企业信用综合评价", None, "AAA"[: 1 + e.n % 3]),
        _support(e, "financing_need", "虚构融资需求登记", 50_000_000 + e.n % 90 * 1_000_000, None),
    ]


def district_support(e: Enterprise, platform: str) -> list[Row]:
    if platform != home(e) or e.n % 3 == 2:
        return []
    subsidy = _support(e, "subsidy", "虚构稳岗补贴", 1_500_000 + e.n % 50 * 10_000, "已拨付")
    return [subsidy, _support(e, "white_list", "虚构融资协调机制推荐名单", None, "在册")]


def bank_internal(e: Enterprise, first: int, last: int) -> list[Row]:
    if e.n >= CUSTOMERS:
        return []
    return [
        {
            "month": month_text(month),
            "inflow": yuan(revenue(e, month) * 6 // 10),
            "outflow": yuan(revenue(e, month) * 58 // 100),
            "average_balance": yuan(revenue(e, month) // 5),
            "credit_outstanding": yuan(e.n % 4 * 50_000_000),
            "overdue": Decimal("0.00"),
        }
        for month in months_of(e, first, last, TAX_LAG)
    ]


def internal_lists(e: Enterprise) -> list[Row]:
    if e.n >= CUSTOMERS or e.n % 4:
        return []
    return [
        {
            "kind": "white",
            "name": "虚构行内优质客户名单",
            "listed_on": before(e, 120),
            "removed_on": None,
            "reason": "连续两年按时还款，“无逾期”",
        }
    ]
