"""The profile: what the lender gets, and its published JSON Schema (``xinqiao schema profile``).

On the way of a request the profile is assembled as plain dicts of exactly this shape; tests hold them against
these models. The JWS covers everything but ``log``.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Count, Day, Model, Month, Name, Sha256Hex, ShortText, Text, Time, Uscc

SCHEMA_VERSION = "1.0"


class State(StrEnum):
    """Never collapse two of these: «not asked» is not «clean»."""

    PRESENT = "present"
    PARTIAL = "partial"  # a page or months are missing
    EMPTY_CONFIRMED = "empty_confirmed"  # the platform said that it holds no record
    STALE = "stale"  # values given, older than asked
    PENDING = "pending"
    UNAVAILABLE = "unavailable"
    DENIED = "denied"  # the platform refused us
    OUT_OF_SCOPE = "out_of_scope"  # asked, but the consent does not cover it
    NOT_REQUESTED = "not_requested"


class Outcome(StrEnum):
    CONSISTENT = "consistent"
    CONFLICT = "conflict"
    NOT_COMPARABLE = "not_comparable"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    SERIOUS = "serious"


class Assurance(StrEnum):
    """How sure we are that the enterprise consented."""

    LENDER_ASSERTED = "lender_asserted"
    SIGNED = "signed"
    GATEWAY_CAPTURED = "gateway_captured"


Reference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z_]+(#[0-9]+)?$")]
"""``platform/dataset`` names an entry of ``sources``; ``platform/dataset#3`` its fourth record; ``declared/…``
is what the lender passed on as the enterprise's own declaration, ``policy/…`` a limit of ours, and ``none/…`` stands
where no source gave the value."""


class Both(Model):
    zh: Text
    en: Text


class Subject(Model):
    uscc: Uscc
    name: ShortText


Claimed = Annotated[
    str,
    StringConstraints(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?$"),
    Field(json_schema_extra={"unit": "元"}),
]
"""An amount that somebody owes or stands for: not negative."""


class Declared(Model):
    """What the enterprise declared in its loan application, as the lender passes it on. Absent = not declared."""

    mortgage_amount: Claimed | None = None
    judicial_cases: Count | None = None
    guarantee_amount: Claimed | None = None


class Value(Model):
    """One normalised value with the records it came from."""

    value: str | int | bool
    unit: ShortText | None = None
    period: ShortText | None = None
    sources: list[Reference]


class Section(Model):
    state: State
    flags: list[Name]
    reason: ShortText | None
    as_of: Day | None
    values: dict[str, Value]
    records: list[dict[Name, str | int | bool | list[str]]]
    """Rows of schemas.records; with several sources those of each in the order of ``sources``."""


class FindingValue(Model):
    source: Reference
    value: str | int | bool | None
    unit: ShortText | None = None
    period: ShortText | None = None


class Taken(Model):
    source: Reference
    why: Both


class Finding(Model):
    rule: Name
    version: ShortText
    outcome: Outcome
    severity: Severity
    sections: list[Name]
    tolerance: ShortText | None
    values: list[FindingValue]
    taken: Taken | None
    message: Both


class Indicator(Model):
    name: Name
    version: ShortText
    value: str | int | bool | None
    unit: ShortText | None
    period: ShortText | None
    sources: list[Reference]
    message: Both


class Step(Model):
    """Attempts that ended alike, one after the other. ``outcome``: answered, no_record, pending, or an error code."""

    at: Time
    what: Name  # ask; reuse, share (no attempt); of a ticket: submit, poll; of a callback: submit, callback
    outcome: Name
    times: Count


class Origin(Model):
    """An answer that no call under this profile's permit brought. ``reused``: that of an earlier profile of the same
    lender, under the same version of the consent, for the same purpose, months and fields; ``shared``: that of a call
    for just this which was under way."""

    how: Literal["reused", "shared"]
    permit: ShortText
    """Of the call; of an earlier profile, its own, under which the platform was called or a call was shared."""
    entry: Count | None
    """The log entry of that profile, and how it commits to the same reply; None where the call was shared."""
    commitment: Sha256Hex | None


class Source(Model):
    platform: Name
    dataset: Name
    via: Name | None
    """The outlet that passed it on; None where the platform itself was asked."""
    state: State
    reason: ShortText | None
    connector_version: ShortText
    assurance: ShortText  # of the connector's field map: published-spec or assumed
    fetched_at: Time | None
    as_of: Day | None
    next_attempt_at: Time | None
    """When a pending source is asked again, or when it makes sense to ask for one that is not available; None where
    that is not known."""
    latency_ms: Count
    attempts: Count
    timeline: list[Step]
    """What was tried, in order, also for the revisions before this one; at most 50 steps."""
    records: Count
    repairs: list[ShortText]
    commitment: Sha256Hex | None
    """Commitment to the digest of the raw reply and its records together; None where no reply was kept."""
    origin: Origin | None
    """None where the platform was asked under this profile's permit, or did not answer."""


class Completeness(Model):
    """``asked`` data sets, how many of them were ``answered`` (by every source: present, stale,
    empty_confirmed), and the rest by name."""

    asked: Count
    answered: Count
    complete: bool
    missing: dict[Name, ShortText]


class Period(Model):
    """The look-back window that was asked of the platforms; both months are inside it."""

    first: Month
    last: Month


class Profile(Model):
    id: ShortText
    revision: Count
    schema_version: ShortText
    subject: Subject
    consent_id: ShortText
    consent_assurance: Assurance
    purpose: Name
    period: Period
    declared: Declared | None
    requested_at: Time
    issued_at: Time
    completeness: Completeness
    sections: dict[Name, Section]
    findings: list[Finding]
    indicators: list[Indicator]
    sources: list[Source]
