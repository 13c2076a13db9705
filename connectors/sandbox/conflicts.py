"""What can be wrong with an enterprise, and what only looks wrong: the labels that detection is measured against.

Rule names are those of the cross-checks (docs/profile.md). A label says which rule must report a conflict;
``tolerated`` rules may report one too, because the planted fault reaches them.
"""

from dataclasses import dataclass

RULES = ("identity", "headcount", "revenue", "property", "judicial", "receivable", "unit", "freshness")


@dataclass(frozen=True, slots=True)
class Conflict:
    name: str
    rule: str
    tolerated: tuple[str, ...] = ()
    degrees: tuple[int, int] = (0, 0)
    """From slight, which lawful tolerances may swallow, to gross: per cent, or months for stale sources; 0 = none."""


CONFLICTS = {
    c.name: c
    for c in (
        # The fund pays for this share of the insured.
        Conflict("headcount-fund", "headcount", degrees=(20, 59)),
        # The annual report claims this share of the real staff.
        Conflict("headcount-annual-report", "headcount", degrees=(180, 279)),
        # Income tax is declared for this share of the insured.
        Conflict("headcount-income-tax", "headcount", degrees=(25, 84)),
        # Invoices net of red ones cover this share of declared sales.
        Conflict("revenue-invoices", "revenue", degrees=(40, 84)),
        # The annual report claims this share of the taxed revenue.
        Conflict("revenue-annual-report", "revenue", degrees=(115, 214)),
        Conflict("unit-capital", "unit"),  # the register gives 元 where 万元 is due
        Conflict("unit-mortgage", "unit", ("property",)),  # the same in the secured amount
        Conflict("hidden-mortgage", "property"),  # a current mortgage, none declared
        Conflict("property-owner", "property"),  # the register names another owner
        Conflict("undeclared-enforcement", "judicial"),  # subject to enforcement, no case declared
        Conflict("dishonest-debtor", "judicial"),  # dishonest debtor and blacklisted, no case declared
        Conflict("identity-name", "identity"),  # registered under a name that was never this firm's
        Conflict("identity-representative", "identity"),  # two representatives, for longer than 30 days
        # The core company bought this share of the declared sales.
        Conflict("revenue-core-purchases", "revenue", degrees=(105, 219)),
        Conflict("receivable-pledged-twice", "receivable"),  # one receivable, two financiers
        # The core company owes this share of the amount.
        Conflict("receivable-amount", "receivable", degrees=(20, 97)),
        # The parts of a voucher add up to this share of it.
        Conflict("voucher-oversplit", "receivable", degrees=(101, 180)),
        # Social insurance ends so many months ago.
        Conflict("stale-insurance", "freshness", ("headcount",), (3, 10)),
        # The provident fund ends so many months ago.
        Conflict("stale-fund", "freshness", ("headcount",), (4, 11)),
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
    "same-financing",  # one financing of one receivable, recorded on two platforms
)
"""Lawful oddities that must not be reported."""
