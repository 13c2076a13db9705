"""Clients' tokens: OAuth 2.0 client credentials (RFC 6749 §4.4) with ``private_key_jwt`` (RFC 7523, OIDC Core §9).

The client signs a short assertion with a key of its own; the gateway answers with an access token (RFC 9068 claims,
its role in ``roles``) that it signs itself, so that any gateway process can check it. Checked tokens are remembered
until they expire: a client's requests of one session cost one signature check.
"""

import base64
import hashlib
import json
import secrets
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeGuard

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet, OKPKey

from gateway.keys import Signing
from gateway.settings import Client, Role
from schemas.errors import ConfigurationError, InvalidClient, Unauthenticated

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ("Ed25519", "EdDSA", "ES256", "PS256")
MAX_ASSERTION_SECONDS = 300
CLOCK_SKEW_SECONDS = 5
_REMEMBERED = 10_000

Clock = Callable[[], float]
# What joserfc and the JSON parser raise for text from outside; the last for JSON that is nested too deeply.
_NOT_A_TOKEN = (JoseError, ValueError, TypeError, AttributeError, RecursionError)


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """RFC 8037 public key with its RFC 7638 thumbprint as ``kid``."""
    okp = OKPKey.import_key(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    fields = {k: v for k, v in okp.as_dict(private=False).items() if isinstance(v, str)}
    return {**fields, "kid": okp.thumbprint(), "alg": "Ed25519", "use": "sig"}


class _Once:
    """Remembers what was used until it expires; bounded by refusing, never by forgetting what still counts."""

    def __init__(self) -> None:
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def first(self, value: str, expires: float, now: float) -> bool:
        for key in [k for k, e in list(self._expiry.items())[:64] if e <= now]:
            del self._expiry[key]
        digest = hashlib.sha256(value.encode()).digest()
        if self._expiry.get(digest, 0) > now or len(self._expiry) >= _REMEMBERED * 10:
            return False
        self._expiry[digest] = expires
        return True


class Caller(NamedTuple):
    """Who calls: a client of the settings, and what it may do here."""

    name: str
    role: Role


class Tokens:
    """Issues and checks access tokens. ``keys`` gives what signs now; a key that was replaced counts for the tokens
    that it signed until then, and for no longer than they last. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        clients: Mapping[str, Client],
        keys: Callable[[], Signing],
        *,
        issuer: str,
        seconds: int,
        clock: Clock = time.time,
    ) -> None:
        self._issuer = issuer
        self._endpoint = issuer.rstrip("/") + "/oauth/token"
        self._seconds = seconds
        self._clock = clock
        self._keys = {name: client_keys(f"{client.role}s.{name}", client.jwks) for name, client in clients.items()}
        self._roles: dict[str, Role] = {name: client.role for name, client in clients.items()}
        self._signing_keys = keys
        self._held: tuple[Signing, OKPKey] | None = None
        self._used = _Once()
        self._checked: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def exchange(self, form: Mapping[str, str]) -> dict[str, str | int]:
        """RFC 6749 §4.4.3 reply for a token request. Raises InvalidClient; says no more than that to anyone."""
        if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidClient(mend="grant_type client_credentials with a private_key_jwt client_assertion")
        client = self._assertion(form.get("client_assertion", ""))
        if form.get("client_id", client) != client:
            raise InvalidClient(at="client_id")
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": client,
            "client_id": client,
            "roles": [self._roles[client]],
            "iat": now,
            "exp": now + self._seconds,
            "jti": secrets.token_hex(16),
        }
        _, key = self._signing()
        header = {"alg": "Ed25519", "typ": "at+jwt", "kid": key.thumbprint()}
        token = jwt.encode(header, claims, key, algorithms=["Ed25519"])
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._seconds}

    def _signing(self) -> tuple[Signing, OKPKey]:
        now, held = self._signing_keys(), self._held
        if held is None or held[0] is not now:
            held = self._held = now, _okp(now.key)
        return held

    def _verified(self, token: str, now: float) -> jwt.Token:
        """Raises one of ``_NOT_A_TOKEN``."""
        signing, key = self._signing()
        try:
            return jwt.decode(token, key, algorithms=["Ed25519"])
        except JoseError:
            for old in signing.replaced:
                if now <= old.at + self._seconds + CLOCK_SKEW_SECONDS:
                    with suppress(JoseError):
                        found = jwt.decode(token, _okp_public(old.key), algorithms=["Ed25519"])
                        if found.claims["iat"] <= old.at + CLOCK_SKEW_SECONDS:
                            return found
            raise

    def _assertion(self, assertion: str) -> str:
        """The client that signed ``assertion``. The unverified ``iss`` only chooses whose keys must verify it."""
        try:
            body = assertion.split(".")[1]
            claimed = json.loads(_unpad(body)).get("iss")
            keys = self._keys[claimed]
            with warnings.catch_warnings():
                # RFC 9864 renames EdDSA; what lenders' libraries send is still the old name of the same thing.
                warnings.simplefilter("ignore", SecurityWarning)
                claims = jwt.decode(assertion, keys, algorithms=list(ASSERTION_ALGORITHMS)).claims
        except (*_NOT_A_TOKEN, KeyError, IndexError):
            raise InvalidClient from None
        now = self._clock()
        expires, issued, jti = claims.get("exp"), claims.get("iat", claims.get("nbf")), claims.get("jti")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if (
            claims.get("iss") != claimed
            or claims.get("sub") != claimed
            or not {self._endpoint, self._issuer} & {a for a in audiences if isinstance(a, str)}
        ):
            raise InvalidClient(at="iss, sub or aud")
        if not _seconds(expires) or not _seconds(issued) or not isinstance(jti, str) or not jti:
            raise InvalidClient(at="exp, iat or jti")
        if not now - MAX_ASSERTION_SECONDS <= issued <= now + CLOCK_SKEW_SECONDS:
            raise InvalidClient(at="iat")
        if not now - CLOCK_SKEW_SECONDS < expires <= issued + MAX_ASSERTION_SECONDS:
            raise InvalidClient(at="exp")
        if not self._used.first(f"{claimed}\n{jti}", expires + CLOCK_SKEW_SECONDS, now):
            raise InvalidClient(at="jti")
        return str(claimed)

    def caller(self, authorization: str | None) -> Caller:
        """The client named by an ``Authorization: Bearer …`` header. Raises Unauthenticated."""
        if not authorization or not authorization.startswith("Bearer "):
            raise Unauthenticated
        token = authorization[7:]
        known = self._checked.get(token)
        now = self._clock()
        if known is not None and known[1] > now:
            return known[0]
        try:
            decoded = self._verified(token, now)
        except _NOT_A_TOKEN:
            raise Unauthenticated from None
        claims = decoded.claims
        if decoded.header.get("typ") != "at+jwt" or claims.get("iss") != self._issuer or claims["exp"] <= now:
            raise Unauthenticated
        caller = Caller(str(claims["sub"]), self._roles.get(str(claims["sub"]), "lender"))
        # Removed from the settings since the token was issued, or given another role.
        if caller.name not in self._keys or claims.get("roles") != [caller.role]:
            raise Unauthenticated
        self._checked[token] = (caller, float(claims["exp"]))
        if len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)
        return caller


def client_assertion(client: str, key: Ed25519PrivateKey, endpoint: str, *, now: float | None = None) -> str:
    """What a client sends to ``endpoint``: used by the command line and the tests, and an example to follow."""
    at = int(time.time() if now is None else now)
    claims = {"iss": client, "sub": client, "aud": endpoint, "iat": at, "exp": at + 60, "jti": secrets.token_hex(16)}
    okp = _okp(key)
    return jwt.encode({"alg": "Ed25519", "kid": okp.thumbprint()}, claims, okp, algorithms=["Ed25519"])


def client_keys(at: str, jwks: Mapping[str, Any]) -> KeySet:
    """Public keys only: a private key in the settings could sign as the client. Raises ConfigurationError."""
    try:
        # Without ``alg``: the kind of key decides, so that a key named Ed25519 also verifies what says EdDSA.
        plain = [{k: v for k, v in key.items() if k != "alg"} for key in jwks["keys"]]
        keys = KeySet.import_key_set({"keys": plain})
        usable = bool(keys.keys) and not any(key.is_private or key.key_type == "oct" for key in keys.keys)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ConfigurationError(at=f"{at}.jwks", mend="a JWKS with public keys of OKP, EC or RSA")
    return keys


def _okp(key: Ed25519PrivateKey) -> OKPKey:
    return OKPKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _okp_public(key: bytes) -> OKPKey:
    x = base64.urlsafe_b64encode(key).rstrip(b"=").decode()
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def _unpad(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _seconds(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40
