"""SM3, HMAC-SM3, and SM4 in the three modes that platforms use."""

import os
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB, GCM
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from schemas.errors import InvalidValue

Sm4Mode = Literal["ecb", "cbc", "gcm"]
"""``ecb`` and ``cbc`` with PKCS#7 padding; ``gcm`` with a tag of 16 bytes behind the ciphertext (RFC 8998)."""

IV_BYTES = {"ecb": 0, "cbc": 16, "gcm": 12}
_TAG = 16


def sm3(data: bytes) -> bytes:
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, SM3())
    mac.update(data)
    return mac.finalize()


def new_iv(mode: Sm4Mode) -> bytes:
    return os.urandom(IV_BYTES[mode])


def sm4_encrypt(key: bytes, data: bytes, mode: Sm4Mode = "ecb", iv: bytes = b"", beside: bytes = b"") -> bytes:
    """SM4 (GB/T 32907); ``key`` is 16 bytes, ``iv`` as long as ``IV_BYTES`` says, ``beside`` what GCM authenticates and
    does not encrypt. ECB shows equal blocks as equal: only where a platform's dialect demands it."""
    if mode == "gcm":
        sealer = Cipher(SM4(key), GCM(iv)).encryptor()
        sealer.authenticate_additional_data(beside)
        return sealer.update(data) + sealer.finalize() + sealer.tag
    padder = PKCS7(128).padder()
    encryptor = Cipher(SM4(key), CBC(iv) if mode == "cbc" else ECB()).encryptor()  # noqa: S305 - the dialect's mode
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def sm4_decrypt(key: bytes, data: bytes, mode: Sm4Mode = "ecb", iv: bytes = b"", beside: bytes = b"") -> bytes:
    """The plaintext; InvalidValue when length, padding or tag do not hold."""
    try:
        if mode == "gcm":
            opener = Cipher(SM4(key), GCM(iv, data[-_TAG:])).decryptor()
            opener.authenticate_additional_data(beside)
            return opener.update(data[:-_TAG]) + opener.finalize()
        decryptor = Cipher(SM4(key), CBC(iv) if mode == "cbc" else ECB()).decryptor()  # noqa: S305
        unpadder = PKCS7(128).unpadder()
        return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
    except (ValueError, InvalidTag):
        raise InvalidValue(what="sm4_ciphertext") from None
