"""The signed profile: a compact JWS (RFC 7515) over canonical JSON, Ed25519 (RFC 8037)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.jws import ALGORITHM, TYPE, JwsError, b64url, open_jws, public_jwk
from gateway.keys import Signing
from schemas.canonical import canonical
from schemas.errors import InvalidValue


class Signed(NamedTuple):
    """The compact JWS, and its payload as it was signed: the canonical JSON of the profile."""

    jws: bytes
    payload: bytes


class ProfileSigner:
    """One signing key, and the public keys (32 bytes) before it. Its ``kid`` is the RFC 7638 thumbprint of its own.

    Signs with `cryptography` and a header made once: joserfc takes several times as long for the same bytes.
    """

    def __init__(self, key: Ed25519PrivateKey, replaced: Sequence[bytes] = ()) -> None:
        self.jwk, *self._replaced = (
            public_jwk(b64url(one).decode()) for one in (key.public_key().public_bytes_raw(), *replaced)
        )
        self.kid = self.jwk["kid"]
        self._key = key
        self._head = b64url(canonical({"alg": ALGORITHM, "kid": self.kid, "typ": TYPE})) + b"."

    def sign(self, profile: Mapping[str, Any]) -> Signed:
        """Sign the profile without ``log``. Raises InvalidValue for what is not canonical JSON."""
        payload = canonical(profile)
        signed = self._head + b64url(payload)
        return Signed(self.signed(signed), payload)

    def signed(self, text: bytes) -> bytes:
        """Header and payload of a compact JWS with their signature; the header names ``kid``."""
        return text + b"." + b64url(self._key.sign(text))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Every key that a profile may be signed with, the one that signs now first."""
        return {"keys": [self.jwk, *self._replaced]}


class ProfileSigners:
    """The signer of the key that signs now, wherever ``keys`` has it from."""

    def __init__(self, keys: Callable[[], Signing]) -> None:
        self._keys = keys
        self._held: tuple[Signing, ProfileSigner] | None = None

    def current(self) -> ProfileSigner:
        now, held = self._keys(), self._held
        if held is None or held[0] is not now:
            held = self._held = now, ProfileSigner(now.key, [one.key for one in now.replaced])
        return held[1]


def verify_profile(token: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that a key of ``jwks`` signed (consent.log.jws.open_jws). Raises InvalidValue for anything else."""
    try:
        return open_jws(token, jwks)
    except JwsError:
        raise InvalidValue(what="signed_profile") from None
