"""What a lender asks an enterprise to agree to, and the consent that comes of it."""

import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from schemas.base import Json, Model, Name, ShortText, utc_text
from schemas.consent import ConsentGrant, Enterprise, Intermediary, Scope
from schemas.errors import InvalidRequest
from schemas.profile import Both
from schemas.records import CATALOGUE

Language = Literal["zh", "en"]
CHANNEL = "web_page"
# Control, format (bidirectional overrides, zero-width marks), surrogate and private characters, and line separators:
# with them a text can look like another one.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class AskedSigner(Model):
    """Who is expected to agree. ``person_ref`` is the lender's own reference, never an id number."""

    role: Annotated[Name, Field(description="legal_representative, actual_controller, authorised_agent")]
    person_ref: ShortText


class ConsentAsk(Model):
    """Body of ``POST /v1/consent-requests``. Validity starts when the enterprise agrees."""

    subject: Enterprise
    signer: AskedSigner
    purpose: Name
    purpose_text: Both
    """The purpose in words that the enterprise reads."""
    application: ShortText
    recipients: list[ShortText] = Field(default_factory=list)
    intermediaries: list[Intermediary] = Field(default_factory=list)
    """Outlets that pass the data on, by the names that the scopes' ``via`` gives."""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=200)]
    lookback_months: Annotated[int, Field(ge=1, le=120)]
    valid_days: Annotated[int, Field(ge=1, le=3660)]
    max_uses: Annotated[int, Field(ge=1)] | None = None
    retention_days: Annotated[int, Field(ge=1, le=36500)]
    disposal: Both
    """What becomes of the results then."""
    language: Language = "zh"
    """Which the page opens in; the enterprise may change it."""
    link_hours: Annotated[int, Field(ge=1, le=720)] = 72
    """How long the link can be answered."""

    @property
    def sensitive(self) -> dict[str, list[Scope]]:
        """The scopes that hold sensitive fields (PIPL 29), by data set in the order of the catalogue."""
        found = {name: [s for s in self.scopes if s.dataset == name and sensitive_of(s)] for name in CATALOGUE}
        return {name: scopes for name, scopes in found.items() if scopes}


def words(both: Both, language: Language) -> str:
    return both.zh if language == "zh" else both.en


def sensitive_of(scope: Scope) -> frozenset[str]:
    return CATALOGUE[scope.dataset].sensitive & set(scope.fields)


def check_ask(ask: ConsentAsk, offers: Mapping[str, Mapping[str, frozenset[str]]]) -> None:
    """Raise InvalidRequest for a platform that nobody can name here, or text with characters that are not seen."""
    for n, scope in enumerate(ask.scopes):
        if scope.dataset not in offers.get(scope.platform, {}):
            raise InvalidRequest(at=f"scopes.{n}", mend="a platform and data set of GET /v1/platforms")
    for place, text in _texts(ask.model_dump(mode="json")):
        if any(unicodedata.category(c) in _UNSEEN for c in text):
            raise InvalidRequest(at=place, mend="only characters that can be seen")


def _texts(node: Json, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, f"{place}.{key}".lstrip("."))
    elif isinstance(node, list):
        for n, value in enumerate(node):
            yield from _texts(value, f"{place}.{n}")


def agreed_scopes(ask: ConsentAsk, separate: Collection[str]) -> list[Scope]:
    """What is left of the scopes when sensitive fields of data sets outside ``separate`` are taken out."""
    left = []
    for scope in ask.scopes:
        dropped = frozenset() if scope.dataset in separate else sensitive_of(scope)
        if fields := [name for name in scope.fields if name not in dropped]:
            left.append(scope.model_copy(update={"fields": fields}))
    return left


def grant_of(
    ask: ConsentAsk,
    grantee: str,
    *,
    language: Language,
    separate: Collection[str],
    identity_check: str,
    text_version: str,
    text_sha256: str,
    revocation_effect: str,
    device: str,
    act_sha256: str,
    now: datetime,
) -> ConsentGrant:
    """The consent that the act of agreeing at ``now`` makes. Raises pydantic.ValidationError where no scope is left."""
    values: dict[str, Any] = {
        "subject": ask.subject.model_dump(),
        "signers": [{**ask.signer.model_dump(), "identity_check": identity_check}],
        "grantee": grantee,
        "recipients": ask.recipients,
        "intermediaries": [one.model_dump() for one in ask.intermediaries],
        "purpose": ask.purpose,
        "application": ask.application,
        "text_version": text_version,
        "text_sha256": text_sha256,
        "scopes": [s.model_dump() for s in agreed_scopes(ask, separate)],
        "lookback_months": ask.lookback_months,
        "valid_from": utc_text(now),
        "valid_to": utc_text(now + timedelta(days=ask.valid_days)),
        "max_uses": ask.max_uses,
        "retention_days": ask.retention_days,
        "disposal": words(ask.disposal, language),
        "revocation_effect": revocation_effect,
        "channel": CHANNEL,
        "given_at": utc_text(now),
        "device": device,
        "evidence": {"sha256": act_sha256, "media_type": "application/jose"},
        "separate_consents": sorted(separate),
        "assurance": "gateway_captured",
    }
    return ConsentGrant.model_validate_json(orjson.dumps(values))


def trial_grant(ask: ConsentAsk, grantee: str, now: datetime) -> ConsentGrant:
    """The consent as it would be with every tick set, to find out before the enterprise does whether it could hold."""
    digest = hashlib.sha256(b"").hexdigest()
    return grant_of(
        ask,
        grantee,
        language=ask.language,
        separate=ask.sensitive,
        identity_check="none",
        text_version="none",
        text_sha256=digest,
        revocation_effect="none",
        device="none",
        act_sha256=digest,
        now=now,
    )
