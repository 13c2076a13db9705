"""Whether a consent was signed by its signers, under keys that the gateway's operator trusts for that enterprise."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from consent.log.jws import JwsError
from consent.log.signatures import signed_bytes, verify_signature
from schemas.consent import ConsentGrant
from schemas.errors import ConsentSignatureInvalid

Trusted = Mapping[str, Collection[str]]
"""By unified social credit code: the RFC 7638 thumbprints of the keys that sign for it."""


@dataclass(frozen=True, slots=True)
class Proven:
    """Made by ``prove``: the signers signed exactly ``content``."""

    content: bytes


def content_of(grant: ConsentGrant) -> bytes:
    """What the signers of a grant sign (电子签名法 13)."""
    return signed_bytes(grant.model_dump(mode="json"))


def prove(grant: ConsentGrant, trusted: Trusted) -> Proven:
    """Raises ConsentSignatureInvalid with the place of the first signature that does not hold, is of nobody who signs,
    or of a key that is not trusted for the enterprise; each signer has a key of its own, and there are enough."""
    content = content_of(grant)
    named = {signer.person_ref for signer in grant.signers}
    keys = trusted.get(grant.subject.uscc, ())
    seen: set[str] = set()
    for n, one in enumerate(grant.signatures):
        try:
            kid = verify_signature(one.jws, one.jwk.model_dump(exclude_none=True), content)
        except JwsError:
            raise ConsentSignatureInvalid(at=f"signatures[{n}]") from None
        if kid not in keys or kid in seen or one.person_ref not in named:
            raise ConsentSignatureInvalid(at=f"signatures[{n}]")
        seen.add(kid)
        named.remove(one.person_ref)
    if len(seen) < grant.signers_required:
        raise ConsentSignatureInvalid(at="signatures")
    return Proven(content)
