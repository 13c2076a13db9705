"""``oauth2-client``: the client credentials grant (RFC 6749, 4.4) and bearer tokens (RFC 6750, 2.1)."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Annotated, Literal
from urllib.parse import quote_plus, urlencode

from pydantic import Field, StringConstraints

from connectors.decoding import decode_text, parse_json
from connectors.signing.base import Explained, Moment, Scheme, with_headers
from connectors.wire import Draft, Send, WireReply, WireRequest
from schemas.base import Model, ShortText
from schemas.errors import (
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
    UpstreamServerError,
    UpstreamStatus,
)


class Oauth2Options(Model):
    """``token_path`` is under the platform's base URL. ``client``: how the client shows who it is (RFC 6749, 2.3.1).
    ``lifetime``: seconds that a token lives where the reply does not say so."""

    token_path: Annotated[str, StringConstraints(pattern=r"^/[^?#\s]*$")]
    client: Literal["basic", "form"] = "basic"
    scope: ShortText | None = None
    lifetime: Annotated[int, Field(ge=1, le=86400)] = 900


class Oauth2Signer:
    """Holds one token. However many requests need a new one, one of them fetches it and the others wait; if that
    fails, those who waited fail the same way instead of asking again one after the other."""

    def __init__(
        self, options: Oauth2Options, secrets: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options, self._clock = options, clock
        self._client_id, self._client_secret = secrets["client_id"], secrets["client_secret"]
        self._authorization = ""
        self._good_until = 0.0
        self._lock = asyncio.Lock()
        self._failures = 0
        self._last_failure: UpstreamError | None = None

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        if self._clock() >= self._good_until:
            await self._renew(draft, send)
        return with_headers(draft.wire(), {"Authorization": self._authorization})

    def refused(self, request: WireRequest) -> bool:
        """Drops the token only if it is still the one refused, so that a burst of 401 costs one renewal."""
        if request.headers.get("Authorization") == self._authorization:
            self._good_until = 0.0
        return True

    def explain(self, draft: Draft, moment: Moment) -> Explained:  # noqa: ARG002
        lines = [f"POST {draft.base_url}{self._options.token_path}"]
        if self._options.client == "basic":
            lines.append("Authorization: Basic base64(<client_id>:<client_secret>)")
        lines.append("&".join(f"{k}={v}" for k, v in self._members("<client_id>", "<client_secret>").items()))
        return Explained("\n".join(lines), {"Authorization": "Bearer <access_token>"})

    async def _renew(self, draft: Draft, send: Send) -> None:
        failures_seen = self._failures
        async with self._lock:
            if self._clock() < self._good_until:
                return
            if self._failures != failures_seen and self._last_failure is not None:
                raise type(self._last_failure)(**self._last_failure.details)
            try:
                asked_at = self._clock()
                reply = await send(self._token_request(draft))
                token, lifetime = read_token(reply, self._options.lifetime)
            except UpstreamError as err:
                self._failures += 1
                self._last_failure = err
                raise
            self._authorization = f"Bearer {token}"
            self._good_until = asked_at + lifetime - min(60.0, lifetime / 10)

    def _members(self, client_id: str, client_secret: str) -> dict[str, str]:
        members = {"grant_type": "client_credentials"}
        if self._options.scope:
            members["scope"] = self._options.scope
        if self._options.client == "form":
            members |= {"client_id": client_id, "client_secret": client_secret}
        return members

    def _token_request(self, draft: Draft) -> WireRequest:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if self._options.client == "basic":
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        body = urlencode(self._members(self._client_id, self._client_secret))
        return WireRequest("POST", draft.base_url + self._options.token_path, headers, body.encode())


def read_token(reply: WireReply, lifetime: int) -> tuple[str, int]:
    """The access token and the seconds it lives (RFC 6749, 5.1).

    UpstreamDenied where the client is refused (5.2), UpstreamBusy, UpstreamServerError or UpstreamStatus by HTTP
    status, UpstreamMalformed or UpstreamCharset where a successful reply is not as it must be.
    """
    if reply.status in (400, 401, 403):
        raise UpstreamDenied(at="token", status=reply.status)
    if reply.status in (429, 503):
        raise UpstreamBusy(at="token", status=reply.status)
    if reply.status != 200:
        error = UpstreamServerError if reply.status >= 500 else UpstreamStatus
        raise error(at="token", status=reply.status)
    answer = parse_json(decode_text(reply.body, None, ("utf-8",)))
    if not isinstance(answer, dict):
        raise UpstreamMalformed(at="token")
    token, kind, seconds = (answer.get(key) for key in ("access_token", "token_type", "expires_in"))
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise UpstreamMalformed(at="token.access_token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise UpstreamMalformed(at="token.token_type")
    if seconds is None:
        seconds = lifetime
    if type(seconds) is not int or seconds < 1:
        raise UpstreamMalformed(at="token.expires_in")
    return token, seconds


OAUTH2_CLIENT = Scheme(Oauth2Options, lambda _: ("client_id", "client_secret"), Oauth2Signer)
