"""What the bureau of schemes is made of: one invented dialect for each way to sign, all with the same answer.

It holds no data. Each dialect checks a call by rules of its own, written from docs/signing.md and not from the
connectors, and says what it understood; a dialect that signs or seals its replies does so.
"""

from abc import ABC, abstractmethod
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from connectors.sandbox.credentials import rsa_key
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Call
from connectors.sm2 import PrivateKey

WINDOW = 300
"""Seconds either way."""

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Headers = Mapping[str, str]


class Dialect(ABC):
    """``options`` and ``reply`` are what a manifest says of it, ``secrets`` what its caller holds."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    reply: ClassVar[Mapping[str, Any] | None] = None

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @property
    @abstractmethod
    def secrets(self) -> dict[str, str]: ...

    def issue(self, call: Call) -> bytes | None:  # noqa: B027 - most dialects issue nothing
        """The answer to a call for a credential; None for any other call."""

    @abstractmethod
    def admit(self, call: Call) -> tuple[bytes, str]:
        """What was said, without its sealing, and what must not come twice. Refused for a bad caller."""

    def answer(self, call: Call, body: bytes) -> tuple[Headers, bytes]:  # noqa: ARG002
        """The headers and the body that say ``body``, signed or sealed as the dialect does."""
        return {"Content-Type": "application/json"}, body

    def derive(self, what: str) -> str:
        return sha256(f"xinqiao bureau {self.seed} {self.name} {what}".encode()).hexdigest()


def rsa_of(seed: int, ours: bool) -> rsa.RSAPrivateKey:
    return rsa_key(seed) if ours else rsa_key(seed, "bureau private_key")


def sm2_of(dialect: Dialect, what: str) -> PrivateKey:
    return PrivateKey(bytes.fromhex("00" + dialect.derive(what)[2:]))


def pem(key: Private) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: Private) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def text64(data: bytes) -> str:
    return b64encode(data).decode()


def bytes64(text: object) -> bytes:
    if not isinstance(text, str) or not text:
        raise Refused(Why.MISSING)
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise Refused(Why.MALFORMED) from None


def url64(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refused(Why.MALFORMED) from None
