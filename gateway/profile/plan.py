"""Which data set is asked of which platform: a pure function that never leaves what the consent names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.consent import Consent
from schemas.errors import InvalidRequest
from schemas.profile import State
from schemas.records import CATALOGUE

YearMonth = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One fetch: these fields of this data set from this platform."""

    platform: str
    dataset: str
    fields: frozenset[str]
    withheld: frozenset[str] = frozenset()
    """Fields that the platform has and the consent does not cover: what they say is unknown, never «no»."""

    @property
    def source(self) -> str:
        """``platform/dataset``, as references in the profile name it."""
        return f"{self.platform}/{self.dataset}"


@dataclass(frozen=True, slots=True)
class Plan:
    """``items`` in catalogue order, then by platform. ``asked`` also holds what could not be planned;
    ``absent`` gives the state and reason of every data set of the catalogue that has no item."""

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
) -> Plan:
    """Plan ``datasets`` (None: everything the consent covers) for the months ``first`` to ``last``.

    ``offers`` gives per platform the data sets and fields its connector can ask for. Several platforms may
    give one data set; each is asked. Raises InvalidRequest for a data set outside the catalogue.
    """
    if datasets is not None and any(name not in CATALOGUE for name in datasets):
        raise InvalidRequest(at="datasets", what="unknown data set")
    covered: dict[str, dict[str, set[str]]] = {}
    for scope in consent.scopes:
        covered.setdefault(scope.dataset, {}).setdefault(scope.platform, set()).update(scope.fields)
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
        found = [
            Item(platform, name, fields, offered - consented)
            for platform, consented in sorted(covered[name].items())
            if (fields := (offered := offers.get(platform, {}).get(name, frozenset())) & consented)
        ]
        items += found
        if not found:
            absent[name] = (State.UNAVAILABLE, "no_connector")
    return Plan(tuple(items), frozenset(wanted), absent, first, last)
