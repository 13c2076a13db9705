"""Signatures of outgoing messages, after Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), symmetric ``v1``.

What is signed is ``id.timestamp.body`` with HMAC-SHA256. While a secret is being changed both sign, and the receiver
takes whichever signature it can check.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_SIZE = 32


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_SIZE)


def secret_text(secret: bytes) -> str:
    """The form in which the lender gets it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(message: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """``message`` is its id, the same in every attempt; ``timestamp`` the attempt's Unix time in seconds."""
    signed = f"{message}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
