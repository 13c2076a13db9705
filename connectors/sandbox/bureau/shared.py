"""Dialects of shared secrets: old and new APISIX, and the two whose secrets rotate."""

import re
from collections.abc import Mapping
from hashlib import md5, sha256
from typing import Any, ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from connectors.sandbox import verify
from connectors.sandbox.bureau.dialect import WINDOW, Dialect, text64
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Call, dump, load, pairs, text_of

_LIFE = 900
"""Seconds that a rotating secret lives."""


class OldApisix(Dialect):
    name = "bg-hmac"
    options: ClassVar[Mapping[str, Any]] = {"dialect": "apisix", "query": "decoded"}

    @property
    def secrets(self) -> dict[str, str]:
        return {"access_key": "bureau-old-apisix", "secret_key": self.derive("secret")[:40]}

    def admit(self, call: Call) -> tuple[bytes, str]:
        key, algorithm, signature, date = verify.need(
            call.headers, "X-HMAC-ACCESS-KEY", "X-HMAC-ALGORITHM", "X-HMAC-SIGNATURE", "Date"
        )
        verify.known(key, self.secrets["access_key"])
        verify.known(algorithm, "hmac-sha256")
        verify.fresh(call.now, verify.http_date(date), 90, 90)
        query = "&".join(f"{k}={v}" for k, v in sorted(pairs(call.query).items()))
        right = verify.hmac_base64(self.secrets["secret_key"], f"{call.method}\n{call.path}\n{query}\n{key}\n{date}\n")
        verify.signed(signature, right)
        return call.body, signature


class NewApisix(Dialect):
    name = "apisix-hmac"

    @property
    def secrets(self) -> dict[str, str]:
        return {"access_key": "bureau-apisix", "secret_key": self.derive("secret")[:40]}

    def admit(self, call: Call) -> tuple[bytes, str]:
        stated, date, digest = verify.need(call.headers, "Authorization", "Date", "Digest")
        found = re.fullmatch(
            r'Signature keyId="([^"]*)",algorithm="hmac-sha256",headers="@request-target date digest"'
            r',signature="([^"]*)"',
            stated,
        )
        if found is None:
            raise Refused(Why.MALFORMED)
        verify.known(found[1], self.secrets["access_key"])
        verify.fresh(call.now, verify.http_date(date), WINDOW, WINDOW)
        target = call.path + (f"?{call.query}" if call.query else "")
        text = f"{found[1]}\n{call.method} {target}\ndate: {date}\ndigest: {digest}\n"
        verify.signed(found[2], verify.hmac_base64(self.secrets["secret_key"], text))
        verify.signed(digest, "SHA-256=" + text64(sha256(call.body).digest()))
        return call.body, found[2]


class RotatingNational(Dialect):
    name = "national"
    options: ClassVar[Mapping[str, Any]] = {"sid": "s_990000_bureau", "secret_path": "/secret"}

    @property
    def secrets(self) -> dict[str, str]:
        return {"rid": "bureau-rid", "app_secret": self.derive("secret")[:32]}

    def issue(self, call: Call) -> bytes | None:
        if not call.path.endswith("/secret"):
            return None
        self._admitted(call, (self.secrets["app_secret"],))
        sealer, padder = Cipher(AES(self.secrets["app_secret"].encode()), ECB()).encryptor(), PKCS7(128).padder()  # noqa: S305 - the dialect's
        plain = padder.update(self._key(call.now).encode()) + padder.finalize()
        sealed = text64(sealer.update(plain) + sealer.finalize())
        return dump({"code": "0", "data": {"secret": sealed, "secretEndTime": int(call.now * 1000) + _LIFE * 1000}})

    def admit(self, call: Call) -> tuple[bytes, str]:
        return call.body, self._admitted(call, (self._key(call.now), self._key(call.now - _LIFE)))

    def _admitted(self, call: Call, keys: tuple[str, ...]) -> str:
        rid, sid, rtime, sign = verify.need(call.headers, *(f"gjzwfwpt_{n}" for n in ("rid", "sid", "rtime", "sign")))
        verify.known(f"{rid} {sid}", f"{self.secrets['rid']} {self.options['sid']}")
        verify.fresh(call.now, verify.unix(rtime, 1000), WINDOW, WINDOW)
        right = {verify.national(key, sid, rid, rtime) for key in keys}
        if sign not in right:
            raise Refused(Why.FORGED)
        return sign

    def _key(self, now: float) -> str:
        return self.derive(f"key {int(now) // _LIFE}")[:40]


class RotatingMd5(Dialect):
    name = "md5-rotating"
    options: ClassVar[Mapping[str, Any]] = {"refresh_path": "/refresh", "request_path": "/request"}

    @property
    def secrets(self) -> dict[str, str]:
        return {"app_key": "bureau-md5", "app_secret": self.derive("secret")[:40]}

    def issue(self, call: Call) -> bytes | None:
        which = call.path.rpartition("/")[2]
        if which not in ("refresh", "request"):
            return None
        refresh = self.derive("refresh")[:40]
        self._admitted(call, pairs(call.query), self.secrets["app_secret"] if which == "refresh" else refresh)
        secret = refresh if which == "refresh" else self.derive("request")[:40]
        name = f"{which}Secret"
        return dump({"code": "00", "datas": {name: secret, f"{name}EndTime": int(call.now * 1000) + _LIFE * 1000}})

    def admit(self, call: Call) -> tuple[bytes, str]:
        return call.body, self._admitted(call, load(call.body), self.derive("request")[:40])

    def _admitted(self, call: Call, given: dict[str, str], secret: str) -> str:
        key, ts, sign = (text_of(given, name) for name in ("appKey", "requestTime", "sign"))
        verify.known(key, self.secrets["app_key"])
        verify.fresh(call.now, verify.unix(ts, 1000), WINDOW, WINDOW)
        verify.signed(sign, md5(f"{key}{secret}{ts}".encode(), usedforsecurity=False).hexdigest())
        return sign
