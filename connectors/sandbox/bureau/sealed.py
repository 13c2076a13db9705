"""Dialects that put the whole message under SM4: sm2-envelope (GCM) and placeholder-sm2 (CBC)."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.padding import PKCS7

from connectors.sandbox import verify
from connectors.sandbox.bureau.dialect import WINDOW, Dialect, Headers, bytes64, sm2_of, text64
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Call, dump, form, load, text_of
from connectors.sm2 import PrivateKey

_PLACE = "__signature_sigdat__"
_JSON = {"Content-Type": "application/json"}


class Envelope(Dialect):
    """The signature covers the ciphertext. A reply repeats the nonce of its request, sealed."""

    name = "sm2-envelope"
    options: ClassVar[Mapping[str, Any]] = {
        "mode": "gcm",
        "signs": "ciphertext",
        "order": "04c1c3c2",
        "beside": {"app": "{app_id}"},
    }
    reply: ClassVar[Mapping[str, Any] | None] = {
        "scheme": "sm2-envelope",
        "mode": "gcm",
        "signs": "ciphertext",
        "order": "04c1c3c2",
        "bound": True,
    }

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "app_id": "bureau-envelope",
            "private_key": "00" + self.derive("caller")[2:],
            "platform_key": self._bureau().public.point.hex(),
        }

    def _bureau(self) -> PrivateKey:
        return sm2_of(self, "bureau")

    def admit(self, call: Call) -> tuple[bytes, str]:
        plain = self._opened(call)
        inner = load(plain)
        verify.fresh(call.now, verify.unix(text_of(inner, "timestamp"), 1000), WINDOW, WINDOW)
        return plain, text_of(inner, "nonce")

    def answer(self, call: Call, body: bytes) -> tuple[Headers, bytes]:
        asked = load(self._opened(call))
        said = {**load(body), "timestamp": str(int(call.now * 1000)), "nonce": asked["nonce"]}
        key, iv, caller = os.urandom(16), os.urandom(12), sm2_of(self, "caller").public
        sealer = Cipher(SM4(key), GCM(iv)).encryptor()
        sealed = iv + sealer.update(dump(said)) + sealer.finalize() + sealer.tag
        members = {
            "data": text64(sealed),
            "key": text64(caller.encrypt(key, form="04c1c3c2")),
            "sign": text64(self._bureau().sign(sealed)),
        }
        return _JSON, dump(members)

    def _opened(self, call: Call) -> bytes:
        members: dict[str, Any] = load(call.body)
        verify.known(text_of(members, "app"), self.secrets["app_id"])
        sealed, key, signature = (bytes64(members.get(name)) for name in ("data", "key", "sign"))
        if not sm2_of(self, "caller").public.verify(signature, sealed):
            raise Refused(Why.FORGED)
        try:
            opener = Cipher(
                SM4(self._bureau().decrypt(key, form="04c1c3c2")), GCM(sealed[:12], sealed[-16:])
            ).decryptor()
            return opener.update(sealed[12:-16]) + opener.finalize()
        except (InvalidTag, ValueError):
            raise Refused(Why.FORGED) from None


class Placeholder(Dialect):
    """A reply is the sealed text alone."""

    name = "placeholder-sm2"
    options: ClassVar[Mapping[str, Any]] = {"key_form": "hex"}
    reply: ClassVar[Mapping[str, Any] | None] = {"scheme": "placeholder-sm2", "key_form": "hex"}

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "user": "BUREAU01",
            "private_key": "00" + self.derive("caller")[2:],
            "sm4_key": self.derive("sm4")[:32],
            "platform_key": sm2_of(self, "bureau").public.point.hex(),
        }

    def _cipher(self) -> Cipher[CBC]:
        return Cipher(SM4(bytes.fromhex(self.secrets["sm4_key"])), CBC(self._id()))

    def _id(self) -> bytes:
        return b"BUREAU0100000000"

    def admit(self, call: Call) -> tuple[bytes, str]:
        outer = form(call.body)
        verify.known(text_of(outer, "UID"), "BUREAU01")
        opener, unpadder = self._cipher().decryptor(), PKCS7(128).unpadder()
        try:
            padded = opener.update(bytes64(outer.get("DATA"))) + opener.finalize()
            text = (unpadder.update(padded) + unpadder.finalize()).decode()
        except ValueError:
            raise Refused(Why.FORGED) from None
        inner = load(text.encode()).get("signature")
        if not isinstance(inner, dict):
            raise Refused(Why.MISSING)
        signature, moment = text_of(inner, "sigdat"), text_of(inner, "sigtim")
        verify.fresh(call.now, verify.shanghai(moment), WINDOW, WINDOW)
        signed = text.replace(signature, _PLACE)
        if not sm2_of(self, "caller").public.verify(bytes64(signature), signed.encode(), user_id=self._id()):
            raise Refused(Why.FORGED)
        return text.encode(), hashlib.sha256(signed.encode()).hexdigest()

    def answer(self, call: Call, body: bytes) -> tuple[Headers, bytes]:
        signature = {"sigdat": _PLACE, "sigtim": verify.shanghai_text(call.now)}
        text = json.dumps({**load(body), "signature": signature}, ensure_ascii=False, sort_keys=True)
        given = text64(sm2_of(self, "bureau").sign(text.encode(), user_id=self._id()))
        sealer, padder = self._cipher().encryptor(), PKCS7(128).padder()
        padded = padder.update(text.replace(_PLACE, given).encode()) + padder.finalize()
        sealed = sealer.update(padded) + sealer.finalize()
        return {"Content-Type": "text/plain; charset=utf-8"}, text64(sealed).encode()
