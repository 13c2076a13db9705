"""The receipt of a consent: what was agreed and where it stands, signed, for the parties to keep.

The fields follow the structure of ISO/IEC TS 27560 (consent record information): the record, its parties, what is
processed and why, and the events of its life. A compact JWS (RFC 7515), Ed25519, canonical JSON inside, under a key of
``/.well-known/jwks.json``; ``typ`` tells it from a profile and from the act on our page.
"""

import base64
from collections.abc import Sequence
from typing import Any

from consent.evidence import Evidence
from consent.log.jws import ALGORITHM, b64url
from gateway.services import Services
from schemas.base import Json, utc_text
from schemas.canonical import canonical
from schemas.consent import Consent, Scope
from schemas.records import CATALOGUE

TYPE = "xinqiao-consent-receipt+json"


def _categories(scopes: Sequence[Scope], separate: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            **scope.model_dump(mode="json"),
            "sensitive": sorted(CATALOGUE[scope.dataset].sensitive & set(scope.fields)),
            "separate_consent": scope.dataset in separate,
        }
        for scope in scopes
    ]


async def _log(evidence: Evidence, consent_id: str) -> dict[str, Json]:
    """Where the newest change of the consent stands in the log."""
    index = await evidence.status_index(consent_id)
    place = await evidence.place(index)
    return {"index": index, "checkpoint": place.checkpoint, "proof": [*place.proof]}


async def receipt(services: Services, consent: Consent) -> bytes:
    """The signed receipt of a consent as it stands now."""
    evidence, lenders = services.evidence, services.settings.lenders
    held: dict[str, Any] = consent.model_dump(mode="json")
    known = lenders.get(consent.grantee)
    events = [change.model_dump(mode="json") for change in await evidence.consent_history(consent.id)]
    content = {
        "v": 1,
        "record": {
            "id": consent.id,
            "version": consent.version,
            "amends": consent.amends,
            "registered_at": consent.registered_at,
            "receipt_at": utc_text(services.now()),
            "assurance": held["assurance"],
            "evidence": held["evidence"],
        },
        "parties": {
            "subject": held["subject"],
            "signers": held["signers"],
            "signers_required": consent.signers_required,
            "grantee": {"id": consent.grantee, "name": known.name if known else None},
            "recipients": consent.recipients,
            "intermediaries": held["intermediaries"],
            "persons": [{"role": p.role, "subject": p.subject} for p in consent.persons],
        },
        "processing": {
            "lawful_basis": "consent",
            "purpose": consent.purpose,
            "application": consent.application,
            "text": {
                "version": consent.text_version,
                "sha256": consent.text_sha256,
                "registered": consent.text_registered,
            },
            "data": _categories(consent.scopes, consent.separate_consents),
            "persons_data": {p.subject: _categories(p.scopes, p.separate_consents) for p in consent.persons},
            "lookback_months": consent.lookback_months,
            "max_uses": consent.max_uses,
            "frequency": held["frequency"],
            "retention_days": consent.retention_days,
            "disposal": consent.disposal,
            "revocation_effect": consent.revocation_effect,
        },
        "times": {
            "given_at": consent.given_at,
            "valid_from": consent.valid_from,
            "valid_to": consent.valid_to,
            "channel": consent.channel,
            "device": consent.device,
        },
        "status": {"state": consent.state.value, "uses": consent.uses, "events": events},
        "log": await _log(evidence, consent.id),
    }
    signer = services.signer
    header = {"alg": ALGORITHM, "kid": signer.kid, "typ": TYPE}
    return signer.signed(b64url(canonical(header)) + b"." + b64url(canonical(content)))


def opened(token: bytes) -> bytes:
    """The content of a receipt that was made here just now."""
    part = token.split(b".")[1]
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
