"""Invented firms for the tests of gateway/profile: nobody's register holds them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from connectors.base import Found, Reply, Row, Subject
from gateway.profile.assemble import Request, assemble
from gateway.profile.collect import Gathered
from gateway.profile.material import Material, material, states
from gateway.profile.plan import Item, Plan
from gateway.profile.policy import CheckPolicy
from schemas.errors import UpstreamError
from schemas.profile import State
from schemas.records import CATALOGUE

USCC = "91990000MA0000017Y"
OTHER_USCC = "91990000MA0000025R"
NAME = "虚构禾川精密科技（测试）有限公司"
NOW = datetime(2026, 11, 24, 6, 9, 40, tzinfo=UTC)
TODAY = date(2026, 11, 24)
POLICY = CheckPolicy()

PLATFORM = {
    "registration": "sh-registry",
    "shareholders": "sh-registry",
    "key_persons": "sh-registry",
    "annual_report": "sh-registry",
    "social_insurance": "sh-hrss",
    "provident_fund": "sh-hpf",
    "real_estate": "sh-housing",
    "mortgages": "sh-housing",
    "seizures": "sh-housing",
    "tax_returns": "sh-tax",
    "tax_credit": "sh-tax",
    "tax_arrears": "sh-tax",
    "invoices": "sh-tax",
    "judicial": "sh-court",
    "credit_lists": "credit-sh",
    "penalties": "credit-sh",
    "receivables": "ccrc-receivables",
    "vouchers": "yunlian",
    "core_trade": "core-enterprise",
}


def months(count: int = 24, last: tuple[int, int] = (2026, 10)) -> list[str]:
    end = last[0] * 12 + last[1] - 1
    return [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(end - count + 1, end + 1)]


def insured(persons: int = 40, count: int = 24) -> list[Row]:
    return [
        {"month": m, "kind": kind, "persons": persons, "base": f"{persons * 10000}"}
        for m in months(count)
        for kind in ("pension", "medical")
    ]


def fund(persons: int = 36, count: int = 23) -> list[Row]:
    return [{"month": m, "persons": persons, "amount": f"{persons * 1400}.00"} for m in months(count, (2026, 9))]


def vat(sales: str = "1000000.00", count: int = 24) -> list[Row]:
    return [
        {
            "tax": "vat",
            "period_from": f"{m}-01",
            "period_to": f"{m}-28",
            "sales": sales,
            "payable": "30000.00",
            "filed_on": f"{m}-28",
        }
        for m in months(count)
    ]


def income_tax(revenue: str = "11800000.00", year: int = 2025) -> Row:
    return {
        "tax": "income_tax",
        "period_from": f"{year}-01-01",
        "period_to": f"{year}-12-31",
        "sales": revenue,
        "payable": "120000.00",
        "filed_on": f"{year + 1}-04-20",
    }


def invoices(amount: str = "1050000.00", red: str = "50000.00", count: int = 24) -> list[Row]:
    return [{"month": m, "direction": "sales", "amount": amount, "red_amount": red} for m in months(count)]


def clean() -> dict[str, list[Row]]:
    """A firm whose sources agree: 40 persons, 1,000,000 元 a month, one property with one declared mortgage."""
    return {
        "registration": [
            {
                "uscc": USCC,
                "name": NAME,
                "former_names": ["虚构禾川机械（测试）有限公司"],
                "legal_representative": "虚某某",
                "established": "2016-11-25",
                "registered_capital": "5000000",
                "industry_section": "C",
                "industry_code": "3484",
                "state": "active",
            }
        ],
        "shareholders": [
            {"name": "虚*", "subscribed": "3000000", "paid_in": "3000000", "share": "0.6"},
            {"name": "构*", "subscribed": "2000000", "share": "0.4"},
        ],
        "key_persons": [
            {"name": "虚*某", "position": "执行董事", "is_representative": True},
            {"name": "构*", "position": "监事", "is_representative": False},
        ],
        "annual_report": [
            {
                "year": y,
                "staff": 44,
                "insured_staff": 40,
                "revenue": "12100000",
                "total_assets": "9000000",
                "total_liabilities": "3600000",
            }
            for y in (2024, 2025)
        ],
        "social_insurance": insured(),
        "provident_fund": fund(),
        "real_estate": [
            {
                "unit_number": "990000000001GB00001F00010001",
                "owner": NAME,
                "owner_uscc": USCC,
                "area": "800.50",
                "assessed_value": "10000000",
                "current": True,
            }
        ],
        "mortgages": [
            {"unit_number": "990000000001GB00001F00010001", "secured_amount": "6000000", "current": True},
            {"unit_number": "990000000001GB00001F00010001", "secured_amount": "2000000", "current": False},
        ],
        "seizures": [],
        "tax_returns": [*vat(), income_tax()],
        "tax_credit": [{"year": 2025, "grade": "A"}, {"year": 2024, "grade": "B"}],
        "tax_arrears": [],
        "invoices": invoices(),
        "judicial": [],
        "credit_lists": [{"kind": "red", "name": "纳税信用A级", "listed_on": "2026-04-20"}],
        "penalties": [],
    }


DECLARED = {"mortgage_amount": "6000000", "judicial_cases": 0}


def reply(rows: Sequence[Row], as_of: date | None = date(2026, 11, 20), found: Found | None = None) -> Reply:
    outcome = found or (Found.FOUND if rows else Found.ABSENT)
    return Reply(outcome, tuple(rows), as_of, NOW, 1, b"\x01" * 32, None)


def gathered(dataset: str, answer: Reply | UpstreamError | Sequence[Row], platform: str | None = None) -> Gathered:
    item = Item(platform or PLATFORM[dataset], dataset, frozenset(CATALOGUE[dataset].fields))
    if isinstance(answer, UpstreamError):
        return Gathered(item, "1.0+0123456789ab", "assumed", None, answer, 5000, 3)
    found = answer if isinstance(answer, Reply) else reply(answer)
    return Gathered(item, "1.0+0123456789ab", "assumed", found, None, 12, 1)


def all_gathered(firm: Mapping[str, Reply | UpstreamError | Sequence[Row]]) -> list[Gathered]:
    return [gathered(dataset, answer) for dataset, answer in firm.items()]


def plan_of(gathering: Sequence[Gathered]) -> Plan:
    planned = {one.item.dataset for one in gathering}
    absent: dict[str, tuple[State, str | None]] = {
        name: (State.NOT_REQUESTED, None) for name in CATALOGUE if name not in planned
    }
    items = tuple(one.item for one in gathering)
    return Plan(items, frozenset(planned), absent, (2024, 11), (2026, 10))


def material_of(
    firm: Mapping[str, Any] | Sequence[Gathered], declared: Mapping[str, Any] = DECLARED, max_age: int | None = None
) -> Material:
    gathering = all_gathered(firm) if isinstance(firm, Mapping) else list(firm)
    asked = frozenset(one.item.dataset for one in gathering)
    return material(states(gathering, POLICY, max_age, TODAY), asked, USCC, NAME, declared, TODAY)


def request(**changes: Any) -> Request:
    values: dict[str, Any] = {
        "profile_id": "p-1",
        "revision": 1,
        "subject": Subject(USCC, NAME),
        "consent_id": "c-1",
        "consent_assurance": "lender_asserted",
        "purpose": "loan_origination",
        "requested_at": NOW,
        "declared": DECLARED,
    }
    return Request(**{**values, **changes})


def profile_of(firm: Mapping[str, Any] | Sequence[Gathered], **changes: Any) -> dict[str, Any]:
    gathering = all_gathered(firm) if isinstance(firm, Mapping) else list(firm)
    return assemble(request(**changes), plan_of(gathering), gathering, NOW, POLICY, lambda one: "ab" * 32)
