"""SM4 as platforms use it: which mode, and where its initialisation vector comes from."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from connectors.sm2 import Sm4Mode, sm4_decrypt, sm4_encrypt
from connectors.sm2.symmetric import IV_BYTES, new_iv
from schemas.base import Model
from schemas.errors import ConfigurationError, InvalidValue


class Sm4Options(Model):
    """``mode``: ``ecb`` and ``cbc`` pad by PKCS#7, ``gcm`` puts its tag of 16 bytes behind. ``iv``: ``prefix`` is a
    random one before the ciphertext (16 bytes, for ``gcm`` 12), ``given`` the secret ``sm4_iv``, for ``cbc`` alone:
    under GCM one that comes twice gives the key away."""

    mode: Sm4Mode = "ecb"
    iv: Literal["prefix", "given"] = "prefix"

    @model_validator(mode="after")
    def _only_cbc_repeats(self) -> "Sm4Options":
        if self.iv == "given" and self.mode != "cbc":
            raise ValueError("a given iv is for the mode cbc alone")
        return self


def iv_needs(options: Sm4Options) -> set[str]:
    return {"sm4_iv"} if options.iv == "given" else set()


def sm4_key(secrets: Mapping[str, str]) -> bytes:
    return _sixteen(secrets, "sm4_key")


def sm4_iv(options: Sm4Options | None, secrets: Mapping[str, str]) -> bytes:
    """Empty where it is not given."""
    return _sixteen(secrets, "sm4_iv") if options and options.iv == "given" else b""


def sm4_seal(options: Sm4Options, key: bytes, given: bytes, data: bytes) -> bytes:
    iv = given or new_iv(options.mode)
    return (b"" if given else iv) + sm4_encrypt(key, data, options.mode, iv)


def sm4_open(options: Sm4Options, key: bytes, given: bytes, data: bytes) -> bytes:
    """InvalidValue for what does not hold."""
    size = 0 if given else IV_BYTES[options.mode]
    if len(data) < size:
        raise InvalidValue(what="sm4_ciphertext")
    return sm4_decrypt(key, data[size:], options.mode, given or data[:size])


def _sixteen(secrets: Mapping[str, str], name: str) -> bytes:
    try:
        value = bytes.fromhex(secrets[name])
    except ValueError:
        value = b""
    if len(value) != 16:
        raise ConfigurationError(at=f"secrets.{name}", mend="32 hexadecimal digits")
    return value
