"""The commitment by which an entry names a payload that lies outside the log.

Each payload has a key of its own, derived from its entry and name (consent.vault). Whoever is given that key can check
this payload and confirm no guess about any other.
"""

import hmac

KEY_SIZE = 32
_DOMAIN = b"xinqiao/commitment/v1\x00"


def commit(key: bytes, digest: bytes) -> str:
    """``HMAC-SHA256(key, domain || digest)`` in hex; ``digest`` is the SHA-256 of the payload."""
    return hmac.digest(key, _DOMAIN + digest, "sha256").hex()
