"""All rules over one profile's material. The order of sources and of arrival never changes the result."""

from typing import NamedTuple

from gateway.profile.checks import freshness, headcount, identity, judicial, property, receivable, revenue, trade, unit
from gateway.profile.checks.base import Dict
from gateway.profile.material import Material
from gateway.profile.measures import Figures
from gateway.profile.policy import CheckPolicy


class Checked(NamedTuple):
    """``findings`` have the shape of schemas.profile.Finding; every rule gives at least one.
    ``doubtful`` are the measures that no value and no indicator may be derived from: their unit is in doubt."""

    findings: list[Dict]
    doubtful: frozenset[str]


def cross_check(material: Material, figures: Figures, policy: CheckPolicy, max_age: int | None = None) -> Checked:
    secured = property.secured_totals(material)
    compared = revenue.comparisons(figures, policy)
    pairs = [one.pair for one in compared if one.pair is not None]
    units = unit.check([*pairs, *unit.pairs_of(material, secured, policy)], policy)
    return Checked(
        [
            *identity.check(material, policy),
            *headcount.check(figures, policy),
            *revenue.check(compared, figures, policy),
            *trade.check(figures, units.doubtful, policy),
            *property.check(material, secured, units.doubtful, policy),
            *judicial.check(material),
            *receivable.check(material, policy),
            *freshness.check(material, policy, max_age),
            *units.findings,
        ],
        units.doubtful,
    )
