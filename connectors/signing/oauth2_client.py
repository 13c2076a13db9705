"""``oauth2-client``: the client credentials grant (RFC 6749, 4.4) and bearer tokens (RFC 6750, 2.1)."""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Annotated, Literal
from urllib.parse import quote_plus, urlencode

from pydantic import Field, StringConstraints

from connectors.signing.base import Explained, Moment, Scheme, with_headers
from connectors.signing.renewal import Issued, Renewal, issued, read_answer
from connectors.wire import Draft, Send, WireReply, WireRequest
from schemas.base import Model, ShortText
from schemas.errors import UpstreamMalformed


class Oauth2Options(Model):
    """``token_path`` is under the platform's base URL. ``client``: how the client shows who it is (RFC 6749, 2.3.1).
    ``lifetime``: seconds that a token lives where the reply does not say so."""

    token_path: Annotated[str, StringConstraints(pattern=r"^/[^?#\s]*$")]
    client: Literal["basic", "form"] = "basic"
    scope: ShortText | None = None
    lifetime: Annotated[int, Field(ge=1, le=86400)] = 900


class Oauth2Signer:
    def __init__(
        self, options: Oauth2Options, secrets: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._client_id, self._client_secret = secrets["client_id"], secrets["client_secret"]
        self._token = Renewal(clock)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        async def fetch() -> Issued:
            asked_at = self._token.clock()
            token, lifetime = read_token(await send(self._token_request(draft)), self._options.lifetime)
            return issued(token, asked_at, lifetime)

        token = await self._token.get(fetch)
        return with_headers(draft.wire(), {"Authorization": f"Bearer {token}"})

    def refused(self, request: WireRequest) -> bool:
        self._token.refused(request.headers.get("Authorization", "").removeprefix("Bearer "))
        return True

    def explain(self, draft: Draft, moment: Moment) -> Explained:  # noqa: ARG002
        lines = [f"POST {draft.base_url}{self._options.token_path}"]
        if self._options.client == "basic":
            lines.append("Authorization: Basic base64(<client_id>:<client_secret>)")
        lines.append("&".join(f"{k}={v}" for k, v in self._members("<client_id>", "<client_secret>").items()))
        return Explained("\n".join(lines), {"Authorization": "Bearer <access_token>"})

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

    Raises what ``read_answer`` does; a client that is refused (5.2) is UpstreamDenied.
    """
    answer = read_answer(reply, "token")
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
