"""The signed record of what an enterprise did on its page: a compact JWS (RFC 7515), Ed25519, canonical JSON inside.

``xinqiao-consent-act+json`` holds the exact text that was shown with its SHA-256, every tick whether set or not, the
time, channel and device, who was to sign and how that was checked, and what was agreed. Its own SHA-256 is the
consent's ``evidence.sha256``.
"""

from collections.abc import Mapping

from consent.log.jws import b64url
from gateway.profile.sign import ProfileSigner
from schemas.base import Json
from schemas.canonical import canonical

TYPE = "xinqiao-consent-act+json"


def sign_act(signer: ProfileSigner, act: Mapping[str, Json]) -> bytes:
    """Signed under a key of ``/.well-known/jwks.json``."""
    header = {"alg": "EdDSA", "kid": signer.kid, "typ": TYPE}
    return signer.signed(b".".join(b64url(canonical(part)) for part in (header, act)))
