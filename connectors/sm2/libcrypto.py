"""SM2 by the system's libcrypto 3 (OpenSSL), through ctypes. Its calls give up the interpreter lock while they work."""

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

# AlgorithmIdentifier: id-ecPublicKey with the curve sm2p256v1 (1.2.156.10197.1.301).
_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")

_ROOM = 512
"""Bytes, more than any plaintext or ciphertext that connectors.sm2.keys lets through."""


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
            ("EVP_PKEY_encrypt_init", ctypes.c_int, [pointer]),
            ("EVP_PKEY_encrypt", ctypes.c_int, [pointer, data, ctypes.POINTER(size), data, size]),
            ("EVP_PKEY_decrypt_init", ctypes.c_int, [pointer]),
            ("EVP_PKEY_decrypt", ctypes.c_int, [pointer, data, ctypes.POINTER(size), data, size]),
            ("ERR_clear_error", None, []),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self._lib = lib
        self._sm3 = _present(lib.EVP_MD_fetch(None, b"SM3", None))

    def signer(self, secret: bytes, point: bytes) -> Callable[[bytes, bytes], bytes]:
        lib, key = self._lib, self._private(secret, point)

        def sign(user_id: bytes, message: bytes) -> bytes:
            with _Operation(lib, key, user_id) as context:
                _held(lib.EVP_DigestSignInit(context, None, self._sm3, None, key.handle))
                room, length = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
                _held(lib.EVP_DigestSign(context, room, length, message, len(message)))
                return room.raw[: length.value]

        return sign

    def verifier(self, point: bytes) -> Callable[[bytes, bytes, bytes], bool]:
        lib, key = self._lib, self._public(point)

        def verify(user_id: bytes, message: bytes, der: bytes) -> bool:
            with _Operation(lib, key, user_id) as context:
                _held(lib.EVP_DigestVerifyInit(context, None, self._sm3, None, key.handle))
                held: int = lib.EVP_DigestVerify(context, der, len(der), message, len(message))
            return held == 1

        return verify

    def sealer(self, point: bytes) -> Callable[[bytes], bytes]:
        lib, key = self._lib, self._public(point)

        def seal(data: bytes) -> bytes:
            with _Cipher(lib, key) as context:
                _held(lib.EVP_PKEY_encrypt_init(context))
                room, length = ctypes.create_string_buffer(_ROOM), ctypes.c_size_t(_ROOM)
                _held(lib.EVP_PKEY_encrypt(context, room, length, data, len(data)))
                return room.raw[: length.value]

        return seal

    def opener(self, secret: bytes, point: bytes) -> Callable[[bytes], bytes | None]:
        lib, key = self._lib, self._private(secret, point)

        def opened(der: bytes) -> bytes | None:
            with _Cipher(lib, key) as context:
                _held(lib.EVP_PKEY_decrypt_init(context))
                room, length = ctypes.create_string_buffer(_ROOM), ctypes.c_size_t(_ROOM)
                held = lib.EVP_PKEY_decrypt(context, room, length, der, len(der)) == 1
                return room.raw[: length.value] if held else None

        return opened

    def _private(self, secret: bytes, point: bytes) -> "_Key":
        ec_key = _sequence(b"\x02\x01\x01\x04\x20" + secret, b"\xa1\x44\x03\x42\x00\x04" + point)
        return self._key(self._lib.d2i_AutoPrivateKey, _sequence(b"\x02\x01\x00", _ALGORITHM, b"\x04\x6d" + ec_key))

    def _public(self, point: bytes) -> "_Key":
        return self._key(self._lib.d2i_PUBKEY, _sequence(_ALGORITHM, b"\x03\x42\x00\x04" + point))

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


class _Cipher:
    """One EVP_PKEY_CTX, freed on every way out, the error queue left empty."""

    def __init__(self, lib: Any, key: _Key) -> None:
        self._lib, self._handle = lib, _present(lib.EVP_PKEY_CTX_new(key.handle, None))

    def __enter__(self) -> int:
        return self._handle

    def __exit__(self, *_: object) -> None:
        self._lib.EVP_PKEY_CTX_free(self._handle)
        self._lib.ERR_clear_error()


def _present(handle: int | None) -> int:
    if not handle:
        raise OSError("libcrypto gave no handle")
    return handle


def _held(result: int) -> None:
    if result != 1:
        raise OSError("libcrypto refused")
