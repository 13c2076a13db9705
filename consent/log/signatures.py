"""Signatures of an enterprise's signers over their consent: detached JWS (RFC 7515, appendix F), Ed25519 or ES256.

What is signed is the canonical JSON (RFC 8785) of the consent as it is kept, without the signatures themselves, the
parts of persons and what the gateway adds. The header holds ``alg``, ``typ`` and ``kid`` and nothing else; ``kid`` is
the RFC 7638 thumbprint of the public key that stands beside the signature.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from consent.log.jws import JwsError, b64url, canonical_json, unb64url

TYPE = "xinqiao-consent+json"
_KEYS = {"EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519"), "ES256": ("EC", "P-256")}
_NOT_SIGNED = ("signatures", "persons", "text_registered", "amends")


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    """What the signers sign of a consent (JSON with every member, defaults too)."""
    return canonical_json({name: value for name, value in document.items() if name not in _NOT_SIGNED})


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638. Raises KeyError for a key of another type than Ed25519 and P-256."""
    names = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y")}[jwk["kty"]]
    return b64url(sha256(canonical_json({name: jwk[name] for name in names})).digest()).decode()


def verify_signature(jws: str, jwk: Mapping[str, Any], content: bytes) -> str:
    """The thumbprint of ``jwk``, which made this detached JWS over ``content``. Raises JwsError for anything else."""
    try:
        head, nothing, signature = jws.split(".")
        pairs = json.loads(unb64url(head), object_pairs_hook=list)
        header = dict(pairs)
        # Sorted, so that a member named twice is one too many.
        if nothing or sorted(name for name, _ in pairs) != ["alg", "kid", "typ"] or header["typ"] != TYPE:
            raise ValueError
        kid = thumbprint(jwk)
        if _KEYS[header["alg"]] != (jwk["kty"], jwk["crv"]) or header["kid"] != kid:
            raise ValueError
        _verify(jwk, unb64url(signature), head.encode() + b"." + b64url(content))
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise JwsError from None
    return kid


def _verify(jwk: Mapping[str, Any], signature: bytes, signed: bytes) -> None:
    if jwk["kty"] == "OKP":
        Ed25519PublicKey.from_public_bytes(unb64url(jwk["x"])).verify(signature, signed)
        return
    if len(signature) != 64:
        raise ValueError
    x, y, r, s = (
        int.from_bytes(part) for part in (unb64url(jwk["x"]), unb64url(jwk["y"]), signature[:32], signature[32:])
    )
    public = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))


def signers_shown(document: Mapping[str, Any]) -> bool:
    """Whether as many signers as the consent requires signed it, each with a key of its own."""
    content = signed_bytes(document)
    named = {signer["person_ref"] for signer in document["signers"]}
    shown: dict[str, str] = {}
    try:
        for one in document["signatures"]:
            shown[verify_signature(one["jws"], one["jwk"], content)] = one["person_ref"]
    except JwsError:
        return False
    return len(named.intersection(shown.values())) >= int(document["signers_required"])
