"""May this be asked? A pure decision over a consent, what is asked, and the time (docs/consent.md).

The checks stand in one fixed order and the first that fails is the answer: first whether the caller is a party at all,
then what the consent is (state, validity), then whom, what for and how much it covers, and last the counted limits, so
that nobody learns of a limit of something they may not have. The law behind it: PIPL 14, 23,
29; 征信业管理条例 18, 20.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from schemas.consent import ConsentDocument, ConsentGrant, ConsentState, PersonPart, Scope
from schemas.errors import InvalidValue
from schemas.identifiers import NameMatch, compare_names, is_uscc
from schemas.records import CATALOGUE

SHANGHAI = timezone(timedelta(hours=8))
"""Months are counted where the platforms count them; China has had no summer time since 1991."""

YearMonth = tuple[int, int]

CACHED = 1024
"""How many different agreements, and answers about them, are kept at hand."""


class PermitItem(NamedTuple):
    """One data set of one platform, with the canonical fields that are asked or granted."""

    platform: str
    dataset: str
    fields: frozenset[str]
    person: str | None = None
    """Pseudonym of the person it is about, whose part of the consent is used; None is the enterprise and its part."""
    outlet: str | None = None
    """Who passes the data on, as a scope's ``via`` names it; None is the platform itself."""


class Ask(NamedTuple):
    """What a lender wants to do. ``first`` and ``last`` are months (year, month), both inside the period; ``persons``
    are the pseudonyms of those who are asked about beside the enterprise."""

    lender: str
    uscc: str
    name: str
    purpose: str
    items: tuple[PermitItem, ...]
    first: YearMonth
    last: YearMonth
    persons: frozenset[str] = frozenset()


class Part(NamedTuple):
    """What the enterprise, or one person, agreed to by its own act; no part lends to another.

    ``scopes``: (platform, data set, way, fields); the way is None for the platform itself and else the outlet. What
    was agreed for one way is not lent to another.
    """

    person: str | None
    scopes: frozenset[tuple[str, str, str | None, frozenset[str]]]
    separate: frozenset[str]

    @classmethod
    def of(cls, person: str | None, agreed: Sequence[Scope], separate: Sequence[str]) -> "Part":
        ways = ((s.platform, s.dataset, o, frozenset(s.fields)) for s in agreed for o in (None, *s.via))
        return cls(person, frozenset(ways), frozenset(separate))


class Parts:
    """What everybody agreed to. Those of equal content are one object (``parts_of``), which is what makes it cheap to
    look an answer up that was worked out before: enterprises of one product agree to the same."""

    def __init__(self, parts: Sequence[Part]) -> None:
        fields: dict[tuple[str | None, str, str, str | None], frozenset[str]] = {}
        for part in parts:
            for platform, dataset, outlet, named in part.scopes:
                place = part.person, platform, dataset, outlet
                fields[place] = fields.get(place, frozenset()) | named
        self.fields: Mapping[tuple[str | None, str, str, str | None], frozenset[str]] = MappingProxyType(fields)
        """By person (None: the enterprise), platform, data set and way."""
        self.separate = frozenset((part.person, dataset) for part in parts for dataset in part.separate)


@lru_cache(CACHED)
def parts_of(parts: tuple[Part, ...]) -> Parts:
    return Parts(parts)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a consent says, made once from its document."""

    grant: ConsentDocument
    valid_from: datetime
    valid_to: datetime
    parts: Parts

    @classmethod
    def of(cls, grant: ConsentDocument) -> "Terms":
        persons = (Part.of(p.subject, p.scopes, p.separate_consents) for p in grant.persons)
        return cls(
            grant,
            datetime.fromisoformat(grant.valid_from),
            datetime.fromisoformat(grant.valid_to),
            parts_of((Part.of(None, grant.scopes, grant.separate_consents), *persons)),
        )


class View(NamedTuple):
    """A consent as it stands when a decision is made. ``recent`` counts the permits of its frequency window."""

    terms: Terms
    state: ConsentState
    uses: int
    recent: int


class Granted(NamedTuple):
    """The items that are both asked and covered; never empty."""

    items: tuple[PermitItem, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """``code`` is one of schemas.errors.CONSENT_ERRORS; ``details`` are safe to answer with."""

    code: str
    details: Mapping[str, str | int]


_NO_DETAILS: Mapping[str, str | int] = MappingProxyType({})
_STATE_CODES = {
    ConsentState.REVOKED: "consent_revoked",
    ConsentState.SUPERSEDED: "consent_superseded",
    ConsentState.SUSPENDED: "consent_suspended",
    ConsentState.REQUESTED: "consent_pending",
}


def standing(terms: Terms, state: ConsentState, now: datetime) -> str | None:
    """The code of what stops this consent altogether at ``now``, or None: also asked before each call (a lease)."""
    if code := _STATE_CODES.get(state):
        return code
    if now < terms.valid_from:
        return "consent_not_yet_valid"
    if now >= terms.valid_to:
        return "consent_expired"
    return None


def shown_state(terms: Terms, state: ConsentState, uses: int, now: datetime) -> ConsentState:
    """The state that people see: an active consent may be expired or exhausted without anybody having acted."""
    if state is ConsentState.ACTIVE:
        if now >= terms.valid_to:
            return ConsentState.EXPIRED
        if terms.grant.max_uses is not None and uses >= terms.grant.max_uses:
            return ConsentState.EXHAUSTED
    return state


class Covered(NamedTuple):
    """``needs_separate``: the first data set with a sensitive field that was not agreed to separately."""

    items: tuple[PermitItem, ...]
    persons: frozenset[str | None]
    needs_separate: str | None


@lru_cache(CACHED)
def covered(parts: Parts, items: tuple[PermitItem, ...]) -> Covered:
    """What of ``items`` is agreed to, each by the part of whom it is about: fields that the part does not name for the
    item's way are dropped, and items left without any."""
    found = []
    for item in items:
        allowed = parts.fields.get((item.person, item.platform, item.dataset, item.outlet), frozenset())
        if fields := item.fields & allowed:
            found.append(item._replace(fields=fields))
    separate = (
        item.dataset
        for item in found
        if item.fields & CATALOGUE[item.dataset].sensitive and (item.person, item.dataset) not in parts.separate
    )
    return Covered(tuple(found), frozenset(item.person for item in found), next(separate, None))


def _months(month: YearMonth) -> int:
    return month[0] * 12 + month[1] - 1


def _scope(terms: Terms, ask: Ask, now: datetime) -> Granted | Refused:
    found = covered(terms.parts, ask.items)
    if not found.items:
        return Refused("consent_out_of_scope", {"at": "datasets"})
    if not ask.persons <= found.persons:
        return Refused("consent_out_of_scope", {"at": "subject.persons"})
    local = now.astimezone(SHANGHAI)
    earliest = _months((local.year, local.month)) - terms.grant.lookback_months + 1
    # Refused, not clipped: a profile over a shorter period than was asked would look complete.
    if _months(ask.first) < earliest or _months(ask.last) < _months(ask.first):
        return Refused("consent_out_of_scope", {"at": "period", "lookback_months": terms.grant.lookback_months})
    if found.needs_separate is not None:
        return Refused("consent_separate_required", {"dataset": found.needs_separate})
    return Granted(found.items)


def decide(view: View | None, ask: Ask, now: datetime, *, counted: bool = True) -> Granted | Refused:
    """Whether ``ask`` may be done at ``now``. ``counted=False`` is a use that has been counted before (a retry).

    Order of the codes: consent_missing (no such consent, or the caller is no party to it), consent_revoked,
    consent_superseded, consent_suspended, consent_pending, consent_not_yet_valid, consent_expired,
    consent_subject_mismatch, consent_purpose_mismatch, consent_out_of_scope, consent_separate_required,
    consent_exhausted, consent_frequency_exceeded.
    """
    if view is None or view.terms.grant.grantee != ask.lender:
        return Refused("consent_missing", _NO_DETAILS)
    terms, grant = view.terms, view.terms.grant
    if code := standing(terms, view.state, now):
        return Refused(code, _NO_DETAILS)
    same = ask.uscc == grant.subject.uscc and (
        ask.name == grant.subject.name or compare_names(ask.name, grant.subject.name) is NameMatch.SAME
    )
    if not same:
        return Refused("consent_subject_mismatch", _NO_DETAILS)
    if ask.purpose != grant.purpose:
        return Refused("consent_purpose_mismatch", _NO_DETAILS)
    scope = _scope(terms, ask, now)
    if counted and isinstance(scope, Granted):
        if grant.max_uses is not None and view.uses >= grant.max_uses:
            return Refused("consent_exhausted", {"max_uses": grant.max_uses})
        if grant.frequency is not None and view.recent >= grant.frequency.uses:
            return Refused("consent_frequency_exceeded", {"uses": grant.frequency.uses, "days": grant.frequency.days})
    return scope


def check_grant(grant: ConsentGrant) -> None:
    """Raise InvalidValue where a grant could never be honoured as written; ``at`` is the place."""
    if not is_uscc(grant.subject.uscc):
        raise InvalidValue(what="uscc check character", at="subject.uscc")
    if datetime.fromisoformat(grant.valid_from) >= datetime.fromisoformat(grant.valid_to):
        raise InvalidValue(what="valid_from before valid_to", at="valid_to")
    if len({signer.person_ref for signer in grant.signers}) < len(grant.signers):
        raise InvalidValue(what="one entry for each signer", at="signers")
    if len(grant.signers) < grant.signers_required:
        raise InvalidValue(what="as many signers as required", at="signers")
    named = {one.id for one in grant.intermediaries}
    if len(named) < len(grant.intermediaries):
        raise InvalidValue(what="one entry for each intermediary", at="intermediaries")
    _check_part(grant, named, "")
    _check_persons(grant, named)


def _check_part(part: ConsentGrant | PersonPart, intermediaries: set[str], at: str) -> None:
    for n, scope in enumerate(part.scopes):
        known = CATALOGUE.get(scope.dataset)
        if known is None:
            raise InvalidValue(what="data set", at=f"{at}scopes[{n}].dataset")
        if not set(scope.fields) <= set(known.fields):
            raise InvalidValue(what="fields of this data set", at=f"{at}scopes[{n}].fields")
        if not set(scope.via) <= intermediaries:
            raise InvalidValue(what="named intermediaries", at=f"{at}scopes[{n}].via")
    if not set(part.separate_consents) <= CATALOGUE.keys():
        raise InvalidValue(what="data set", at=f"{at}separate_consents")


def _check_persons(grant: ConsentGrant, intermediaries: set[str]) -> None:
    people: set[tuple[str, str]] = set()
    documents = {grant.evidence.sha256}
    for n, person in enumerate(grant.persons):
        at = f"persons[{n}]."
        if (person.role, person.ref) in people:
            raise InvalidValue(what="one part for each person", at=f"{at}ref")
        if person.evidence.sha256 in documents:
            # Separate and written: what covers two parts in one document was not agreed to separately.
            raise InvalidValue(what="a document of its own", at=f"{at}evidence")
        if person.signer.person_ref != person.ref and person.signer.power_of_attorney is None:
            raise InvalidValue(what="the person or a power of attorney", at=f"{at}signer")
        people.add((person.role, person.ref))
        documents.add(person.evidence.sha256)
        _check_part(person, intermediaries, at)
