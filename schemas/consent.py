"""The consent record (docs/consent.md; PIPL 14 to 17, 23, 29; 征信业管理条例 14, 18, 20; 电子签名法 13)."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Count, Model, Name, Sha256Hex, ShortText, Text, Time, Uscc
from schemas.profile import Assurance


class ConsentState(StrEnum):
    REQUESTED = "requested"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    SUPERSEDED = "superseded"


class Enterprise(Model):
    uscc: Uscc
    name: ShortText


class Signer(Model):
    """Who agreed. ``person_ref`` is the lender's own reference; names and id numbers stay in the kept document."""

    role: Annotated[Name, Field(description="legal_representative, actual_controller, authorised_agent")]
    person_ref: ShortText
    identity_check: Name
    power_of_attorney: Sha256Hex | None = None


class Scope(Model):
    """One (platform, data set, fields). Never «all»: an empty list of fields covers nothing."""

    platform: Name
    dataset: Name
    fields: Annotated[list[Name], Field(min_length=1)]
    via: list[Name] = Field(default_factory=list)
    """Outlets in between that pass the data on."""


class Frequency(Model):
    """At most ``uses`` permits in any ``days`` days."""

    uses: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=1, le=3660)]


class Evidence(Model):
    """The signed document or the recorded act, kept apart; here only what identifies it."""

    sha256: Sha256Hex
    media_type: ShortText
    signature: ShortText | None = None
    certificate: ShortText | None = None


class ConsentGrant(Model):
    """What ``consent grant`` and ``POST /v1/consents`` take."""

    subject: Enterprise
    signer: Signer
    grantee: Name
    recipients: list[ShortText] = Field(default_factory=list)
    purpose: Name
    application: ShortText
    """Product or application number the consent was given for."""
    text_version: ShortText
    text_sha256: Sha256Hex
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=200)]
    lookback_months: Annotated[int, Field(ge=1, le=120)]
    valid_from: Time
    valid_to: Time
    max_uses: Annotated[int, Field(ge=1)] | None = None
    frequency: Frequency | None = None
    retention_days: Annotated[int, Field(ge=1, le=36500)]
    disposal: Text
    channel: Name
    given_at: Time
    device: ShortText | None = None
    evidence: Evidence
    separate_consents: list[Name] = Field(default_factory=list)
    """Sensitive classes agreed to separately (PIPL 29): data-set names."""
    assurance: Assurance = Assurance.LENDER_ASSERTED


class StatusChange(Model):
    state: ConsentState
    at: Time
    actor: Name
    reason: ShortText | None


class Consent(ConsentGrant):
    """A stored consent: the grant, its identity and where it stands now."""

    id: ShortText
    version: Annotated[int, Field(ge=1)]
    state: ConsentState
    uses: Count
    registered_at: Time
