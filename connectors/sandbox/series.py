"""What platforms know month by month: staff, wages, sales, taxes, each platform with its own lag and rounding.

Months are indexes (year * 12 + month - 1). Every figure is a function of (enterprise, month) alone.
"""

from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from connectors.sandbox.population import ANCHOR, Enterprise

Row = dict[str, Decimal | date | str | int | bool | list[str] | None]
"""A record by canonical field names: money in 元 as Decimal, days as date, months as ``2026-09``; None = not given."""

HISTORY = 36
"""No platform answers about months further back than this."""

INSURANCE_LAG, FUND_LAG, TAX_LAG = 1, 2, 1
_SEASON = (88, 70, 96, 100, 101, 103, 98, 97, 104, 102, 110, 131)
_MASK = 2**64 - 1


def month_of(day: date) -> int:
    return day.year * 12 + day.month - 1


@lru_cache(1024)
def month_text(month: int) -> str:
    return f"{month // 12}-{month % 12 + 1:02d}"


@lru_cache(1024)
def first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


@lru_cache(1024)
def last_day(month: int) -> date:
    year, m = month // 12, month % 12 + 1
    return date(year, m, monthrange(year, m)[1])


def yuan(fen: int) -> Decimal:
    return Decimal(fen).scaleb(-2)


def before(e: Enterprise, days: int) -> date:
    """``days`` before 1 January of this year."""
    return date(e.today.year, 1, 1) - timedelta(days=days)


def mix(key: int, month: int, salt: int, below: int) -> int:
    """A reproducible number in 0..below-1 for this enterprise and month (the finaliser of splitmix64)."""
    x = (key * 31 + month * 0x9E3779B97F4A7C15 + salt) & _MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return (x ^ (x >> 31)) % below


def months_of(e: Enterprise, first: int, last: int, lag: int) -> range:
    now = month_of(e.today)
    return range(max(first, now - HISTORY, month_of(e.established)), min(last, now - lag) + 1)


def staff(e: Enterprise, month: int) -> int:
    steady = e.staff * (12_000 + e.staff_growth * (month - ANCHOR)) // 12_000
    return max(steady + (mix(e.key, month, 1, 3) - 1 if e.staff >= 15 else 0), 2)


def revenue(e: Enterprise, month: int) -> int:
    """Sales without tax in fen."""
    steady = e.revenue * (12_000 + e.revenue_growth * (month - ANCHOR)) // 12_000
    return steady * _SEASON[month % 12] * (94 + mix(e.key, month, 2, 13)) // 10_000 + mix(e.key, month, 3, 100)


def _base(e: Enterprise, persons: int, month: int) -> int:
    july = (month - 6) // 12  # contribution bases are reset every July
    return persons * (e.wage * (100 + (july - ANCHOR // 12) * 3) // 100)


def social_insurance(e: Enterprise, first: int, last: int) -> list[Row]:
    lag = e.degree if e.conflict == "stale-insurance" else INSURANCE_LAG
    rows: list[Row] = []
    for month in months_of(e, first, last, lag):
        persons = staff(e, month)
        base = yuan(_base(e, persons, month))
        rows += [
            {"month": month_text(month), "kind": kind, "persons": persons + (kind == "injury" and persons > 10),
             "base": base, "arrears": Decimal(0), "state": "paying"}
            for kind in ("pension", "unemployment", "medical", "injury", "maternity")
        ]  # fmt: skip
    return rows


def _fund_lag(e: Enterprise) -> int:
    return e.degree if e.conflict == "stale-fund" else FUND_LAG


def booked_until(e: Enterprise) -> date:
    """The day of the fund's last booking: today, or soon after the newest month where the account is stale."""
    lag = _fund_lag(e)
    return e.today if lag == FUND_LAG else last_day(month_of(e.today) - lag + 1)


def provident_fund(e: Enterprise, first: int, last: int) -> list[Row]:
    lag = _fund_lag(e)
    share = e.degree if e.conflict == "headcount-fund" else e.fund_share
    rate = Decimal(e.fund_rate).scaleb(-2)
    rows: list[Row] = []
    for month in months_of(e, first, last, lag):
        persons = max(staff(e, month) * share // 100, 1)
        base = yuan(_base(e, persons, month))
        rows.append(
            {"month": month_text(month), "persons": persons, "sealed": e.n % 4, "base": base,
             "amount": (base * rate * 2).quantize(Decimal("0.01")), "employer_rate": rate, "employee_rate": rate,
             "paid_up_to": month_text(month), "state": "正常"}
        )  # fmt: skip
    return rows


def _return(tax: str, first: int, last: int, sales: int | None, payable: int, persons: int | None = None) -> Row:
    return {
        "tax": tax, "period_from": first_day(first), "period_to": last_day(last),
        "sales": None if sales is None else yuan(sales), "payable": yuan(payable), "relief": yuan(payable // 20),
        "due": yuan(payable - payable // 20), "persons": persons, "filed_on": last_day(last) + timedelta(days=12),
        "correction": False, "void": False,
    }  # fmt: skip


def tax_returns(e: Enterprise, first: int, last: int) -> list[Row]:
    rows: list[Row] = []
    months = months_of(e, first, last, TAX_LAG)
    odd = month_of(e.today) - 5
    """The month whose VAT return was corrected or is void, in enterprises with that noise."""
    for month in months:
        sales = revenue(e, month)
        vat = _return("vat", month, month, sales, sales * 13 // 100 * 4 // 10)
        if month == odd and "corrected-return" in e.noise:
            rows += [
                _return("vat", month, month, sales * 6 // 10, sales * 6 // 10 * 13 // 100 * 4 // 10),
                vat | {"correction": True, "filed_on": last_day(month) + timedelta(days=25)},
            ]
        elif month == odd and "void-return" in e.noise:
            rows += [_return("vat", month, month, sales * 2, sales * 2 * 13 // 100 * 4 // 10) | {"void": True}, vat]
        else:
            rows.append(vat)
        persons = staff(e, month) + mix(e.key, month, 4, 2)
        if e.conflict == "headcount-income-tax":
            persons = persons * e.degree // 100
        wages = _base(e, persons, month)
        rows.append(_return("individual_income_tax", month, month, None, wages * 3 // 100, persons))
        if month % 3 == 2 and month - 2 in months:
            quarter = sum(revenue(e, m) for m in range(month - 2, month + 1))
            rows.append(_return("income_tax", month - 2, month, quarter, quarter * 5 // 100 * 5 // 100))
    return rows


def invoices(e: Enterprise, first: int, last: int) -> list[Row]:
    rows: list[Row] = []
    for month in months_of(e, first, last, TAX_LAG):
        sales = revenue(e, month)
        net = sales * (e.degree if e.conflict == "revenue-invoices" else 98 + mix(e.key, month, 5, 3)) // 100
        red = sales * mix(e.key, month, 6, 9) // 100
        bought = sales * 6 // 10
        rows += [
            {"month": month_text(month), "direction": direction, "count": 3 + mix(e.key, month, salt, 60),
             "amount": yuan(amount), "tax": yuan(amount * 13 // 100), "red_amount": yuan(turned),
             "void_count": mix(e.key, month, salt + 1, 3)}
            for direction, amount, turned, salt in (("sales", net + red, red, 10), ("purchases", bought, 0, 20))
        ]  # fmt: skip
    return rows


def annual_report(e: Enterprise) -> list[Row]:
    """The last two or three reports; a year is reported by 30 June of the next. Amounts are rounded to 100 元."""
    newest = e.today.year - 1 if e.today.month > 6 else e.today.year - 2
    rows: list[Row] = []
    for year in range(max(newest - 1, e.established.year + 1), newest + 1):
        income = sum(revenue(e, year * 12 + m) for m in range(12))
        claimed = income * e.degree // 100 if e.conflict == "revenue-annual-report" else income
        december = staff(e, year * 12 + 11)
        hundred = [
            yuan(fen - fen % 10_000)
            for fen in (claimed, e.capital + income * 7 // 10, income * 3 // 10, income * 6 // 100, income * 5 // 100)
        ]
        rows.append(
            {"year": year, "filed_on": date(year + 1, 5, 1 + e.n % 28),
             "staff": december * e.degree // 100 if e.conflict == "headcount-annual-report" else december,
             "insured_staff": december, "revenue": hundred[0], "total_assets": hundred[1],
             "total_liabilities": hundred[2], "net_profit": hundred[3], "tax_paid": hundred[4],
             "has_external_guarantee": e.counts["guarantor"] > 0}
        )  # fmt: skip
    return rows
