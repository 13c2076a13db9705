"""The signed profile: a compact JWS (RFC 7515) over canonical JSON, Ed25519 (RFC 8037; algorithm name of RFC 9864)."""

import json
from binascii import b2a_base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from schemas.canonical import canonical
from schemas.errors import InvalidValue

ALGORITHM = "Ed25519"
TYPE = "xinqiao-profile+json"


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _b64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


class Signed(NamedTuple):
    """The compact JWS, and its payload as it was signed: the canonical JSON of the profile."""

    jws: bytes
    payload: bytes


class ProfileSigner:
    """One signing key. Its ``kid`` is the RFC 7638 thumbprint of the public key.

    Signs with `cryptography` and a header made once: joserfc takes several times as long for the same bytes.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        x = _b64(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
        public = {"crv": "Ed25519", "kty": "OKP", "x": x}
        self.kid = _b64(sha256(canonical(public)).digest()).decode()
        self.jwk: dict[str, str] = {**public, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}
        self._key = key
        self._head = _b64(canonical({"alg": ALGORITHM, "kid": self.kid, "typ": TYPE})) + b"."

    def sign(self, profile: Mapping[str, Any]) -> Signed:
        """Sign the profile without ``log``. Raises InvalidValue for what is not canonical JSON."""
        payload = canonical(profile)
        signed = self._head + _b64(payload)
        return Signed(signed + b"." + _b64(self._key.sign(signed)), payload)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        return {"keys": [self.jwk]}


def verify_profile(token: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that a key of ``jwks`` signed. Raises InvalidValue for anything else: another algorithm, type or
    key, a changed byte, a payload that is not the canonical JSON of an object."""
    try:
        keys = KeySet.import_key_set(dict(jwks))  # type: ignore[arg-type]
        opened = jws.deserialize_compact(token, keys, algorithms=[ALGORITHM])
        profile = json.loads(opened.payload)
    except (JoseError, ValueError, KeyError, TypeError):
        raise InvalidValue(what="signed_profile") from None
    if opened.protected.get("typ") != TYPE or not isinstance(profile, dict) or canonical(profile) != opened.payload:
        raise InvalidValue(what="signed_profile")
    return profile
