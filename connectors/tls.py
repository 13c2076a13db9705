"""Whom a connection is made with: authorities, a client certificate where a platform wants one, pinned keys."""

import asyncio
import os
import ssl
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import ConfigurationError, UpstreamTls
from schemas.manifest import TlsNames


@dataclass(frozen=True, slots=True)
class Tls:
    """One platform's own terms. ``context`` has its authorities and our certificate; ``pins`` are the SHA-256 of the
    SubjectPublicKeyInfo (RFC 7469, section 2.4) of the only servers that are spoken to, none for any. ``ends``: by
    the name of a certificate of ours, its last second in Unix time."""

    context: ssl.SSLContext
    pins: frozenset[bytes]
    ends: Mapping[str, float]


def default_ssl_context() -> ssl.SSLContext:
    """The system's certificate authorities, host names checked, TLS 1.2 or newer."""
    return _strict(ssl.create_default_context())


def checked(context: ssl.SSLContext) -> ssl.SSLContext:
    if not (
        context.check_hostname
        and context.verify_mode is ssl.CERT_REQUIRED
        and context.minimum_version >= ssl.TLSVersion.TLSv1_2
    ):
        raise ConfigurationError(setting="ssl_context")
    return context


def tls_of(platform: str, names: TlsNames, secrets: Mapping[str, str]) -> Tls:
    """ConfigurationError (``at``: ``secrets.NAME``) for a secret that does not have its form."""
    try:
        context = _strict(ssl.create_default_context(cadata=secrets[names.authority] if names.authority else None))
    except (ssl.SSLError, ValueError):
        raise ConfigurationError(at=f"secrets.{names.authority}", mend="certificates as PEM") from None
    ends: dict[str, float] = {}
    if names.client:
        try:
            ends[f"client:{platform}"] = _load(context, secrets[names.client])
        except (ssl.SSLError, ValueError):
            mend = "a certificate and its unencrypted private key, both as PEM in one text"
            raise ConfigurationError(at=f"secrets.{names.client}", mend=mend) from None
    try:
        texts = secrets[names.pins].split(",") if names.pins else []
        pins = frozenset(b64decode(text.strip(), validate=True) for text in texts)
        if any(len(pin) != 32 for pin in pins):
            raise ValueError
    except ValueError:
        mend = "the base64 of SHA-256 digests of public keys, a comma between two"
        raise ConfigurationError(at=f"secrets.{names.pins}", mend=mend) from None
    return Tls(context, pins, ends)


class Peers:
    """The servers of one transport. Each connection is looked at when it stands, before the first byte leaves."""

    def __init__(self, pins: frozenset[bytes]) -> None:
        self._pins = pins
        self.ends: dict[str, float] = {}
        """By origin, the last second of the certificate that its server showed, in Unix time."""

    def look(self, origin: str, connection: asyncio.BaseTransport) -> None:
        """UpstreamTls for a server whose key is not pinned, and for one without TLS where any is."""
        secured: ssl.SSLObject | None = connection.get_extra_info("ssl_object")
        shown = secured.getpeercert(binary_form=True) if secured else None
        if shown:
            certificate = x509.load_der_x509_certificate(shown)
            self.ends[origin] = certificate.not_valid_after_utc.timestamp()
            key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            pinned = not self._pins or sha256(key).digest() in self._pins
        else:
            pinned = not self._pins
        if not pinned:
            raise UpstreamTls(what="pin")


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pem: str) -> float:
    """The ssl module reads certificates from files only: one in memory, so that the key never reaches a disk."""
    end = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()
    file = os.memfd_create("client certificate")
    try:
        os.write(file, pem.encode())
        # A password that is asked for would be asked of a terminal.
        context.load_cert_chain(f"/proc/self/fd/{file}", password=lambda: b"")
    finally:
        os.close(file)
    return end
