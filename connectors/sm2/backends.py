"""Who does the arithmetic of SM2: libcrypto, or gmssl_pyx, whichever first passes the known answers."""

from collections.abc import Callable
from functools import cache
from typing import Protocol

import gmssl_pyx
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from connectors.sm2.curve import message_digest
from connectors.sm2.libcrypto import OpenSsl
from schemas.errors import ConfigurationError


class Backend(Protocol):
    """``signer`` gives (user id, message) -> DER, ``verifier`` (user id, message, DER) -> bool, ``sealer`` plaintext ->
    DER, ``opener`` DER -> plaintext, None where it does not hold."""

    def signer(self, secret: bytes, point: bytes) -> Callable[[bytes, bytes], bytes]: ...

    def verifier(self, point: bytes) -> Callable[[bytes, bytes, bytes], bool]: ...

    def sealer(self, point: bytes) -> Callable[[bytes], bytes]: ...

    def opener(self, secret: bytes, point: bytes) -> Callable[[bytes], bytes | None]: ...


class Gmssl:
    """Signs the digest: gmssl_pyx takes eight times as long where it is given the message."""

    def signer(self, secret: bytes, point: bytes) -> Callable[[bytes, bytes], bytes]:
        def sign(user_id: bytes, message: bytes) -> bytes:
            return bytes(gmssl_pyx.sm2_sign_sm3_digest(secret, message_digest(point, user_id, message)))

        return sign

    def verifier(self, point: bytes) -> Callable[[bytes, bytes, bytes], bool]:
        def verify(user_id: bytes, message: bytes, der: bytes) -> bool:
            return bool(gmssl_pyx.sm2_verify_sm3_digest(point, message_digest(point, user_id, message), der))

        return verify

    def sealer(self, point: bytes) -> Callable[[bytes], bytes]:
        return lambda data: bytes(gmssl_pyx.sm2_encrypt(point, data))

    def opener(self, secret: bytes, point: bytes) -> Callable[[bytes], bytes | None]:  # noqa: ARG002
        def opened(der: bytes) -> bytes | None:
            try:
                return bytes(gmssl_pyx.sm2_decrypt(secret, der))
            except (gmssl_pyx.GmsslInnerError, gmssl_pyx.InvalidValueError):
                return None

        return opened


# GB/T 32918.5 annex A: the sample with the user id 1234567812345678.
_SAMPLE_SECRET = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
_SAMPLE_POINT = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
_SAMPLE_ID = b"1234567812345678"
_SAMPLE_MESSAGE = b"message digest"
_SAMPLE_SIGNATURE = encode_dss_signature(
    0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3,
    0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA,
)


# GB/T 32918.5 annex C, as the SEQUENCE of GM/T 0009.
_SAMPLE_PLAIN = b"encryption standard"
_SAMPLE_SEALED = bytes.fromhex(
    "307C022004EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73022100E858F9D81E5430A57B36DAAB8F950A3C"
    "64E6EE6A63094D99283AFF767E124DF0042059983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766041321886C"
    "A989CA9C7D58087307CA93092D651EFA"
)


def passes_known_answers(backend: Backend) -> bool:
    """The published signature holds, one over another message does not, what is signed here verifies here; the
    published ciphertext opens, a changed one does not, and what is sealed here opens here."""
    seal, unseal = backend.sealer(_SAMPLE_POINT), backend.opener(_SAMPLE_SECRET, _SAMPLE_POINT)
    verify = backend.verifier(_SAMPLE_POINT)
    fresh = backend.signer(_SAMPLE_SECRET, _SAMPLE_POINT)(_SAMPLE_ID, _SAMPLE_MESSAGE)
    return (
        verify(_SAMPLE_ID, _SAMPLE_MESSAGE, _SAMPLE_SIGNATURE)
        and not verify(_SAMPLE_ID, _SAMPLE_MESSAGE + b".", _SAMPLE_SIGNATURE)
        and not verify(b"another user id", _SAMPLE_MESSAGE, _SAMPLE_SIGNATURE)
        and verify(_SAMPLE_ID, _SAMPLE_MESSAGE, fresh)
        and unseal(_SAMPLE_SEALED) == _SAMPLE_PLAIN
        and unseal(_SAMPLE_SEALED[:-1] + b"\0") is None
        and unseal(seal(_SAMPLE_PLAIN)) == _SAMPLE_PLAIN
    )


def choose(candidates: tuple[Callable[[], Backend], ...]) -> Backend:
    """The first backend that loads and passes the known answers; ConfigurationError when there is none."""
    for make in candidates:
        try:
            made = make()
            if passes_known_answers(made):
                return made
        except (OSError, AttributeError):
            continue
    raise ConfigurationError(at="sm2", mend="install libcrypto 3 (OpenSSL) with SM2, or gmssl-pyx")


@cache
def backend() -> Backend:
    return choose((OpenSsl, Gmssl))
