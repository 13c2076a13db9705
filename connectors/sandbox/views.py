"""A data set of an enterprise as its platform knows it, and the truth page that holds all of them together."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from connectors.sandbox import facts, series, support, trade
from connectors.sandbox.conflicts import CONFLICTS, RULES
from connectors.sandbox.population import Enterprise
from connectors.sandbox.series import HISTORY, Row, month_of, month_text

PLATFORM_OF = {
    "registration": "sh-registry",
    "shareholders": "sh-registry",
    "key_persons": "sh-registry",
    "abnormal_list": "sh-registry",
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
    "permits": "credit-sh",
    "penalties": "credit-sh",
    "credit_lists": "credit-sh",
    "receivables": "ccrc-receivables",
    "vouchers": "yunlian",
    "core_trade": "core-enterprise",
    "guarantees": "guarantee-fund",
    "honours": "acfic-sh",
    "policy_support": "pudong-credit",
    "bank_internal": "bank-internal",
    "internal_lists": "bank-internal",
}
"""The first to ask about each data set."""

ELSEWHERE: dict[tuple[str, str], Callable[[Enterprise], list[Row]]] = {
    ("core-enterprise", "receivables"): trade.payables,
    **{
        (platform, "policy_support"): partial(support.district_support, platform=platform)
        for platform in (f"district-{name}" for name in support.DISTRICTS)
    },
}
"""Other platforms that hold a data set too, each with rows of its own."""


def holders(dataset: str) -> tuple[str, ...]:
    """Every platform that holds a data set itself; an outlet only passes on what these hold."""
    return (PLATFORM_OF[dataset], *(platform for platform, its in ELSEWHERE if its == dataset))


MONTHLY: dict[str, Callable[[Enterprise, int, int], list[Row]]] = {
    "social_insurance": series.social_insurance,
    "provident_fund": series.provident_fund,
    "tax_returns": series.tax_returns,
    "invoices": series.invoices,
    "core_trade": trade.core_trade,
    "bank_internal": support.bank_internal,
}
_STANDING: dict[str, Callable[[Enterprise], list[Row]]] = {
    "registration": facts.registration,
    "shareholders": facts.shareholders,
    "key_persons": facts.key_persons,
    "abnormal_list": facts.abnormal_list,
    "annual_report": series.annual_report,
    "real_estate": facts.real_estate,
    "mortgages": facts.mortgages,
    "seizures": facts.seizures,
    "tax_credit": facts.tax_credit,
    "tax_arrears": facts.tax_arrears,
    "judicial": facts.judicial,
    "permits": facts.permits,
    "penalties": facts.penalties,
    "credit_lists": facts.credit_lists,
    "receivables": trade.receivables,
    "vouchers": trade.vouchers,
    "guarantees": facts.guarantees,
    "honours": support.honours,
    "policy_support": support.pudong_support,
    "internal_lists": support.internal_lists,
}


def view(e: Enterprise, dataset: str, first: int, last: int, platform: str | None = None) -> list[Row]:
    """Rows oldest first; ``first`` and ``last`` are month indexes and bound the monthly data sets only."""
    if elsewhere := ELSEWHERE.get((platform or "", dataset)):
        return elsewhere(e)
    monthly = MONTHLY.get(dataset)
    return monthly(e, first, last) if monthly else _STANDING[dataset](e)


def _canonical(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def canonical(rows: list[Row]) -> list[dict[str, object]]:
    """Rows in the text forms of schemas.records; what is not given is left out."""
    return [{k: _canonical(v) for k, v in row.items() if v is not None} for row in rows]


def _given(e: Enterprise) -> list[dict[str, Any]]:
    return [dict(row) for row in facts.guarantees(e) if row["role"] == "guarantor"]


def declared(e: Enterprise) -> dict[str, Any]:
    """What the loan application says: mortgages in force and guarantees given (元 text), and the number of
    enforcement and dishonest-debtor cases. Empty where it says nothing."""
    if not e.declares:
        return {}
    secured = 0 if e.conflict == "hidden-mortgage" else sum(x.secured for x in e.estates)
    given: Any = sum((r["outstanding"] for r in _given(e)), Decimal("0.00"))
    return {
        "mortgage_amount": format(series.yuan(secured), "f"),
        "judicial_cases": int("declared-enforcement" in e.noise),
        "guarantee_amount": format(given, "f"),
    }


def labels(e: Enterprise) -> dict[str, Any]:
    """``expected``: the rule that must report a conflict; ``clean``: rules that must not; the others may."""
    planted = CONFLICTS[e.conflict] if e.conflict else None
    free = {planted.rule, *planted.tolerated} if planted else set[str]()
    return {
        "conflict": e.conflict,
        "degree": e.degree or None,
        "expected": {planted.rule: "conflict"} if planted else {},
        "clean": [rule for rule in RULES if rule not in free],
        "noise": sorted(e.noise),
    }


def truth(e: Enterprise, first: int | None = None, last: int | None = None) -> dict[str, Any]:
    """All data sets in canonical form, the declaration and the labels. Without months: the last 24."""
    now = month_of(e.today)
    until = now if last is None else last
    since = max(until - 23, now - HISTORY) if first is None else first
    return {
        "uscc": e.uscc,
        "name": e.asked_name,
        "registered_name": e.name,
        "first": month_text(since),
        "last": month_text(until),
        "declared": declared(e),
        "labels": labels(e),
        "datasets": {d: canonical(view(e, d, since, until)) for d in PLATFORM_OF},
        "elsewhere": {f"{p}/{d}": canonical(rows) for p, d in ELSEWHERE if (rows := view(e, d, since, until, p))},
    }
