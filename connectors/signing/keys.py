"""Key texts as platforms hand them out, and the text forms of a signature. Errors name the secret, never its value."""

from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from cryptography.x509 import load_der_x509_certificate

from connectors.sm2 import PrivateKey, PublicKey
from schemas.errors import ConfigurationError, InvalidValue

KeyForm = Literal["hex", "base64", "pkcs8"]
"""``hex`` and ``base64`` hold the bare 32 bytes; ``pkcs8`` is PEM, or the base64 of its DER."""
TextForm = Literal["hex-lower", "hex-upper", "base64", "base64url"]


def as_text(data: bytes, form: TextForm) -> str:
    if form == "hex-lower":
        return data.hex()
    if form == "hex-upper":
        return data.hex().upper()
    return (b64encode(data) if form == "base64" else urlsafe_b64encode(data)).decode()


def rsa_private_key(text: str) -> RSAPrivateKey:
    """PKCS#8 or PKCS#1, as PEM or as the base64 of the DER; at least 2048 bits."""
    try:
        key = load_der_private_key(der(text), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise ConfigurationError(at="secrets.private_key", mend="an unencrypted RSA key of at least 2048 bits")
    return key


def rsa_public_key(secrets: Mapping[str, str]) -> RSAPublicKey:
    """The secret ``platform_key`` (SubjectPublicKeyInfo or a certificate, as PEM or as the base64 of the DER), or the
    public half of ``private_key``."""
    if "platform_key" not in secrets:
        return rsa_private_key(secrets["private_key"]).public_key()
    key = public_key(secrets["platform_key"])
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise ConfigurationError(at="secrets.platform_key", mend="an RSA public key of at least 2048 bits")
    return key


def public_key(text: str) -> PublicKeyTypes | None:
    """Of a SubjectPublicKeyInfo or of a certificate; None where the text is neither."""
    try:
        raw = der(text)
        try:
            return load_der_public_key(raw)
        except ValueError:
            return load_der_x509_certificate(raw).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def as_bytes(text: str, form: TextForm) -> bytes | None:
    """The reverse of ``as_text``; None for a text that it could not have written, but for the case of its hex."""
    try:
        if form.startswith("hex"):
            return bytes.fromhex(text) if text.isalnum() else None
        data = b64decode(text, None if form == "base64" else b"-_", validate=True)
        return data if as_text(data, form) == text else None
    except ValueError:
        return None


def sm2_public_key(secrets: Mapping[str, str], form: KeyForm) -> PublicKey:
    """The secret ``platform_key``: the point in the text form of ``form`` (``pkcs8``: a SubjectPublicKeyInfo), or the
    public half of ``private_key``."""
    if "platform_key" not in secrets:
        return sm2_private_key(secrets["private_key"], form).public
    text = secrets["platform_key"]
    try:
        raw = bytes.fromhex(text) if form == "hex" else b64decode(text, validate=True) if form == "base64" else None
        # An uncompressed point is the end of its SubjectPublicKeyInfo (RFC 5480, section 2.2).
        return PublicKey(der(text)[-64:] if raw is None else raw)
    except (ValueError, InvalidValue):
        raise ConfigurationError(at="secrets.platform_key", mend=f"an SM2 public key as {form}") from None


def sm2_private_key(text: str, form: KeyForm) -> PrivateKey:
    try:
        if form == "hex":
            raw = bytes.fromhex(text)
        else:
            raw = b64decode(text, validate=True) if form == "base64" else _pkcs8_number(der(text))
        return PrivateKey(raw)
    except (ValueError, InvalidValue):
        raise ConfigurationError(at="secrets.private_key", mend=f"an SM2 private key as {form}") from None


def der(text: str) -> bytes:
    lines = [line.strip() for line in text.strip().splitlines() if not line.startswith("-----")]
    return b64decode("".join(lines), validate=True)


def _pkcs8_number(der: bytes) -> bytes:
    """The private number in a PKCS#8 (RFC 5958) that holds an ECPrivateKey (RFC 5915). Raises ValueError."""
    outer, end = _element(der, 0x30)
    _, rest = _element(outer, 0x02)
    algorithm, rest = _element(rest, 0x30)
    if end or bytes.fromhex("06082a811ccf5501822d") not in algorithm:
        raise ValueError("not a PKCS#8 for the curve sm2p256v1")
    ec_key, _ = _element(_element(rest, 0x04)[0], 0x30)
    _, rest = _element(ec_key, 0x02)
    return _element(rest, 0x04)[0]


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the DER element that starts ``data``, and what follows it; lengths below 256."""
    head = 3 if data[1:2] == b"\x81" else 2
    length = int.from_bytes(data[head - 1 : head])
    if data[:1] != bytes([tag]) or len(data) < head + length:
        raise ValueError("not the DER element that was expected")
    return data[head : head + length], data[head + length :]
