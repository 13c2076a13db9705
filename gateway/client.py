"""A lender's side in a few lines: token, consent, profile. The demo and the benchmarks use it; an example to follow."""

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auth.tokens import ASSERTION_TYPE, client_assertion

_RENEW_BEFORE_SECONDS = 30


class LenderError(Exception):
    """The gateway answered with a problem; ``problem`` is its RFC 9457 body."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}")
        self.status = status
        self.problem = problem


class LenderClient:
    """One lender at one gateway. ``issuer`` is the gateway's, as its settings say: the assertion is made out to it."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, lender: str, key: Ed25519PrivateKey, issuer: str
    ) -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._lender = lender
        self._key = key
        self._endpoint = issuer.rstrip("/") + "/oauth/token"
        self._token = ""
        self._renew_at = 0.0

    async def authorization(self) -> dict[str, str]:
        if time.monotonic() >= self._renew_at:
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": client_assertion(self._lender, self._key, self._endpoint),
            }
            async with self._session.post(self._base + "/oauth/token", data=form) as reply:
                body = orjson.loads(await reply.read())
            if reply.status != 200:
                raise LenderError(reply.status, body)
            self._token = body["access_token"]
            self._renew_at = time.monotonic() + body["expires_in"] - _RENEW_BEFORE_SECONDS
        return {"Authorization": f"Bearer {self._token}"}

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
        """The reply's body; LenderError for anything but 2xx."""
        sent = {**await self.authorization(), **(headers or {})}
        data = None
        if body is not None:
            data = orjson.dumps(body)
            sent["Content-Type"] = "application/json"
        async with self._session.request(method, self._base + path, data=data, headers=sent) as reply:
            content = await reply.read()
        if reply.status >= 300:
            raise LenderError(reply.status, orjson.loads(content))
        return content

    async def register(self, grant: Mapping[str, Any]) -> dict[str, Any]:
        return _object(await self.call("POST", "/v1/consents", grant))

    async def profile(self, ask: Mapping[str, Any], idempotency_key: str | None = None) -> dict[str, Any]:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        return _object(await self.call("POST", "/v1/profiles", ask, headers))

    async def jws(self, profile_id: str) -> str:
        return (await self.call("GET", f"/v1/profiles/{profile_id}", headers={"Accept": "application/jose"})).decode()


def _object(content: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(content)
    return parsed
