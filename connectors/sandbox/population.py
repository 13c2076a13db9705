"""One truth per enterprise, computed on demand from (seed, number, today): nothing is stored.

Amounts are whole fen until they become a record. Dates of the past hang on 1 January of the year of ``today``, so
that the truth stands still within a calendar year.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from connectors.sandbox.conflicts import CONFLICTS, NOISE
from connectors.sandbox.identity import name_of, registration_number_of, uscc_of

ANCHOR = 2024 * 12
"""January 2024 as a month index (year * 12 + month - 1): where the monthly series have their base value."""

TRADES = (
    ("精密科技", "C", "3484"),
    ("软件", "I", "6510"),
    ("食品贸易", "F", "5122"),
    ("建筑装饰", "E", "5011"),
    ("物流", "G", "5431"),
)
_CAPITAL_WAN = (50, 100, 200, 500, 1000, 2000)
_CONFLICT_SHARE = 0.2
_NOISE_SHARE = 0.25
_NEEDS_PROPERTY = frozenset({"unit-mortgage", "hidden-mortgage", "property-owner", "history-mortgage"})
_NEEDS_CORE = frozenset(
    {"revenue-core-purchases", "receivable-pledged-twice", "receivable-amount", "voucher-oversplit", "same-financing"}
)
_NOT_TOGETHER = {
    "agency-staff": "headcount",
    "former-name": "identity",
    "brackets": "identity",
    "new-representative": "identity",
    "closed-listing": "judicial",
    "declared-enforcement": "judicial",
    "same-financing": "receivable",
}
"""A noise beside a planted conflict of the same rule would blur the label."""


@dataclass(frozen=True, slots=True)
class Estate:
    """A property: value in fen, and the amount secured on it (0 = free)."""

    unit_number: str
    area_cm2: int
    value: int
    secured: int


@dataclass(frozen=True, slots=True)
class Enterprise:
    n: int
    key: int
    today: date
    uscc: str
    name: str
    former_name: str | None
    asked_name: str
    registration_number: str
    trade: tuple[str, str, str]
    established: date
    capital: int
    representative: int
    staff: int
    staff_growth: int
    """Per mille a year."""
    wage: int
    fund_share: int
    """Per cent of the insured for whom the fund is paid."""
    fund_rate: int
    revenue: int
    revenue_growth: int
    estates: tuple[Estate, ...]
    counts: Mapping[str, int]
    """How many records the small lists have, by data set."""
    core: str | None
    """``upstream``: sells to the core company; ``downstream``: buys of it; None: has nothing to do with it."""
    conflict: str | None
    degree: int
    """How gross the conflict is, in the terms of conflicts.py; 0 where it has no grades."""
    noise: frozenset[str]
    declares: bool
    """Whether the loan application says anything about mortgages, cases and guarantees."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a named scenario fixes: its conflict, and a record in every data set that a clean firm can have."""

    conflict: str | None = None


def _estates(r: random.Random, n: int, how_many: int, conflict: str | None) -> tuple[Estate, ...]:
    estates = []
    for i in range(how_many):
        area = r.randrange(80, 3000)
        value = area * r.randrange(8, 40) * 100_000  # 8,000 to 40,000 元 a square metre
        value -= value % 1_000_000
        share = 95 if conflict == "unit-mortgage" else r.randrange(50, 71)
        mortgaged = i == 0 if conflict in _NEEDS_PROPERTY else r.random() < 0.5
        secured = value * share // 100 if mortgaged else 0
        number = f"990101001001GB{n % 10**5:05d}F{n // 10**5 % 10**4:04d}{i:04d}"
        estates.append(Estate(number, area * 10_000 + r.randrange(100) * 100, value, secured - secured % 1_000_000))
    return tuple(estates)


def enterprise(seed: int, n: int, today: date, role: Role | None = None) -> Enterprise:
    """The truth about enterprise ``n``. The same arguments always give the same enterprise."""
    r = random.Random((seed << 40) ^ n)  # noqa: S311 - a reproducible population, not a secret
    trade = TRADES[r.randrange(len(TRADES))]
    drawn = r.choice(tuple(CONFLICTS)) if r.random() < _CONFLICT_SHARE else None
    drawn_noise = r.choice(NOISE) if r.random() < _NOISE_SHARE else None
    conflict = drawn if role is None else role.conflict
    noise = set[str]() if role or drawn_noise is None else {drawn_noise}
    if conflict:
        noise = {x for x in noise if _NOT_TOGETHER.get(x) != CONFLICTS[conflict].rule}
        if CONFLICTS[conflict].rule in ("property", "unit"):
            noise -= {"history-mortgage"}
    name = name_of(n, trade[0])
    former = f"虚构旧名{n}号{trade[0]}（沙箱）有限公司" if "former-name" in noise or r.random() < 0.1 else None
    asked = former if former and "former-name" in noise else name
    if "brackets" in noise:
        asked = asked.replace("（", "(").replace("）", ")")
    how_many = r.choices((0, 1, 2, 3, 45), (60, 22, 12, 5, 1))[0]
    if role or conflict in _NEEDS_PROPERTY or noise & _NEEDS_PROPERTY:
        how_many = 1
    staff = r.randrange(8, 120)
    if role or (conflict and CONFLICTS[conflict].rule == "headcount"):
        staff = max(staff, 24)
    counts = {
        "judgments": r.choices((0, 1, 3, 23), (85, 9, 5, 1))[0],
        "permits": r.choices((0, 1, 4, 14), (20, 40, 30, 10))[0],
        "penalties": r.choices((0, 1, 2), (85, 12, 3))[0],
        "red": r.choices((0, 1), (80, 20))[0],
        "abnormal": r.choices((0, 1), (94, 6))[0],
        "arrears": r.choices((0, 1), (97, 3))[0],
        "receivables": r.choices((0, 2, 5, 12), (50, 25, 15, 10))[0],
        "guaranteed": r.choices((0, 1, 3, 7), (60, 25, 10, 5))[0],
        "guarantor": r.choices((0, 1), (90, 10))[0],
    }
    if role:
        counts |= {"permits": 2, "penalties": 0, "judgments": 0, "abnormal": 0, "arrears": 0}
        counts |= {"red": 1, "receivables": 2, "guaranteed": 1, "guarantor": 0}
    core = None
    if role or conflict in _NEEDS_CORE or noise & _NEEDS_CORE:
        core = "upstream"
        counts["receivables"] = max(counts["receivables"], 1)
    elif (seed + n) % 3 == 0:
        core = "downstream" if trade[1] == "F" else "upstream"
    low, high = CONFLICTS[conflict].degrees if conflict else (0, 0)
    return Enterprise(
        n=n,
        key=(seed << 32) ^ (n * 0x9E3779B1),
        today=today,
        uscc=uscc_of(n),
        name=name,
        former_name=former,
        asked_name=asked,
        registration_number=registration_number_of(n),
        trade=trade,
        established=date(r.randrange(2003, 2020), r.randrange(1, 13), r.randrange(1, 29)),
        capital=r.choice(_CAPITAL_WAN) * 1_000_000,
        representative=r.randrange(1000),
        staff=staff,
        staff_growth=r.randrange(-30, 81),
        wage=r.randrange(6000, 16_000) * 100,
        fund_share=80 if "agency-staff" in noise else 100 - r.randrange(0, 6),
        fund_rate=r.choice((5, 7, 8, 12)),
        revenue=staff * r.randrange(25_000, 90_000) * 100,
        revenue_growth=r.randrange(-50, 121),
        estates=_estates(r, n, how_many, conflict),
        counts=counts,
        core=core,
        conflict=conflict,
        degree=(low + high) // 2 if role else r.randint(low, high),
        noise=frozenset(noise),
        declares=bool(role or conflict) or r.random() < 0.85,
    )
