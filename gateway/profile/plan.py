"""Which data set is asked of which platform: a pure function that never leaves what the consent names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from consent.policy import PermitItem
from schemas.consent import Consent
from schemas.errors import InvalidRequest
from schemas.profile import State
from schemas.records import CATALOGUE

YearMonth = tuple[int, int]


class Way(NamedTuple):
    """Where a data set is asked for: of its platform, or through the outlet that passes it on."""

    platform: str
    outlet: str | None = None


@dataclass(frozen=True, slots=True)
class Strategy:
    """What the operator wants. ``ways``: by data set, in order of preference; the next is asked only where the one
    before gave nothing. ``optional``: platforms whose silence leaves a profile complete. ``outlets``: connectors that
    are asked for other platforms' data only. ``weights``: of platforms that disagree, the heavier is believed; each has
    1 where nothing is said. ``fresh_days``: by platform and data set, how old its data may be."""

    ways: Mapping[str, tuple[Way, ...]] = field(default_factory=lambda: MappingProxyType({}))
    optional: frozenset[str] = frozenset()
    outlets: frozenset[str] = frozenset()
    weights: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    fresh_days: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))


EVERY = Strategy()
"""Every platform of the consent is asked, side by side."""


@dataclass(frozen=True, slots=True)
class Item:
    """One fetch: these fields of this data set from this platform."""

    platform: str
    dataset: str
    fields: frozenset[str]
    withheld: frozenset[str] = frozenset()
    """Fields that the platform has and the consent does not cover: what they say is unknown, never «no»."""
    outlet: str | None = None
    fallback: bool = False
    """Asked only where the item before it, of the same data set, gave nothing."""
    optional: bool = False
    weight: int = 1
    fresh_days: int | None = None
    """How old the data may be, where the operator said it; else gateway.profile.policy decides."""

    @property
    def connector(self) -> str:
        return self.outlet or self.platform

    @property
    def source(self) -> str:
        """``platform/dataset``, as references in the profile name it."""
        return f"{self.platform}/{self.dataset}"


@dataclass(frozen=True, slots=True)
class Plan:
    """``items`` in catalogue order, then by platform or in the operator's order. ``asked`` also holds what could not be
    planned; ``absent`` gives the state and reason of every data set of the catalogue that has no item."""

    items: tuple[Item, ...]
    asked: frozenset[str]
    absent: Mapping[str, tuple[State, str | None]]
    first: YearMonth
    last: YearMonth


def plan(
    consent: Consent,
    datasets: Sequence[str] | None,
    offers: Mapping[str, Mapping[str, frozenset[str]]],
    first: YearMonth,
    last: YearMonth,
    strategy: Strategy = EVERY,
    ailing: frozenset[str] = frozenset(),
) -> Plan:
    """Plan ``datasets`` (None: everything the consent covers) for the months ``first`` to ``last``.

    ``offers`` gives per connector the data sets and fields it can ask for. Several platforms may give one data set;
    each is asked, unless ``strategy`` puts them in order: then a connector that is ``ailing`` comes after the others.
    An outlet is asked only where a scope of the platform whose data it passes on names it in ``via``. Raises
    InvalidRequest for a data set outside the catalogue.
    """
    if datasets is not None and any(name not in CATALOGUE for name in datasets):
        raise InvalidRequest(at="datasets", what="unknown data set")
    covered: dict[str, dict[Way, set[str]]] = {}
    for scope in consent.scopes:
        for outlet in (None, *scope.via):
            covered.setdefault(scope.dataset, {}).setdefault(Way(scope.platform, outlet), set()).update(scope.fields)
    wanted = set(covered if datasets is None else datasets) & CATALOGUE.keys()
    items: list[Item] = []
    absent: dict[str, tuple[State, str | None]] = {}
    for name in CATALOGUE:
        if name not in wanted:
            absent[name] = (State.NOT_REQUESTED, None)
            continue
        if name not in covered:
            absent[name] = (State.OUT_OF_SCOPE, "consent_out_of_scope")
            continue
        found = list(_items(name, covered[name], offers, strategy, ailing))
        items += found
        if not found:
            agreed = any(way in covered[name] for way in strategy.ways.get(name, tuple(covered[name])))
            absent[name] = (
                (State.UNAVAILABLE, "no_connector") if agreed else (State.OUT_OF_SCOPE, "consent_out_of_scope")
            )
    return Plan(tuple(items), frozenset(wanted), absent, first, last)


def within(planned: Plan, granted: Iterable[PermitItem]) -> Plan:
    """What of ``planned`` was granted to the enterprise for just that way; what is left without a way is out of
    scope."""
    allowed = {(i.platform, i.dataset, i.outlet): i.fields for i in granted if i.person is None}
    items: list[Item] = []
    for item in planned.items:
        fields = item.fields & allowed.get((item.platform, item.dataset, item.outlet), frozenset())
        if fields:
            # What the first of a chain leaves is asked first.
            behind = item.fallback and any(one.dataset == item.dataset for one in items)
            items.append(replace(item, fields=fields, withheld=item.withheld | item.fields - fields, fallback=behind))
    lost = {item.dataset for item in planned.items} - {item.dataset for item in items}
    outside = dict.fromkeys(lost, (State.OUT_OF_SCOPE, "consent_out_of_scope"))
    return replace(planned, items=tuple(items), absent={**planned.absent, **outside})


def _items(
    name: str,
    covered: Mapping[Way, set[str]],
    offers: Mapping[str, Mapping[str, frozenset[str]]],
    strategy: Strategy,
    ailing: frozenset[str],
) -> Iterator[Item]:
    ordered = strategy.ways.get(name)
    if ordered is not None:
        ordered = tuple(sorted(ordered, key=lambda way: (way.outlet or way.platform) in ailing))
    direct = sorted(way for way in covered if way.outlet is None and way.platform not in strategy.outlets)
    first = True
    for way in direct if ordered is None else ordered:
        offered = offers.get(way.outlet or way.platform, {}).get(name, frozenset())
        consented = covered.get(way, set())
        if fields := offered & consented:
            yield Item(
                way.platform,
                name,
                fields,
                offered - consented,
                way.outlet,
                fallback=ordered is not None and not first,
                optional=way.platform in strategy.optional,
                weight=strategy.weights.get(way.platform, 1),
                fresh_days=strategy.fresh_days.get((way.platform, name)),
            )
            first = False
