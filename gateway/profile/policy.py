"""The tolerances of the cross-checks: one typed, versioned object (docs/profile.md explains each figure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

FRESH_DAYS: Mapping[str, int] = MappingProxyType(
    {
        # Monthly sets run one to two months behind their own month.
        "social_insurance": 92,
        "provident_fund": 92,
        "invoices": 92,
        "core_trade": 92,
        "bank_internal": 92,
        # A quarter's return is due in the middle of the month after it.
        "tax_returns": 130,
        # A year's report is due by 30 June, a year's grade comes in April of the year after.
        "annual_report": 550,
        "tax_credit": 500,
        "honours": 400,
        "policy_support": 400,
    }
)
"""How many days old an answer's as-of date may be; 31 where nothing else is said."""


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """Ratios and shares are of 1, amounts are in 元, times in days."""

    version: str = "2026-11"
    representative_lag_days: int = 30
    headcount_low: Decimal = Decimal("0.5")
    headcount_high: Decimal = Decimal("1.2")
    headcount_difference: int = 5
    revenue_warning: Decimal = Decimal("0.2")
    revenue_serious: Decimal = Decimal("0.3")
    revenue_months: int = 3
    """Fewer common months than this are not compared."""
    unit_factor: Decimal = Decimal(10000)
    unit_low: Decimal = Decimal("0.8")
    unit_high: Decimal = Decimal("1.2")
    secured_low: Decimal = Decimal("0.1")
    """A secured claim is normally this to ``secured_high`` of the assessed value: the band of the unit check there."""
    secured_high: Decimal = Decimal(3)
    mortgage_tolerance: Decimal = Decimal("0.05")
    receivable_tolerance: Decimal = Decimal("0.05")
    fresh_days: Mapping[str, int] = field(default_factory=lambda: FRESH_DAYS)

    def fresh_for(self, dataset: str, max_age: int | None, operators: int | None = None) -> int:
        """Days: the operator's figure for the source or else the policy's, or what the lender asked for where that is
        stricter."""
        days = self.fresh_days.get(dataset, 31) if operators is None else operators
        return days if max_age is None else min(days, max_age)
