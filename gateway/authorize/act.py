"""The signed record of what an enterprise did on its page: a compact JWS (RFC 7515), Ed25519, canonical JSON inside.

``xinqiao-consent-act+json`` holds the exact text that was shown with its SHA-256, every tick whether set or not, the
time, channel and device, who was to sign and how that was checked, and what was agreed. Its own SHA-256 is the
consent's ``evidence.sha256``.
"""

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.base import Json
from schemas.canonical import canonical

TYPE = "xinqiao-consent-act+json"


def sign_act(key: Ed25519PrivateKey, kid: str, act: Mapping[str, Json]) -> bytes:
    """Signed under a key of ``/.well-known/jwks.json``."""
    header = {"alg": "EdDSA", "kid": kid, "typ": TYPE}
    signed = b".".join(base64.urlsafe_b64encode(canonical(part)).rstrip(b"=") for part in (header, act))
    return signed + b"." + base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")
