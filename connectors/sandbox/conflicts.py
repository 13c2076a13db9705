"""What can be wrong with an enterprise, and what only looks wrong: the labels that detection is measured against.

Rule names are those of the cross-checks (docs/profile.md). A label says which rule must report a conflict;
``tolerated`` rules may report one too, because the planted fault reaches them.
"""

from dataclasses import dataclass

RULES = ("identity", "headcount", "revenue", "property", "judicial", "unit", "freshness")


@dataclass(frozen=True, slots=True)
class Conflict:
    name: str
    rule: str
    tolerated: tuple[str, ...] = ()


CONFLICTS = {
    c.name: c
    for c in (
        Conflict("headcount-fund", "headcount"),  # fund pays for three in ten of the insured
        Conflict("headcount-annual-report", "headcount"),  # annual report claims 2.4 times the staff
        Conflict("headcount-income-tax", "headcount"),  # income tax is declared for a third of the insured
        Conflict("revenue-invoices", "revenue"),  # invoices cover little more than half of declared sales
        Conflict("revenue-annual-report", "revenue"),  # annual report claims 1.8 times the taxed revenue
        Conflict("unit-capital", "unit"),  # the register gives 元 where 万元 is due
        Conflict("unit-mortgage", "unit", ("property",)),  # the same in the secured amount
        Conflict("hidden-mortgage", "property"),  # a current mortgage, none declared
        Conflict("property-owner", "property"),  # the register names another owner
        Conflict("undeclared-enforcement", "judicial"),  # subject to enforcement, no case declared
        Conflict("dishonest-debtor", "judicial"),  # dishonest debtor and blacklisted, no case declared
        Conflict("identity-name", "identity"),  # registered under a name that was never this firm's
        Conflict("identity-representative", "identity"),  # two representatives, for longer than 30 days
        Conflict("stale-insurance", "freshness", ("headcount",)),  # social insurance ends nine months ago
        Conflict("stale-fund", "freshness", ("headcount",)),  # provident fund ends eleven months ago
    )
}
"""Each the only fault of its enterprise."""

NOISE = (
    "agency-staff",  # the fund pays for eight in ten: the rest belong to an agency
    "corrected-return",  # one VAT return was too low and corrected
    "void-return",  # one VAT return is void
    "former-name",  # the lender and the land register still use the former name
    "brackets",  # the lender writes half-width brackets
    "new-representative",  # changed twelve days ago; the list of persons lags
    "history-mortgage",  # a mortgage that was paid off
    "closed-listing",  # a black listing that was removed
    "declared-enforcement",  # an enforcement case, declared
)
"""Lawful oddities that must not be reported."""
