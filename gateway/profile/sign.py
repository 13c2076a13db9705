"""The signed profile: a compact JWS (RFC 7515) over canonical JSON, Ed25519 (RFC 8037)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.jws import ALGORITHM, TYPE, JwsError, b64url, open_jws, public_jwk
from schemas.canonical import canonical
from schemas.errors import InvalidValue


class Signed(NamedTuple):
    """The compact JWS, and its payload as it was signed: the canonical JSON of the profile."""

    jws: bytes
    payload: bytes


class ProfileSigner:
    """One signing key. Its ``kid`` is the RFC 7638 thumbprint of the public key.

    Signs with `cryptography` and a header made once: joserfc takes several times as long for the same bytes.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.jwk = public_jwk(b64url(key.public_key().public_bytes_raw()).decode())
        self.kid = self.jwk["kid"]
        self._key = key
        self._head = b64url(canonical({"alg": ALGORITHM, "kid": self.kid, "typ": TYPE})) + b"."

    def sign(self, profile: Mapping[str, Any]) -> Signed:
        """Sign the profile without ``log``. Raises InvalidValue for what is not canonical JSON."""
        payload = canonical(profile)
        signed = self._head + b64url(payload)
        return Signed(signed + b"." + b64url(self._key.sign(signed)), payload)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        return {"keys": [self.jwk]}


def verify_profile(token: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that a key of ``jwks`` signed (consent.log.jws.open_jws). Raises InvalidValue for anything else."""
    try:
        return open_jws(token, jwks)
    except JwsError:
        raise InvalidValue(what="signed_profile") from None
