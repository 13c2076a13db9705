"""Dialects of key pairs, which sign their replies too: wechatpay-v3, rfc9421 and jws-detached."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.sandbox import verify
from connectors.sandbox.bureau.dialect import (
    WINDOW,
    Dialect,
    Headers,
    bytes64,
    pem,
    public_pem,
    rsa_of,
    text64,
    url64,
)
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Call


class WechatpayV3(Dialect):
    name = "wechatpay-v3"
    reply: ClassVar[Mapping[str, Any] | None] = {"scheme": "wechatpay-v3"}

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "mchid": "bureau-mchid",
            "serial_no": "BUREAU01",
            "private_key": pem(rsa_of(self.seed, True)),
            "platform_serial": "BUREAU02",
            "platform_key": public_pem(rsa_of(self.seed, False)),
        }

    def admit(self, call: Call) -> tuple[bytes, str]:
        (stated,) = verify.need(call.headers, "Authorization")
        found = re.fullmatch(
            r'WECHATPAY2-SHA256-RSA2048 mchid="([^"]*)",nonce_str="([^"]*)",timestamp="([^"]*)",serial_no="([^"]*)"'
            r',signature="([^"]*)"',
            stated,
        )
        if found is None:
            raise Refused(Why.MALFORMED)
        mchid, nonce, ts, serial, signature = found.groups()
        verify.known(f"{mchid} {serial}", "bureau-mchid BUREAU01")
        verify.fresh(call.now, verify.unix(ts), WINDOW, WINDOW)
        target = call.path + (f"?{call.query}" if call.query else "")
        text = f"{call.method}\n{target}\n{ts}\n{nonce}\n".encode() + call.body + b"\n"
        try:
            rsa_of(self.seed, True).public_key().verify(bytes64(signature), text, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise Refused(Why.FORGED) from None
        return call.body, nonce

    def answer(self, call: Call, body: bytes) -> tuple[Headers, bytes]:
        ts, nonce = str(int(call.now)), sha256(call.headers["Authorization"].encode()).hexdigest()[:16]
        text = f"{ts}\n{nonce}\n".encode() + body + b"\n"
        signature = text64(rsa_of(self.seed, False).sign(text, PKCS1v15(), SHA256()))
        said = {"Timestamp": ts, "Nonce": nonce, "Serial": "BUREAU02", "Signature": signature}
        return {"Content-Type": "application/json", **{f"Wechatpay-{k}": v for k, v in said.items()}}, body


class HttpSignatures(Dialect):
    name = "rfc9421"
    options: ClassVar[Mapping[str, Any]] = {"algorithm": "ed25519"}
    reply: ClassVar[Mapping[str, Any] | None] = {"scheme": "rfc9421", "algorithm": "ed25519"}

    def _key(self, what: str) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.derive(what)))

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "key_id": "bureau-caller",
            "private_key": pem(self._key("caller")),
            "platform_key_id": "bureau",
            "platform_key": public_pem(self._key("bureau")),
        }

    def admit(self, call: Call) -> tuple[bytes, str]:
        stated, signature, digest = verify.need(call.headers, "Signature-Input", "Signature", "Content-Digest")
        found = re.fullmatch(
            r'sig1=(\("@method" "@target-uri" "content-digest"\);created=(\d+);nonce="([^"]+)"'
            r';keyid="([^"]*)";alg="ed25519")',
            stated,
        )
        raw = re.fullmatch("sig1=:([^:]*):", signature)
        if found is None or raw is None:
            raise Refused(Why.MALFORMED)
        parameters, created, nonce, key_id = found.groups()
        verify.known(key_id, "bureau-caller")
        verify.fresh(call.now, verify.unix(created), WINDOW, WINDOW)
        base = f'"@method": {call.method}\n"@target-uri": {_uri(call)}\n"content-digest": {digest}\n'
        try:
            self._key("caller").public_key().verify(
                bytes64(raw[1]), f'{base}"@signature-params": {parameters}'.encode()
            )
        except InvalidSignature:
            raise Refused(Why.FORGED) from None
        verify.signed(digest, _digest(call.body))
        return call.body, nonce

    def answer(self, call: Call, body: bytes) -> tuple[Headers, bytes]:
        covered = '"@status" "content-digest" "@method";req "@target-uri";req "content-digest";req'
        nonce = sha256(call.headers["Signature"].encode()).hexdigest()[:16]
        parameters = f'({covered});created={int(call.now)};nonce="{nonce}";keyid="bureau";alg="ed25519"'
        base = (
            f'"@status": 200\n"content-digest": {_digest(body)}\n"@method";req: {call.method}\n'
            f'"@target-uri";req: {_uri(call)}\n"content-digest";req: {call.headers["Content-Digest"]}\n'
            f'"@signature-params": {parameters}'
        )
        signed = text64(self._key("bureau").sign(base.encode()))
        return {
            "Content-Type": "application/json",
            "Content-Digest": _digest(body),
            "Signature-Input": f"sig1={parameters}",
            "Signature": f"sig1=:{signed}:",
        }, body


class DetachedJws(Dialect):
    """A reply repeats the ``jti`` of its request."""

    name = "jws-detached"
    options: ClassVar[Mapping[str, Any]] = {"alg": "ES256"}
    reply: ClassVar[Mapping[str, Any] | None] = {"scheme": "jws-detached", "alg": "ES256", "bound": True}

    def _key(self, what: str) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int(self.derive(what)[2:], 16), ec.SECP256R1())

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "key_id": "bureau-caller",
            "private_key": pem(self._key("caller")),
            "platform_key_id": "bureau",
            "platform_key": public_pem(self._key("bureau")),
        }

    def admit(self, call: Call) -> tuple[bytes, str]:
        (stated,) = verify.need(call.headers, "X-JWS-Signature")
        found = re.fullmatch(r"([\w-]+)\.\.([\w-]{86})", stated)
        if found is None:
            raise Refused(Why.MALFORMED)
        try:
            protected = json.loads(url64(found[1]))
        except ValueError:
            raise Refused(Why.MALFORMED) from None
        fixed = {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": "bureau-caller"}
        if not isinstance(protected, dict) or {k: protected.get(k) for k in fixed} != fixed:
            raise Refused(Why.UNKNOWN)
        verify.fresh(call.now, verify.unix(str(protected.get("iat"))), WINDOW, WINDOW)
        raw = url64(found[2])
        signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        try:
            self._key("caller").public_key().verify(signature, found[1].encode() + b"." + call.body, ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise Refused(Why.FORGED) from None
        return call.body, str(protected.get("jti"))

    def answer(self, call: Call, body: bytes) -> tuple[Headers, bytes]:
        asked = json.loads(url64(call.headers["X-JWS-Signature"].partition(".")[0]))
        members = {"alg": "ES256", "b64": False, "crit": ["b64"], "iat": int(call.now), "jti": asked["jti"]}
        protected = _url(json.dumps({**members, "kid": "bureau"}).encode())
        der = self._key("bureau").sign(protected.encode() + b"." + body, ec.ECDSA(SHA256()))
        r, s = decode_dss_signature(der)
        signature = _url(r.to_bytes(32) + s.to_bytes(32))
        return {"Content-Type": "application/json", "X-JWS-Signature": f"{protected}..{signature}"}, body


def _uri(call: Call) -> str:
    return f"http://{call.headers['Host']}{call.path}" + (f"?{call.query}" if call.query else "")


def _digest(body: bytes) -> str:
    return f"sha-256=:{text64(sha256(body).digest())}:"


def _url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
