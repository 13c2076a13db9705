"""What is kept of a reply: rows about the period that was permitted, whichever connector gave them.

The engine leaves out or refuses such rows where a manifest names its period; this holds for every connector, before
anything is checked, sealed or issued (PIPL 6: no more than was agreed).
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from connectors.base import Reply
from connectors.mapping import overlaps
from schemas.dates import YearMonth
from schemas.records import CATALOGUE

PERIODS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {name: ("month", "month") for name, known in CATALOGUE.items() if "month" in known.fields}
    | {"tax_returns": ("period_from", "period_to"), "annual_report": ("year", "year")}
)
"""The fields that say which period a row is about, of every data set whose rows are about one. The others (a register,
a list, a case) say how things stand, whenever they began."""


def within(reply: Reply, dataset: str, first: YearMonth, last: YearMonth) -> Reply:
    """The reply without rows outside the months ``first`` to ``last``; the same one where there are none."""
    period = PERIODS.get(dataset)
    if period is None:
        return reply
    asked = overlaps(period, first, last)
    if all(map(asked, reply.records)):
        return reply
    return replace(reply, records=tuple(row for row in reply.records if asked(row)))
