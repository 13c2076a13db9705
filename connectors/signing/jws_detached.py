"""``jws-detached``: a JSON Web Signature over the body as it is sent, without the body in it (RFC 7515, RFC 7797).

The protected header carries ``iat`` and ``jti`` beside ``kid``, so that a signature has an age and comes once.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Literal

import orjson
from pydantic import Field

from connectors.json_tree import parse_json
from connectors.signing.algorithms import Algorithm, checker, key_name, sign_beside, signer
from connectors.signing.base import Explained, Heard, Moment, Scheme, with_headers
from connectors.signing.keys import as_bytes
from connectors.signing.verifying import Claim, Why, Window, lowered, refusal, required
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Json, Model
from schemas.errors import UpstreamError

_ALGORITHMS: Mapping[str, Algorithm] = {
    "Ed25519": "ed25519",
    "EdDSA": "ed25519",
    "ES256": "ecdsa-p256-sha256",
    "PS512": "rsa-pss-sha512",
    "RS256": "rsa-v1_5-sha256",
    "HS256": "hmac-sha256",
}


class JwsOptions(Model):
    alg: Literal["Ed25519", "EdDSA", "ES256", "PS512", "RS256", "HS256"]
    header: str = Field(default="X-JWS-Signature", pattern=r"^[A-Za-z][A-Za-z0-9-]*$")


class JwsSigner:
    def __init__(self, options: JwsOptions, secrets: Mapping[str, str]) -> None:
        self._alg, self._header, self._key_id = options.alg, options.header, secrets["key_id"]
        self._sign = signer(_ALGORITHMS[options.alg], secrets)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        request = draft.wire()
        text = _input(self._protected(moment), request.body)
        signature = await sign_beside(_ALGORITHMS[self._alg], self._sign, text)
        return with_headers(request, {self._header: self._jws(moment, signature)})

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        request = draft.wire()
        text = _input(self._protected(moment), request.body)
        headers = {self._header: self._jws(moment, self._sign(text))}
        return Explained(text.decode("utf-8", "backslashreplace"), headers)

    def _protected(self, moment: Moment) -> str:
        members: dict[str, Json] = {
            "alg": self._alg,
            "b64": False,
            "crit": ["b64"],
            "iat": int(moment.unix),
            "jti": moment.nonce,
            "kid": self._key_id,
        }
        return _text(orjson.dumps(members))

    def _jws(self, moment: Moment, signature: bytes) -> str:
        return f"{self._protected(moment)}..{_text(signature)}"


class JwsVerifier:
    """The algorithm is the one agreed on, whatever the header says: it can only confirm it."""

    window = Window(300, 300)
    aside = False

    def __init__(self, options: JwsOptions, secrets: Mapping[str, str]) -> None:
        self._alg, self._header = options.alg, options.header.lower()
        self._key_id = secrets["platform_key_id"] if "platform_key_id" in secrets else secrets["key_id"]
        self._holds = checker(_ALGORITHMS[options.alg], secrets)

    def read(self, request: WireRequest) -> Claim:
        parts = required(lowered(request.headers), self._header).split(".")
        if len(parts) != 3 or parts[1]:
            raise refusal(Why.MALFORMED)
        protected, _, signature = parts
        if not signature:
            raise refusal(Why.MISSING)
        members = _members(protected)
        if members.get("alg") != self._alg:
            raise refusal(Why.ALGORITHM)
        iat, jti = members.get("iat"), members.get("jti")
        if members.get("b64") is not False or members.get("crit") != ["b64"] or not isinstance(jti, str) or not jti:
            raise refusal(Why.MALFORMED)
        if type(iat) is not int or not 0 <= iat < 2**40:
            raise refusal(Why.MALFORMED)
        text, raw, why = _input(protected, request.body), _bytes(signature), None
        if members.get("kid") != self._key_id:
            why = Why.UNKNOWN_KEY
        elif raw is None or not self._holds(raw, text):
            why = Why.FORGED
        return Claim(text.decode("utf-8", "backslashreplace"), Heard(iat, jti).unix, jti, why)


def _input(protected: str, body: bytes) -> bytes:
    return protected.encode("utf-8", "replace") + b"." + body


def _members(protected: str) -> Mapping[str, object]:
    raw = _bytes(protected)
    try:
        members = parse_json((raw or b"").decode())
    except (ValueError, UpstreamError):
        members = None
    if not isinstance(members, dict):
        raise refusal(Why.MALFORMED)
    return members


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    """None for anything but the one way to write the bytes."""
    return None if "=" in text else as_bytes(text + "=" * (-len(text) % 4), "base64url")


def _own(options: JwsOptions) -> tuple[str, str]:
    return ("key_id", key_name(_ALGORITHMS[options.alg], own=True))


def _theirs(options: JwsOptions) -> tuple[str, str]:
    return ("platform_key_id", key_name(_ALGORITHMS[options.alg], own=False))


JWS_DETACHED = Scheme(JwsOptions, _own, JwsSigner, _theirs, JwsVerifier)
