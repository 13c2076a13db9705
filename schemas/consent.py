"""The consent record (docs/consent.md; PIPL 14 to 17, 23, 29; 征信业管理条例 14, 18, 20; 电子签名法 13)."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

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

    role: Annotated[Name, Field(description="legal_representative, director, actual_controller, authorised_agent")]
    person_ref: ShortText
    identity_check: Name
    power_of_attorney: Sha256Hex | None = None


class Intermediary(Model):
    """An outlet that passes data on, as a scope's ``via`` names it, with the name that people read (PIPL 23)."""

    id: Name
    name: ShortText


class Scope(Model):
    """One (platform, data set, fields). Never «all»: an empty list of fields covers nothing."""

    platform: Name
    dataset: Name
    fields: Annotated[list[Name], Field(min_length=1)]
    via: list[Name] = Field(default_factory=list)
    """Outlets in between that pass the data on; each is one of the consent's ``intermediaries``."""


class Frequency(Model):
    """At most ``uses`` permits in any ``days`` days."""

    uses: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=1, le=3660)]


class Evidence(Model):
    """The signed document or the recorded act, kept apart; here only what identifies it."""

    sha256: Sha256Hex
    media_type: ShortText


class PublicKey(Model):
    """A public JWK (RFC 7517): Ed25519 or P-256."""

    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: ShortText
    y: ShortText | None = None


class Signature(Model):
    """A signer's detached JWS over the consent (docs/consent.md says what is signed), and its key."""

    person_ref: ShortText
    jws: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+$", max_length=2000)]
    jwk: PublicKey


class PersonTerms(Model):
    """What a person's own part allows, as it is kept in clear: ``subject`` is the person's pseudonym, ``part`` and
    ``document`` keyed digests of the whole part, which is sealed under the person's own key, and of its evidence."""

    role: Name
    subject: ShortText
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=200)]
    separate_consents: list[Name] = Field(default_factory=list)
    part: ShortText
    document: ShortText


class PersonPart(Model):
    """A natural person's own part, agreed apart from the enterprise's and in a document of its own (PIPL 13, 23, 29;
    征信业管理条例 14, 18: written). ``ref`` is the lender's own reference, never an id number; ``signer`` is the
    person, or whoever holds its power of attorney."""

    role: Annotated[Name, Field(description="legal_representative, actual_controller")]
    ref: ShortText
    signer: Signer
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=200)]
    separate_consents: list[Name] = Field(default_factory=list)
    text_version: ShortText
    text_sha256: Sha256Hex
    given_at: Time
    evidence: Evidence


class ConsentTerms(Model):
    """The enterprise's part, and what holds for every part."""

    subject: Enterprise
    signers: Annotated[list[Signer], Field(min_length=1, max_length=20)]
    """Everyone who signed for the enterprise."""
    signers_required: Annotated[int, Field(ge=1, le=20)] = 1
    """How many have to, by its articles: two directors, for example."""
    grantee: Name
    recipients: list[ShortText] = Field(default_factory=list)
    """Everyone else who is given the results, by name."""
    intermediaries: list[Intermediary] = Field(default_factory=list)
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
    revocation_effect: Text
    """What the signers were told that a withdrawal brings about (PIPL 15, 47)."""
    channel: Name
    given_at: Time
    device: ShortText | None = None
    evidence: Evidence
    separate_consents: list[Name] = Field(default_factory=list)
    """Sensitive classes agreed to separately (PIPL 29): data-set names."""
    assurance: Assurance = Assurance.LENDER_ASSERTED
    signatures: Annotated[list[Signature], Field(max_length=20)] = Field(default_factory=list)


class ConsentGrant(ConsentTerms):
    """What ``consent grant`` and ``POST /v1/consents`` take."""

    persons: Annotated[list[PersonPart], Field(max_length=20)] = Field(default_factory=list)


class ConsentDocument(ConsentTerms):
    """A grant as it is kept: of each person's part only the terms."""

    persons: list[PersonTerms] = Field(default_factory=list)
    text_registered: bool = False
    """Whether ``text_version`` named a registered text when the consent was."""
    amends: list[ShortText] = Field(default_factory=list)
    """The consents whose place this one took, newest first."""


class ConsentText(Model):
    """A registered authorisation text. ``name`` is ``ID-VERSION-LANGUAGE``, the ``text_version`` of a consent."""

    name: ShortText
    language: Literal["zh", "en"]
    sha256: Sha256Hex
    registered_at: Time


class StatusChange(Model):
    consent_id: ShortText
    state: ConsentState
    at: Time
    actor: Name
    reason: ShortText | None


class Consent(ConsentDocument):
    """A stored consent: the document, its identity and where it stands now."""

    id: ShortText
    version: Annotated[int, Field(ge=1)]
    state: ConsentState
    uses: Count
    registered_at: Time
