"""SM2 signatures with SM3 (GB/T 32918.2, curve and sample of GB/T 32918.5), and the SM3 and SM4 forms beside them.

Two backends do the arithmetic: the system's libcrypto 3 through ctypes (EVP), and gmssl_pyx where there is none.
The first use runs a known-answer test; a backend that fails it is never used. An operation takes less than a
millisecond, but a hundred at once would hold the event loop for tens of them: ``aside`` keeps them off it.
"""

import asyncio
import ctypes
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Literal, Protocol, TypeVar

import gmssl_pyx
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from schemas.errors import ConfigurationError, InvalidValue

R = TypeVar("R")

DEFAULT_ID = b"1234567812345678"
"""The user id of GM/T 0009 for those who have agreed on none."""

SignatureForm = Literal["raw", "der", "decimal"]
"""``raw``: r then s, 32 bytes each. ``der``: the SEQUENCE of GM/T 0009. ``decimal``: ASCII ``r,s``."""

_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)


def sm3(data: bytes) -> bytes:
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, SM3())
    mac.update(data)
    return mac.finalize()


def sm4_ecb_encrypt(key: bytes, data: bytes) -> bytes:
    """SM4 (GB/T 32907) in ECB with PKCS#7 padding; the key is 16 bytes. Equal blocks stay equal: only where a
    platform's dialect demands it."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(SM4(key), ECB()).encryptor()  # noqa: S305 - the dialect's mode
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def sm4_ecb_decrypt(key: bytes, data: bytes) -> bytes:
    """The plaintext; InvalidValue when length or padding do not hold."""
    decryptor = Cipher(SM4(key), ECB()).decryptor()  # noqa: S305 - the dialect's mode
    unpadder = PKCS7(128).unpadder()
    try:
        return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise InvalidValue(what="sm4_ecb_ciphertext") from None


async def aside(work: Callable[..., R], *arguments: Any) -> R:
    """Run ``work`` in the one thread that all have for this. One, because each further thread that wants the
    interpreter lock lets the event loop wait up to another switch interval (5 ms) for it."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), work, *arguments)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "sm2")


class PublicKey:
    """A point on the curve: 64 bytes x then y, or the same with the leading 04 of the uncompressed form."""

    def __init__(self, point: bytes) -> None:
        if len(point) == 65 and point[0] == 4:
            point = point[1:]
        x, y = int.from_bytes(point[:32]), int.from_bytes(point[32:])
        if len(point) != 64 or max(x, y) >= _P or (y * y - x * x * x - _A * x - _B) % _P:
            raise InvalidValue(what="sm2_public_key")
        self.point = point
        self._verify = _backend().verifier(point)

    def verify(
        self, signature: bytes, message: bytes, *, user_id: bytes = DEFAULT_ID, form: SignatureForm = "raw"
    ) -> bool:
        """False for a wrong signature and for one that does not have its form."""
        der = _to_der(signature, form)
        return der is not None and self._verify(_identity(user_id), message, der)


class PrivateKey:
    """A number in 1..n-2 as 32 bytes, big-endian. ``public`` is its point."""

    def __init__(self, secret: bytes) -> None:
        number = int.from_bytes(secret)
        if len(secret) != 32 or not 0 < number < _N - 1:
            raise InvalidValue(what="sm2_private_key")
        x, y = _multiply(number)
        self.public = PublicKey(x.to_bytes(32) + y.to_bytes(32))
        self._sign = _backend().signer(secret, self.public.point)

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def sign(self, message: bytes, *, user_id: bytes = DEFAULT_ID, form: SignatureForm = "raw") -> bytes:
        der = self._sign(_identity(user_id), message)
        if form == "der":
            return der
        r, s = decode_dss_signature(der)
        return r.to_bytes(32) + s.to_bytes(32) if form == "raw" else f"{r},{s}".encode()


def _identity(user_id: bytes) -> bytes:
    """Its length in bits must fit the two bytes ENTL (GB/T 32918.2, 5.5); libcrypto stops one byte earlier."""
    if not 0 < len(user_id) < 8191:
        raise InvalidValue(what="sm2_user_id")
    return user_id


def _to_der(signature: bytes, form: SignatureForm) -> bytes | None:
    try:
        if form == "raw":
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            if len(signature) != 64:
                return None
        elif form == "der":
            r, s = decode_dss_signature(signature)
        else:
            texts = signature.decode("ascii").split(",")
            r, s = (int(text) for text in texts)
            if [str(r), str(s)] != texts:
                return None
    except ValueError:
        return None
    return encode_dss_signature(r, s) if 0 < r < _N and 0 < s < _N else None


def _multiply(k: int) -> tuple[int, int]:
    """k times the base point. Not constant-time: it runs once, when a key is loaded, and never per signature."""
    x, y = _G
    for bit in bin(k)[3:]:
        slope = (3 * x * x + _A) * pow(2 * y, -1, _P) % _P
        x, y = _chord(slope, x, y, x)
        if bit == "1":
            slope = (_G[1] - y) * pow(_G[0] - x, -1, _P) % _P
            x, y = _chord(slope, x, y, _G[0])
    return x, y


def _chord(slope: int, x: int, y: int, other_x: int) -> tuple[int, int]:
    third = (slope * slope - x - other_x) % _P
    return third, (slope * (x - third) - y) % _P


class Backend(Protocol):
    """``signer`` gives (user id, message) -> DER, ``verifier`` gives (user id, message, DER) -> bool."""

    def signer(self, secret: bytes, point: bytes) -> Callable[[bytes, bytes], bytes]: ...

    def verifier(self, point: bytes) -> Callable[[bytes, bytes, bytes], bool]: ...


def message_digest(point: bytes, user_id: bytes, message: bytes) -> bytes:
    """e = SM3(ZA, M) with ZA = SM3(ENTL, ID, a, b, G, P) (GB/T 32918.2, 5.5 and 6.1)."""
    curve = b"".join(number.to_bytes(32) for number in (_A, _B, *_G))
    za = sm3((8 * len(user_id)).to_bytes(2) + user_id + curve + point)
    return sm3(za + message)


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


# AlgorithmIdentifier: id-ecPublicKey with the curve sm2p256v1 (1.2.156.10197.1.301).
_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")


def _sequence(*parts: bytes) -> bytes:
    inner = b"".join(parts)
    return bytes([0x30, *([0x81] if len(inner) > 127 else []), len(inner)]) + inner


class OpenSsl:
    """libcrypto 3. Raises OSError or AttributeError where the library or one of its functions is missing."""

    def __init__(self) -> None:
        lib: Any = ctypes.CDLL("libcrypto.so.3")
        pointer, size, data = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
        for name, result, arguments in (
            ("d2i_AutoPrivateKey", pointer, [pointer, ctypes.POINTER(data), ctypes.c_long]),
            ("d2i_PUBKEY", pointer, [pointer, ctypes.POINTER(data), ctypes.c_long]),
            ("EVP_PKEY_free", None, [pointer]),
            ("EVP_MD_fetch", pointer, [pointer, data, data]),
            ("EVP_MD_CTX_new", pointer, []),
            ("EVP_MD_CTX_free", None, [pointer]),
            ("EVP_PKEY_CTX_new", pointer, [pointer, pointer]),
            ("EVP_PKEY_CTX_free", None, [pointer]),
            ("EVP_PKEY_CTX_set1_id", ctypes.c_int, [pointer, data, ctypes.c_int]),
            ("EVP_MD_CTX_set_pkey_ctx", None, [pointer, pointer]),
            ("EVP_DigestSignInit", ctypes.c_int, [pointer] * 5),
            ("EVP_DigestSign", ctypes.c_int, [pointer, data, ctypes.POINTER(size), data, size]),
            ("EVP_DigestVerifyInit", ctypes.c_int, [pointer] * 5),
            ("EVP_DigestVerify", ctypes.c_int, [pointer, data, size, data, size]),
            ("ERR_clear_error", None, []),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self._lib = lib
        self._sm3 = _present(lib.EVP_MD_fetch(None, b"SM3", None))

    def signer(self, secret: bytes, point: bytes) -> Callable[[bytes, bytes], bytes]:
        lib = self._lib
        ec_key = _sequence(b"\x02\x01\x01\x04\x20" + secret, b"\xa1\x44\x03\x42\x00\x04" + point)
        key = self._key(lib.d2i_AutoPrivateKey, _sequence(b"\x02\x01\x00", _ALGORITHM, b"\x04\x6d" + ec_key))

        def sign(user_id: bytes, message: bytes) -> bytes:
            with _Operation(lib, key, user_id) as context:
                _held(lib.EVP_DigestSignInit(context, None, self._sm3, None, key.handle))
                room, length = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
                _held(lib.EVP_DigestSign(context, room, length, message, len(message)))
                return room.raw[: length.value]

        return sign

    def verifier(self, point: bytes) -> Callable[[bytes, bytes, bytes], bool]:
        lib = self._lib
        key = self._key(lib.d2i_PUBKEY, _sequence(_ALGORITHM, b"\x03\x42\x00\x04" + point))

        def verify(user_id: bytes, message: bytes, der: bytes) -> bool:
            with _Operation(lib, key, user_id) as context:
                _held(lib.EVP_DigestVerifyInit(context, None, self._sm3, None, key.handle))
                held: int = lib.EVP_DigestVerify(context, der, len(der), message, len(message))
            return held == 1

        return verify

    def _key(self, read: Callable[..., int | None], der: bytes) -> "_Key":
        handle = read(None, ctypes.c_char_p(der), len(der))
        self._lib.ERR_clear_error()
        return _Key(self._lib, _present(handle))


class _Key:
    """An EVP_PKEY that is freed with its last user."""

    def __init__(self, lib: Any, handle: int) -> None:
        self.handle = handle
        weakref.finalize(self, lib.EVP_PKEY_free, handle)


class _Operation:
    """One EVP_MD_CTX with the user id set, freed on every way out. The error queue is left empty, since Python's
    ssl module may share this libcrypto."""

    def __init__(self, lib: Any, key: _Key, user_id: bytes) -> None:
        self._lib = lib
        self._digest = lib.EVP_MD_CTX_new()
        self._parameters = lib.EVP_PKEY_CTX_new(key.handle, None)
        lib.EVP_PKEY_CTX_set1_id(self._parameters, user_id, len(user_id))
        lib.EVP_MD_CTX_set_pkey_ctx(self._digest, self._parameters)

    def __enter__(self) -> int:
        handle: int = self._digest
        return handle

    def __exit__(self, *_: object) -> None:
        self._lib.EVP_MD_CTX_free(self._digest)
        self._lib.EVP_PKEY_CTX_free(self._parameters)
        self._lib.ERR_clear_error()


def _present(handle: int | None) -> int:
    if not handle:
        raise OSError("libcrypto gave no handle")
    return handle


def _held(result: int) -> None:
    if result != 1:
        raise OSError("libcrypto refused")


# GB/T 32918.5 annex A: the sample with the user id 1234567812345678.
_SAMPLE_SECRET = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
_SAMPLE_POINT = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
_SAMPLE_MESSAGE = b"message digest"
_SAMPLE_SIGNATURE = encode_dss_signature(
    0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3,
    0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA,
)


def passes_known_answers(backend: Backend) -> bool:
    """The published signature holds, one over another message does not, and what is signed here verifies here."""
    verify = backend.verifier(_SAMPLE_POINT)
    fresh = backend.signer(_SAMPLE_SECRET, _SAMPLE_POINT)(DEFAULT_ID, _SAMPLE_MESSAGE)
    return (
        verify(DEFAULT_ID, _SAMPLE_MESSAGE, _SAMPLE_SIGNATURE)
        and not verify(DEFAULT_ID, _SAMPLE_MESSAGE + b".", _SAMPLE_SIGNATURE)
        and not verify(b"another user id", _SAMPLE_MESSAGE, _SAMPLE_SIGNATURE)
        and verify(DEFAULT_ID, _SAMPLE_MESSAGE, fresh)
    )


def choose(candidates: tuple[Callable[[], Backend], ...]) -> Backend:
    """The first backend that loads and passes the known answers; ConfigurationError when there is none."""
    for make in candidates:
        try:
            backend = make()
            if passes_known_answers(backend):
                return backend
        except (OSError, AttributeError):
            continue
    raise ConfigurationError(at="sm2", mend="install libcrypto 3 (OpenSSL) with SM2, or gmssl-pyx")


@cache
def _backend() -> Backend:
    return choose((OpenSsl, Gmssl))
