"""Certificates made on the spot for TLS tests. Nothing of them is kept."""

import ipaddress
import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
# From 3.13 on Python verifies strictly: an authority says what its key is for, and certificates name it.
_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A throw-away certificate authority; ``folder`` takes the files that the ssl module wants to read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + 10 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone, TLS 1.2 or newer."""
        context = ssl.create_default_context(cadata=self._pem())
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def server(self, host: str = "127.0.0.1", *, start: timedelta = -DAY, end: timedelta = DAY) -> ssl.SSLContext:
        """A server's context with a certificate for one IP address, valid between two offsets from now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._issue(host, start, end))
        return context

    def demanding(self) -> ssl.SSLContext:
        """A server's context that wants a client certificate of this authority."""
        context = self.server()
        context.load_verify_locations(cadata=self._pem())
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def text(self) -> str:
        return self._pem()

    def identity(self, *, end: timedelta = DAY) -> str:
        """A client's certificate and its private key as one PEM text."""
        return self._issue("127.0.0.1", -DAY, end).read_text()

    def pinned_server(self) -> tuple[ssl.SSLContext, str]:
        """A server's context, and the pin of its key."""
        path = self._issue("127.0.0.1", -DAY, 5 * DAY)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return context, b64encode(sha256(der).digest()).decode()

    def _pem(self) -> str:
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _issue(self, host: str, start: timedelta, end: timedelta) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test server")]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{certificate.serial_number}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path
